// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products with quantised weights for any number of rows: out[M, N] = A[M, K] × W on tensor cores,
// W packed as Rows16 in int8 or int4 and decoded in registers, never written out.
//
// A block computes 128 columns (eight panels) of 128 rows, or 64 of 64 where M is small. Steps of
// 64 values of k pass through four buffers of shared memory, filled by asynchronous copies three
// steps ahead. A warp has two panels and a part of the rows; a lane reads the sixteen bytes of a
// panel that are its fragments, and of a row of A the sixteen that go with them (Mma.h says in
// which order of k). Quants are multiplied as integers, exactly; a group's f32 sum is scaled and
// added when the group ends, a column's in the end. A result's additions are in the order of k,
// whatever tile it lies in: it depends on its column, its row and K alone.
//
// Operations: 2·M·N·K; a decoded word serves as many products as the warp has runs of eight rows.
// f32 activations are multiplied as three bf16 parts (exact), at a third of the speed.
// 16-bit activations have a version of their own where there are warpgroups: MatmulTogether.h.
//   args: MatmulArg. ptrs: A, W (at panel `first`), the workspace if there are bytes for one
//   (`matmulWorkspace`), …; params: first panel, end panel.
#include "kernels/cuda/Abi.h"
#include "kernels/cuda/Catalog.h"
#include "kernels/cuda/MatmulTogether.h"

using namespace ciuic::kernels;
using namespace ciuic::kernels::cuda;
using namespace ciuic::cuda;

namespace {

constexpr int kThreads = 256, kStep = 64, kStages = 4;

CIUIC_DEVICE uint32_t sharedOffset(int bytes) {
  uint32_t base;
  asm("{\n\t.reg .u64 a;\n\tcvta.to.shared.u64 a, %1;\n\tcvt.u32.u64 %0, a;\n\t}"
      : "=r"(base)
      : "l"(ciuic_shared));
  return base + static_cast<uint32_t>(bytes);
}
/// Begins a copy of `bytes` (0 … kBytes) to shared memory; the rest becomes zero.
template <int kBytes>
CIUIC_DEVICE void copyTo(uint32_t shared, const void *from, int bytes) {
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(from),
                 "r"(bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(shared), "l"(from),
                 "r"(bytes), "n"(kBytes)
                 : "memory");
  }
}
CIUIC_DEVICE void closeStage() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kNewer>
CIUIC_DEVICE void waitForStage() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kNewer) : "memory");
}

/// One buffer: rows of A, quants, scales.
template <typename Weight, typename A, int kPanels, int kRows>
struct Stage {
  using Q = Quants<Weight>;
  static constexpr int kRowBytes = kStep * sizeof(A), kRowChunks = kRowBytes / 16;
  static constexpr int kQuants = kRows * kRowBytes, kScales = kQuants + kPanels * Q::kBytes;
  static constexpr int kBytes = kScales + kPanels * 8 * Q::kScaleBytes;

  /// Where chunk `chunk` of a row lies: the four lanes of a row and those of the next one use
  /// different banks.
  static CIUIC_DEVICE int chunkAt(int row, int chunk) {
    return row * kRowBytes + (chunk ^ (sizeof(A) == 2 ? (row & 1) << 2 : row & 1)) * 16;
  }
};

/// Eight values of k of a row of A, as parts.
CIUIC_DEVICE void partsOf(const char *stage, int row, int eight, Half, Words (&parts)[1]) {
  parts[0] = *reinterpret_cast<const Words *>(stage + row * 128 + (eight ^ (row & 1) << 2) * 16);
}
CIUIC_DEVICE void partsOf(const char *stage, int row, int eight, BFloat, Words (&parts)[1]) {
  partsOf(stage, row, eight, Half(), parts);
}
CIUIC_DEVICE void partsOf(const char *stage, int row, int eight, float, Words (&parts)[3]) {
  uint32_t x[8];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const Words words =
        *reinterpret_cast<const Words *>(stage + row * 256 + ((eight * 2 + half) ^ (row & 1)) * 16);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      x[half * 4 + i] = wordOf(words, i);
    }
  }
#pragma unroll
  for (int p = 0; p < 3; ++p) {
    parts[p] = {permute(x[0], x[1], 0x7632), permute(x[2], x[3], 0x7632),
                permute(x[4], x[5], 0x7632), permute(x[6], x[7], 0x7632)};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      x[i] = static_cast<uint32_t>(toBits(lessItsUpperHalf(fromBits(static_cast<int>(x[i])))));
    }
  }
}

template <typename Weight, typename A, int kPanels, int kRows>
CIUIC_DEVICE void matmulTiles(const int64_t *args, char *const *ptrs, const int64_t *dims,
                              const int64_t *params) {
  using Q = Quants<Weight>;
  using Buffer = Stage<Weight, A, kPanels, kRows>;
  constexpr int kParts = sizeof(A) == 4 ? 3 : 1, kPanelWarps = kPanels / 2,
                kRowWarps = 8 / kPanelWarps;
  constexpr int kRuns = kRows / kRowWarps / 8; // of eight rows, of a warp
  constexpr int kColumns = kPanels * 16, kSumStride = kColumns + 4;
  constexpr int kOfChunk = 16 / sizeof(A), kChunks = Buffer::kRowChunks,
                kRowStep = kThreads / kChunks;
  constexpr int kPanelChunks = Q::kBytes / 16, kPanelStep = kThreads / kPanelChunks;
  static_assert(kRows % kRowStep == 0 && kRowStep % 2 == 0);
  static_assert(kRows * kSumStride * 4 <= kStages * Buffer::kBytes &&
                kStages * Buffer::kBytes <= kMatmulBlock.sharedBytes);

  const int64_t M = args[kMatmulM], N = args[kMatmulN], K = args[kMatmulK], lda = args[kMatmulLda];
  const A *a = reinterpret_cast<const A *>(ptrs[0]);
  const char *weights = ptrs[1];
  const int64_t first = params[0], end = params[1], panelBytes = Weight::panelBytes(K);
  const int64_t rowTiles = (M + kRows - 1) / kRows,
                units = rowTiles * ((end - first + kPanels - 1) / kPanels);
  const int steps = static_cast<int>((K + kStep - 1) / kStep);
  const int thread = threadIndex(), lane = laneIndex(), group = lane / 4, quad = lane % 4;
  const int panelWarp = warpIndex() % kPanelWarps, rowWarp = warpIndex() / kPanelWarps;
  const bool aligned = reinterpret_cast<uintptr_t>(a) % 16 == 0 && lda * sizeof(A) % 16 == 0;

  const uint32_t shared = sharedOffset(0);

  for (int64_t unit = blockIndex(); unit < units; unit += blockCount()) {
    const int64_t row0 = unit % rowTiles * kRows, panel0 = first + unit / rowTiles * kPanels;

    // Where this thread's copies of the next step begin: a chunk of some rows of A, one or two of
    // the quants. Steps are filled in order.
    const char *fromA =
        reinterpret_cast<const char *>(a + (row0 + thread / kChunks) * lda) + thread % kChunks * 16;
    const int64_t fromPanel = panel0 + thread / kPanelChunks;
    const char *fromW =
        weights + (fromPanel - first) * panelBytes + Q::quantsAt(K) + thread % kPanelChunks * 16;
    auto fill = [&](int step) {
      const uint32_t base = shared + step % kStages * Buffer::kBytes;
      // Values of k left from this thread's chunk on.
      const int left =
          K % kStep == 0 ? kStep : static_cast<int>(K) - step * kStep - thread % kChunks * kOfChunk;
      const int bytes = left <= 0 ? 0 : left >= kOfChunk ? 16 : left * static_cast<int>(sizeof(A));
      const uint32_t toA = base + Buffer::chunkAt(thread / kChunks, thread % kChunks);
      if (aligned) {
#pragma unroll
        for (int i = 0; i < kRows / kRowStep; ++i) {
          const bool there = row0 + thread / kChunks + i * kRowStep < M && bytes > 0;
          copyTo<16>(toA + i * kRowStep * Buffer::kRowBytes,
                     there ? fromA + i * kRowStep * lda * static_cast<int64_t>(sizeof(A))
                           : reinterpret_cast<const char *>(a),
                     there ? bytes : 0);
        }
      } else {
#pragma unroll 1
        for (int i = 0; i < kRows / kRowStep; ++i) {
          const int row = thread / kChunks + i * kRowStep;
          const int count = row0 + row < M ? bytes / static_cast<int>(sizeof(A)) : 0;
          A *to = reinterpret_cast<A *>(ciuic_shared + step % kStages * Buffer::kBytes +
                                        Buffer::chunkAt(row, thread % kChunks));
          const A *from = reinterpret_cast<const A *>(fromA) + i * kRowStep * lda;
#pragma unroll 1
          for (int n = 0; n < kOfChunk; ++n) {
            to[n] = n < count ? from[n] : A{};
          }
        }
      }
      fromA += kStep * sizeof(A);
#pragma unroll
      for (int i = 0; i < (kPanels + kPanelStep - 1) / kPanelStep; ++i) {
        if (kPanels % kPanelStep == 0 || thread / kPanelChunks < kPanels) {
          bool there = fromPanel + i * kPanelStep < end;
          if (K % kStep != 0) {
            there &= step * (Q::kBytes / 512) + thread % kPanelChunks / 32 < Q::blockCount(K);
          }
          copyTo<16>(base + Buffer::kQuants + (thread + i * kThreads) * 16,
                     there ? fromW + i * kPanelStep * panelBytes : weights, there ? 16 : 0);
        }
      }
      fromW += Q::kBytes;
      if constexpr (Q::kScaleBytes > 0) {
        if (thread < kPanels * 8) {
          const int64_t panel = panel0 + thread / 8;
          const bool there = panel < end;
          const char *from =
              weights + (panel - first) * panelBytes + Q::scalesAt(step * kStep, thread % 8);
          copyTo<Q::kScaleBytes>(base + Buffer::kScales + thread * Q::kScaleBytes,
                                 there ? from : weights, there ? Q::kScaleBytes : 0);
        }
      }
    };

    float sums[2][kRuns][4] = {}, inner[2][kRuns][4] = {};
    // The group's sums, scaled, join the others.
    auto scale = [&](const char *stage, int ofStep) {
#pragma unroll
      for (int p = 0; p < 2; ++p) {
        const char *scales =
            stage + Buffer::kScales + ((panelWarp * 2 + p) * 8 + group) * Q::kScaleBytes;
        float low, high;
        unpack(reinterpret_cast<const uint32_t *>(scales)[ofStep], Half(), low, high);
#pragma unroll
        for (int n = 0; n < kRuns; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            sums[p][n][i] = fusedMultiplyAdd(i < 2 ? low : high, inner[p][n][i], sums[p][n][i]);
            inner[p][n][i] = 0;
          }
        }
      }
    };

#pragma unroll
    for (int s = 0; s < kStages - 1; ++s) {
      if (s < steps) {
        fill(s);
      }
      closeStage();
    }
    for (int step = 0; step < steps; ++step) {
      waitForStage<kStages - 2>();
      barrier();
      if (step + kStages - 1 < steps) {
        fill(step + kStages - 1);
      }
      closeStage();
      const char *stage = ciuic_shared + step % kStages * Buffer::kBytes;
      Words quants[2][Q::kBytes / 512];
#pragma unroll
      for (int p = 0; p < 2; ++p) {
#pragma unroll
        for (int i = 0; i < Q::kBytes / 512; ++i) {
          quants[p][i] = loadWords(stage + Buffer::kQuants + (panelWarp * 2 + p) * Q::kBytes +
                                   i * 512 + lane * 16);
        }
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        Words b[kRuns][kParts];
#pragma unroll
        for (int n = 0; n < kRuns; ++n) {
          partsOf(stage, (rowWarp * kRuns + n) * 8 + group, half * 4 + quad, A{}, b[n]);
        }
#pragma unroll
        for (int j = 0; j < 2; ++j) {
#pragma unroll
          for (int p = 0; p < 2; ++p) {
            uint32_t w[4];
            Q::decode(quants[p], half * 2 + j, w);
#pragma unroll
            for (int n = 0; n < kRuns; ++n) {
#pragma unroll
              for (int part = 0; part < kParts; ++part) {
                multiplyAdd(Q::kGroup ? inner[p][n] : sums[p][n], w, wordOf(b[n][part], j * 2),
                            wordOf(b[n][part], j * 2 + 1), typename Q::Math());
              }
            }
          }
        }
        if constexpr (Q::kGroup == 32) {
          scale(stage, half);
        }
      }
      if constexpr (Q::kGroup == 64) {
        scale(stage, 0);
      } else if constexpr (Q::kGroup == 128) {
        if (step % 2 == 1 || step + 1 == steps) {
          scale(stage, 0);
        }
      }
    }

    // Through shared memory, so that neighbouring threads hand over neighbouring columns.
    waitForStage<0>();
    barrier();
    float *tile = reinterpret_cast<float *>(ciuic_shared);
#pragma unroll
    for (int p = 0; p < 2; ++p) {
#pragma unroll
      for (int n = 0; n < kRuns; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int row = (rowWarp * kRuns + n) * 8 + quad * 2 + i % 2;
          tile[row * kSumStride + (panelWarp * 2 + p) * 16 + group + i / 2 * 8] = sums[p][n][i];
        }
      }
    }
    barrier();
    for (int i = thread; i < kRows * kColumns; i += kThreads) {
      const int64_t row = row0 + i / kColumns, panel = panel0 + i % kColumns / 16,
                    col = panel * 16 + i % 16;
      if (row < M && panel < end && col < N) {
        float value = tile[i / kColumns * kSumStride + i % kColumns];
        if constexpr (Q::kGroup == 0) {
          value *= reinterpret_cast<const float *>(weights + (panel - first) * panelBytes)[i % 16];
        }
        ciuic_epilogue(value, row, col, ptrs, dims);
      }
    }
    barrier();
  }
}

#if CIUIC_HAS_WARPGROUPS
/// Parts of a tile that are done; the last block puts it back to zero.
__device__ unsigned partsDone[kMatmulBlocks / 2];
#endif

template <typename Weight, typename A>
CIUIC_DEVICE void matmulOf(const int64_t *args, char *const *ptrs, const int64_t *dims,
                           const int64_t *params) {
#if CIUIC_HAS_WARPGROUPS
  if constexpr (sizeof(A) == 2) {
    if (matmulRows(args[kMatmulM], args[kMatmulN]) == 128) {
      matmulTogether<Weight, A, 128>(partsDone, args, ptrs, dims, params);
    } else {
      matmulTogether<Weight, A, 64>(partsDone, args, ptrs, dims, params);
    }
    return;
  }
#endif
  constexpr int kRows = sizeof(A) == 4 ? 64 : 128;
  if (args[kMatmulM] <= kRows / 2) {
    matmulTiles<Weight, A, 4, kRows / 2>(args, ptrs, dims, params);
  } else {
    matmulTiles<Weight, A, 8, kRows>(args, ptrs, dims, params);
  }
}

} // namespace

#define CIUIC_MATMUL(A, W, Activation, ...)                                                        \
  CIUIC_LIBRARY(ciuic_cuda_matmul_##A##_##W) {                                                     \
    matmulOf<__VA_ARGS__, Activation>(args, ptrs, dims, params);                                   \
  }
CIUIC_MATMUL(f16, int8, Half, Int8Weight<Half>)
CIUIC_MATMUL(f16, int4g32, Half, Int4Weight<Half, 32>)
CIUIC_MATMUL(f16, int4g64, Half, Int4Weight<Half, 64>)
CIUIC_MATMUL(f16, int4g128, Half, Int4Weight<Half, 128>)
CIUIC_MATMUL(bf16, int8, BFloat, Int8Weight<BFloat>)
CIUIC_MATMUL(bf16, int4g32, BFloat, Int4Weight<BFloat, 32>)
CIUIC_MATMUL(bf16, int4g64, BFloat, Int4Weight<BFloat, 64>)
CIUIC_MATMUL(bf16, int4g128, BFloat, Int4Weight<BFloat, 128>)
CIUIC_MATMUL(f32, int8, float, Int8Weight<BFloat>)
CIUIC_MATMUL(f32, int4g32, float, Int4Weight<BFloat, 32>)
CIUIC_MATMUL(f32, int4g64, float, Int4Weight<BFloat, 64>)
CIUIC_MATMUL(f32, int4g128, float, Int4Weight<BFloat, 128>)
#undef CIUIC_MATMUL
