// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How libraries of the vendor are found, and what their calls have in common. A library stays open
// once it is: unloading it while a context lives is not supported.
#pragma once

#include "runtime/device/cuda/Driver.h"

#include <initializer_list>

namespace ciuic::device::cuda {

struct VendorWorkspace {
  DeviceAddress address;
  int64_t bytes;
};

/// Tries each name in the folders of CIUIC_CUDA_LIBS (colons between them), where the loader finds
/// it, in a CUDA toolkit, and in Python environments, where pip put `package`. Null: nowhere.
void *openVendorLibrary(std::initializer_list<const char *> names, const char *package);

} // namespace ciuic::device::cuda
