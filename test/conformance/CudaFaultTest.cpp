// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every call of the driver fails once, in each of the ways that matter, over the whole life of a
// context and of a session: the failure is reported, a later attempt is right, nothing is left
// behind, and a device that is lost is never called again. Once on the fake driver, and once on a
// GPU where there is one.
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/exec/Session.h"
#include "test/conformance/CudaTestKernels.h"
#include "test/conformance/FakeDriver.h"
#include "test/conformance/FaultGate.h"
#include "test/runtime/PlanBuilder.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
#include <set>
#include <vector>

using namespace ciuic;
using namespace ciuic::device;

namespace {

constexpr int64_t kArena = 256 << 10, kHost = 4 << 20;
constexpr int64_t kRow = 64, kDims = 0, kX = 4096, kY = 8192, kZ = 12288;

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

class CudaFaults : public testing::TestWithParam<bool> {
public:
  Status context();
  Status session();

protected:
  void SetUp() override {
    if (!GetParam()) {
      return;
    }
    Status s = cuda::openDriver(&real);
    bool absent = s.code() == "device.no-driver" || s.code() == "device.none";
    if (absent && !std::getenv("CIUIC_REQUIRE_DEVICES")) {
      GTEST_SKIP() << s.message();
    }
    ASSERT_TRUE(s.isOk()) << s.message();
    // A context that is held makes the next one cheap, and shows what the lives leave in it.
    ASSERT_EQ(real.deviceGet(&handle, 0), 0);
    ASSERT_EQ(real.primaryCtxRetain(&held, handle), 0);
    ASSERT_EQ(real.ctxPushCurrent(held), 0);
  }
  void TearDown() override {
    if (held) {
      (void)real.ctxPopCurrent(&held);
      (void)real.primaryCtxRelease(handle);
    }
  }
  int64_t freeBytes() const {
    size_t free = 0, total = 0;
    EXPECT_EQ(real.memGetInfo(&free, &total), 0);
    return static_cast<int64_t>(free);
  }
  /// A device on which call `failAt` fails.
  Status open(int64_t failAt, cuda::Result failure) {
    gpu = {};
    gate = {};
    gate.driver = GetParam() ? real : test::fakeDriver(gpu);
    gate.failAt = failAt;
    gate.failure = failure;
    return createCudaDevice(test::gatedDriver(gate), 0,
                            GetParam() ? cuda::openNvml : test::fakeMonitor, &device);
  }
  /// Lives with call `failAt` failing.
  Status live(Status (CudaFaults::*life)(), int64_t failAt = -1, cuda::Result failure = 1) {
    Status s = open(failAt, failure);
    if (s.isOk()) {
      s = (this->*life)();
    }
    device.reset();
    return s;
  }
  void eachCallFails(Status (CudaFaults::*life)());

  cuda::Driver real;
  cuda::DeviceHandle handle = 0;
  cuda::ContextHandle held = nullptr;
  test::FakeGpu gpu;
  test::FaultGate gate;
  std::unique_ptr<Device> device;
  int64_t pinnedLimit = 2 << 20;
};

/// Tiers, kernels, a pass with copies of pinned and of other memory, a graph of the bounds and one
/// of the run, a run with times, transfers. Ends at the first failure.
Status CudaFaults::context() {
  (void)device->info();
  std::unique_ptr<Context> context;
  ContextOptions options;
  options.pinnedLimit = pinnedLimit;
  CIUIC_TRY(device->createContext(options, &context));
  CIUIC_TRY(context->reserve(kArena, kHost));
  uint32_t library = 0, scale = 0;
  CIUIC_TRY(context->loadLibrary(test::cudaTestKernels(), &library));
  CIUIC_TRY(context->findKernel(library, {"test_scale", 0, 64, 64 << 10, 4}, &scale));
  char *host = context->hostTier();
  for (int64_t i = 0; i < kRow; ++i) {
    auto v = static_cast<float>(i);
    std::memcpy(host + (3 << 20) + i * 4, &v, 4); // beyond what is pinned
  }
  Command launch;
  launch.kernel = scale;
  launch.args = {{kX, 4 * kRow}, {kY, 4 * kRow}};
  launch.params = {3, 0};
  launch.waits = {0};
  Command fill;
  fill.kind = CommandKind::Fill;
  fill.args = {{kZ, 64}};
  std::unique_ptr<Pass> pass;
  CIUIC_TRY(
      context->prepare({copy(CommandKind::Upload, 3 << 20, kX, 4 * kRow), launch,
                        copy(CommandKind::Download, 0, kY, 4 * kRow, {1}),
                        copy(CommandKind::Download, (3 << 20) + 4096, kY, 4 * kRow, {1}), fill},
                       kDims, &pass));
  std::vector<CommandTime> times(5);
  for (int round = 0; round < 3; ++round) {
    int64_t bytes = 4 * (kRow - round);
    std::vector<int64_t> amounts = {bytes, kRow - round, bytes, bytes, 64}, dims = {kRow - round};
    RunValues values;
    values.amounts = amounts;
    values.dims = dims;
    if (round == 2) {
      values.times = times;
    }
    std::memset(host, 0xff, 4 * kRow);
    RunCounters counters;
    CIUIC_TRY(context->run(*pass, values, &counters));
    float got = 0;
    for (int64_t i = 0; i < kRow - round; ++i) {
      for (int64_t at : {int64_t(0), (int64_t(3) << 20) + 4096}) {
        std::memcpy(&got, host + at + i * 4, 4);
        EXPECT_EQ(got, static_cast<float>(3 * i)) << "round " << round;
      }
    }
  }
  std::vector<char> large(kArena, 5), back(kArena);
  CIUIC_TRY(context->write(0, large.data(), kArena));
  CIUIC_TRY(context->read(0, back.data(), kArena));
  EXPECT_EQ(large, back);
  return Status::ok();
}

/// A program with streamed weights: session, runs of two sizes. A run that failed is tried again
/// and is right then.
Status CudaFaults::session() {
  std::vector<std::vector<float>> w;
  test::PlanBuilder b = test::streamingChain(&w);
  test::forCuda(b);
  std::string path = test::scratchPath("faults.ciuic");
  CIUIC_TRY(b.write(path, test::cudaTestKernels(), "compute_75"));
  auto source = ByteSource::open(path);
  CIUIC_TRY(source.takeStatus());
  auto file = format::ProgramFile::open(std::move(source.value()));
  CIUIC_TRY(file.takeStatus());
  SessionOptions options;
  options.pinnedLimit = pinnedLimit;
  std::unique_ptr<Session> session;
  CIUIC_TRY(Session::create(std::move(file.value()), *device, options, &session));
  for (int64_t n : {5, 1000, 5}) {
    std::vector<float> x(static_cast<size_t>(n), 2), y(x.size(), -1);
    CIUIC_TRY(session->bindInput("x", format::DType::F32, {&n, 1}, x.data()));
    CIUIC_TRY(session->bindOutput("y", y.data(), n * 4));
    Status ran = session->run("");
    Status again = ran.isOk() || gate.lost ? Status::ok() : session->run("");
    EXPECT_TRUE(again.isOk()) << again.message();
    for (size_t i = 0; i < x.size() && !gate.lost; ++i) {
      EXPECT_EQ(y[i], x[i] + w[0][i] + w[1][i] + w[2][i] + w[3][i]) << n << " " << i;
    }
    CIUIC_TRY(std::move(ran));
  }
  return Status::ok();
}

void CudaFaults::eachCallFails(Status (CudaFaults::*life)()) {
  Status whole = live(life);
  ASSERT_TRUE(whole.isOk()) << whole.message();
  EXPECT_EQ(gate.live, 0);
  EXPECT_EQ(gpu.held, 0);
  const int64_t calls = gate.calls, before = GetParam() ? freeBytes() : 0;
  ASSERT_GT(calls, 50);
  std::set<std::string> failed;
  std::vector<cuda::Result> errors = {cuda::result::outOfMemory};
  if (!GetParam()) {
    errors.push_back(1);
  }
  for (cuda::Result error : errors) {
    for (int64_t at = 0; at < calls; ++at) {
      Status s = live(life, at, error);
      SCOPED_TRACE(testing::Message() << "call " << at << " " << gate.failed << " error " << error);
      failed.insert(gate.failed);
      EXPECT_EQ(gate.live, 0) << s.message();
      EXPECT_EQ(gpu.held, 0);
      // Memory that cannot be pinned is no failure: less of it is asked for, or the ring serves.
      // The last calls wait for the streams of a context that ends; nobody is there to be told.
      EXPECT_EQ(s.isOk(), gate.failed == "memHostRegister" || at >= calls - kStreams)
          << s.message();
      if (error == cuda::result::outOfMemory && gate.failed == "memAlloc") {
        EXPECT_EQ(s.code(), "device.memory");
      }
    }
  }
  for (const char *name : {"memAlloc", "memAllocHost", "launchKernel", "graphInstantiate",
                           "graphLaunch", "streamEndCapture", "streamSynchronize"}) {
    EXPECT_TRUE(failed.count(name)) << name;
  }
  if (GetParam()) {
    constexpr int64_t kSlack = 4 << 20; // what a driver keeps for itself grows in such steps
    EXPECT_LE(before - freeBytes(), kSlack) << "lives that failed left memory on the device";
    std::printf("%lld calls failed in turn, %zu functions; the device has %lld bytes less\n",
                static_cast<long long>(calls), failed.size(),
                static_cast<long long>(before - freeBytes()));
  }
}

TEST_P(CudaFaults, EachCallOfAContextFailsOnce) { eachCallFails(&CudaFaults::context); }
TEST_P(CudaFaults, EachCallOfASessionFailsOnce) { eachCallFails(&CudaFaults::session); }

TEST_P(CudaFaults, GraphsAreMadeOncePerAmounts) {
  if (GetParam()) {
    GTEST_SKIP() << "counts what the fake makes";
  }
  Status s = live(&CudaFaults::context);
  ASSERT_TRUE(s.isOk()) << s.message();
  EXPECT_EQ(gpu.instantiated, 2)
      << "one graph for the bounds and the first run, one for the second";
}

// What a lost device held is lost with it, so a GPU loses few lives here, and pins nothing in them.
TEST_P(CudaFaults, ALostDeviceIsNeverCalledAgain) {
  pinnedLimit = GetParam() ? 0 : pinnedLimit;
  for (auto life : {&CudaFaults::context, &CudaFaults::session}) {
    Status whole = live(life);
    ASSERT_TRUE(whole.isOk()) << whole.message();
    const int64_t calls = gate.calls;
    for (cuda::Result error : {700, 719}) {
      for (int64_t at = 0; at < calls; at += GetParam() ? 1 + calls / 12 : 1) {
        Status s = live(life, at, error);
        SCOPED_TRACE(testing::Message()
                     << "call " << at << " " << gate.failed << " error " << error);
        EXPECT_EQ(gate.afterLoss, 0) << "a lost device is not called";
        EXPECT_EQ(s.isOk(), at >= calls - kStreams) << s.message();
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Drivers, CudaFaults, testing::Bool(),
                         [](const auto &info) { return std::string(info.param ? "gpu" : "fake"); });

TEST(CudaDriverErrors, AnArenaLargerThanTheDeviceNamesTheSizes) {
  test::FakeGpu gpu;
  gpu.memory = 1 << 20;
  std::unique_ptr<Device> device;
  ASSERT_TRUE(createCudaDevice(test::fakeDriver(gpu), 0, test::fakeMonitor, &device).isOk());
  std::unique_ptr<Context> context;
  ASSERT_TRUE(device->createContext({}, &context).isOk());
  Status s = context->reserve(2 << 20, 0);
  EXPECT_EQ(s.code(), "device.memory");
  EXPECT_NE(s.message().find("1048576 of 1048576 bytes free"), std::string::npos) << s.message();
}

TEST(CudaDriverErrors, OldDriversAndOtherArchitecturesAreNamed) {
  auto codeOf = [](device::cuda::Result error) {
    static device::cuda::Result injected;
    injected = error;
    test::FakeGpu gpu;
    device::cuda::Driver driver = test::fakeDriver(gpu);
    driver.moduleLoadDataEx = [](device::cuda::ModuleHandle *, const void *, unsigned, int *,
                                 void **) { return injected; };
    std::unique_ptr<Device> device;
    EXPECT_TRUE(createCudaDevice(std::move(driver), 0, test::fakeMonitor, &device).isOk());
    std::unique_ptr<Context> context;
    EXPECT_TRUE(device->createContext({}, &context).isOk());
    uint32_t library = 0;
    return context->loadLibrary("x", &library).code();
  };
  EXPECT_EQ(codeOf(209), "device.variant");
  EXPECT_EQ(codeOf(222), "device.old-driver");
  EXPECT_EQ(codeOf(218), "device.library");
  EXPECT_EQ(codeOf(2), "device.memory");
  EXPECT_EQ(codeOf(719), "device.lost");
  test::FakeGpu gpu;
  std::unique_ptr<Device> device;
  EXPECT_EQ(createCudaDevice(test::fakeDriver(gpu), 1, test::fakeMonitor, &device).code(),
            "device.none");
}

TEST(CudaDriverErrors, VariantsByCapability) {
  EXPECT_LT(gpuVariantRank("sm_80", 9, 0), 0);
  EXPECT_LT(gpuVariantRank("sm_90", 8, 9), 0);
  EXPECT_LT(gpuVariantRank("sm_90a", 9, 1), 0);
  EXPECT_LT(gpuVariantRank("sm_100", 12, 0), 0);
  EXPECT_LT(gpuVariantRank("compute_90", 8, 9), 0);
  EXPECT_LT(gpuVariantRank("compute_90a", 10, 0), 0);
  for (const char *bad :
       {"", "sm_", "sm_x", "sm_90x", "compute_", "compute_80f", "x86-64-v3", "sm_-1"}) {
    EXPECT_LT(gpuVariantRank(bad, 9, 0), 0) << bad;
  }
  const char *const ascending[] = {"compute_70", "compute_80", "compute_89", "sm_80",
                                   "sm_86",      "sm_89",      "sm_89a"};
  for (size_t i = 1; i < std::size(ascending); ++i) {
    EXPECT_GE(gpuVariantRank(ascending[i - 1], 8, 9), 0) << ascending[i - 1];
    EXPECT_LT(gpuVariantRank(ascending[i - 1], 8, 9), gpuVariantRank(ascending[i], 8, 9))
        << ascending[i];
  }
  EXPECT_GE(gpuVariantRank("sm_100f", 10, 3), 0);
}

} // namespace
