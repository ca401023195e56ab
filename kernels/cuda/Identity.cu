// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The simplest library function: hands the elements of a matrix to the epilogue as they are. Tests
// of epilogues and of the linking call it, and it shows the form of the others.
//   args: M, N, lda as MatmulArg; ptrs: A, …; one element per thread and step. Moves 4 M N bytes.
#include "kernels/cuda/Abi.h"

using namespace ciuic::kernels;
using namespace ciuic::cuda;

CIUIC_LIBRARY(ciuic_cuda_identity_f32) {
  const float *a = reinterpret_cast<const float *>(ptrs[0]);
  const int64_t n = args[kMatmulN], count = args[kMatmulM] * n;
  const int64_t step = static_cast<int64_t>(blockCount()) * threadCount();
  for (int64_t i = static_cast<int64_t>(blockIndex()) * threadCount() + threadIndex(); i < count;
       i += step) {
    ciuic_epilogue(a[i / n * args[kMatmulLda] + i % n], i / n, i % n, ptrs, dims);
  }
}
