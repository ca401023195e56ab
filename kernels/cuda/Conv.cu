// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Convolution and transposed convolution, channels last, as products (Product.h) whose rows are
// output pixels, whose columns are output channels and whose depth is (tap, channel): windows are
// gathered on their way to shared memory, never written out.
//
// Transposed: an output pixel (y, x) takes input (iy, ix) through tap (ky, kx) where y + pad −
// ky·dilation = iy·stride, likewise for x. Pixels with the same remainders by the strides take the
// same taps, so a tile is made of such, and its depth has these taps only.
//
//   2 · pixels · channels · taps · columns operations; reads the input once per tile of columns,
//   the filter once per tile of pixels. H100, f16, 3×3, batch 2: 64²·320 channels 57 µs (263
//   TFLOP/s), 32²·640 60, 16²·1280 87, 8²·1280 81; cuDNN through torch 37, 36, 35 and 25: few tiles
//   leave most of the chip idle, and a tile's loads are not far enough ahead.
#include "kernels/cuda/Product.h"

using namespace ciuic::cuda;

namespace {

/// The taps of one spatial dim that a tile's pixels take: kernel index first + i · step, at input
/// coordinate origin + i · shift, with the pixel's own part of origin `scale` times its index.
struct Axis {
  int count, first, step, shift, origin, scale;
};

CIUIC_DEVICE Axis plainAxis(int size, int stride, int pad, int dilation) {
  return {size, 0, 1, dilation, -pad, stride};
}

/// Of the output coordinates `phase` + i · stride.
CIUIC_DEVICE Axis transposedAxis(int size, int stride, int pad, int dilation, int phase) {
  int common = stride, rest = dilation % stride;
  while (rest) {
    const int next = common % rest;
    common = rest;
    rest = next;
  }
  const int step = stride / common;
  int first = 0;
  while (first < step && first < size && (phase + pad - first * dilation) % stride != 0) {
    ++first;
  }
  if (first >= step || first >= size) {
    return {0, 0, 1, 0, 0, 1};
  }
  return {(size - first + step - 1) / step,          first, step, -(dilation / common),
          (phase + pad - first * dilation) / stride, 1};
}

struct Taps {
  Axis y, x;
  int channels; ///< of a group
  int kernelWidth;

  CIUIC_DEVICE int depth() const { return y.count * x.count * channels; }
};

/// One place in the depth.
struct Place {
  int channel, ty, tx;
  CIUIC_DEVICE Place(const Taps &taps, int k) {
    const int tap =
        static_cast<int>(static_cast<unsigned>(k) / static_cast<unsigned>(taps.channels));
    channel = k - tap * taps.channels;
    ty = static_cast<int>(static_cast<unsigned>(tap) / static_cast<unsigned>(taps.x.count));
    tx = tap - ty * taps.x.count;
  }
};

/// Rows: windows of the input at pixels. A thread copies the same chunk column of every kRowStep-th
/// row.
template <typename T, int Rows>
struct WindowTile {
  static constexpr bool Deep = true;
  static constexpr int kOwn = Rows * kProductChunks / kProductThreads;
  Taps taps;
  const T *input; ///< The group's first channel.
  int height, width, pixelStride;
  bool vectors;
  int64_t image[kOwn]; ///< Element offset of the row's image; −1 where there is no row.
  int y[kOwn], x[kOwn];

  CIUIC_DEVICE bool inside(int i, int iy, int ix) const {
    return image[i] >= 0 && static_cast<unsigned>(iy) < static_cast<unsigned>(height) &&
           static_cast<unsigned>(ix) < static_cast<unsigned>(width);
  }

  CIUIC_DEVICE void load(uint32_t to, int step) const {
    const int c = threadIndex() % kProductChunks, row0 = threadIndex() / kProductChunks;
    const int k = step * kStep<T> + c * kChunk<T>, depth = taps.depth();
    if (vectors) {
      const Place place(taps, least(k, depth - 1));
      const int dy = place.ty * taps.y.shift, dx = place.tx * taps.x.shift;
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        const int iy = y[i] + dy, ix = x[i] + dx;
        const bool there = k < depth && inside(i, iy, ix);
        const int64_t at =
            there ? image[i] + static_cast<int64_t>(iy * width + ix) * pixelStride + place.channel
                  : 0;
        copyChunk(to + DeepLayout::at(row0 + i * kRowStep, c), input + at, there ? 16 : 0);
      }
      return;
    }
#pragma unroll 1
    for (int e = 0; e < kChunk<T>; ++e) {
      const bool deep = k + e < depth;
      const Place place(taps, deep ? k + e : 0);
      const int dy = place.ty * taps.y.shift, dx = place.tx * taps.x.shift;
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        const int iy = y[i] + dy, ix = x[i] + dx;
        const bool there = deep && inside(i, iy, ix);
        storeElement(to + DeepLayout::at(row0 + i * kRowStep, c) + e * sizeof(T),
                     there ? input[image[i] + static_cast<int64_t>(iy * width + ix) * pixelStride +
                                   place.channel]
                           : T());
      }
    }
  }
};

/// Columns: filters, [column][tap][channel].
template <typename T, int Columns>
struct FilterTile {
  static constexpr bool Deep = true;
  static constexpr int kOwn = Columns * kProductChunks / kProductThreads;
  Taps taps;
  const T *filter;
  int64_t stride;
  int low, high; ///< Columns of the tile that exist.
  bool vectors;

  CIUIC_DEVICE int64_t offset(const Place &place) const {
    return static_cast<int64_t>((taps.y.first + place.ty * taps.y.step) * taps.kernelWidth +
                                taps.x.first + place.tx * taps.x.step) *
               taps.channels +
           place.channel;
  }

  CIUIC_DEVICE void load(uint32_t to, int step) const {
    const int c = threadIndex() % kProductChunks, row0 = threadIndex() / kProductChunks;
    const int k = step * kStep<T> + c * kChunk<T>, depth = taps.depth();
    if (vectors) {
      const int64_t at = offset(Place(taps, least(k, depth - 1)));
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        const int row = row0 + i * kRowStep;
        const bool there = k < depth && row >= low && row < high;
        copyChunk(to + DeepLayout::at(row, c), filter + (there ? row * stride + at : 0),
                  there ? 16 : 0);
      }
      return;
    }
#pragma unroll 1
    for (int e = 0; e < kChunk<T>; ++e) {
      const bool deep = k + e < depth;
      const int64_t at = offset(Place(taps, deep ? k + e : 0));
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        const int row = row0 + i * kRowStep;
        const bool there = deep && row >= low && row < high;
        storeElement(to + DeepLayout::at(row, c) + e * sizeof(T),
                     there ? filter[row * stride + at] : T());
      }
    }
  }
};

template <typename T, int Tile, bool Transposed>
CIUIC_DEVICE void convolveTiles(const int64_t *args, char *const *ptrs, const int64_t *dims,
                                const int64_t *params) {
  const int H = static_cast<int>(args[kConvInH]), W = static_cast<int>(args[kConvInW]);
  const int OH = static_cast<int>(args[kConvOutH]), OW = static_cast<int>(args[kConvOutW]);
  const int C = static_cast<int>(args[kConvInC]), groups = static_cast<int>(args[kConvGroups]);
  const int KH = static_cast<int>(args[kConvKernelH]), KW = static_cast<int>(args[kConvKernelW]);
  const int strideH = static_cast<int>(args[kConvStrideH]);
  const int strideW = static_cast<int>(args[kConvStrideW]);
  const int padTop = static_cast<int>(args[kConvPadTop]);
  const int padLeft = static_cast<int>(args[kConvPadLeft]);
  const int dilationH = static_cast<int>(args[kConvDilationH]);
  const int dilationW = static_cast<int>(args[kConvDilationW]);
  const int channels = C / groups, columns = static_cast<int>(args[kConvOutC]) / groups;
  const int perGroup = (columns + 15) / 16, groupTiles = (perGroup * 16 + Tile - 1) / Tile;
  const int first = static_cast<int>(params[0]), end = static_cast<int>(params[1]);
  // With one group, tiles begin at the launch's first panel.
  const int columnTiles =
      groups == 1 ? ((end - first) * 16 + Tile - 1) / Tile : groups * groupTiles;
  const int phasesH = Transposed ? least(strideH, OH) : 1,
            phasesW = Transposed ? least(strideW, OW) : 1;
  const int mostH = (OH + phasesH - 1) / most(1, phasesH);
  const int mostW = (OW + phasesW - 1) / most(1, phasesW);
  const int64_t pixelTiles = ceilDiv(args[kConvBatch] * mostH * mostW, Tile);
  const int64_t units = pixelTiles * phasesH * phasesW * columnTiles;
  const int64_t filterStride = static_cast<int64_t>(KH) * KW * channels;
  const bool vectors = channels % kChunk<T> == 0 && isAligned(ptrs[0]) && isAligned(ptrs[1]);
#pragma unroll 1
  for (int64_t unit = blockIndex(); unit < units; unit += blockCount()) {
    const int columnTile = static_cast<int>(unit % columnTiles);
    const int phase = static_cast<int>(unit / columnTiles % (phasesH * phasesW));
    const int64_t pixel0 = unit / columnTiles / (phasesH * phasesW) * Tile;
    const int group = groups == 1 ? 0 : columnTile / groupTiles;
    const int panel = groups == 1 ? first + columnTile * (Tile / 16)
                                  : group * perGroup + columnTile % groupTiles * (Tile / 16);
    const int inGroup = (panel - group * perGroup) * 16; // the tile's first column in the group
    const int low = most(0, (first - panel) * 16);
    const int high = least(least(Tile, columns - inGroup), (end - panel) * 16);
    const int phaseY = phase / phasesW, phaseX = phase % phasesW;
    // Pixels of this phase: phaseY + i · strideH.
    const int tall = Transposed ? (OH - phaseY + strideH - 1) / strideH : OH;
    const int wide = Transposed ? (OW - phaseX + strideW - 1) / strideW : OW;
    const int64_t pixels = args[kConvBatch] * tall * wide;
    if (low >= high || pixel0 >= pixels) {
      continue;
    }
    const Taps taps = {Transposed ? transposedAxis(KH, strideH, padTop, dilationH, phaseY)
                                  : plainAxis(KH, strideH, padTop, dilationH),
                       Transposed ? transposedAxis(KW, strideW, padLeft, dilationW, phaseX)
                                  : plainAxis(KW, strideW, padLeft, dilationW),
                       channels, KW};
    WindowTile<T, Tile> windows = {
        taps, reinterpret_cast<const T *>(ptrs[0]) + group * channels, H, W, C, vectors, {}, {},
        {}};
#pragma unroll
    for (int i = 0; i < windows.kOwn; ++i) {
      const int64_t pixel = pixel0 + threadIndex() / kProductChunks + i * kRowStep;
      const int64_t line = pixel / wide, n = line / tall;
      windows.image[i] = pixel < pixels ? n * H * W * C : -1;
      windows.y[i] = static_cast<int>(line - n * tall) * taps.y.scale + taps.y.origin;
      windows.x[i] = static_cast<int>(pixel - line * wide) * taps.x.scale + taps.x.origin;
    }
    const FilterTile<T, Tile> filters = {taps,
                                         reinterpret_cast<const T *>(ptrs[1]) +
                                             static_cast<int64_t>(panel - first) * 16 *
                                                 filterStride,
                                         filterStride,
                                         low,
                                         high,
                                         vectors};
    auto rowOf = [&](int r) CIUIC_INLINED {
      const int64_t pixel = pixel0 + r;
      if (!Transposed || pixel >= pixels) {
        return pixel < pixels ? pixel : int64_t(-1);
      }
      const int64_t line = pixel / wide, n = line / tall;
      const int64_t y = (line - n * tall) * strideH + phaseY,
                    x = (pixel - line * wide) * strideW + phaseX;
      return (n * OH + y) * OW + x;
    };
    const Destination<decltype(rowOf)> to = {
        rowOf, low, high, static_cast<int64_t>(group) * columns + inGroup, ptrs, dims};
    TileProduct<T, Tile>::run(windows, filters, (taps.depth() + kStep<T> - 1) / kStep<T>, to);
  }
}

template <typename T, bool Transposed>
CIUIC_DEVICE void convolve(const int64_t *args, char *const *ptrs, const int64_t *dims,
                           const int64_t *params) {
  const int64_t pixels = args[kConvBatch] * args[kConvOutH] * args[kConvOutW];
  if (sizeof(T) == 2 &&
      productTile(1, pixels, args[kConvOutC] / args[kConvGroups], sizeof(T)) == kProductLarge) {
    convolveTiles<T, sizeof(T) == 2 ? kProductLarge : kProductSmall, Transposed>(args, ptrs, dims,
                                                                                 params);
  } else {
    convolveTiles<T, kProductSmall, Transposed>(args, ptrs, dims, params);
  }
}

} // namespace

CIUIC_LIBRARY(ciuic_cuda_conv_f32) { convolve<float, false>(args, ptrs, dims, params); }
CIUIC_LIBRARY(ciuic_cuda_conv_f16) { convolve<Half, false>(args, ptrs, dims, params); }
CIUIC_LIBRARY(ciuic_cuda_conv_bf16) { convolve<BFloat, false>(args, ptrs, dims, params); }
CIUIC_LIBRARY(ciuic_cuda_conv_transpose_f32) { convolve<float, true>(args, ptrs, dims, params); }
CIUIC_LIBRARY(ciuic_cuda_conv_transpose_f16) { convolve<Half, true>(args, ptrs, dims, params); }
CIUIC_LIBRARY(ciuic_cuda_conv_transpose_bf16) { convolve<BFloat, true>(args, ptrs, dims, params); }
