// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Runs a library kernel on the runtime's own thread pool and takes its best time.
#pragma once

#include "kernels/host/Abi.h"
#include "runtime/device/host/ThreadPool.h"

#include <chrono>
#include <memory>
#include <vector>

namespace ciuic::bench {

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Memory in huge pages where the system has them, filled with a byte that is a small finite number
/// in every format.
class Buffer {
public:
  explicit Buffer(int64_t bytes);
  char *data() const { return memory.get(); }

private:
  struct Free {
    void operator()(char *p) const;
  };
  std::unique_ptr<char, Free> memory;
};

/// A call of a library kernel.
struct LibraryLaunch {
  ciuic_library_kernel kernel = nullptr;
  std::vector<int64_t> args, params;
  std::vector<char *> ptrs;
  int64_t units = 0, scratchBytes = 0;
};

class HostMachine {
public:
  Status start(int threads) { return pool.start(threads); }
  int threads() const { return pool.threads(); }

  /// Runs work(begin, end) over units 0..n on all threads.
  template <typename Work>
  void forUnits(int64_t units, Work &work) {
    device::HostKernel body = [](char *const *, const int64_t *context, const int64_t *,
                                 int64_t begin, int64_t end, char *) {
      (*reinterpret_cast<Work *>(reinterpret_cast<intptr_t>(context)))(begin, end);
    };
    const auto *context =
        reinterpret_cast<const int64_t *>(reinterpret_cast<intptr_t>(std::addressof(work)));
    pool.run({body, nullptr, context, nullptr, units, nullptr, 0});
  }

  void launch(const LibraryLaunch &launch);

private:
  device::ThreadPool pool;
  std::vector<Buffer> scratch;
  int64_t scratchBytes = 0, scratchStride = 0;
};

/// Seconds of the best run, of at least ten over at least `least` seconds.
template <typename Run>
double bestOf(double least, Run run) {
  double best = 1e30, total = 0;
  for (int i = 0; i < 10 || (total < least && i < 100000); ++i) {
    const double start = now();
    run(i);
    const double seconds = now() - start;
    best = seconds < best && i > 0 ? seconds : best; // the first touches memory
    total += seconds;
  }
  return best;
}

} // namespace ciuic::bench
