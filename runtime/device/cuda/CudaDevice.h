// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The GPU as a device. Variants of kernels: "sm_90" is machine code for compute capability 9.0 and
// later minor versions of 9, "sm_90a" for exactly 9.0, "sm_100f" for the family of 10.0, and
// "compute_80" is PTX, which the driver compiles for 8.0 and anything later.
#pragma once

#include "runtime/device/Device.h"
#include "runtime/device/cuda/Driver.h"
#include "runtime/device/cuda/Nvml.h"

namespace ciuic::device {

Status createCudaDevice(int ordinal, std::unique_ptr<Device> *out);
/// With a driver table of the caller's: a test's, or the real one with functions that fail.
Status createCudaDevice(cuda::Driver driver, int ordinal,
                        std::unique_ptr<cuda::MemoryMonitor> (*monitor)(const std::string &uuid),
                        std::unique_ptr<Device> *out);
/// Rank of a variant on a GPU of this compute capability; negative: it does not run.
int gpuVariantRank(std::string_view variant, int major, int minor);

} // namespace ciuic::device
