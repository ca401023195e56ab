// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Where a weight lies inside a panel of layout Rows16 (Pack.h): plain constant expressions that
// packers, CUDA kernels and tests share, so that there is one definition of every offset.
//
// Quantised panels are stored in the order in which the tensor cores' m16n8k16 product takes its
// left operand: lane 4·g + t of a warp holds columns g and g + 8 and, of every 32 values of k, the
// eight from 8·t. A lane's share of a block is then sixteen consecutive bytes, a warp's 512, and a
// decoded word is a fragment: int4 words decode by masks to pairs in the order a0 … a3, int8 words
// hold one pair of each column.
#pragma once
#include <cstdint>

namespace ciuic::kernels::rows16 {

inline constexpr int64_t kBlockBytes = 512; // of a warp: 64 values of k in int4, 32 in int8

constexpr int64_t lane(int64_t k, int64_t column) { return column % 8 * 4 + k % 32 / 8; }

// int8: f32 scale[16], 64 bytes of zeros, blocks of 32 values of k. A byte is the value + 128.
inline constexpr int64_t kInt8Scales = 128;
constexpr int64_t int8Bytes(int64_t K) { return kInt8Scales + (K + 31) / 32 * kBlockBytes; }
constexpr int64_t int8Offset(int64_t k, int64_t column) {
  return kInt8Scales + k / 32 * kBlockBytes + lane(k, column) * 16 + k % 8 / 2 * 4 +
         column / 8 * 2 + k % 2;
}

// int4: f16 scales, padded to 128 bytes; blocks of 64 values of k. A nibble is the value + 8.
// Scales lie as [ceil(K / 256)][8][256 / group][2]: a lane reads those of its two columns for four
// blocks at once.
inline constexpr int64_t kInt4Span = 256;
constexpr int64_t int4ScaleBytes(int64_t K, int64_t group) {
  return ((K + kInt4Span - 1) / kInt4Span * (kInt4Span / group) * 32 + 127) / 128 * 128;
}
constexpr int64_t int4Bytes(int64_t K, int64_t group) {
  return int4ScaleBytes(K, group) + (K + 63) / 64 * kBlockBytes;
}
constexpr int64_t int4ScaleOffset(int64_t k, int64_t column, int64_t group) {
  return ((k / kInt4Span * 8 + column % 8) * (kInt4Span / group) + k % kInt4Span / group) * 4 +
         column / 8 * 2;
}
// The byte, counted from the end of the scales, and the bit of it where the nibble starts.
constexpr int64_t int4Offset(int64_t k, int64_t column) {
  return k / 64 * kBlockBytes + lane(k, column) * 16 + k % 64 / 32 * 8 + k % 8 / 4 * 4 + k % 2 * 2 +
         k % 4 / 2;
}
constexpr int int4Shift(int64_t column) { return column < 8 ? 0 : 4; }

} // namespace ciuic::kernels::rows16
