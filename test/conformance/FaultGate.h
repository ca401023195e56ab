// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A gate in front of a CUDA driver, the fake one or a real one: it counts the calls that can fail
// and makes one of them fail, knows how many objects were created and not destroyed, and notices
// who calls a device that is lost.
#pragma once

#include "runtime/device/cuda/Driver.h"

#include <cstdint>
#include <set>
#include <string>

namespace ciuic::test {

struct FaultGate {
  device::cuda::Driver driver; // behind the gate
  int64_t failAt = -1;         // which call fails, counted from 0
  device::cuda::Result failure = 1;
  int64_t calls = 0; // that can fail
  int64_t live = 0;  // objects that were created and not destroyed
  bool lost = false; // the failure was one that loses the device: all later calls fail with it
  int64_t afterLoss = 0;
  std::string failed; // name of the function that was made to fail
  std::set<device::cuda::StreamHandle> streams;
};

/// The driver through the gate. One gate at a time: the functions know the last one only.
device::cuda::Driver gatedDriver(FaultGate &gate);

} // namespace ciuic::test
