// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Attention of f32 operands, in f32 throughout: tiles of queries and blocks of 32 keys in shared
// memory, sixteen by eight threads, each with every eighth row. The same tile serves few queries
// (DecodeSplit.h), whose keys and values may be quantised rows, and many. Bound by arithmetic
// outside the matrix units: 4 · queries · keys · width operations a head.
#include "kernels/cuda/DecodeSplit.h"

using namespace ciuic::cuda;

namespace {

__device__ unsigned ciuicPlainDecodeDone[kDecodeBlocks];

constexpr int kKeys = kAttentionPlainKeys, kProbabilityLd = kKeys + 4;

struct alignas(16) Four {
  float at[4];
};

template <int RowCount, int Width, typename S = float>
struct PlainTile {
  using Of = Head<float, S>;
  static constexpr int kColumns = Width / 32, kParts = 1;
  static constexpr int kLd = Width + 4, R = RowCount / 8, D = Width / 64;
  const Of &h;
  const Rows rows;
  const int64_t qHead, maskHead;
  const bool vectors;
  float *const queries, *const block, *const weights;
  float out[R][D][4], maximum[R], sum[R];

  CIUIC_DEVICE PlainTile(const Of &h, Rows rows, const int64_t *args, char *const *ptrs)
      : h(h), rows(rows), qHead(args[kAttnQHead]), maskHead(args[kAttnMaskHead]),
        vectors(hasVectors<float>(args, ptrs)), queries(reinterpret_cast<float *>(ciuic_shared)),
        block(queries + RowCount * kLd), weights(block + kKeys * kLd) {}

  CIUIC_DEVICE int x() const { return threadIndex() % 16; }
  CIUIC_DEVICE int rowOf(int i) const { return threadIndex() / 16 + 8 * i; }

  CIUIC_DEVICE void copyQueries() {
    for (int at = threadIndex(); at < RowCount * Width; at += kAttentionThreads) {
      const int r = at / Width, c = at % Width;
      queries[r * kLd + c] = r < rows.count && c < h.width
                                 ? h.q[rows.headOf(r) * qHead + rows.queryOf(r) * h.qSeq + c]
                                 : 0.0f;
    }
  }

  CIUIC_DEVICE void copyBlock(const S *from, int64_t stride, int count, int width) {
    for (int at = threadIndex(); at < kKeys * Width / 4; at += kAttentionThreads) {
      const int r = at / (Width / 4), c = at % (Width / 4) * 4;
      Four v = {};
      if (r < count && c < width) {
        const S *address = from + r * stride + c;
        if constexpr (sizeof(S) == 1) { // rows of integers are filled up with zeros
          signedBytes(*reinterpret_cast<const uint32_t *>(address), v.at);
          const float scale = rowScale(from + r * stride, width);
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            v.at[i] *= scale;
          }
        } else if (vectors) {
          v = *reinterpret_cast<const Four *>(address);
        } else {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            v.at[i] = c + i < width ? address[i] : 0.0f;
          }
        }
      }
      *reinterpret_cast<Four *>(block + r * kLd + c) = v;
    }
  }

  /// Scores of this thread's rows and keys x, x + 16 of the block.
  CIUIC_DEVICE void score(float (&s)[R][2]) {
#pragma unroll 2
    for (int c = 0; c < Width; c += 4) {
      Four k[2];
      k[0] = *reinterpret_cast<const Four *>(block + x() * kLd + c);
      k[1] = *reinterpret_cast<const Four *>(block + (x() + 16) * kLd + c);
#pragma unroll
      for (int i = 0; i < R; ++i) {
        const Four q = *reinterpret_cast<const Four *>(queries + rowOf(i) * kLd + c);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          s[i][0] = fusedMultiplyAdd(q.at[e], k[0].at[e], s[i][0]);
          s[i][1] = fusedMultiplyAdd(q.at[e], k[1].at[e], s[i][1]);
        }
      }
    }
  }

  CIUIC_DEVICE void soften(int key, int end, float (&s)[R][2]) {
#pragma unroll
    for (int i = 0; i < R; ++i) {
      const int r = most(0, least(rowOf(i), rows.count - 1)), query = rows.queryOf(r);
      const int visible = least(end, h.visible(query));
      float next = maximum[i];
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int at = key + x() + 16 * j;
        float v = s[i][j] * h.scale;
        if (h.mask && at < end) {
          v += h.mask[rows.headOf(r) * maskHead + query * h.maskQuery + at * h.maskKey];
        }
        s[i][j] = at < visible ? v : minusInfinity();
        next = larger(next, s[i][j]);
      }
#pragma unroll
      for (int distance = 8; distance; distance >>= 1) {
        next = larger(next, shuffleXor(next, distance));
      }
      const float correction = power((maximum[i] - next) * kLog2E);
      maximum[i] = next;
      float total = 0;
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const float p = power((s[i][j] - next) * kLog2E);
        weights[rowOf(i) * kProbabilityLd + x() + 16 * j] = p;
        total += p;
      }
      sum[i] = sum[i] * correction + total;
#pragma unroll
      for (int d = 0; d < D; ++d) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          out[i][d][e] *= correction;
        }
      }
    }
  }

  CIUIC_DEVICE void addValues() {
#pragma unroll 1
    for (int key = 0; key < kKeys; key += 4) {
      Four p[R];
#pragma unroll
      for (int i = 0; i < R; ++i) {
        p[i] = *reinterpret_cast<const Four *>(weights + rowOf(i) * kProbabilityLd + key);
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
#pragma unroll
        for (int d = 0; d < D; ++d) {
          const Four v =
              *reinterpret_cast<const Four *>(block + (key + j) * kLd + d * 64 + x() * 4);
#pragma unroll
          for (int i = 0; i < R; ++i) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
              out[i][d][e] = fusedMultiplyAdd(p[i].at[j], v.at[e], out[i][d][e]);
            }
          }
        }
      }
    }
  }

  CIUIC_DEVICE void attend(int first, int end) {
#pragma unroll
    for (int i = 0; i < R; ++i) {
      maximum[i] = kLowest, sum[i] = 0;
#pragma unroll
      for (int d = 0; d < D; ++d) {
        out[i][d][0] = out[i][d][1] = out[i][d][2] = out[i][d][3] = 0;
      }
    }
    copyQueries();
#pragma unroll 1
    for (int key = first; key < end; key += kKeys) {
      const int count = least(kKeys, end - key);
      copyBlock(h.k + key * h.kSeq, h.kSeq, count, h.width);
      barrier();
      float s[R][2] = {};
      score(s);
      soften(key, end, s);
      barrier();
      copyBlock(h.v + key * h.vSeq, h.vSeq, count, h.valueWidth);
      barrier();
      addValues();
      barrier();
    }
    barrier();
#pragma unroll
    for (int i = 0; i < R; ++i) {
#pragma unroll
      for (int distance = 8; distance; distance >>= 1) {
        sum[i] += shuffleXor(sum[i], distance);
      }
    }
  }

  CIUIC_DEVICE void store(float *to, int ld, int i, float by) {
#pragma unroll
    for (int d = 0; d < D; ++d) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        to[rowOf(i) * ld + d * 64 + x() * 4 + e] = out[i][d][e] * by;
      }
    }
  }

  /// For few queries.
  CIUIC_DEVICE void run(int first, int end) {
    attend(first, end);
    constexpr int ld = Width + 2;
#pragma unroll
    for (int i = 0; i < R; ++i) {
      store(queries, ld, i, 1.0f);
      if (x() == 0) {
        queries[rowOf(i) * ld + Width] = maximum[i];
        queries[rowOf(i) * ld + Width + 1] = sum[i];
      }
    }
  }

  CIUIC_DEVICE void finish(int64_t row, char *const *ptrs, const int64_t *dims) {
#pragma unroll
    for (int i = 0; i < R; ++i) {
      store(queries, kLd, i, inverseOf(sum[i], h.keys));
    }
    barrier();
    for (int r = warpIndex(); r < rows.count; r += kAttentionThreads / 32) {
#pragma unroll
      for (int c = 0; c < Width; c += 32) {
        if (c + laneIndex() < h.valueWidth) {
          ciuic_epilogue(queries[r * kLd + c + laneIndex()], row + r, c + laneIndex(), ptrs, dims);
        }
      }
    }
    barrier();
  }
};

template <int Width>
CIUIC_DEVICE void attendTiles(const int64_t *args, char *const *ptrs, const int64_t *dims) {
  constexpr int rows = attentionPlainQueries(Width);
  const int64_t heads = args[kAttnHeads], queries = args[kAttnQueries];
  const int64_t shared = most(int64_t(1), heads / most(int64_t(1), args[kAttnKvHeads]));
  const int64_t tiles = ceilDiv(queries, rows), all = args[kAttnBatch] * heads;
#pragma unroll 1
  for (int64_t unit = blockIndex(); unit < tiles * all; unit += blockCount()) {
    const int64_t of = unit % all, head = of % heads;
    const int first = static_cast<int>((tiles - 1 - unit / all) * rows);
    const int count = least(rows, static_cast<int>(queries) - first);
    const Head<float> h(args, ptrs, of / heads, head, head / shared);
    PlainTile<rows, Width> tile(h, {first, count, static_cast<int>(queries)}, args, ptrs);
    tile.attend(0, h.visible(first + count - 1));
    tile.finish(of * queries + first, ptrs, dims);
  }
}

template <typename S>
CIUIC_DEVICE void decodeWidths(const int64_t *args, char *const *ptrs, const int64_t *dims) {
  switch (attentionPlainWidth(most(args[kAttnWidth], args[kAttnValueWidth]))) {
  case 64:
    return decode<PlainTile<kDecodeRows, 64, S>>(ciuicPlainDecodeDone, args, ptrs, dims);
  case 128:
    return decode<PlainTile<kDecodeRows, 128, S>>(ciuicPlainDecodeDone, args, ptrs, dims);
  default:
    return decode<PlainTile<kDecodeRows, 256, S>>(ciuicPlainDecodeDone, args, ptrs, dims);
  }
}

} // namespace

CIUIC_LIBRARY(ciuic_cuda_attention_f32) {
  switch (attentionPlainWidth(most(args[kAttnWidth], args[kAttnValueWidth]))) {
  case 64:
    return attendTiles<64>(args, ptrs, dims);
  case 128:
    return attendTiles<128>(args, ptrs, dims);
  default:
    return attendTiles<256>(args, ptrs, dims);
  }
}

CIUIC_LIBRARY(ciuic_cuda_decode_attention_f32) { decodeWidths<float>(args, ptrs, dims); }
CIUIC_LIBRARY(ciuic_cuda_decode_attention_f32_rows8) { decodeWidths<Row8>(args, ptrs, dims); }
