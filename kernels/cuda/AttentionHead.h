// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the attention functions share: one head's operands, which keys a query sees, how keys and
// values are stored, and the shapes that the launch must agree on with the device code.
#pragma once
#include "kernels/QuantisedRows.h"
#include "kernels/cuda/AttentionShape.h"
#include "kernels/cuda/Tile.h"
#include "kernels/host/Abi.h"

namespace ciuic::cuda {

inline constexpr float kLog2E = 1.4426950408889634f;
/// Below every score that is seen, yet finite: what is hidden altogether (−∞) weighs nothing beside
/// it, and a mask of this very value still gives the softmax of equal scores.
inline constexpr float kLowest = -3.4028234663852886e38f;
/// Beside any key that is seen, e to the power of such a score is 0.
inline constexpr float kHidden = -1e30f;
CIUIC_DEVICE float minusInfinity() { return -__builtin_huge_valf(); }

/// 2^x; results below the normal numbers are zero, which saves four instructions.
CIUIC_DEVICE float power(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

/// A byte of a quantised row.
struct Row8 {
  int8_t value;
};
CIUIC_DEVICE float rowScale(const Row8 *row, int width) {
  return *reinterpret_cast<const float *>(row + kernels::rowScaleAt(width));
}

/// Bytes 0 … 3 of a word as the signed integers they are, exactly: 2^23 + (b + 128) − (2^23 + 128).
CIUIC_DEVICE float signedByte(uint32_t flipped, uint32_t select) {
  return fromBits(static_cast<int>(permuteBytes(flipped, 0x4b000000u, select))) - 8388736.0f;
}
CIUIC_DEVICE void signedBytes(uint32_t word, float (&values)[4]) {
  const uint32_t flipped = word ^ 0x80808080u;
  values[0] = signedByte(flipped, 0x7440);
  values[1] = signedByte(flipped, 0x7441);
  values[2] = signedByte(flipped, 0x7442);
  values[3] = signedByte(flipped, 0x7443);
}

/// Operands of type T, keys and values stored as S: T, or Row8.
template <typename T, typename S = T>
struct Head {
  const T *q, *mask; // mask null where there is none
  const S *k, *v;
  int64_t qSeq, kSeq, vSeq, maskQuery, maskKey;
  int queries, keys, width, valueWidth;
  float scale;
  bool causal;

  CIUIC_DEVICE Head(const int64_t *args, char *const *ptrs, int64_t batch, int64_t head,
                    int64_t kv) {
    using namespace kernels;
    q = reinterpret_cast<const T *>(ptrs[0]) + batch * args[kAttnQBatch] + head * args[kAttnQHead];
    k = reinterpret_cast<const S *>(ptrs[1]) + batch * args[kAttnKBatch] + kv * args[kAttnKHead];
    v = reinterpret_cast<const S *>(ptrs[2]) + batch * args[kAttnVBatch] + kv * args[kAttnVHead];
    mask = args[kAttnMasked] ? reinterpret_cast<const T *>(ptrs[3]) + batch * args[kAttnMaskBatch] +
                                   head * args[kAttnMaskHead]
                             : nullptr;
    qSeq = args[kAttnQSeq], kSeq = args[kAttnKSeq], vSeq = args[kAttnVSeq];
    maskQuery = args[kAttnMaskQuery], maskKey = args[kAttnMaskKey];
    queries = static_cast<int>(args[kAttnQueries]), keys = static_cast<int>(args[kAttnKeys]);
    width = static_cast<int>(args[kAttnWidth]);
    valueWidth = static_cast<int>(args[kAttnValueWidth]);
    scale = fromBits(static_cast<int>(args[kAttnScale]));
    causal = args[kAttnCausal] != 0;
  }

  /// How many keys query i sees; they are the first ones.
  CIUIC_DEVICE int visible(int i) const {
    return causal ? most(0, least(keys, i + keys - queries + 1)) : keys;
  }
  CIUIC_DEVICE float maskAt(int query, int key) const {
    return toFloat(mask[query * maskQuery + key * maskKey]);
  }
};

/// Whether rows of q, k and v are 16-byte chunks at 16-byte addresses; quantised rows, chunks of as
/// many elements.
template <typename T>
CIUIC_DEVICE bool hasVectors(const int64_t *args, char *const *ptrs) {
  using namespace kernels;
  const int64_t all = args[kAttnWidth] | args[kAttnValueWidth] | args[kAttnQSeq] | args[kAttnKSeq] |
                      args[kAttnVSeq] | args[kAttnQHead] | args[kAttnKHead] | args[kAttnVHead] |
                      args[kAttnQBatch] | args[kAttnKBatch] | args[kAttnVBatch];
  return all % (16 / static_cast<int64_t>(sizeof(T))) == 0 && isAligned(ptrs[0]) &&
         isAligned(ptrs[1]) && isAligned(ptrs[2]);
}

/// Rows that see no key: over no keys at all the result is zero, over hidden ones it is undefined.
CIUIC_DEVICE float inverseOf(float sum, int keys) { return keys == 0 ? 0.0f : 1.0f / sum; }

} // namespace ciuic::cuda
