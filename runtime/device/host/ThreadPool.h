// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Runs the units of one kernel on all compute threads, in chunks taken as threads come free. The
// caller is worker 0. A unit does the same work whoever takes it, so results are the same for any
// number of threads.
#pragma once

#include "runtime/base/Status.h"
#include "runtime/device/host/HostDevice.h"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace ciuic::device {

struct KernelJob {
  HostKernel kernel;
  char *const *ptrs;
  const int64_t *dims;
  const int64_t *params;
  int64_t units;
  char *scratch;         // of worker 0
  int64_t scratchStride; // to the next worker's
};

class ThreadPool {
public:
  ThreadPool() = default;
  ~ThreadPool();
  /// Starts threads - 1 workers.
  Status start(int threads);
  int threads() const { return static_cast<int>(workers.size()) + 1; }
  /// Returns when every unit is done. One caller at a time.
  void run(const KernelJob &job);

private:
  void work(int worker);
  void takeChunks(int worker);

  std::vector<std::thread> workers;
  KernelJob job = {};
  int64_t chunk = 1;
  uint32_t generation = 0;
  std::atomic<bool> stopping{false};
  alignas(64) std::atomic<uint32_t> open{0}; // generation of the job being run, 0 between jobs
  alignas(64) std::atomic<int64_t> next{0};
  alignas(64) std::atomic<uint32_t> inside{0}; // workers that may look at the job
};

} // namespace ciuic::device
