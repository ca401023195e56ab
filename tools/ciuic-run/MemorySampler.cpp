// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tools/ciuic-run/MemorySampler.h"

#include <algorithm>
#include <chrono>
#include <system_error>

namespace ciuic::run {

void MemorySampler::sample() {
  ciuic_device_info info = {};
  info.struct_size = sizeof info;
  if (ciuic_status *status = ciuic_device_get_info(device, &info)) {
    ciuic_status_free(status);
    return;
  }
  most = std::max(most, info.process_bytes);
}

void MemorySampler::start(const ciuic_device *sampled) {
  device = sampled;
  sample();
  if (most < 0) {
    return;
  }
  try {
    thread = std::thread([this] {
      while (!ending.load()) {
        sample();
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
    });
  } catch (const std::system_error &) {
    most = -1; // nothing is said rather than too little
  }
}

int64_t MemorySampler::stop() {
  if (thread.joinable()) {
    ending.store(true);
    thread.join();
    sample();
  }
  return most;
}

} // namespace ciuic::run
