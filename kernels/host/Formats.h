// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The weight formats of kernels/pack/Pack.h as the kernels read them. Each format says where a
// panel lies, decodes a block of it to f32 rows of sixteen, one row's dot products straight from
// the stored form (GEMV), and one element.
//
// GEMV never expands weights in memory. Its activations are copied to scratch first, padded with
// zeros to whole words
// (`prepare`), so that inner loops have no tails.
#pragma once
#include "kernels/host/Vector.h"

namespace ciuic::kernels {

typedef _Float16 v16e __attribute__((vector_size(32)));

CIUIC_INLINE v16f halfs(const void *p) {
  v16h bits = *reinterpret_cast<const v16hUnaligned *>(p);
  return __builtin_convertvector(reinterpret_cast<v16e>(bits), v16f);
}
CIUIC_INLINE v16f brains(const void *p) {
  v16h bits = *reinterpret_cast<const v16hUnaligned *>(p);
  return reinterpret_cast<v16f>(__builtin_convertvector(bits, v16u) << 16);
}
CIUIC_INLINE v16u loadWords(const void *p) { return *reinterpret_cast<const v16uUnaligned *>(p); }

inline constexpr int64_t kLanes = 16;

// Fetches what a row's product reads eight KiB after byte `at` of panel p, of NP read side by side.
// Panels are short: past its end comes the panel that this one's place in the next NP reads.
template <int NP>
CIUIC_INLINE void fetchAhead(const char *first, int64_t stride, int p, int64_t at) {
  const int64_t ahead = at + 8192 / NP, next = ahead < stride ? 0 : (NP - 1) * stride;
  __builtin_prefetch(first + p * stride + ahead + next);
}

// The sum of sixteen lanes in a fixed order.
CIUIC_INLINE float sumOf(v16f v) {
  typedef float v8f __attribute__((vector_size(32)));
  typedef float v4f __attribute__((vector_size(16)));
  const v8f a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  const v4f b =
      __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
  return (b[0] + b[2]) + (b[1] + b[3]);
}

struct FormatF32 {
  static constexpr bool kPlain = true;
  static int64_t panelBytes(int64_t K) { return K * kLanes * 4; }
  static float element(const char *panel, int64_t, int64_t k, int64_t lane) {
    return reinterpret_cast<const float *>(panel)[k * kLanes + lane];
  }
};

// Sixteen-bit floats: [K][16], widened as they are read.
template <v16f (*Widen)(const void *)>
struct FormatSixteen {
  static constexpr bool kPlain = false;
  static int64_t panelBytes(int64_t K) { return K * kLanes * 2; }
  static void prepare(const float *x, int64_t K, float *out) {
    for (int64_t k = 0; k < K; ++k) {
      out[k] = x[k];
    }
  }
  static void decode(const char *panel, int64_t, int64_t k0, int64_t depth, float *out) {
    for (int64_t k = 0; k < depth; ++k) {
      store(out + k * kLanes, Widen(panel + (k0 + k) * kLanes * 2));
    }
  }
  template <int NP>
  static void dot(const float *x, const char *panel, int64_t stride, int64_t K, float *acc) {
    v16f sum[NP] = {};
#pragma clang loop unroll_count(4)
    for (int64_t k = 0; k < K; ++k) {
      const v16f a = splat(x[k]);
#pragma unroll
      for (int p = 0; p < NP; ++p) {
        fetchAhead<NP>(panel, stride, p, k * kLanes * 2);
        sum[p] = fma(a, Widen(panel + p * stride + k * kLanes * 2), sum[p]);
      }
    }
#pragma unroll
    for (int p = 0; p < NP; ++p) {
      store(acc + p * kLanes, sum[p]);
    }
  }
  static float element(const char *panel, int64_t, int64_t k, int64_t lane) {
    return Widen(panel + k * kLanes * 2)[lane];
  }
};
using FormatF16 = FormatSixteen<halfs>;
using FormatBF16 = FormatSixteen<brains>;

// Byte `b` of every word, sign-extended.
template <int B>
CIUIC_INLINE v16f signedByte(v16u words) {
  const v16i high = reinterpret_cast<v16i>(words << (24 - 8 * B));
  return __builtin_convertvector(high >> 24, v16f);
}

// int8, one scale a column: the product is summed over integers-as-floats and scaled once.
struct FormatI8 {
  static constexpr bool kPlain = false;
  static int64_t panelBytes(int64_t K) { return 64 + ceilDiv(K, 4) * 64; }
  static int64_t prepared(int64_t K) { return ceilDiv(K, 4) * 4; }
  static void prepare(const float *x, int64_t K, float *out) {
    for (int64_t k = 0; k < prepared(K); ++k) {
      out[k] = k < K ? x[k] : 0.0f;
    }
  }
  static void decode(const char *panel, int64_t, int64_t k0, int64_t depth, float *out) {
    const v16f scale = load(reinterpret_cast<const float *>(panel));
    for (int64_t k = 0; k < depth; k += 4, out += 4 * kLanes) {
      const v16u words = loadWords(panel + 64 + (k0 + k) * kLanes);
      store(out, signedByte<0>(words) * scale);
      store(out + kLanes, signedByte<1>(words) * scale);
      store(out + 2 * kLanes, signedByte<2>(words) * scale);
      store(out + 3 * kLanes, signedByte<3>(words) * scale);
    }
  }
  template <int NP>
  static void dot(const float *x, const char *panel, int64_t stride, int64_t K, float *acc) {
    v16f sum[NP] = {};
    const int64_t words = ceilDiv(K, 4);
    for (int64_t w = 0; w < words; ++w, x += 4) {
#pragma unroll
      for (int p = 0; p < NP; ++p) {
        fetchAhead<NP>(panel, stride, p, 64 + w * 64);
        const v16u v = loadWords(panel + p * stride + 64 + w * 64);
        sum[p] = fma(splat(x[0]), signedByte<0>(v), sum[p]);
        sum[p] = fma(splat(x[1]), signedByte<1>(v), sum[p]);
        sum[p] = fma(splat(x[2]), signedByte<2>(v), sum[p]);
        sum[p] = fma(splat(x[3]), signedByte<3>(v), sum[p]);
      }
    }
#pragma unroll
    for (int p = 0; p < NP; ++p) {
      store(acc + p * kLanes, sum[p] * load(reinterpret_cast<const float *>(panel + p * stride)));
    }
  }
  static float element(const char *panel, int64_t, int64_t k, int64_t lane) {
    const auto q = static_cast<int8_t>(panel[64 + (k / 4 * kLanes + lane) * 4 + k % 4]);
    return static_cast<float>(q) * reinterpret_cast<const float *>(panel)[lane];
  }
};

// The bit where nibble k of a word starts: bytes 0 to 3 low, then bytes 0 to 3 high.
CIUIC_INLINE constexpr int nibbleBit(int k) { return k % 4 * 8 + k / 4 * 4; }

// int4 in groups. A row is multiplied by nibbles as they are stored, 0 to 15: a group's sum is
// taken in two chains (even and odd k), eight times the row's own sum goes off, and one scale is
// applied.
template <int64_t Group>
struct FormatI4 {
  static constexpr bool kPlain = false;
  static int64_t scaleBytes(int64_t K) { return ceilDiv(ceilDiv(K, Group) * kLanes * 2, 64) * 64; }
  static int64_t panelBytes(int64_t K) { return scaleBytes(K) + ceilDiv(K, 8) * 64; }
  static int64_t groups(int64_t K) { return ceilDiv(K, Group); }

#ifdef __AVX512F__
  // A permutation looks the sixteen values up by the low four bits of each lane.
  static constexpr bool kScaled = false;
  struct Nibbles {
    v16u words;
    template <int K>
    CIUIC_INLINE v16f value() const {
      const v16f table = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
      return reinterpret_cast<v16f>(
          __builtin_ia32_permvarsf512(table, reinterpret_cast<v16i>(words >> nibbleBit(K))));
    }
  };
#else
  // The nibble stays where it is in its half of the word, which makes it q·2^s. The activations are
  // prepared with 2^−s, so that the products are exactly those of the permutation.
  static constexpr bool kScaled = true;
  struct Nibbles {
    v16u words;
    template <int K>
    CIUIC_INLINE v16f value() const {
      constexpr int bit = nibbleBit(K) % 16;
      const v16u placed = nibbleBit(K) < 16 ? words : words >> 16;
      return __builtin_convertvector(reinterpret_cast<v16i>(placed & (v16u{} + (15u << bit))),
                                     v16f);
    }
  };
#endif

  // Eight times the sum of each group, then the row filled up with zeros to whole registers.
  static void prepare(const float *x, int64_t K, float *out) {
    v16f by;
    for (int k = 0; k < kLanes; ++k) {
      by[k] = kScaled ? 1.0f / static_cast<float>(1 << nibbleBit(k % 8) % 16) : 1.0f;
    }
    float *row = out + groups(K);
    for (int64_t g = 0; g < groups(K); ++g) {
      v16f sum = {};
      for (int64_t k = g * Group; k < least(K, (g + 1) * Group); k += kLanes) {
        const v16f v = k + kLanes <= K ? load(x + k) : loadPart(x + k, K - k);
        sum += v;
        store(row + k, v * by);
      }
      out[g] = 8.0f * sumOf(sum);
    }
  }
  static v16f scale(const char *panel, int64_t group) { return halfs(panel + group * kLanes * 2); }
  static void decode(const char *panel, int64_t K, int64_t k0, int64_t depth, float *out) {
    const char *words = panel + scaleBytes(K);
    for (int64_t k = 0; k < depth; k += 8, out += 8 * kLanes) {
      const v16f s = scale(panel, (k0 + k) / Group);
      const v16u w = loadWords(words + (k0 + k) * 8);
      const v16u mask = v16u{} + 15u;
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const v16i q = reinterpret_cast<v16i>((w >> nibbleBit(j)) & mask) - 8;
        store(out + j * kLanes, __builtin_convertvector(q, v16f) * s);
      }
    }
  }
  template <int NP>
  static void dot(const float *x, const char *panel, int64_t stride, int64_t K, float *acc) {
    v16f sum[NP] = {};
    const int64_t scales = scaleBytes(K), words = ceilDiv(K, 8);
    const float *row = x + groups(K);
    for (int64_t g = 0; g * (Group / 8) < words; ++g) {
      const int64_t end = least(words, (g + 1) * (Group / 8));
      v16f even[NP] = {}, odd[NP] = {};
      for (int64_t w = g * (Group / 8); w < end; ++w) {
        const float *a = row + w * 8;
#pragma unroll
        for (int p = 0; p < NP; ++p) {
          fetchAhead<NP>(panel, stride, p, scales + w * 64);
          const Nibbles n = {loadWords(panel + p * stride + scales + w * 64)};
          even[p] = fma(splat(a[0]), n.template value<0>(), even[p]);
          odd[p] = fma(splat(a[1]), n.template value<1>(), odd[p]);
          even[p] = fma(splat(a[2]), n.template value<2>(), even[p]);
          odd[p] = fma(splat(a[3]), n.template value<3>(), odd[p]);
          even[p] = fma(splat(a[4]), n.template value<4>(), even[p]);
          odd[p] = fma(splat(a[5]), n.template value<5>(), odd[p]);
          even[p] = fma(splat(a[6]), n.template value<6>(), even[p]);
          odd[p] = fma(splat(a[7]), n.template value<7>(), odd[p]);
        }
      }
#pragma unroll
      for (int p = 0; p < NP; ++p) {
        sum[p] = fma(even[p] + odd[p] - x[g], scale(panel + p * stride, g), sum[p]);
      }
    }
#pragma unroll
    for (int p = 0; p < NP; ++p) {
      store(acc + p * kLanes, sum[p]);
    }
  }
  static float element(const char *panel, int64_t K, int64_t k, int64_t lane) {
    const auto byte =
        static_cast<unsigned char>(panel[scaleBytes(K) + (k / 8 * kLanes + lane) * 4 + k % 4]);
    const int q = k % 8 < 4 ? byte & 15 : byte >> 4;
    return static_cast<float>(q - 8) * scale(panel, k / Group)[lane];
  }
};

} // namespace ciuic::kernels
