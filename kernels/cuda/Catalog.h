// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How the library functions of kernels/cuda divide their work: the block each wants, the number of
// blocks that have something to do, the workspace. The compiler writes these into the plan; a
// function must compute the same results with any number of blocks. Plain C++: the compiler reads
// it too.
#pragma once

#include "kernels/cuda/AttentionShape.h"
#include "kernels/cuda/MatmulShape.h"
#include "kernels/cuda/ProductShape.h"
#include "kernels/host/Abi.h"

#include <cstdint>

namespace ciuic::kernels::cuda {

/// A launch's block. Dynamic shared memory; most blocks of a grid; whether the function waits by
/// itself for the kernel before it (Overlap.h); blocks that a multiprocessor should hold at once,
/// which limits registers, and how many where the function uses one chip's own instructions (0: as
/// many).
struct Block {
  int64_t threads = 256, sharedBytes = 0, maxGrid = 2048;
  bool overlaps = false;
  int64_t resident = 1, ownResident = 0;
};

/// Rows (M) up to which a product is a matrix-vector product.
inline constexpr int64_t kGemvRows = 16;
/// Queries up to which attention splits its keys over blocks.
inline constexpr int64_t kDecodeQueries = 8;

/// A matrix-vector product's shared memory: sums of its warps (two buffers of eight warps, sixteen
/// rows and columns, f32), then activations where they fit.
inline constexpr int64_t kGemvSums = 2 * 8 * 16 * 16 * 4, kGemvStaged = 48 * 1024;
inline constexpr Block kGemvBlock = {256, kGemvSums + kGemvStaged, 264, true, 2};

/// Arguments of a matrix-vector product, behind MatmulArg's. Pairs: panels 2p and 2p + 1 are panel
/// p of two products of N / 2 columns, whose elements `ciuic_epilogue_pair` gets together. Norm:
/// rows of A are RMS-normalised on the way, by scales of A's type at ptrs[2] and this epsilon (the
/// bits of a float); rows must fit the staged bytes.
enum GemvArg { kGemvPairs = kMatmulArgs, kGemvNorm, kGemvEpsilon, kGemvArgs };

/// Warps that share a panel, each with two chunks or more: of K, the format and pairing alone,
/// since it decides the order of additions. A block holds whole pairs.
constexpr int gemvWarpsPerPanel(int64_t K, int64_t chunk, bool pairs) {
  const int most = pairs ? 4 : 8;
  return K >= 2 * most * chunk ? most : K >= 8 * chunk ? 4 : K >= 4 * chunk ? 2 : 1;
}
/// Bytes of M rows as staged, with `parts` 16-bit values for each of the K.
constexpr int64_t gemvStagedBytes(int64_t M, int64_t K, int64_t parts) {
  return M * parts * ((K + 255) / 256 * 512 + 64);
}

inline constexpr Block kMatmulBlock = {256, kMatmulShared, 2048, false, 1, kMatmulResident};
inline constexpr Block kGatherBlock, kPoolBlock;

/// Panels and elements of one unit.
inline constexpr int64_t kGemvPanels = 1, kPoolElements = 256;

/// Most shares of a head's keys, where there are few heads.
constexpr int64_t decodeSplits(int64_t keys) {
  const int64_t splits = (keys + kDecodeShare - 1) / kDecodeShare;
  return splits < 1 ? 1 : splits > kDecodeBlocks ? kDecodeBlocks : splits;
}

constexpr int64_t greatest(int64_t a, int64_t b) { return a > b ? a : b; }
constexpr int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

constexpr int64_t attentionWidest(const int64_t *args) {
  return greatest(args[kAttnWidth], args[kAttnValueWidth]);
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
  const int64_t kvHeads = greatest(1, args[kAttnKvHeads]);
  const int64_t rows = args[kAttnHeads] / kvHeads * args[kAttnQueries];
  return args[kAttnBatch] * kvHeads * ((rows + kDecodeRows - 1) / kDecodeRows);
}
/// Shares of all heads together, of these or smaller extents, where a head has more than one.
constexpr int64_t decodeShares(const int64_t *args) {
  return least(kDecodeBlocks,
               decodeGroups(args) * ((args[kAttnKeys] + kDecodeShare - 1) / kDecodeShare));
}
constexpr int64_t decodeUnits(const int64_t *args) {
  return greatest(decodeGroups(args), decodeShares(args));
}
constexpr Block decodeBlock(const int64_t *args, int64_t elementBytes) {
  const int64_t width = attentionWidest(args);
  return {kAttentionThreads,
          elementBytes == 4 ? attentionPlainShared(attentionPlainWidth(width), kDecodeRows)
                            : decodeShared(width),
          kDecodeBlocks, true};
}
/// Bytes for what the shares of all heads leave, of these or smaller extents: values, maximum and
/// sum of each row, in f32.
constexpr int64_t decodeWorkspace(const int64_t *args) {
  const int64_t kvHeads = greatest(1, args[kAttnKvHeads]);
  const int64_t rows = least(args[kAttnHeads] / kvHeads * args[kAttnQueries], kDecodeRows);
  return decodeShares(args) * rows * decodePartial(args[kAttnValueWidth]) * 4;
}

/// Products over tiles (Product.h): side of the tiles, shared memory.
constexpr int64_t batchMatmulTile(const int64_t *args, int64_t elementBytes) {
  return productTile(args[kBatchB0] * args[kBatchB1] * args[kBatchB2], args[kBatchM], args[kBatchN],
                     elementBytes);
}
constexpr Block batchMatmulBlock(const int64_t *args, int64_t elementBytes) {
  return {kProductThreads, productShared(static_cast<int>(batchMatmulTile(args, elementBytes))),
          int64_t(1) << 20};
}
/// Convolutions, transposed ones too; not depthwise ones, which are like pools: a thread has one
/// channel of four neighbouring pixels, and needs no shared memory.
constexpr int64_t convTile(const int64_t *args, int64_t elementBytes) {
  return productTile(1, args[kConvBatch] * args[kConvOutH] * args[kConvOutW],
                     args[kConvOutC] / greatest(1, args[kConvGroups]), elementBytes);
}
constexpr Block convBlock(const int64_t *args, int64_t elementBytes) {
  return {kProductThreads, productShared(static_cast<int>(convTile(args, elementBytes))),
          int64_t(1) << 20};
}
inline constexpr Block kDepthwiseBlock;

} // namespace ciuic::kernels::cuda
