// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How the library functions of kernels/cuda divide their work: the block each wants, the number of
// blocks that have something to do, the workspace. The compiler writes these into the plan; a
// function must compute the same results with any number of blocks. Plain C++: the compiler reads
// it too.
#pragma once

#include "kernels/host/Abi.h"

#include <cstdint>

namespace ciuic::kernels::cuda {

/// A launch's block. Dynamic shared memory; most blocks of a grid.
struct Block {
  int64_t threads = 256, sharedBytes = 0, maxGrid = 2048;
};

/// Rows (M) up to which a product is a matrix-vector product.
inline constexpr int64_t kGemvRows = 16;
/// Queries up to which attention splits its keys over blocks.
inline constexpr int64_t kDecodeQueries = 8;

/// A matrix-vector product's shared memory: sums of its warps (two buffers of eight warps, sixteen
/// rows and columns, f32), then activations where they fit.
inline constexpr int64_t kGemvSums = 2 * 8 * 16 * 16 * 4, kGemvStaged = 48 * 1024;
inline constexpr Block kGemvBlock = {256, kGemvSums + kGemvStaged, 264};

/// Warps that share a panel, each with two chunks or more: of K and the format alone, since it
/// decides the order of additions.
constexpr int gemvWarpsPerPanel(int64_t K, int64_t chunk) {
  return K >= 16 * chunk ? 8 : K >= 8 * chunk ? 4 : K >= 4 * chunk ? 2 : 1;
}
/// Bytes of M rows as staged, with `parts` 16-bit values for each of the K.
constexpr int64_t gemvStagedBytes(int64_t M, int64_t K, int64_t parts) {
  return M * parts * ((K + 255) / 256 * 512 + 64);
}

inline constexpr Block kMatmulBlock, kBatchMatmulBlock, kGatherBlock, kAttentionBlock, kDecodeBlock,
    kConvBlock, kPoolBlock;

/// Columns and rows of one unit.
inline constexpr int64_t kGemvPanels = 1, kMatmulTileRows = 128, kMatmulTilePanels = 8,
                         kBatchTileRows = 64, kBatchTileColumns = 64, kAttentionTileRows = 64,
                         kConvTilePixels = 64, kConvTilePanels = 4, kPoolElements = 256,
                         kDecodeKeys = 128, kDecodeMostSplits = 64;

/// Runs of keys of a decode attention whose keys are at most `keys`.
constexpr int64_t decodeSplits(int64_t keys) {
  const int64_t runs = (keys + kDecodeKeys - 1) / kDecodeKeys;
  return runs < 1 ? 1 : runs > kDecodeMostSplits ? kDecodeMostSplits : runs;
}

/// Workspace bytes of a decode attention with these arguments (AttentionArg) at their bounds: for
/// each head and query and run of keys, the sums of the value width, the maximum and the sum of
/// weights, in f32.
constexpr int64_t decodeWorkspace(const int64_t *args) {
  double bytes = 4.0 * static_cast<double>(args[kAttnBatch]) *
                 static_cast<double>(args[kAttnHeads]) * static_cast<double>(args[kAttnQueries]) *
                 static_cast<double>(decodeSplits(args[kAttnKeys])) *
                 static_cast<double>(args[kAttnValueWidth] + 2);
  return static_cast<int64_t>(std::min(bytes, 1e15)); // exact below 2^53
}

} // namespace ciuic::kernels::cuda
