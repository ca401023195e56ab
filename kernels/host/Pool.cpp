// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Maximum and average over windows, channels last; a unit is a row of output pixels. Reads each
// input value about (kernel / stride)² times from cache; bound by memory.
#include "kernels/host/Epilogue.h"
#include "kernels/host/Vector.h"

using namespace ciuic::kernels;

namespace {

struct Taps {
  int64_t from, to;
  int64_t padded; // how many lie in the padded input
};

Taps tapsOf(int64_t origin, int64_t size, int64_t dilation, int64_t extent, int64_t padAfter) {
  const int64_t from = origin >= 0 ? 0 : ceilDiv(-origin, dilation);
  const int64_t to = least(size, ceilDiv(most(0, extent - origin), dilation));
  return {from, most(from, to),
          least(size, ceilDiv(most(0, extent + padAfter - origin), dilation))};
}

template <bool Max, bool Whole>
CIUIC_INLINE v16f window(const int64_t *args, const float *at, Taps ys, Taps xs, int64_t lanes) {
  v16f value = Max ? splat(-__builtin_huge_valf()) : v16f{};
  for (int64_t ky = ys.from; ky < ys.to; ++ky) {
    for (int64_t kx = xs.from; kx < xs.to; ++kx) {
      const float *p =
          at +
          (ky * args[kPoolDilationH] * args[kPoolInW] + kx * args[kPoolDilationW]) * args[kPoolC];
      const v16f v = Whole ? load(p) : loadPart(p, lanes);
      value = Max ? max(v, value) : value + v;
    }
  }
  return value;
}

template <bool Max>
CIUIC_INLINE void pixel(const int64_t *args, const float *at, Taps ys, Taps xs, float *out) {
  const int64_t C = args[kPoolC];
  const int64_t counted =
      args[kPoolCountPadding] ? ys.padded * xs.padded : (ys.to - ys.from) * (xs.to - xs.from);
  const v16f divisor = splat(static_cast<float>(counted));
  for (int64_t c = 0; c < C; c += kPanel) {
    const int64_t lanes = least(kPanel, C - c);
    const v16f value = lanes == kPanel ? window<Max, true>(args, at + c, ys, xs, lanes)
                                       : window<Max, false>(args, at + c, ys, xs, lanes);
    store(out + c, Max ? value : value / divisor);
  }
}

} // namespace

extern "C" void ciuic_pool(const int64_t *args, ciuic_epilogue epilogue, char *const *ptrs,
                           const int64_t *dims, const int64_t *, int64_t begin, int64_t end,
                           char *scratch) {
  const int64_t H = args[kPoolInH], W = args[kPoolInW], C = args[kPoolC], OW = args[kPoolOutW];
  float *out = reinterpret_cast<float *>(scratch);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t n = unit / args[kPoolOutH], y = unit % args[kPoolOutH];
    const int64_t iy = y * args[kPoolStrideH] - args[kPoolPadTop];
    const Taps ys = tapsOf(iy, args[kPoolKernelH], args[kPoolDilationH], H, args[kPoolPadBottom]);
    for (int64_t x = 0; x < OW; ++x) {
      const int64_t ix = x * args[kPoolStrideW] - args[kPoolPadLeft];
      const Taps xs = tapsOf(ix, args[kPoolKernelW], args[kPoolDilationW], W, args[kPoolPadRight]);
      const float *at = reinterpret_cast<const float *>(ptrs[0]) + ((n * H + iy) * W + ix) * C;
      if (args[kPoolMax]) {
        pixel<true>(args, at, ys, xs, out);
      } else {
        pixel<false>(args, at, ys, xs, out);
      }
      finish({out, C, unit * OW + x, 1, 0, C}, epilogue, ptrs, dims, 1, args[kPoolLdc]);
    }
  }
}
