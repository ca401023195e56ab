// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The rate of a disk as programs read it: several requests in flight, past the page cache where the
// system allows it.
#pragma once

#include "runtime/base/Status.h"

#include <string>

namespace ciuic::bench {

struct DiskRate {
  double gigabytes = 0; // 10^9 bytes a second
  std::string mode;     // how the file was read
};

/// Writes a file into `folder`, reads it for at least so many seconds, and removes it.
Status measureDisk(const std::string &folder, double seconds, DiskRate *out);

} // namespace ciuic::bench
