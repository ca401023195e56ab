// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Tiles of the attention functions, as device code and launches see them. Shared memory stays below
// 99 KiB, what every chip from compute capability 8.0 on gives a block.
#pragma once
#include <stdint.h>

namespace ciuic::kernels {

inline constexpr int kAttentionThreads = 128;

/// Widths of heads that the matrix-unit kernels are made for; others use the next one.
constexpr int attentionWidth(int64_t width) {
  return width <= 32    ? 32
         : width <= 64  ? 64
         : width <= 80  ? 80
         : width <= 96  ? 96
         : width <= 128 ? 128
         : width <= 192 ? 192
                        : 256;
}

/// Many queries, 16-bit operands: queries of a tile, keys of a block; two blocks of keys and of
/// values lie beside the queries, and all begin at a multiple of 1024 bytes where warpgroups read
/// them.
constexpr int attentionQueries(int width) { return width <= 128 ? 128 : 64; }
constexpr int attentionKeys(int width) { return width <= 128 ? 64 : 32; }
constexpr int attentionRowBytes(int width) {
  return (width % 64 == 0 ? width / 8 : (width / 8) | 1) * 16;
}
constexpr int attentionShared(int width) {
  return (attentionQueries(width) + 4 * attentionKeys(width)) * attentionRowBytes(width) +
         (width == 64 || width == 128 ? 1024 : 0);
}

/// f32 operands: queries, then a block of keys or values, then probabilities.
inline constexpr int kAttentionPlainKeys = 32;
constexpr int attentionPlainWidth(int64_t width) {
  return width <= 64 ? 64 : width <= 128 ? 128 : 256;
}
constexpr int attentionPlainQueries(int width) { return width <= 128 ? 64 : 32; }
constexpr int attentionPlainShared(int width, int queries) {
  return ((queries + kAttentionPlainKeys) * (width + 4) + queries * (kAttentionPlainKeys + 4)) * 4;
}

/// Few queries: the keys of a head are split over blocks by the shape alone, so that there are
/// about kDecodeBlocks of them. A block serves up to kDecodeRows (head, query) pairs of one kv
/// head.
inline constexpr int kDecodeRows = 16;
inline constexpr int kDecodeShare = 64; ///< The smallest share of a block, and its step.
inline constexpr int kDecodeBlocks = 264;
constexpr int decodeShare(int keys, int groups) {
  const int splits = groups > 0 && groups < kDecodeBlocks ? kDecodeBlocks / groups : 1;
  const int share = (keys + splits - 1) / splits;
  return share > 0 ? (share + kDecodeShare - 1) / kDecodeShare * kDecodeShare : kDecodeShare;
}
/// `groups`: batches times kv heads times tiles of their rows.
constexpr int decodeSplits(int keys, int groups) {
  const int share = decodeShare(keys, groups);
  return keys > share ? (keys + share - 1) / share : 1;
}
/// What a row of a share leaves in the workspace: its maximum, its sum, its values.
constexpr int64_t decodePartial(int64_t valueWidth) { return valueWidth + 2; }
constexpr int decodeWidth(int64_t width) { return static_cast<int>((width + 63) / 64 * 64); }
constexpr int64_t decodeShared(int64_t width) {
  return kAttentionThreads / 32 * kDecodeRows * (decodeWidth(width) + 2) * 4;
}

} // namespace ciuic::kernels
