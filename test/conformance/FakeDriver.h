// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A CUDA driver that computes on the CPU, for machines without a GPU: memory is malloc's, kernels
// are those of the tests, streams, events, captures and graphs make a graph of what must come
// before what. Work runs when somebody waits for it, each time in another order that the edges
// allow, so that a missing edge gives wrong results.
#pragma once

#include "runtime/device/cuda/Driver.h"
#include "runtime/device/cuda/Nvml.h"

#include <cstdint>
#include <memory>
#include <string>

namespace ciuic::test {

struct FakeGpu {
  int64_t memory = int64_t(1) << 30;
  int64_t held = 0;             // of memory
  int64_t pinnable = INT64_MAX; // the longest registration that succeeds
  int64_t launches = 0, instantiated = 0;
  int64_t early = 0; // of the launches, those that may begin while the kernel before them ends
  int64_t cooperative = 0,
          mostTogether = 0;              // those whose blocks all run at once; their largest grid
  int multiprocessors = 4, resident = 2; // blocks that each of them runs at once
  int clusterWidth = 0, ownShared = 0;   // of every kernel
};

/// The driver over a new GPU. One at a time: the functions know the last one only.
device::cuda::Driver fakeDriver(FakeGpu &gpu);
/// Says how much memory of the last one is free.
std::unique_ptr<device::cuda::MemoryMonitor> fakeMonitor(const std::string &uuid);

} // namespace ciuic::test
