// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// memfd + dlopen: the loader maps the object from a file that has no name and vanishes with it.
#include "runtime/device/host/KernelLibrary.h"

#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

namespace ciuic::device {

KernelLibrary::~KernelLibrary() {
  if (handle) {
    ::dlclose(handle);
  }
  if (file >= 0) {
    ::close(file);
  }
}

Status KernelLibrary::load(std::string_view bytes) {
  file = ::memfd_create("ciuic-kernels", MFD_CLOEXEC);
  if (file < 0) {
    return failure(StatusClass::Environment, "device.library", "cannot make a memory file: %s",
                   std::strerror(errno));
  }
  size_t done = 0;
  while (done < bytes.size()) {
    ssize_t n = ::write(file, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return failure(StatusClass::Environment, "memory.library", "cannot hold the kernels: %s",
                     std::strerror(errno));
    }
    done += static_cast<size_t>(n);
  }
  std::string path = "/proc/self/fd/" + std::to_string(file);
  handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  const char *error = handle ? nullptr : ::dlerror();
  if (!handle) {
    return failure(StatusClass::Environment, "device.library", "the kernels cannot be loaded: %s",
                   error ? error : "unknown error");
  }
  return Status::ok();
}

Status KernelLibrary::find(const std::string &symbol, HostKernel *out) const {
  void *address = ::dlsym(handle, symbol.c_str());
  if (!address) {
    return failure(StatusClass::Environment, "device.symbol", "the kernels have no function '%s'",
                   symbol.c_str());
  }
  *out = reinterpret_cast<HostKernel>(address);
  return Status::ok();
}

int cpuVariantRank(std::string_view variant) {
  if (variant == "generic") {
    return 0;
  }
#if defined(__x86_64__)
  if (variant == "x86-64-v2") {
    return __builtin_cpu_supports("x86-64-v2") ? 2 : -1;
  }
  if (variant == "x86-64-v3") {
    return __builtin_cpu_supports("x86-64-v3") ? 3 : -1;
  }
  if (variant == "x86-64-v4") {
    return __builtin_cpu_supports("x86-64-v4") ? 4 : -1;
  }
#endif
  return -1;
}

} // namespace ciuic::device
