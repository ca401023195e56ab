// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A job is published by `open`, and a worker announces itself in `inside` before it looks at the
// job and checks `open` again after: so once the caller has closed the job and seen nobody inside,
// no worker can look at it any more, and the next job may overwrite it.
#include "runtime/device/host/ThreadPool.h"

#include "runtime/device/host/Wait.h"

#include <algorithm>
#include <system_error>

namespace ciuic::device {

static constexpr uint32_t kStop = 0xffffffff;

Status ThreadPool::start(int threads) {
  try {
    for (int i = 1; i < threads; ++i) {
      workers.emplace_back([this, i] { work(i); });
    }
  } catch (const std::system_error &error) {
    return failure(StatusClass::Environment, "device.threads", "cannot start %d threads: %s",
                   threads, error.what());
  }
  return Status::ok();
}

ThreadPool::~ThreadPool() {
  stopping.store(true);
  open.store(kStop);
  open.notify_all();
  for (std::thread &w : workers) {
    w.join();
  }
}

void ThreadPool::takeChunks(int worker) {
  char *scratch = job.scratch + worker * job.scratchStride;
  for (;;) {
    int64_t begin = next.fetch_add(chunk, std::memory_order_relaxed);
    if (begin >= job.units) {
      return;
    }
    job.kernel(job.ptrs, job.dims, job.params, begin, std::min(begin + chunk, job.units), scratch);
  }
}

void ThreadPool::run(const KernelJob &newJob) {
  if (newJob.units <= 0) {
    return;
  }
  if (workers.empty() || newJob.units == 1) {
    newJob.kernel(newJob.ptrs, newJob.dims, newJob.params, 0, newJob.units, newJob.scratch);
    return;
  }
  job = newJob;
  chunk = std::max<int64_t>(1, job.units / (threads() * 8));
  next.store(0, std::memory_order_relaxed);
  generation = generation + 1 == kStop ? 1 : generation + 1;
  open.store(generation);
  open.notify_all();
  takeChunks(0);
  open.store(0);
  for (int i = 0; inside.load() != 0; ++i) {
    i < kSpins ? pauseCpu() : static_cast<void>(::sched_yield());
  }
}

void ThreadPool::work(int worker) {
  uint32_t seen = 0;
  for (;;) {
    waitFor(open, [&](uint32_t g) { return g != 0 && g != seen; });
    uint32_t g = open.load();
    if (stopping.load()) {
      return;
    }
    if (g == 0) {
      continue;
    }
    inside.fetch_add(1);
    if (open.load() == g) {
      takeChunks(worker);
    }
    inside.fetch_sub(1);
    seen = g;
  }
}

} // namespace ciuic::device
