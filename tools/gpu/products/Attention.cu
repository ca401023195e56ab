// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Attention of constant shapes, f16, as a program's kernels are, for timing: queries and results as
// products leave them, [batch, sequence, head, width]; keys and values as a cache keeps them,
// [batch, head, sequence, width]. attention.py lists the same shapes.
#define CIUIC_LIBRARY_LINKAGE static __device__ __forceinline__
#include "kernels/cuda/Attention.cu"
#include "tools/gpu/products/AttentionArgs.h"

extern "C" __device__ void ciuic_epilogue(float value, int64_t row, int64_t col, char *const *ptrs,
                                          const int64_t *dims) {
  const int64_t heads = dims[0], queries = dims[1], width = dims[2];
  const int64_t query = row % queries, head = row / queries % heads, batch = row / queries / heads;
  reinterpret_cast<Half *>(ptrs[4])[((batch * queries + query) * heads + head) * width + col] =
      fromFloat<Half>(value);
}

#define CIUIC_ENTRY(B, H, G, Q, K, D, causal, scale)                                               \
  extern "C" __global__ void __launch_bounds__(kAttentionThreads)                                  \
      time_attention_##B##_##H##_##G##_##Q##_##K##_##D##_##causal(char *q, char *k, char *v,       \
                                                                  char *out) {                     \
    int64_t args[kAttentionArgs] = {};                                                             \
    setAttentionArgs(args, B, H, G, Q, K, D, scale, causal, D);                                    \
    const int64_t dims[] = {H, Q, D};                                                              \
    char *const ptrs[] = {q, k, v, nullptr, out};                                                  \
    ciuic_cuda_attention_f16(args, ptrs, dims, nullptr);                                           \
  }
// The scale's bits: 1 / √128, 1 / 8, 1 / √80.
CIUIC_ENTRY(1, 32, 32, 512, 512, 128, 1, 0x3db504f3)
CIUIC_ENTRY(1, 32, 32, 2048, 2048, 128, 1, 0x3db504f3)
CIUIC_ENTRY(1, 32, 32, 8192, 8192, 128, 1, 0x3db504f3)
CIUIC_ENTRY(1, 32, 8, 16384, 16384, 128, 1, 0x3db504f3)
CIUIC_ENTRY(1, 32, 8, 512, 8192, 128, 1, 0x3db504f3)
CIUIC_ENTRY(1, 32, 32, 4096, 4096, 128, 0, 0x3db504f3)
CIUIC_ENTRY(1, 32, 32, 4096, 4096, 64, 1, 0x3e000000)
CIUIC_ENTRY(2, 10, 10, 4096, 4096, 64, 0, 0x3e000000)
CIUIC_ENTRY(2, 8, 8, 4096, 4096, 40, 0, 0x3e21e89b)
CIUIC_ENTRY(2, 8, 8, 1024, 1024, 80, 0, 0x3de4f92e)
