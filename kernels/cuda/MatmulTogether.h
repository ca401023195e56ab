// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Quantised products by warpgroups (wgmma, compute capability 9.0), 16-bit activations: the weight,
// decoded in registers, is the left operand, rows of A in shared memory are the right one, so the
// matrix units read what is decoded at once.
//
// A block of two warpgroups has a tile of MatmulShape.h. Steps of 64 values of k pass through
// buffers of shared memory, filled by asynchronous copies. A warpgroup's sums are two sets, of 64
// columns or of half the rows: while the matrix units have one set's products, the other's are
// decoded and scaled. Quants are multiplied as integers, exactly, onto sums in units of the group's
// scale: where a group begins the sums are multiplied by the ratio of the last scale to its own.
// Where the blocks of a cluster have a part of K each, they add up the parts in their order, each
// for some of the rows. Results depend on the product's shape alone.
//   Launches are of whole clusters of kMatmulCluster blocks.
#pragma once
#include "kernels/cuda/Abi.h"
#include "kernels/cuda/MatmulQuants.h"
#include "kernels/cuda/MatmulShape.h"
#include "kernels/cuda/Tile.h"
#include "kernels/cuda/Warpgroup.h"

#if CIUIC_HAS_WARPGROUPS
namespace ciuic::cuda {

using namespace kernels;

CIUIC_DEVICE void clusterBarrier() {
  asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::
                   : "memory");
}
CIUIC_DEVICE int clusterRank() {
  int rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
/// Of the cluster's block `rank`, what this block has at a shared address.
CIUIC_DEVICE float loadOf(uint32_t shared, int rank) {
  float v;
  asm volatile("{\n\t.reg .b32 a;\n\tmapa.shared::cluster.u32 a, %1, %2;\n\t"
               "ld.shared::cluster.f32 %0, [a];\n\t}"
               : "=f"(v)
               : "r"(shared), "r"(rank)
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

template <typename Weight, typename A, int kColumns, int kRows>
struct TogetherProduct {
  using Q = Quants<Weight>;
  static constexpr int kThreads = 256, kPanels = kColumns / 16, kStep = kMatmulStep;
  /// Left operands of 64 columns that a warpgroup has; rows of a set of sums, and runs of eight.
  static constexpr int kLefts = kColumns / 128, kSetRows = kRows * kLefts / 2, N = kSetRows / 8;
  static constexpr int kQuantsAt = kRows * 128;
  static constexpr int kStageBytes = kQuantsAt + kPanels * Q::kBytes;
  static constexpr int kRoom = kMatmulShared - 1024;
  static constexpr int kStages = kRoom / kStageBytes < 8 ? kRoom / kStageBytes : 8;
  /// Few buffers are filled as soon as they are free, at a barrier of its own.
  static constexpr bool kEarly = kStages == 3;
  static constexpr int kAhead = kEarly ? kStages - 1 : kStages - 2;
  static_assert(kStages >= 3 && kStageBytes % 1024 == 0);
  /// Steps of a turn; parts of a step that have scales of their own; products of a part.
  static constexpr int kTurn = 2, kParts = Q::kGroup == 32 ? 2 : 1, kProducts = 4 / kParts;
  static constexpr int kRowStep = kThreads / 8, kCopies = kRows / kRowStep;
  /// Columns that pass through shared memory at once in the end.
  static constexpr int kPass = kRows == 128 ? 128 : kColumns, kSumStride = kPass + 4;
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

  CIUIC_DEVICE int panelOf(int left) const { return left * 8 + warp; }

  /// Begins the copies of a step, of `rows` rows from `a` on; zeros where K ends.
  CIUIC_DEVICE void fill(const A *a, int rows, bool aligned, int step, int slot) const {
    const uint32_t base = shared + slot * kStageBytes;
    const int chunk = threadIndex() % 8, row = threadIndex() / 8;
    const uint32_t to = base + row * 128 + (chunk ^ (row & 7)) * 16;
    const int64_t k = int64_t(step) * kStep + chunk * 8;
    const int count =
        K % (kTurn * kStep) == 0 ? 8 : static_cast<int>(most(int64_t(0), least(int64_t(8), K - k)));
    const A *from = a + row * lda + k;
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      if (row + i * kRowStep < rows) { // the others' products go nowhere
        const A *chunks = count ? from + i * kRowStep * lda : a;
        if (aligned) {
          copyChunk(to + i * kRowStep * 128, chunks, count * 2);
        } else {
          storeShared(to + i * kRowStep * 128, gatherChunk(chunks, 1, count));
        }
      }
    }
#pragma unroll
    for (int left = 0; left < kLefts; ++left) {
      const int panel = panelOf(left);
      const char *quants =
          weights + panel * panelBytes + Q::quantsAt(K) + int64_t(step) * Q::kBytes + lane * 16;
#pragma unroll
      for (int i = 0; i < Q::kBytes / 512; ++i) {
        const bool there =
            panel < panels && int64_t(step) * (Q::kBytes / 512) + i < Q::blockCount(K);
        copyChunk(base + kQuantsAt + panel * Q::kBytes + i * 512 + placeOf(lane),
                  there ? quants + i * 512 : weights, there ? 16 : 0);
      }
    }
  }

  CIUIC_DEVICE void multiplySums(int set, float low, float high) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sums[set][n][i] *= i < 2 ? low : high;
      }
    }
  }

  /// Sums over steps [first, end), of `rows` rows from `a` on.
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
    // Scales: of the sums' units; ratios of the group that begins; the next words, on their way.
    float unit[kLefts][2], ratio[kLefts][2];
    uint32_t words[kLefts][kParts];
    auto fetchScales = [&](int left, int step) CIUIC_INLINED {
      if (Q::kGroup && step < end) {
        const int panel = panelOf(left) < panels ? panelOf(left) : 0;
        const char *from =
            weights + panel * panelBytes + Q::scalesAt(int64_t(step) * kStep, lane / 4);
#pragma unroll
        for (int part = 0; part < kParts; ++part) {
          words[left][part] = loadAhead(from + part * 4);
        }
      }
    };
#pragma unroll
    for (int left = 0; left < kLefts; ++left) {
      unit[left][0] = unit[left][1] = ratio[left][0] = ratio[left][1] = 1;
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        words[left][part] = 0;
      }
      fetchScales(left, first);
    }
#pragma unroll 1
    for (int s = 0; s < kAhead; ++s) {
      if (first + s < end) {
        fill(a, rows, aligned, first + s, s);
      }
      commitCopies();
    }

    int step = first, slot = 0, next = kAhead; // next: where the step kAhead further on goes
    uint32_t stage = 0;
    uint32_t w[kLefts][kProducts][4];
    auto refill = [&]() CIUIC_INLINED {
      if (step + kAhead < end) {
        fill(a, rows, aligned, step + kAhead, next);
      }
      commitCopies();
      next = next + 1 == kStages ? 0 : next + 1;
    };
    // Until the present step's buffer is full. Without kEarly the step before the last one's is
    // free then: all of its products are done.
    auto enter = [&]() CIUIC_INLINED {
      awaitCopies<kAhead - 1>();
      publishShared();
      barrier();
      if (!kEarly) {
        refill();
      }
      stage = slot * kStageBytes;
      slot = slot + 1 == kStages ? 0 : slot + 1;
    };
    auto decode = [&](int left, int part, bool opens) CIUIC_INLINED {
      const char *panel = ciuic_shared + (shared - sharedAddress(ciuic_shared)) + stage +
                          kQuantsAt + panelOf(left) * Q::kBytes;
#pragma unroll
      for (int s = 0; s < kProducts; ++s) {
        Q::decodeInOrder(panel, part * kProducts + s, lane, w[left][s]);
      }
      if (opens && step < end) {
        float scale[2];
        unpack(words[left][part], Half(), scale[0], scale[1]);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          // A scale of nothing: what it multiplies stays below all that is seen.
          const float s = scale[i] == 0 ? 0x1p-60f : scale[i];
          ratio[left][i] = quotient(unit[left][i], s);
          unit[left][i] = s;
        }
        if (part + 1 == kParts) {
          fetchScales(left, step + (Q::kGroup == 128 ? 2 : 1));
        }
      }
    };
    auto multiply = [&](int set, int part, bool opens) CIUIC_INLINED {
      const int left = kLefts == 2 ? set : 0;
      if (opens) {
        multiplySums(set, ratio[left][0], ratio[left][1]);
        arrived(sums[set]);
      }
      departing(w[left]);
      beginProducts();
      const uint64_t lines =
          describeLines(shared + stage + (kLefts == 2 ? 0 : set * kSetRows * 128), 0);
#pragma unroll
      for (int s = 0; s < kProducts; ++s) {
        multiplyDeep(sums[set], w[left][s], lines + (part * kProducts + s) * 2, 1,
                     typename Q::Math());
      }
      commitProducts();
    };

    enter();
    decode(0, 0, Q::kGroup != 0);
#pragma unroll 1
    for (int turn = first; turn < end; turn += kTurn) {
#pragma unroll
      for (int p = 0; p < kTurn * kParts; ++p) {
        const int part = p % kParts, after = (p + 1) % (kTurn * kParts);
        const bool opens = Q::kGroup && (Q::kGroup != 128 || p == 0),
                   opensNext = Q::kGroup && (Q::kGroup != 128 || after == 0);
        multiply(0, part, opens);
        awaitProducts<1>(); // the other set's of the part before
        arrived(sums[1]);
        if (kEarly && part == 0) {
          barrier();
          refill();
        }
        if (kLefts == 2) {
          decode(1, part, opens);
        }
        multiply(1, part, opens);
        if (part + 1 == kParts) {
          ++step;
          enter();
        }
        if (kLefts == 2) {
          awaitProducts<1>();
          arrived(sums[0]);
          decode(0, after % kParts, opensNext);
        } else { // both sets read the one operand: the next is decoded to other registers
          decode(0, after % kParts, opensNext);
          awaitProducts<1>();
          arrived(sums[0]);
        }
      }
      // None is under way where the loop begins again: only then does ptxas see that what is read
      // there is complete.
      awaitProducts<0>();
      arrived(sums[1]);
    }
    awaitCopies<0>();
    barrier();
    if (Q::kGroup) {
      multiplySums(0, unit[0][0], unit[0][1]);
      multiplySums(1, unit[kLefts - 1][0], unit[kLefts - 1][1]);
    }
  }

  /// Hands the tile over: part `part` of `parts` its share of the rows, of which there are `rows`.
  /// Through shared memory, so that neighbouring threads hand over neighbouring columns.
  CIUIC_DEVICE void finish(int64_t row0, int rows, int64_t column0, int columns, int part,
                           int parts, char *const *ptrs, const int64_t *dims) {
    float *tile = reinterpret_cast<float *>(ciuic_shared);
    auto meet = [&]() CIUIC_INLINED {
      if (parts > 1) {
        clusterBarrier();
      } else {
        barrier();
      }
    };
#pragma unroll
    for (int pass = 0; pass < kColumns / kPass; ++pass) {
#pragma unroll
      for (int set = 0; set < 2; ++set) {
        const int left = kLefts == 2 ? set : 0;
        if (left * 128 / kPass == pass) {
          const int row = (kLefts == 2 ? 0 : set * kSetRows) + lane % 4 * 2;
          const int column = left * 128 % kPass + warp * 16 + lane / 4;
#pragma unroll
          for (int n = 0; n < N; ++n) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              tile[(row + n * 8 + i % 2) * kSumStride + column + i / 2 * 8] = sums[set][n][i];
            }
          }
        }
      }
      meet();
      const int column = threadIndex() % kPass, ofTile = pass * kPass + column;
      if (ofTile < columns) {
        float by = 1;
        if constexpr (Q::kGroup == 0) {
          by = reinterpret_cast<const float *>(weights + ofTile / 16 * panelBytes)[ofTile % 16];
        }
        constexpr int kApart = kThreads / kPass, kAtOnce = 8;
        const int share = kRows / parts, end = least(rows, (part + 1) * share);
#pragma unroll 1
        for (int row = part * share + threadIndex() / kPass; row < end; row += kApart * kAtOnce) {
          float values[kAtOnce];
          if (parts == 1) {
#pragma unroll
            for (int i = 0; i < kAtOnce; ++i) {
              const int at = least(row + i * kApart, kRows - 1);
              values[i] = tile[at * kSumStride + column];
            }
          } else {
#pragma unroll
            for (int i = 0; i < kAtOnce; ++i) {
              values[i] = 0;
            }
#pragma unroll 1
            for (int p = 0; p < parts; ++p) {
#pragma unroll
              for (int i = 0; i < kAtOnce; ++i) {
                const int at = least(row + i * kApart, kRows - 1);
                values[i] += loadOf(sharedAddress(tile + at * kSumStride + column),
                                    clusterRank() - part + p);
              }
            }
          }
#pragma unroll
          for (int i = 0; i < kAtOnce; ++i) {
            if (row + i * kApart < end) {
              ciuic_epilogue(values[i] * by, row0 + row + i * kApart, column0 + ofTile, ptrs, dims);
            }
          }
        }
      }
      meet();
    }
  }
};

template <typename Weight, typename A, int kColumns, int kRows>
CIUIC_DEVICE void matmulTogether(const int64_t *args, char *const *ptrs, const int64_t *dims,
                                 const int64_t *params) {
  using Product = TogetherProduct<Weight, A, kColumns, kRows>;
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
    product.finish(row0, rows, panel0 * 16,
                   static_cast<int>(least(int64_t(panels) * 16, N - panel0 * 16)), part, parts,
                   ptrs, dims);
  }
}

} // namespace ciuic::cuda
#endif
