// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Maximum and average over windows, channels last: a thread per result, neighbours in the channels,
// so that a warp's reads lie together. Sums are f32. Reads each input value about (kernel /
// stride)² times, all but once from cache.
#include "kernels/cuda/Abi.h"
#include "kernels/cuda/Tile.h"

using namespace ciuic::kernels;
using namespace ciuic::cuda;

namespace {

/// Taps of one dim inside the input, and how many lie in the padded input.
struct Reach {
  int64_t from, to, padded;
  CIUIC_DEVICE Reach(int64_t origin, int64_t size, int64_t dilation, int64_t extent,
                     int64_t padAfter) {
    from = origin >= 0 ? 0 : ceilDiv(-origin, dilation);
    to = most(from, least(size, ceilDiv(most(int64_t(0), extent - origin), dilation)));
    padded = least(size, ceilDiv(most(int64_t(0), extent + padAfter - origin), dilation));
  }
};

template <typename T>
CIUIC_DEVICE void pool(const int64_t *args, char *const *ptrs, const int64_t *dims) {
  const int64_t H = args[kPoolInH], W = args[kPoolInW], C = args[kPoolC];
  const int64_t OH = args[kPoolOutH], OW = args[kPoolOutW];
  const int64_t count = args[kPoolBatch] * OH * OW * C;
  const int64_t step = static_cast<int64_t>(blockCount()) * threadCount();
  for (int64_t i = static_cast<int64_t>(blockIndex()) * threadCount() + threadIndex(); i < count;
       i += step) {
    const int64_t c = i % C, pixel = i / C, x = pixel % OW, y = pixel / OW % OH;
    const int64_t n = pixel / OW / OH;
    const int64_t iy = y * args[kPoolStrideH] - args[kPoolPadTop];
    const int64_t ix = x * args[kPoolStrideW] - args[kPoolPadLeft];
    const Reach ys(iy, args[kPoolKernelH], args[kPoolDilationH], H, args[kPoolPadBottom]);
    const Reach xs(ix, args[kPoolKernelW], args[kPoolDilationW], W, args[kPoolPadRight]);
    const T *at = reinterpret_cast<const T *>(ptrs[0]) + ((n * H + iy) * W + ix) * C + c;
    float value = args[kPoolMax] ? -__builtin_huge_valf() : 0.0f;
    for (int64_t ky = ys.from; ky < ys.to; ++ky) {
      for (int64_t kx = xs.from; kx < xs.to; ++kx) {
        const float v =
            toFloat(at[(ky * args[kPoolDilationH] * W + kx * args[kPoolDilationW]) * C]);
        value = args[kPoolMax] ? (v > value || v != v ? v : value) : value + v;
      }
    }
    if (!args[kPoolMax]) {
      value /= static_cast<float>(args[kPoolCountPadding] ? ys.padded * xs.padded
                                                          : (ys.to - ys.from) * (xs.to - xs.from));
    }
    ciuic_epilogue(value, pixel, c, ptrs, dims);
  }
}

} // namespace

CIUIC_LIBRARY(ciuic_cuda_pool_f32) { pool<float>(args, ptrs, dims); }
CIUIC_LIBRARY(ciuic_cuda_pool_f16) { pool<Half>(args, ptrs, dims); }
CIUIC_LIBRARY(ciuic_cuda_pool_bf16) { pool<BFloat>(args, ptrs, dims); }
