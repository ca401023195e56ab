// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How a quantised panel (layout Rows16) passes through shared memory in steps of 64 values of k.
//
//   Math             what the quants are multiplied as
//   kBytes, kGroup   of a panel and step; values of k that share a scale, 0 for a whole column
//   kScaleBytes      of a lane and step
//   decode           the left operand of product i of a step for mma.sync, whose k are in Mma.h's
//                    order, of the lane's own words
//   decodeInOrder    the same for wgmma, with k in its own order (PTX ISA, "Register fragments for
//                    wgmma.mma_async.m64k16"), of a panel in shared memory as `placeOf` has it
#pragma once
#include "kernels/cuda/PackedWeight.h"

namespace ciuic::cuda {

/// Where the sixteen bytes of lane `lane` of a block lie, in bytes. A product wants pairs 2·t and
/// 2·t + 1 of eight consecutive k in lane 4·g + t, and those eight are one lane's sixteen bytes:
/// the lanes of a g read the same ones, of eight g in different banks.
CIUIC_DEVICE int placeOf(int lane) { return (lane % 4 * 8 + lane / 4) * 16; }

template <typename Weight>
struct Quants;
template <typename T>
struct Quants<Int8Weight<T>> {
  using Math = T;
  static constexpr int kBytes = 1024, kGroup = 0, kScaleBytes = 0;
  static CIUIC_DEVICE int64_t quantsAt(int64_t) { return rows16::kInt8Scales; }
  static CIUIC_DEVICE int64_t blockCount(int64_t K) { return (K + 31) / 32; }
  static CIUIC_DEVICE int64_t scalesAt(int64_t, int) { return 0; }
  static CIUIC_DEVICE void decode(const Words *words, int i, uint32_t (&a)[4]) {
    decodeInt8(wordOf(words[i / 2], i % 2 * 2), wordOf(words[i / 2], i % 2 * 2 + 1), a, T());
  }
  /// A word has one pair of each column, pair t of its eight k at byte 4·t.
  static CIUIC_DEVICE void decodeInOrder(const char *panel, int i, int lane, uint32_t (&a)[4]) {
    const char *at = panel + i / 2 * 512 + i % 2 * 256 + lane / 4 * 16 + lane % 4 * 4;
    decodeInt8(*reinterpret_cast<const uint32_t *>(at),
               *reinterpret_cast<const uint32_t *>(at + 128), a, T());
  }
};
template <typename T, int kOf>
struct Quants<Int4Weight<T, kOf>> {
  using Math = T;
  static constexpr int kBytes = 512, kGroup = kOf, kScaleBytes = kOf == 32 ? 8 : 4;
  static CIUIC_DEVICE int64_t quantsAt(int64_t K) { return rows16::int4ScaleBytes(K, kOf); }
  static CIUIC_DEVICE int64_t blockCount(int64_t K) { return (K + 63) / 64; }
  static CIUIC_DEVICE int64_t scalesAt(int64_t k, int pair) {
    return rows16::int4ScaleOffset(k, pair, kOf);
  }
  static CIUIC_DEVICE void decode(const Words *words, int i, uint32_t (&a)[4]) {
    decodeInt4(wordOf(words[0], i), a, T());
  }
  /// A word has two pairs of each column: bytes 0 and 2, then 1 and 3.
  static CIUIC_DEVICE void decodeInOrder(const char *panel, int i, int lane, uint32_t (&a)[4]) {
    const char *at = panel + i / 2 * 8 + i % 2 * 256 + lane / 4 * 16 + lane % 4 / 2 * 4;
    const int odd = lane % 2 * 8;
    const uint32_t near = *reinterpret_cast<const uint32_t *>(at) >> odd,
                   far = *reinterpret_cast<const uint32_t *>(at + 128) >> odd;
    decodeInt4Pair(near, a[0], a[1], T());
    decodeInt4Pair(far, a[2], a[3], T());
  }
};

} // namespace ciuic::cuda
