// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the system says of a GPU's memory, without a context: through libnvidia-ml.so.1, which comes
// with the driver. The figure of a process is the driver's own where it lists the process; in a
// container it may not, and the fall of free memory since opening stands for it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace ciuic::device::cuda {

struct MemoryFigures {
  int64_t total, free;
};

/// Thread-safe.
class MemoryMonitor {
public:
  virtual ~MemoryMonitor() = default;
  virtual std::optional<MemoryFigures> memory() = 0;
  /// What this process holds, as the driver lists it.
  virtual std::optional<int64_t> processBytes() = 0;
};

/// `uuid` is "GPU-…". Null where the library is missing or does not know the device.
std::unique_ptr<MemoryMonitor> openNvml(const std::string &uuid);

} // namespace ciuic::device::cuda
