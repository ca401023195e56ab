// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reads that run ahead: the bytes of the file in the order of the list, whichever way they come;
// lists that follow themselves and lists that are left in the middle; failures where they are
// taken, injected and real; a rate that is kept.
#include "runtime/io/ReadAhead.h"
#include "test/runtime/PlanBuilder.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

using namespace ciuic;
using namespace ciuic::test;

namespace {

constexpr int64_t kUnit = 64 << 10;

std::vector<char> patterned(int64_t bytes) {
  std::vector<char> data(static_cast<size_t>(bytes));
  for (int64_t i = 0; i < bytes; ++i) {
    data[static_cast<size_t>(i)] = static_cast<char>((i * 2654435761u) >> 13);
  }
  return data;
}

std::string fileOf(const char *name, const std::vector<char> &data) {
  std::string path = scratchPath(name);
  std::ofstream(path, std::ios::binary)
      .write(data.data(), static_cast<std::streamsize>(data.size()));
  return path;
}

/// Memory that fails, or dawdles, at one place.
class Faulty final : public ByteSource {
public:
  Faulty(const std::vector<char> &bytes, int64_t badOffset)
      : ByteSource(static_cast<int64_t>(bytes.size()), "faulty"), data(bytes), bad(badOffset) {}
  Status read(int64_t offset, void *out, int64_t count) const override {
    ++reads;
    if (offset <= bad && bad < offset + count) {
      return readFailure(*this, bad, EIO);
    }
    std::memcpy(out, data.data() + offset, static_cast<size_t>(count));
    return Status::ok();
  }
  mutable std::atomic<int> reads{0};

private:
  const std::vector<char> &data;
  const int64_t bad;
};

struct Range {
  int64_t offset, bytes;
};

ReadAhead::List listOf(const std::vector<Range> &ranges, int64_t end) {
  ReadAhead::List list;
  for (const Range &r : ranges) {
    appendRequests(list, r.offset, r.bytes, 0, kUnit, end);
  }
  return list;
}

/// Takes the whole list and compares it with what the file holds.
void expectRanges(ReadAhead &reader, const ReadAhead::List &list, const std::vector<char> &data) {
  for (const ReadRequest &request : list) {
    std::span<const char> piece;
    Status s = reader.next(&piece);
    ASSERT_TRUE(s.isOk()) << s.message();
    ASSERT_EQ(piece.size(), static_cast<size_t>(request.take));
    ASSERT_EQ(std::memcmp(piece.data(), data.data() + request.offset + request.skip, piece.size()),
              0);
    reader.release();
  }
}

const ReadAheadOptions kWays[] = {{.requests = 8, .direct = true, .uring = true},
                                  {.requests = 3, .direct = false, .uring = true},
                                  {.requests = 4, .direct = true, .uring = false},
                                  {.requests = 1, .direct = false, .uring = false}};

TEST(ReadAhead, RequestsCoverRangesInWholeUnits) {
  ReadAhead::List list;
  const int64_t base = 4096, end = base + 40 * kUnit + 100;
  appendRequests(list, base + 5, 3 * kUnit, base, kUnit, end);
  appendRequests(list, end - 7, 7, base, kUnit, end);
  appendRequests(list, base, 40 * kUnit + 100, base, kUnit, end);
  int64_t wanted[] = {3 * kUnit, 7, 40 * kUnit + 100};
  int64_t begins[] = {base + 5, end - 7, base};
  size_t i = 0;
  for (int r = 0; r < 3; ++r) {
    for (int64_t at = begins[r], left = wanted[r]; left > 0; ++i) {
      ASSERT_LT(i, list.size());
      EXPECT_EQ((list[i].offset - base) % kUnit, 0);
      EXPECT_LE(list[i].bytes, kReadBytes);
      EXPECT_LE(list[i].offset + list[i].bytes, end);
      EXPECT_TRUE((list[i].offset + list[i].bytes - base) % kUnit == 0 ||
                  list[i].offset + list[i].bytes == end);
      EXPECT_EQ(list[i].offset + list[i].skip, at);
      EXPECT_LE(list[i].skip + list[i].take, list[i].bytes);
      at += list[i].take;
      left -= list[i].take;
    }
  }
  EXPECT_EQ(i, list.size());
}

TEST(ReadAhead, GivesTheFilesBytesInOrder) {
  const std::vector<char> data = patterned(37 * kUnit + 1234);
  const auto end = static_cast<int64_t>(data.size());
  auto source = ByteSource::open(fileOf("ahead.bin", data));
  ASSERT_TRUE(source.isOk());
  const ReadAhead::List list =
      listOf({{0, end}, {kUnit + 1, 3}, {end - 5, 5}, {5 * kUnit, 20 * kUnit}, {17, kUnit}}, end);
  for (const ReadAheadOptions &way : kWays) {
    std::atomic<int64_t> checked{0};
    auto reader = ReadAhead::create(
        *source.value(), way, [&](int64_t offset, const char *bytes, int64_t count) {
          checked += count;
          return std::memcmp(bytes, data.data() + offset, static_cast<size_t>(count)) == 0
                     ? Status::ok()
                     : failure(StatusClass::Input, "test", "differs");
        });
    ASSERT_TRUE(reader.isOk());
    SCOPED_TRACE(reader.value()->mode());
    reader.value()->begin(list, false);
    expectRanges(*reader.value(), list, data);
    std::span<const char> piece;
    EXPECT_EQ(reader.value()->next(&piece).code(), "io.range"); // nothing follows
    int64_t sum = 0;
    for (const ReadRequest &r : list) {
      sum += r.bytes;
    }
    EXPECT_EQ(checked, sum);
    EXPECT_EQ(reader.value()->bytesRead(), sum);
  }
}

TEST(ReadAhead, ListsFollowThemselvesAndAreLeft) {
  const std::vector<char> data = patterned(30 * kUnit);
  const auto end = static_cast<int64_t>(data.size());
  auto source = ByteSource::open(fileOf("lists.bin", data));
  ASSERT_TRUE(source.isOk());
  const ReadAhead::List first = listOf({{3 * kUnit + 7, 20 * kUnit}}, end);
  const ReadAhead::List second = listOf({{0, 5}, {29 * kUnit, kUnit}, {9, 2}}, end);
  for (const ReadAheadOptions &way : kWays) {
    auto reader = ReadAhead::create(*source.value(), way, {});
    ASSERT_TRUE(reader.isOk());
    SCOPED_TRACE(reader.value()->mode());
    int64_t each = 0;
    for (const ReadRequest &r : first) {
      each += r.bytes;
    }
    for (int pass = 0; pass < 50; ++pass) {
      reader.value()->begin(first, true);
      expectRanges(*reader.value(), first, data);
    }
    // What was read ahead of the beginning was not read twice.
    EXPECT_LE(reader.value()->bytesRead(), 50 * each + reader.value()->bufferBytes());
    for (int pass = 0; pass < 50; ++pass) {
      reader.value()->begin(pass % 2 ? first : second, true);
      expectRanges(*reader.value(), pass % 2 ? first : second, data);
      reader.value()->begin(first, true); // left in the middle
      std::span<const char> piece;
      ASSERT_TRUE(reader.value()->next(&piece).isOk());
      ASSERT_EQ(std::memcmp(piece.data(), data.data() + 3 * kUnit + 7, piece.size()), 0);
      if (pass % 3) {
        reader.value()->release();
      }
    }
  }
}

TEST(ReadAhead, FailuresComeWhereTheyAreTaken) {
  const std::vector<char> data = patterned(64 * kUnit);
  const auto end = static_cast<int64_t>(data.size());
  const int64_t bad = 33 * kUnit + 5;
  Faulty source(data, bad);
  const ReadAhead::List good = listOf({{0, 20 * kUnit}}, end);
  const ReadAhead::List list = listOf({{0, end}}, end);
  auto reader = ReadAhead::create(source, {.requests = 4}, {});
  ASSERT_TRUE(reader.isOk());
  EXPECT_EQ(reader.value()->mode(), "memory");
  for (int round = 0; round < 3; ++round) { // a failure is not for ever
    reader.value()->begin(list, true);
    for (const ReadRequest &request : list) {
      std::span<const char> piece;
      Status s = reader.value()->next(&piece);
      if (request.offset <= bad && bad < request.offset + request.bytes) {
        EXPECT_EQ(s.code(), "io.read");
        EXPECT_EQ(reader.value()->next(&piece).code(), "io.read"); // and stays
        break;
      }
      ASSERT_TRUE(s.isOk()) << s.message();
      reader.value()->release();
    }
  }
  reader.value()->begin(good, false);
  expectRanges(*reader.value(), good, data);
}

TEST(ReadAhead, AFileThatShrinksIsAnError) {
  const std::vector<char> data = patterned(40 * kUnit);
  const auto end = static_cast<int64_t>(data.size());
  const ReadAhead::List list = listOf({{0, end}}, end);
  for (const ReadAheadOptions &way : kWays) {
    std::string path = fileOf("shrinks.bin", data);
    auto source = ByteSource::open(path);
    ASSERT_TRUE(source.isOk());
    auto reader = ReadAhead::create(*source.value(), way, {});
    ASSERT_TRUE(reader.isOk());
    SCOPED_TRACE(reader.value()->mode());
    ASSERT_EQ(::truncate(path.c_str(), 20 * kUnit + 77), 0);
    reader.value()->begin(list, true);
    Status s;
    for (size_t i = 0; i < list.size() && s.isOk(); ++i) {
      std::span<const char> piece;
      s = reader.value()->next(&piece);
      EXPECT_TRUE(!s.isOk() || list[i].offset + list[i].bytes <= 20 * kUnit + 77);
      if (s.isOk()) {
        reader.value()->release();
      }
    }
    EXPECT_EQ(s.code(), "io.truncated") << s.message();
  }
}

TEST(ReadAhead, ChecksDecide) {
  const std::vector<char> data = patterned(16 * kUnit);
  auto source = ByteSource::open(fileOf("checked.bin", data));
  ASSERT_TRUE(source.isOk());
  const ReadAhead::List list = listOf({{0, 16 * kUnit}, {0, 3}}, 16 * kUnit);
  for (const ReadAheadOptions &way : kWays) {
    auto reader = ReadAhead::create(*source.value(), way, [](int64_t, const char *, int64_t bytes) {
      return bytes > kUnit ? Status::ok() : failure(StatusClass::Input, "test.damage", "damage");
    });
    ASSERT_TRUE(reader.isOk());
    reader.value()->begin(list, false);
    std::span<const char> piece;
    ASSERT_TRUE(reader.value()->next(&piece).isOk());
    reader.value()->release();
    EXPECT_EQ(reader.value()->next(&piece).code(), "test.damage");
  }
}

TEST(ReadAhead, KeepsToARate) {
  const std::vector<char> data = patterned(32 * kUnit);
  auto source = ByteSource::open(fileOf("paced.bin", data));
  ASSERT_TRUE(source.isOk());
  const ReadAhead::List list = listOf({{0, 32 * kUnit}}, 32 * kUnit);
  for (const ReadAheadOptions &given : kWays) {
    ReadAheadOptions way = given;
    way.gbps = 0.04; // 2 MiB in 52 ms
    auto reader = ReadAhead::create(*source.value(), way, {});
    ASSERT_TRUE(reader.isOk());
    auto start = std::chrono::steady_clock::now();
    reader.value()->begin(list, false);
    expectRanges(*reader.value(), list, data);
    std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    EXPECT_GT(seconds.count(), 0.047);
  }
}

TEST(ReadAhead, ClosesInTheMiddle) {
  const std::vector<char> data = patterned(64 * kUnit);
  auto source = ByteSource::open(fileOf("closes.bin", data));
  ASSERT_TRUE(source.isOk());
  const ReadAhead::List list = listOf({{0, 64 * kUnit}}, 64 * kUnit);
  for (const ReadAheadOptions &way : kWays) {
    for (int taken = 0; taken < 3; ++taken) {
      auto reader = ReadAhead::create(*source.value(), way, {});
      ASSERT_TRUE(reader.isOk());
      reader.value()->begin(list, true);
      std::span<const char> piece;
      for (int i = 0; i < taken; ++i) {
        ASSERT_TRUE(reader.value()->next(&piece).isOk());
        reader.value()->release();
      }
    }
  }
}

} // namespace
