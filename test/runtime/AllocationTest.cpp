// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A run allocates nothing, on any thread: this program counts every operator new.
#include "test/runtime/PlanBuilder.h"

#include "runtime/exec/Session.h"

#include <atomic>
#include <cstdlib>
#include <gtest/gtest.h>
#include <new>

using namespace ciuic;
using namespace ciuic::test;

namespace {

std::atomic<bool> counting{false};
std::atomic<int> allocations{0};

void *countedAllocation(size_t size) {
  allocations += counting.load(std::memory_order_relaxed);
  return std::malloc(size ? size : 1);
}

TEST(Allocation, ARunAllocatesNothing) {
  PlanBuilder b = streamingChain();
  std::string path = scratchPath("allocation.ciuic");
  ASSERT_TRUE(b.write(path, testKernels()).isOk());
  auto source = ByteSource::open(path);
  ASSERT_TRUE(source.isOk());
  auto file = ProgramFile::open(std::move(source.value()));
  ASSERT_TRUE(file.isOk());
  std::unique_ptr<device::Device> device;
  ASSERT_TRUE(device::createDevice("host", &device).isOk());
  std::unique_ptr<Session> session;
  Status s = Session::create(std::move(file.value()), *device, {.threads = 2}, &session);
  ASSERT_TRUE(s.isOk()) << s.message();
  int64_t n = 1024;
  std::vector<float> x(1024, 1), y(1024);
  ASSERT_TRUE(session->bindInput("x", DType::F32, {&n, 1}, x.data()).isOk());
  ASSERT_TRUE(session->bindOutput("y", y.data(), 4096).isOk());
  counting = true;
  s = session->run("");
  bool second = session->run("main").isOk();
  counting = false;
  EXPECT_TRUE(s.isOk() && second);
  EXPECT_EQ(allocations.load(), 0);
  counting = true;
  s = session->run("a name that no entry has"); // the counter works: a failure formats text
  counting = false;
  EXPECT_GT(allocations.load(), 0);
}

} // namespace

void *operator new(size_t size) {
  if (void *p = countedAllocation(size)) {
    return p;
  }
  throw std::bad_alloc();
}
void *operator new(size_t size, const std::nothrow_t &) noexcept { return countedAllocation(size); }
void operator delete(void *p) noexcept { std::free(p); }
void operator delete(void *p, size_t) noexcept { std::free(p); }
