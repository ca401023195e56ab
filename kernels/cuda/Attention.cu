// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Attention of many queries on the matrix units, 16-bit operands, f32 sums: FlashAttention-2 (Dao
// 2023). A block of four warps takes a tile of queries of one head and passes over the keys, two
// buffers deep; the probabilities go from the accumulators of the first product straight into the
// second. Tiles that a causal mask makes long come first.
//
//   4 · queries · keys · width operations a head (half of it when causal); moves q, k, v and the
//   result once, k and v again per tile of queries, mostly from L2.
//   H100, f16, 32 heads of 128, causal, 2048 queries, as compiled for a model: 87 µs (396 TFLOP/s),
//   cuDNN through torch 91. With keys 8 KiB apart 127 µs, and 161 without warpgroups.
#include "kernels/cuda/Abi.h"
#include "kernels/cuda/AttentionHead.h"
#include "kernels/cuda/Warpgroup.h"

using namespace ciuic::kernels;
using namespace ciuic::cuda;

namespace {

/// Where chunks lie: as Tile.h has it, or in 128-byte lines of a warpgroup's operand, eight chunks
/// of all rows before the next eight.
template <bool Lines, int Chunks, int Rows>
struct OperandLayout : ChunkLayout<Chunks> {};
template <int Chunks, int Rows>
struct OperandLayout<true, Chunks, Rows> {
  static constexpr int rowBytes = Chunks * 16;
  static CIUIC_DEVICE int at(int row, int chunk) {
    return (chunk / 8 * Rows + row) * 128 + ((chunk ^ row) & 7) * 16;
  }
};

/// Scores are scaled within the exponent where nothing is added to them (Plain), else before. With
/// Vectors, rows are 16-byte chunks at 16-byte addresses.
template <typename T, int Width, bool Plain, bool Vectors>
struct Tile {
  static constexpr int kRows = attentionQueries(Width), kKeys = attentionKeys(Width);
  static constexpr bool kWarpgroup =
      CIUIC_HAS_WARPGROUPS && Vectors && (Width == 64 || Width == 128);
  static constexpr int kWarps = kAttentionThreads / 32;
  static constexpr int M = kRows / kWarps / 16, N = kKeys / 8, D = Width / 8, KSteps = Width / 16;
  static constexpr int kChunks = Width / 8;
  using Layout = OperandLayout<kWarpgroup, kChunks, kKeys>;
  using QueryLayout = OperandLayout<kWarpgroup, kChunks, kRows>;
  static constexpr int kBlockBytes = kKeys * Layout::rowBytes;
  static_assert(Layout::rowBytes == attentionRowBytes(Width));

  const Head<T> &h;
  const uint32_t queries, blocks; // shared addresses
  const int first;                // query of the tile's first row
  float out[M][D][4], maximum[M][2], sum[M][2];

  CIUIC_DEVICE Tile(const Head<T> &h, int first)
      : h(h), queries(kWarpgroup ? (sharedAddress(ciuic_shared) + 1023) / 1024 * 1024
                                 : sharedAddress(ciuic_shared)),
        blocks(queries + kRows * Layout::rowBytes), first(first) {}

  /// The tile's row where a warp's sixteen of part m begin.
  static CIUIC_DEVICE int rowsOf(int m) {
    return kWarpgroup ? m * 64 + warpIndex() * 16 : (warpIndex() * M + m) * 16;
  }

  /// Copies rows [row, row + Rows) of `from`, of which those below `end` exist.
  template <int Rows, typename To>
  CIUIC_DEVICE void copyRows(uint32_t to, const T *from, int64_t stride, int row, int end,
                             int width) {
    const int count = end - row;
    from += row * stride;
    if constexpr (Vectors) {
#pragma unroll
      for (int i = 0; i < Rows * kChunks; i += kAttentionThreads) {
        const int at = i + threadIndex(), r = at / kChunks, c = at % kChunks;
        if (Rows * kChunks % kAttentionThreads == 0 || at < Rows * kChunks) {
          const int left = r < count ? most(0, least(8, width - c * 8)) : 0;
          copyChunk(to + To::at(r, c), from + (left > 0 ? r * stride + c * 8 : 0), left * 2);
        }
      }
    } else {
#pragma unroll 1
      for (int at = threadIndex(); at < Rows * kChunks; at += kAttentionThreads) {
        const int r = at / kChunks, c = at % kChunks;
        const int left = r < count ? most(0, least(8, width - c * 8)) : 0;
        storeShared(to + To::at(r, c),
                    gatherChunk(from + (left > 0 ? r * stride + c * 8 : 0), 1, left));
      }
    }
  }

  CIUIC_DEVICE void copyBlock(int block) {
    const uint32_t to = blocks + (block & 1) * 2 * kBlockBytes;
    copyRows<kKeys, Layout>(to, h.k, h.kSeq, block * kKeys, h.keys, h.width);
    copyRows<kKeys, Layout>(to + kBlockBytes, h.v, h.vSeq, block * kKeys, h.keys, h.valueWidth);
    commitCopies();
  }

  /// score = q kᵀ for this warp's rows and a block of keys.
  CIUIC_DEVICE void multiplyKeys(uint32_t keys, float (&score)[M][N][4]) {
    const int lane = afresh(laneIndex()), matrix = lane / 8, row = lane % 8;
    const uint32_t q = queries + (rowsOf(0) + (matrix & 1) * 8 + row) * Layout::rowBytes;
    const uint32_t k = keys + ((matrix >> 1) * 8 + row) * Layout::rowBytes;
#pragma unroll
    for (int m = 0; m < M; ++m) {
#pragma unroll
      for (int n = 0; n < N; ++n) {
        score[m][n][0] = score[m][n][1] = score[m][n][2] = score[m][n][3] = 0;
      }
    }
#pragma unroll
    for (int s = 0; s < KSteps; ++s) {
      uint32_t a[M][4];
#pragma unroll
      for (int m = 0; m < M; ++m) {
        loadMatrices(a[m], q + m * 16 * Layout::rowBytes + Layout::at(row, 2 * s + (matrix >> 1)) -
                               row * Layout::rowBytes);
      }
#pragma unroll
      for (int n = 0; n < N; n += 2) {
        uint32_t b[4];
        loadMatrices(b, k + n * 8 * Layout::rowBytes + Layout::at(row, 2 * s + (matrix & 1)) -
                            row * Layout::rowBytes);
#pragma unroll
        for (int m = 0; m < M; ++m) {
          multiply(score[m][n], a[m], b[0], b[1], T());
          multiply(score[m][n + 1], a[m], b[2], b[3], T());
        }
      }
    }
  }

  /// out += p v.
  CIUIC_DEVICE void multiplyValues(uint32_t values, const float (&p)[M][N][4]) {
    const int lane = afresh(laneIndex()), matrix = lane / 8, row = lane % 8;
    const uint32_t v = values + ((matrix & 1) * 8 + row) * Layout::rowBytes;
#pragma unroll
    for (int s = 0; s < N / 2; ++s) {
      uint32_t a[M][4];
#pragma unroll
      for (int m = 0; m < M; ++m) {
        a[m][0] = pack(p[m][2 * s][0], p[m][2 * s][1], T());
        a[m][1] = pack(p[m][2 * s][2], p[m][2 * s][3], T());
        a[m][2] = pack(p[m][2 * s + 1][0], p[m][2 * s + 1][1], T());
        a[m][3] = pack(p[m][2 * s + 1][2], p[m][2 * s + 1][3], T());
      }
#pragma unroll
      for (int d = 0; d < D; d += 2) {
        uint32_t b[4];
        loadMatricesTransposed(b, v + s * 16 * Layout::rowBytes +
                                      Layout::at(row, d + (matrix >> 1)) - row * Layout::rowBytes);
#pragma unroll
        for (int m = 0; m < M; ++m) {
          multiply(out[m][d], a[m], b[0], b[1], T());
          multiply(out[m][d + 1], a[m], b[2], b[3], T());
        }
      }
    }
  }

  CIUIC_DEVICE int queryOf(int m, int half) const {
    return first + rowsOf(m) + half * 8 + laneIndex() / 4;
  }

  /// Scales the scores and adds the mask.
  CIUIC_DEVICE void addMask(int m, int key, float (&score)[N][4]) {
    {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int query = least(queryOf(m, half), h.queries - 1);
#pragma unroll
        for (int n = 0; n < N; ++n) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            float &s = score[n][half * 2 + i];
            const int at = key + n * 8 + laneIndex() % 4 * 2 + i;
            s = s * h.scale;
            if (h.mask && at < h.keys) {
              s += h.maskAt(query, at);
            }
          }
        }
      }
    }
  }

  /// Hides the keys of a block that a row does not see.
  CIUIC_DEVICE void hide(int m, int key, float (&score)[N][4]) {
    {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int visible = h.visible(queryOf(m, half)) - key - laneIndex() % 4 * 2;
#pragma unroll
        for (int n = 0; n < N; ++n) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            float &s = score[n][half * 2 + i];
            s = n * 8 + i < visible ? s : minusInfinity();
          }
        }
      }
    }
  }

  /// Scores become probabilities up to the rows' sums; out and sum follow a new maximum.
  CIUIC_DEVICE void soften(int m, float (&score)[N][4]) {
    const float by = Plain ? h.scale * kLog2E : kLog2E;
    {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float next = maximum[m][half];
#pragma unroll
        for (int n = 0; n < N; ++n) {
          next = larger(next, larger(score[n][half * 2], score[n][half * 2 + 1]));
        }
        next = larger(next, shuffleXor(next, 1));
        next = larger(next, shuffleXor(next, 2));
        // A row that has seen nothing yet keeps the maximum −∞ and subtracts nothing.
        const float base = Plain ? (next == minusInfinity() ? 0.0f : next * by) : next;
        const float correction = power(Plain ? fusedMultiplyAdd(maximum[m][half], by, -base)
                                             : (maximum[m][half] - base) * by);
        maximum[m][half] = next;
        float total = 0;
#pragma unroll
        for (int n = 0; n < N; ++n) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            float &s = score[n][half * 2 + i];
            s = power(Plain ? fusedMultiplyAdd(s, by, -base) : (s - base) * by);
            total += s;
          }
        }
        sum[m][half] = sum[m][half] * correction + total;
#pragma unroll
        for (int d = 0; d < D; ++d) {
          out[m][d][half * 2] *= correction;
          out[m][d][half * 2 + 1] *= correction;
        }
      }
    }
  }

  /// Whether a mask hides a block from all of this warp's rows, each of which has seen a key
  /// before.
  CIUIC_DEVICE bool addsNothing(const float (&score)[M][N][4]) const {
    bool nothing = true;
#pragma unroll
    for (int m = 0; m < M; ++m) {
#pragma unroll
      for (int n = 0; n < N; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          nothing &= score[m][n][i] <= kHidden && maximum[m][i / 2] > kHidden;
        }
      }
    }
    return allOfWarp(nothing);
  }

  CIUIC_DEVICE void adjust(int m, int block, int whole, float (&score)[N][4]) {
    if (!Plain) {
      addMask(m, block * kKeys, score);
    }
    if (block >= whole) {
      hide(m, block * kKeys, score);
    }
  }

#if CIUIC_HAS_WARPGROUPS
  /// A block by products of the whole warpgroup: while one part of 64 rows is softened, the matrix
  /// units have the other's.
  CIUIC_DEVICE void attendTogether(uint32_t keys, int block, int whole) {
    float score[M][N][4];
    beginProducts();
#pragma unroll
    for (int m = 0; m < M; ++m) {
#pragma unroll
      for (int s = 0; s < KSteps; ++s) {
        // Lines hold 64 of the depth: four steps of 32 bytes, then the next run of lines.
        multiplyLines(score[m],
                      describeLines(queries + (s / 4 * kRows + m * 64) * 128 + s % 4 * 32, 0),
                      describeLines(keys + s / 4 * kKeys * 128 + s % 4 * 32, 0), s > 0, T());
      }
      commitProducts();
    }
#pragma unroll
    for (int m = 0; m < M; ++m) {
      awaitProducts<M - 1>();
      arrived(score[m]);
      adjust(m, block, whole, score[m]);
      soften(m, score[m]);
      uint32_t p[N / 2][4];
#pragma unroll
      for (int s = 0; s < N / 2; ++s) {
        p[s][0] = pack(score[m][2 * s][0], score[m][2 * s][1], T());
        p[s][1] = pack(score[m][2 * s][2], score[m][2 * s][3], T());
        p[s][2] = pack(score[m][2 * s + 1][0], score[m][2 * s + 1][1], T());
        p[s][3] = pack(score[m][2 * s + 1][2], score[m][2 * s + 1][3], T());
      }
      beginProducts();
#pragma unroll
      for (int s = 0; s < N / 2; ++s) {
        multiplyLines(out[m], p[s], describeLines(keys + kBlockBytes + s * 16 * 128, kKeys * 128),
                      T());
      }
      commitProducts();
    }
    awaitProducts<0>();
#pragma unroll
    for (int m = 0; m < M; ++m) {
      arrived(out[m]);
    }
  }
#endif

  CIUIC_DEVICE void run() {
#pragma unroll
    for (int m = 0; m < M; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        maximum[m][half] = Plain ? minusInfinity() : kLowest;
        sum[m][half] = 0;
      }
#pragma unroll
      for (int d = 0; d < D; ++d) {
        out[m][d][0] = out[m][d][1] = out[m][d][2] = out[m][d][3] = 0;
      }
    }
    const int last = least(first + kRows, h.queries) - 1;
    const int count = (h.visible(last) + kKeys - 1) / kKeys;
    const int whole = least(h.visible(first) / kKeys, count); // blocks that every row sees whole
    copyRows<kRows, QueryLayout>(queries, h.q, h.qSeq, first, h.queries, h.width);
    if (count > 0) {
      copyBlock(0);
    } else {
      commitCopies(); // only what was committed is waited for
    }
#pragma unroll 1
    for (int block = 0; block < count; ++block) {
      awaitCopies<0>();
#if CIUIC_HAS_WARPGROUPS
      publishShared();
#endif
      barrier();
      if (block + 1 < count) {
        copyBlock(block + 1);
      }
      const uint32_t keys = blocks + (block & 1) * 2 * kBlockBytes;
#if CIUIC_HAS_WARPGROUPS
      if constexpr (kWarpgroup) {
        attendTogether(keys, block, whole);
        continue;
      }
#endif
      float score[M][N][4];
      multiplyKeys(keys, score);
#pragma unroll
      for (int m = 0; m < M; ++m) {
        adjust(m, block, whole, score[m]);
      }
      if (!Plain && addsNothing(score)) {
        continue;
      }
#pragma unroll
      for (int m = 0; m < M; ++m) {
        soften(m, score[m]);
      }
      multiplyValues(keys + kBlockBytes, score);
    }
    awaitCopies<0>();
    barrier();
  }

  /// A warp's rows through shared memory, a row at a time to the epilogue.
  CIUIC_DEVICE void finish(int64_t row, char *const *ptrs, const int64_t *dims) {
    constexpr int kLd = Width + 8;
    static_assert(kWarps * 16 * kLd * 4 <= attentionShared(Width));
    float *mine = reinterpret_cast<float *>(ciuic_shared) + warpIndex() * 16 * kLd;
#pragma unroll
    for (int m = 0; m < M; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float total = sum[m][half];
        total += shuffleXor(total, 1);
        total += shuffleXor(total, 2);
        const float inverse = inverseOf(total, h.keys);
        const uint32_t to =
            sharedAddress(mine + (half * 8 + laneIndex() / 4) * kLd + laneIndex() % 4 * 2);
#pragma unroll
        for (int d = 0; d < D; ++d) {
          storeShared(to + d * 32, out[m][d][half * 2] * inverse,
                      out[m][d][half * 2 + 1] * inverse);
        }
      }
      warpBarrier();
      const int query = first + rowsOf(m);
      const int rows = least(16, h.queries - query);
      // Eight lanes a row: what the epilogue makes of a row alone is done for four rows at a time.
#pragma unroll 1
      for (int r = laneIndex() / 8; r < rows; r += 4) {
#pragma unroll
        for (int c = 0; c < Width; c += 8) {
          const int column = c + laneIndex() % 8;
          if (column < h.valueWidth) {
            ciuic_epilogue(mine[r * kLd + column], row + query + r, column, ptrs, dims);
          }
        }
      }
      warpBarrier();
    }
    barrier(); // the next tile's queries overwrite this
  }
};

template <typename T, int Width, bool Plain, bool Vectors>
CIUIC_DEVICE void attendTiles(const int64_t *args, char *const *ptrs, const int64_t *dims) {
  const int heads = static_cast<int>(args[kAttnHeads]);
  const int queries = static_cast<int>(args[kAttnQueries]);
  const int shared = most(1, heads / most(1, static_cast<int>(args[kAttnKvHeads])));
  constexpr int rows = attentionQueries(Width);
  const int tiles = (queries + rows - 1) / rows, all = static_cast<int>(args[kAttnBatch]) * heads;
#pragma unroll 1
  for (int unit = blockIndex(); unit < tiles * all; unit += blockCount()) {
    const int of = unit % all, batch = of / heads, head = of % heads;
    const Head<T> h(args, ptrs, batch, head, head / shared);
    Tile<T, Width, Plain, Vectors> tile(h, (tiles - 1 - unit / all) * rows);
    tile.run();
    tile.finish(static_cast<int64_t>(of) * queries, ptrs, dims);
  }
}

template <typename T, int Width>
CIUIC_DEVICE void attendWidth(const int64_t *args, char *const *ptrs, const int64_t *dims) {
  const bool plain = !args[kAttnMasked] && fromBits(static_cast<int>(args[kAttnScale])) > 0;
  if (hasVectors<T>(args, ptrs)) {
    if (plain) {
      attendTiles<T, Width, true, true>(args, ptrs, dims);
    } else {
      attendTiles<T, Width, false, true>(args, ptrs, dims);
    }
  } else {
    attendTiles<T, Width, false, false>(args, ptrs, dims);
  }
}

template <typename T>
CIUIC_DEVICE void attend(const int64_t *args, char *const *ptrs, const int64_t *dims) {
  switch (attentionWidth(most(args[kAttnWidth], args[kAttnValueWidth]))) {
  case 32:
    return attendWidth<T, 32>(args, ptrs, dims);
  case 64:
    return attendWidth<T, 64>(args, ptrs, dims);
  case 80:
    return attendWidth<T, 80>(args, ptrs, dims);
  case 96:
    return attendWidth<T, 96>(args, ptrs, dims);
  case 128:
    return attendWidth<T, 128>(args, ptrs, dims);
  case 192:
    return attendWidth<T, 192>(args, ptrs, dims);
  default:
    return attendWidth<T, 256>(args, ptrs, dims);
  }
}

} // namespace

CIUIC_LIBRARY(ciuic_cuda_attention_f16) { attend<Half>(args, ptrs, dims); }
CIUIC_LIBRARY(ciuic_cuda_attention_bf16) { attend<BFloat>(args, ptrs, dims); }
