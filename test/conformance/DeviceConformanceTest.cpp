// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The conformance suite of devices: memory, kernels, passes, order, cancel, pace, refusals.
#include "runtime/device/Device.h"
#include "runtime/device/cuda/CudaDevice.h"
#include "test/conformance/CudaTestKernels.h"
#include "test/conformance/FakeDriver.h"
#include "test/runtime/PlanBuilder.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
#include <numeric>
#include <random>
#include <thread>

using namespace ciuic;
using namespace ciuic::device;

namespace {

Status createFake(std::unique_ptr<Device> *out) {
  static test::FakeGpu gpu;
  gpu = {};
  return createCudaDevice(test::fakeDriver(gpu), 0, test::fakeMonitor, out);
}

struct DeviceUnderTest {
  const char *name, *kind;
  Status (*create)(std::unique_ptr<Device> *out);
  std::string (*kernels)();
  bool paces;         // keeps to a link rate, and cancels within a copy
  bool hasScratch;    // kernels have scratch of their worker
  bool stagesGathers; // ids and rows of a gather pass through the host tier
};
constexpr DeviceUnderTest kDevices[] = {
    {"host", "host", [](auto *out) { return createDevice("host", out); }, test::testKernels, true,
     true, true},
    {"cuda", "cuda", [](auto *out) { return createDevice("cuda", out); }, test::cudaTestKernels,
     false, false, false},
    {"cuda_on_a_fake_driver", "cuda", createFake, test::cudaTestKernels, false, false, false}};

constexpr int64_t kArena = 1 << 20, kHost = 1 << 20;
constexpr int64_t kDims = kArena - 4096; // of the passes whose test does not say

class Conformance : public testing::TestWithParam<DeviceUnderTest> {
protected:
  void SetUp() override {
    Status s = GetParam().create(&device);
    bool absent = s.code() == "device.no-driver" || s.code() == "device.none";
    if (absent && !std::getenv("CIUIC_REQUIRE_DEVICES")) {
      GTEST_SKIP() << s.message();
    }
    check(s);
  }
  void open(int threads = 2, double gbps = 0) {
    context.reset();
    check(device->createContext({.threads = threads, .linkGbps = gbps}, &context));
    check(context->reserve(kArena, kHost));
    std::string bytes = GetParam().kernels();
    uint32_t library = 0;
    check(context->loadLibrary(bytes, &library));
    auto find = [&](const char *symbol, int64_t scratchBytes, uint32_t *out) {
      check(context->findKernel(library, info(symbol, scratchBytes), out));
    };
    find("test_add", 0, &add);
    find("test_scale", 0, &scale);
    find("test_gather", 0, &gather);
    find("test_append", 0, &append);
    if (GetParam().hasScratch) {
      find("test_scratch", 512, &scratch);
    }
  }
  static KernelInfo info(const char *symbol, int64_t scratchBytes = 0) {
    return {symbol, scratchBytes, 128, 0, 16};
  }
  static void check(const Status &s) { ASSERT_TRUE(s.isOk()) << s.message(); }

  Command launch(uint32_t kernel, std::vector<ArenaRange> args, std::vector<uint32_t> waits = {},
                 std::vector<int64_t> params = {}) {
    Command c;
    c.kernel = kernel;
    c.args = std::move(args);
    c.waits = std::move(waits);
    c.params = std::move(params);
    return c;
  }
  Command copy(CommandKind kind, int64_t host, int64_t arena, int64_t bytes,
               std::vector<uint32_t> waits = {}) {
    Command c;
    c.kind = kind;
    c.stream = kind == CommandKind::Upload ? Stream::H2D : Stream::D2H;
    c.hostOffset = host;
    c.args = {{arena, bytes}};
    c.waits = std::move(waits);
    return c;
  }
  /// The dims block holds the amounts, and each kernel's last param says which is its own: kernels
  /// of a GPU find their number of units there.
  RunCounters run(std::vector<Command> commands, std::vector<int64_t> amounts,
                  std::vector<CommandTime> *times = nullptr) {
    for (size_t i = 0; i < commands.size(); ++i) {
      if (commands[i].kind == CommandKind::Launch || commands[i].kind == CommandKind::Gather) {
        commands[i].params.push_back(static_cast<int64_t>(i));
      }
    }
    std::unique_ptr<Pass> pass;
    check(context->prepare(std::move(commands), kDims, &pass));
    RunValues values;
    values.amounts = amounts;
    values.dims = amounts;
    if (times) {
      times->resize(amounts.size());
      values.times = *times;
    }
    RunCounters counters;
    context->beginRun();
    check(context->run(*pass, values, &counters));
    return counters;
  }
  std::string refusal(Command command) {
    std::unique_ptr<Pass> pass;
    std::vector<Command> list;
    list.push_back(std::move(command));
    return context->prepare(std::move(list), kDims, &pass).code();
  }
  void put(int64_t offset, const std::vector<float> &v) {
    check(context->write(offset, v.data(), static_cast<int64_t>(v.size()) * 4));
  }
  std::vector<float> get(int64_t offset, size_t n) {
    std::vector<float> v(n);
    check(context->read(offset, v.data(), static_cast<int64_t>(n) * 4));
    return v;
  }

  std::unique_ptr<Device> device;
  std::unique_ptr<Context> context;
  uint32_t add = 0, scale = 0, gather = 0, scratch = 0, append = 0;
};

TEST_P(Conformance, InfoNamesTheDevice) {
  open();
  DeviceInfo info = device->info();
  EXPECT_EQ(info.kind, GetParam().kind);
  EXPECT_GT(info.totalBytes, 0);
  EXPECT_GT(info.freeBytes, 0);
  EXPECT_LT(device->variantRank("pdp-11"), 0);
}

TEST_P(Conformance, ArenaHasExactlyItsSizeAndStartsZeroed) {
  open();
  EXPECT_EQ(context->deviceBytes(), kArena);
  std::vector<char> all(kArena, 1);
  check(context->read(0, all.data(), kArena));
  EXPECT_EQ(std::count(all.begin(), all.end(), 0), kArena);
  EXPECT_EQ(context->write(kArena - 4, all.data(), 5).code(), "device.outside-arena");
  EXPECT_EQ(context->read(-1, all.data(), 1).code(), "device.outside-arena");
  EXPECT_EQ(context->write(0, all.data(), INT64_MAX).code(), "device.outside-arena");
  EXPECT_FALSE(context->reserve(kArena, kHost).isOk());
}

TEST_P(Conformance, LaunchOutsideTheArenaIsRefused) {
  open();
  const std::vector<ArenaRange> outside = {{kArena, 4},     {kArena - 2, 4}, {-4, 8},
                                           {0, kArena + 1}, {INT64_MAX, 1},  {64, INT64_MAX}};
  for (ArenaRange range : outside) {
    EXPECT_EQ(refusal(launch(scale, {range, {0, 4}})), "device.outside-arena") << range.offset;
    EXPECT_EQ(refusal(launch(scale, {{0, 4}, range})), "device.outside-arena") << range.offset;
    EXPECT_EQ(refusal(copy(CommandKind::Upload, 0, range.offset, range.bytes)),
              "device.outside-arena");
    EXPECT_EQ(refusal(copy(CommandKind::Download, 0, range.offset, range.bytes)),
              "device.outside-arena");
  }
  EXPECT_EQ(refusal(copy(CommandKind::Upload, kHost - 1, 0, 2)), "device.outside-host-tier");
  EXPECT_EQ(refusal(copy(CommandKind::Download, -1, 0, 2)), "device.outside-host-tier");
  EXPECT_EQ(refusal(launch(999, {{0, 4}})), "device.command");
  EXPECT_EQ(refusal(launch(scale, {{0, 4}, {0, 4}}, {0})), "device.waits");
  Command wrong = launch(scale, {{0, 4}, {0, 4}});
  wrong.stream = Stream::H2D;
  EXPECT_EQ(refusal(wrong), "device.command");
}

TEST_P(Conformance, AmountsBeyondARangeAreRefused) {
  open();
  std::unique_ptr<Pass> pass;
  check(context->prepare({copy(CommandKind::Upload, 0, 0, 64)}, kDims, &pass));
  for (int64_t amount : {int64_t(65), int64_t(-1), INT64_MAX}) {
    RunValues values;
    values.amounts = {&amount, 1};
    RunCounters counters;
    EXPECT_EQ(context->run(*pass, values, &counters).code(), "device.amount");
  }
}

TEST_P(Conformance, UnknownSymbolAndBrokenLibraryAreErrors) {
  open();
  uint32_t id = 0;
  EXPECT_EQ(context->findKernel(0, info("no_such"), &id).code(), "device.symbol");
  EXPECT_EQ(context->loadLibrary("not a library", &id).code(), "device.library");
}

TEST_P(Conformance, EveryUnitRunsOnceForAnyNumberOfThreads) {
  for (int threads : {1, 2, 5}) {
    open(threads);
    for (int64_t n : {0, 1, 2, 3, 17, 1000, 10007}) {
      std::vector<float> x(static_cast<size_t>(n) + 1);
      std::iota(x.begin(), x.end(), 1.0f);
      put(0, x);
      put(1 << 16, std::vector<float>(x.size(), 0));
      // In place and twice: a unit done again would show.
      run({launch(scale, {{0, 1 << 16}, {1 << 16, 1 << 16}}, {}, {3}),
           launch(add, {{1 << 16, 1 << 16}, {1 << 16, 1 << 16}, {1 << 16, 1 << 16}})},
          {n, n});
      std::vector<float> y = get(1 << 16, x.size());
      for (int64_t i = 0; i < n; ++i) {
        ASSERT_EQ(y[i], x[i] * 6) << threads << " " << n << " " << i;
      }
      ASSERT_EQ(y[n], 0);
    }
  }
}

TEST_P(Conformance, ScratchBelongsToOneWorkerAtATime) {
  if (!GetParam().hasScratch) {
    GTEST_SKIP() << "kernels of this device have no scratch";
  }
  open(4);
  constexpr int64_t units = 64;
  for (int round = 0; round < 20; ++round) {
    put(0, std::vector<float>(units, 0));
    run({launch(scratch, {{0, units * 4}}, {}, {50})}, {units});
    EXPECT_EQ(get(0, units), std::vector<float>(units, 1));
  }
}

TEST_P(Conformance, KernelsReadTheDimsBlockOfTheRun) {
  open();
  put(256, {5, 6});
  std::unique_ptr<Pass> pass;
  check(context->prepare({launch(append, {{256, 8}, {512, 64}}, {}, {0})}, 128, &pass));
  for (int64_t past : {0, 3, 9}) {
    int64_t amount = 2, dims[2] = {2, past};
    RunValues values;
    values.amounts = {&amount, 1};
    values.dims = dims;
    RunCounters counters;
    check(context->run(*pass, values, &counters));
    EXPECT_EQ(get(512 + past * 4, 2), (std::vector<float>{5, 6}));
  }
}

TEST_P(Conformance, CopiesMoveTheAmountOfTheRunAndAreCounted) {
  open();
  for (int64_t bytes : {int64_t(0), int64_t(1), int64_t(4096), kHost / 2}) {
    char *host = context->hostTier();
    for (int64_t i = 0; i < kHost / 2; ++i) {
      host[i] = static_cast<char>(i * 31 + bytes);
    }
    std::memset(host + kHost / 2, 0, kHost / 2);
    RunCounters c = run({copy(CommandKind::Upload, 0, 0, kHost / 2),
                         copy(CommandKind::Download, kHost / 2, 0, kHost / 2, {0})},
                        {bytes, bytes});
    EXPECT_EQ(c.h2dBytes, bytes);
    EXPECT_EQ(c.d2hBytes, bytes);
    EXPECT_EQ(std::memcmp(host, host + kHost / 2, static_cast<size_t>(bytes)), 0);
    EXPECT_EQ(bytes < kHost / 2 ? host[kHost / 2 + bytes] : 0, 0);
  }
}

// A device may make one copy of uploads that continue each other; a download between them waits for
// the first alone, and one that is cut short leaves a gap.
TEST_P(Conformance, UploadsThatContinueEachOtherArrive) {
  open();
  char *host = context->hostTier();
  for (int64_t cut : {int64_t(0), int64_t(7)}) {
    for (int64_t i = 0; i < 3072; ++i) {
      host[i] = static_cast<char>(i * 29 + cut + 1);
    }
    std::memset(host + 4096, 0, 4096);
    run({copy(CommandKind::Upload, 0, 4096, 1024),
         copy(CommandKind::Download, 4096, 4096, 1024, {0}),
         copy(CommandKind::Upload, 1024, 5120, 1024), copy(CommandKind::Upload, 2048, 6144, 1024),
         copy(CommandKind::Download, 5120, 5120, 2048, {3})},
        {1024, 1024, 1024 - cut, 1024, 2048});
    EXPECT_EQ(std::memcmp(host, host + 4096, static_cast<size_t>(2048 - cut)), 0);
    EXPECT_EQ(std::memcmp(host + 2048, host + 6144, 1024), 0);
  }
}

// Three rows of five bytes lie side by side in the arena and end up eleven bytes apart; the amount
// is a number of rows.
TEST_P(Conformance, RowsLeaveForPlacesThatAreApart) {
  open();
  const char text[] = "aaaaabbbbbccccc";
  check(context->write(64, text, 15));
  char *host = context->hostTier();
  Command rows = copy(CommandKind::Download, 100, 64, 15);
  rows.rowBytes = 5;
  rows.hostPitch = 11;
  for (int64_t count = 0; count <= 3; ++count) {
    std::memset(host, '.', 200);
    RunCounters c = run({rows}, {count});
    EXPECT_EQ(c.d2hBytes, 5 * count);
    std::string expected = count == 0   ? "..........................."
                           : count == 1 ? "aaaaa......................"
                           : count == 2 ? "aaaaa......bbbbb..........."
                                        : "aaaaa......bbbbb......ccccc";
    EXPECT_EQ(std::string(host + 99, 29), "." + expected + ".");
  }
  std::unique_ptr<Pass> pass;
  for (auto [row, pitch, place] :
       {std::tuple(-1l, 11l, 100l), std::tuple(5l, 4l, 100l), std::tuple(5l, INT64_MAX, 100l),
        std::tuple(5l, 11l, kHost - 26)}) {
    Command wrong = rows;
    wrong.rowBytes = row;
    wrong.hostPitch = pitch;
    wrong.hostOffset = place;
    EXPECT_FALSE(context->prepare({wrong}, 0, &pass).isOk());
  }
  rows.hostOffset = kHost - 27; // the last row ends where the tier does
  check(context->prepare({rows}, 0, &pass));
}

TEST_P(Conformance, FillsAndGathers) {
  open();
  Command fill;
  fill.kind = CommandKind::Fill;
  fill.fill = 0xab;
  fill.args = {{100, 50}};
  run({fill}, {30});
  std::vector<unsigned char> bytes(52);
  check(context->read(99, bytes.data(), 52));
  EXPECT_EQ(bytes[0], 0);
  EXPECT_EQ(std::count(bytes.begin(), bytes.end(), 0xab), 30);
  EXPECT_EQ(bytes[31], 0);

  for (Stream stream : {Stream::Compute, Stream::H2D}) {
    float *table = reinterpret_cast<float *>(context->hostTier());
    for (int i = 0; i < 40; ++i) {
      table[i] = static_cast<float>(i);
    }
    int64_t ids[3] = {7, 7, 1};
    check(context->write(1024, ids, sizeof ids));
    Command c;
    c.kind = CommandKind::Gather;
    c.stream = stream;
    c.kernel = gather;
    c.params = {4};
    c.args = {{1024, 24}, {2048, 48}};
    c.tableOffset = 0;
    c.hostOffset = 4096;
    c.stagingOffset = 8192;
    c.rowBytes = 16;
    RunCounters counters = run({c}, {3});
    EXPECT_EQ(counters.h2dBytes, 48);
    EXPECT_EQ(counters.d2hBytes, GetParam().stagesGathers ? 24 : 0);
    EXPECT_EQ(get(2048, 12), (std::vector<float>{28, 29, 30, 31, 28, 29, 30, 31, 4, 5, 6, 7}));
  }
}

// Random passes over eight cells of the arena and eight of the host tier, each with exactly the
// waits that its reads and writes need, against the same commands done one after the other.
TEST_P(Conformance, WaitsOrderTheStreams) {
  constexpr int kCells = 8;
  constexpr int64_t kFloats = 512, kBytes = kFloats * 4;
  open(3);
  std::mt19937 random(17);
  for (int round = 0; round < 60; ++round) {
    std::vector<std::vector<float>> arena(kCells), host(kCells);
    auto *tier = reinterpret_cast<float *>(context->hostTier());
    for (int c = 0; c < kCells; ++c) {
      arena[c].assign(kFloats, static_cast<float>(c + 1));
      host[c].assign(kFloats, static_cast<float>(100 * c));
      put(c * kBytes, arena[c]);
      std::copy(host[c].begin(), host[c].end(), tier + c * kFloats);
    }
    std::vector<Command> commands;
    std::vector<int64_t> amounts;
    struct Use {
      int lastWrite = -1;
      std::vector<int> reads;
    };
    Use uses[2][kCells];
    for (int i = 0; i < 40; ++i) {
      int kind = static_cast<int>(random() % 3), a = static_cast<int>(random() % kCells),
          b = static_cast<int>(random() % kCells);
      std::vector<uint32_t> waits;
      auto reads = [&](Use &u) {
        if (u.lastWrite >= 0) {
          waits.push_back(static_cast<uint32_t>(u.lastWrite));
        }
        u.reads.push_back(i);
      };
      auto writes = [&](Use &u) {
        if (u.lastWrite >= 0) {
          waits.push_back(static_cast<uint32_t>(u.lastWrite));
        }
        for (int r : u.reads) {
          if (r != i) {
            waits.push_back(static_cast<uint32_t>(r));
          }
        }
        u = {i, {}};
      };
      if (kind == 0) {
        reads(uses[0][a]);
        writes(uses[0][b]);
        for (int64_t j = 0; j < kFloats; ++j) {
          arena[b][j] = arena[a][j] * -1;
        }
        commands.push_back(
            launch(scale, {{a * kBytes, kBytes}, {b * kBytes, kBytes}}, waits, {-1}));
        amounts.push_back(kFloats);
      } else if (kind == 1) {
        reads(uses[1][a]);
        writes(uses[0][b]);
        arena[b] = host[a];
        commands.push_back(copy(CommandKind::Upload, a * kBytes, b * kBytes, kBytes, waits));
        amounts.push_back(kBytes);
      } else {
        reads(uses[0][a]);
        writes(uses[1][b]);
        host[b] = arena[a];
        commands.push_back(copy(CommandKind::Download, b * kBytes, a * kBytes, kBytes, waits));
        amounts.push_back(kBytes);
      }
    }
    std::vector<CommandTime> times;
    std::vector<Command> kept = commands;
    run(std::move(commands), amounts, &times);
    for (size_t i = 0; i < kept.size(); ++i) {
      EXPECT_LE(times[i].beginNs, times[i].endNs);
      for (uint32_t w : kept[i].waits) {
        EXPECT_LE(times[w].endNs, times[i].beginNs);
      }
    }
    for (int c = 0; c < kCells; ++c) {
      ASSERT_EQ(get(c * kBytes, kFloats), arena[c]) << "round " << round << " cell " << c;
      ASSERT_TRUE(std::equal(host[c].begin(), host[c].end(), tier + c * kFloats));
    }
  }
}

TEST_P(Conformance, OnePassRunsManyTimes) {
  open();
  std::unique_ptr<Pass> pass;
  check(context->prepare({copy(CommandKind::Upload, 0, 0, 64),
                          launch(add, {{0, 64}, {64, 64}, {64, 64}}, {0}, {1}),
                          copy(CommandKind::Download, 64, 64, 64, {1})},
                         kDims, &pass));
  auto *host = reinterpret_cast<float *>(context->hostTier());
  std::fill(host, host + 16, 1.0f);
  std::vector<int64_t> amounts = {64, 16, 64};
  for (int i = 1; i <= 500; ++i) {
    RunValues values;
    values.amounts = amounts;
    values.dims = amounts;
    RunCounters counters;
    check(context->run(*pass, values, &counters));
    ASSERT_EQ(host[16], static_cast<float>(i));
    ASSERT_EQ(host[31], static_cast<float>(i));
  }
}

TEST_P(Conformance, PacedRunTakesItsBytesOverTheRateInBothDirections) {
  if (!GetParam().paces) {
    GTEST_SKIP() << "this device keeps no link rate";
  }
  constexpr double gbps = 0.05;
  open(2, gbps);
  // Never too fast; not much too slow in the best of five, since other work may hold up a run.
  double shortest = 0, least = 0;
  for (int i = 0; i < 5 && (i == 0 || shortest >= least * 1.5); ++i) {
    auto begin = std::chrono::steady_clock::now();
    RunCounters c =
        run({copy(CommandKind::Upload, 0, 0, kHost), copy(CommandKind::Download, 0, 0, kHost, {0})},
            {kHost, kHost});
    double ns =
        std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count();
    least = static_cast<double>(c.h2dBytes + c.d2hBytes) / gbps;
    EXPECT_GE(ns, least);
    shortest = i == 0 ? ns : std::min(shortest, ns);
  }
  EXPECT_LT(shortest, least * 1.5);
}

TEST_P(Conformance, CopiesAndKernelsOverlap) {
  if (!GetParam().paces) {
    GTEST_SKIP() << "this device keeps no link rate";
  }
  open(1, 0.02); // 1 MiB takes 52 ms
  put(0, std::vector<float>(64, 0));
  std::vector<CommandTime> times;
  run({copy(CommandKind::Upload, 0, 4096, kHost / 2), launch(scratch, {{0, 64}}, {}, {20000}),
       launch(scratch, {{0, 64}}, {0}, {1})},
      {kHost / 2, 16, 16}, &times);
  EXPECT_LT(times[1].beginNs, times[0].endNs);
  EXPECT_GE(times[2].beginNs, times[0].endNs);
}

TEST_P(Conformance, CancelledRunEndsSoonAndTheNextIsWhole) {
  if (!GetParam().paces) {
    GTEST_SKIP() << "this device keeps no link rate";
  }
  open(2, 0.002); // 0.5 s a MiB
  std::atomic<bool> cancel{false};
  std::unique_ptr<Pass> pass;
  std::vector<Command> commands;
  for (uint32_t i = 0; i < 8; ++i) {
    commands.push_back(copy(CommandKind::Upload, 0, 0, 1 << 16));
    commands.push_back(launch(scale, {{0, 64}, {64, 64}}, {2 * i}, {1}));
  }
  check(context->prepare(std::move(commands), kDims, &pass));
  std::vector<int64_t> amounts;
  for (int i = 0; i < 8; ++i) {
    amounts.insert(amounts.end(), {1 << 16, 16});
  }
  RunValues values;
  values.amounts = amounts;
  values.cancel = &cancel;
  RunCounters counters;
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(40));
    cancel.store(true);
  });
  auto begin = std::chrono::steady_clock::now();
  context->beginRun();
  check(context->run(*pass, values, &counters));
  double ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  canceller.join();
  EXPECT_LT(ms, 200); // the whole would take 260
  cancel.store(false);
  context->beginRun();
  check(context->run(*pass, values, &counters));
  EXPECT_EQ(counters.h2dBytes, 8 << 16);
}

TEST_P(Conformance, CancelledBeforeItsStartDoesNothing) {
  open();
  std::unique_ptr<Pass> pass;
  check(context->prepare({copy(CommandKind::Upload, 0, 0, 64)}, kDims, &pass));
  std::memset(context->hostTier(), 7, 64);
  std::atomic<bool> cancel{true};
  int64_t amount = 64;
  RunValues values;
  values.amounts = {&amount, 1};
  values.cancel = &cancel;
  RunCounters counters;
  check(context->run(*pass, values, &counters));
  EXPECT_EQ(get(0, 16), std::vector<float>(16, 0));
}

TEST_P(Conformance, ContextsAreIndependent) {
  open();
  std::unique_ptr<Context> other;
  check(device->createContext({.threads = 1, .linkGbps = 0}, &other));
  check(other->reserve(4096, 0));
  std::vector<char> ones(4096, 1), back(4096);
  check(other->write(0, ones.data(), 4096));
  check(context->read(0, back.data(), 4096));
  EXPECT_EQ(std::count(back.begin(), back.end(), 0), 4096);
  EXPECT_EQ(other->deviceBytes(), 4096);
}

INSTANTIATE_TEST_SUITE_P(Devices, Conformance, testing::ValuesIn(kDevices),
                         [](const auto &info) { return std::string(info.param.name); });

} // namespace
