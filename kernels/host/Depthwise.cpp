// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Depthwise convolution, channels last: a lane is a channel, and four neighbouring pixels share
// each weight they load. Two loads to each multiply-add for single pixels at the borders; bound by
// the first-level cache.
#include "kernels/host/Epilogue.h"
#include "kernels/host/Vector.h"

using namespace ciuic::kernels;

namespace {

constexpr int64_t kLd = kConvPanels * kPanel;

struct Range {
  int64_t from, to;
};

// Taps k of a kernel of `size` for which origin + k·dilation lies in [0, extent).
Range inside(int64_t origin, int64_t size, int64_t dilation, int64_t extent) {
  const int64_t from = origin >= 0 ? 0 : ceilDiv(-origin, dilation);
  const int64_t to = least(size, ceilDiv(most(0, extent - origin), dilation));
  return {from, most(from, to)};
}

struct Window {
  const int64_t *args;
  const float *filter; // of the panel, [taps][16]
  Range ys;
  int64_t lanes; // fewer than sixteen in the last panel
};

template <bool Whole>
CIUIC_INLINE v16f lanesAt(const float *p, int64_t lanes) {
  return Whole ? load(p) : loadPart(p, lanes);
}

// One pixel with the taps `xs` of a row; `input` points at tap (0, 0), which may lie outside.
template <bool Whole>
CIUIC_INLINE void single(const Window &w, const float *input, Range xs, float *acc) {
  const int64_t *args = w.args;
  const int64_t C = args[kConvInC];
  v16f sum = {};
  for (int64_t ky = w.ys.from; ky < w.ys.to; ++ky) {
    const float *at = input + ky * args[kConvDilationH] * args[kConvInW] * C;
    for (int64_t kx = xs.from; kx < xs.to; ++kx) {
      sum = fma(lanesAt<Whole>(at + kx * args[kConvDilationW] * C, w.lanes),
                load(w.filter + (ky * args[kConvKernelW] + kx) * kPanel), sum);
    }
  }
  store(acc, sum);
}

// P neighbouring pixels with all taps of a row inside.
template <int P, bool Whole>
CIUIC_INLINE void several(const Window &w, const float *input, float *acc) {
  const int64_t *args = w.args;
  const int64_t C = args[kConvInC], step = args[kConvStrideW] * C;
  v16f sum[P] = {};
  for (int64_t ky = w.ys.from; ky < w.ys.to; ++ky) {
    const float *row = input + ky * args[kConvDilationH] * args[kConvInW] * C;
    for (int64_t kx = 0; kx < args[kConvKernelW]; ++kx) {
      const float *at = row + kx * args[kConvDilationW] * C;
      const v16f f = load(w.filter + (ky * args[kConvKernelW] + kx) * kPanel);
#pragma unroll
      for (int i = 0; i < P; ++i) {
        sum[i] = fma(lanesAt<Whole>(at + i * step, w.lanes), f, sum[i]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < P; ++i) {
    store(acc + i * kLd, sum[i]);
  }
}

// The same for a kernel K wide without dilation: neighbours share inputs, each is loaded once a
// row.
template <int P, int K, int Stride>
CIUIC_INLINE void sliding(const Window &w, const float *input, float *acc) {
  const int64_t *args = w.args;
  const int64_t C = args[kConvInC];
  v16f sum[P] = {};
  for (int64_t ky = w.ys.from; ky < w.ys.to; ++ky) {
    const float *row = input + ky * args[kConvDilationH] * args[kConvInW] * C;
    v16f f[K];
#pragma unroll
    for (int kx = 0; kx < K; ++kx) {
      f[kx] = load(w.filter + (ky * K + kx) * kPanel);
    }
#pragma unroll
    for (int x = 0; x < (P - 1) * Stride + K; ++x) {
      const v16f v = load(row + x * C);
#pragma unroll
      for (int i = 0; i < P; ++i) {
        if (x - i * Stride >= 0 && x - i * Stride < K) {
          sum[i] = fma(v, f[x - i * Stride], sum[i]);
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < P; ++i) {
    store(acc + i * kLd, sum[i]);
  }
}

inline constexpr int kSide = kWide ? 8 : 4; // pixels side by side

template <bool Whole>
CIUIC_INLINE void many(const Window &w, const float *input, float *acc) {
  const int64_t K = w.args[kConvKernelW], stride = w.args[kConvStrideW];
  if (Whole && w.args[kConvDilationW] == 1 && stride <= 2 && (K == 3 || K == 5)) {
    if (K == 3) {
      stride == 1 ? sliding<kSide, 3, 1>(w, input, acc) : sliding<kSide, 3, 2>(w, input, acc);
    } else {
      stride == 1 ? sliding<kSide, 5, 1>(w, input, acc) : sliding<kSide, 5, 2>(w, input, acc);
    }
    return;
  }
  several<kSide, Whole>(w, input, acc);
}

template <bool Whole>
CIUIC_INLINE void row(const int64_t *args, const float *input, const float *filter, int64_t y,
                      int64_t x0, int64_t count, int64_t lanes, float *acc) {
  const int64_t C = args[kConvInC], W = args[kConvInW], step = args[kConvStrideW];
  const int64_t iy = y * args[kConvStrideH] - args[kConvPadTop];
  const Window w = {args, filter,
                    inside(iy, args[kConvKernelH], args[kConvDilationH], args[kConvInH]), lanes};
  const int64_t reach = (args[kConvKernelW] - 1) * args[kConvDilationW];
  for (int64_t x = 0; x < count;) {
    const int64_t ix = (x0 + x) * step - args[kConvPadLeft];
    const float *at = input + (iy * W + ix) * C;
    const bool within = ix >= 0 && ix + reach < W;
    if (within && x + kSide <= count && ix + (kSide - 1) * step + reach < W) {
      many<Whole>(w, at, acc + x * kLd);
      x += kSide;
    } else if (within && x + 2 <= count && ix + step + reach < W) {
      several<2, Whole>(w, at, acc + x * kLd);
      x += 2;
    } else {
      single<Whole>(w, at, inside(ix, args[kConvKernelW], args[kConvDilationW], W), acc + x * kLd);
      x += 1;
    }
  }
}

} // namespace

extern "C" void ciuic_conv_depthwise(const int64_t *args, ciuic_epilogue epilogue,
                                     char *const *ptrs, const int64_t *dims, const int64_t *params,
                                     int64_t begin, int64_t end, char *scratch) {
  const int64_t OH = args[kConvOutH], OW = args[kConvOutW], C = args[kConvInC];
  const int64_t taps = args[kConvKernelH] * args[kConvKernelW], unitRows = args[kConvUnitRows];
  const int64_t rowBlocks = ceilDiv(OH, unitRows), colBlocks = ceilDiv(OW, kConvPixels);
  const int64_t first = params[0], count = params[1] - params[0];
  float *acc = reinterpret_cast<float *>(scratch);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t x0 = unit % colBlocks * kConvPixels, y0 = unit / colBlocks % rowBlocks * unitRows;
    const int64_t n = unit / colBlocks / rowBlocks % args[kConvBatch];
    const int64_t panel = unit / colBlocks / rowBlocks / args[kConvBatch] * kConvPanels;
    const int64_t panels = least(kConvPanels, count - panel);
    const int64_t pixelCount = least(kConvPixels, OW - x0), col = (first + panel) * kPanel;
    const float *input =
        reinterpret_cast<const float *>(ptrs[0]) + n * args[kConvInH] * args[kConvInW] * C + col;
    const float *filter = reinterpret_cast<const float *>(ptrs[1]) + panel * taps * kPanel;
    for (int64_t y = y0; y < least(OH, y0 + unitRows); ++y) {
      for (int64_t p = 0; p < panels; ++p) {
        const int64_t lanes = least(kPanel, C - col - p * kPanel);
        const float *in = input + p * kPanel, *w = filter + p * taps * kPanel;
        if (lanes == kPanel) {
          row<true>(args, in, w, y, x0, pixelCount, lanes, acc + p * kPanel);
        } else {
          row<false>(args, in, w, y, x0, pixelCount, lanes, acc + p * kPanel);
        }
      }
      finish({acc, kLd, (n * OH + y) * OW + x0, pixelCount, col, least(panels * kPanel, C - col)},
             epilogue, ptrs, dims, 2, args[kConvLdc]);
    }
  }
}
