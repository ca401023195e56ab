// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The CPU as a device: an arena of exactly the planned bytes, compute threads, and copy engines
// that really copy. Results do not depend on the number of threads.
#pragma once

#include "runtime/device/Device.h"

namespace ciuic::device {

/// A kernel of a host program (docs/program-format.md).
using HostKernel = void (*)(char *const *ptrs, const int64_t *dims, const int64_t *params,
                            int64_t begin, int64_t end, char *scratch);

std::unique_ptr<Device> createHostDevice();

/// Adds a function of this process as a kernel of a host context, for tests of kernels.
uint32_t addHostKernel(Context &hostContext, HostKernel kernel, int64_t scratchBytes);

} // namespace ciuic::device
