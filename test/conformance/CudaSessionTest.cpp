// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Whole programs for cuda in a session: slots that wrap around, states, gathers from the host tier,
// extents of vendor calls, budgets that hold for what the system counts. Once on the fake driver,
// and once on a GPU where there is one.
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/exec/Session.h"
#include "test/conformance/CudaTestKernels.h"
#include "test/conformance/FakeDriver.h"
#include "test/runtime/PlanBuilder.h"

#include <algorithm>
#include <cstdlib>
#include <gtest/gtest.h>

using namespace ciuic;
using namespace ciuic::test;

namespace {

class CudaSession : public testing::TestWithParam<bool> {
protected:
  void SetUp() override {
    if (GetParam()) {
      Status s = device::createDevice("cuda", &device);
      bool absent = s.code() == "device.no-driver" || s.code() == "device.none";
      if (absent && !std::getenv("CIUIC_REQUIRE_DEVICES")) {
        GTEST_SKIP() << s.message();
      }
      check(s);
    } else {
      check(device::createCudaDevice(fakeDriver(gpu), 0, fakeMonitor, &device));
    }
  }
  static void check(const Status &s) { ASSERT_TRUE(s.isOk()) << s.code() << ": " << s.message(); }
  Status open(PlanBuilder &b, const SessionOptions &options = {},
              const std::string &variant = "compute_75") {
    std::string path = scratchPath("session.ciuic");
    CIUIC_TRY(b.write(path, cudaTestKernels(), variant));
    auto source = ByteSource::open(path);
    CIUIC_TRY(source.takeStatus());
    auto file = ProgramFile::open(std::move(source.value()));
    CIUIC_TRY(file.takeStatus());
    session.reset();
    return Session::create(std::move(file.value()), *device, options, &session);
  }

  FakeGpu gpu;
  std::unique_ptr<device::Device> device;
  std::unique_ptr<Session> session;
};

TEST_P(CudaSession, StreamsThroughTwoSlotsAndWrapsAround) {
  std::vector<std::vector<float>> w;
  PlanBuilder b = streamingChain(&w);
  forCuda(b);
  for (bool trace : {false, true}) {
    SessionOptions options;
    options.trace = trace;
    options.pinnedLimit = trace ? 0 : INT64_MAX;
    check(open(b, options));
    for (int64_t n : {1, 5, 1000, 1024, 7}) {
      std::vector<float> x(static_cast<size_t>(n)), y(x.size());
      for (int64_t i = 0; i < n; ++i) {
        x[i] = static_cast<float>(i % 17);
      }
      check(session->bindInput("x", DType::F32, {&n, 1}, x.data()));
      check(session->bindOutput("y", y.data(), n * 4));
      for (int pass = 0; pass < 3; ++pass) {
        std::fill(y.begin(), y.end(), -1.0f);
        check(session->run(""));
        for (int64_t i = 0; i < n; ++i) {
          ASSERT_EQ(y[i], x[i] + w[0][i] + w[1][i] + w[2][i] + w[3][i]) << n << " " << i;
        }
        bool first = n == 1 && pass == 0;
        EXPECT_EQ(session->stats().prologue, first);
        EXPECT_EQ(session->stats().h2dBytes, (first ? 6 : 4) * kChainLength * 4 + n * 4);
        EXPECT_EQ(session->traceSize(), trace ? 8u : 0u);
        EXPECT_EQ(session->stats().stallMs >= 0, trace);
      }
    }
    EXPECT_GE(session->deviceBytes(), b.program.arena_bytes);
    EXPECT_LE(session->deviceBytes(), b.program.budget_bytes);
    int64_t held = device->info().processBytes;
    EXPECT_LE(held, b.program.budget_bytes);
  }
}

// PTX for chips before 9.0 waits for no kernel by itself, so it begins behind them on any chip.
TEST_P(CudaSession, OldCodeNeverBeginsEarly) {
  if (GetParam()) {
    GTEST_SKIP() << "looks at what the driver is asked for";
  }
  for (const char *variant : {"compute_75", "compute_80", "compute_90"}) {
    PlanBuilder b = streamingChain();
    forCuda(b);
    for (auto &kernel : b.program.kernels) {
      kernel->overlaps = true;
    }
    gpu.early = 0;
    check(open(b, {}, variant));
    int64_t n = 5;
    std::vector<float> x(5, 1), y(5);
    check(session->bindInput("x", DType::F32, {&n, 1}, x.data()));
    check(session->bindOutput("y", y.data(), n * 4));
    check(session->run(""));
    EXPECT_EQ(gpu.early > 0, std::string(variant) == "compute_90") << variant;
  }
}

// Blocks that wait for each other: a launch has no more than run at once, and says so to the
// driver, unless a cluster does that by itself; a device that runs too few of them is told at load.
TEST_P(CudaSession, BlocksThatMeetRunAtOnce) {
  if (GetParam()) {
    GTEST_SKIP() << "looks at what the driver is asked for";
  }
  PlanBuilder b = streamingChain();
  forCuda(b);
  for (auto &kernel : b.program.kernels) {
    kernel->max_grid = 8;
    kernel->together = 5;
  }
  auto run = [&] {
    int64_t n = 1000;
    std::vector<float> x(1000, 1), y(1000);
    check(session->bindInput("x", DType::F32, {&n, 1}, x.data()));
    check(session->bindOutput("y", y.data(), n * 4));
    check(session->run(""));
  };
  check(open(b));
  run();
  EXPECT_GT(gpu.cooperative, 0);
  EXPECT_EQ(gpu.mostTogether, 5) << "8 run at once, and a launch has a multiple of 5";

  gpu.resident = 1; // on each of 4 multiprocessors
  Status few = open(b);
  EXPECT_EQ(few.code(), "device.residency") << few.message();

  gpu.clusterWidth = 5;
  gpu.cooperative = 0;
  check(open(b));
  run();
  EXPECT_EQ(gpu.cooperative, 0);
}

// Streamed weights are in the file alone and come through the pinned ring, in graphs and without;
// what is wrong with the file is the run's error, and a later run may do without it.
TEST_P(CudaSession, WeightsComeFromTheDisk) {
  for (auto [pairs, trace] :
       {std::pair{false, false}, {false, true}, {true, false}, {true, true}}) {
    SCOPED_TRACE(testing::Message() << "pairs " << pairs << " trace " << trace);
    std::vector<std::vector<float>> w;
    PlanBuilder b = streamingChain(&w, pairs);
    moveToDisk(b);
    forCuda(b);
    SessionOptions options;
    options.trace = trace;
    options.bufferedDisk = trace;
    check(open(b, options));
    ASSERT_NE(session->diskMode(), nullptr);
    std::vector<float> x(1000), y(x.size());
    auto n = static_cast<int64_t>(x.size());
    for (int64_t i = 0; i < n; ++i) {
      x[i] = static_cast<float>(i % 17);
    }
    check(session->bindInput("x", DType::F32, {&n, 1}, x.data()));
    check(session->bindOutput("y", y.data(), n * 4));
    auto right = [&] {
      for (int64_t i = 0; i < n; ++i) {
        if (y[i] != x[i] + w[0][i] + w[1][i] + w[2][i] + w[3][i]) {
          return false;
        }
      }
      return true;
    };
    for (int pass = 0; pass < 10; ++pass) {
      std::fill(y.begin(), y.end(), -1.0f);
      check(session->run(""));
      EXPECT_TRUE(right()) << pass;
      EXPECT_EQ(session->stats().diskBytes, (pass == 0 ? 6 : 4) * kChainLength * 4);
    }
    ChangingFile file(scratchPath("session.ciuic"));
    file.damage(w[2]);
    Status failed;
    for (int pass = 0; pass < 20 && failed.isOk(); ++pass) {
      failed = session->run("");
    }
    EXPECT_EQ(failed.code(), "format.F10") << failed.message();
    file.restore();
    check(session->run(""));
    EXPECT_TRUE(right());
  }
}

TEST_P(CudaSession, WhatContextAndLibrariesTakeIsPartOfTheBudget) {
  if (!GetParam()) {
    GTEST_SKIP() << "the fake has no context that takes memory";
  }
  PlanBuilder b = streamingChain();
  forCuda(b);
  b.program.reserve_bytes = 1 << 20;
  b.program.budget_bytes = b.program.arena_bytes + (1 << 20);
  Status s = open(b);
  EXPECT_EQ(s.code(), "budget.reserve");
  EXPECT_GT(s.nearestBudget(), b.program.budget_bytes);
  SessionOptions options;
  options.budgetBytes = s.nearestBudget() + (64 << 20);
  check(open(b, options));
}

TEST_P(CudaSession, KernelsOfAnotherArchitectureAreNamed) {
  PlanBuilder b = streamingChain();
  forCuda(b);
  Status s = open(b, {}, "sm_70");
  EXPECT_EQ(s.code(), "device.variant");
  EXPECT_NE(s.message().find("compile the program for sm_"), std::string::npos) << s.message();
  PlanBuilder host = streamingChain();
  EXPECT_EQ(open(host).code(), "device.kind");
}

// state[past … past + n) = x, then out = rows of a table in the host tier by ids.
TEST_P(CudaSession, StatesAppendAndTablesAreReadWhereTheyLie) {
  constexpr int64_t kWidth = 8, kRows = 100, kMost = 16;
  PlanBuilder b;
  b.kernel("test_append", 2);
  b.kernel("test_gather", 3);
  std::vector<float> table(kRows * kWidth);
  for (size_t i = 0; i < table.size(); ++i) {
    table[i] = static_cast<float>(i) * 0.5f;
  }
  b.weight("unused", std::string(4096, 'u'), WeightMode::HostOnly, 0);
  b.weight("table", std::string(reinterpret_cast<char *>(table.data()), table.size() * 4),
           WeightMode::HostOnly, 4096);
  uint32_t cache = b.state("cache", DType::F32, {kMost}, 0, 4096);
  b.entry("main");
  b.symbol("n", 0, 4, SymbolSource::Input, 0, 0);
  b.symbol("past", 0, kMost, SymbolSource::State, cache);
  b.last().dims_offset = 0;
  b.port(true, "x", DType::F32, dims(sym(0)), 64, 16);
  b.port(true, "ids", DType::I64, dims(sym(0)), 128, 32);
  b.port(false, "rows", DType::F32, dims(sym(0), num(kWidth)), 256, 4 * kWidth * 4);
  b.buffer("dims", BufferKind::Dims, 0, 64, 0, 1);
  b.buffer("x", BufferKind::Input, 64, 16, 0, 1);
  b.buffer("ids", BufferKind::Input, 128, 32, 0, 1);
  b.buffer("rows", BufferKind::Output, 256, 4 * kWidth * 4, 0, 1);
  auto use = std::make_unique<StateUseT>();
  use->state = cache;
  use->before = sym(1);
  use->after = binaryExpr(ExprCode::Add, *sym(0), *sym(1));
  b.last().states.push_back(std::move(use));
  auto room = std::make_unique<ConstraintT>();
  room->value = binaryExpr(ExprCode::Add, *sym(0), *sym(1));
  room->upper = kMost;
  room->text = "past + n";
  b.last().constraints.push_back(std::move(room));
  b.launch(0, {Arg(64, 16, Access::Read), Arg(4096, kMost * 4, Access::ReadWrite)}, sym(0));
  HostGatherT g;
  g.kernel = 1;
  g.params = {kWidth, 0};
  g.weight = 1;
  g.ids_offset = 128;
  g.ids_bytes = 32;
  g.ids_host_offset = g.staging_host_offset = -1;
  g.arena_offset = 256;
  g.bytes = 4 * kWidth * 4;
  g.rows = sym(0);
  g.row_bytes = kWidth * 4;
  b.step(Stream::Compute, "gather", {}).body.Set(std::move(g));
  b.seal();
  forCuda(b);
  check(open(b));
  int64_t past = 0;
  for (int64_t n : {1, 4, 0, 3, 4, 4}) {
    std::vector<float> x(4), rows(4 * kWidth, -1);
    std::vector<int64_t> ids(4);
    for (int64_t i = 0; i < n; ++i) {
      x[i] = static_cast<float>(past + i + 1);
      ids[i] = (past * 37 + i * 11) % kRows;
    }
    check(session->bindInput("x", DType::F32, {&n, 1}, x.data()));
    check(session->bindInput("ids", DType::I64, {&n, 1}, ids.data()));
    check(session->bindOutput("rows", rows.data(), 4 * kWidth * 4));
    check(session->run("main"));
    past += n;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < kWidth; ++j) {
        ASSERT_EQ(rows[i * kWidth + j], table[ids[i] * kWidth + j]) << i << " " << j;
      }
    }
    std::vector<float> state(static_cast<size_t>(past));
    check(session->stateRead(cache, state.data(), past * 4));
    for (int64_t i = 0; i < past; ++i) {
      ASSERT_EQ(state[i], static_cast<float>(i + 1));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Drivers, CudaSession, testing::Bool(),
                         [](const auto &info) { return std::string(info.param ? "gpu" : "fake"); });

} // namespace
