// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sessions over the C API: streaming through slots, wrap-around, alternating entries, states,
// spills, gathers, cancel, throttle, and what is refused. Expected values are computed here.
#include "test/runtime/OpenSession.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <gtest/gtest.h>
#include <thread>
#include <unistd.h>

using namespace ciuic;
using namespace ciuic::test;

namespace {

TEST(Session, StreamsThroughTwoSlotsAndWrapsAround) {
  std::vector<std::vector<float>> w;
  PlanBuilder b = streamingChain(&w);
  for (int threads : {1, 2, 3}) {
    Opened o;
    ASSERT_EQ(o.open(b, threads).cls, CIUIC_OK);
    for (int64_t n : {1, 5, 1000, 1024, 7}) {
      std::vector<float> x = ramp(n), y(static_cast<size_t>(n), -1);
      OK(ciuic_session_bind_input(o.session, "x", CIUIC_F32, 1, &n, x.data()));
      OK(ciuic_session_bind_output(o.session, "y", y.data(), y.size() * 4));
      for (int pass = 0; pass < 3; ++pass) {
        std::fill(y.begin(), y.end(), -1.0f);
        OK(ciuic_session_run(o.session, nullptr));
        for (int64_t i = 0; i < n; ++i) {
          ASSERT_EQ(y[i], x[i] + w[0][i] + w[1][i] + w[2][i] + w[3][i]) << n << " " << i;
        }
        // Four weights a pass, the prologue's two only once, and the ports.
        bool first = n == 1 && pass == 0;
        EXPECT_EQ(o.stats().prologue, first);
        EXPECT_EQ(o.stats().h2d_bytes, (first ? 6 : 4) * kChainLength * 4 + n * 4);
        EXPECT_EQ(o.stats().d2h_bytes, n * 4);
      }
    }
    EXPECT_EQ(o.stats().peak_device_bytes, b.program.arena_bytes);
  }
}

TEST(Session, ArenaIsOneNamedMappingOfThePlannedSize) {
  PlanBuilder b = streamingChain();
  Opened o;
  ASSERT_EQ(o.open(b).cls, CIUIC_OK);
  std::ifstream maps("/proc/self/maps");
  int found = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("ciuic-arena") != std::string::npos) {
      unsigned long begin = 0, end = 0;
      ASSERT_EQ(std::sscanf(line.c_str(), "%lx-%lx", &begin, &end), 2);
      EXPECT_EQ(static_cast<int64_t>(end - begin), b.program.arena_bytes);
      ++found;
    }
  }
  EXPECT_EQ(found, 1);
}

TEST(Session, BudgetIsOnlyChecked) {
  PlanBuilder b = streamingChain();
  Opened small, large;
  Failure f = small.open(b, 1, 0, b.program.arena_bytes - 1);
  EXPECT_EQ(f.cls, CIUIC_INFEASIBLE);
  EXPECT_EQ(f.nearest, b.program.arena_bytes);
  EXPECT_NE(f.message.find("nearest budget that fits: 64K (0.0625 MiB)"), std::string::npos)
      << f.message;
  EXPECT_EQ(large.open(b, 1, 0, 1ll << 40).cls, CIUIC_OK);
}

TEST(Session, ShapesOutsideTheBoundsNameBoundAndFlag) {
  PlanBuilder b = streamingChain();
  Opened o;
  ASSERT_EQ(o.open(b).cls, CIUIC_OK);
  std::vector<float> x(2000);
  int64_t n = 2000, two[2] = {1, 1};
  OK(ciuic_session_bind_input(o.session, "x", CIUIC_F32, 1, &n, x.data()));
  Failure f = take(ciuic_session_run(o.session, nullptr));
  EXPECT_EQ(f.code, "shape.bound");
  EXPECT_NE(f.message.find("1..1024"), std::string::npos) << f.message;
  EXPECT_NE(f.message.find("--entry main:n=1..2000"), std::string::npos) << f.message;
  OK(ciuic_session_bind_input(o.session, "x", CIUIC_F32, 2, two, x.data()));
  EXPECT_EQ(take(ciuic_session_run(o.session, nullptr)).code, "shape.rank");
  OK(ciuic_session_bind_input(o.session, "x", CIUIC_I32, 1, two, x.data()));
  EXPECT_EQ(take(ciuic_session_run(o.session, nullptr)).code, "shape.dtype");
  EXPECT_EQ(take(ciuic_session_run(o.session, "other")).code, "usage.entry");
  EXPECT_EQ(take(ciuic_session_bind_input(o.session, "z", CIUIC_F32, 1, two, x.data())).code,
            "usage.input");
  OK(ciuic_session_bind_input(o.session, "x", CIUIC_F32, 1, two, x.data()));
  OK(ciuic_session_bind_output(o.session, "y", x.data(), 3));
  EXPECT_EQ(take(ciuic_session_run(o.session, nullptr)).code, "usage.capacity");
}

TEST(Session, UnboundInputIsRefused) {
  PlanBuilder b = streamingChain();
  Opened o;
  ASSERT_EQ(o.open(b).cls, CIUIC_OK);
  EXPECT_EQ(take(ciuic_session_run(o.session, nullptr)).code, "usage.unbound");
}

TEST(Session, ThrottledPassTakesItsBytesOverTheRate) {
  PlanBuilder b = streamingChain();
  Opened o;
  constexpr double gbps = 0.004;
  ASSERT_EQ(o.open(b, 1, gbps).cls, CIUIC_OK);
  int64_t n = 1024;
  std::vector<float> x = ramp(n), y(1024);
  OK(ciuic_session_bind_input(o.session, "x", CIUIC_F32, 1, &n, x.data()));
  OK(ciuic_session_bind_output(o.session, "y", y.data(), y.size() * 4));
  // Never below the rate; near it, as soon as the machine has time for one pass.
  double quickest = 1e9;
  for (int pass = 0; pass < 3 || (quickest >= 3 && pass < 50); ++pass) {
    OK(ciuic_session_run(o.session, nullptr));
    ciuic_run_stats s = o.stats();
    double least = static_cast<double>(s.h2d_bytes + s.d2h_bytes) / (gbps * 1e6);
    EXPECT_GE(s.latency_ms, least);
    EXPECT_GT(s.stall_ms, 0);
    quickest = std::min(quickest, s.latency_ms / least);
  }
  EXPECT_LT(quickest, 3);
}

// Two entries over the same slots: "main" wraps w0 and w1; "other" leaves w2 and w3 there.
TEST(Session, AlternatingEntriesRefillTheSlots) {
  std::vector<std::vector<float>> w;
  PlanBuilder b = streamingChain(&w);
  auto second = std::make_unique<EntryT>(), third = std::make_unique<EntryT>();
  {
    PlanBuilder twin = streamingChain();
    second = std::move(twin.program.entries[0]);
    PlanBuilder triplet = streamingChain();
    third = std::move(triplet.program.entries[0]);
  }
  auto exchange = [&](CopyT &c) { c.host_offset = (c.host_offset + 2 * 4096) % (4 * 4096); };
  second->name = "other";
  for (auto &c : second->prologue) {
    exchange(*c);
  }
  for (auto &s : second->steps) {
    if (CopyT *c = s->body.AsCopy()) {
      exchange(*c);
    }
  }
  third->name = "same";
  b.program.entries.push_back(std::move(second));
  b.program.entries.push_back(std::move(third));
  Opened o;
  Failure opened = o.open(b);
  ASSERT_EQ(opened.cls, CIUIC_OK) << opened.message;
  int64_t n = 1024;
  std::vector<float> x = ramp(n), y(1024);
  OK(ciuic_session_bind_input(o.session, "x", CIUIC_F32, 1, &n, x.data()));
  OK(ciuic_session_bind_output(o.session, "y", y.data(), y.size() * 4));
  const std::pair<const char *, bool> order[] = {{"main", true},   {"main", false}, {"other", true},
                                                 {"other", false}, {"main", true},  {"same", false},
                                                 {"main", false},  {"other", true}, {"same", true}};
  for (auto [name, refills] : order) {
    std::fill(y.begin(), y.end(), -1.0f);
    OK(ciuic_session_run(o.session, name));
    EXPECT_EQ(o.stats().prologue, refills) << name;
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(y[i], x[i] + w[0][i] + w[1][i] + w[2][i] + w[3][i]) << name;
    }
  }
}

// Without wrapped copies: slots that a pass overwrites are filled before each pass, slots that it
// leaves alone only once.
// Nothing has moved: the slots are still full, and the last run is still told of.
TEST(Session, RefusedRunLeavesWhatTheLastOneDid) {
  PlanBuilder b = streamingChain();
  Opened o;
  ASSERT_EQ(o.open(b).cls, CIUIC_OK);
  std::vector<float> x = ramp(7), y(7);
  int64_t dim = 0;
  uint32_t rank = 1;
  auto run = [&](int64_t n, size_t capacity) {
    take(ciuic_session_bind_input(o.session, "x", CIUIC_F32, 1, &n, x.data()));
    take(ciuic_session_bind_output(o.session, "y", y.data(), capacity));
    return take(ciuic_session_run(o.session, nullptr)).code;
  };
  ASSERT_EQ(run(5, 20), "");
  EXPECT_TRUE(o.stats().prologue);
  EXPECT_EQ(run(7, 20), "usage.capacity");
  EXPECT_EQ(run(5000, 20), "shape.bound");
  OK(ciuic_session_get_output_dims(o.session, "y", &rank, &dim));
  EXPECT_EQ(dim, 5);
  ASSERT_EQ(run(7, 28), "");
  EXPECT_FALSE(o.stats().prologue);
  OK(ciuic_session_get_output_dims(o.session, "y", &rank, &dim));
  EXPECT_EQ(dim, 7);
}

TEST(Session, PrologueWithoutWrapRunsWhenItMust) {
  for (bool overwrite : {true, false}) {
    std::vector<std::vector<float>> w;
    PlanBuilder b = streamingChain(&w);
    auto &steps = b.last().steps;
    steps.resize(overwrite ? 5 : 3);
    if (!overwrite) {
      steps.erase(steps.begin() + 1);
    } else {
      steps.erase(steps.begin() + 3); // the copy of w3
    }
    LaunchT &last = *steps.back()->body.AsLaunch();
    last.args[2] = Arg(64 + kChainLength * 4, kChainLength * 4, Access::Write); // y
    uint32_t end = static_cast<uint32_t>(steps.size()) - 1;
    if (overwrite) {
      steps.back()->waits = {1};
    }
    for (auto &buffer : b.last().buffers) {
      buffer->last_step = end;
      buffer->first_step = buffer->kind == BufferKind::Output ? end : 0;
    }
    b.seal();
    Opened o;
    Failure opened = o.open(b);
    ASSERT_EQ(opened.cls, CIUIC_OK) << opened.message;
    int64_t n = 1024;
    std::vector<float> x = ramp(n), y(1024);
    OK(ciuic_session_bind_input(o.session, "x", CIUIC_F32, 1, &n, x.data()));
    OK(ciuic_session_bind_output(o.session, "y", y.data(), y.size() * 4));
    for (int pass = 0; pass < 3; ++pass) {
      OK(ciuic_session_run(o.session, nullptr));
      EXPECT_EQ(o.stats().prologue, pass == 0 || overwrite);
      for (int64_t i = 0; i < n; ++i) {
        ASSERT_EQ(y[i], x[i] + w[0][i] + w[1][i] + (overwrite ? w[2][i] : 0)) << pass;
      }
    }
  }
}

// x is appended to a state of 12 floats; sum is the sum of all there is. Entries of 1 and 2..8.
PlanBuilder stateful() {
  PlanBuilder b;
  uint32_t append = b.kernel("test_append", 2), sum = b.kernel("test_sum", 2);
  uint32_t state = b.state("cache", DType::F32, {12}, 0, 0);
  auto entry = [&](const std::string &name, int64_t lower, int64_t upper) {
    EntryT &e = b.entry(name);
    uint32_t seq = b.symbol("seq", lower, upper, SymbolSource::Input, 0, 0);
    uint32_t past = b.symbol("past", 0, 11, SymbolSource::State, state);
    e.dims_offset = 64;
    b.port(true, "x", DType::F32, dims(sym(seq)), 128, 32);
    b.port(true, "mask", DType::F32, dims(binaryExpr(ExprCode::Add, *sym(past), *sym(seq))), 192,
           128);
    b.port(false, "sum", DType::F32, dims(num(1)), 320, 4);
    b.buffer("dims", BufferKind::Dims, 64, 64, 0, 1);
    b.buffer("x", BufferKind::Input, 128, 32, 0, 1);
    b.buffer("mask", BufferKind::Input, 192, 128, 0, 1);
    b.buffer("sum", BufferKind::Output, 320, 64, 0, 1);
    b.launch(append, {Arg(128, 32, Access::Read), Arg(0, 48, Access::ReadWrite)}, sym(seq));
    b.launch(sum, {Arg(0, 48, Access::Read), Arg(320, 4, Access::Write)}, num(1));
    auto use = std::make_unique<StateUseT>();
    use->state = state;
    use->before = sym(past);
    use->after = binaryExpr(ExprCode::Add, *sym(past), *sym(seq));
    e.states.push_back(std::move(use));
  };
  entry("prefill", 2, 8);
  entry("decode", 1, 1);
  b.seal();
  return b;
}

TEST(Session, StateGrowsIsReadWrittenResetAndFull) {
  PlanBuilder b = stateful();
  Opened o;
  Failure opened = o.open(b);
  ASSERT_EQ(opened.cls, CIUIC_OK) << opened.message;
  float sum = 0;
  auto run = [&](std::vector<float> x, int64_t total) {
    int64_t n = static_cast<int64_t>(x.size());
    std::vector<float> mask(static_cast<size_t>(total));
    take(ciuic_session_bind_input(o.session, "x", CIUIC_F32, 1, &n, x.data()));
    take(ciuic_session_bind_input(o.session, "mask", CIUIC_F32, 1, &total, mask.data()));
    take(ciuic_session_bind_output(o.session, "sum", &sum, 4));
    return take(ciuic_session_run(o.session, nullptr));
  };
  EXPECT_EQ(o.length(0), 0);
  ASSERT_EQ(run({1, 2, 3}, 3).message, "");
  EXPECT_EQ(o.stats().entry, 0u);
  EXPECT_EQ(sum, 6);
  EXPECT_EQ(o.length(0), 3);
  ASSERT_EQ(run({10}, 4).message, "");
  EXPECT_EQ(o.stats().entry, 1u);
  EXPECT_EQ(sum, 16);
  uint32_t selected = 9;
  EXPECT_EQ(take(ciuic_session_select_entry(o.session, &selected)).code, "shape.dim");
  Failure wrong = run({10}, 4);
  EXPECT_EQ(wrong.code, "shape.dim");
  EXPECT_NE(wrong.message.find("(past + seq) = 5"), std::string::npos) << wrong.message;
  EXPECT_EQ(o.length(0), 4);

  float values[4] = {};
  OK(ciuic_session_state_read(o.session, 0, values, sizeof values));
  EXPECT_EQ(values[0], 1);
  EXPECT_EQ(values[3], 10);
  EXPECT_EQ(take(ciuic_session_state_read(o.session, 0, values, 8)).code, "usage.capacity");

  ASSERT_EQ(run({1, 1, 1, 1, 1, 1, 1}, 11).message, "");
  EXPECT_EQ(run({1, 1}, 13).code, "state.full");
  ASSERT_EQ(run({1}, 12).message, "");
  EXPECT_EQ(o.length(0), 12);
  EXPECT_EQ(run({1}, 13).code, "shape.bound"); // past = 12 is beyond the entry

  OK(ciuic_session_state_write(o.session, 0, values, 8, 2));
  ASSERT_EQ(run({5}, 3).message, "");
  EXPECT_EQ(sum, 1 + 2 + 5);
  EXPECT_EQ(take(ciuic_session_state_write(o.session, 0, values, 8, 3)).code, "usage.state");
  EXPECT_EQ(take(ciuic_session_state_write(o.session, 0, values, 8, 13)).code, "state.capacity");
  OK(ciuic_session_state_reset(o.session, 0));
  EXPECT_EQ(o.length(0), 0);
  ASSERT_EQ(run({7}, 1).message, "");
  EXPECT_EQ(sum, 7);
  EXPECT_EQ(take(ciuic_session_state_reset(o.session, 5)).code, "usage.state");
}

TEST(Session, StateOfInnerAxisIsStrided) {
  PlanBuilder b;
  b.state("cache", DType::I16, {2, 5, 3}, 1, 0);
  b.entry("main").dims_offset = 64;
  b.buffer("dims", BufferKind::Dims, 64, 64, 0, 0);
  b.seal();
  Opened o;
  ASSERT_EQ(o.open(b).cls, CIUIC_OK);
  size_t bytes = 0;
  OK(ciuic_session_state_bytes(o.session, 0, 2, &bytes));
  ASSERT_EQ(bytes, 24u);
  int16_t in[12], out[12] = {}, all[30] = {};
  for (int i = 0; i < 12; ++i) {
    in[i] = static_cast<int16_t>(100 + i);
  }
  OK(ciuic_session_state_write(o.session, 0, in, sizeof in, 2));
  OK(ciuic_session_state_read(o.session, 0, out, sizeof out));
  EXPECT_TRUE(std::equal(in, in + 12, out));
  // At full length: rows 0 and 1 of each of the two blocks, at the strides of the capacity.
  int16_t full[30];
  for (int i = 0; i < 30; ++i) {
    full[i] = static_cast<int16_t>(i);
  }
  OK(ciuic_session_state_write(o.session, 0, full, sizeof full, 5));
  OK(ciuic_session_state_write(o.session, 0, in, sizeof in, 2));
  OK(ciuic_session_state_read(o.session, 0, out, sizeof out));
  EXPECT_TRUE(std::equal(in, in + 12, out));
  OK(ciuic_session_state_write(o.session, 0, full, sizeof full, 5));
  OK(ciuic_session_state_read(o.session, 0, all, sizeof all));
  EXPECT_TRUE(std::equal(full, full + 30, all));
}

// A value is spilled to the host tier and comes back; an output leaves from the host tier.
TEST(Session, SpillsAndHostTierOutputs) {
  PlanBuilder b;
  uint32_t scale = b.kernel("test_scale", 2);
  b.entry("main");
  uint32_t n = b.symbol("n", 0, 16, SymbolSource::Input, 0, 0);
  b.port(true, "x", DType::F32, dims(sym(n)), 64, 64);
  b.port(false, "y", DType::F32, dims(sym(n)), 0, 64, Tier::Host);
  b.buffer("dims", BufferKind::Dims, 0, 64, 0, 5);
  b.buffer("x", BufferKind::Input, 64, 64, 0, 0);
  b.buffer("a", BufferKind::Activation, 128, 64, 0, 1);
  b.buffer("b", BufferKind::Activation, 64, 64, 2, 5); // x's bytes again
  b.buffer("c", BufferKind::Activation, 128, 64, 3, 4);
  auto use = [&](int64_t from, int64_t to, std::vector<uint32_t> waits, int64_t factor) {
    return b.launch(scale, {Arg(from, 64, Access::Read), Arg(to, 64, Access::Write)}, sym(n),
                    std::move(waits), {factor});
  };
  uint32_t first = use(64, 128, {}, 2);
  uint32_t out = b.copyOut(128, 64, 64, {first});
  uint32_t back = b.copyBack(64, 64, 64, {out});
  uint32_t second = use(64, 128, {back}, 3);
  uint32_t result = b.copyOut(128, 0, 64, {second});
  b.last().steps[result]->body.AsCopyOut()->extent = binaryExpr(ExprCode::Mul, *sym(n), *num(4));
  use(64, 64, {result}, 1);
  b.last().buffers.back()->last_step = 5;
  b.seal();
  Opened o;
  Failure opened = o.open(b, 2);
  ASSERT_EQ(opened.cls, CIUIC_OK) << opened.message;
  for (int64_t count : {16, 3, 0}) {
    std::vector<float> x = ramp(count), y(static_cast<size_t>(count), -1);
    OK(ciuic_session_bind_input(o.session, "x", CIUIC_F32, 1, &count, x.data()));
    OK(ciuic_session_bind_output(o.session, "y", y.data(), y.size() * 4));
    OK(ciuic_session_run(o.session, nullptr));
    for (int64_t i = 0; i < count; ++i) {
      EXPECT_EQ(y[i], x[i] * 6);
    }
    EXPECT_EQ(o.stats().d2h_bytes, 64 + count * 4);
    EXPECT_EQ(o.stats().h2d_bytes, 64 + count * 4);
    uint32_t rank = 4;
    int64_t shape[4];
    OK(ciuic_session_get_output_dims(o.session, "y", &rank, shape));
    EXPECT_EQ(rank, 1u);
    EXPECT_EQ(shape[0], count);
  }
}

// An output of n rows of eight floats is never whole in the arena: two tiles of its columns, of
// three and of five floats a row, pass through it and leave for rows that are 32 bytes apart.
TEST(Session, OutputsLeaveByColumns) {
  PlanBuilder b;
  uint32_t scale = b.kernel("test_scale", 2);
  b.entry("main");
  uint32_t n = b.symbol("n", 0, 4, SymbolSource::Input, 0, 0);
  b.port(true, "left", DType::F32, dims(sym(n), num(3)), 64, 48);
  b.port(true, "right", DType::F32, dims(sym(n), num(5)), 128, 80);
  b.port(false, "y", DType::F32, dims(sym(n), num(8)), 64, 128, Tier::Host);
  b.program.host_bytes = 192;
  b.buffer("dims", BufferKind::Dims, 0, 64, 0, 3);
  b.buffer("left", BufferKind::Input, 64, 48, 0, 3);
  b.buffer("right", BufferKind::Input, 128, 80, 0, 3);
  b.buffer("tile", BufferKind::Activation, 256, 80, 0, 3);
  auto tile = [&](int64_t from, int64_t width, int64_t column, std::vector<uint32_t> waits) {
    uint32_t made =
        b.launch(scale, {Arg(from, 16 * width, Access::Read), Arg(256, 16 * width, Access::Write)},
                 binaryExpr(ExprCode::Mul, *sym(n), *num(width)), std::move(waits), {2});
    return b.copyRows(256, 0, column * 4, width * 4, 4, sym(n), 32, {made});
  };
  uint32_t out = tile(64, 3, 0, {});
  tile(128, 5, 3, {out});
  b.seal();
  Opened o;
  Failure opened = o.open(b);
  ASSERT_EQ(opened.cls, CIUIC_OK) << opened.message;
  for (int64_t rows : {4, 1, 0, 3}) {
    std::vector<float> left = ramp(rows * 3), right = ramp(rows * 5);
    std::vector<float> y(static_cast<size_t>(rows * 8), -1);
    int64_t shapes[2][2] = {{rows, 3}, {rows, 5}};
    OK(ciuic_session_bind_input(o.session, "left", CIUIC_F32, 2, shapes[0], left.data()));
    OK(ciuic_session_bind_input(o.session, "right", CIUIC_F32, 2, shapes[1], right.data()));
    OK(ciuic_session_bind_output(o.session, "y", y.data(), y.size() * 4));
    OK(ciuic_session_run(o.session, nullptr));
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t c = 0; c < 8; ++c) {
        EXPECT_EQ(y[i * 8 + c], 2 * (c < 3 ? left[i * 3 + c] : right[i * 5 + c - 3]));
      }
    }
    EXPECT_EQ(o.stats().d2h_bytes, rows * 32);
  }
}

PlanBuilder gathering(Stream stream) {
  PlanBuilder b;
  b.kernel("test_gather", 3);
  std::vector<float> table(10 * 4);
  for (size_t i = 0; i < table.size(); ++i) {
    table[i] = static_cast<float>(i);
  }
  uint32_t w = b.weight("table", std::string(reinterpret_cast<char *>(table.data()), 160),
                        WeightMode::HostOnly, 0);
  b.entry("main");
  uint32_t n = b.symbol("n", 1, 8, SymbolSource::Input, 0, 0);
  b.port(true, "ids", DType::I64, dims(sym(n)), 64, 64);
  b.port(false, "rows", DType::F32, dims(sym(n), num(4)), 128, 128);
  b.buffer("dims", BufferKind::Dims, 0, 64, 0, 0);
  b.buffer("ids", BufferKind::Input, 64, 64, 0, 0);
  b.buffer("rows", BufferKind::Output, 128, 128, 0, 0);
  HostGatherT g;
  g.kernel = 0;
  g.params = {4};
  g.weight = w;
  g.ids_offset = 64;
  g.ids_bytes = 64;
  g.ids_host_offset = 192;
  g.staging_host_offset = 256;
  g.arena_offset = 128;
  g.bytes = 128;
  g.rows = sym(n);
  g.row_bytes = 16;
  b.program.host_bytes = 384;
  b.step(stream, "gather", {}).body.Set(std::move(g));
  b.seal();
  return b;
}

TEST(Session, GathersRowsOfATableInTheHostTier) {
  for (Stream stream : {Stream::Compute, Stream::H2D}) {
    PlanBuilder b = gathering(stream);
    Opened o;
    Failure opened = o.open(b);
    ASSERT_EQ(opened.cls, CIUIC_OK) << opened.message;
    std::vector<int64_t> ids = {9, 0, 3};
    int64_t n = 3;
    std::vector<float> rows(12);
    OK(ciuic_session_bind_input(o.session, "ids", CIUIC_I64, 1, &n, ids.data()));
    OK(ciuic_session_bind_output(o.session, "rows", rows.data(), 48));
    OK(ciuic_session_run(o.session, nullptr));
    for (int r = 0; r < 3; ++r) {
      for (int j = 0; j < 4; ++j) {
        EXPECT_EQ(rows[r * 4 + j], static_cast<float>(ids[r] * 4 + j));
      }
    }
    EXPECT_EQ(o.stats().h2d_bytes, 24 + 48);
  }
}

// The first quarter of w2 lies in the arena for good beside its streamed copy.
TEST(Session, PartsOfAStreamedWeightAreResident) {
  std::vector<std::vector<float>> w;
  PlanBuilder b = streamingChain(&w);
  constexpr int64_t place = 64 + 5 * 4096, part = 1024;
  b.program.weights[2]->resident = {{part, part, place}};
  LaunchT &last = *b.last().steps[6]->body.AsLaunch();
  last.args[1] = Arg(place, part, Access::Read); // instead of w3
  last.grid = constantExpr(part / 4);
  b.seal();
  Opened o;
  Failure opened = o.open(b, 1, 0.5);
  ASSERT_EQ(opened.cls, CIUIC_OK) << opened.message;
  int64_t n = 1024;
  std::vector<float> x = ramp(n), y(1024);
  OK(ciuic_session_bind_input(o.session, "x", CIUIC_F32, 1, &n, x.data()));
  OK(ciuic_session_bind_output(o.session, "y", y.data(), y.size() * 4));
  OK(ciuic_session_run(o.session, nullptr));
  for (int64_t i = 0; i < part / 4; ++i) {
    ASSERT_EQ(y[i], x[i] + w[0][i] + w[1][i] + w[2][i] + w[2][i + part / 4]) << i;
  }
}

TEST(Session, CancelEndsAnAsynchronousRunAndTheNextOneIsRight) {
  std::vector<std::vector<float>> w;
  PlanBuilder b = streamingChain(&w);
  Opened o;
  ASSERT_EQ(o.open(b, 2, 0.0002).cls, CIUIC_OK); // about 0.1 s a pass
  int64_t n = 1024;
  std::vector<float> x = ramp(n), y(1024);
  OK(ciuic_session_bind_input(o.session, "x", CIUIC_F32, 1, &n, x.data()));
  OK(ciuic_session_bind_output(o.session, "y", y.data(), y.size() * 4));
  EXPECT_EQ(take(ciuic_session_wait(o.session)).code, "usage.wait");
  for (int round = 0; round < 3; ++round) {
    OK(ciuic_session_run_async(o.session, nullptr));
    EXPECT_EQ(take(ciuic_session_run(o.session, nullptr)).cls, CIUIC_BUSY);
    EXPECT_EQ(take(ciuic_session_bind_output(o.session, "y", nullptr, 0)).cls, CIUIC_BUSY);
    ciuic_run_stats stats = {};
    stats.struct_size = sizeof stats;
    EXPECT_EQ(take(ciuic_session_get_stats(o.session, &stats)).cls, CIUIC_BUSY);
    std::this_thread::sleep_for(std::chrono::milliseconds(5 + 20 * round));
    ciuic_session_cancel(o.session);
    EXPECT_EQ(take(ciuic_session_wait(o.session)).cls, CIUIC_CANCELLED);
  }
  ciuic_session_cancel(o.session); // nothing runs: nothing happens
  OK(ciuic_session_run_async(o.session, "main"));
  OK(ciuic_session_wait(o.session));
  EXPECT_TRUE(o.stats().prologue);
  for (int64_t i = 0; i < n; ++i) {
    ASSERT_EQ(y[i], x[i] + w[0][i] + w[1][i] + w[2][i] + w[3][i]);
  }
}

TEST(Session, TraceHasEveryStepInItsStreamAndInOrder) {
  PlanBuilder b = streamingChain();
  Opened o;
  ASSERT_EQ(o.open(b, 2).cls, CIUIC_OK);
  EXPECT_EQ(ciuic_session_trace_size(o.session), 0u);
  int64_t n = 8;
  std::vector<float> x = ramp(n);
  OK(ciuic_session_bind_input(o.session, "x", CIUIC_F32, 1, &n, x.data()));
  OK(ciuic_session_run(o.session, nullptr));
  ASSERT_EQ(ciuic_session_trace_size(o.session), 8u);
  std::vector<ciuic_trace_event> events(8);
  for (uint32_t i = 0; i < 8; ++i) {
    events[i].struct_size = sizeof events[i];
    OK(ciuic_session_get_trace_event(o.session, i, &events[i]));
    EXPECT_LE(events[i].begin_us, events[i].end_us);
    EXPECT_EQ(std::string(events[i].stream), i == 0 || i % 2 == 0 ? "compute" : "h2d");
    EXPECT_EQ(events[i].predicted_us, 1);
    // By hand: kernels at 0, 1, 2, 3; each copy when the kernel before it ends.
    const double starts[8] = {0, 1, 1, 2, 2, 3, 3, 4};
    EXPECT_EQ(events[i].predicted_begin_us, starts[i]);
    for (uint32_t wait : b.last().steps[i]->waits) {
      EXPECT_GE(events[i].begin_us, events[wait].end_us) << i << " " << wait;
    }
  }
}

TEST(Session, OlderCallersGetThePartOfAStructTheyKnow) {
  PlanBuilder b = streamingChain();
  Opened o;
  ASSERT_EQ(o.open(b).cls, CIUIC_OK);
  ciuic_program_info info;
  std::memset(&info, 0x5a, sizeof info);
  info.struct_size = offsetof(ciuic_program_info, target);
  OK(ciuic_program_get_info(o.program, &info));
  EXPECT_STREQ(info.device_kind, "host");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(info.target) & 0xff, 0x5au);
  info.struct_size = 1;
  EXPECT_EQ(take(ciuic_program_get_info(o.program, &info)).code, "usage.struct-size");
}

TEST(Session, NullArgumentsAreErrors) {
  EXPECT_EQ(take(ciuic_program_load_path(nullptr, nullptr)).code, "usage.null");
  EXPECT_EQ(take(ciuic_session_create(nullptr, nullptr, nullptr, nullptr)).code, "usage.null");
  EXPECT_EQ(take(ciuic_session_run(nullptr, nullptr)).code, "usage.null");
  ciuic_session_cancel(nullptr);
  ciuic_session_destroy(nullptr);
  ciuic_program_destroy(nullptr);
  ciuic_device_close(nullptr);
  ciuic_status_free(nullptr);
  ciuic_device *device = nullptr;
  EXPECT_EQ(take(ciuic_device_open("abacus", &device)).code, "device.unknown");
}

TEST(Session, LoadsFromDescriptorAndMemory) {
  PlanBuilder b = streamingChain();
  std::string path = scratchPath("fd.ciuic");
  ASSERT_TRUE(b.write(path, testKernels()).isOk());
  int fd = ::open(path.c_str(), O_RDONLY);
  Opened o, m;
  OK(ciuic_program_load_fd(fd, &o.program));
  ::close(fd);
  OK(ciuic_device_open("host", &o.device));
  OK(ciuic_session_create(o.program, o.device, nullptr, &o.session));
  std::string bytes = readFile(path);
  OK(ciuic_program_load_memory(bytes.data(), bytes.size(), &m.program));
  OK(ciuic_device_open("host", &m.device));
  OK(ciuic_session_create(m.program, m.device, nullptr, &m.session));
  ciuic_program_destroy(m.program); // the session keeps what it needs
  m.program = nullptr;
  EXPECT_EQ(take(ciuic_program_load_fd(-1, &m.program)).cls, CIUIC_ENVIRONMENT);
}

TEST(Session, DamagedWeightFailsTheSession) {
  PlanBuilder b = streamingChain();
  std::string path = scratchPath("damaged.ciuic");
  ASSERT_TRUE(b.write(path, testKernels()).isOk());
  std::string bytes = readFile(path);
  bytes[(2 << 20) + 9000] ^= 4;
  Opened o;
  OK(ciuic_program_load_memory(bytes.data(), bytes.size(), &o.program));
  OK(ciuic_device_open("host", &o.device));
  EXPECT_EQ(take(ciuic_session_create(o.program, o.device, nullptr, &o.session)).code,
            "format.F10");
}

TEST(Session, MissingSymbolVariantAndDeviceKindAreNamed) {
  PlanBuilder b = streamingChain();
  b.program.kernels[0]->symbol = "no_such_kernel";
  Opened o;
  EXPECT_EQ(o.open(b).code, "device.symbol");
  PlanBuilder c = streamingChain();
  c.program.device_kind = "cuda";
  for (auto &kernel : c.program.kernels) {
    kernel->block_threads = 32;
    kernel->max_grid = 1;
  }
  Opened p;
  EXPECT_EQ(p.open(c).code, "device.kind");
}

} // namespace
