// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Depthwise convolution, channels last: a thread has one channel and a run of neighbouring pixels
// of a row, so that a warp's reads lie together and a weight is read once for the run. Sums are
// f32. Bound by the input: kernel height reads of each value from cache, once from memory.
#include "kernels/cuda/Abi.h"
#include "kernels/cuda/Tile.h"

using namespace ciuic::kernels;
using namespace ciuic::cuda;

namespace {

constexpr int kRun = 4;

template <typename T>
CIUIC_DEVICE void depthwise(const int64_t *args, char *const *ptrs, const int64_t *dims,
                            const int64_t *params) {
  const int64_t H = args[kConvInH], W = args[kConvInW], C = args[kConvInC];
  const int64_t OH = args[kConvOutH], OW = args[kConvOutW];
  const int64_t KH = args[kConvKernelH], KW = args[kConvKernelW], taps = KH * KW;
  const int64_t first = params[0] * kPanel, channels = least(C, params[1] * kPanel) - first;
  const int64_t runs = ceilDiv(OW, kRun);
  const int64_t count = channels > 0 ? args[kConvBatch] * OH * runs * channels : 0;
  const int64_t step = static_cast<int64_t>(blockCount()) * threadCount();
  for (int64_t i = static_cast<int64_t>(blockIndex()) * threadCount() + threadIndex(); i < count;
       i += step) {
    const int64_t local = i % channels, run = i / channels;
    const int64_t x0 = run % runs * kRun, y = run / runs % OH, n = run / runs / OH;
    const T *filter = reinterpret_cast<const T *>(ptrs[1]) + local * taps;
    const T *input = reinterpret_cast<const T *>(ptrs[0]) + n * H * W * C + first + local;
    float sum[kRun] = {};
    for (int64_t ky = 0; ky < KH; ++ky) {
      const int64_t iy = y * args[kConvStrideH] - args[kConvPadTop] + ky * args[kConvDilationH];
      if (iy < 0 || iy >= H) {
        continue;
      }
      for (int64_t kx = 0; kx < KW; ++kx) {
        const float weight = toFloat(filter[ky * KW + kx]);
#pragma unroll
        for (int r = 0; r < kRun; ++r) {
          const int64_t ix =
              (x0 + r) * args[kConvStrideW] - args[kConvPadLeft] + kx * args[kConvDilationW];
          if (ix >= 0 && ix < W) {
            sum[r] = fusedMultiplyAdd(toFloat(input[(iy * W + ix) * C]), weight, sum[r]);
          }
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kRun; ++r) {
      if (x0 + r < OW) {
        ciuic_epilogue(sum[r], (n * OH + y) * OW + x0 + r, first + local, ptrs, dims);
      }
    }
  }
}

} // namespace

CIUIC_LIBRARY(ciuic_cuda_conv_depthwise_f32) { depthwise<float>(args, ptrs, dims, params); }
CIUIC_LIBRARY(ciuic_cuda_conv_depthwise_f16) { depthwise<Half>(args, ptrs, dims, params); }
CIUIC_LIBRARY(ciuic_cuda_conv_depthwise_bf16) { depthwise<BFloat>(args, ptrs, dims, params); }
