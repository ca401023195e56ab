// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Attention of one query over constant caches, f16 and quantised rows, for timing: caches are
// [head, sequence, row]. attention.py lists the same shapes.
#define CIUIC_LIBRARY_LINKAGE static __device__ __forceinline__
#include "kernels/cuda/DecodeAttention.cu"
#include "tools/gpu/products/AttentionArgs.h"

extern "C" __device__ void ciuic_epilogue(float value, int64_t row, int64_t col, char *const *ptrs,
                                          const int64_t *dims) {
  reinterpret_cast<Half *>(ptrs[5])[row * dims[0] + col] = fromFloat<Half>(value);
}

#define CIUIC_ENTRY(form, bytes, H, G, K, D, scale)                                                \
  extern "C" __global__ void __launch_bounds__(kAttentionThreads)                                  \
      time_decode_##form##_##H##_##G##_##K##_##D(char *q, char *k, char *v, char *workspace,       \
                                                 char *out) {                                      \
    int64_t args[kAttentionArgs] = {};                                                             \
    setAttentionArgs(args, 1, H, G, 1, K, D, scale, true, bytes);                                  \
    const int64_t dims[] = {D};                                                                    \
    char *const ptrs[] = {q, k, v, nullptr, workspace, out};                                       \
    ciuic_cuda_decode_attention_##form(args, ptrs, dims, nullptr);                                 \
  }
#define CIUIC_ENTRIES(H, G, K, D, scale)                                                           \
  CIUIC_ENTRY(f16, D, H, G, K, D, scale)                                                           \
  CIUIC_ENTRY(f16_rows8, ciuic::kernels::quantisedRowBytes(D), H, G, K, D, scale)
CIUIC_ENTRIES(32, 32, 512, 128, 0x3db504f3)
CIUIC_ENTRIES(32, 32, 4096, 128, 0x3db504f3)
CIUIC_ENTRIES(32, 8, 4096, 128, 0x3db504f3)
CIUIC_ENTRIES(32, 8, 32768, 128, 0x3db504f3)
CIUIC_ENTRIES(9, 3, 8192, 64, 0x3e000000)
