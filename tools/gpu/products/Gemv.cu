// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Matrix-vector products of constant shapes, as a program's kernels are, for timing; a kernel that
// only reads.
#define CIUIC_LIBRARY_LINKAGE static __device__ __forceinline__
#include "kernels/cuda/Gemv.cu"
#include "kernels/cuda/GemvMixed.cu"
#include "tools/gpu/products/Shapes.h"

extern "C" __device__ void ciuic_epilogue(float value, int64_t row, int64_t col, char *const *ptrs,
                                          const int64_t *dims) {
  reinterpret_cast<Half *>(ptrs[3])[row * dims[0] + col] = fromFloat<Half>(value);
}

extern "C" __device__ void ciuic_epilogue_pair(float first, float second, int64_t row, int64_t col,
                                               char *const *ptrs, const int64_t *dims) {
  const float gated = first / (1 + exp2Fast(first * -1.442695f)) * second;
  reinterpret_cast<Half *>(ptrs[3])[row * dims[0] + col] = fromFloat<Half>(gated);
}

#ifndef CIUIC_BLOCKS
#define CIUIC_BLOCKS 2
#endif
#define CIUIC_ENTRY(A, W, M, K, N)                                                                 \
  extern "C" __global__ void __launch_bounds__(256, CIUIC_BLOCKS)                                  \
      time_gemv_##A##_##W##_##M##_##K##_##N(char *a, char *weights, char *out) {                   \
    const int64_t args[] = {M, N, K, K, N, 0, 0, 0}, dims[] = {N}, params[] = {0, (N + 15) / 16};  \
    char *const ptrs[] = {a, weights, a, out};                                                     \
    ciuic_cuda_gemv_##A##_##W(args, ptrs, dims, params);                                           \
  }
CIUIC_TIMED_GEMV(CIUIC_ENTRY)

// With a norm in front, and as pairs: what a decoder layer's q/k/v and gate/up are.
#define CIUIC_FUSED_ENTRY(A, W, M, K, N, pairs)                                                    \
  extern "C" __global__ void __launch_bounds__(256, CIUIC_BLOCKS)                                  \
      time_fused_##A##_##W##_##M##_##K##_##N(char *a, char *weights, char *out) {                  \
    const int64_t args[] = {M, N, K, K, N, pairs, 1, 0x3727c5ac}, dims[] = {N},                    \
                  params[] = {0, (N + 15) / 16};                                                   \
    char *const ptrs[] = {a, weights, a + (1 << 20), out};                                         \
    ciuic_cuda_gemv_##A##_##W(args, ptrs, dims, params);                                           \
  }
CIUIC_TIMED_FUSED(CIUIC_FUSED_ENTRY)

extern "C" __global__ void __launch_bounds__(512)
    time_read(const Words *from, int64_t count, uint32_t *out) {
  uint32_t sum = 0;
  const int64_t step = static_cast<int64_t>(blockCount()) * threadCount();
  for (int64_t i = static_cast<int64_t>(blockIndex()) * threadCount() + threadIndex(); i < count;
       i += 4 * step) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (i + j * step < count) {
        const Words v = streamWords(from + i + j * step);
        sum ^= v.x ^ v.y ^ v.z ^ v.w;
      }
    }
  }
  if (sum == 0x12345) {
    *out = sum;
  }
}
