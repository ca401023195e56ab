// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// An entry for each product with quantised weights, its shape known at run time only.
#define CIUIC_LIBRARY_LINKAGE static __device__ __forceinline__
#include "kernels/cuda/Matmul.cu"
#include "test/kernels/cuda/Products.h"

extern "C" __device__ void ciuic_epilogue(float value, int64_t row, int64_t col, char *const *ptrs,
                                          const int64_t *dims) {
  const int64_t at = row * dims[0] + col;
  reinterpret_cast<float *>(ptrs[3])[at] = value;
  atomicAddWord(reinterpret_cast<unsigned *>(ptrs[4]) + at, 1);
}

#define CIUIC_ENTRY(A, W)                                                                          \
  extern "C" __global__ void __launch_bounds__(256, CIUIC_HAS_WARPGROUPS ? kMatmulResident : 1)    \
      test_matmul_##A##_##W(ProductCall call) {                                                    \
    ciuic_cuda_matmul_##A##_##W(call.args, call.ptrs, call.dims, call.params);                     \
  }
CIUIC_MATMUL_FUNCTIONS(CIUIC_ENTRY)
