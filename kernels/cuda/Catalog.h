// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How the library functions of kernels/cuda divide their work: the block each wants, the number of
// blocks that have something to do, the workspace. The compiler writes these into the plan; a
// function must compute the same results with any number of blocks. Plain C++: the compiler reads
// it too.
#pragma once

#include "kernels/host/Abi.h"

#include <algorithm>
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

inline constexpr Block kGemvBlock, kMatmulBlock, kBatchMatmulBlock, kGatherBlock, kAttentionBlock,
    kDecodeBlock, kConvBlock, kPoolBlock;

/// Columns and rows of one unit.
inline constexpr int64_t kGemvPanels = 1, kMatmulTileRows = 128, kMatmulTilePanels = 8,
                         kBatchTileRows = 64, kBatchTileColumns = 64, kAttentionTileRows = 64,
                         kConvTilePixels = 64, kConvTilePanels = 4, kPoolElements = 256,
                         kDecodeKeys = 128, kDecodeMostSplits = 64;

/// Runs of keys of a decode attention whose keys are at most `keys`.
constexpr int64_t decodeSplits(int64_t keys) {
  return std::clamp<int64_t>((keys + kDecodeKeys - 1) / kDecodeKeys, 1, kDecodeMostSplits);
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
