// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Tiles of quantised products by warpgroups, as device code and launches see them. A tile is 128
// columns of 128 or 64 rows. Where tiles are too few to occupy a large chip, blocks share a tile,
// each with a part of K. All of it follows from the product's shape alone, whatever the chip, the
// tile of the weight or the grid, because the parts decide the order of additions.
#pragma once
#include <stdint.h>

namespace ciuic::kernels {

inline constexpr int kMatmulColumns = 128, kMatmulStep = 64;
/// Blocks that occupy a large chip; tiles that do it well enough; most parts of K.
inline constexpr int kMatmulBlocks = 132, kMatmulEnough = 100, kMatmulParts = 4;
/// Blocks of warpgroups that a multiprocessor holds at once.
inline constexpr int kMatmulResident = 2;
/// Four buffers of the widest steps, and what it takes to begin at a multiple of 1024 bytes: less
/// than what every chip from compute capability 8.0 on gives a block.
inline constexpr int kMatmulShared = 4 * 24 * 1024 + 1024;

constexpr int64_t matmulTiles(int64_t M, int64_t N, int64_t rows) {
  return (M + rows - 1) / rows * ((N + kMatmulColumns - 1) / kMatmulColumns);
}
constexpr int64_t matmulRows(int64_t M, int64_t N) {
  return M > 64 && matmulTiles(M, N, 128) >= kMatmulEnough ? 128 : 64;
}
/// Parts of K, of at least eight steps each: one, two or four.
constexpr int64_t matmulSplits(int64_t M, int64_t N, int64_t K) {
  const int64_t rows = matmulRows(M, N), tiles = matmulTiles(M, N, rows);
  int64_t splits = 1;
  while (rows == 64 && splits < kMatmulParts && 2 * splits * tiles <= kMatmulBlocks &&
         K >= 2 * splits * 8 * kMatmulStep) {
    splits *= 2;
  }
  return splits;
}
/// Steps of a part; all but the last have as many. Groups of 128 values are not divided.
constexpr int64_t matmulPartSteps(int64_t K, int64_t splits) {
  return (K + 2 * kMatmulStep * splits - 1) / (2 * kMatmulStep * splits) * 2;
}

/// Blocks of a launch over `panels` panels that have something to do, with up to M rows of so many
/// bytes an element. Without warpgroups, or in f32, tiles are 128 columns of 128 rows, or 64; of a
/// few rows 64 columns.
constexpr int64_t matmulUnits(int64_t M, int64_t N, int64_t K, int64_t panels,
                              int64_t elementBytes) {
  const int64_t plainRows = elementBytes == 4 ? 64 : 128;
  int64_t units = (panels + 3) / 4;
  for (int64_t rows = M; rows > 0; rows /= 2) {
    const int64_t plain = (rows + plainRows - 1) / plainRows * ((panels + 7) / 8);
    const int64_t together =
        matmulTiles(rows, panels * 16, matmulRows(rows, N)) * matmulSplits(rows, N, K);
    units = units > plain ? units : plain;
    units = units > together ? units : together;
  }
  return units;
}
/// Bytes for the parts of K, with up to M rows of 16-bit elements.
constexpr int64_t matmulWorkspace(int64_t M, int64_t N, int64_t K) {
  int64_t units = 0;
  for (int64_t rows = 64; rows - 64 < M && 2 * matmulTiles(rows, N, 64) <= kMatmulBlocks;
       rows += 64) {
    const int64_t here = rows < M ? rows : M, splits = matmulSplits(here, N, K);
    const int64_t all = splits > 1 ? matmulTiles(here, N, 64) * splits : 0;
    units = units > all ? units : all;
  }
  return units * 64 * kMatmulColumns * 4;
}

} // namespace ciuic::kernels
