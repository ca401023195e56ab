// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sixteen vectors reduced or transposed at once, by halving: four levels of two-operand shuffles.
#pragma once
#include "kernels/host/Vector.h"

namespace ciuic::kernels {

#define CIUIC_FIRST_8 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define CIUIC_SECOND_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define CIUIC_FIRST_4 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27
#define CIUIC_SECOND_4 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31
#define CIUIC_FIRST_2 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29
#define CIUIC_SECOND_2 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31
#define CIUIC_FIRST_1 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define CIUIC_SECOND_1 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31

// Lane i of the result is the sum of v[i]'s lanes. The order of additions is fixed. Destroys v.
CIUIC_INLINE v16f sumEach(v16f *v) {
#define CIUIC_LEVEL(COUNT, W)                                                                      \
  _Pragma("unroll") for (int i = 0; i < COUNT; ++i) {                                              \
    v[i] = __builtin_shufflevector(v[2 * i], v[2 * i + 1], CIUIC_FIRST_##W) +                      \
           __builtin_shufflevector(v[2 * i], v[2 * i + 1], CIUIC_SECOND_##W);                      \
  }
  CIUIC_LEVEL(8, 8)
  CIUIC_LEVEL(4, 4)
  CIUIC_LEVEL(2, 2)
  CIUIC_LEVEL(1, 1)
#undef CIUIC_LEVEL
  return v[0];
}

// v[i][j] ↔ v[j][i]. Four perfect unshuffles of the 256 elements: each moves one bit of the index
// from j to i.
CIUIC_INLINE void transpose(v16f *v) {
#pragma unroll
  for (int level = 0; level < 4; ++level) {
    v16f next[16];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      next[i] = __builtin_shufflevector(v[2 * i], v[2 * i + 1], CIUIC_FIRST_1);
      next[i + 8] = __builtin_shufflevector(v[2 * i], v[2 * i + 1], CIUIC_SECOND_1);
    }
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      v[i] = next[i];
    }
  }
}

CIUIC_INLINE float sumLanes(v16f v) {
  float sum[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    sum[i] = v[i] + v[i + 8];
  }
  return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

CIUIC_INLINE float maxLanes(v16f v) {
  float m = v[0];
#pragma unroll
  for (int i = 1; i < 16; ++i) {
    m = v[i] > m ? v[i] : m;
  }
  return m;
}

} // namespace ciuic::kernels
