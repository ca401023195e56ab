// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every call of the driver fails once, in each of the ways that matter, over the whole life of a
// context: the failure is reported, a later attempt is right, nothing is left behind, and a device
// that is lost is never called again.
#include "runtime/device/cuda/CudaDevice.h"
#include "test/conformance/CudaTestKernels.h"
#include "test/conformance/FakeDriver.h"

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <set>

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

/// A life: device, context, tiers, kernels, a pass with copies of pinned and of other memory, a
/// graph of the bounds and one of the run, a run with times, transfers. Ends at the first failure.
Status live(test::FakeGpu &gpu) {
  std::unique_ptr<Device> device;
  CIUIC_TRY(createCudaDevice(test::fakeDriver(gpu), 0, test::fakeMonitor, &device));
  (void)device->info();
  std::unique_ptr<Context> context;
  ContextOptions options;
  options.pinnedLimit = 2 << 20;
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

TEST(CudaFaults, AWholeLifeLeavesNothingBehind) {
  test::FakeGpu gpu;
  Status s = live(gpu);
  ASSERT_TRUE(s.isOk()) << s.message();
  EXPECT_EQ(gpu.live, 0);
  EXPECT_EQ(gpu.held, 0);
  EXPECT_EQ(gpu.instantiated, 2)
      << "one graph for the bounds and the first run, one for the second";
}

TEST(CudaFaults, EachCallFailsOnce) {
  test::FakeGpu whole;
  ASSERT_TRUE(live(whole).isOk());
  ASSERT_GT(whole.calls, 100);
  std::set<std::string> failed;
  for (device::cuda::Result error : {device::cuda::result::outOfMemory, 1, 700, 719}) {
    bool loses = device::cuda::losesDevice(error);
    for (int64_t at = 0; at < whole.calls; ++at) {
      test::FakeGpu gpu;
      gpu.failAt = at;
      gpu.failure = error;
      Status s = live(gpu);
      SCOPED_TRACE(testing::Message() << "call " << at << " " << gpu.failed << " error " << error);
      failed.insert(gpu.failed);
      if (loses) {
        EXPECT_EQ(gpu.afterLoss, 0) << "a lost device is not called";
        EXPECT_EQ(s.isOk(), at >= whole.calls - kStreams);
        continue;
      }
      EXPECT_EQ(gpu.live, 0) << s.message();
      EXPECT_EQ(gpu.held, 0);
      // Memory that cannot be pinned is no failure: less of it is asked for, or the ring serves.
      // The last calls wait for the streams of a context that ends; nobody is there to be told.
      EXPECT_EQ(s.isOk(), gpu.failed == "memHostRegister" || at >= whole.calls - kStreams)
          << s.message();
      if (error == device::cuda::result::outOfMemory && gpu.failed == "memAlloc") {
        EXPECT_EQ(s.code(), "device.memory");
      }
    }
  }
  for (const char *name : {"memAlloc", "memAllocHost", "launchKernel", "graphInstantiate",
                           "graphLaunch", "streamEndCapture", "streamSynchronize"}) {
    EXPECT_TRUE(failed.count(name)) << name;
  }
}

TEST(CudaFaults, AnArenaLargerThanTheDeviceNamesTheSizes) {
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

TEST(CudaFaults, OldDriversAndOtherArchitecturesAreNamed) {
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

TEST(CudaFaults, VariantsByCapability) {
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
