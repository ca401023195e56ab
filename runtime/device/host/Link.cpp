// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/device/host/Link.h"

#include "runtime/device/host/Wait.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

namespace ciuic::device {

static constexpr int64_t kChunk = 512 * 1024;
static constexpr int64_t kCredit = 400 * 1000; // ns

void Link::beginRun() { freeAt.store(nowNs()); }

int64_t Link::claim(int64_t bytes) {
  int64_t length = static_cast<int64_t>(std::ceil(static_cast<double>(bytes) * nsPerByte));
  int64_t free = freeAt.load(), end;
  do {
    end = std::max(free, nowNs() - kCredit) + length;
  } while (!freeAt.compare_exchange_weak(free, end));
  return end;
}

void Link::copy(void *to, const void *from, int64_t bytes, const std::atomic<bool> *cancel) {
  for (int64_t at = 0; at < bytes; at += kChunk) {
    if (cancel && cancel->load(std::memory_order_relaxed)) {
      return;
    }
    int64_t take = std::min(kChunk, bytes - at);
    int64_t end = nsPerByte > 0 ? claim(take) : 0;
    std::memcpy(static_cast<char *>(to) + at, static_cast<const char *>(from) + at,
                static_cast<size_t>(take));
    paceUntil(end);
  }
}

void Link::copyRows(char *to, int64_t pitch, const char *from, int64_t rowBytes, int64_t rows,
                    const std::atomic<bool> *cancel) {
  int64_t most = std::max<int64_t>(1, kChunk / rowBytes); // rows a chunk
  for (int64_t row = 0; row < rows; row += most) {
    if (cancel && cancel->load(std::memory_order_relaxed)) {
      return;
    }
    int64_t take = std::min(most, rows - row);
    int64_t end = nsPerByte > 0 ? claim(take * rowBytes) : 0;
    for (int64_t r = row; r < row + take; ++r) {
      std::memcpy(to + r * pitch, from + r * rowBytes, static_cast<size_t>(rowBytes));
    }
    paceUntil(end);
  }
}

void Link::paceUntil(int64_t end) {
  if (end > nowNs()) {
    timespec until = {end / 1000000000, end % 1000000000};
    while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
    }
  }
}

} // namespace ciuic::device
