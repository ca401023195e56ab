// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One GPU as its device object and all contexts on it share it: the driver, what the GPU is, what
// of its memory is ours, and whether it is lost. After an error that the driver does not recover
// from within a process, the first such error is kept and every later call fails with it; nothing
// is asked of the driver any more, not even to free.
#pragma once

#include "runtime/device/Device.h"
#include "runtime/device/cuda/Driver.h"
#include "runtime/device/cuda/Nvml.h"

#include <atomic>
#include <mutex>

namespace ciuic::device::cuda {

/// Thread-safe.
class DeviceState {
public:
  DeviceState(Driver d, int ordinal) : driver(std::move(d)), ordinal(ordinal) {}
  ~DeviceState();
  Status open(std::unique_ptr<MemoryMonitor> (*openMonitor)(const std::string &uuid));

  /// The primary context; the first call notes how much memory was free before it.
  Status retain(ContextHandle *out);

  /// Ok, or the error that lost the device.
  Status alive() const;
  /// The status of a failed call; latches it where the device is lost.
  Status fail(Result error, const char *call);

  std::optional<MemoryFigures> memory();
  /// What this process holds of the device; -1: unknown. The driver's own figure where it lists the
  /// process, else the fall of free memory since the device was opened, which other processes move
  /// too. A measurement for a budget takes the larger.
  int64_t processBytes(bool larger);

  const Driver driver;
  const int ordinal;
  DeviceHandle handle = 0;
  std::string name;
  int major = 0, minor = 0;
  int64_t totalBytes = 0;
  int maxShared = 0, multiprocessors = 0;
  std::atomic<int64_t> arenaBytes{0}; // of all contexts

private:
  std::unique_ptr<MemoryMonitor> monitor;
  mutable std::mutex mutex;
  ContextHandle primary = nullptr;
  int64_t freeAtOpening = -1;
  std::atomic<bool> lost{false};
  StatusClass lostClass = StatusClass::Ok;
  std::string lostText;
};

/// Makes a context the thread's own while it lives.
class Current {
public:
  Current(const DeviceState &state, ContextHandle context) : state(state) {
    pushed = state.driver.ctxPushCurrent(context) == result::success;
  }
  ~Current() {
    ContextHandle popped = nullptr;
    if (pushed) {
      (void)state.driver.ctxPopCurrent(&popped);
    }
  }
  Current(const Current &) = delete;
  Current &operator=(const Current &) = delete;

private:
  const DeviceState &state;
  bool pushed;
};

} // namespace ciuic::device::cuda

// Calls a function of the driver; where it fails, returns from the caller.
#define CIUIC_CUDA(state, function, ...)                                                           \
  do {                                                                                             \
    if (auto cudaResult = (state).driver.function(__VA_ARGS__))                                    \
      return (state).fail(cudaResult, #function);                                                  \
  } while (false)
