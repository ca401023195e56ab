// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See CudaLibrary.h. Functions are told apart by the family in their names.
#include "ir/Graph/CudaLibrary.h"

#include "kernels/VendorCalls.h"

using namespace mlir;

namespace ciuic::graph {
namespace {

enum class Family {
  Gemv,
  Matmul,
  Gather,
  BatchMatmul,
  Attention,
  Decode,
  Conv,
  Depthwise,
  Pool,
  Vendor
};

Family familyOf(const LibraryCall &call) {
  StringRef f = call.function;
  return call.vendor                                   ? Family::Vendor
         : f.starts_with("ciuic_cuda_gemv_")           ? Family::Gemv
         : f.starts_with("ciuic_cuda_matmul_")         ? Family::Matmul
         : f.starts_with("ciuic_cuda_gather_")         ? Family::Gather
         : f.starts_with("ciuic_cuda_batch_matmul_")   ? Family::BatchMatmul
         : f.starts_with("ciuic_cuda_attention_")      ? Family::Attention
         : f.starts_with("ciuic_cuda_decode_")         ? Family::Decode
         : f.starts_with("ciuic_cuda_pool_")           ? Family::Pool
         : f.starts_with("ciuic_cuda_conv_depthwise_") ? Family::Depthwise
                                                       : Family::Conv;
}

/// Bytes of an element of the call's first operand, which says how products and attention tile.
int64_t operandBytes(const LibraryCall &call) {
  return elementBytes(cast<RankedTensorType>(call.root->getOperand(0).getType()).getElementType());
}

} // namespace

AffineExpr cudaUnitsOf(const LibraryCall &call, ArrayRef<int64_t> params) {
  namespace cuda = kernels::cuda;
  ArrayRef<AffineExpr> a = call.args;
  const int64_t *bounds = call.atBounds.data();
  int64_t panels = params.size() > 1 ? params[1] - params[0] : 0;
  auto ceil = [](int64_t count, int64_t step) { return (count + step - 1) / step; };
  auto constant = [&](int64_t value) {
    return getAffineConstantExpr(value, call.root->getContext());
  };
  switch (familyOf(call)) {
  case Family::Gemv:
    return constant(ceil(panels, cuda::kGemvPanels));
  case Family::Matmul:
    return constant(kernels::matmulUnits(bounds[kernels::kMatmulM], bounds[kernels::kMatmulN],
                                         bounds[kernels::kMatmulK], panels, operandBytes(call)));
  case Family::Gather:
    return a[kernels::kGatherCount];
  case Family::BatchMatmul: {
    int64_t tile = cuda::batchMatmulTile(bounds, operandBytes(call));
    return a[kernels::kBatchB0] * a[kernels::kBatchB1] * a[kernels::kBatchB2] *
           a[kernels::kBatchM].ceilDiv(tile) * a[kernels::kBatchN].ceilDiv(tile);
  }
  case Family::Attention:
    return a[kernels::kAttnBatch] * a[kernels::kAttnHeads] *
           a[kernels::kAttnQueries].ceilDiv(cuda::attentionTileRows(bounds, operandBytes(call)));
  case Family::Decode:
    return constant(cuda::decodeUnits(bounds));
  case Family::Conv: {
    int64_t tile = cuda::convTile(bounds, operandBytes(call));
    AffineExpr pixels = a[kernels::kConvBatch] * a[kernels::kConvOutH] * a[kernels::kConvOutW];
    AffineExpr groups = a[kernels::kConvGroups];
    return pixels.ceilDiv(tile) * groups * a[kernels::kConvOutC].floorDiv(groups).ceilDiv(tile);
  }
  case Family::Depthwise: {
    AffineExpr pixels = a[kernels::kConvBatch] * a[kernels::kConvOutH] * a[kernels::kConvOutW];
    return (pixels * a[kernels::kConvOutC]).ceilDiv(cuda::kPoolElements);
  }
  case Family::Pool: {
    AffineExpr pixels = a[kernels::kPoolBatch] * a[kernels::kPoolOutH] * a[kernels::kPoolOutW];
    return (pixels * a[kernels::kPoolC]).ceilDiv(cuda::kPoolElements);
  }
  case Family::Vendor:
    break;
  }
  return constant(1);
}

kernels::cuda::Block cudaBlockOf(const LibraryCall &call) {
  namespace cuda = kernels::cuda;
  const int64_t *bounds = call.atBounds.data();
  switch (familyOf(call)) {
  case Family::Gemv:
    return cuda::kGemvBlock;
  case Family::Matmul: {
    cuda::Block block = cuda::kMatmulBlock;
    block.ownResident = operandBytes(call) == 2 ? block.ownResident : 0;
    return block;
  }
  case Family::Gather:
    return cuda::kGatherBlock;
  case Family::BatchMatmul:
    return cuda::batchMatmulBlock(bounds, operandBytes(call));
  case Family::Attention:
    return cuda::attentionBlock(bounds, operandBytes(call));
  case Family::Decode:
    return cuda::decodeBlock(bounds, operandBytes(call));
  case Family::Depthwise:
    return cuda::kDepthwiseBlock;
  case Family::Pool:
    return cuda::kPoolBlock;
  case Family::Conv:
  case Family::Vendor:
    break;
  }
  return cuda::convBlock(bounds, operandBytes(call));
}

int64_t workspaceOf(const LibraryCall &call) {
  ArrayRef<int64_t> a = call.atBounds;
  if (!call.cuda) {
    return 0;
  }
  switch (familyOf(call)) {
  case Family::Decode:
    return kernels::cuda::decodeWorkspace(a.data());
  case Family::Matmul:
    return operandBytes(call) == 2
               ? kernels::matmulWorkspace(a[kernels::kMatmulM], a[kernels::kMatmulN],
                                          a[kernels::kMatmulK])
               : 0;
  case Family::Vendor: {
    SmallVector<int64_t> extents{a[kernels::kVendorBatch], a[kernels::kVendorM],
                                 a[kernels::kVendorN]};
    if (call.function == kernels::kVendorConv) {
      int64_t rank = call.params[kernels::kVendorConvRank];
      extents = {a[kernels::kVendorConvN], a[kernels::kVendorConvOC]};
      extents.append(a.end() - rank, a.end());
    }
    int64_t results = 1;
    for (int64_t extent : extents) {
      if (__builtin_mul_overflow(results, extent, &results)) {
        results = INT64_MAX;
        break;
      }
    }
    return kernels::vendorWorkspace(results);
  }
  default:
    return 0;
  }
}

} // namespace ciuic::graph
