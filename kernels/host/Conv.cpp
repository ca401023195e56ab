// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Direct convolution, channels last, as the matmul it is: for a fixed row ky of the kernel, the
// values (kx, c) of a pixel lie together in the input and the pixels of a row lie one stride apart,
// so the microkernel reads them in place. A unit is some rows by 48 pixels by 4 panels. Where its
// windows leave the input, or channels come in groups, it first copies what it reads to scratch,
// padded with zeros: a small part of the work, since each value read takes part in ky · kx · 64
// products.
#include "kernels/host/Blocking.h"
#include "kernels/host/Epilogue.h"
#include "kernels/host/Microkernel.h"

using namespace ciuic::kernels;

namespace {

constexpr int64_t kLd = kConvPanels * kPanel;

// The part of the input under a unit's windows: pixel (y, x) at base + y·rowStride + x·pixelStride.
struct Strip {
  const float *base;
  int64_t rowStride, pixelStride;
};

struct Window {
  int64_t y, x, high, wide; // in the input; may leave it
};

void copyPixel(float *to, const float *from, int64_t channels) {
  int64_t c = 0;
  for (; c + kPanel <= channels; c += kPanel) {
    store(to + c, load(from + c));
  }
  for (; c < channels; ++c) {
    to[c] = from[c];
  }
}

Strip copyPadded(const int64_t *args, const float *input, const Window &w, int64_t channels,
                 float *to) {
  const int64_t H = args[kConvInH], W = args[kConvInW], C = args[kConvInC];
  for (int64_t y = 0; y < w.high; ++y) {
    for (int64_t x = 0; x < w.wide; ++x) {
      float *pixel = to + (y * w.wide + x) * channels;
      const int64_t iy = w.y + y, ix = w.x + x;
      if (iy >= 0 && iy < H && ix >= 0 && ix < W) {
        copyPixel(pixel, input + (iy * W + ix) * C, channels);
      } else {
        for (int64_t c = 0; c < channels; ++c) {
          pixel[c] = 0.0f;
        }
      }
    }
  }
  return {to, w.wide * channels, channels};
}

} // namespace

extern "C" void ciuic_conv(const int64_t *args, ciuic_epilogue epilogue, char *const *ptrs,
                           const int64_t *dims, const int64_t *params, int64_t begin, int64_t end,
                           char *scratch) {
  const int64_t H = args[kConvInH], W = args[kConvInW], OH = args[kConvOutH], OW = args[kConvOutW];
  const int64_t groups = args[kConvGroups], kernelH = args[kConvKernelH],
                kernelW = args[kConvKernelW];
  const int64_t channels = args[kConvInC] / groups, columns = args[kConvOutC] / groups;
  const int64_t K = kernelH * kernelW * channels, perGroup = ceilDiv(columns, kPanel);
  const int64_t unitRows = args[kConvUnitRows], perUnit = groups == 1 ? kConvPanels : 1;
  const int64_t rowBlocks = ceilDiv(OH, unitRows), colBlocks = ceilDiv(OW, kConvPixels);
  const int64_t first = params[0], count = params[1] - params[0];
  float *acc = reinterpret_cast<float *>(scratch);
  float *copy = acc + unitRows * kConvPixels * kLd;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t x0 = unit % colBlocks * kConvPixels, y0 = unit / colBlocks % rowBlocks * unitRows;
    const int64_t n = unit / colBlocks / rowBlocks % args[kConvBatch];
    const int64_t panel = unit / colBlocks / rowBlocks / args[kConvBatch] * perUnit;
    const int64_t panels = least(perUnit, count - panel);
    const int64_t group = (first + panel) / perGroup, inGroup = (first + panel) % perGroup;
    // Blocks of nearly equal width: 56 pixels are 28 + 28.
    const int64_t block = ceilDiv(OW, colBlocks), x = x0 / kConvPixels * block;
    const int64_t pixels = least(block, OW - x), rows = least(unitRows, OH - y0);
    if (pixels <= 0) {
      continue;
    }
    const Window window = {
        y0 * args[kConvStrideH] - args[kConvPadTop], x * args[kConvStrideW] - args[kConvPadLeft],
        (rows - 1) * args[kConvStrideH] + (kernelH - 1) * args[kConvDilationH] + 1,
        (pixels - 1) * args[kConvStrideW] + (kernelW - 1) * args[kConvDilationW] + 1};
    const float *input =
        reinterpret_cast<const float *>(ptrs[0]) + n * H * W * args[kConvInC] + group * channels;
    const bool inside = window.y >= 0 && window.x >= 0 && window.y + window.high <= H &&
                        window.x + window.wide <= W;
    const Strip strip = inside && groups == 1 ? Strip{input + (window.y * W + window.x) * channels,
                                                      W * channels, channels}
                                              : copyPadded(args, input, window, channels, copy);
    const bool together = args[kConvDilationW] == 1;
    const int64_t runs = together ? 1 : kernelW, depth = together ? kernelW * channels : channels;
    const float *weights = reinterpret_cast<const float *>(ptrs[1]) + panel * K * kPanel;
    bool start = true;
    for (int64_t ky = 0; ky < kernelH; ++ky) {
      for (int64_t run = 0; run < runs; ++run) {
        const float *a = strip.base + ky * args[kConvDilationH] * strip.rowStride +
                         run * args[kConvDilationW] * strip.pixelStride;
        const float *b = weights + (ky * runs + run) * depth * kPanel;
        for (int64_t k = 0; k < depth || start; k += kDepthBlock) {
          const int64_t here = most(0, least(kDepthBlock, depth - k));
          for (int64_t y = 0; y < rows; ++y) {
            multiplyBlock<false, true>(pixels, panels,
                                       {a + y * args[kConvStrideH] * strip.rowStride + k,
                                        args[kConvStrideW] * strip.pixelStride, b + k * kPanel,
                                        K * kPanel, kPanel, here},
                                       acc + y * kConvPixels * kLd, kLd, start);
          }
          start = false;
        }
      }
    }
    const int64_t cols = least(panels * kPanel, columns - inGroup * kPanel);
    for (int64_t y = 0; y < rows; ++y) {
      finish({acc + y * kConvPixels * kLd, kLd, (n * OH + y0 + y) * OW + x, pixels,
              group * columns + inGroup * kPanel, cols},
             epilogue, ptrs, dims, 2, args[kConvLdc]);
    }
  }
}
