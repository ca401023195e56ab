// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Quantised products by warpgroups (wgmma, compute capability 9.0), 16-bit activations: the weight,
// decoded in registers, is the left operand, rows of A in shared memory are the right one, so the
// matrix units read what is decoded at once.
//
// A block of two warpgroups has a tile of MatmulShape.h, each of them 64 of its columns. Steps of
// 64 values of k pass through buffers of shared memory, filled by asynchronous copies. A warpgroup
// decodes a step, multiplies, and waits; its registers are few enough for two blocks on a
// multiprocessor, whose four warpgroups keep the matrix units busy between them. Quants are
// multiplied as integers, exactly, onto sums in units of the group's scale: where a group begins
// the sums are multiplied by the ratio of the last scale to its own. Where K is split among blocks,
// the last one adds up the parts in their order; results depend on the product's shape alone.
//
// H100, f16 by int4 in groups of 128, 4096 × 4096: 1024 rows 74 µs, 2048 rows 149 (462 TFLOP/s;
// 624 without the copies: L2's bandwidth is the limit, every column tile reads the rows again).
//   ptrs: as Matmul.cu; [2] the workspace of `matmulWorkspace` bytes, where there is one.
#pragma once
#include "kernels/cuda/Abi.h"
#include "kernels/cuda/LastBlock.h"
#include "kernels/cuda/MatmulQuants.h"
#include "kernels/cuda/MatmulShape.h"
#include "kernels/cuda/Tile.h"
#include "kernels/cuda/Warpgroup.h"

#if CIUIC_HAS_WARPGROUPS
namespace ciuic::cuda {

using namespace kernels;

/// Past L1: another block may have written it since this one started.
CIUIC_DEVICE Words loadFreshWords(const void *from) {
  Words v;
  asm volatile("ld.volatile.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from)
               : "memory");
  return v;
}
/// A load that stays where it stands, before what hides its latency.
CIUIC_DEVICE uint32_t loadAhead(const void *from) {
  uint32_t v;
  asm volatile("ld.global.nc.u32 %0, [%1];" : "=r"(v) : "l"(from));
  return v;
}
CIUIC_DEVICE float quotient(float a, float b) {
  float inverse;
  asm("rcp.approx.f32 %0, %1;" : "=f"(inverse) : "f"(b));
  const float q = a * inverse;
  return fusedMultiplyAdd(fusedMultiplyAdd(-q, b, a), inverse, q);
}

template <typename Weight, typename A, int kRows>
struct TogetherProduct {
  using Q = Quants<Weight>;
  static constexpr int kThreads = 256, kPanels = kMatmulColumns / 16, kStep = kMatmulStep;
  static constexpr int kHalf = kRows / 2, N = kHalf / 8; // rows of a set, and runs of eight
  static constexpr int kQuantsAt = kRows * 128;
  static constexpr int kStageBytes = kQuantsAt + kPanels * Q::kBytes;
  static constexpr int kRoom = kMatmulShared - 1024;
  static constexpr int kStages = kRoom / kStageBytes < 8 ? kRoom / kStageBytes : 8;
  static constexpr int kAhead = kStages - 1; // steps that are on their way
  static_assert(kStages >= 4 && kStageBytes % 1024 == 0);
  /// Steps of a turn, which a group of 128 fills; parts of a step that have scales of their own;
  /// products of a part.
  static constexpr int kTurn = 2, kParts = Q::kGroup == 32 ? 2 : 1, kProducts = 4 / kParts;
  static constexpr int kRowStep = kThreads / 8, kCopies = kRows / kRowStep;
  static constexpr int kSumStride = kMatmulColumns + 4;
  static_assert(kRows * kSumStride * 4 <= kRoom);

  const int64_t K, lda;
  const char *const weights; // of the tile's first panel
  const int panels;
  const int64_t panelBytes;
  const uint32_t shared;
  const int lane = laneIndex(), warp = warpIndex();
  float sums[2][N][4];

  CIUIC_DEVICE TogetherProduct(int64_t K, int64_t lda, int panels, const char *weights)
      : K(K), lda(lda), weights(weights), panels(panels), panelBytes(Weight::panelBytes(K)),
        shared((sharedAddress(ciuic_shared) + 1023) / 1024 * 1024) {}

  CIUIC_DEVICE void multiplySums(int set, float low, float high) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sums[set][n][i] *= i < 2 ? low : high;
      }
    }
  }

  /// Sums over steps [first, end), of `rows` rows from `a` on; zeros stand where K ends.
  CIUIC_DEVICE void run(const A *a, int rows, int first, int end) {
    end = (end + kTurn - 1) / kTurn * kTurn;
    const bool aligned = isAligned(a) && lda % 8 == 0;
#pragma unroll
    for (int set = 0; set < 2; ++set) {
#pragma unroll
      for (int n = 0; n < N; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          sums[set][n][i] = 0;
        }
      }
    }

    // What this thread copies of a step: a chunk of some rows, a lane's share of its warp's panel.
    const char *const panel = weights + (warp < panels ? warp * panelBytes : 0);
    const int chunk = threadIndex() % 8, row = threadIndex() / 8;
    const A *fromRows = a + row * lda + int64_t(first) * kStep + chunk * 8;
    const int64_t apart = kRowStep * lda;
    const char *fromQuants = panel + Q::quantsAt(K) + int64_t(first) * Q::kBytes + lane * 16;
    const uint32_t toRows = shared + row * 128 + (chunk ^ (row & 7)) * 16,
                   toQuants = shared + kQuantsAt + warp * Q::kBytes + placeOf(lane);
    auto fill = [&](int step, uint32_t stage) CIUIC_INLINED {
      const int left = static_cast<int>(K) - step * kStep - chunk * 8;
      const int count = K % (kTurn * kStep) == 0 ? 8 : most(0, least(8, left));
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        if (row + i * kRowStep < rows) { // the others' products go nowhere
          const A *from = count ? fromRows + i * apart : a;
          if (aligned) {
            copyChunk(toRows + stage + i * kRowStep * 128, from, count * 2);
          } else {
            storeShared(toRows + stage + i * kRowStep * 128, gatherChunk(from, 1, count));
          }
        }
      }
      fromRows += kStep;
#pragma unroll
      for (int i = 0; i < Q::kBytes / 512; ++i) {
        const bool there = K % (kTurn * kStep) == 0 ||
                           step * (Q::kBytes / 512) + i < static_cast<int>(Q::blockCount(K));
        copyChunk(toQuants + stage + i * 512, there ? fromQuants + i * 512 : weights,
                  there ? 16 : 0);
      }
      fromQuants += Q::kBytes;
    };

    // Scales: of the sums' units; ratios to those of the group that begins; words on their way.
    float unit[2] = {1, 1}, ratio[2] = {1, 1};
    uint32_t words[kParts] = {};
    auto fetchScales = [&](int step) CIUIC_INLINED {
      if (Q::kGroup && step < end) {
        const char *from = panel + Q::scalesAt(int64_t(step) * kStep, lane / 4);
#pragma unroll
        for (int part = 0; part < kParts; ++part) {
          words[part] = loadAhead(from + part * 4);
        }
      }
    };
    fetchScales(first);
#pragma unroll 1
    for (int s = 0; s < kAhead; ++s) {
      if (first + s < end) {
        fill(first + s, s * kStageBytes);
      }
      commitCopies();
    }

    int step = first;
    uint32_t stage = 0, next = kAhead * kStageBytes; // of this step, and of that kAhead further on
    uint32_t w[kProducts][4];
    auto decode = [&](int part, bool opens) CIUIC_INLINED {
      const char *from = ciuic_shared + (shared - sharedAddress(ciuic_shared)) + stage + kQuantsAt +
                         warp * Q::kBytes;
#pragma unroll
      for (int s = 0; s < kProducts; ++s) {
        Q::decodeInOrder(from, part * kProducts + s, lane, w[s]);
      }
      if (opens && step < end) {
        float scale[2];
        unpack(words[part], Half(), scale[0], scale[1]);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          // A scale of nothing: what it multiplies stays below all that is seen.
          const float s = scale[i] == 0 ? 0x1p-60f : scale[i];
          ratio[i] = quotient(unit[i], s);
          unit[i] = s;
        }
        if (part + 1 == kParts) {
          fetchScales(step + (Q::kGroup == 128 ? 2 : 1));
        }
      }
    };
    auto enter = [&]() CIUIC_INLINED { // until the step's buffer is full
      awaitCopies<kAhead - 1>();
      publishShared();
      barrier();
    };

    enter();
#pragma unroll 1
    for (int turn = first; turn < end; turn += kTurn) {
#pragma unroll
      for (int p = 0; p < kTurn * kParts; ++p) {
        const int part = p % kParts;
        const bool opens = Q::kGroup && (Q::kGroup != 128 || p == 0);
        decode(part, opens);
        if (opens) {
          multiplySums(0, ratio[0], ratio[1]);
          multiplySums(1, ratio[0], ratio[1]);
          arrived(sums[0]);
          arrived(sums[1]);
        }
        departing(w);
        beginProducts();
        const uint64_t lines = describeLines(shared + stage, 0);
#pragma unroll
        for (int s = 0; s < kProducts; ++s) {
#pragma unroll
          for (int set = 0; set < 2; ++set) {
            multiplyDeep(sums[set], w[s],
                         lines + (set * kHalf * 128 + (part * kProducts + s) * 32) / 16, 1,
                         typename Q::Math());
          }
        }
        commitProducts();
        if (part == 0) {
          // The last step's buffer is free since the barrier: its products are done.
          if (step + kAhead < end) {
            fill(step + kAhead, next);
          }
          commitCopies();
          next = next + kStageBytes == kStages * kStageBytes ? 0 : next + kStageBytes;
        }
        awaitProducts<0>();
        arrived(sums[0]);
        arrived(sums[1]);
        if (part + 1 == kParts) {
          ++step;
          stage = stage + kStageBytes == kStages * kStageBytes ? 0 : stage + kStageBytes;
          enter();
        }
      }
    }
    awaitCopies<0>();
    barrier();
    if (Q::kGroup) {
      multiplySums(0, unit[0], unit[1]);
      multiplySums(1, unit[0], unit[1]);
    }
  }

  /// Adds up the parts in their order; true in the block that has them all.
  CIUIC_DEVICE bool join(char *workspace, unsigned *done, int64_t tile, int part, int parts) {
    constexpr int64_t kPartBytes = int64_t(kRows) * kMatmulColumns * 4;
    char *all = workspace + tile * parts * kPartBytes + threadIndex() * 16;
    auto at = [&](int p, int set, int n)
                  CIUIC_INLINED { return all + p * kPartBytes + (set * N + n) * kThreads * 16; };
#pragma unroll
    for (int set = 0; set < 2; ++set) {
#pragma unroll
      for (int n = 0; n < N; ++n) {
        const float (&x)[4] = sums[set][n];
        storeWords(at(part, set, n),
                   {static_cast<uint32_t>(toBits(x[0])), static_cast<uint32_t>(toBits(x[1])),
                    static_cast<uint32_t>(toBits(x[2])), static_cast<uint32_t>(toBits(x[3]))});
        sums[set][n][0] = sums[set][n][1] = sums[set][n][2] = sums[set][n][3] = 0;
      }
    }
    if (!isLast(done, tile, parts)) {
      return false;
    }
#pragma unroll 1
    for (int p = 0; p < parts; ++p) {
#pragma unroll
      for (int set = 0; set < 2; ++set) {
#pragma unroll
        for (int n = 0; n < N; ++n) {
          const Words x = loadFreshWords(at(p, set, n));
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            sums[set][n][i] += fromBits(static_cast<int>(wordOf(x, i)));
          }
        }
      }
    }
    return true;
  }

  /// Hands the tile over, through shared memory, so that neighbouring threads hand over
  /// neighbouring columns.
  CIUIC_DEVICE void finish(int64_t row0, int rows, int64_t column0, int columns, char *const *ptrs,
                           const int64_t *dims) {
    float *tile = reinterpret_cast<float *>(ciuic_shared);
#pragma unroll
    for (int set = 0; set < 2; ++set) {
#pragma unroll
      for (int n = 0; n < N; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int row = set * kHalf + n * 8 + lane % 4 * 2 + i % 2;
          tile[row * kSumStride + warp * 16 + lane / 4 + i / 2 * 8] = sums[set][n][i];
        }
      }
    }
    barrier();
    const int column = threadIndex() % kMatmulColumns;
    if (column < columns) {
      float by = 1;
      if constexpr (Q::kGroup == 0) {
        by = reinterpret_cast<const float *>(weights + column / 16 * panelBytes)[column % 16];
      }
      constexpr int kApart = kThreads / kMatmulColumns, kAtOnce = 8;
#pragma unroll 1
      for (int row = threadIndex() / kMatmulColumns; row < rows; row += kApart * kAtOnce) {
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) {
          if (row + i * kApart < rows) {
            ciuic_epilogue(tile[(row + i * kApart) * kSumStride + column] * by,
                           row0 + row + i * kApart, column0 + column, ptrs, dims);
          }
        }
      }
    }
    barrier();
  }
};

template <typename Weight, typename A, int kRows>
CIUIC_DEVICE void matmulTogether(unsigned *done, const int64_t *args, char *const *ptrs,
                                 const int64_t *dims, const int64_t *params) {
  using Product = TogetherProduct<Weight, A, kRows>;
  // Neighbouring blocks have the rows of so many tiles, column tile by column tile, so that L2 has
  // both operands.
  constexpr int64_t kTogether = 16;
  const int64_t M = args[kMatmulM], N = args[kMatmulN], K = args[kMatmulK], lda = args[kMatmulLda];
  const int64_t first = params[0], end = params[1];
  const int64_t rowTiles = (M + kRows - 1) / kRows;
  const int64_t columnTiles = (end - first + Product::kPanels - 1) / Product::kPanels;
  const int parts = kRows == 128 ? 1 : static_cast<int>(matmulSplits(M, N, K));
  const int steps = static_cast<int>((K + kMatmulStep - 1) / kMatmulStep);
  const int partSteps = parts == 1 ? steps : static_cast<int>(matmulPartSteps(K, parts));
#pragma unroll 1
  for (int64_t unit = blockIndex(); unit < rowTiles * columnTiles * parts; unit += blockCount()) {
    const int64_t tile = unit / parts;
    const int part = static_cast<int>(unit % parts);
    const int64_t run = tile / (kTogether * columnTiles), within = tile % (kTogether * columnTiles);
    const int64_t rowsHere = least(kTogether, rowTiles - run * kTogether);
    const int64_t row0 = (run * kTogether + within % rowsHere) * kRows;
    const int64_t panel0 = first + within / rowsHere * Product::kPanels;
    const int rows = static_cast<int>(least(int64_t(kRows), M - row0));
    const int panels = static_cast<int>(least(int64_t(Product::kPanels), end - panel0));
    Product product(K, lda, panels, ptrs[1] + (panel0 - first) * Weight::panelBytes(K));
    product.run(reinterpret_cast<const A *>(ptrs[0]) + row0 * lda, rows,
                least(part * partSteps, steps), least((part + 1) * partSteps, steps));
    if (parts == 1 || product.join(ptrs[2], done, tile, part, parts)) {
      product.finish(row0, rows, panel0 * 16,
                     static_cast<int>(least(int64_t(panels) * 16, N - panel0 * 16)), ptrs, dims);
    }
  }
}

} // namespace ciuic::cuda
#endif
