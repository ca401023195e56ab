// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How the library functions of kernels/cuda divide their work: the block each wants, the number of
// blocks that have something to do, the workspace. The compiler writes these into the plan; a
// function must compute the same results with any number of blocks. Plain C++: the compiler reads
// it too.
#pragma once

#include "kernels/cuda/AttentionShape.h"
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

inline constexpr Block kGemvBlock, kMatmulBlock, kBatchMatmulBlock, kGatherBlock, kConvBlock,
    kPoolBlock;

/// Columns and rows of one unit.
inline constexpr int64_t kGemvPanels = 1, kMatmulTileRows = 128, kMatmulTilePanels = 8,
                         kBatchTileRows = 64, kBatchTileColumns = 64, kConvTilePixels = 64,
                         kConvTilePanels = 4, kPoolElements = 256;

constexpr int64_t attentionWidest(const int64_t *args) {
  return std::max(args[kAttnWidth], args[kAttnValueWidth]);
}

/// Widest head of the attention functions, decode included.
inline constexpr int64_t kAttentionWidest = 256;

/// Attention of many queries: `args` are AttentionArg at their bounds, of operands of so many bytes
/// an element. A unit is a tile of queries of one head of one batch; long ones come first.
constexpr int64_t attentionTileRows(const int64_t *args, int64_t elementBytes) {
  const int64_t width = attentionWidest(args);
  return elementBytes == 4 ? attentionPlainQueries(attentionPlainWidth(width))
                           : attentionQueries(attentionWidth(width));
}
constexpr Block attentionBlock(const int64_t *args, int64_t elementBytes) {
  const int64_t width = attentionWidest(args);
  const int plain = attentionPlainWidth(width);
  return {kAttentionThreads,
          elementBytes == 4 ? attentionPlainShared(plain, attentionPlainQueries(plain))
                            : attentionShared(attentionWidth(width)),
          int64_t(1) << 20};
}

/// Attention of up to kDecodeQueries: tiles of the (head, query) pairs of a kv head.
constexpr int64_t decodeGroups(const int64_t *args) {
  const int64_t kvHeads = std::max<int64_t>(1, args[kAttnKvHeads]);
  const int64_t rows = args[kAttnHeads] / kvHeads * args[kAttnQueries];
  return args[kAttnBatch] * kvHeads * ((rows + kDecodeRows - 1) / kDecodeRows);
}
/// Most shares of a head's keys: grows with the keys, which decodeSplits of the shape does not.
constexpr int64_t decodeMostSplits(const int64_t *args) {
  const int64_t most =
      std::max<int64_t>(1, kDecodeBlocks / std::max<int64_t>(1, decodeGroups(args)));
  return std::clamp<int64_t>((args[kAttnKeys] + kDecodeShare - 1) / kDecodeShare, 1, most);
}
constexpr int64_t decodeUnits(const int64_t *args) {
  return decodeGroups(args) * decodeMostSplits(args);
}
constexpr Block decodeBlock(const int64_t *args, int64_t elementBytes) {
  const int64_t width = attentionWidest(args);
  return {kAttentionThreads,
          elementBytes == 4 ? attentionPlainShared(attentionPlainWidth(width), kDecodeRows)
                            : decodeShared(width),
          4 * kDecodeBlocks};
}
/// Bytes for what the shares of a head leave: values, maximum and sum of each row, in f32.
constexpr int64_t decodeWorkspace(const int64_t *args) {
  const int64_t kvHeads = std::max<int64_t>(1, args[kAttnKvHeads]);
  const int64_t rows =
      std::min<int64_t>(args[kAttnHeads] / kvHeads * args[kAttnQueries], kDecodeRows);
  return decodeUnits(args) * rows * decodePartial(args[kAttnValueWidth]) * 4;
}

} // namespace ciuic::kernels::cuda
