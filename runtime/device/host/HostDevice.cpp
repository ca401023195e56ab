// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/device/host/HostDevice.h"

#include "runtime/device/host/HostContext.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>

namespace ciuic::device {
namespace {

class HostDevice final : public Device {
public:
  DeviceInfo info() const override {
    DeviceInfo info;
    info.kind = "host";
    info.name = "CPU";
    for (const char *variant : {"generic", "x86-64-v2", "x86-64-v3", "x86-64-v4"}) {
      info.variant = cpuVariantRank(variant) >= 0 ? variant : info.variant;
    }
    std::ifstream processors("/proc/cpuinfo");
    for (std::string line; std::getline(processors, line);) {
      if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos) {
        info.name = line.substr(line.find(": ") + 2);
        break;
      }
    }
    std::ifstream memory("/proc/meminfo");
    std::string key, unit;
    int64_t kib;
    while (memory >> key >> kib >> unit) {
      if (key == "MemTotal:") {
        info.totalBytes = kib * 1024;
      } else if (key == "MemAvailable:") {
        info.freeBytes = kib * 1024;
        break;
      }
    }
    return info;
  }

  int variantRank(std::string_view variant) const override { return cpuVariantRank(variant); }

  Status createContext(const ContextOptions &options, std::unique_ptr<Context> *out) override {
    constexpr int kMostThreads = 1024;
    int threads = options.threads > 0 ? options.threads
                                      : static_cast<int>(std::thread::hardware_concurrency());
    auto context = std::make_unique<HostContext>(options);
    CIUIC_TRY(context->start(std::clamp(threads, 1, kMostThreads)));
    *out = std::move(context);
    return Status::ok();
  }
};

} // namespace

std::unique_ptr<Device> createHostDevice() { return std::make_unique<HostDevice>(); }

uint32_t addHostKernel(Context &hostContext, HostKernel kernel, int64_t scratchBytes) {
  return static_cast<HostContext &>(hostContext).addKernel(kernel, scratchBytes);
}

} // namespace ciuic::device
