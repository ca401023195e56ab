// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Anonymous memory with a name that /proc/self/maps shows, between two guard regions: a kernel that
// runs over the end of the arena faults instead of writing to a neighbour. Huge pages are asked
// for, and the memory is touched at once, so that no page fault falls into a run.
#pragma once

#include "runtime/base/Status.h"

#include <cstddef>
#include <cstdint>

namespace ciuic::device {

class Mapping {
public:
  Mapping() = default;
  ~Mapping();
  Mapping(const Mapping &) = delete;
  Mapping &operator=(const Mapping &) = delete;

  /// Maps `bytes`, rounded up to whole pages, in place of what was mapped; 0 maps nothing.
  Status create(int64_t bytes, const char *name);
  char *data() const { return base; }
  int64_t size() const { return bytes; }

private:
  void release();
  char *base = nullptr;
  int64_t bytes = 0;
  void *whole = nullptr;
  size_t wholeBytes = 0;
};

} // namespace ciuic::device
