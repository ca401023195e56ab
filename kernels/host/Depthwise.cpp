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

// P pixels, `step` apart in the input; input points at tap (0, 0) of the first, which may lie
// outside.
template <int P, bool Whole>
CIUIC_INLINE void pixels(const int64_t *args, const float *input, int64_t step, const float *filter,
                         Range ys, Range xs, int64_t lanes, float *acc) {
  const int64_t C = args[kConvInC], kernelW = args[kConvKernelW];
  v16f sum[P] = {};
  for (int64_t ky = ys.from; ky < ys.to; ++ky) {
    const float *row = input + ky * args[kConvDilationH] * args[kConvInW] * C;
    for (int64_t kx = xs.from; kx < xs.to; ++kx) {
      const float *at = row + kx * args[kConvDilationW] * C;
      const v16f w = load(filter + (ky * kernelW + kx) * kPanel);
#pragma unroll
      for (int i = 0; i < P; ++i) {
        sum[i] = fma(Whole ? load(at + i * step) : loadPart(at + i * step, lanes), w, sum[i]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < P; ++i) {
    store(acc + i * kLd, sum[i]);
  }
}

template <bool Whole>
CIUIC_INLINE void row(const int64_t *args, const float *input, const float *filter, int64_t y,
                      int64_t x0, int64_t count, int64_t lanes, float *acc) {
  const int64_t C = args[kConvInC], W = args[kConvInW];
  const int64_t iy = y * args[kConvStrideH] - args[kConvPadTop];
  const Range ys = inside(iy, args[kConvKernelH], args[kConvDilationH], args[kConvInH]);
  const int64_t reach = (args[kConvKernelW] - 1) * args[kConvDilationW];
  const int64_t step = args[kConvStrideW];
  for (int64_t x = 0; x < count;) {
    const int64_t ix = (x0 + x) * step - args[kConvPadLeft];
    const float *at = input + (iy * W + ix) * C;
    if (x + 4 <= count && ix >= 0 && ix + 3 * step + reach < W) {
      pixels<4, Whole>(args, at, step * C, filter, ys, {0, args[kConvKernelW]}, lanes,
                       acc + x * kLd);
      x += 4;
    } else {
      const Range xs = inside(ix, args[kConvKernelW], args[kConvDilationW], W);
      pixels<1, Whole>(args, at, 0, filter, ys, xs, lanes, acc + x * kLd);
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
