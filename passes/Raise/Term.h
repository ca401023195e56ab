// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Looking at a graph of maps and views as scalar expressions, so that a pattern is written once for
// all the ways in which an exporter spreads it over nodes: a term is one element of a tensor, or a
// scalar inside a map; stepping down from it passes views and enters maps, with the index carried
// along as affine expressions of d0, d1, … (the index of the element that matching began with).
#pragma once

#include "ir/Graph/Graph.h"

#include "llvm/ADT/STLFunctionalExtras.h"

#include <optional>

namespace ciuic::raise {

struct Term {
  /// A tensor, read at `index`; or a scalar of a map's region, the map being evaluated at `index`.
  mlir::Value value;
  llvm::SmallVector<mlir::AffineExpr> index;

  bool isTensor() const { return llvm::isa<mlir::RankedTensorType>(value.getType()); }
};

/// Views and maps that one term is followed through, and scalar ops above one another that a
/// pattern may consist of. Exporters need a fraction of either; beyond, matching gives up, so that
/// its work is linear in the graph.
constexpr unsigned maxSteps = 64, maxDepth = 6;

/// The element of a tensor at (d0, d1, …).
Term elementOf(mlir::Value tensor);

/// What `term` is a view of, is computed by, or (in a region) reads; casts between float types are
/// passed. False, and `term` as it was, where a scalar op computes it or it is a tensor that is
/// neither map nor view.
bool step(Term &term);

/// The tensors that `term` passes on its way down, itself included if it is one, the last being
/// where it ends if that is one. With `views`, only as far as views go: no map is entered.
llvm::SmallVector<Term> tensorsOf(Term term, bool views = false);

/// The scalar op that computes a term, its operands as terms; null where it ends at a tensor.
struct Computation {
  mlir::Operation *op = nullptr;
  llvm::SmallVector<mlir::AffineExpr> index; ///< of the map that holds the op
  llvm::SmallVector<Term> operands;
};
Computation computationOf(Term term);

/// The operands if an op of this kind computes the term; empty if not.
template <class Op>
llvm::SmallVector<Term> operandsOf(const Term &term) {
  Computation c = computationOf(term);
  return llvm::isa_and_nonnull<Op>(c.op) ? std::move(c.operands) : llvm::SmallVector<Term>();
}

/// The value of a float constant, in a region or a tensor of one value.
std::optional<double> constantOf(const Term &term);

/// Whether both read the same element of the same tensor on their way down: the first such of
/// `a`'s.
std::optional<Term> sharedTensor(const Term &a, const Term &b);
/// Whether `term` passes through this element.
bool passes(const Term &term, const Term &element);

/// Whether `term` is the square of an element: which.
std::optional<Term> squareOf(const Term &term);

/// A product taken apart into factors and divisors, constants in one number.
/// Terms that pass through `opaque` are not taken apart.
struct Product {
  double constant = 1;
  llvm::SmallVector<Term> factors, divisors;
};
Product productOf(const Term &term, const std::optional<Term> &opaque = std::nullopt);

/// Whether an index expression is d`dim`, or 0 where the tensor's extent is one.
bool isDim(mlir::AffineExpr expr, unsigned dim, mlir::AffineExpr extent);
/// Whether the term is a tensor read at (d0, d1, …, d(rank − 1)).
bool isIdentity(const Term &term);
/// For a term that depends on d`dim`, of this extent, alone: the vector it reads, reshaped to one
/// dim at `b` if need be; null if it is no such.
mlir::Value vectorAlong(mlir::OpBuilder &b, const Term &term, unsigned dim,
                        mlir::AffineExpr extent);

/// The mean over the last dim that `term`, an element at (d0, …, d(rank − 1)) of a tensor of these
/// dims, reads: its operand's element.
std::optional<Term> meanOf(const Term &term, llvm::ArrayRef<mlir::AffineExpr> dims);

/// √(mean(x²) + epsilon) along the last dim: x, read at (d0, …), and epsilon.
struct RootMeanSquare {
  Term element;
  double epsilon = 0;
};
std::optional<RootMeanSquare> rootMeanSquareOf(const Term &term,
                                               llvm::ArrayRef<mlir::AffineExpr> dims);

/// Offers each used map of a function to `raise`, whose value, if not null, takes the place of the
/// map's first result. Backwards, so that a pattern is found at its last map.
void raiseMaps(mlir::func::FuncOp function,
               llvm::function_ref<mlir::Value(mlir::OpBuilder &, graph::MapOp)> raise);

} // namespace ciuic::raise
