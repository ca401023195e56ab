// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What is added to attention scores, or selects among them, read from the graph.
#pragma once

#include "passes/Raise/Term.h"

namespace ciuic::raise {

/// One mask, an element of scores [batch d0, heads d1, queries d2, keys d3]: an addend, or a
/// condition under which a score is kept (`keeps`) or replaced by `fill`.
struct Mask {
  Term term;
  bool isCondition = false, keeps = true;
  double fill = 0;
};

/// A fill this low, added or put in its place, leaves nothing of a score: e to its power is 0
/// beside any other key. Scores in f16 come no lower than −65504, and exporters fill with that.
inline double lowFill(mlir::Type scores) { return scores.isF16() ? -6e4 : -1e30; }

/// Whether the mask hides from query i exactly the keys beyond i + keys − queries, for all values
/// of the symbols; fills up to `low` hide.
bool isCausal(const Mask &mask, llvm::ArrayRef<mlir::AffineExpr> scores,
              const graph::Bounds &bounds, double low);

/// Whether tensorOfMasks can make this one's tensor.
bool hasTensor(const Mask &mask, llvm::ArrayRef<mlir::AffineExpr> scores);

/// The sum of the masks as one f32 tensor that broadcasts to the scores.
mlir::Value tensorOfMasks(mlir::OpBuilder &b, mlir::Location loc, llvm::ArrayRef<Mask> masks,
                          llvm::ArrayRef<mlir::AffineExpr> scores);

} // namespace ciuic::raise
