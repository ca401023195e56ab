// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Attention with the online softmax (Milakov, Gimelshein 2018; Dao et al. 2022): keys pass by in
// blocks of 64, the running maximum and sum of a query are corrected as they grow, scores never
// leave scratch.
//
// Many queries: a unit is 32 queries of one head. Queries lie transposed, so a block of scores is
// keys × queries, a lane is a query, and the softmax needs no sums across lanes; both products are
// the microkernel's. Up to four queries (decoding): one query at a time, its scores by dot
// products, sixteen keys at once. Quantised rows become floats block by block.
#include "kernels/QuantisedRows.h"
#include "kernels/host/Blocking.h"
#include "kernels/host/Epilogue.h"
#include "kernels/host/Exp.h"
#include "kernels/host/Microkernel.h"
#include "kernels/host/Transpose.h"

using namespace ciuic::kernels;

namespace {

constexpr int64_t kRows = kAttentionRows, kKeys = kAttentionKeys;
constexpr int64_t kFewQueries = 4;
constexpr float kNone = -__builtin_huge_valf();
constexpr float kLowest = -3.4028234663852886e38f;
constexpr float kHidden =
    -1e30f; // beside any key that is seen, e to the power of such a score is 0

// One head of one batch element.
struct Head {
  const float *q, *k, *v, *mask;               // mask null where there is none
  const int8_t *keyRows = nullptr, *valueRows; // quantised, strides in bytes: instead of k and v
  int64_t queries, keys, width, valueWidth, valuePadded;
  int64_t qSeq, kSeq, vSeq, maskQuery, maskKey;
  float scale;
  bool causal;

  // Keys that query i may see.
  int64_t visible(int64_t i) const {
    return causal ? most(0, least(keys, i + keys - queries + 1)) : keys;
  }
};

struct Scratch {
  float *queries, *scores, *out, *values, *maximum, *sum, *keys;
};

// Quantised rows as floats, `padded` apart, zeros behind their width.
void dequantise(const int8_t *rows, int64_t stride, int64_t count, int64_t width, int64_t padded,
                float *to) {
  typedef int8_t v16bUnaligned __attribute__((vector_size(16), aligned(1)));
  const int64_t whole = width / kPanel * kPanel;
  for (int64_t j = 0; j < count; ++j) {
    const int8_t *row = rows + j * stride;
    float scale;
    __builtin_memcpy(&scale, row + rowScaleAt(width), sizeof scale);
    float *out = to + j * padded;
    for (int64_t c = 0; c < whole; c += kPanel) {
      const v16bUnaligned integers = *reinterpret_cast<const v16bUnaligned *>(row + c);
      store(out + c, __builtin_convertvector(integers, v16f) * splat(scale));
    }
    for (int64_t c = whole; c < padded; ++c) {
      out[c] = c < width ? static_cast<float>(row[c]) * scale : 0.0f;
    }
  }
}

// K of a block, its rows `stride` apart.
struct Keys {
  const float *first;
  int64_t stride;
};
Keys keysOf(const Head &h, const Scratch &s, int64_t key, int64_t count) {
  if (!h.keyRows) {
    return {h.k + key * h.kSeq, h.kSeq};
  }
  const int64_t padded = ceilDiv(h.width, kPanel) * kPanel;
  dequantise(h.keyRows + key * h.kSeq, h.kSeq, count, h.width, padded, s.keys);
  return {s.keys, padded};
}

// V of a block as panels: in place where the width is whole panels, else copied and padded.
TileInput valuesOf(const Head &h, const Scratch &s, int64_t key, int64_t count) {
  if (h.keyRows) {
    dequantise(h.valueRows + key * h.vSeq, h.vSeq, count, h.valueWidth, h.valuePadded, s.values);
    return {nullptr, 0, s.values, kPanel, h.valuePadded, count};
  }
  const float *v = h.v + key * h.vSeq;
  if (h.valuePadded == h.valueWidth) {
    return {nullptr, 0, v, kPanel, h.vSeq, count};
  }
  for (int64_t j = 0; j < count; ++j) {
    float *to = s.values + j * h.valuePadded;
    for (int64_t c = 0; c < h.valuePadded; ++c) {
      to[c] = c < h.valueWidth ? v[j * h.vSeq + c] : 0.0f;
    }
  }
  return {nullptr, 0, s.values, kPanel, h.valuePadded, count};
}

// A row that sees nothing: over no keys at all the sum is empty, over masked ones the softmax is
// undefined.
float inverseOf(const Head &h, float sum) { return sum > 0 || h.keys > 0 ? 1.0f / sum : 0.0f; }

void scaleRow(float *row, int64_t count, float by) {
  for (int64_t c = 0; c < count; c += kPanel) {
    store(row + c, load(row + c) * splat(by));
  }
}

// Scores of one query against keys [key, key + count), count ≤ 64, padded to sixteens with −∞.
void dotScores(const Head &h, const Keys &keys, const float *q, int64_t query, int64_t key,
               int64_t count, float *scores) {
  const int64_t whole = h.width / kPanel * kPanel, rest = h.width - whole;
  for (int64_t j0 = 0; j0 < count; j0 += kPanel) {
    const int64_t here = least(kPanel, count - j0);
    v16f sums[16];
#pragma clang loop unroll(disable)
    for (int64_t j = 0; j < kPanel; ++j) {
      v16f sum = {};
      if (j < here) {
        const float *k = keys.first + (j0 + j) * keys.stride;
        for (int64_t c = 0; c < whole; c += kPanel) {
          sum = fma(load(q + c), load(k + c), sum);
        }
        if (rest) {
          sum = fma(loadPart(q + whole, rest), loadPart(k + whole, rest), sum);
        }
      }
      sums[j] = sum;
    }
    v16f score = sumEach(sums) * splat(h.scale);
    for (int64_t j = 0; j < kPanel; ++j) {
      if (j >= here) {
        score[j] = kNone;
      }
    }
    if (h.mask) {
      const float *m = h.mask + query * h.maskQuery + (key + j0) * h.maskKey;
      score += h.maskKey == 0 ? splat(*m) : here == kPanel ? load(m) : loadPart(m, here);
    }
    store(scores + j0, score);
  }
}

void attendOne(const Head &h, const Scratch &s, int64_t query, float *out) {
  const int64_t visible = h.visible(query);
  float maximum = kLowest, sum = 0;
  for (int64_t c = 0; c < h.valuePadded; c += kPanel) {
    store(out + c, v16f{});
  }
  for (int64_t key = 0; key < visible; key += kKeys) {
    const int64_t count = least(kKeys, visible - key), padded = ceilDiv(count, kPanel) * kPanel;
    dotScores(h, keysOf(h, s, key, count), h.q + query * h.qSeq, query, key, count, s.scores);
    v16f highest = splat(maximum);
    for (int64_t j = 0; j < padded; j += kPanel) {
      highest = max(load(s.scores + j), highest);
    }
    const float next = maxLanes(highest);
    const float correction = expNegative(splat(maximum - next))[0];
    v16f total = {};
    for (int64_t j = 0; j < padded; j += kPanel) {
      const v16f p = expNegative(load(s.scores + j) - splat(next));
      store(s.scores + j, p);
      total += p;
    }
    sum = sum * correction + sumLanes(total);
    maximum = next;
    scaleRow(out, h.valuePadded, correction);
    TileInput in = valuesOf(h, s, key, count);
    in.a = s.scores;
    multiplyBlock<false, false>(1, h.valuePadded / kPanel, in, out, h.valuePadded, false);
  }
  scaleRow(out, h.valuePadded, inverseOf(h, sum));
}

bool areHidden(const float *mask, int64_t count) {
  v16i hidden = ~v16i{};
  int64_t j = 0;
  for (; j + kPanel <= count; j += kPanel) {
    hidden &= load(mask + j) <= splat(kHidden);
  }
  bool all = __builtin_reduce_and(hidden) != 0;
  for (; all && j < count; ++j) {
    all = mask[j] <= kHidden;
  }
  return all;
}

// Whether a block of keys adds nothing: the mask hides it from all queries, and each has seen a key
// before. What a causal mask hides need not be computed then.
bool addsNothing(const Head &h, const Scratch &s, int64_t query, int64_t rows, int64_t key,
                 int64_t count) {
  if (!h.mask || h.maskKey == 0) {
    return false;
  }
  for (int64_t i = 0; i < rows; ++i) {
    if (!areHidden(h.mask + (query + i) * h.maskQuery + key, count)) {
      return false;
    }
  }
  for (int64_t i = 0; i < rows; ++i) {
    if (!(s.maximum[i] > kHidden)) {
      return false;
    }
  }
  return true;
}

// Adds the mask to a block of scores [count][kRows]: the same for all queries, or transposed tile
// by tile.
void addMask(const Head &h, int64_t query, int64_t rows, int64_t key, int64_t count,
             float *scores) {
  for (int64_t i0 = 0; i0 < rows; i0 += kPanel) {
    const int64_t here = least(kPanel, rows - i0);
    for (int64_t j0 = 0; j0 < count; j0 += kPanel) {
      const int64_t wide = least(kPanel, count - j0);
      const float *m = h.mask + (query + i0) * h.maskQuery + (key + j0) * h.maskKey;
      v16f tile[16];
      if (h.maskQuery == 0) {
        for (int64_t j = 0; j < kPanel; ++j) {
          tile[j] = splat(m[least(j, wide - 1) * h.maskKey]);
        }
      } else {
        for (int64_t i = 0; i < kPanel; ++i) {
          const float *row = m + i * h.maskQuery;
          tile[i] = i >= here        ? v16f{}
                    : h.maskKey == 0 ? splat(*row)
                    : wide == kPanel ? load(row)
                                     : loadPart(row, wide);
        }
        transpose(tile);
      }
      float *block = scores + j0 * kRows + i0;
      for (int64_t j = 0; j < wide; ++j) {
        store(block + j * kRows, load(block + j * kRows) + tile[j]);
      }
    }
  }
}

// Hides what is causal from a block of scores [count][kRows] of queries from `query` on.
void hideLater(const Head &h, int64_t query, int64_t rows, int64_t key, int64_t count,
               float *scores) {
  if (h.causal && key + count > h.visible(query)) {
    for (int64_t j = 0; j < count; ++j) {
      for (int64_t i = 0; i < rows; ++i) {
        if (key + j >= h.visible(query + i)) {
          scores[j * kRows + i] = kNone;
        }
      }
    }
  }
}

// Scaled queries as [width][kRows], zeros in the lanes beyond `rows`.
void transposeQueries(const Head &h, int64_t query, int64_t rows, float *out) {
  for (int64_t i0 = 0; i0 < rows; i0 += kPanel) {
    const int64_t here = least(kPanel, rows - i0);
    for (int64_t c0 = 0; c0 < h.width; c0 += kPanel) {
      const int64_t wide = least(kPanel, h.width - c0);
      v16f tile[16];
      for (int64_t i = 0; i < kPanel; ++i) {
        const float *q = h.q + (query + i0 + i) * h.qSeq + c0;
        tile[i] = i >= here ? v16f{} : wide == kPanel ? load(q) : loadPart(q, wide);
      }
      transpose(tile);
      for (int64_t c = 0; c < wide; ++c) {
        store(out + (c0 + c) * kRows + i0, tile[c] * splat(h.scale));
      }
    }
  }
}

void attendMany(const Head &h, const Scratch &s, int64_t query, int64_t rows) {
  const int64_t lanes = ceilDiv(rows, kPanel) * kPanel;
  transposeQueries(h, query, rows, s.queries);
  for (int64_t i = 0; i < lanes; i += kPanel) {
    store(s.maximum + i, splat(kLowest));
    store(s.sum + i, v16f{});
  }
  for (int64_t i = 0; i < rows * h.valuePadded; i += kPanel) {
    store(s.out + i, v16f{});
  }
  const int64_t visible = h.visible(query + rows - 1);
  for (int64_t key = 0; key < visible; key += kKeys) {
    const int64_t count = least(kKeys, visible - key);
    if (addsNothing(h, s, query, rows, key, count)) {
      continue;
    }
    const Keys keys = keysOf(h, s, key, count);
    multiplyBlock<false, false>(count, lanes / kPanel,
                                {keys.first, keys.stride, s.queries, kPanel, kRows, h.width},
                                s.scores, kRows, true);
    if (h.mask) {
      addMask(h, query, rows, key, count, s.scores);
    }
    hideLater(h, query, rows, key, count, s.scores);
    for (int64_t i = 0; i < lanes; i += kPanel) {
      const v16f last = load(s.maximum + i);
      v16f highest = last;
      for (int64_t j = 0; j < count; ++j) {
        highest = max(load(s.scores + j * kRows + i), highest);
      }
      v16f total = {};
      for (int64_t j = 0; j < count; ++j) {
        const v16f p = expNegative(load(s.scores + j * kRows + i) - highest);
        store(s.scores + j * kRows + i, p);
        total += p;
      }
      const v16f correction = expNegative(last - highest);
      store(s.maximum + i, highest);
      store(s.sum + i, fma(load(s.sum + i), correction, total));
      for (int64_t r = 0; r < least(kPanel, rows - i); ++r) {
        if (correction[r] != 1.0f) {
          scaleRow(s.out + (i + r) * h.valuePadded, h.valuePadded, correction[r]);
        }
      }
    }
    TileInput in = valuesOf(h, s, key, count);
    in.a = s.scores;
    in.rowStride = kRows;
    multiplyBlock<true, false>(rows, h.valuePadded / kPanel, in, s.out, h.valuePadded, false);
  }
  for (int64_t i = 0; i < rows; ++i) {
    scaleRow(s.out + i * h.valuePadded, h.valuePadded, inverseOf(h, s.sum[i]));
  }
}

void attend(bool quantised, const int64_t *args, ciuic_epilogue epilogue, char *const *ptrs,
            const int64_t *dims, int64_t begin, int64_t end, char *scratch) {
  const int64_t heads = args[kAttnHeads], shared = most(1, heads / most(1, args[kAttnKvHeads]));
  Head h;
  h.queries = args[kAttnQueries], h.keys = args[kAttnKeys], h.width = args[kAttnWidth];
  h.valueWidth = args[kAttnValueWidth];
  h.valuePadded = ceilDiv(h.valueWidth, kPanel) * kPanel;
  h.qSeq = args[kAttnQSeq], h.kSeq = args[kAttnKSeq], h.vSeq = args[kAttnVSeq];
  h.maskQuery = args[kAttnMaskQuery], h.maskKey = args[kAttnMaskKey];
  h.scale = __builtin_bit_cast(float, static_cast<int32_t>(args[kAttnScale]));
  h.causal = args[kAttnCausal] != 0;
  Scratch s;
  s.maximum = reinterpret_cast<float *>(scratch);
  s.sum = s.maximum + kRows;
  s.scores = s.sum + kRows;
  s.queries = s.scores + kKeys * kRows;
  s.out = s.queries + h.width * kRows;
  s.values = s.out + kRows * h.valuePadded;
  s.keys = s.values + kKeys * h.valuePadded;
  const int64_t blocks = ceilDiv(h.queries, kRows);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t query = unit % blocks * kRows, rows = least(kRows, h.queries - query);
    const int64_t head = unit / blocks % heads, batch = unit / blocks / heads;
    const int64_t kv = head / shared;
    h.q = reinterpret_cast<const float *>(ptrs[0]) + batch * args[kAttnQBatch] +
          head * args[kAttnQHead];
    const int64_t ofKeys = batch * args[kAttnKBatch] + kv * args[kAttnKHead];
    const int64_t ofValues = batch * args[kAttnVBatch] + kv * args[kAttnVHead];
    if (quantised) {
      h.keyRows = reinterpret_cast<const int8_t *>(ptrs[1]) + ofKeys;
      h.valueRows = reinterpret_cast<const int8_t *>(ptrs[2]) + ofValues;
    } else {
      h.k = reinterpret_cast<const float *>(ptrs[1]) + ofKeys;
      h.v = reinterpret_cast<const float *>(ptrs[2]) + ofValues;
    }
    h.mask = args[kAttnMasked] ? reinterpret_cast<const float *>(ptrs[3]) +
                                     batch * args[kAttnMaskBatch] + head * args[kAttnMaskHead]
                               : nullptr;
    if (h.queries <= kFewQueries) {
      for (int64_t i = 0; i < rows; ++i) {
        attendOne(h, s, query + i, s.out + i * h.valuePadded);
      }
    } else {
      attendMany(h, s, query, rows);
    }
    const int64_t row = unit / blocks * h.queries + query;
    if (epilogue) {
      epilogue(s.out, h.valuePadded, row, rows, 0, h.valueWidth, ptrs, dims);
      continue;
    }
    float *out = reinterpret_cast<float *>(ptrs[4]) + batch * args[kAttnOutBatch] +
                 head * args[kAttnOutHead] + query * args[kAttnOutSeq];
    char *const here[] = {reinterpret_cast<char *>(out)};
    finish({s.out, h.valuePadded, 0, rows, 0, h.valueWidth}, nullptr, here, dims, 0,
           args[kAttnOutSeq]);
  }
}

} // namespace

extern "C" void ciuic_attention(const int64_t *args, ciuic_epilogue epilogue, char *const *ptrs,
                                const int64_t *dims, const int64_t *, int64_t begin, int64_t end,
                                char *scratch) {
  attend(false, args, epilogue, ptrs, dims, begin, end, scratch);
}

extern "C" void ciuic_attention_rows8(const int64_t *args, ciuic_epilogue epilogue,
                                      char *const *ptrs, const int64_t *dims, const int64_t *,
                                      int64_t begin, int64_t end, char *scratch) {
  attend(true, args, epilogue, ptrs, dims, begin, end, scratch);
}
