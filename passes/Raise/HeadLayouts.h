// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Tensors of attention heads: which order of dims a term reads one in.
#pragma once

#include "passes/Raise/Term.h"

namespace ciuic::raise {

/// A tensor of heads that holds the element (batch d0, head d1, position d2, width d3) of a matrix
/// product's operand.
struct Heads {
  mlir::Value tensor;
  graph::HeadLayout layout = graph::HeadLayout::bhsd;
  double scale = 1; ///< what the operand is multiplied by on top
};

/// The heads that `term` reads as an element of [batch, heads, positions, width], the deepest below
/// views and, with `scaled`, products with constants. Fewer heads than wanted are repeated, each as
/// often in a row as there are more.
std::optional<Heads> headsOf(const Term &term, llvm::ArrayRef<mlir::AffineExpr> dims, bool scaled,
                             bool repeated = true);

/// The layout in which `t` reads a tensor of [batch, heads, positions, width], if it does.
std::optional<graph::HeadLayout> layoutOf(const Term &t, llvm::ArrayRef<mlir::AffineExpr> dims,
                                          bool repeated);

/// A tensor [batch, …] in the other layout.
mlir::Value transposeHeads(mlir::OpBuilder &b, mlir::Location loc, mlir::Value tensor);

} // namespace ciuic::raise
