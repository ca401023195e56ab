// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The inner product kernel that matmul, convolution and attention share: rows × panels of sixteen
// columns held in registers (6×16 with sixteen ymm registers, 12×32 with thirty-two zmm), one fused
// multiply-add per element and step of k. A sum starts from what the accumulator block holds, so
// its bits do not depend on how k is blocked.
#pragma once
#include "kernels/host/Vector.h"

namespace ciuic::kernels {

inline constexpr int64_t kPanelWidth = 16;
inline constexpr int kTileRows = kWide ? 12 : 6;
inline constexpr int kTilePanels = kWide ? 2 : 1;

// Where A and B of a tile lie. Element A(i, k) is a[i·rowStride + k], or a[k·rowStride + i] where A
// is transposed; row k of panel p of B is sixteen floats at b + p·panelStride + k·bStride.
struct TileInput {
  const float *a;
  int64_t rowStride;
  const float *b;
  int64_t panelStride;
  int64_t bStride;
  int64_t depth;
  // Several runs of k whose sums stay in registers: run s reads A from a + s·runStride on, B goes
  // on where it was.
  int64_t runs = 1, runStride = 0;
};

template <int MR, int NP, bool TransposedA, bool PackedB>
__attribute__((noinline)) void multiplyTile(const TileInput &in, float *acc, int64_t ld,
                                            bool first) {
  v16f sum[MR][NP];
#pragma unroll
  for (int i = 0; i < MR; ++i) {
#pragma unroll
    for (int p = 0; p < NP; ++p) {
      sum[i][p] = first ? v16f{} : load(acc + i * ld + p * kPanelWidth);
    }
  }
  constexpr int kBases = (MR + 2) / 3;
  const float *b = in.b;
  const int64_t rowStride = in.rowStride, panelStride = in.panelStride;
  const int64_t bStride = PackedB ? kPanelWidth : in.bStride;
  for (int64_t run = 0; run < in.runs; ++run) {
    // Base pointers three rows apart keep every address one base plus a scaled index.
    const float *base[kBases];
#pragma unroll
    for (int i = 0; i < kBases; ++i) {
      base[i] = in.a + run * in.runStride + (TransposedA ? 3 * i : 3 * i * rowStride);
    }
#pragma clang loop unroll_count(4)
    for (int64_t k = 0; k < in.depth; ++k) {
      v16f row[NP];
#pragma unroll
      for (int p = 0; p < NP; ++p) {
        row[p] = load(b + p * panelStride);
        if (PackedB &&
            MR <= 2) { // bound by memory: four streams are more than the prefetcher follows
          __builtin_prefetch(b + p * panelStride + 32 * kPanelWidth);
        }
      }
#pragma unroll
      for (int i = 0; i < MR; ++i) {
        const v16f x = splat(TransposedA ? base[i / 3][i % 3] : base[i / 3][(i % 3) * rowStride]);
#pragma unroll
        for (int p = 0; p < NP; ++p) {
          sum[i][p] = fma(x, row[p], sum[i][p]);
        }
      }
      b += bStride;
#pragma unroll
      for (int i = 0; i < kBases; ++i) {
        base[i] += TransposedA ? rowStride : 1;
      }
    }
  }
#pragma unroll
  for (int i = 0; i < MR; ++i) {
#pragma unroll
    for (int p = 0; p < NP; ++p) {
      store(acc + i * ld + p * kPanelWidth, sum[i][p]);
    }
  }
}

template <int NP, bool TransposedA, bool PackedB>
CIUIC_INLINE void multiplyRows(int64_t rows, const TileInput &in, float *acc, int64_t ld,
                               bool first) {
  switch (rows) {
#define CIUIC_ROWS(R)                                                                              \
  case R:                                                                                          \
    if constexpr (R <= kTileRows && (NP <= kTilePanels || R * NP <= (kWide ? 12 : 4))) {           \
      multiplyTile<R, NP, TransposedA, PackedB>(in, acc, ld, first);                               \
    }                                                                                              \
    return;
    CIUIC_ROWS(1)
    CIUIC_ROWS(2)
    CIUIC_ROWS(3)
    CIUIC_ROWS(4)
    CIUIC_ROWS(5)
    CIUIC_ROWS(6)
    CIUIC_ROWS(7)
    CIUIC_ROWS(8)
    CIUIC_ROWS(9)
    CIUIC_ROWS(10)
    CIUIC_ROWS(11)
    CIUIC_ROWS(12)
#undef CIUIC_ROWS
  }
}

// How many panels a tile of so many rows takes: few rows take more panels, to have enough
// independent sums.
CIUIC_INLINE int64_t panelsOfTile(int64_t rows) {
  if (kWide) {
    return rows <= 3 ? 4 : 2;
  }
  return rows == 1 ? 4 : rows == 2 ? 2 : 1;
}

// rows ≤ kTileRows by any number of panels.
template <bool TransposedA, bool PackedB>
CIUIC_INLINE void multiplyPanels(int64_t rows, int64_t panels, TileInput in, float *acc, int64_t ld,
                                 bool first) {
  const int64_t most = panelsOfTile(rows);
  for (int64_t p = 0; p < panels;) {
    const int64_t left = least(most, panels - p);
    const int64_t np = left >= 4 ? 4 : left >= 2 ? 2 : 1;
    if (np == 4) {
      multiplyRows<4, TransposedA, PackedB>(rows, in, acc, ld, first);
    } else if (np == 2) {
      multiplyRows<2, TransposedA, PackedB>(rows, in, acc, ld, first);
    } else {
      multiplyRows<1, TransposedA, PackedB>(rows, in, acc, ld, first);
    }
    p += np;
    in.b += np * in.panelStride;
    acc += np * kPanelWidth;
  }
}

// Any number of rows and panels over one block of k. Panels run outside, so that a panel stays in
// the first-level cache while the rows pass by; the rows are cut into tiles of nearly equal height.
template <bool TransposedA, bool PackedB>
CIUIC_INLINE void multiplyBlock(int64_t rows, int64_t panels, const TileInput &in, float *acc,
                                int64_t ld, bool first) {
  if (rows <= 0) {
    return;
  }
  const int64_t tiles = ceilDiv(rows, kTileRows);
  const int64_t step = tiles == 1 ? panelsOfTile(rows) : kTilePanels;
  for (int64_t p = 0; p < panels; p += step) {
    TileInput tile = in;
    tile.b = in.b + p * in.panelStride;
    for (int64_t t = 0, row = 0; t < tiles; ++t) {
      const int64_t height = ceilDiv(rows - row, tiles - t);
      tile.a = TransposedA ? in.a + row : in.a + row * in.rowStride;
      multiplyPanels<TransposedA, PackedB>(height, least(step, panels - p), tile,
                                           acc + row * ld + p * kPanelWidth, ld, first);
      row += height;
    }
  }
}

} // namespace ciuic::kernels
