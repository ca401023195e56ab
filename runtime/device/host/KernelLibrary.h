// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A shared object of kernels, loaded from memory: no path on disk is involved.
#pragma once

#include "runtime/base/Status.h"
#include "runtime/device/host/HostDevice.h"

#include <string>
#include <string_view>

namespace ciuic::device {

class KernelLibrary {
public:
  KernelLibrary() = default;
  ~KernelLibrary();
  KernelLibrary(const KernelLibrary &) = delete;
  KernelLibrary &operator=(const KernelLibrary &) = delete;

  Status load(std::string_view bytes);
  Status find(const std::string &symbol, HostKernel *out) const;

private:
  void *handle = nullptr;
  // Open as long as the library is: dlopen tells libraries apart by name, and the name is the
  // descriptor's number.
  int file = -1;
};

/// -1: this CPU cannot run the variant; otherwise the larger the better. Known: generic,
/// x86-64-v2, x86-64-v3, x86-64-v4.
int cpuVariantRank(std::string_view variant);

} // namespace ciuic::device
