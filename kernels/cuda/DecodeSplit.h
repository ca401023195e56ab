// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Attention of few queries, the part that all element types share: the keys of a kv head are split
// over blocks (Flash-Decoding, Dao et al. 2023) by the shape alone, and the last block of a head to
// finish adds up the shares in their order, so no result depends on the grid. The workspace is
// ptrs[4].
#pragma once
#include "kernels/cuda/Abi.h"
#include "kernels/cuda/AttentionHead.h"
#include "kernels/cuda/LastBlock.h"
#include "kernels/cuda/Overlap.h"

namespace ciuic::cuda {

using namespace kernels;

/// The rows of one unit: (head of the group, query) pairs from `first` on.
struct Rows {
  int first, count, queries;
  CIUIC_DEVICE int headOf(int r) const { return (first + r) / queries; }
  CIUIC_DEVICE int queryOf(int r) const { return (first + r) % queries; }
};

/// A row's shares added up in their order by one warp: column c·32 + lane in value[c].
template <int Columns>
struct Joined {
  float value[Columns], maximum, sum;

  /// Share i lies at from + i · stride: values, at `tail` its maximum, then its sum. Reads past L1:
  /// other blocks wrote them. Values come before their weights are known, eight shares at a time.
  CIUIC_DEVICE Joined(const float *from, int64_t stride, int count, int tail) {
    maximum = kLowest, sum = 0;
#pragma unroll
    for (int c = 0; c < Columns; ++c) {
      value[c] = 0;
    }
#pragma unroll 1
    for (int base = 0; base < count; base += 32) {
      const bool own = base + laneIndex() < count;
      const float *at = from + (base + laneIndex()) * stride + tail;
      const float part = own ? loadFresh(at) : kLowest, partSum = own ? loadFresh(at + 1) : 0.0f;
      const int here = least(32, count - base);
      float next = 0, weight = 0;
#pragma unroll 1
      for (int i = 0; i < here; i += 8) {
        float loaded[8][Columns];
#pragma unroll
        for (int u = 0; u < 8; ++u) {
#pragma unroll
          for (int c = 0; c < Columns; ++c) {
            const int column = c * 32 + laneIndex();
            loaded[u][c] = i + u < here && column < tail
                               ? loadFresh(from + (base + i + u) * stride + column)
                               : 0.0f;
          }
        }
        if (i == 0) {
          next = larger(maximum, warpMax(part));
          const float correction = power((maximum - next) * kLog2E);
          weight = power((part - next) * kLog2E);
          maximum = next;
          sum = sum * correction;
#pragma unroll
          for (int c = 0; c < Columns; ++c) {
            value[c] *= correction;
          }
          sum += warpSum(own ? weight * partSum : 0.0f);
        }
#pragma unroll
        for (int u = 0; u < 8; ++u) {
          const float by = shuffleFrom(weight, (i + u) & 31);
#pragma unroll
          for (int c = 0; c < Columns; ++c) {
            value[c] = fusedMultiplyAdd(i + u < here ? by : 0.0f, loaded[u][c], value[c]);
          }
        }
      }
    }
  }
};

/// Walks the units. An Engine is one share of one tile of rows: constructed from its head (of type
/// `Of`) and rows,
/// `run(first, end)` leaves, in each of kParts parts of shared memory, rows of kColumns · 32
/// values, their maximum and their sum, every part of all rows; a barrier follows.
template <typename Engine>
CIUIC_DEVICE void decode(unsigned *done, const int64_t *args, char *const *ptrs,
                         const int64_t *dims) {
  constexpr int kColumns = Engine::kColumns, kLd = kColumns * 32 + 2;
  constexpr int kWarps = kernels::kAttentionThreads / 32;
  const int kvHeads = static_cast<int>(args[kAttnKvHeads]);
  const int heads = static_cast<int>(args[kAttnHeads]);
  const int batches = static_cast<int>(args[kAttnBatch]);
  const int valueWidth = static_cast<int>(args[kAttnValueWidth]);
  const int queries = static_cast<int>(args[kAttnQueries]);
  const int keys = static_cast<int>(args[kAttnKeys]);
  const int shared = kvHeads > 0 ? heads / kvHeads : 0, all = shared * queries;
  const int rowTiles = (all + kDecodeRows - 1) / kDecodeRows;
  const int groups = batches * kvHeads * rowTiles;
  const int share = decodeShare(keys, groups), splits = decodeSplits(keys, groups);
  const int64_t partial = decodePartial(valueWidth);
  float *mine = reinterpret_cast<float *>(ciuic_shared);
  // All blocks are there at once, so that the product behind may fetch its weights meanwhile.
  launchDependents();
  waitForActivations();
#pragma unroll 1
  for (int unit = blockIndex(); unit < groups * splits; unit += blockCount()) {
    const int group = unit / splits, split = unit % splits;
    const int kv = group / rowTiles % kvHeads, batch = group / rowTiles / kvHeads;
    const int firstRow = group % rowTiles * kDecodeRows;
    const Rows rows = {firstRow, least(kDecodeRows, all - firstRow), queries};
    const typename Engine::Of h(args, ptrs, batch, kv * shared, kv);
    const int first = split * share, end = least(keys, first + share);
    Engine(h, rows, args, ptrs).run(first, end);
    barrier();
    float *workspace = reinterpret_cast<float *>(ptrs[4]);
    const int64_t splitStride = least(kDecodeRows, all) * partial;
    auto finish = [&](int r, const Joined<kColumns> &j) CIUIC_INLINED {
      const int64_t row =
          int64_t(batch * heads + kv * shared + rows.headOf(r)) * queries + rows.queryOf(r);
      const float inverse = inverseOf(j.sum, keys);
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        if (c * 32 + laneIndex() < valueWidth) {
          ciuic_epilogue(j.value[c] * inverse, row, c * 32 + laneIndex(), ptrs, dims);
        }
      }
    };
    for (int r = warpIndex(); r < rows.count; r += kWarps) {
      const Joined<kColumns> j(mine + r * kLd, kDecodeRows * kLd, Engine::kParts, kLd - 2);
      if (splits == 1) {
        finish(r, j);
        continue;
      }
      float *to = workspace + unit * splitStride + r * partial;
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        if (c * 32 + laneIndex() < valueWidth) {
          to[c * 32 + laneIndex()] = j.value[c];
        }
      }
      if (laneIndex() == 0) {
        to[valueWidth] = j.maximum;
        to[valueWidth + 1] = j.sum;
      }
    }
    if (splits > 1 && isLast(done, group, splits)) {
      for (int r = warpIndex(); r < rows.count; r += kWarps) {
        finish(r, Joined<kColumns>(workspace + int64_t(group) * splits * splitStride + r * partial,
                                   splitStride, splits, valueWidth));
      }
    }
    barrier(); // shared memory is free again
  }
}

} // namespace ciuic::cuda
