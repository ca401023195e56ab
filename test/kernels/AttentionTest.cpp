// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Attention against its float64 twin: decoding and prefill, grouped heads, masks of every
// broadcast, strided operands.
#include "kernels/reference/Attention.h"
#include "kernels/host/Catalog.h"
#include "test/kernels/HostLibrary.h"

using namespace ciuic::kernels;
using namespace ciuic::kernels::test;

namespace {

enum MaskKind { kNoMask, kFullMask, kKeyMask, kLaterMask, kQueryMask };

struct Case {
  int64_t batch, heads, kvHeads, queries, keys, width, valueWidth;
  bool causal;
  MaskKind mask;
};

const Case kCases[] = {
    {1, 1, 1, 1, 1, 1, 1, false, kNoMask},         {1, 9, 3, 1, 129, 64, 64, true, kNoMask},
    {2, 4, 2, 1, 64, 32, 32, false, kKeyMask},     {1, 2, 1, 3, 70, 64, 64, true, kFullMask},
    {1, 2, 2, 4, 17, 40, 24, false, kNoMask},      {1, 3, 1, 5, 5, 64, 64, true, kNoMask},
    {2, 2, 2, 33, 33, 32, 32, false, kFullMask},   {1, 2, 1, 40, 200, 128, 128, true, kNoMask},
    {1, 1, 1, 31, 65, 20, 50, true, kKeyMask},     {1, 6, 2, 64, 64, 64, 64, true, kFullMask},
    {1, 3, 1, 80, 300, 64, 64, false, kLaterMask}, {1, 2, 2, 200, 200, 32, 32, false, kLaterMask},
    {1, 2, 1, 2, 90, 32, 32, false, kLaterMask},   {1, 2, 1, 20, 70, 32, 32, false, kQueryMask},
    {1, 2, 1, 2, 70, 32, 32, false, kQueryMask},
};

struct Problem {
  std::vector<int64_t> args = std::vector<int64_t>(kAttentionArgs);
  std::vector<float> q, k, v, mask;
  int64_t outputs = 0;
};

// Keys and values lie in buffers with room to grow, as session state does; queries as [batch, seq,
// heads, width].
Problem makeProblem(const Case &c) {
  Problem p;
  int64_t *a = p.args.data();
  const int64_t capacity = c.keys + 5;
  a[kAttnBatch] = c.batch, a[kAttnHeads] = c.heads, a[kAttnKvHeads] = c.kvHeads;
  a[kAttnQueries] = c.queries, a[kAttnKeys] = c.keys;
  a[kAttnWidth] = c.width, a[kAttnValueWidth] = c.valueWidth;
  const float scale = 1 / std::sqrt(static_cast<float>(c.width));
  int32_t bits;
  std::memcpy(&bits, &scale, 4);
  a[kAttnScale] = bits, a[kAttnCausal] = c.causal, a[kAttnMasked] = c.mask != kNoMask;
  a[kAttnQSeq] = c.heads * c.width, a[kAttnQHead] = c.width;
  a[kAttnQBatch] = c.queries * a[kAttnQSeq];
  a[kAttnKSeq] = c.width, a[kAttnKHead] = capacity * c.width;
  a[kAttnKBatch] = c.kvHeads * a[kAttnKHead];
  a[kAttnVSeq] = c.valueWidth, a[kAttnVHead] = capacity * c.valueWidth;
  a[kAttnVBatch] = c.kvHeads * a[kAttnVHead];
  a[kAttnOutSeq] = c.heads * c.valueWidth, a[kAttnOutHead] = c.valueWidth;
  a[kAttnOutBatch] = c.queries * a[kAttnOutSeq];
  p.outputs = c.batch * a[kAttnOutBatch];
  p.q = normals(static_cast<size_t>(c.batch * a[kAttnQBatch]), 1, 2);
  p.k = normals(static_cast<size_t>(c.batch * a[kAttnKBatch]), 2);
  p.v = normals(static_cast<size_t>(c.batch * a[kAttnVBatch]), 3);
  if (c.mask == kFullMask) { // [1, heads, queries, keys]
    p.mask = normals(static_cast<size_t>(c.heads * c.queries * c.keys), 4);
    a[kAttnMaskHead] = c.queries * c.keys, a[kAttnMaskQuery] = c.keys, a[kAttnMaskKey] = 1;
  } else if (c.mask == kKeyMask) { // padding: [batch, 1, 1, keys], the first third hidden
    p.mask.assign(static_cast<size_t>(c.batch * c.keys), 0);
    for (int64_t i = 0; i < c.batch * c.keys; ++i) {
      if (i % c.keys < c.keys / 3) {
        p.mask[static_cast<size_t>(i)] = i % 2 ? -3.4028234663852886e38f : -INFINITY;
      }
    }
    a[kAttnMaskBatch] = c.keys, a[kAttnMaskKey] = 1;
  } else if (c.mask ==
             kLaterMask) { // [1, 1, queries, keys]: later keys, and the first seven, hidden
    for (int64_t i = 0; i < c.queries; ++i) {
      for (int64_t j = 0; j < c.keys; ++j) {
        p.mask.push_back(j > i + c.keys - c.queries || j < 7 ? -3.4028234663852886e38f : 0.0f);
      }
    }
    a[kAttnMaskQuery] = c.keys, a[kAttnMaskKey] = 1;
  } else if (c.mask == kQueryMask) { // [1, 1, queries, 1]: changes nothing
    p.mask = normals(static_cast<size_t>(c.queries), 4);
    a[kAttnMaskQuery] = 1;
  }
  return p;
}

std::vector<float> runAttention(const HostLibrary &library, Problem &p, int64_t chunk) {
  Guarded<float> out(static_cast<size_t>(p.outputs));
  runUnits(library["ciuic_attention"], p.args.data(), nullptr,
           {reinterpret_cast<char *>(p.q.data()), reinterpret_cast<char *>(p.k.data()),
            reinterpret_cast<char *>(p.v.data()), reinterpret_cast<char *>(p.mask.data()),
            out.bytes()},
           {}, attentionUnits(p.args.data()), attentionScratch(p.args.data()), chunk);
  EXPECT_TRUE(out.intact());
  return {out.data(), out.data() + p.outputs};
}

// The kernel's [batch, seq, heads, width] as the twin's [batch, heads, seq, width].
std::vector<float> byHead(const Case &c, const std::vector<float> &out) {
  std::vector<float> result;
  for (int64_t b = 0; b < c.batch; ++b) {
    for (int64_t h = 0; h < c.heads; ++h) {
      for (int64_t i = 0; i < c.queries; ++i) {
        const auto at = out.begin() + ((b * c.queries + i) * c.heads + h) * c.valueWidth;
        result.insert(result.end(), at, at + c.valueWidth);
      }
    }
  }
  return result;
}

class AttentionTest : public HostLibraryTest {};

TEST_P(AttentionTest, AgreesWithTheReference) {
  for (const Case &c : kCases) {
    Problem p = makeProblem(c);
    const auto truth = reference::attention(p.args.data(), p.q.data(), p.k.data(), p.v.data(),
                                            p.mask.empty() ? nullptr : p.mask.data());
    const auto got = byHead(c, runAttention(*library, p, 2));
    EXPECT_LT(relativeError(truth, got.data()), 2e-6)
        << c.queries << " queries, " << c.keys << " keys, width " << c.width;
    // The split over calls does not matter.
    EXPECT_EQ(
        0, std::memcmp(got.data(), byHead(c, runAttention(*library, p, 1)).data(), got.size() * 4));
  }
}

// Scores of ±1000 neither overflow nor lose the winner.
TEST_P(AttentionTest, LargeScores) {
  for (int64_t queries : {1, 7}) {
    Problem p = makeProblem({1, 1, 1, queries, 130, 16, 16, false, kNoMask});
    for (float &x : p.q) {
      x *= 1000;
    }
    const auto truth =
        reference::attention(p.args.data(), p.q.data(), p.k.data(), p.v.data(), nullptr);
    const auto got = runAttention(*library, p, 1);
    EXPECT_LT(relativeError(truth, got.data()), 1e-3);
  }
}

TEST_P(AttentionTest, NoKeysGiveZerosAndNaNSpreads) {
  for (int64_t queries : {1, 6}) {
    Problem empty = makeProblem({1, 1, 1, queries, 0, 16, 16, false, kNoMask});
    for (float x : runAttention(*library, empty, 1)) {
      EXPECT_EQ(x, 0.0f);
    }
    Problem poisoned = makeProblem({1, 1, 1, queries, 20, 16, 16, false, kNoMask});
    poisoned.q[3] = NAN;
    const auto got = runAttention(*library, poisoned, 1);
    for (int64_t c = 0; c < 16; ++c) {
      EXPECT_TRUE(std::isnan(got[static_cast<size_t>(c)]));
      if (queries > 1) {
        EXPECT_FALSE(std::isnan(got[static_cast<size_t>(16 + c)]));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, AttentionTest, testing::Values("v3", "v4"),
                         [](const auto &info) { return info.param; });

TEST(AttentionVariants, AgreeBitForBit) {
  if (!cpuHas("v4")) {
    GTEST_SKIP() << "this CPU does not run x86-64-v4";
  }
  HostLibrary narrow("v3"), wide("v4");
  for (const Case &c : kCases) {
    Problem p = makeProblem(c);
    const auto a = runAttention(narrow, p, 1), b = runAttention(wide, p, 1);
    EXPECT_EQ(0, std::memcmp(a.data(), b.data(), a.size() * 4)) << c.queries << " queries";
  }
}

} // namespace
