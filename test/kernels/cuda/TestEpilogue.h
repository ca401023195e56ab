// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The epilogue of test kernels, and an entry for a library function whose arguments are known at
// run time only. Included behind the sources of the functions.
#pragma once
#include "test/kernels/cuda/LibraryCalls.h"

extern "C" __device__ void ciuic_epilogue(float value, int64_t row, int64_t col, char *const *ptrs,
                                          const int64_t *dims) {
  const int64_t at = row * dims[0] + col;
  unsigned *counts = reinterpret_cast<unsigned *>(ptrs[6]);
  if (row < 0 || col < 0 || col >= dims[0] || at >= dims[1]) {
    ciuic::cuda::atomicAddWord(counts, 1000); // outside of the results
    return;
  }
  reinterpret_cast<float *>(ptrs[7])[at] = value;
  ciuic::cuda::atomicAddWord(counts + at, 1);
}

#define CIUIC_ENTRY(family, type)                                                                  \
  extern "C" __global__ void __launch_bounds__(256) test_##family##_##type(TestCall call) {        \
    ciuic_cuda_##family##_##type(call.args, call.ptrs, call.dims, call.params);                    \
  }
