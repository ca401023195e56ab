// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Tensor core products of packed weights: the weight is the left operand of m16n8k16, a panel's
// sixteen columns are its rows; the activations are the right one, eight of their rows its columns.
// Products are exact and sums are f32, so that a weight is multiplied as the exact value it stands
// for: quants enter as integers (exact in f16 and in bf16) and scales multiply f32 sums.
//
// Fragments. Lane 4·g + t holds columns g and g + 8 of the panel. Which k a product's sixteen are
// is free as long as both operands agree: in every 32 values of k, lane t has the eight from 8·t,
// four for each of two products. Sixteen bytes of 16-bit values are therefore what a lane needs of
// a column, or of a row of activations, for two products, and kernels/pack/Rows16.h lays out quants
// likewise.
#pragma once
#include "kernels/cuda/Device.h"

namespace ciuic::cuda {

CIUIC_DEVICE uint32_t wordOf(const Words &words, int i) {
  return i == 0 ? words.x : i == 1 ? words.y : i == 2 ? words.z : words.w;
}

CIUIC_DEVICE void multiplyAdd(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                              Half) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
CIUIC_DEVICE void multiplyAdd(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                              BFloat) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// (word & mask) | bits in one instruction.
CIUIC_DEVICE uint32_t maskInto(uint32_t word, uint32_t mask, uint32_t bits) {
  uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(result) : "r"(word), "r"(mask), "r"(bits));
  return result;
}
CIUIC_DEVICE uint32_t multiplyAddPair(uint32_t a, uint32_t b, uint32_t c, Half) {
  uint32_t result;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
  return result;
}
CIUIC_DEVICE uint32_t multiplyAddPair(uint32_t a, uint32_t b, uint32_t c, BFloat) {
  uint32_t result;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
  return result;
}
CIUIC_DEVICE uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) {
  uint32_t result;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(selector));
  return result;
}

/// A word of int4 quants to the left operand of one product, or half of it. A nibble n under the
/// exponent of 1024 is 1024 + n, and 1024 + 16 n four bits higher up; bf16 has seven bits of
/// mantissa, hence 128 + n for each.
CIUIC_DEVICE void decodeInt4Pair(uint32_t word, uint32_t &first, uint32_t &second, Half) {
  const uint32_t one = 0x3c003c00, sixteenth = 0x2c002c00, low = 0xe408e408 /* −1032 */,
                 high = 0xd480d480 /* −72 */;
  first = multiplyAddPair(maskInto(word, 0x000f000f, 0x64006400), one, low, Half());
  second = multiplyAddPair(maskInto(word, 0x00f000f0, 0x64006400), sixteenth, high, Half());
}
CIUIC_DEVICE void decodeInt4Pair(uint32_t word, uint32_t &first, uint32_t &second, BFloat) {
  const uint32_t one = 0x3f803f80, bias = 0xc308c308; // −136
  first = multiplyAddPair(maskInto(word, 0x000f000f, 0x43004300), one, bias, BFloat());
  second = multiplyAddPair(maskInto(word >> 4, 0x000f000f, 0x43004300), one, bias, BFloat());
}
template <typename T>
CIUIC_DEVICE void decodeInt4(uint32_t word, uint32_t (&a)[4], T) {
  decodeInt4Pair(word, a[0], a[1], T());
  decodeInt4Pair(word >> 8, a[2], a[3], T());
}

/// Two words of int8 quants (value + 128) to the left operand of one product.
CIUIC_DEVICE void decodeInt8(uint32_t first, uint32_t second, uint32_t (&a)[4], Half) {
  const uint32_t one = 0x3c003c00, bias = 0xe480e480; // −1152
  a[0] = multiplyAddPair(permute(first, 0x64646464, 0x4140), one, bias, Half());
  a[1] = multiplyAddPair(permute(first, 0x64646464, 0x4342), one, bias, Half());
  a[2] = multiplyAddPair(permute(second, 0x64646464, 0x4140), one, bias, Half());
  a[3] = multiplyAddPair(permute(second, 0x64646464, 0x4342), one, bias, Half());
}
CIUIC_DEVICE void decodeInt8(uint32_t first, uint32_t second, uint32_t (&a)[4], BFloat) {
#pragma unroll
  for (int i = 0; i < 4;
       ++i) { // 2^23 + q in f32, less 2^23 + 128: its upper half is the bf16, exactly
    const uint32_t word = i < 2 ? first : second;
    const float low = fromBits(permute(word, 0x4b000000, i % 2 ? 0x7442 : 0x7440)) - 8388736.0f;
    const float high = fromBits(permute(word, 0x4b000000, i % 2 ? 0x7443 : 0x7441)) - 8388736.0f;
    a[i] = permute(toBits(low), toBits(high), 0x7632);
  }
}

/// What is left of x when its bf16 part (truncated, so that three parts are exactly x) is taken
/// away.
CIUIC_DEVICE float lessItsUpperHalf(float x) {
  return x - fromBits(static_cast<int>(toBits(x) & 0xffff0000u));
}

} // namespace ciuic::cuda
