// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Samples what the process holds of a device, from before the session is made until the last run
// has ended: the largest figure is what a budget has to answer for.
#pragma once

#include "ciuic/ciuic.h"

#include <atomic>
#include <cstdint>
#include <thread>

namespace ciuic::run {

class MemorySampler {
public:
  ~MemorySampler() { stop(); }
  /// Does nothing where the device does not say what a process holds.
  void start(const ciuic_device *device);
  /// Ends the sampling; the largest figure, or -1.
  int64_t stop();

private:
  void sample();
  const ciuic_device *device = nullptr;
  std::atomic<bool> ending{false};
  int64_t most = -1;
  std::thread thread;
};

} // namespace ciuic::run
