// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See Machine.h. The compiler may be a static program, which cannot open the driver's library, so
// the driver's own tool is asked.
#include "tools/ciuicc/Machine.h"

#include "passes/Offload/BuildProblem.h"

#include <cstdio>
#include <sys/stat.h>

namespace ciuic::tool {
namespace {

/// The share of a GPU's free memory that is asked for: other programs' use of it moves.
constexpr double autoShare = 0.97;

bool exists(const char *path) {
  struct stat info;
  return stat(path, &info) == 0;
}

int64_t availableHostMemory() {
  int64_t available = 0;
  if (FILE *file = fopen("/proc/meminfo", "r")) {
    char line[256];
    while (fgets(line, sizeof line, file)) {
      long long kib;
      if (sscanf(line, "MemAvailable: %lld kB", &kib) == 1) {
        available = kib * 1024;
      }
    }
    fclose(file);
  }
  return available;
}

std::string noGpu(const std::string &what) {
  return "[usage.no-gpu] " + what +
         ": no NVIDIA GPU answers on this machine (nvidia-smi); name the card with --profile "
         "(h100, rtx4090, …) and --target cuda:sm_XX";
}

} // namespace

std::optional<Gpu> parseGpu(const std::string &line) {
  int major = 0, minor = 0, at = 0;
  long long total = 0, available = 0;
  if (sscanf(line.c_str(), "%d.%d, %lld, %lld, %n", &major, &minor, &total, &available, &at) != 4 ||
      at == 0 || major < 1 || major > 99 || minor < 0 || minor > 9 || total <= 0 || available < 0 ||
      total > int64_t(1) << 40 || available > total) {
    return std::nullopt;
  }
  Gpu gpu;
  gpu.name = line.substr(at);
  while (!gpu.name.empty() && (gpu.name.back() == '\n' || gpu.name.back() == '\r')) {
    gpu.name.pop_back();
  }
  gpu.architecture = "sm_" + std::to_string(10 * major + minor);
  gpu.totalBytes = total << 20;
  gpu.freeBytes = available << 20;
  return gpu;
}

std::optional<Gpu> machineGpu() {
  if (!exists("/dev/nvidiactl") && !exists("/proc/driver/nvidia")) {
    return std::nullopt;
  }
  FILE *pipe = popen("nvidia-smi --query-gpu=compute_cap,memory.total,memory.free,name "
                     "--format=csv,noheader,nounits 2>/dev/null",
                     "r");
  if (!pipe) {
    return std::nullopt;
  }
  char line[512];
  std::optional<Gpu> gpu;
  if (fgets(line, sizeof line, pipe)) {
    gpu = parseGpu(line);
  }
  while (fgets(line, sizeof line, pipe)) {
  }
  return pclose(pipe) == 0 ? gpu : std::nullopt;
}

std::variant<Device, std::string> chooseDevice(const Options &options) {
  Device device;
  // 1. The profile says the device, where one is named.
  bool named = !options.profile.empty();
  if (!named && (!options.target || options.target->cuda)) {
    device.gpu = machineGpu();
    if (options.target && !device.gpu) {
      return noGpu("--target cuda without --profile");
    }
  }
  if (named) {
    device.profileName = options.profile;
  } else if (device.gpu) {
    auto known = cost::profileOfCard(device.gpu->name);
    if (!known) {
      return "[usage.profile] no profile of the card '" + device.gpu->name +
             "' is known: name the most similar one with --profile, or a JSON file of this card's";
    }
    device.profileName = *known;
  } else {
    device.profileName = "host-generic";
  }
  auto loaded = loadProfile(device.profileName);
  if (auto *error = std::get_if<std::string>(&loaded)) {
    return "[usage.profile] " + *error;
  }
  device.profile = std::get<cost::Profile>(loaded);
  // 2. The target, which must agree.
  device.target = options.target.value_or(Target{device.profile.device == "cuda", {}});
  if (device.target.cuda != (device.profile.device == "cuda")) {
    return "[usage.profile] --profile " + device.profileName + " describes a " +
           device.profile.device + " device, the target is " +
           (device.target.cuda ? "cuda" : "host") + ": leave one of them out, or make them agree";
  }
  if (device.target.cuda && device.target.architectures.empty()) {
    device.target.architectures = {device.gpu ? device.gpu->architecture
                                              : device.profile.architecture};
  }
  return device;
}

int64_t freeBytes(const Device &device) {
  if (!device.target.cuda) {
    return availableHostMemory() / 2;
  }
  std::optional<Gpu> gpu = device.gpu ? device.gpu : machineGpu();
  return gpu ? static_cast<int64_t>(autoShare * static_cast<double>(gpu->freeBytes)) : 0;
}

} // namespace ciuic::tool
