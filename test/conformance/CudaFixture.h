// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A test on the first GPU: skipped where there is none, unless CIUIC_REQUIRE_DEVICES is set.
#pragma once

#include "runtime/device/cuda/CudaDevice.h"

#include <cstdlib>
#include <gtest/gtest.h>
#include <memory>

namespace ciuic::test {

inline void check(const Status &s) { ASSERT_TRUE(s.isOk()) << s.code() << ": " << s.message(); }

class CudaFixture : public testing::Test {
protected:
  void SetUp() override {
    Status s = device::createCudaDevice(0, &device);
    bool absent = s.code() == "device.no-driver" || s.code() == "device.none";
    if (absent && !std::getenv("CIUIC_REQUIRE_DEVICES")) {
      GTEST_SKIP() << s.message();
    }
    check(s);
  }

  std::unique_ptr<device::Device> device;
  std::unique_ptr<device::Context> context;
};

} // namespace ciuic::test
