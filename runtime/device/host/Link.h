// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The path between the tiers: memcpy, paced when a rate is set. The pace is that of one serial link
// for both directions: after beginRun(), n bytes are never across before n / rate has passed. An
// engine that woke up late catches up on the link time it slept through, at most kCredit of it.
#pragma once

#include <atomic>
#include <cstdint>

namespace ciuic::device {

class Link {
public:
  explicit Link(double gbps) : nsPerByte(gbps > 0 ? 1 / gbps : 0) {}
  void beginRun();
  /// Copies in chunks; stops early when `cancel` is set. Thread-safe.
  void copy(void *to, const void *from, int64_t bytes, const std::atomic<bool> *cancel);
  /// Rows of `rowBytes` that lie side by side in `from` and `pitch` apart in `to`.
  void copyRows(char *to, int64_t pitch, const char *from, int64_t rowBytes, int64_t rows,
                const std::atomic<bool> *cancel);

private:
  int64_t claim(int64_t bytes);
  void paceUntil(int64_t end);
  const double nsPerByte;
  std::atomic<int64_t> freeAt{0};
};

} // namespace ciuic::device
