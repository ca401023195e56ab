// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A panel of a packed weight (layout Rows16) as a warp reads it: chunks of kChunk values of k, each
// four 16-byte loads of a lane (2 KiB of a warp) and perhaps scales, decoded to the left operands
// of tensor core products (Mma.h).
//
//   kChunk           values of k
//   kScaled          products of sixteen k that share a scale; 0: none, or one for the whole column
//   load             begins the loads of chunk `index`, of zeros where K ends
//   decode           the left operand of product i of a chunk
//   scales           of the lane's two columns for product i
#pragma once
#include "kernels/cuda/Mma.h"
#include "kernels/pack/Rows16.h"

namespace ciuic::cuda {

namespace rows16 = ciuic::kernels::rows16;

inline constexpr int kChunkLoads = 4;

/// Like streamWords; where `whole` does not promise that `there` is true, it is looked at, and
/// words that are not there are kFill.
template <uint32_t kFill>
CIUIC_DEVICE Words streamWordsIf(const void *address, bool whole, bool there) {
  if (whole) {
    return streamWords(address);
  }
  Words v = {kFill, kFill, kFill, kFill};
  if (there) {
    v = streamWords(address);
  }
  return v;
}
CIUIC_DEVICE void streamPair(const void *address, uint32_t &x, uint32_t &y) {
  asm("ld.global.nc.v2.u32 {%0, %1}, [%2];" : "=r"(x), "=r"(y) : "l"(address));
}

/// Halves (or bfloats), of the type that is multiplied: [16][K].
template <typename T>
struct HalfWeight {
  static constexpr int kChunk = 64, kScaled = 0;
  static constexpr bool kColumnScale = false;
  struct Chunk {
    Words words[kChunkLoads];
  };
  static CIUIC_DEVICE int64_t panelBytes(int64_t K) { return K * 32; }
  static CIUIC_DEVICE Words eight(const char *panel, int64_t K, int64_t column, int64_t k) {
    const char *address = panel + (column * K + k) * 2;
    if (K % 8 == 0) {
      return streamWordsIf<0>(address, K % kChunk == 0, k < K);
    }
    uint32_t words[4] = {0, 0, 0, 0};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (k + i < K) {
        words[i / 2] |= static_cast<uint32_t>(reinterpret_cast<const uint16_t *>(address)[i])
                        << (i % 2 * 16);
      }
    }
    return {words[0], words[1], words[2], words[3]};
  }
  static CIUIC_DEVICE void load(Chunk &chunk, const char *panel, int64_t K, int64_t index,
                                int lane) {
    const int64_t k = index * kChunk + lane % 4 * 8;
#pragma unroll
    for (int i = 0; i < kChunkLoads; ++i) {
      chunk.words[i] = eight(panel, K, lane / 4 + i % 2 * 8, k + i / 2 * 32);
    }
  }
  static CIUIC_DEVICE void decode(const Chunk &chunk, int i, uint32_t (&a)[4]) {
    const Words &low = chunk.words[i / 2 * 2], &high = chunk.words[i / 2 * 2 + 1];
    a[0] = wordOf(low, i % 2 * 2);
    a[1] = wordOf(high, i % 2 * 2);
    a[2] = wordOf(low, i % 2 * 2 + 1);
    a[3] = wordOf(high, i % 2 * 2 + 1);
  }
  static CIUIC_DEVICE void scales(const Chunk &, int, float &first, float &second) {
    first = second = 1;
  }
};

template <typename T>
struct Int8Weight {
  static constexpr int kChunk = 128, kScaled = 0;
  static constexpr bool kColumnScale = true;
  struct Chunk {
    Words words[kChunkLoads];
  };
  static CIUIC_DEVICE int64_t panelBytes(int64_t K) { return rows16::int8Bytes(K); }
  static CIUIC_DEVICE void load(Chunk &chunk, const char *panel, int64_t K, int64_t index,
                                int lane) {
    const char *address =
        panel + rows16::kInt8Scales + index * kChunkLoads * rows16::kBlockBytes + lane * 16;
#pragma unroll
    for (int i = 0; i < kChunkLoads; ++i) {
      chunk.words[i] = streamWordsIf<0x80808080>(address + i * rows16::kBlockBytes, K % kChunk == 0,
                                                 index * kChunk + i * 32 < K);
    }
  }
  static CIUIC_DEVICE void decode(const Chunk &chunk, int i, uint32_t (&a)[4]) {
    const Words &words = chunk.words[i / 2];
    decodeInt8(wordOf(words, i % 2 * 2), wordOf(words, i % 2 * 2 + 1), a, T());
  }
  static CIUIC_DEVICE void scales(const Chunk &, int, float &first, float &second) {
    first = second = 1;
  }
};

template <typename T, int kGroup>
struct Int4Weight {
  static constexpr int kChunk = 256, kScaled = kGroup / 16;
  static constexpr bool kColumnScale = false;
  static_assert(kChunk == rows16::kInt4Span);
  struct Chunk {
    Words words[kChunkLoads];
    uint32_t scale[kChunk / kGroup]; // halves: of column g, of column g + 8
  };
  static CIUIC_DEVICE int64_t panelBytes(int64_t K) { return rows16::int4Bytes(K, kGroup); }
  static CIUIC_DEVICE void load(Chunk &chunk, const char *panel, int64_t K, int64_t index,
                                int lane) {
    const char *address = panel + rows16::int4ScaleBytes(K, kGroup) +
                          index * kChunkLoads * rows16::kBlockBytes + lane * 16;
#pragma unroll
    for (int i = 0; i < kChunkLoads; ++i) {
      chunk.words[i] = streamWordsIf<0x88888888>(address + i * rows16::kBlockBytes, K % kChunk == 0,
                                                 index * kChunk + i * 64 < K);
    }
    const char *scales = panel + rows16::int4ScaleOffset(index * kChunk, lane / 4, kGroup);
    if (kGroup == 128) {
      streamPair(scales, chunk.scale[0], chunk.scale[1]);
    } else {
#pragma unroll
      for (int i = 0; i < kChunk / kGroup; i += 4) {
        const Words four = streamWords(scales + i * 4);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          chunk.scale[i + j] = wordOf(four, j);
        }
      }
    }
  }
  static CIUIC_DEVICE void decode(const Chunk &chunk, int i, uint32_t (&a)[4]) {
    decodeInt4(wordOf(chunk.words[i / 4], i % 4), a, T());
  }
  static CIUIC_DEVICE void scales(const Chunk &chunk, int i, float &first, float &second) {
    unpack(chunk.scale[i / kScaled], Half(), first, second);
  }
};

} // namespace ciuic::cuda
