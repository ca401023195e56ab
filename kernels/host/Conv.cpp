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
constexpr int64_t kShortRun = 64;

// The part of the input under a unit's windows: pixel (y, x) at base + y·rowStride + x·pixelStride.
struct Strip {
  const float *base;
  int64_t rowStride, pixelStride;
};

struct Window {
  int64_t y, x, high, wide; // in the input; may leave it
};

template <typename V>
CIUIC_INLINE V loadAs(const float *p) {
  V v;
  __builtin_memcpy_inline(&v, p, sizeof v);
  return v;
}

// n floats in whole vectors, the last one overlapping.
template <typename V>
CIUIC_INLINE void copyVectors(float *to, const float *from, int64_t n) {
  constexpr int64_t lanes = sizeof(V) / sizeof(float);
  for (int64_t i = 0;; i += lanes) {
    i = least(i, n - lanes);
    const V v = loadAs<V>(from + i);
    __builtin_memcpy_inline(to + i, &v, sizeof v);
    if (i + lanes == n) {
      return;
    }
  }
}

typedef float v8f __attribute__((vector_size(32)));
typedef float v4f __attribute__((vector_size(16)));

CIUIC_INLINE void copyRun(float *to, const float *from, int64_t n) {
  if (n >= 16) {
    copyVectors<v16f>(to, from, n);
  } else if (n >= 8) {
    copyVectors<v8f>(to, from, n);
  } else if (n >= 4) {
    copyVectors<v4f>(to, from, n);
  } else {
    for (int64_t i = 0; i < n; ++i) {
      to[i] = from[i];
    }
  }
}

CIUIC_INLINE void clear(float *to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    to[i] = 0.0f;
  }
}

// `wide` pixels of input row y from x on, zeros outside; where all channels are wanted, the inside
// is one run.
void copyRow(const int64_t *args, const float *input, int64_t y, int64_t x, int64_t wide,
             int64_t channels, float *to) {
  const int64_t H = args[kConvInH], W = args[kConvInW], C = args[kConvInC];
  const int64_t from = y >= 0 && y < H ? least(wide, most(0, -x)) : wide;
  const int64_t end = most(from, least(wide, W - x));
  clear(to, from * channels);
  clear(to + end * channels, (wide - end) * channels);
  const float *at = input + (y * W + x) * C;
  if (channels == C) {
    copyRun(to + from * channels, at + from * C, (end - from) * C);
    return;
  }
  for (int64_t i = from; i < end; ++i) {
    copyRun(to + i * channels, at + i * C, channels);
  }
}

Strip copyPadded(const int64_t *args, const float *input, const Window &w, int64_t channels,
                 float *to) {
  for (int64_t y = 0; y < w.high; ++y) {
    copyRow(args, input, w.y + y, w.x, w.wide, channels, to + y * w.wide * channels);
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
    // Short runs of k (an image of three channels) stay in registers from one kernel row to the
    // next.
    const bool atOnce = together && depth < kShortRun;
    const int64_t tall = atOnce ? 1 : kernelH;
    const float *weights = reinterpret_cast<const float *>(ptrs[1]) + panel * K * kPanel;
    bool start = true;
    for (int64_t ky = 0; ky < tall; ++ky) {
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
                                        K * kPanel, kPanel, here, atOnce ? kernelH : 1,
                                        args[kConvDilationH] * strip.rowStride},
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
