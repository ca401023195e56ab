// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Quantised products of constant K and N, for timing.
#define CIUIC_LIBRARY_LINKAGE static __device__ __forceinline__
#include "kernels/cuda/Matmul.cu"
#include "tools/gpu/products/Shapes.h"

extern "C" __device__ void ciuic_epilogue(float value, int64_t row, int64_t col, char *const *ptrs,
                                          const int64_t *dims) {
  reinterpret_cast<Half *>(ptrs[3])[row * dims[0] + col] = fromFloat<Half>(value);
}

#define CIUIC_ENTRY(A, W, K, N)                                                                    \
  extern "C" __global__ void __launch_bounds__(256, CIUIC_HAS_WARPGROUPS ? kMatmulResident : 1)    \
      time_matmul_##A##_##W##_##K##_##N(char *a, char *weights, char *workspace, char *out,        \
                                        int64_t M) {                                               \
    const int64_t args[] = {M, N, K, K, N}, dims[] = {N}, params[] = {0, (N + 15) / 16};           \
    char *const ptrs[] = {a, weights, workspace, out};                                             \
    ciuic_cuda_matmul_##A##_##W(args, ptrs, dims, params);                                         \
  }
CIUIC_TIMED_MATMUL(CIUIC_ENTRY)
