// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What only a GPU does: products by cuBLASLt against float64, graphs that follow the amounts of a
// run, host memory that is not pinned, times, what the process is seen to hold, and the latch of a
// lost device. Skipped where there is no GPU, unless CIUIC_REQUIRE_DEVICES is set.
#include "runtime/format/VendorCalls.h"
#include "test/conformance/CudaFixture.h"
#include "test/conformance/CudaTestKernels.h"
#include "test/conformance/Halves.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
#include <random>

using namespace ciuic;
using namespace ciuic::device;
using namespace ciuic::test;

namespace {

class CudaDevice : public CudaFixture {
protected:
  void open(int64_t arena, int64_t host, int64_t pinnedLimit = INT64_MAX) {
    context.reset();
    ContextOptions options;
    options.pinnedLimit = pinnedLimit;
    check(device->createContext(options, &context));
    check(context->reserve(arena, host));
    check(context->loadLibrary(test::cudaTestKernels(), &library));
  }
  uint32_t kernel(const char *symbol) {
    uint32_t id = 0;
    check(context->findKernel(library, {symbol, 0, 128, 0, 64}, &id));
    return id;
  }
  static Command copy(CommandKind kind, int64_t host, int64_t arena, int64_t bytes,
                      std::vector<uint32_t> waits = {}) {
    Command c;
    c.kind = kind;
    c.stream = kind == CommandKind::Upload ? Stream::H2D : Stream::D2H;
    c.hostOffset = host;
    c.args = {{arena, bytes}};
    c.waits = std::move(waits);
    return c;
  }
  static Command launch(uint32_t kernel, std::vector<ArenaRange> args, std::vector<int64_t> params,
                        std::vector<uint32_t> waits = {}) {
    Command c;
    c.kernel = kernel;
    c.args = std::move(args);
    c.params = std::move(params);
    c.waits = std::move(waits);
    return c;
  }

  uint32_t library = 0;
};

struct Product {
  int64_t typeA, typeD;
  int transA, transB, epilogue;
  int64_t batch, m, n, k;
  int64_t pad = 0;                 // added to each leading dimension
  int64_t firstPanel = 0, end = 0; // a range of panels of B
  int64_t choice = 0;              // among the library's heuristics
};

// Every shape runs in one pass of its own at bounds above the run's extents, so that the graph of
// the bounds is never the graph of the run.
TEST_F(CudaDevice, ProductsEqualFloat64) {
  open(64 << 20, 0);
  uint32_t call = 0;
  check(context->findKernel(kNoLibrary, {"cublaslt.matmul", 0, 0, 0, 0}, &call));
  std::vector<Product> list;
  for (int64_t type : {kF32, kF16, kBF16}) {
    for (int epilogue : {0, 1, 2, 3}) {
      list.push_back({type, type, 0, 1, epilogue, 1, 33, 48, 64});
      list.push_back({type, type, 0, 0, epilogue, 1, 17, 24, 40});
    }
    list.push_back({type, type, 0, 1, 0, 1, 1, 1, 1});
    list.push_back({type, type, 0, 1, 3, 1, 7, 13, 19});
    list.push_back({type, type, 1, 0, 0, 1, 31, 29, 37});
    list.push_back({type, type, 1, 1, 0, 1, 65, 8, 128});
    list.push_back({type, kF32, 0, 1, 0, 1, 20, 40, 333});
    list.push_back({type, kF32, 0, 1, 2, 1, 20, 40, 64});
    list.push_back({type, type, 0, 1, 0, 3, 16, 32, 64});
    list.push_back({type, type, 0, 0, 2, 5, 9, 16, 24, 8});
    list.push_back({type, type, 0, 1, 0, 1, 130, 257, 1025, 3});
    list.push_back({type, type, 0, 1, 3, 1, 64, 72, 96, 0, 1, 3});
    list.push_back({type, type, 0, 1, 0, 1, 64, 72, 96, 0, 3, 5});
    list.push_back({type, type, 0, 1, 1, 1, 5, 40, 64, 0, 2, 4});
    list.push_back({type, type, 0, 1, 0, 1, 0, 40, 64});
    list.push_back({type, type, 0, 1, 0, 0, 4, 40, 64});
    for (int64_t choice : {0, 1, 2, 5, 63}) { // the last where there are fewer
      list.push_back({type, type, 0, 1, 0, 1, 512, 384, 1024, 0, 0, 24, choice});
      list.push_back({type, type, 0, 1, 3, 1, 256, 96, 512, 0, 0, 6, choice});
    }
  }
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  double worst[4] = {};
  for (const Product &p : list) {
    SCOPED_TRACE(testing::Message()
                 << "type " << p.typeA << "->" << p.typeD << " trans " << p.transA << p.transB
                 << " epilogue " << p.epilogue << " " << p.batch << "x" << p.m << "x" << p.n << "x"
                 << p.k << " choice " << p.choice << " pad " << p.pad << " panels " << p.firstPanel
                 << ".." << p.end);
    bool panels = p.end > 0;
    int64_t c0 = panels ? p.firstPanel * 16 : 0, c1 = panels ? std::min(p.end * 16, p.n) : p.n;
    int64_t rowsA = p.transA ? p.k : p.m, colsA = p.transA ? p.m : p.k;
    int64_t rowsB = p.transB ? p.n : p.k, colsB = p.transB ? p.k : p.n;
    int64_t lda = colsA + p.pad, ldb = colsB + (panels ? 0 : p.pad), ldd = p.n + p.pad;
    int64_t sa = rowsA * lda, sb = (panels ? (p.n + 15) / 16 * 16 : rowsB) * ldb, sd = p.m * ldd;
    auto fill = [&](int64_t count, int64_t type) {
      std::vector<float> v(static_cast<size_t>(count));
      for (float &x : v) {
        x = roundTo(normal(random), type);
      }
      return v;
    };
    auto a = fill(p.batch * sa, p.typeA), b = fill(p.batch * sb, p.typeA);
    auto bias = fill(p.n, p.typeD), residual = fill(p.batch * sd, p.typeD);
    std::vector<float> poison(static_cast<size_t>(p.batch * sd), 777.0f);
    int64_t esA = p.typeA == kF32 ? 4 : 2, esD = p.typeD == kF32 ? 4 : 2, at = 4096;
    auto place = [&](const std::vector<float> &v, int64_t type) {
      int64_t here = at;
      std::vector<char> bytes = pack(v, type);
      check(context->write(here, bytes.data(), static_cast<int64_t>(bytes.size())));
      at = (at + static_cast<int64_t>(bytes.size()) + 255) / 64 * 64;
      return ArenaRange{here, static_cast<int64_t>(bytes.size())};
    };
    Command c;
    c.kernel = call;
    ArenaRange rb, rd;
    c.args.push_back(place(a, p.typeA));
    rb = place(b, p.typeA);
    c.args.push_back({rb.offset + c0 * ldb * esA, rb.bytes - c0 * ldb * esA});
    if (p.epilogue & 1) {
      c.args.push_back(place(bias, p.typeD));
    }
    if (p.epilogue & 2) {
      c.args.push_back(place(residual, p.typeD));
    }
    rd = place(poison, p.typeD);
    c.args.push_back(rd);
    c.args.push_back({at, 4 << 20});
    c.params = {p.typeA, p.typeA, p.typeD, p.transA, p.transB, p.epilogue, p.choice, p.m};
    if (panels) {
      c.params.push_back(p.firstPanel);
      c.params.push_back(p.end);
    }
    std::vector<int64_t> shape = {p.batch, p.m, p.n, p.k, lda, ldb, ldd, sa, sb, sd};
    c.maxShape = shape;
    std::unique_ptr<Pass> pass;
    check(context->prepare({c}, 0, &pass));
    int64_t amount = 1;
    RunValues values;
    values.amounts = {&amount, 1};
    values.shapes = shape;
    RunCounters counters;
    check(context->run(*pass, values, &counters));
    std::vector<char> got(static_cast<size_t>(rd.bytes));
    check(context->read(rd.offset, got.data(), rd.bytes));
    double error = 0, norm = 0;
    for (int64_t q = 0; q < p.batch; ++q) {
      for (int64_t i = 0; i < p.m; ++i) {
        for (int64_t j = 0; j < ldd; ++j) {
          float value = unpack(&got[static_cast<size_t>((q * sd + i * ldd + j) * esD)], p.typeD);
          if (j < c0 || j >= c1) {
            ASSERT_EQ(value, roundTo(777.0f, p.typeD))
                << "outside the columns, at " << i << "," << j;
            continue;
          }
          double sum = 0;
          for (int64_t k = 0; k < p.k; ++k) {
            double x = a[static_cast<size_t>(q * sa + (p.transA ? k * lda + i : i * lda + k))];
            double y = b[static_cast<size_t>(q * sb + (p.transB ? j * ldb + k : k * ldb + j))];
            sum += x * y;
          }
          sum += p.epilogue & 1 ? bias[static_cast<size_t>(j)] : 0;
          sum += p.epilogue & 2 ? residual[static_cast<size_t>(q * sd + i * ldd + j)] : 0;
          error += (value - sum) * (value - sum);
          norm += sum * sum;
        }
      }
    }
    double relative = norm > 0 ? std::sqrt(error / norm) : 0;
    worst[p.typeD] = std::max(worst[p.typeD], relative);
    EXPECT_LT(relative, p.typeD == kF32 ? 2e-6 : p.typeD == kF16 ? 1e-3 : 6e-3);
    // The same call again gives the same bits.
    check(context->run(*pass, values, &counters));
    std::vector<char> again(got.size());
    check(context->read(rd.offset, again.data(), rd.bytes));
    EXPECT_TRUE(p.epilogue & 2 || got == again);
  }
  std::printf("worst relative error: f32 %.2e, f16 %.2e, bf16 %.2e (%zu products)\n", worst[kF32],
              worst[kF16], worst[kBF16], list.size());
}

// One pass prepared at its bounds, run at many extents and copied amounts, in an order that makes
// graphs be replayed, evicted and made again.
TEST_F(CudaDevice, GraphsFollowTheExtentsOfARun) {
  constexpr int64_t kM = 64, kN = 32, kK = 48, kA = 4096, kB = 65536, kD = 131072, kW = 262144;
  open(8 << 20, 1 << 20);
  uint32_t call = 0;
  check(context->findKernel(kNoLibrary, {"cublaslt.matmul", 0, 0, 0, 0}, &call));
  std::vector<float> b(kN * kK, 0.5f);
  check(context->write(kB, b.data(), kN * kK * 4));
  Command c;
  c.kernel = call;
  c.args = {{kA, kM * kK * 4}, {kB, kN * kK * 4}, {kD, kM * kN * 4}, {kW, 4 << 20}};
  c.params = {kF32, kF32, kF32, 0, 1, 0, 0, 0};
  c.maxShape = {1, kM, kN, kK, kK, kK, kN, 0, 0, 0};
  c.waits = {0};
  std::unique_ptr<Pass> pass;
  check(context->prepare({copy(CommandKind::Upload, 0, kA, kM * kK * 4), c,
                          copy(CommandKind::Download, 65536, kD, kM * kN * 4, {1})},
                         0, &pass));
  auto *host = reinterpret_cast<float *>(context->hostTier());
  for (int round = 0; round < 120; ++round) {
    int64_t m = round < 60 ? round % 23 : 1 + round % 3;
    for (int64_t i = 0; i < kM * kK; ++i) {
      host[i] = static_cast<float>((i + round) % 7);
    }
    std::fill(host + 16384, host + 16384 + kM * kN, -1.0f);
    std::vector<int64_t> amounts = {m * kK * 4, 1, m * kN * 4};
    std::vector<int64_t> shape = {1, m, kN, kK, kK, kK, kN, 0, 0, 0};
    RunValues values;
    values.amounts = amounts;
    values.shapes = shape;
    RunCounters counters;
    check(context->run(*pass, values, &counters));
    EXPECT_EQ(counters.h2dBytes, m * kK * 4);
    for (int64_t i = 0; i < kM; ++i) {
      float sum = 0;
      for (int64_t k = 0; k < kK; ++k) {
        sum += host[i * kK + k] * 0.5f;
      }
      ASSERT_EQ(host[16384 + i * kN + 5], i < m ? sum : -1.0f) << round << " " << i;
    }
  }
  std::vector<int64_t> amounts = {0, 1, 0}, shape = {1, kM + 1, kN, kK, kK, kK, kN, 0, 0, 0};
  RunValues values;
  values.amounts = amounts;
  values.shapes = shape;
  RunCounters counters;
  EXPECT_EQ(context->run(*pass, values, &counters).code(), "device.amount");
}

// A host tier of which nothing, a part or all is pinned gives the same bytes.
TEST_F(CudaDevice, UnpinnedMemoryGoesThroughTheRing) {
  constexpr int64_t kBytes = 40 << 20;
  for (int64_t limit : {int64_t(0), int64_t(6 << 20), INT64_MAX}) {
    open(kBytes, 2 * kBytes, limit);
    char *host = context->hostTier();
    for (int64_t i = 0; i < kBytes; ++i) {
      host[i] = static_cast<char>(i * 131 + i / 4096 + limit % 251);
    }
    std::memset(host + kBytes, 0, kBytes);
    // Down and up again through a spill: the upload's source is written by the pass itself.
    std::unique_ptr<Pass> pass;
    check(context->prepare({copy(CommandKind::Upload, 0, 0, kBytes),
                            copy(CommandKind::Download, kBytes, 0, kBytes, {0}),
                            copy(CommandKind::Upload, kBytes, 0, kBytes, {1}),
                            copy(CommandKind::Upload, kBytes + 12345, 12345, 999, {1})},
                           0, &pass));
    for (int64_t bytes : {kBytes, kBytes - 777, int64_t(1)}) {
      std::vector<int64_t> amounts = {bytes, bytes, bytes, bytes > 20000 ? 999 : 0};
      RunValues values;
      values.amounts = amounts;
      RunCounters counters;
      auto begin = std::chrono::steady_clock::now();
      check(context->run(*pass, values, &counters));
      double ms =
          std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
              .count();
      std::vector<char> got(static_cast<size_t>(bytes));
      check(context->read(0, got.data(), bytes));
      ASSERT_EQ(std::memcmp(got.data(), host, static_cast<size_t>(bytes)), 0) << limit << bytes;
      ASSERT_EQ(std::memcmp(host + kBytes, host, static_cast<size_t>(bytes)), 0) << limit << bytes;
      if (bytes == kBytes) {
        std::printf("pinned up to %lld: %.1f GB/s\n", static_cast<long long>(limit),
                    3.0 * kBytes / 1e6 / ms);
      }
    }
    uint32_t gather = kernel("test_gather");
    Command c;
    c.kind = CommandKind::Gather;
    c.kernel = gather;
    c.args = {{0, 8}, {64, 64}};
    c.params = {16, 0};
    c.tableBytes = 2 * kBytes;
    c.rowBytes = 64;
    Status s = context->prepare({c}, 4096, &pass);
    EXPECT_EQ(s.code(), limit == INT64_MAX ? "" : "device.pinned") << s.message();
  }
}

// Copies run beside a kernel, in a graph and with times; what the plan orders stays in order.
TEST_F(CudaDevice, CopiesHideBehindKernels) {
  constexpr int64_t kBytes = 64 << 20, kNs = 2'000'000;
  open(kBytes + 65536, kBytes);
  uint32_t spin = kernel("test_spin");
  std::vector<Command> commands = {copy(CommandKind::Upload, 0, 65536, kBytes),
                                   launch(spin, {{4096, 4}}, {kNs, 0}),
                                   launch(spin, {{8192, 4}}, {1000, 0}, {0})};
  std::unique_ptr<Pass> pass;
  check(context->prepare(std::move(commands), 0, &pass));
  std::vector<int64_t> amounts = {kBytes, 1, 1}, dims = {1};
  std::vector<CommandTime> times(3);
  RunValues values;
  values.amounts = amounts;
  values.dims = dims;
  RunCounters counters;
  double best = 1e9;
  for (int i = 0; i < 5; ++i) {
    auto begin = std::chrono::steady_clock::now();
    check(context->run(*pass, values, &counters));
    best = std::min(
        best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
                  .count());
  }
  EXPECT_EQ(counters.stallNs, -1);
  values.times = times;
  check(context->run(*pass, values, &counters));
  auto ms = [](int64_t ns) { return static_cast<double>(ns) / 1e6; };
  double copyMs = ms(times[0].endNs - times[0].beginNs);
  std::printf("64 MiB in %.2f ms (%.1f GB/s) beside a kernel of 2 ms: %.2f ms as a graph\n", copyMs,
              kBytes / copyMs / 1e6, best);
  EXPECT_LT(times[1].beginNs, times[0].endNs) << "the kernel does not wait";
  EXPECT_GE(times[2].beginNs, times[0].endNs) << "this one does";
  EXPECT_GE(ms(times[1].endNs - times[1].beginNs), 1.9);
  EXPECT_LT(best, std::max(copyMs, 2.0) + 1.0) << "side by side, not one after the other";
}

TEST_F(CudaDevice, GraphReplaysCost) {
  open(1 << 20, 4096);
  uint32_t scale = kernel("test_scale");
  std::vector<Command> commands;
  std::vector<int64_t> amounts;
  for (int i = 0; i < 300; ++i) {
    commands.push_back(launch(scale, {{4096, 4096}, {8192, 4096}}, {1, 0}));
    amounts.push_back(1024);
  }
  std::unique_ptr<Pass> pass;
  check(context->prepare(std::move(commands), 0, &pass));
  std::vector<int64_t> dims = {1024};
  RunValues values;
  values.amounts = amounts;
  values.dims = dims;
  RunCounters counters;
  std::vector<double> us;
  for (int i = 0; i < 50; ++i) {
    auto begin = std::chrono::steady_clock::now();
    check(context->run(*pass, values, &counters));
    us.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
                     .count());
  }
  std::sort(us.begin(), us.end());
  std::printf("300 small kernels: %.0f us a run\n", us[us.size() / 2]);
  EXPECT_LT(us[us.size() / 2], 300 * 10);
}

// Each kernel reads what the one before it writes. Where kernels may begin early, the chain is as
// right, and shorter.
TEST_F(CudaDevice, KernelsThatOverlapAreRightAndSooner) {
  if (device->variantRank("sm_90") < 0) {
    GTEST_SKIP() << "this GPU starts no kernel early";
  }
  constexpr int kChain = 300, kUnits = 60000;
  constexpr int64_t kBytes = 262144;
  double medians[2] = {};
  for (bool overlaps : {false, true}) {
    open(4 << 20, 4096);
    check(context->loadLibrary(cudaOverlapKernels(), &library));
    KernelInfo info = {"test_chain", 0, 128, 0, 400, overlaps};
    uint32_t chain = 0;
    check(context->findKernel(library, info, &chain));
    std::vector<Command> commands;
    std::vector<int64_t> amounts;
    Command fill;
    fill.kind = CommandKind::Fill;
    fill.args = {{kBytes, kBytes}};
    commands.push_back(fill);
    amounts.push_back(kBytes);
    for (int i = 0; i < kChain; ++i) {
      int64_t from = kBytes * (1 + i % 2), to = kBytes * (2 - i % 2);
      commands.push_back(launch(chain, {{from, kBytes}, {to, kBytes}}, {0}));
      amounts.push_back(kUnits);
    }
    std::unique_ptr<Pass> pass;
    check(context->prepare(std::move(commands), 0, &pass));
    std::vector<int64_t> dims = {kUnits};
    RunValues values;
    values.amounts = amounts;
    values.dims = dims;
    RunCounters counters;
    std::vector<double> us;
    std::vector<float> result(kUnits);
    for (int round = 0; round < 30; ++round) {
      auto begin = std::chrono::steady_clock::now();
      check(context->run(*pass, values, &counters));
      us.push_back(
          std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
              .count());
      check(context->read(kBytes, result.data(), kUnits * 4));
      ASSERT_EQ(result, std::vector<float>(kUnits, kChain)) << round;
    }
    std::sort(us.begin(), us.end());
    medians[overlaps] = us[us.size() / 2];
  }
  std::printf("a chain of 300 kernels: %.0f us one after the other, %.0f us where they overlap\n",
              medians[0], medians[1]);
  EXPECT_LT(medians[1], medians[0]);
}

// What the process holds: the context, then the arena on top, and nothing of it after the end.
TEST_F(CudaDevice, HeldBytesFollowTheArena) {
  constexpr int64_t kBytes = 512 << 20;
  open(1 << 20, 0);
  int64_t small = device->info().processBytes, rest = context->restBytes();
  if (small < 0) {
    GTEST_SKIP() << "the system does not say what a process holds";
  }
  EXPECT_GT(rest, 64 << 20);
  open(kBytes, 0);
  int64_t large = device->info().processBytes;
  std::printf("context and modules: %lld MiB; with an arena of 512 MiB: %lld MiB\n",
              static_cast<long long>(rest >> 20), static_cast<long long>(large >> 20));
  EXPECT_NEAR(static_cast<double>(large - small), static_cast<double>(kBytes), 8 << 20);
  EXPECT_NEAR(static_cast<double>(context->restBytes()), static_cast<double>(rest), 8 << 20);
  std::unique_ptr<Context> greedy;
  check(device->createContext({}, &greedy));
  Status s = greedy->reserve(int64_t(1) << 42, 0);
  EXPECT_EQ(s.code(), "device.memory") << s.message();
}

TEST_F(CudaDevice, KernelsWithOtherArgumentsAreRefused) {
  open(1 << 20, 0);
  uint32_t scale = kernel("test_scale"), id = 0;
  std::unique_ptr<Pass> pass;
  EXPECT_EQ(context->prepare({launch(scale, {{0, 4}, {0, 4}}, {1})}, 0, &pass).code(),
            "device.command");
  EXPECT_EQ(context->findKernel(library, {"test_scale", 0, 128, 1 << 20, 1}, &id).code(),
            "device.kernel");
  EXPECT_EQ(context->findKernel(kNoLibrary, {"cublas.gemm", 0, 0, 0, 0}, &id).code(),
            "device.symbol");
  std::unique_ptr<Context> paced;
  EXPECT_EQ(device->createContext({.linkGbps = 1}, &paced).code(), "device.link");
}

// In a process of its own: the device is gone for it.
TEST_F(CudaDevice, AFaultLatchesTheDeviceAsLost) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto fault = [this] {
    open(1 << 20, 4096);
    uint32_t kernelId = kernel("test_fault");
    std::unique_ptr<Pass> pass;
    check(context->prepare({launch(kernelId, {{4096, 4}}, {0})}, 0, &pass));
    int64_t one = 1;
    RunValues values;
    values.amounts = {&one, 1};
    values.dims = {&one, 1};
    RunCounters counters;
    Status first = context->run(*pass, values, &counters);
    char byte = 0;
    std::unique_ptr<Context> other;
    bool same = first.code() == "device.lost";
    same = same && context->read(0, &byte, 1).message() == first.message();
    same = same && context->write(0, &byte, 1).message() == first.message();
    same = same && device->createContext({}, &other).message() == first.message();
    std::fprintf(stderr, "%s\n", first.message().c_str());
    pass.reset();
    context.reset();
    std::exit(same ? 7 : 8);
  };
  EXPECT_EXIT(fault(), testing::ExitedWithCode(7), "is lost to this process");
}

} // namespace
