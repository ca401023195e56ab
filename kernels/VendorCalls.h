// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Library functions of a GPU's vendor that a program may call: kernels without code. The compiler
// writes their shape (expressions, evaluated per run) and params (constants of the step) in the
// order given here, the runtime reads them. Plain constants: nothing else may be included.
#pragma once

#include <cstdint>

namespace ciuic::kernels {

/// D[b] = A[b] × B[b] (+ bias) (+ residual), everything row-major: D is [M, N] with row stride ldc,
/// residual lies as D does, bias is [N] and the same for every b. Sums in f32, no TF32; bias and
/// residual are added before D is rounded.
///   pointers: A, B, [bias], [residual], D, workspace.
/// With transA, A is stored [K, M], else [M, K], row stride lda; with transB, B is stored [N, K],
/// else [K, N], row stride ldb. Strides are elements from one b to the next; 0 repeats the operand.
/// A weight in panels (rows16) is one [N, K] matrix: transB is set and two params follow,
/// {first panel, end panel}: columns 16 · first … min(16 · end, N) of D are computed, B's pointer
/// points at panel `first`.
inline constexpr char kVendorMatmul[] = "cublaslt.matmul";

enum VendorMatmulShape {
  kVendorBatch,
  kVendorM,
  kVendorN,
  kVendorK,
  kVendorLda,
  kVendorLdb,
  kVendorLdc,
  kVendorStrideA,
  kVendorStrideB,
  kVendorStrideC,
  kVendorMatmulShape
};

enum VendorMatmulParam {
  kVendorTypeA,
  kVendorTypeB,
  kVendorTypeD,
  kVendorTransA,
  kVendorTransB,
  kVendorEpilogue,
  kVendorChoice, ///< which of the library's heuristics to take, from 0; for kVendorChoiceRows rows
                 ///< (M) alone, others take the first
  kVendorChoiceRows,
  kVendorMatmulParams,
  kVendorFirstPanel = kVendorMatmulParams,
  kVendorEndPanel
};

/// Y = X * W (+ bias) (+ residual), channels last: X is [N, in…, C], W is [OC, kernel…, C / groups]
/// (a weight in one run of panels, rows16), bias has OC elements, residual and Y are [N, out…, OC].
/// One type, sums in f32.
///   pointers: X, W, [bias], [residual], Y, workspace.
///   params: type, rank R of 1 to 3, epilogue, groups, then R each of kernel, strides, padding
///   before, padding after, dilations.   shape: N, C, OC, R extents of X, R extents of Y.
inline constexpr char kVendorConv[] = "cudnn.conv";
enum VendorConvParam {
  kVendorConvType,
  kVendorConvRank,
  kVendorConvEpilogue,
  kVendorConvGroups,
  kVendorConvWindow
};
enum VendorConvShape { kVendorConvN, kVendorConvC, kVendorConvOC, kVendorConvExtents };

/// Bits of an epilogue; the pointers behind them stand in this order.
enum VendorEpilogue : int64_t { kVendorBias = 1, kVendorResidual = 2 };

/// Element types, numbered as in a program's metadata (DType).
enum VendorType : int64_t { kVendorF32 = 1, kVendorF16 = 2, kVendorBF16 = 3 };

/// The workspace of a call with this many products (M · N · batch at the bounds).
constexpr int64_t vendorWorkspace(int64_t results) {
  return results <= 65536 ? int64_t(4) << 20 : int64_t(32) << 20;
}

} // namespace ciuic::kernels
