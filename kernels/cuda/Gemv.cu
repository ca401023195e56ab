// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products of few rows: out[M, N] = A[M, K] × W, M ≤ 16, W packed as Rows16 in any format. The time
// is that of reading W.
//
// A warp's loads are whole 512-byte runs of a panel, several chunks ahead of their use and on into
// the block's next panel, so that reading never stops; the first are under way before the kernel
// waits for its activations (W does not depend on the kernel before; with programmatic stream
// serialisation that wait is all that is left of a launch). The products run on tensor cores, whose
// columns beyond M idle: what matters is that decoding a weight costs about one instruction.
//
// A panel's k is divided over S warps in chunks, chunk c to warp c mod S, and their sums are added
// in that order. S depends on K and the format alone, so a column's result depends on its own
// weights, its row of A and K: not on the grid, the tile, other rows or M (which picks how many
// columns of a product are used, never an order of additions).
//
// f32 activations are three bf16 parts that add up to them exactly, each multiplied as a row of its
// own.
//
// With kGemvNorm each block normalises the rows as it stages them: a row of 4096 halves is 8 KB
// that all blocks read from L2, which costs less than a launch and its barrier. With kGemvPairs a
// block holds both panels of a pair, and hands over their elements together.
//   args: MatmulArg, then GemvArg. ptrs: A, W (at panel `first`), with kGemvNorm the scales of the
//   norm, …; params: first panel, end panel.
#include "kernels/cuda/Abi.h"
#include "kernels/cuda/Catalog.h"
#include "kernels/cuda/Overlap.h"
#include "kernels/cuda/PackedWeight.h"

using namespace ciuic::kernels;
using namespace ciuic::kernels::cuda;
using namespace ciuic::cuda;

namespace {

constexpr int kWarps = 8;

/// How rows of A become columns of products: `Math` the type multiplied, `kParts` of it a value.
template <typename A>
struct Parts {
  using Math = A;
  static constexpr int kParts = 1;
};
template <>
struct Parts<float> {
  using Math = BFloat;
  static constexpr int kParts = 3;
};

/// Eight activations of a row as they lie in memory.
template <typename A>
struct Eight {
  Words words[sizeof(A) / 2];
};

/// Zeros where fewer than eight are left; `vectors`: all are there or none, at a 16-byte address.
template <typename A>
CIUIC_DEVICE void loadEight(const A *from, int64_t left, bool vectors, Eight<A> &eight) {
  constexpr int kOfWord = 4 / sizeof(A);
#pragma unroll
  for (int w = 0; w < static_cast<int>(sizeof(A) / 2); ++w) {
    if (vectors) {
      eight.words[w] = left > 0 ? loadWords(from + w * 4 * kOfWord) : Words{0, 0, 0, 0};
      continue;
    }
    uint32_t words[4] = {0, 0, 0, 0};
#pragma unroll
    for (int i = 0; i < 4 * kOfWord; ++i) {
      const int at = w * 4 * kOfWord + i;
      if (at < left) {
        if constexpr (sizeof(A) == 4) {
          words[i] = static_cast<uint32_t>(toBits(from[at]));
        } else {
          words[i / 2] |= static_cast<uint32_t>(from[at].bits) << (i % 2 * 16);
        }
      }
    }
    eight.words[w] = {words[0], words[1], words[2], words[3]};
  }
}

/// Their values, and values as they lie in memory.
template <typename T>
CIUIC_DEVICE void valuesOf(const Eight<T> &eight, float (&values)[8]) {
#pragma unroll
  for (int i = 0; i < 8; i += 2) {
    unpack(wordOf(eight.words[0], i / 2), T(), values[i], values[i + 1]);
  }
}
CIUIC_DEVICE void valuesOf(const Eight<float> &eight, float (&values)[8]) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    values[i] = fromBits(static_cast<int>(wordOf(eight.words[i / 4], i % 4)));
  }
}
template <typename T>
CIUIC_DEVICE void roundInto(Eight<T> &eight, const float (&v)[8]) {
  eight.words[0] = {pack(v[0], v[1], T()), pack(v[2], v[3], T()), pack(v[4], v[5], T()),
                    pack(v[6], v[7], T())};
}
CIUIC_DEVICE void roundInto(Eight<float> &eight, const float (&v)[8]) {
#pragma unroll
  for (int i = 0; i < 8; i += 4) {
    eight.words[i / 4] = {
        static_cast<uint32_t>(toBits(v[i])), static_cast<uint32_t>(toBits(v[i + 1])),
        static_cast<uint32_t>(toBits(v[i + 2])), static_cast<uint32_t>(toBits(v[i + 3]))};
  }
}

/// What is multiplied for them.
template <typename T>
CIUIC_DEVICE void partsOf(const Eight<T> &eight, Words (&parts)[1]) {
  parts[0] = eight.words[0];
}
CIUIC_DEVICE void partsOf(const Eight<float> &eight, Words (&parts)[3]) {
  uint32_t x[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    x[i] = wordOf(eight.words[i / 4], i % 4);
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

/// The right operands: staged in shared memory, else read from A. Tile n's column of this lane is
/// part `part[n]` of row `row[n]`, if it is one that is asked for.
template <typename A, int kTiles, bool kStaged>
struct Activations {
  const A *a;
  int64_t K, lda;
  int stride;   // of a staged row, in bytes; 64 beyond a multiple of 128: no bank is hit twice
  bool vectors; // rows are whole 16-byte vectors
  bool used[kTiles];
  int row[kTiles], part[kTiles];

  CIUIC_DEVICE void eight(int tile, int64_t k, Words &words) const {
    if (!used[tile]) {
      return; // whatever the register holds: nobody reads the column
    }
    if constexpr (kStaged) {
      words = loadWords(ciuic_shared + kGemvSums +
                        (row[tile] * Parts<A>::kParts + part[tile]) * stride + k * 2);
    } else {
      Eight<A> eight;
      loadEight(a + row[tile] * lda + k, K - k, vectors, eight);
      Words parts[Parts<A>::kParts];
      partsOf(eight, parts);
      words = parts[0];
      if constexpr (Parts<A>::kParts == 3) {
        words = part[tile] == 0 ? parts[0] : part[tile] == 1 ? parts[1] : parts[2];
      }
    }
  }

  static constexpr int kBatch = 4; // loads of a thread under way

  CIUIC_DEVICE void stage(int M) const {
    constexpr int kParts = Parts<A>::kParts;
    const int perRow = static_cast<int>((K + 255) / 256 * 32), count = M * perRow;
    for (int begin = threadIndex(); begin < count; begin += kBatch * kWarps * 32) {
      Eight<A> eights[kBatch];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int i = begin + b * kWarps * 32;
        const int64_t k = static_cast<int64_t>(i % perRow) * 8;
        loadEight(a + i / perRow * lda + k, i < count ? K - k : 0, vectors, eights[b]);
      }
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int i = begin + b * kWarps * 32, m = i / perRow, eighth = i % perRow;
        if (i >= count) {
          break;
        }
        Words parts[kParts];
        partsOf(eights[b], parts);
#pragma unroll
        for (int p = 0; p < kParts; ++p) {
          storeWords(ciuic_shared + kGemvSums + (m * kParts + p) * stride + eighth * 16, parts[p]);
        }
      }
    }
  }

  /// The thread's eights from number `begin` of a row on.
  CIUIC_DEVICE void loadBatch(const A *from, int begin, bool whole,
                              Eight<A> (&eights)[kBatch]) const {
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int64_t k = static_cast<int64_t>(begin + b * kWarps * 32) * 8;
      loadEight(from + k, K - k, whole, eights[b]);
    }
  }

  /// Rows divided by the root of their mean square, times `scale`, rounded to A. `first` are the
  /// thread's eights of the scales from its own number on. The sums' memory is free meanwhile.
  CIUIC_DEVICE void stageNormalised(int M, const A *scale, bool scaleVectors, float epsilon,
                                    const Eight<A> (&first)[kBatch]) const {
    constexpr int kParts = Parts<A>::kParts, kStep = kBatch * kWarps * 32;
    const int perRow = static_cast<int>((K + 255) / 256 * 32);
    float *partial = reinterpret_cast<float *>(ciuic_shared); // [row][warp]
    for (int m = 0; m < M; ++m) {
      const A *from = a + m * lda;
      Eight<A> x[kBatch];
      float sum = 0;
      for (int begin = threadIndex(); begin < perRow; begin += kStep) {
        loadBatch(from, begin, vectors, x);
#pragma unroll
        for (int b = 0; b < kBatch; ++b) {
          float v[8];
          valuesOf(x[b], v);
#pragma unroll
          for (int i = 0; i < 8; ++i) {
            sum = fusedMultiplyAdd(v[i], v[i], sum);
          }
        }
      }
      sum = warpSum(sum);
      if (laneIndex() == 0) {
        partial[m * kWarps + warpIndex()] = sum;
      }
      barrier();
      float total = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        total += partial[m * kWarps + w];
      }
      const float factor = inverseRoot(total / static_cast<float>(K) + epsilon);
      for (int begin = threadIndex(); begin < perRow; begin += kStep) {
        Eight<A> scales[kBatch];
        if (perRow > kStep) { // more than the registers kept
          loadBatch(from, begin, vectors, x);
          loadBatch(scale, begin, scaleVectors, scales);
        } else {
#pragma unroll
          for (int b = 0; b < kBatch; ++b) {
            scales[b] = first[b];
          }
        }
#pragma unroll
        for (int b = 0; b < kBatch; ++b) {
          const int eighth = begin + b * kWarps * 32;
          if (eighth >= perRow) {
            break;
          }
          float v[8], s[8];
          valuesOf(x[b], v);
          valuesOf(scales[b], s);
#pragma unroll
          for (int i = 0; i < 8; ++i) {
            v[i] = v[i] * factor * s[i];
          }
          Eight<A> rounded;
          roundInto(rounded, v);
          Words parts[kParts];
          partsOf(rounded, parts);
#pragma unroll
          for (int p = 0; p < kParts; ++p) {
            storeWords(ciuic_shared + kGemvSums + (m * kParts + p) * stride + eighth * 16,
                       parts[p]);
          }
        }
      }
    }
  }
};

/// One chunk: the sums of kTiles products gain its values of k times those of A.
template <typename Weight, typename A, int kTiles, bool kStaged>
CIUIC_DEVICE void multiplyChunk(const typename Weight::Chunk &chunk,
                                const Activations<A, kTiles, kStaged> &x, int64_t index,
                                float (&sums)[kTiles][4]) {
  using Math = typename Parts<A>::Math;
  constexpr int kScaled = Weight::kScaled;
  float inner[kTiles][4];
  Words b[kTiles] = {};
#pragma unroll
  for (int i = 0; i < Weight::kChunk / 16; ++i) { // products of sixteen k
    if (i % 2 == 0) {
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        x.eight(n, index * Weight::kChunk + i * 16 + laneIndex() % 4 * 8, b[n]);
      }
    }
    if (kScaled != 0 && i % (kScaled ? kScaled : 1) == 0) {
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        inner[n][0] = inner[n][1] = inner[n][2] = inner[n][3] = 0;
      }
    }
    uint32_t a[4];
    Weight::decode(chunk, i, a);
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      multiplyAdd(kScaled ? inner[n] : sums[n], a, wordOf(b[n], i % 2 * 2),
                  wordOf(b[n], i % 2 * 2 + 1), Math());
    }
    if (kScaled != 0 && (i + 1) % (kScaled ? kScaled : 1) == 0) {
      float first, second;
      Weight::scales(chunk, i, first, second);
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        sums[n][0] = fusedMultiplyAdd(first, inner[n][0], sums[n][0]);
        sums[n][1] = fusedMultiplyAdd(first, inner[n][1], sums[n][1]);
        sums[n][2] = fusedMultiplyAdd(second, inner[n][2], sums[n][2]);
        sums[n][3] = fusedMultiplyAdd(second, inner[n][3], sums[n][3]);
      }
    }
  }
}

/// kRows: 2, 8 or 16, the rows of A that kTiles products hold.
template <typename Weight, typename A, int kRows, int kTiles, bool kStaged>
CIUIC_DEVICE void gemv(const int64_t *args, char *const *ptrs, const int64_t *dims,
                       const int64_t *params) {
  constexpr int kParts = Parts<A>::kParts;
  // With two rows at most the parts share a product: column 2 · part + row.
  constexpr bool kShared = kParts > 1 && kRows == 2;
  constexpr int kSumRows = kShared ? 8 : kRows;
  constexpr int kChunk = Weight::kChunk, kDepth = 2;
  const int64_t K = args[kMatmulK], N = args[kMatmulN], panelBytes = Weight::panelBytes(K);
  const int M = static_cast<int>(args[kMatmulM]);
  const int64_t first = params[0], end = params[1];
  const int lane = laneIndex(), warp = warpIndex();
  const int chunks = static_cast<int>((K + kChunk - 1) / kChunk);
  const bool pairs = args[kGemvPairs] != 0, normalises = kStaged && args[kGemvNorm] != 0;
  const int warpsPerPanel = gemvWarpsPerPanel(K, kChunk, pairs),
            panelsPerBlock = kWarps / warpsPerPanel;
  const int slice = warp % warpsPerPanel, own = warp / warpsPerPanel;
  // Rounds of two chunks of this warp; those that do not exist are not loaded.
  const int rounds = (chunks + warpsPerPanel * kDepth - 1) / (warpsPerPanel * kDepth);
  const int64_t step = static_cast<int64_t>(blockCount()) * panelsPerBlock;

  typename Weight::Chunk slots[kDepth];
  int64_t panel = first + static_cast<int64_t>(blockIndex()) * panelsPerBlock + own;
  const char *weights = ptrs[1] + (panel - first) * panelBytes;
  auto fetch = [&](typename Weight::Chunk &slot, const char *from, int index) {
    if (index < chunks) {
      Weight::load(slot, from, K, index, lane);
    }
  };
  launchDependents();
  if (panel - own >= end) { // a block without panels
    waitForActivations();
    return;
  }
  if (panel < end) {
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      fetch(slots[d], weights, d * warpsPerPanel + slice);
    }
  }
  using X = Activations<A, kTiles, kStaged>;
  X x;
  x.K = K;
  const A *scale = reinterpret_cast<const A *>(normalises ? ptrs[2] : nullptr);
  const bool scaleVectors = K % 8 == 0 && reinterpret_cast<uintptr_t>(scale) % 16 == 0;
  Eight<A> scales[X::kBatch];
  if (normalises) {
    x.loadBatch(scale, threadIndex(), scaleVectors, scales);
  }
  waitForActivations();

  x.a = reinterpret_cast<const A *>(ptrs[0]);
  x.lda = args[kMatmulLda];
  x.vectors = K % 8 == 0 && reinterpret_cast<uintptr_t>(x.a) % 16 == 0 &&
              (M == 1 || x.lda * sizeof(A) % 16 == 0);
  x.stride = static_cast<int>((K + 255) / 256 * 512 + 64);
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
    const int column = lane / 4;
    x.row[n] = kShared ? column % 2 : n / kParts * 8 + column;
    x.part[n] = kShared ? column / 2 : n % kParts;
    x.used[n] = x.row[n] < M && x.part[n] < kParts;
  }
  if constexpr (kStaged) {
    if (normalises) {
      x.stageNormalised(M, scale, scaleVectors, fromBits(static_cast<int>(args[kGemvEpsilon])),
                        scales);
    } else {
      x.stage(M);
    }
    barrier();
  }

  float *buffers = reinterpret_cast<float *>(ciuic_shared);
  int turn = 0;
  // All warps take as many turns, since they meet in each.
  for (int64_t base = panel - own; base < end; base += step, panel += step, ++turn) {
    const char *next = weights + step * panelBytes;
    // The thread's element of the result, if it has one: a warp's worth of threads further on each
    // turn. element = (panel · M + row) · 16 + column, of pairs of panels where they are.
    const int together = pairs ? 2 : 1, element = (threadIndex() + turn * 32) % (kWarps * 32),
              elements = panelsPerBlock / together * M * 16;
    float columnScales[2] = {1, 1};
    auto loadScales = [&](int e) {
      const int64_t of = base + e / 16 / M * together;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (i < together && of + i < end) {
          columnScales[i] =
              reinterpret_cast<const float *>(ptrs[1] + (of + i - first) * panelBytes)[e % 16];
        }
      }
    };
    if (Weight::kColumnScale && element < elements) {
      loadScales(element);
    }
    float sums[kTiles][4] = {};
    if (panel < end) {
      for (int round = 0; round < rounds; ++round) {
        const bool more = round + 1 < rounds, there = more || panel + step < end;
        const char *from = more ? weights : next;
#pragma unroll
        for (int d = 0; d < kDepth; ++d) {
          const int index = (round * kDepth + d) * warpsPerPanel + slice;
          if (index < chunks) {
            multiplyChunk<Weight>(slots[d], x, index, sums);
          }
          if (there) {
            fetch(slots[d], from, ((more ? round + 1 : 0) * kDepth + d) * warpsPerPanel + slice);
          }
        }
      }
    }
    weights = next;
    // Parts that lie in products of their own add up in registers.
    if (kParts > 1 && !kShared) {
#pragma unroll
      for (int n = 0; n < kTiles; n += kParts) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          sums[n / kParts][i] = sums[n][i] + (sums[n + 1][i] + sums[n + 2][i]);
        }
      }
    }
    // [warp][row][column], in two buffers that take turns: who is late to read one has passed the
    // barrier of the other.
    float *buffer = buffers + turn % 2 * (kWarps * 16 * kGemvRows);
#pragma unroll
    for (int n = 0; n < (kSumRows + 7) / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = n * 8 + lane % 4 * 2 + i % 2;
        if (kShared || row < M) {
          buffer[(warp * kSumRows + row) * 16 + lane / 4 + i / 2 * 8] = sums[n][i];
        }
      }
    }
    barrier();
    for (int e = element; e < elements; e += kWarps * 32) {
      const int column = e % 16, row = e / 16 % M, of = e / 16 / M * together;
      const int64_t col = (pairs ? (base + of) / 2 : base + of) * 16 + column;
      if (base + of >= end || col >= (pairs ? N / 2 : N)) {
        continue;
      }
      if (Weight::kColumnScale && e != element) {
        loadScales(e);
      }
      float values[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (i < together) {
          float value = 0;
          for (int w = 0; w < warpsPerPanel; ++w) {
            const float *from = buffer + ((of + i) * warpsPerPanel + w) * kSumRows * 16 + column;
            value += kShared ? from[row * 16] + (from[(2 + row) * 16] + from[(4 + row) * 16])
                             : from[row * 16];
          }
          values[i] = value * columnScales[i];
        }
      }
      if (pairs) {
        ciuic_epilogue_pair(values[0], values[1], row, col, ptrs, dims);
      } else {
        ciuic_epilogue(values[0], row, col, ptrs, dims);
      }
    }
  }
}

template <typename Weight, typename A, int kRows, int kTiles>
CIUIC_DEVICE void gemvStaged(const int64_t *args, char *const *ptrs, const int64_t *dims,
                             const int64_t *params) {
  if (gemvStagedBytes(args[kMatmulM], args[kMatmulK], Parts<A>::kParts) <= kGemvStaged) {
    gemv<Weight, A, kRows, kTiles, true>(args, ptrs, dims, params);
  } else {
    gemv<Weight, A, kRows, kTiles, false>(args, ptrs, dims, params);
  }
}

template <typename Weight, typename A>
CIUIC_DEVICE void gemvOf(const int64_t *args, char *const *ptrs, const int64_t *dims,
                         const int64_t *params) {
  constexpr int kParts = Parts<A>::kParts;
  const int64_t M = args[kMatmulM];
  if (M <= 0) {
    waitForActivations();
    return;
  }
  if constexpr (kParts > 1) {
    if (M <= 2) {
      gemvStaged<Weight, A, 2, 1>(args, ptrs, dims, params);
      return;
    }
  }
  if (M <= 8) {
    gemvStaged<Weight, A, 8, kParts>(args, ptrs, dims, params);
  } else {
    gemvStaged<Weight, A, 16, 2 * kParts>(args, ptrs, dims, params);
  }
}

} // namespace

#define CIUIC_GEMV(A, W, Activation, ...)                                                          \
  CIUIC_LIBRARY(ciuic_cuda_gemv_##A##_##W) {                                                       \
    gemvOf<__VA_ARGS__, Activation>(args, ptrs, dims, params);                                     \
  }
CIUIC_GEMV(f16, f16, Half, HalfWeight<Half>)
CIUIC_GEMV(f16, int8, Half, Int8Weight<Half>)
CIUIC_GEMV(f16, int4g32, Half, Int4Weight<Half, 32>)
CIUIC_GEMV(f16, int4g64, Half, Int4Weight<Half, 64>)
CIUIC_GEMV(f16, int4g128, Half, Int4Weight<Half, 128>)
CIUIC_GEMV(bf16, bf16, BFloat, HalfWeight<BFloat>)
CIUIC_GEMV(bf16, int8, BFloat, Int8Weight<BFloat>)
CIUIC_GEMV(bf16, int4g32, BFloat, Int4Weight<BFloat, 32>)
CIUIC_GEMV(bf16, int4g64, BFloat, Int4Weight<BFloat, 64>)
CIUIC_GEMV(bf16, int4g128, BFloat, Int4Weight<BFloat, 128>)
CIUIC_GEMV(f32, bf16, float, HalfWeight<BFloat>)
CIUIC_GEMV(f32, int8, float, Int8Weight<BFloat>)
CIUIC_GEMV(f32, int4g32, float, Int4Weight<BFloat, 32>)
CIUIC_GEMV(f32, int4g64, float, Int4Weight<BFloat, 64>)
CIUIC_GEMV(f32, int4g128, float, Int4Weight<BFloat, 128>)
#undef CIUIC_GEMV
