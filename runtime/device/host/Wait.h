// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Waiting for a counter of another thread: spin briefly, then give the CPU away, then sleep. Few
// CPUs are the rule here, and a thread that spins takes the CPU from the one it waits for.
#pragma once

#include <atomic>
#include <cstdint>
#include <sched.h>
#include <time.h>

namespace ciuic::device {

inline constexpr int kSpins = 600;
inline constexpr int kYields = 24;

inline void pauseCpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

inline int64_t nowNs() {
  timespec t;
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/// Returns when `ready` of the value holds; whoever makes it hold must notify_all.
template <class Predicate>
void waitFor(std::atomic<uint32_t> &value, Predicate ready) {
  for (int i = 0; i < kSpins; ++i) {
    if (ready(value.load(std::memory_order_acquire))) {
      return;
    }
    pauseCpu();
  }
  for (int i = 0; i < kYields; ++i) {
    if (ready(value.load(std::memory_order_acquire))) {
      return;
    }
    ::sched_yield();
  }
  for (uint32_t seen = value.load(); !ready(seen); seen = value.load()) {
    value.wait(seen);
  }
}

} // namespace ciuic::device
