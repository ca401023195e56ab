// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Calls of vendor libraries as launches of kernels without code: the order of their pointers,
// params and shape. The compiler writes them, the rules check them, a device makes them.
//
// cublaslt.matmul: D = A B [+ bias] [+ residual], row-major, fp32 accumulation.
//   pointers  A, B, [bias], [residual], D, workspace
//   params    {type A, type B, type D, trans A, trans B, epilogue, choice, choice's rows}
//             [+ {first panel, end panel}]
//             types are DType; a transposed A lies as [K, M], a transposed B as [N, K]; the choice
//             is the place of the algorithm among the library's heuristics for M = the choice's
//             rows, other M take the first
//   shape     {batch, M, N, K, lda, ldb, ldc, stride A, stride B, stride C}, in elements; ldc and
//             stride C are those of D and of the residual; the bias has N elements of type D
// With panels, B is a run of panels of layout rows16 (its pointer is panel `first`) and the call
// makes the columns 16 first … min(16 end, N) - 1 of D; D, bias and residual are the whole ones.
//
// cudnn.conv: Y = X * W [+ bias] [+ residual], channels last, fp32 accumulation, no reduced
// precision.
//   pointers  X, W, [bias], [residual], Y, workspace
//   params    {type, rank R of 1 to 3, epilogue, groups, then R each of: kernel, strides, padding
//             before, padding after, dilations}; all operands have the one type
//   shape     {N, C, OC, R extents of X, R extents of Y}
//   X is [N, in…, C], W is [OC, kernel…, C / groups] (layout rows16: one run of panels), the bias
//   has OC elements, residual and Y are [N, out…, OC]. In f32 a residual comes with a bias: cuDNN
//   has no exact plan for it alone.
#pragma once

#include "runtime/base/Status.h"
#include "runtime/format/program_generated.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace ciuic::format {

inline constexpr std::string_view kCublasLtMatmul = "cublaslt.matmul";
inline constexpr std::string_view kCudnnConv = "cudnn.conv";
inline constexpr int64_t kPanelColumns = 16;
inline constexpr int64_t kMostChoice = 63;
enum MatmulEpilogue : int64_t { kEpilogueNone = 0, kEpilogueBias = 1, kEpilogueResidual = 2 };

struct MatmulCall {
  DType typeA, typeB, typeD;
  bool transA, transB;
  bool bias, residual;
  int64_t choice, choiceRows;
  bool panels;
  int64_t firstPanel, endPanel;
  size_t pointers() const { return 4 + size_t(bias) + size_t(residual); }
};

/// The extents as the launch's shape has them.
struct MatmulShape {
  static constexpr size_t kValues = 10;
  int64_t batch, m, n, k, lda, ldb, ldc, strideA, strideB, strideC;
  static MatmulShape of(std::span<const int64_t> values);
};

/// Bytes that the call touches from each pointer on; all zero when it makes nothing.
struct MatmulBytes {
  int64_t a, b, bias, residual, d;
};

struct ConvCall {
  DType type;
  int rank;
  bool bias, residual;
  int64_t groups;
  int64_t kernel[3], strides[3], before[3], after[3], dilations[3];
  size_t pointers() const { return 4 + size_t(bias) + size_t(residual); }
  size_t extents() const { return 3 + 2 * size_t(rank); }
};

struct ConvShape {
  int64_t n, c, oc, in[3], out[3];
  static ConvShape of(const ConvCall &call, std::span<const int64_t> values);
};

/// True for a name that a kernel without code may have.
bool isVendorCall(std::string_view symbol);
/// Reads the params of a matmul; nothing when they are not a call that this page describes.
std::optional<MatmulCall> parseMatmul(std::span<const int64_t> params, size_t pointers);
/// Nothing when an extent is negative, a leading dimension is too small, K is 0 or a size
/// overflows.
std::optional<MatmulBytes> matmulBytes(const MatmulCall &call, const MatmulShape &shape);

std::optional<ConvCall> parseConv(std::span<const int64_t> params, size_t pointers);
/// True where Y has the extents that X, kernel, strides, padding and dilations make.
bool convFits(const ConvCall &call, const ConvShape &shape);

/// Of any vendor call: how many extents it has, and the bytes it touches from each pointer on, the
/// workspace left out. Nothing where params and extents are not such a call.
std::optional<size_t> vendorExtents(std::string_view symbol, std::span<const int64_t> params,
                                    size_t pointers);
std::optional<std::vector<int64_t>> vendorBytes(std::string_view symbol,
                                                std::span<const int64_t> params, size_t pointers,
                                                std::span<const int64_t> shape);

} // namespace ciuic::format
