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

/// A fill this low, added to a score of this type or put in its place, leaves nothing of it: e to
/// its power is 0 beside any other key.
double lowFillOf(mlir::Type element);

/// Whether the mask hides from query i exactly the keys beyond i + keys − queries, for all values
/// of the symbols. `element` is the scores' type.
bool isCausal(const Mask &mask, llvm::ArrayRef<mlir::AffineExpr> scores,
              const graph::Bounds &bounds, mlir::Type element);

/// Whether tensorOfMasks can make this one's tensor.
bool hasTensor(const Mask &mask, llvm::ArrayRef<mlir::AffineExpr> scores);

/// The sum of the masks as one tensor of `element` that broadcasts to the scores. Addends beyond
/// the type's least value become that value.
mlir::Value tensorOfMasks(mlir::OpBuilder &b, mlir::Location loc, llvm::ArrayRef<Mask> masks,
                          llvm::ArrayRef<mlir::AffineExpr> scores, mlir::Type element);

} // namespace ciuic::raise
