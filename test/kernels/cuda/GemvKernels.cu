// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// An entry for each matrix-vector product, its shape known at run time only.
#define CIUIC_LIBRARY_LINKAGE static __device__ __forceinline__
#include "kernels/cuda/Gemv.cu"
#include "kernels/cuda/GemvMixed.cu"
#include "test/kernels/cuda/Products.h"

extern "C" __device__ void ciuic_epilogue(float value, int64_t row, int64_t col, char *const *ptrs,
                                          const int64_t *dims) {
  const int64_t at = row * dims[0] + col;
  reinterpret_cast<float *>(ptrs[3])[at] = value;
  atomicAddWord(reinterpret_cast<unsigned *>(ptrs[4]) + at, 1);
}

/// A pair's elements lie side by side, as their panels do.
extern "C" __device__ void ciuic_epilogue_pair(float first, float second, int64_t row, int64_t col,
                                               char *const *ptrs, const int64_t *dims) {
  ciuic_epilogue(first, row, col / 16 * 32 + col % 16, ptrs, dims);
  ciuic_epilogue(second, row, col / 16 * 32 + col % 16 + 16, ptrs, dims);
}

#define CIUIC_ENTRY(A, W)                                                                          \
  extern "C" __global__ void __launch_bounds__(256) test_gemv_##A##_##W(ProductCall call) {        \
    ciuic_cuda_gemv_##A##_##W(call.args, call.ptrs, call.dims, call.params);                       \
  }
CIUIC_GEMV_FUNCTIONS(CIUIC_ENTRY)
