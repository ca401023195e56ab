// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every range of a merged weight, against the tensor put together element by element.
#include "ir/Graph/MergedWeight.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

using namespace ciuic::graph;

namespace {

/// Parts of these columns in files of their own, each at an offset; elements are numbered.
struct Stored {
  std::vector<std::vector<uint16_t>> files;
  std::vector<int64_t> parts;
  MergedWeight weight;
  std::vector<uint16_t> whole;

  Stored(const std::vector<int64_t> &columns, int64_t depth, bool interleaved, bool byRows) {
    int64_t all = 0;
    uint16_t next = 1;
    for (size_t p = 0; p < columns.size(); ++p) {
      const int64_t offset = 2 * static_cast<int64_t>(p) + 4;
      std::vector<uint16_t> file(offset / 2 + columns[p] * depth + 3, 0xffff);
      for (int64_t i = 0; i < columns[p] * depth; ++i) {
        file[offset / 2 + i] = next++;
      }
      files.push_back(std::move(file));
      parts.insert(parts.end(), {static_cast<int64_t>(p), offset, columns[p] * depth * 2});
      all += columns[p];
    }
    weight = {parts, interleaved, byRows, all, depth, 2};
    whole.resize(all * depth);
    for (int64_t c = 0; c < all; ++c) {
      int64_t part = 0, column = c;
      if (interleaved) {
        part = c / 16 % static_cast<int64_t>(columns.size());
        column = c / 16 / static_cast<int64_t>(columns.size()) * 16 + c % 16;
      } else {
        for (; column >= columns[part]; ++part) {
          column -= columns[part];
        }
      }
      for (int64_t k = 0; k < depth; ++k) {
        const int64_t from = byRows ? k * columns[part] + column : column * depth + k;
        whole[byRows ? k * all + c : c * depth + k] = files[part][parts[part * 3 + 1] / 2 + from];
      }
    }
  }

  bool read(int64_t offset, std::vector<char> &out) const {
    return readMerged(weight, offset, out,
                      [&](int64_t part, int64_t at, llvm::MutableArrayRef<char> piece) {
                        const std::vector<uint16_t> &file = files[parts[part * 3]];
                        const auto *bytes = reinterpret_cast<const char *>(file.data());
                        at += parts[part * 3 + 1];
                        if (at < 0 || at + piece.size() > file.size() * 2) {
                          return false;
                        }
                        std::memcpy(piece.data(), bytes + at, piece.size());
                        return true;
                      });
  }
};

class MergedWeightTest : public testing::TestWithParam<std::tuple<bool, bool>> {};

TEST_P(MergedWeightTest, EveryRange) {
  auto [interleaved, byRows] = GetParam();
  const std::vector<int64_t> columns =
      interleaved ? std::vector<int64_t>{32, 32} : std::vector<int64_t>{5, 16, 3};
  const Stored stored(columns, 7, interleaved, byRows);
  const int64_t bytes = static_cast<int64_t>(stored.whole.size()) * 2;
  const auto *whole = reinterpret_cast<const char *>(stored.whole.data());
  for (int64_t begin = 0; begin <= bytes; ++begin) {
    for (int64_t count : {int64_t(0), int64_t(1), int64_t(31), int64_t(64), int64_t(200), bytes}) {
      std::vector<char> out(std::min(count, bytes - begin));
      ASSERT_TRUE(stored.read(begin, out));
      ASSERT_EQ(std::memcmp(out.data(), whole + begin, out.size()), 0) << begin << " " << count;
    }
  }
}

TEST_P(MergedWeightTest, NothingOutside) {
  auto [interleaved, byRows] = GetParam();
  const Stored stored({16, 16}, 4, interleaved, byRows);
  std::vector<char> one(1), more(32 * 4 * 2 + 1);
  EXPECT_FALSE(stored.read(-1, one));
  EXPECT_FALSE(stored.read(32 * 4 * 2, one));
  EXPECT_FALSE(stored.read(0, more));
}

INSTANTIATE_TEST_SUITE_P(All, MergedWeightTest, testing::Combine(testing::Bool(), testing::Bool()));

} // namespace
