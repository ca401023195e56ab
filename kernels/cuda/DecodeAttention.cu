// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Attention of few queries over many keys, 16-bit operands: bound by reading k and v once. Keys and
// values may be quantised rows, which become values of the operands' type in registers.
//
// A warp takes sixteen keys at a time straight from global memory into the fragments of mma.sync:
// the order in which a product sums is free, so a lane's sixteen bytes of a key serve two steps,
// and a lane's four keys of a value's eight columns are its part of eight fragments. All query
// heads of the kv head, times the queries, are the rows; up to sixteen in one pass.
//
//   moves 2 · keys · width elements a kv head, and decodePartial() floats per row and share twice.
//   H100, f16, 32 heads of 128, one query: 6.5 µs at 512 keys, 27.5 µs (2.4 TB/s) at 4096; with 8
//   kv heads 5.3 and 11.8 µs. cuDNN through torch on such a card: 8.0, 28.7, 8.0 and 13.4 µs.
#include "kernels/cuda/DecodeSplit.h"

using namespace ciuic::cuda;

namespace {

constexpr int kWarps = kAttentionThreads / 32;

/// Shares of a head that are done; the last one puts it back to zero.
__device__ unsigned ciuicDecodeDone[kDecodeBlocks];

template <bool Vectors, typename T>
CIUIC_DEVICE Words loadEight(const T *from, int count) {
  if constexpr (Vectors) {
    return count > 0 ? streamWords(from) : Words{0, 0, 0, 0};
  } else {
    return gatherChunk(from, 1, count);
  }
}

/// Eight bytes of a quantised row.
struct Bytes {
  uint32_t x, y;
};
template <bool Vectors>
CIUIC_DEVICE Bytes loadEight(const Row8 *from, int count) {
  Bytes bytes = {0, 0};
  if constexpr (Vectors) {
    if (count > 0) {
      asm("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];"
          : "=r"(bytes.x), "=r"(bytes.y)
          : "l"(from));
    }
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const uint32_t byte = i < count ? static_cast<uint8_t>(from[i].value) : 0u;
      (i < 4 ? bytes.x : bytes.y) |= byte << (i % 4 * 8);
    }
  }
  return bytes;
}

/// Eight elements as stored, and as multiplied. A row's scale is read with them.
template <typename T, typename S>
struct Stored {
  using Raw = Words;
  CIUIC_DEVICE static float scale(const S *, int) { return 1; }
  CIUIC_DEVICE static Words values(const Raw &raw, float) { return raw; }
};
template <typename T>
struct Stored<T, Row8> {
  using Raw = Bytes;
  CIUIC_DEVICE static float scale(const Row8 *row, int width) { return rowScale(row, width); }
  CIUIC_DEVICE static Words values(const Raw &raw, float scale) {
    float low[4], high[4];
    signedBytes(raw.x, low);
    signedBytes(raw.y, high);
    return {pack(low[0] * scale, low[1] * scale, T()), pack(low[2] * scale, low[3] * scale, T()),
            pack(high[0] * scale, high[1] * scale, T()),
            pack(high[2] * scale, high[3] * scale, T())};
  }
};

/// One warp's running softmax over its keys. Columns of a value chunk of 64 are spread over lanes:
/// out[c][j] holds, of tile j, columns c·64 + (lane % 4 · 2 + i) · 8 + j.
template <typename T, int Chunks, bool Vectors, typename S = T>
struct Slabs {
  using Of = Head<T, S>;
  using Form = Stored<T, S>;
  static constexpr int kKeyChunks = 2 * Chunks; // of 32 elements
  static constexpr int kColumns = 2 * Chunks, kParts = kWarps;
  const Of &h; // of the group's first head
  const Rows rows;
  const int64_t qHead, maskHead;
  uint32_t q[kKeyChunks][2][4];
  float out[Chunks][8][4], maximum[2], sum[2];

  CIUIC_DEVICE Slabs(const Of &h, Rows rows, const int64_t *args, char *const *ptrs)
      : h(h), rows(rows), qHead(args[kAttnQHead]), maskHead(args[kAttnMaskHead]) {
    const int part = laneIndex() % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = laneIndex() / 4 + half * 8;
      const T *from =
          h.q + (r < rows.count ? rows.headOf(r) * qHead + rows.queryOf(r) * h.qSeq : 0);
#pragma unroll
      for (int c = 0; c < kKeyChunks; ++c) {
        const int at = c * 32 + part * 8;
        const Words w = loadEight<Vectors>(from + (at < h.width ? at : 0),
                                           r < rows.count ? least(8, h.width - at) : 0);
        q[c][0][half] = w.x, q[c][0][2 + half] = w.y;
        q[c][1][half] = w.z, q[c][1][2 + half] = w.w;
      }
      maximum[half] = kLowest;
      sum[half] = 0;
    }
#pragma unroll
    for (int c = 0; c < Chunks; ++c) {
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        out[c][j][0] = out[c][j][1] = out[c][j][2] = out[c][j][3] = 0;
      }
    }
  }

  /// Keys [key, key + 16), those from `end` on hidden.
  CIUIC_DEVICE void add(int key, int end) {
    const int lane = laneIndex(), part = lane % 4, row = lane / 4;
    typename Form::Raw rawK[2][kKeyChunks], rawV[4][Chunks];
    float scaleK[2], scaleV[4];
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
      const S *from = h.k + least(key + tile * 8 + row, end - 1) * h.kSeq;
#pragma unroll
      for (int c = 0; c < kKeyChunks; ++c) {
        const int at = c * 32 + part * 8;
        rawK[tile][c] = loadEight<Vectors>(from + (at < h.width ? at : 0), least(8, h.width - at));
      }
      scaleK[tile] = Form::scale(from, h.width);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const S *from = h.v + least(key + (i >> 1) * 8 + part * 2 + (i & 1), end - 1) * h.vSeq;
#pragma unroll
      for (int c = 0; c < Chunks; ++c) {
        const int at = c * 64 + row * 8;
        rawV[i][c] =
            loadEight<Vectors>(from + (at < h.valueWidth ? at : 0), least(8, h.valueWidth - at));
      }
      scaleV[i] = Form::scale(from, h.valueWidth);
    }
    Words k[2][kKeyChunks];
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
      for (int c = 0; c < kKeyChunks; ++c) {
        k[tile][c] = Form::values(rawK[tile][c], scaleK[tile]);
      }
    }
    float score[2][4] = {};
#pragma unroll
    for (int c = 0; c < kKeyChunks; ++c) {
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
        multiply(score[tile], q[c][0], k[tile][c].x, k[tile][c].y, T());
        multiply(score[tile], q[c][1], k[tile][c].z, k[tile][c].w, T());
      }
    }
    soften(key, end, score);
    const uint32_t p[4] = {pack(score[0][0], score[0][1], T()), pack(score[0][2], score[0][3], T()),
                           pack(score[1][0], score[1][1], T()),
                           pack(score[1][2], score[1][3], T())};
#pragma unroll
    for (int c = 0; c < Chunks; ++c) {
      const Words v[4] = {Form::values(rawV[0][c], scaleV[0]), Form::values(rawV[1][c], scaleV[1]),
                          Form::values(rawV[2][c], scaleV[2]), Form::values(rawV[3][c], scaleV[3])};
      const uint32_t *v0 = &v[0].x, *v1 = &v[1].x, *v2 = &v[2].x, *v3 = &v[3].x;
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const uint32_t select = j & 1 ? 0x7632 : 0x5410;
        multiply(out[c][j], p, permuteBytes(v0[j / 2], v1[j / 2], select),
                 permuteBytes(v2[j / 2], v3[j / 2], select), T());
      }
    }
  }

  CIUIC_DEVICE void soften(int key, int end, float (&score)[2][4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = least(laneIndex() / 4 + half * 8, rows.count - 1);
      const int query = rows.queryOf(r), visible = least(end, h.visible(query));
      float next = maximum[half];
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int at = key + tile * 8 + laneIndex() % 4 * 2 + i;
          float &s = score[tile][half * 2 + i];
          s *= h.scale;
          if (h.mask && at < end) {
            s += toFloat(h.mask[rows.headOf(r) * maskHead + query * h.maskQuery + at * h.maskKey]);
          }
          s = at < visible ? s : minusInfinity();
          next = larger(next, s);
        }
      }
      next = larger(next, shuffleXor(next, 1));
      next = larger(next, shuffleXor(next, 2));
      const float correction = power((maximum[half] - next) * kLog2E);
      maximum[half] = next;
      float total = 0;
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float &s = score[tile][half * 2 + i];
          s = power((s - next) * kLog2E);
          total += s;
        }
      }
      sum[half] = sum[half] * correction + total;
#pragma unroll
      for (int c = 0; c < Chunks; ++c) {
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          out[c][j][half * 2] *= correction;
          out[c][j][half * 2 + 1] *= correction;
        }
      }
    }
  }

  CIUIC_DEVICE void run(int first, int end) {
#pragma unroll 1
    for (int key = first + warpIndex() * 16; key < end; key += kWarps * 16) {
      add(key, end);
    }
    leave(reinterpret_cast<float *>(ciuic_shared) +
          warpIndex() * kDecodeRows * (kColumns * 32 + 2));
  }

  /// To this warp's rows of shared memory: values, maximum, sum.
  CIUIC_DEVICE void leave(float *to) {
    constexpr int kLd = Chunks * 64 + 2;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float total = sum[half];
      total += shuffleXor(total, 1);
      total += shuffleXor(total, 2);
      const int r = laneIndex() / 4 + half * 8, part = laneIndex() % 4;
      if (r >= rows.count) {
        continue;
      }
#pragma unroll
      for (int c = 0; c < Chunks; ++c) {
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          to[r * kLd + c * 64 + part * 16 + j] = out[c][j][half * 2];
          to[r * kLd + c * 64 + part * 16 + 8 + j] = out[c][j][half * 2 + 1];
        }
      }
      if (part == 0) {
        to[r * kLd + kLd - 2] = maximum[half];
        to[r * kLd + kLd - 1] = total;
      }
    }
  }
};

template <typename T, bool Vectors, typename S>
CIUIC_DEVICE void decodeWidth(const int64_t *args, char *const *ptrs, const int64_t *dims) {
  const int64_t width = most(args[kAttnWidth], args[kAttnValueWidth]);
  if (width <= 64) {
    decode<Slabs<T, 1, Vectors, S>>(ciuicDecodeDone, args, ptrs, dims);
  } else if (width <= 128) {
    decode<Slabs<T, 2, Vectors, S>>(ciuicDecodeDone, args, ptrs, dims);
  } else if (width <= 192) {
    decode<Slabs<T, 3, Vectors, S>>(ciuicDecodeDone, args, ptrs, dims);
  } else {
    decode<Slabs<T, 4, Vectors, S>>(ciuicDecodeDone, args, ptrs, dims);
  }
}

template <typename T, typename S = T>
CIUIC_DEVICE void decodeAny(const int64_t *args, char *const *ptrs, const int64_t *dims) {
  if (hasVectors<T>(args, ptrs)) {
    decodeWidth<T, true, S>(args, ptrs, dims);
  } else {
    decodeWidth<T, false, S>(args, ptrs, dims);
  }
}

} // namespace

CIUIC_LIBRARY(ciuic_cuda_decode_attention_f16) { decodeAny<Half>(args, ptrs, dims); }
CIUIC_LIBRARY(ciuic_cuda_decode_attention_bf16) { decodeAny<BFloat>(args, ptrs, dims); }
CIUIC_LIBRARY(ciuic_cuda_decode_attention_f16_rows8) { decodeAny<Half, Row8>(args, ptrs, dims); }
CIUIC_LIBRARY(ciuic_cuda_decode_attention_bf16_rows8) { decodeAny<BFloat, Row8>(args, ptrs, dims); }
