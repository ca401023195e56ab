// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// ciuic-run as its users see it: options, the JSON object, files, exit status.
#include "test/runtime/PlanBuilder.h"

#include "runtime/base/Hash.h"
#include "runtime/io/Npy.h"

#include <cstdio>
#include <filesystem>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>

using namespace ciuic;
using namespace ciuic::test;
using Json = nlohmann::json;

namespace {

struct Ran {
  int status = -1;
  std::string out, err;
  Json json() const { return Json::parse(out); }
};

Ran runTool(const std::string &arguments) {
  std::string out = scratchPath("stdout"), err = scratchPath("stderr");
  int code = std::system(
      (std::string(CIUIC_RUN_TOOL) + " " + arguments + " >" + out + " 2>" + err).c_str());
  return {WIFEXITED(code) ? WEXITSTATUS(code) : -1, readFile(out), readFile(err)};
}

std::string chainProgram() {
  static const std::string path = [] {
    PlanBuilder b = streamingChain();
    b.last().predicted_ms = 1.5;
    std::string p = scratchPath("chain.ciuic");
    Status s = b.write(p, testKernels());
    EXPECT_TRUE(s.isOk()) << s.message();
    return p;
  }();
  return path;
}

std::vector<float> chainResult(const std::vector<float> &x) {
  std::vector<std::vector<float>> w;
  streamingChain(&w);
  std::vector<float> y = x;
  for (size_t i = 0; i < y.size(); ++i) {
    y[i] = x[i] + w[0][i] + w[1][i] + w[2][i] + w[3][i];
  }
  return y;
}

void save(const std::string &path, const std::vector<float> &values) {
  int64_t n = static_cast<int64_t>(values.size());
  Status s = writeNpy(path, DType::F32, {&n, 1}, values.data());
  ASSERT_TRUE(s.isOk()) << s.message();
}

TEST(RunTool, JsonHasTheContractsFields) {
  std::vector<float> x(100, 2.5f), y = chainResult(x);
  std::string in = scratchPath("x.npy"), want = scratchPath("want.npy"), out = scratchPath("y.npy");
  save(in, x);
  save(want, y);
  Ran r = runTool(chainProgram() + " --input x=@" + in + " --output y=@" + out + " --expect y=@" +
                  want + " --rtol 0 --iterations 5 --warmup 1 --threads 2 --json");
  ASSERT_EQ(r.status, 0) << r.err;
  Json j = r.json();
  EXPECT_EQ(j["budget_bytes"], 65536);
  EXPECT_EQ(j["peak_device_bytes"], 65536);
  EXPECT_EQ(j["arena_bytes"], 65536);
  EXPECT_EQ(j["entry"], "main");
  EXPECT_EQ(j["predicted_ms"], 1.5);
  for (const char *key : {"min", "median", "p90", "p99"}) {
    EXPECT_GT(j["latency_ms"][key].get<double>(), 0);
  }
  EXPECT_LE(j["latency_ms"]["min"], j["latency_ms"]["median"]);
  EXPECT_LE(j["latency_ms"]["median"], j["latency_ms"]["p99"]);
  EXPECT_EQ(j["copied_bytes"]["h2d"], 4 * 4096 + 400);
  EXPECT_EQ(j["copied_bytes"]["d2h"], 400);
  EXPECT_EQ(j["copied_bytes"]["disk"], 0);
  EXPECT_GE(j["stall_ms"].get<double>(), 0);
  ASSERT_EQ(j["outputs"].size(), 1u);
  EXPECT_EQ(j["outputs"][0]["name"], "y");
  EXPECT_EQ(j["outputs"][0]["shape"], Json::array({100}));
  EXPECT_EQ(j["outputs"][0]["dtype"], "f32");
  char hash[17];
  std::snprintf(hash, sizeof hash, "%016llx",
                static_cast<unsigned long long>(hashBytes(y.data(), y.size() * 4)));
  EXPECT_EQ(j["outputs"][0]["hash"], hash);
  auto written = readNpy(out);
  ASSERT_TRUE(written.isOk());
  EXPECT_EQ(std::memcmp(written.value().data.data(), y.data(), 400), 0);
  EXPECT_TRUE(j["expect"][0]["good"]);
}

TEST(RunTool, ExpectTellsDifferenceFromEquality) {
  std::vector<float> x(10, 1.0f), y = chainResult(x);
  std::string in = scratchPath("x.npy"), want = scratchPath("want.npy");
  save(in, x);
  y[3] *= 1.01f;
  save(want, y);
  std::string base = chainProgram() + " --input x=@" + in + " --expect y=@" + want;
  Ran r = runTool(base + " --rtol 1e-3 --json");
  EXPECT_EQ(r.status, 9) << r.err;
  EXPECT_EQ(r.json()["error"]["class"], "mismatch");
  EXPECT_NE(r.err.find("relative error"), std::string::npos);
  EXPECT_EQ(runTool(base + " --rtol 0.1").status, 0);
  EXPECT_EQ(runTool(base + " --rtol 0 --atol 1").status, 0);
  EXPECT_EQ(runTool(base + " --rtol 0 --atol 1e-6").status, 9);
  y[3] = std::numeric_limits<float>::quiet_NaN();
  save(want, y);
  EXPECT_EQ(runTool(base + " --rtol 1e9").status, 9);
}

TEST(RunTool, RandomInputsFollowSeedAndDims) {
  auto hash = [](const std::string &more) {
    Ran r = runTool(chainProgram() + " --json " + more);
    EXPECT_EQ(r.status, 0) << r.err;
    return std::pair(r.json()["outputs"][0]["shape"][0].get<int>(),
                     r.json()["outputs"][0]["hash"].get<std::string>());
  };
  auto plain = hash("");
  EXPECT_EQ(plain.first, 1); // the lower bound
  auto wide = hash("--input x=random --dim n=37");
  EXPECT_EQ(wide.first, 37);
  EXPECT_EQ(wide, hash("--dim n=37"));
  EXPECT_EQ(wide, hash("--dim n=37 --threads 2 --link-gbps 0.1"));
  EXPECT_NE(wide.second, hash("--dim n=37 --seed 7").second);
  EXPECT_NE(wide.second, hash("--dim n=37 --input x=zeros").second);
}

TEST(RunTool, ErrorsAreOneJsonObjectAndAStatusByClass) {
  struct Case {
    std::string arguments;
    int status;
    const char *cls, *text;
  };
  std::string text = scratchPath("text");
  writeFile(text, std::string(5000, 'x'));
  std::string missing = scratchPath("missing");
  const Case cases[] = {
      {missing, 6, "environment", "No such file"},
      {text, 3, "input", "F2"},
      {chainProgram() + " --vram 63K", 5, "infeasible", "nearest budget that fits: 64K"},
      {chainProgram() + " --vram lots", 2, "usage", "16.5G"},
      {chainProgram() + " --dim n=2000", 7, "shape", "--entry main:n=1..2000"},
      {chainProgram() + " --dim m=1", 2, "usage", "dims are: n"},
      {chainProgram() + " --dim n=", 2, "usage", "NAME=NUMBER"},
      {chainProgram() + " --input x=ones", 2, "usage", "NAME=random"},
      {chainProgram() + " --input z=random", 2, "usage", "no input 'z'"},
      {chainProgram() + " --output z=@f.npy", 2, "usage", "no output 'z'"},
      {chainProgram() + " --entry other", 2, "usage", "the program has: main"},
      {chainProgram() + " --input x=@" + text, 2, "usage", "not a .npy"},
      {chainProgram() + " --device abacus", 6, "environment", "this build has: host"},
      {chainProgram() + " --iterations 0", 2, "usage", "--iterations"},
      {chainProgram() + " --vram 0.5", 2, "usage", "16.5G"},
      {chainProgram() + " --link-gbps 0", 2, "usage", "number above 0"},
      {chainProgram() + " --link-gbps 1x", 2, "usage", "number above 0"},
      {chainProgram() + " --no-such-flag", 2, "usage", "--help"},
      {"", 2, "usage", "PROGRAM"},
      {chainProgram() + " --output y=@/no/such/folder/y.npy", 6, "environment", "cannot write"},
      {chainProgram() + " --state-in " + scratchPath("none") + " --trace /no/such/t.json", 6,
       "environment", "cannot write"},
  };
  for (const Case &c : cases) {
    Ran r = runTool(c.arguments + " --json");
    EXPECT_EQ(r.status, c.status) << c.arguments << "\n" << r.err;
    ASSERT_TRUE(Json::accept(r.out)) << r.out;
    EXPECT_EQ(r.json()["error"]["class"], c.cls) << r.out;
    std::string message = r.json()["error"]["message"];
    EXPECT_NE(message.find(c.text), std::string::npos) << message;
    EXPECT_NE(r.err.find(message), std::string::npos);
    EXPECT_TRUE(r.json()["error"].contains("nearest_budget_bytes"));
    Ran plain = runTool(c.arguments);
    EXPECT_EQ(plain.status, c.status);
    EXPECT_EQ(plain.out, "");
  }
  EXPECT_EQ(runTool(chainProgram() + " --vram 63K --json").json()["error"]["nearest_budget_bytes"],
            65536);
}

TEST(RunTool, TraceHasEachStepMeasuredAndPredicted) {
  std::string path = scratchPath("trace.json");
  ASSERT_EQ(runTool(chainProgram() + " --trace " + path).status, 0);
  Json trace = Json::parse(readFile(path));
  int measured = 0, predicted = 0;
  for (const Json &e : trace["traceEvents"]) {
    if (e["ph"] == "X") {
      EXPECT_GE(e["dur"].get<double>(), 0);
      ++(e["pid"] == 1 ? measured : predicted);
    }
  }
  EXPECT_EQ(measured, 8);
  EXPECT_EQ(predicted, 8);
}

// Appends x to a cache of 12 and sums what is there; dims seq and past.
std::string statefulProgram() {
  PlanBuilder b;
  uint32_t append = b.kernel("test_append", 2), sum = b.kernel("test_sum", 2);
  uint32_t state = b.state("cache/0", DType::F32, {12}, 0, 0);
  EntryT &e = b.entry("step");
  uint32_t seq = b.symbol("seq", 1, 8, SymbolSource::Input, 0, 0);
  uint32_t past = b.symbol("past", 0, 11, SymbolSource::State, state);
  e.dims_offset = 64;
  b.port(true, "x", DType::F32, dims(sym(seq)), 128, 32);
  b.port(false, "sum", DType::F32, dims(num(1)), 192, 4);
  b.buffer("dims", BufferKind::Dims, 64, 64, 0, 1);
  b.buffer("x", BufferKind::Input, 128, 64, 0, 1);
  b.buffer("sum", BufferKind::Output, 192, 64, 0, 1);
  b.launch(append, {Arg(128, 32, Access::Read), Arg(0, 48, Access::ReadWrite)}, sym(seq));
  b.launch(sum, {Arg(0, 48, Access::Read), Arg(192, 4, Access::Write)}, num(1));
  auto use = std::make_unique<StateUseT>();
  use->state = state;
  use->before = sym(past);
  use->after = binaryExpr(ExprCode::Add, *sym(past), *sym(seq));
  e.states.push_back(std::move(use));
  b.seal();
  std::string path = scratchPath("stateful.ciuic");
  Status s = b.write(path, testKernels());
  EXPECT_TRUE(s.isOk()) << s.message();
  return path;
}

TEST(RunTool, StateGoesFromRunToRunThroughFolders) {
  std::string program = statefulProgram(), in = scratchPath("x.npy"), out = scratchPath("sum.npy");
  std::string first = scratchPath("s1"), second = scratchPath("s2");
  auto sum = [&] {
    auto a = readNpy(out);
    EXPECT_TRUE(a.isOk());
    float v = 0;
    std::memcpy(&v, a.value().data.data(), 4);
    return v;
  };
  save(in, {1, 2, 3});
  std::string base = program + " --input x=@" + in + " --output sum=@" + out;
  // Three iterations, each from the empty state: the cache is appended to once.
  ASSERT_EQ(runTool(base + " --iterations 3 --state-out " + first).status, 0);
  EXPECT_EQ(sum(), 6);
  ASSERT_EQ(runTool(base + " --state-in " + first + " --state-out " + second).status, 0);
  EXPECT_EQ(sum(), 12);
  auto state = readNpy(second + "/0000.cache_0.npy");
  ASSERT_TRUE(state.isOk());
  EXPECT_EQ(state.value().dims, std::vector<int64_t>{6});
  ASSERT_EQ(runTool(base + " --state-in " + second).status, 0);
  EXPECT_EQ(sum(), 18);
  // A past of zeros, by its dim.
  ASSERT_EQ(runTool(base + " --dim past=9").status, 0);
  EXPECT_EQ(sum(), 6);
  EXPECT_EQ(runTool(base + " --dim past=10").status, 8); // 13 do not fit
  EXPECT_EQ(runTool(base + " --state-in " + scratchPath("none")).status, 6);
  std::filesystem::create_directory(scratchPath("bad"));
  std::filesystem::copy(in, scratchPath("bad") + "/0000.cache_0.npy");
  EXPECT_EQ(runTool(base + " --state-in " + scratchPath("bad")).status, 0); // any 0 to 12 floats
  int64_t wrong[2] = {1, 3};
  float data[3] = {};
  ASSERT_TRUE(writeNpy(scratchPath("bad") + "/0000.cache_0.npy", DType::F32, wrong, data).isOk());
  EXPECT_EQ(runTool(base + " --state-in " + scratchPath("bad")).status, 8);
}

TEST(Npy, RoundTripsEveryTypeAndShape) {
  std::string path = scratchPath("a.npy");
  for (DType t : {DType::F32, DType::F16, DType::F64, DType::I64, DType::I32, DType::I16, DType::I8,
                  DType::U64, DType::U32, DType::U16, DType::U8, DType::Bool}) {
    for (const std::vector<int64_t> &shape :
         {std::vector<int64_t>{}, {3}, {2, 0, 5}, {2, 3, 1}, {1, 1, 1, 1, 1, 1, 1}}) {
      std::vector<char> data(6 * 8, 1);
      ASSERT_TRUE(writeNpy(path, t, shape, data.data()).isOk());
      EXPECT_EQ(readFile(path).find('\n') % 64, 63u); // numpy aligns the data to 64
      auto back = readNpy(path);
      Status s = back.isOk() ? Status() : back.takeStatus();
      ASSERT_TRUE(s.isOk()) << s.message();
      EXPECT_EQ(back.value().dtype, t);
      EXPECT_EQ(back.value().dims, shape);
    }
  }
}

TEST(Npy, DamagedFilesAreErrors) {
  std::string path = scratchPath("a.npy");
  int64_t shape[2] = {2, 3};
  float data[6] = {};
  ASSERT_TRUE(writeNpy(path, DType::F32, shape, data).isOk());
  std::string good = readFile(path);
  auto replaced = [&](const std::string &from, const std::string &to) {
    std::string bytes = good;
    bytes.replace(bytes.find(from), from.size(), to);
    writeFile(path, bytes);
    return !readNpy(path).isOk();
  };
  EXPECT_TRUE(replaced("<f4", ">f4"));
  EXPECT_TRUE(replaced("(2, 3)", "(2, 4)"));
  EXPECT_TRUE(replaced("(2, 3)", "(-2,3)"));
  EXPECT_TRUE(replaced("(2, 3)", "(9999999999999999999999"));
  EXPECT_TRUE(replaced("False", "True,"));
  EXPECT_TRUE(replaced("descr", "deskr"));
  for (size_t cut = 0; cut < good.size(); ++cut) {
    writeFile(path, good.substr(0, cut));
    EXPECT_FALSE(readNpy(path).isOk()) << cut;
  }
}

} // namespace
