// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A merged weight of integers in blocks reads as its parts do: values and scales, side by side and
// interleaved.
#include "ir/Graph/BlockWeights.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/MLIRContext.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

using namespace ciuic;
using namespace ciuic::graph;
using namespace mlir;

namespace {

constexpr int64_t kDepth = 64, kBlock = 32, kBlocks = kDepth / kBlock, kColumns = 32;

/// Two weights of 32 columns in one file: integers, then scales.
class BlockWeights : public testing::Test {
protected:
  BlockWeights() : context(MLIRContext::Threading::DISABLED), b(&context) {
    context.loadDialect<GraphDialect>();
    for (int64_t i = 0; i < 2 * kIntegers; ++i) {
      file.push_back(static_cast<char>(i * 37 % 251));
    }
    for (int64_t i = 0; i < 2 * kColumns * kBlocks; ++i) {
      const float scale = 0.25f + static_cast<float>(i) / 64;
      const auto *bytes = reinterpret_cast<const char *>(&scale);
      file.insert(file.end(), bytes, bytes + sizeof scale);
    }
    read = [this](int64_t number, int64_t offset, MutableArrayRef<char> out, std::string &) {
      if (number != 0 || offset < 0 || offset + out.size() > file.size()) {
        return false;
      }
      std::memcpy(out.data(), file.data() + offset, out.size());
      return true;
    };
  }

  Attribute scalesOf(int64_t part) {
    auto type = RankedTensorType::get({kColumns, kBlocks}, b.getF32Type());
    return StoredAttr::get(&context, 0, 2 * kIntegers + part * kColumns * kBlocks * 4, type);
  }

  BlocksAttr blocks(Attribute scales) {
    return BlocksAttr::get(&context, 4, kBlock, kDepth, "values", scales, Attribute(), "int4g32");
  }

  StoredWeight part(int64_t number) {
    return {0,
            number * kIntegers,
            RankedTensorType::get({kColumns, kDepth}, b.getF32Type()),
            blocks(scalesOf(number)),
            {}};
  }

  StoredWeight merged(bool interleaved) {
    MergedWeight weight{parts, interleaved, false, 2 * kColumns, kDepth, 4};
    return {0, 0, RankedTensorType::get({2 * kColumns, kDepth}, b.getF32Type()),
            blocks(b.getArrayAttr({scalesOf(0), scalesOf(1)})), weight};
  }

  template <typename F>
  static void forColumns(bool interleaved, F check) {
    for (int64_t c = 0; c < 2 * kColumns; ++c) {
      check(c, interleaved ? c / 16 % 2 : c / kColumns,
            interleaved ? c / 32 * 16 + c % 16 : c % kColumns);
    }
  }

  static constexpr int64_t kIntegers = kColumns * kDepth / 2, kBytes = kColumns * kDepth * 4;
  const std::vector<int64_t> parts = {0, 0, kBytes, 0, kIntegers, kBytes};
  MLIRContext context;
  Builder b;
  std::vector<char> file;
  ReadFile read;
  std::string error;
};

TEST_F(BlockWeights, MergedValues) {
  std::vector<float> own[2], all(2 * kColumns * kDepth);
  for (int64_t p : {0, 1}) {
    own[p].resize(kColumns * kDepth);
    ASSERT_TRUE(readWeight(part(p), 0, {reinterpret_cast<char *>(own[p].data()), size_t(kBytes)},
                           read, error));
  }
  for (bool interleaved : {false, true}) {
    // In pieces that end anywhere.
    auto *bytes = reinterpret_cast<char *>(all.data());
    for (int64_t at = 0; at < 2 * kBytes; at += 1000) {
      const auto count = static_cast<size_t>(std::min<int64_t>(1000, 2 * kBytes - at));
      ASSERT_TRUE(readWeight(merged(interleaved), at, {bytes + at, count}, read, error));
    }
    forColumns(interleaved, [&](int64_t c, int64_t p, int64_t column) {
      EXPECT_EQ(0, std::memcmp(&all[c * kDepth], &own[p][column * kDepth], kDepth * 4))
          << c << (interleaved ? " interleaved" : "");
    });
  }
}

TEST_F(BlockWeights, MergedScales) {
  std::vector<float> own[2], all(2 * kColumns * kBlocks);
  for (int64_t p : {0, 1}) {
    own[p].resize(kColumns * kBlocks);
    ASSERT_TRUE(readScales(part(p), kBlock, 0, kColumns, own[p].data(), read, error));
  }
  for (bool interleaved : {false, true}) {
    for (int64_t first = 0; first < 2 * kColumns; first += 24) {
      const int64_t count = std::min<int64_t>(24, 2 * kColumns - first);
      ASSERT_TRUE(readScales(merged(interleaved), kBlock, first, count, &all[first * kBlocks], read,
                             error));
    }
    forColumns(interleaved, [&](int64_t c, int64_t p, int64_t column) {
      EXPECT_EQ(0, std::memcmp(&all[c * kBlocks], &own[p][column * kBlocks], kBlocks * 4))
          << c << (interleaved ? " interleaved" : "");
    });
  }
}

TEST_F(BlockWeights, ReadsThatFail) {
  file.resize(kIntegers + 10);
  std::vector<char> out(kBytes);
  EXPECT_FALSE(readWeight(merged(false), kBytes, out, read, error));
}

} // namespace
