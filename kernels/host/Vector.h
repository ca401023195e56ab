// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sixteen-lane vectors in the compiler's own vector types. Kernels think in sixteen lanes whatever
// the machine has: with AVX2 one such value is two registers, with AVX-512 one, and both compute
// the same bits.
#pragma once
#include <cstdint>

#define CIUIC_INLINE inline __attribute__((always_inline))

namespace ciuic::kernels {

typedef float v16f __attribute__((vector_size(64)));
typedef int32_t v16i __attribute__((vector_size(64)));
typedef uint32_t v16u __attribute__((vector_size(64)));
typedef uint16_t v16h __attribute__((vector_size(32)));
typedef float v16fUnaligned __attribute__((vector_size(64), aligned(4)));
typedef uint32_t v16uUnaligned __attribute__((vector_size(64), aligned(4)));
typedef uint16_t v16hUnaligned __attribute__((vector_size(32), aligned(2)));

#ifdef __AVX512F__
inline constexpr bool kWide = true;
#else
inline constexpr bool kWide = false;
#endif

CIUIC_INLINE v16f load(const float *p) { return *reinterpret_cast<const v16fUnaligned *>(p); }
CIUIC_INLINE void store(float *p, v16f v) { *reinterpret_cast<v16fUnaligned *>(p) = v; }
// Written out: adding a scalar to zeros would compute, and lose the sign of −0.
CIUIC_INLINE v16f splat(float x) { return v16f{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
CIUIC_INLINE v16f fma(v16f a, v16f b, v16f c) { return __builtin_elementwise_fma(a, b, c); }
CIUIC_INLINE v16f max(v16f a, v16f b) { return a > b ? a : b; }

// The first n lanes (n < 16), zeros behind.
CIUIC_INLINE v16f loadPart(const float *p, int64_t n) {
  v16f v = {};
  for (int64_t i = 0; i < n; ++i) {
    v[i] = p[i];
  }
  return v;
}
CIUIC_INLINE void storePart(float *p, v16f v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    p[i] = v[i];
  }
}

CIUIC_INLINE int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
CIUIC_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
CIUIC_INLINE int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

} // namespace ciuic::kernels
