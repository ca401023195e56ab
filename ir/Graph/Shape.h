// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Symbolic dims: reading them off a type, making types from them, bounding them.
//
// A dim is an mlir::AffineExpr over the symbols of its function (never over dims), so sums,
// products with symbols (semi-affine), floor and ceiling divisions and remainders are all there and
// are simplified by MLIR.
#pragma once

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/BuiltinTypes.h"

#include <cstdint>
#include <optional>

namespace ciuic::graph {

/// Whether every dynamic dim of `type` is given by its encoding, one expression per dim, constants
/// agreeing.
bool isGraphTensor(mlir::RankedTensorType type);

/// The dims of a graph tensor as expressions of the symbols.
llvm::SmallVector<mlir::AffineExpr> dimsOf(mlir::RankedTensorType type);
llvm::SmallVector<mlir::AffineExpr> dimsOf(mlir::Value tensor);

/// The tensor type of these dims; static if they are all constant, else with the encoding that says
/// them.
mlir::RankedTensorType tensorOf(llvm::ArrayRef<mlir::AffineExpr> dims, mlir::Type element);

/// Inclusive bounds of the symbols s0, s1, …
struct Bounds {
  llvm::SmallVector<int64_t> lower, upper;
};

/// The bounds that `graph.symbols` of the function states; none where the attribute is missing.
Bounds boundsOf(mlir::func::FuncOp function);

/// The function around an op (none inside a kernel).
mlir::func::FuncOp functionOf(mlir::Operation *op);

/// An inclusive interval that holds every value of an expression; missing sides are unknown (or
/// exceed 64 bits).
struct Interval {
  std::optional<int64_t> lower, upper;
};
Interval intervalOf(mlir::AffineExpr expr, const Bounds &bounds);

/// Whether two dims are equal for all values of the symbols (as far as simplification shows).
bool sameDim(mlir::AffineExpr a, mlir::AffineExpr b);
bool sameDims(llvm::ArrayRef<mlir::AffineExpr> a, llvm::ArrayRef<mlir::AffineExpr> b);

/// Whether a dim is the constant 1.
bool isOne(mlir::AffineExpr dim);
/// Whether two dims are certainly different: both constant and unequal.
bool differ(mlir::AffineExpr a, mlir::AffineExpr b);

/// The product of dims (1 for none).
mlir::AffineExpr productOf(llvm::ArrayRef<mlir::AffineExpr> dims, mlir::MLIRContext *context);

/// The value of an expression for given symbols; none on overflow or division by zero.
std::optional<int64_t> evaluate(mlir::AffineExpr expr, llvm::ArrayRef<int64_t> symbols);

/// Bytes of one element; sub-byte types count as one byte. i1 is one byte.
int64_t elementBytes(mlir::Type element);

/// Bytes of a tensor with every dim at its largest; none if that is unknown or exceeds 2^62.
std::optional<int64_t> maxBytesOf(mlir::RankedTensorType type, const Bounds &bounds);

} // namespace ciuic::graph
