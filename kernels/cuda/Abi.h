// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The contract of the CUDA library functions (docs/decisions/cuda-target.md): what a generated
// kernel calls, and what it defines for them. Arguments are the enums of kernels/host/Abi.h,
// strides in elements.
//
//   void ciuic_cuda_NAME(args, ptrs, dims, params)
//
// All threads of all blocks call it; it walks its units with the grid's stride and hands every
// finished element to `ciuic_epilogue` exactly once. No result depends on the grid. It is linked
// into each kernel that calls it, with `args` constants or expressions of `dims`, so extents that
// are constants fold. Catalog.h says with how many threads and how much shared memory.
#pragma once
#include "kernels/cuda/Device.h"
#include "kernels/host/Abi.h"

extern "C" {
/// Defined by the kernel: computes what follows the library function and stores. `row`, `col` as
/// the function's arguments in kernels/host/Abi.h define them.
__device__ void ciuic_epilogue(float value, int64_t row, int64_t col, char *const *ptrs,
                               const int64_t *dims);
/// The same of two products of one shape, computed together (kGemvPairs).
__device__ void ciuic_epilogue_pair(float first, float second, int64_t row, int64_t col,
                                    char *const *ptrs, const int64_t *dims);
}
/// Opens the definition of a library function: CIUIC_LIBRARY(ciuic_cuda_NAME) { … }. Who includes a
/// function's source to call it there may give it internal linkage, and pays for what is called
/// only.
#ifndef CIUIC_LIBRARY_LINKAGE
#define CIUIC_LIBRARY_LINKAGE extern "C" __device__ __attribute__((always_inline))
#endif
#define CIUIC_LIBRARY(name)                                                                        \
  CIUIC_LIBRARY_LINKAGE void name(const int64_t *args, char *const *ptrs, const int64_t *dims,     \
                                  const int64_t *params)
