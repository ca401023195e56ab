// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Kernels that a GPU is measured with: memory alone, arithmetic alone, and the project's own
// products and attention at constant shapes, as programs have them. Each family has tiles of its
// own names, so each is a module: CIUIC_PROBE_FAMILY is 0 (memory, arithmetic), 1 (matrix-vector
// products), 2 (quantised products) or 3 (attention).
#define CIUIC_LIBRARY_LINKAGE static __device__ __forceinline__
#if CIUIC_PROBE_FAMILY == 0
#include "kernels/cuda/Device.h"
#elif CIUIC_PROBE_FAMILY == 1
#include "kernels/cuda/Gemv.cu"
#include "kernels/cuda/GemvMixed.cu"
#elif CIUIC_PROBE_FAMILY == 2
#include "kernels/cuda/Matmul.cu"
#else
#include "kernels/cuda/Attention.cu"
#endif
#include "tools/ciuic-bench/ProbeShapes.h"

using namespace ciuic::cuda;
using ciuic::bench::kProbeK, ciuic::bench::kProbeN;

#if CIUIC_PROBE_FAMILY == 0

extern "C" __global__ void __launch_bounds__(512)
    probe_copy(const Words *from, Words *to, int64_t count) {
  const int64_t step = static_cast<int64_t>(blockCount()) * threadCount();
  int64_t i = static_cast<int64_t>(blockIndex()) * threadCount() + threadIndex();
  for (; i + 3 * step < count; i += 4 * step) {
    Words v[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      v[j] = streamWords(from + i + j * step);
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      storeWords(to + i + j * step, v[j]);
    }
  }
  for (; i < count; i += step) {
    storeWords(to + i, streamWords(from + i));
  }
}

// y = x · sigmoid(x), many times over.
extern "C" __global__ void __launch_bounds__(256) probe_silu(float *data, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIndex()) * threadCount() + threadIndex();
  if (i < count) {
    float x = data[i];
#pragma unroll 1
    for (int j = 0; j < ciuic::bench::kProbeRepeats; ++j) {
      const float e = 1.0f + exp2Fast(-1.44269504f * x);
      asm volatile("div.full.f32 %0, %0, %1;" : "+f"(x) : "f"(e)); // as in 16-bit kernels
    }
    data[i] = x;
  }
}

#else

// `dims` is the row's length and the place of the result among the pointers.
extern "C" __device__ void ciuic_epilogue(float value, int64_t row, int64_t col, char *const *ptrs,
                                          const int64_t *dims) {
  reinterpret_cast<Half *>(ptrs[dims[1]])[row * dims[0] + col] = fromFloat<Half>(value);
}

#if CIUIC_PROBE_FAMILY == 1
extern "C" __device__ void ciuic_epilogue_pair(float first, float second, int64_t row, int64_t col,
                                               char *const *ptrs, const int64_t *dims) {
  ciuic_epilogue(first * second, row, col, ptrs, dims);
}
#endif

#define CIUIC_GEMV(A, W, M)                                                                        \
  extern "C" __global__ void __launch_bounds__(256, 2)                                             \
      probe_gemv_##A##_##W##_##M(char *a, char *weights, char *out) {                              \
    const int64_t args[] = {M, kProbeN, kProbeK, kProbeK, kProbeN, 0, 0, 0},                       \
                  dims[] = {kProbeN, 2}, params[] = {0, kProbeN / 16};                             \
    char *const ptrs[] = {a, weights, out};                                                        \
    ciuic_cuda_gemv_##A##_##W(args, ptrs, dims, params);                                           \
  }
#define CIUIC_MATMUL(A, W)                                                                         \
  extern "C" __global__ void __launch_bounds__(256, CIUIC_HAS_WARPGROUPS ? kMatmulResident : 1)    \
      probe_matmul_##A##_##W(char *a, char *weights, char *workspace, char *out, int64_t M) {      \
    const int64_t args[] = {M, kProbeN, kProbeK, kProbeK, kProbeN}, dims[] = {kProbeN, 3},         \
                  params[] = {0, kProbeN / 16};                                                    \
    char *const ptrs[] = {a, weights, workspace, out};                                             \
    ciuic_cuda_matmul_##A##_##W(args, ptrs, dims, params);                                         \
  }
#if CIUIC_PROBE_FAMILY == 1
CIUIC_PROBE_GEMV(CIUIC_GEMV)
#elif CIUIC_PROBE_FAMILY == 2
CIUIC_PROBE_MATMUL(CIUIC_MATMUL)
#else

// A prompt's: causal, heads side by side.
extern "C" __global__ void __launch_bounds__(kAttentionThreads)
    probe_attention(char *q, char *k, char *v, char *out) {
  using namespace ciuic::bench;
  constexpr int64_t row = kProbeHeads * kProbeWidth;
  int64_t args[kAttentionArgs] = {};
  args[kAttnBatch] = 1, args[kAttnHeads] = args[kAttnKvHeads] = kProbeHeads;
  args[kAttnQueries] = args[kAttnKeys] = kProbeTokens;
  args[kAttnWidth] = args[kAttnValueWidth] = kProbeWidth;
  args[kAttnScale] = 0x3DB504F3; // 128^-0.5
  args[kAttnCausal] = 1;
  args[kAttnQHead] = args[kAttnKHead] = args[kAttnVHead] = args[kAttnOutHead] = kProbeWidth;
  args[kAttnQSeq] = args[kAttnKSeq] = args[kAttnVSeq] = args[kAttnOutSeq] = row;
  char *const ptrs[] = {q, k, v, nullptr, out};
  const int64_t dims[] = {row, 4}, params[] = {0};
  ciuic_cuda_attention_f16(args, ptrs, dims, params);
}
#endif
#endif
