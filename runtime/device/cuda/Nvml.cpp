// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Types and numbers are those of nvml.h, version 12.
#include "runtime/device/cuda/Nvml.h"

#include <dlfcn.h>
#include <unistd.h>
#include <vector>

namespace ciuic::device::cuda {
namespace {

using NvmlDevice = struct NvmlDeviceTag *;
struct NvmlMemory {
  unsigned long long total, free, used;
};
struct NvmlProcess {
  unsigned pid;
  unsigned long long usedBytes;
  unsigned gpuInstance, computeInstance;
};
constexpr int kInsufficientSize = 7;
constexpr unsigned long long kNotAvailable = ~0ull;

class Nvml final : public MemoryMonitor {
public:
  ~Nvml() override {
    if (started) {
      shutdown();
    }
    if (library) {
      ::dlclose(library);
    }
  }

  bool open(const std::string &uuid) {
    library = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
      return false;
    }
    auto find = [&](auto &function, const char *name) {
      function =
          reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(library, name));
      return function != nullptr;
    };
    if (!find(init, "nvmlInit_v2") || !find(shutdown, "nvmlShutdown") ||
        !find(byUuid, "nvmlDeviceGetHandleByUUID") ||
        !find(memoryInfo, "nvmlDeviceGetMemoryInfo")) {
      return false;
    }
    find(processes, "nvmlDeviceGetComputeRunningProcesses_v3");
    started = init() == 0;
    return started && byUuid(uuid.c_str(), &device) == 0;
  }

  std::optional<MemoryFigures> memory() override {
    NvmlMemory m = {};
    if (memoryInfo(device, &m) != 0) {
      return std::nullopt;
    }
    return MemoryFigures{static_cast<int64_t>(m.total), static_cast<int64_t>(m.free)};
  }

  std::optional<int64_t> processBytes() override {
    if (!processes) {
      return std::nullopt;
    }
    std::vector<NvmlProcess> list(16);
    unsigned count = 0;
    for (int attempt = 0;; ++attempt) {
      count = static_cast<unsigned>(list.size());
      int error = processes(device, &count, list.data());
      if (error == 0) {
        break;
      }
      if (error != kInsufficientSize || attempt == 4) {
        return std::nullopt;
      }
      list.resize(count + 16);
    }
    auto self = static_cast<unsigned>(::getpid());
    for (unsigned i = 0; i < count; ++i) {
      if (list[i].pid == self && list[i].usedBytes != kNotAvailable) {
        return static_cast<int64_t>(list[i].usedBytes);
      }
    }
    return std::nullopt;
  }

private:
  void *library = nullptr;
  bool started = false;
  NvmlDevice device = nullptr;
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*byUuid)(const char *, NvmlDevice *) = nullptr;
  int (*memoryInfo)(NvmlDevice, NvmlMemory *) = nullptr;
  int (*processes)(NvmlDevice, unsigned *, NvmlProcess *) = nullptr;
};

} // namespace

std::unique_ptr<MemoryMonitor> openNvml(const std::string &uuid) {
  auto nvml = std::make_unique<Nvml>();
  return nvml->open(uuid) ? std::move(nvml) : nullptr;
}

} // namespace ciuic::device::cuda
