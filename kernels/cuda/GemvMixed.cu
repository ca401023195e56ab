// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products of few rows whose two types have no exact product on tensor cores: f32 weights, and
// 16-bit weights of another type than the activations. out[M, N] = A[M, K] × W, M ≤ 16, W packed as
// Rows16: [16][K] to a panel.
//
// A block takes a panel, a warp two of its columns, a lane every 32nd vector of sixteen bytes of k;
// fused multiply-adds in f32, then a sum over the lanes in a fixed order. Reads W once: 2 or 4
// bytes a weight, four vectors of each column under way. A column's result depends on its weights,
// its row of A and K alone. With kGemvNorm each block keeps the rows in shared memory, normalised.
//   args: MatmulArg, then GemvArg. ptrs: A, W (at panel `first`), with kGemvNorm the scales of the
//   norm, …; params: first panel, end panel.
#include "kernels/cuda/Abi.h"
#include "kernels/cuda/Catalog.h"
#include "kernels/cuda/Overlap.h"

using namespace ciuic::kernels;
using namespace ciuic::kernels::cuda;
using namespace ciuic::cuda;

namespace {

constexpr int kColumns = 2, kUnroll = 4;

/// `kCount` values from `from`, zeros from `left` on. `aligned`: to their vector.
template <int kCount>
CIUIC_DEVICE void valuesOf(const float *from, int64_t left, bool aligned, float (&values)[kCount]) {
  if (aligned && left >= kCount) {
#pragma unroll
    for (int i = 0; i < kCount; i += 4) {
      const Words v = loadWords(from + i);
      values[i] = fromBits(static_cast<int>(v.x)), values[i + 1] = fromBits(static_cast<int>(v.y));
      values[i + 2] = fromBits(static_cast<int>(v.z)),
                 values[i + 3] = fromBits(static_cast<int>(v.w));
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    values[i] = i < left ? from[i] : 0.0f;
  }
}
template <int kCount, typename T>
CIUIC_DEVICE void valuesOf(const T *from, int64_t left, bool aligned, float (&values)[kCount]) {
  if (aligned && left >= kCount) {
#pragma unroll
    for (int i = 0; i < kCount; i += 2) {
      unpack(*reinterpret_cast<const uint32_t *>(from + i), T(), values[i], values[i + 1]);
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    values[i] = i < left ? toFloat(from[i]) : 0.0f;
  }
}

/// The weights of a vector, in the registers that its load fills.
template <int kCount>
CIUIC_DEVICE void unpackWords(const Words &words, float, float (&values)[kCount]) {
  values[0] = fromBits(static_cast<int>(words.x)), values[1] = fromBits(static_cast<int>(words.y));
  values[2] = fromBits(static_cast<int>(words.z)), values[3] = fromBits(static_cast<int>(words.w));
}
template <int kCount, typename T>
CIUIC_DEVICE void unpackWords(const Words &words, T, float (&values)[kCount]) {
  unpack(words.x, T(), values[0], values[1]);
  unpack(words.y, T(), values[2], values[3]);
  unpack(words.z, T(), values[4], values[5]);
  unpack(words.w, T(), values[6], values[7]);
}

constexpr int64_t kFetched = 64 * 1024; // bytes of weights fetched while rows are normalised
constexpr int kThreads = static_cast<int>(kGemvBlock.threads);

/// Rows divided by the root of their mean square, times the scales, rounded to A: in shared memory
/// behind the sums, `stride` elements apart.
template <typename A>
CIUIC_DEVICE A *normalised(const int64_t *args, const A *a, const A *scale, int64_t stride) {
  const int64_t K = args[kMatmulK], lda = args[kMatmulLda];
  const int M = static_cast<int>(args[kMatmulM]);
  float *partial = reinterpret_cast<float *>(ciuic_shared); // [row][warp]
  A *rows = reinterpret_cast<A *>(ciuic_shared + kGemvSums);
  for (int m = 0; m < M; ++m) {
    float sum = 0;
    for (int64_t k = threadIndex(); k < K; k += kThreads) {
      const A x = a[m * lda + k];
      rows[m * stride + k] = x;
      sum = fusedMultiplyAdd(toFloat(x), toFloat(x), sum);
    }
    sum = warpSum(sum);
    if (laneIndex() == 0) {
      partial[m * (kThreads / 32) + warpIndex()] = sum;
    }
  }
  barrier();
  const float epsilon = fromBits(static_cast<int>(args[kGemvEpsilon]));
  for (int m = 0; m < M; ++m) {
    float total = 0;
#pragma unroll
    for (int w = 0; w < kThreads / 32; ++w) {
      total += partial[m * (kThreads / 32) + w];
    }
    const float factor = inverseRoot(total / static_cast<float>(K) + epsilon);
    for (int64_t k = threadIndex(); k < K; k += kThreads) { // the thread's own elements
      A &x = rows[m * stride + k];
      x = fromFloat<A>(toFloat(x) * factor * toFloat(scale[k]));
    }
  }
  barrier();
  return rows;
}

template <typename A, typename W, int kRows>
CIUIC_DEVICE void gemvMixed(const int64_t *args, char *const *ptrs, const int64_t *dims,
                            const int64_t *params) {
  constexpr int kCount = 16 / sizeof(W);
  const int64_t K = args[kMatmulK], N = args[kMatmulN];
  int64_t lda = args[kMatmulLda];
  const int M = static_cast<int>(args[kMatmulM]);
  const int lane = laneIndex(), warp = warpIndex();
  const A *a = reinterpret_cast<const A *>(ptrs[0]);
  if (args[kGemvNorm] != 0) {
    const int64_t stride = (K + 7) / 8 * 8;
    a = normalised(args, a, reinterpret_cast<const A *>(ptrs[2]), stride);
    lda = stride;
  }
  constexpr int kAlign = kCount * sizeof(A) < 16 ? kCount * sizeof(A) : 16;
  const bool rowsAligned =
      reinterpret_cast<uintptr_t>(a) % kAlign == 0 && (M == 1 || lda * sizeof(A) % kAlign == 0);
  // A unit is a panel, or the two of a pair one after the other.
  const int together = args[kGemvPairs] != 0 ? 2 : 1;
  for (int64_t unit = params[0] / together + blockIndex(); unit * together < params[1];
       unit += blockCount()) {
    float former = 0, own = 0;
#pragma unroll 1
    for (int i = 0; i < together; ++i) {
      former = own, own = 0;
      const int64_t panel = unit * together + i;
      const W *columns =
          reinterpret_cast<const W *>(ptrs[1]) + ((panel - params[0]) * 16 + warp * kColumns) * K;
      float sums[kColumns][kRows] = {};
      for (int64_t begin = lane * kCount; begin < K; begin += 32 * kCount * kUnroll) {
        Words words[kUnroll][kColumns];
        if (K % kCount == 0) {
#pragma unroll
          for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
            for (int c = 0; c < kColumns; ++c) {
              if (begin + u * 32 * kCount < K) {
                words[u][c] = streamWords(columns + c * K + begin + u * 32 * kCount);
              }
            }
          }
        }
#pragma unroll
        for (int u = 0; u < kUnroll; ++u) {
          const int64_t k = begin + u * 32 * kCount;
          if (k < K) {
            float w[kColumns][kCount];
#pragma unroll
            for (int c = 0; c < kColumns; ++c) {
              if (K % kCount == 0) {
                unpackWords(words[u][c], W(), w[c]);
              } else {
                valuesOf(columns + c * K + k, K - k, false, w[c]);
              }
            }
#pragma unroll
            for (int m = 0; m < kRows; ++m) {
              if (m < M) {
                float x[kCount];
                valuesOf(a + m * lda + k, K - k, rowsAligned, x);
#pragma unroll
                for (int c = 0; c < kColumns; ++c) {
#pragma unroll
                  for (int i = 0; i < kCount; ++i) {
                    sums[c][m] = fusedMultiplyAdd(w[c][i], x[i], sums[c][m]);
                  }
                }
              }
            }
          }
        }
      }
      // Lane c · kRows + m hands over element (m, c).
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
#pragma unroll
        for (int m = 0; m < kRows; ++m) {
          const float sum = warpSum(sums[c][m]);
          own = lane == c * kRows + m ? sum : own;
        }
      }
    }
    const int64_t col = unit * 16 + warp * kColumns + lane / kRows;
    if (lane >= kColumns * kRows || lane % kRows >= M || col >= N / together) {
      continue;
    }
    if (together == 2) {
      ciuic_epilogue_pair(former, own, lane % kRows, col, ptrs, dims);
    } else {
      ciuic_epilogue(own, lane % kRows, col, ptrs, dims);
    }
  }
}

/// Asks for the beginning of the block's first panel, which is there when the rows are normalised.
template <typename W>
CIUIC_DEVICE void fetchFirstPanel(const int64_t *args, char *const *ptrs, const int64_t *params) {
  const int64_t together = args[kGemvPairs] != 0 ? 2 : 1,
                panelBytes = args[kMatmulK] * 16 * sizeof(W);
  const int64_t first = blockIndex() * together; // of those of the launch
  if (first < params[1] - params[0]) {
    const char *from = ptrs[1] + first * panelBytes;
    const int64_t bytes = panelBytes * together < kFetched ? panelBytes * together : kFetched;
    for (int64_t at = threadIndex() * 128; at < bytes; at += kThreads * 128) {
      asm volatile("prefetch.global.L2 [%0];" ::"l"(from + at));
    }
  }
}

template <typename A, typename W>
CIUIC_DEVICE void gemvMixedOf(const int64_t *args, char *const *ptrs, const int64_t *dims,
                              const int64_t *params) {
  if (args[kGemvNorm] != 0) {
    fetchFirstPanel<W>(args, ptrs, params);
  }
  waitForActivations();
  if (args[kMatmulM] == 1) {
    gemvMixed<A, W, 1>(args, ptrs, dims, params);
  } else if (args[kMatmulM] <= 4) {
    gemvMixed<A, W, 4>(args, ptrs, dims, params);
  } else {
    gemvMixed<A, W, 16>(args, ptrs, dims, params);
  }
  // At the end: blocks of the next kernel that came earlier would only take the place of this
  // one's.
  launchDependents();
}

} // namespace

#define CIUIC_GEMV(A, W, Activation, Weight)                                                       \
  CIUIC_LIBRARY(ciuic_cuda_gemv_##A##_##W) {                                                       \
    gemvMixedOf<Activation, Weight>(args, ptrs, dims, params);                                     \
  }
CIUIC_GEMV(f32, f32, float, float)
CIUIC_GEMV(f32, f16, float, Half)
CIUIC_GEMV(f16, f32, Half, float)
CIUIC_GEMV(f16, bf16, Half, BFloat)
CIUIC_GEMV(bf16, f32, BFloat, float)
CIUIC_GEMV(bf16, f16, BFloat, Half)
#undef CIUIC_GEMV
