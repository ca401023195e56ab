// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Attention against its float64 twin, on a GPU: AttentionTest MANY FEW PLAIN [all|quick|tiny
// [TYPE]], the modules of AttentionKernels.cu. Heads of any width, grouped, causal, masked,
// misaligned, empty; caches with room behind the keys that holds no numbers; rows that see nothing.
#include "kernels/reference/Attention.h"
#include "test/kernels/cuda/Suite.h"

using namespace ciuic;
using namespace ciuic::kernels;
using namespace ciuic::test;

namespace {

enum MaskKind { kNoMask, kFullMask, kKeyMask, kLaterMask, kQueryMask, kHiddenRows };

struct Case {
  int64_t batch, heads, kvHeads, queries, keys, width, valueWidth;
  bool causal;
  MaskKind mask;
  size_t misaligned = 0; // elements
  float sharpness = 1;
};

const Case kCases[] = {
    {1, 1, 1, 9, 1, 1, 1, false, kNoMask},
    {1, 2, 1, 9, 0, 16, 16, false, kNoMask},
    {1, 2, 1, 9, 0, 16, 16, true, kNoMask},
    {0, 2, 1, 9, 5, 16, 16, false, kNoMask},
    {1, 3, 1, 0, 40, 64, 64, true, kNoMask},
    {1, 3, 1, 40, 40, 64, 64, true, kNoMask},
    {2, 2, 2, 33, 33, 32, 32, false, kFullMask},
    {1, 2, 1, 40, 200, 128, 128, true, kNoMask},
    {1, 1, 1, 31, 65, 20, 50, true, kKeyMask},
    {1, 6, 2, 64, 64, 64, 64, true, kFullMask},
    {1, 3, 1, 80, 300, 64, 64, false, kLaterMask},
    {1, 2, 1, 20, 70, 32, 32, false, kQueryMask},
    {2, 3, 3, 129, 257, 80, 80, false, kNoMask},
    {2, 3, 3, 130, 255, 80, 80, true, kFullMask},
    {1, 4, 2, 100, 100, 96, 96, true, kNoMask},
    {1, 4, 2, 300, 300, 128, 128, false, kNoMask},
    {1, 2, 2, 77, 333, 128, 64, false, kKeyMask},
    {1, 2, 1, 65, 129, 160, 160, true, kNoMask},
    {1, 2, 1, 70, 129, 192, 192, true, kLaterMask},
    {1, 2, 1, 65, 200, 256, 256, true, kNoMask},
    {1, 2, 1, 50, 20, 64, 64, true, kNoMask}, // the first queries see no key
    {1, 3, 1, 33, 100, 64, 64, false, kHiddenRows},
    {1, 2, 2, 40, 130, 64, 64, false, kNoMask, 1},
    {1, 2, 2, 40, 130, 60, 60, true, kNoMask, 3},
    {1, 1, 1, 17, 130, 16, 16, false, kNoMask, 0, 300},
    {1, 4, 2, 600, 1500, 128, 128, true, kNoMask},
    // Few queries.
    {1, 1, 1, 1, 1, 1, 1, false, kNoMask},
    {1, 2, 1, 1, 0, 16, 16, true, kNoMask},
    {1, 9, 3, 1, 129, 64, 64, true, kNoMask},
    {2, 4, 2, 1, 64, 32, 32, false, kKeyMask},
    {1, 2, 1, 3, 70, 64, 64, true, kFullMask},
    {1, 2, 2, 4, 17, 40, 24, false, kNoMask},
    {1, 2, 1, 2, 90, 32, 32, false, kLaterMask},
    {1, 32, 32, 1, 517, 128, 128, true, kNoMask},
    {1, 32, 8, 8, 1000, 128, 128, true, kNoMask},
    {2, 16, 2, 5, 777, 80, 80, true, kFullMask},
    {1, 71, 1, 1, 300, 64, 64, true, kNoMask},
    {1, 8, 1, 8, 2500, 96, 96, true, kNoMask},
    {1, 1, 1, 1, 5000, 192, 192, false, kNoMask},
    {1, 4, 2, 2, 260, 256, 256, true, kKeyMask},
    {1, 2, 2, 7, 3, 64, 64, true, kNoMask},
    {1, 3, 1, 4, 100, 64, 64, false, kHiddenRows},
    {1, 2, 2, 2, 130, 60, 60, true, kNoMask, 3},
    {40, 12, 12, 1, 33, 64, 64, true, kNoMask},
};

struct Problem {
  TestCall call = {};
  std::vector<float> q, k, v, mask;
};

Problem makeProblem(const Case &c, const std::string &type) {
  Problem p;
  int64_t *a = p.call.args;
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
  p.q = normals(static_cast<size_t>(c.batch * a[kAttnQBatch]), 1, 2 * c.sharpness);
  p.k = normals(static_cast<size_t>(c.batch * a[kAttnKBatch]), 2);
  p.v = normals(static_cast<size_t>(c.batch * a[kAttnVBatch]), 3);
  for (int64_t head = 0; head < c.batch * c.kvHeads; ++head) { // nothing may look behind the keys
    for (int64_t i = c.keys * c.width; i < capacity * c.width; ++i) {
      p.k[static_cast<size_t>(head * a[kAttnKHead] + i)] = NAN;
    }
    for (int64_t i = c.keys * c.valueWidth; i < capacity * c.valueWidth; ++i) {
      p.v[static_cast<size_t>(head * a[kAttnVHead] + i)] = NAN;
    }
  }
  const float lowest = type == "f16" ? -65504.0f : -3.3895e38f;
  if (c.mask == kFullMask) { // [1, heads, queries, keys]
    p.mask = normals(static_cast<size_t>(c.heads * c.queries * c.keys), 4);
    a[kAttnMaskHead] = c.queries * c.keys, a[kAttnMaskQuery] = c.keys, a[kAttnMaskKey] = 1;
  } else if (c.mask == kKeyMask) { // [batch, 1, 1, keys], the first third hidden
    for (int64_t i = 0; i < c.batch * c.keys; ++i) {
      p.mask.push_back(i % c.keys >= c.keys / 3 ? 0.0f : i % 2 ? lowest : -INFINITY);
    }
    a[kAttnMaskBatch] = c.keys, a[kAttnMaskKey] = 1;
  } else if (c.mask == kQueryMask) { // [1, 1, queries, 1]: changes nothing
    p.mask = normals(static_cast<size_t>(c.queries), 4);
    a[kAttnMaskQuery] = 1;
  } else if (c.mask == kLaterMask || c.mask == kHiddenRows) { // [1, 1, queries, keys]
    for (int64_t i = 0; i < c.queries; ++i) {
      for (int64_t j = 0; j < c.keys; ++j) {
        p.mask.push_back(c.mask == kLaterMask
                             ? (j > i + c.keys - c.queries || j < 7 ? lowest : 0.0f)
                             : (i % 3 == 0   ? -INFINITY
                                : i % 3 == 1 ? lowest
                                             : 0.0f));
      }
    }
    a[kAttnMaskQuery] = c.keys, a[kAttnMaskKey] = 1;
  }
  return p;
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 4) {
    std::printf("usage: AttentionTest MANY FEW PLAIN [all|quick|tiny [TYPE]]\n");
    return 2;
  }
  const Effort effort = effortOf(argc > 4 ? argv[4] : "all");
  Suite suite;
  const CUmodule many = suite.driver.load(argv[1]), few = suite.driver.load(argv[2]);
  const CUmodule plain = suite.driver.load(argv[3]);
  for (const std::string type : {"f16", "bf16", "f32"}) {
    if (argc > 5 && type != argv[5]) {
      continue;
    }
    for (const Case &c : kCases) {
      const int64_t products = c.batch * c.heads * c.queries * c.keys * c.width;
      if ((effort == Effort::Quick && (c.keys > 400 || c.heads > 20)) ||
          (effort == Effort::Tiny && (products > 400000 || c.width > 128))) {
        continue;
      }
      Problem p = makeProblem(c, type);
      const int64_t bytes = static_cast<int64_t>(bytesOf(type));
      const std::vector<char> q = encode(p.q, type), k = encode(p.k, type), v = encode(p.v, type);
      const std::vector<char> mask = encode(p.mask, type);
      const size_t offset = c.misaligned * bytesOf(type);
      const bool decode = c.queries > 0 && c.queries <= cuda::kDecodeQueries;
      const int64_t *a = p.call.args;
      Buffer queries(q.data(), q.size(), offset), keys(k.data(), k.size(), offset);
      Buffer values(v.data(), v.size(), offset), masks(mask.data(), mask.size(), offset);
      Buffer workspace(nullptr, decode ? static_cast<size_t>(cuda::decodeWorkspace(a)) : 0);
      p.call.ptrs[0] = queries.get(), p.call.ptrs[1] = keys.get(), p.call.ptrs[2] = values.get();
      p.call.ptrs[3] = masks.get(), p.call.ptrs[4] = workspace.get();
      const cuda::Block block =
          decode ? cuda::decodeBlock(a, bytes) : cuda::attentionBlock(a, bytes);
      const int64_t tile = cuda::attentionTileRows(a, bytes);
      const int64_t units =
          decode ? cuda::decodeUnits(a) : c.batch * c.heads * ((c.queries + tile - 1) / tile);
      const std::string name = (decode ? "decode_attention_" : "attention_") + type;
      const std::string what = name + " batch " + std::to_string(c.batch) + " heads " +
                               std::to_string(c.heads) + "/" + std::to_string(c.kvHeads) +
                               " queries " + std::to_string(c.queries) + " keys " +
                               std::to_string(c.keys) + " width " + std::to_string(c.width) +
                               " mask " + std::to_string(c.mask);
      const CUmodule module = type == "f32" ? plain : decode ? few : many;
      const std::vector<float> got =
          suite.run(suite.driver.function(module, "test_" + name, block.sharedBytes), p.call,
                    c.batch * c.heads * c.queries, c.valueWidth, units, block, what);
      std::vector<double> want = reference::attention(a, p.q.data(), p.k.data(), p.v.data(),
                                                      p.mask.empty() ? nullptr : p.mask.data());
      if (c.keys == 0) {
        want.assign(want.size(), 0.0);
      }
      suite.compare(want, got,
                    type == "f16"     ? 1e-3
                    : type == "bf16"  ? 8e-3
                    : c.sharpness > 1 ? 1e-4
                                      : 4e-6,
                    what);
    }
    suite.progress(type);
  }
  return suite.finish("attention");
}
