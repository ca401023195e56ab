// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One row times int4 weights with the row rounded to int8, one scale per group: integer products of
// bytes, exact in 16 bits over 32 values (15 · 127 · 32 / 2 lanes = 30480), summed in 32 bits,
// scaled once per group. About 2.3 times the rate of exact activations, for a relative error of
// some 4e-3. Never part of an exact program.
#pragma once
#include "kernels/host/Formats.h"

#include <immintrin.h>

namespace ciuic::kernels {

typedef int16_t v32s __attribute__((vector_size(64)));
typedef int8_t v16b __attribute__((vector_size(16)));

// Sums of neighbouring products, unsigned bytes of `a` by signed bytes of `b`.
CIUIC_INLINE v32s byteProducts(v16u a, v16u b) {
#ifdef __AVX512F__
  return reinterpret_cast<v32s>(
      _mm512_maddubs_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#else
  union Halves {
    v16u whole;
    __m256i half[2];
  } x = {a}, y = {b}, out;
  out.half[0] = _mm256_maddubs_epi16(x.half[0], y.half[0]);
  out.half[1] = _mm256_maddubs_epi16(x.half[1], y.half[1]);
  return reinterpret_cast<v32s>(out.whole);
#endif
}

// Sums of neighbouring 16-bit lanes.
CIUIC_INLINE v16i pairSums(v32s v) {
#ifdef __AVX512F__
  return reinterpret_cast<v16i>(
      _mm512_madd_epi16(reinterpret_cast<__m512i>(v), _mm512_set1_epi16(1)));
#else
  union Halves {
    v32s whole;
    __m256i half[2];
  } x = {v}, out;
  out.half[0] = _mm256_madd_epi16(x.half[0], _mm256_set1_epi16(1));
  out.half[1] = _mm256_madd_epi16(x.half[1], _mm256_set1_epi16(1));
  return reinterpret_cast<v16i>(out.whole);
#endif
}

// The row in bytes with a scale and eight times the sum of bytes per group.
template <int64_t Group>
struct RoundedRow {
  int8_t *bytes;
  float *scale;
  int32_t *offset;

  static int64_t groups(int64_t K) { return ceilDiv(K, Group); }

  RoundedRow(float *scratch, int64_t K)
      : bytes(reinterpret_cast<int8_t *>(scratch + 2 * groups(K))), scale(scratch),
        offset(reinterpret_cast<int32_t *>(scratch + groups(K))) {}

  void prepare(const float *x, int64_t K) {
    for (int64_t g = 0; g < groups(K); ++g) {
      const int64_t from = g * Group, to = least(K, from + Group);
      auto at = [&](int64_t k) { return k + kLanes <= to ? load(x + k) : loadPart(x + k, to - k); };
      // Magnitudes compare as their bits do, and a NaN is above all of them.
      v16u most = {};
      for (int64_t k = from; k < to; k += kLanes) {
        const v16u bits = reinterpret_cast<v16u>(at(k)) & 0x7FFFFFFFu;
        most = bits > most ? bits : most;
      }
      const uint32_t bits = __builtin_reduce_max(most);
      // A value that is not finite makes the group's scale NaN, and with it the result.
      const bool finite = bits < 0x7F800000u;
      const float largest = finite ? __builtin_bit_cast(float, bits) : 0.0f;
      const v16f inverse = splat(largest > 0 ? 127.0f / largest : 0.0f);
      scale[g] = finite ? largest / 127.0f : __builtin_nanf("");
      v16i sum = {};
      for (int64_t k = from; k < to; k += kLanes) {
        const v16f shift = splat(12582912.0f), rounded = (at(k) * inverse + shift) - shift;
        const v16i q = finite ? __builtin_convertvector(rounded, v16i) : v16i{};
        const auto narrow = __builtin_convertvector(q, v16b);
        __builtin_memcpy_inline(bytes + k, &narrow, kLanes);
        sum += q;
      }
      offset[g] = 8 * __builtin_reduce_add(sum);
    }
  }

  // Words [w, w + Words) of NP panels: at most 32 values of k, so that 16 bits hold the sums.
  template <int NP, int Words>
  CIUIC_INLINE void words(const char *first, int64_t stride, int64_t scales, int64_t w,
                          v16i *group) const {
    const v16u mask = v16u{} + 0x0F0F0F0Fu;
    v32s part[NP] = {};
#pragma unroll
    for (int i = 0; i < Words; ++i) {
      uint32_t x[2];
      __builtin_memcpy_inline(x, bytes + (w + i) * 8, 8);
      const v16u low = v16u{} + x[0], high = v16u{} + x[1];
#pragma unroll
      for (int p = 0; p < NP; ++p) {
        fetchAhead<NP>(first, stride, p, scales + (w + i) * 64);
        const v16u q = loadWords(first + p * stride + scales + (w + i) * 64);
        part[p] += byteProducts(q & mask, low);
        part[p] += byteProducts((q >> 4) & mask, high);
      }
    }
#pragma unroll
    for (int p = 0; p < NP; ++p) {
      group[p] += pairSums(part[p]);
    }
  }

  template <int NP>
  void dot(const char *panel, int64_t stride, int64_t K, float *acc) const {
    using Format = FormatI4<Group>;
    v16f sum[NP] = {};
    const int64_t scales = Format::scaleBytes(K), count = ceilDiv(K, 8);
    for (int64_t g = 0; g * (Group / 8) < count; ++g) {
      int64_t w = g * (Group / 8);
      const int64_t end = least(count, w + Group / 8);
      v16i group[NP] = {};
      for (; w + 4 <= end; w += 4) {
        words<NP, 4>(panel, stride, scales, w, group);
      }
      for (; w < end; ++w) {
        words<NP, 1>(panel, stride, scales, w, group);
      }
#pragma unroll
      for (int p = 0; p < NP; ++p) {
        const v16f total = __builtin_convertvector(group[p] - offset[g], v16f);
        sum[p] = fma(total, Format::scale(panel + p * stride, g) * splat(scale[g]), sum[p]);
      }
    }
#pragma unroll
    for (int p = 0; p < NP; ++p) {
      store(acc + p * kLanes, sum[p]);
    }
  }
};

} // namespace ciuic::kernels
