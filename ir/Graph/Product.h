// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Matrix products as strided loops, and which of them the vendor's library computes. Fusing asks
// before kernels exist, lowering and code generation after, so both see one answer: it depends on
// types, bounds and how the weight is packed alone.
#pragma once

#include "ir/Graph/Graph.h"

#include <optional>

namespace ciuic::graph {

/// A kernel argument's marks (`graph.packing`, `graph.physical`); may be null.
using Marks = mlir::DictionaryAttr;

PackingAttr packingOf(Marks marks);

/// Row-major strides of an operand's buffer: those of its largest extents where it is a state.
llvm::SmallVector<mlir::AffineExpr> stridesOf(mlir::Value operand, Marks marks);

/// C[batch…, M, N] = A × B by strides in elements. Batch dims of extent one are left out; a stride
/// of 0 broadcasts.
struct StridedProduct {
  llvm::SmallVector<mlir::AffineExpr> extents, strideA, strideB;
  mlir::AffineExpr m, n, k, aRow, aK, bK, bCol;
};
StridedProduct stridedProductOf(MatmulOp op, Marks a, Marks b);

/// Whether a convolution is a product of pixels and channels: 1×1, stride 1, no padding, one group.
bool isPointwise(ConvOp op);

/// A call of the vendor's product or convolution (kernels/VendorCalls.h): shape and params in its
/// order, no epilogue.
struct VendorProduct {
  const char *function;
  unsigned epilogue; ///< the param that says the epilogue
  llvm::SmallVector<mlir::AffineExpr> shape;
  llvm::SmallVector<int64_t> params;
};

/// The call that computes `op`, or none where a kernel of our own does: few rows, a weight that is
/// decoded, other types, batch dims without one stride, one channel a group. `a` and `b` are the
/// operands' marks.
std::optional<VendorProduct> vendorProductOf(mlir::Operation *op, Marks a, Marks b,
                                             const Bounds &bounds);

/// What a map does first to a product's result and the vendor's product can do on the way: the
/// longest part of ((product + bias) + residual), the product's type being kept between them or
/// rounded to; the vendor rounds once. bias and residual are operand numbers of the map.
struct VendorEpilogueMatch {
  llvm::SmallVector<mlir::Operation *, 2> adds; ///< the scalar additions, and casts around them
  std::optional<unsigned> bias, residual;
  mlir::Value sum; ///< what the last addition yields; the product's own scalar where there is none
  /// Whether the map does nothing else.
  bool isWholeMap = false;
};
VendorEpilogueMatch matchVendorEpilogue(MapOp map, mlir::Value product);

} // namespace ciuic::graph
