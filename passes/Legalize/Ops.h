// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The importers that OpTable.cpp names, by file, and what several files build with.
#pragma once
#include "passes/Legalize/Importer.h"

namespace ciuic::legalize {

// Activation.cpp
mlir::LogicalResult importFloatFunction(Node &node);
mlir::LogicalResult importNeg(Node &node);
mlir::LogicalResult importAbs(Node &node);
mlir::LogicalResult importSign(Node &node);
mlir::LogicalResult importRelu(Node &node);
mlir::LogicalResult importActivation(Node &node);
mlir::LogicalResult importGelu(Node &node);
mlir::LogicalResult importPRelu(Node &node);
mlir::LogicalResult importIsNan(Node &node);

// Attention.cpp
mlir::LogicalResult importAttention(Node &node);
mlir::LogicalResult importRotaryEmbedding(Node &node);

// BlockMatmul.cpp
mlir::LogicalResult importMatMulNBits(Node &node);
mlir::LogicalResult importGatherBlockQuantized(Node &node);

// ContribAttention.cpp
mlir::LogicalResult importGroupQueryAttention(Node &node);
mlir::LogicalResult importMultiHeadAttention(Node &node);

// Elementwise.cpp
mlir::LogicalResult importBinary(Node &node);
mlir::LogicalResult importPow(Node &node);
mlir::LogicalResult importCompare(Node &node);
mlir::LogicalResult importLogical(Node &node);
mlir::LogicalResult importVariadic(Node &node);
mlir::LogicalResult importClip(Node &node);
mlir::LogicalResult importWhere(Node &node);
mlir::LogicalResult importCast(Node &node);
mlir::LogicalResult importCastLike(Node &node);

// Index.cpp
mlir::LogicalResult importGatherElements(Node &node);
mlir::LogicalResult importGatherNd(Node &node);
mlir::LogicalResult importScatterNd(Node &node);
mlir::LogicalResult importScatterElements(Node &node);
mlir::LogicalResult importTrilu(Node &node);
mlir::LogicalResult importOneHot(Node &node);

// Matmul.cpp
mlir::LogicalResult importMatMul(Node &node);
mlir::LogicalResult importGemm(Node &node);
mlir::FailureOr<mlir::Value> buildMatmul(Node &node, mlir::Value a, mlir::Value b, bool transposeA,
                                         bool transposeB);

// Move.cpp
mlir::LogicalResult importTranspose(Node &node);
mlir::LogicalResult importSlice(Node &node);
mlir::LogicalResult importSplit(Node &node);
mlir::LogicalResult importConcat(Node &node);
mlir::LogicalResult importTile(Node &node);
mlir::LogicalResult importPad(Node &node);
mlir::LogicalResult importGather(Node &node);

// Norm.cpp
mlir::LogicalResult importSoftmax(Node &node);
mlir::LogicalResult importLayerNorm(Node &node);
mlir::LogicalResult importSkipLayerNorm(Node &node);
mlir::LogicalResult importInstanceNorm(Node &node);
mlir::LogicalResult importGroupNorm(Node &node);
mlir::LogicalResult importBatchNorm(Node &node);
mlir::LogicalResult importLpNormalization(Node &node);

// Quantize.cpp
mlir::LogicalResult importQuantize(Node &node);
mlir::LogicalResult importDequantize(Node &node);
mlir::LogicalResult importDynamicQuantize(Node &node);
mlir::LogicalResult importMatMulInteger(Node &node);

// Reduce.cpp
mlir::LogicalResult importReduce(Node &node);
mlir::LogicalResult importArgReduce(Node &node);
mlir::LogicalResult importGlobalPool(Node &node);
mlir::LogicalResult importCumSum(Node &node);

// Shape.cpp
mlir::LogicalResult importConstant(Node &node);
mlir::LogicalResult importIdentity(Node &node);
mlir::LogicalResult importShape(Node &node);
mlir::LogicalResult importSize(Node &node);
mlir::LogicalResult importReshape(Node &node);
mlir::LogicalResult importFlatten(Node &node);
mlir::LogicalResult importSqueeze(Node &node);
mlir::LogicalResult importUnsqueeze(Node &node);
mlir::LogicalResult importConstantOfShape(Node &node);
mlir::LogicalResult importRange(Node &node);
mlir::LogicalResult importExpand(Node &node);
/// `x` under another shape; a constant or weight changes its shape for nothing.
mlir::LogicalResult setReshaped(Node &node, unsigned result, Tensor &x,
                                llvm::ArrayRef<mlir::AffineExpr> dims);
/// Axes from the attribute `axes` or from an input: positive, ascending, each once.
mlir::FailureOr<llvm::SmallVector<int64_t>> axesOf(Node &node, unsigned input, int64_t rank);

// Window.cpp
mlir::LogicalResult importConv(Node &node);
mlir::LogicalResult importConvTranspose(Node &node);
mlir::LogicalResult importPool(Node &node);
mlir::LogicalResult importResize(Node &node);
mlir::LogicalResult importDepthToSpace(Node &node);

} // namespace ciuic::legalize
