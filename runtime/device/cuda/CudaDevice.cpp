// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/device/cuda/CudaDevice.h"

#include "runtime/device/cuda/CudaContext.h"

#include <charconv>

namespace ciuic::device {

using namespace cuda;

int gpuVariantRank(std::string_view variant, int major, int minor) {
  constexpr int kMachineCode = 10000; // before any PTX
  bool machineCode = variant.substr(0, 3) == "sm_";
  bool ptx = variant.substr(0, 8) == "compute_";
  if (!machineCode && !ptx) {
    return -1;
  }
  std::string_view digits = variant.substr(machineCode ? 3 : 8);
  int number = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  std::string_view suffix = digits.substr(static_cast<size_t>(end - digits.data()));
  if (error != std::errc() || number < 10 || number > 9999) {
    return -1;
  }
  int own = major * 10 + minor;
  bool runs = number <= own;
  if (suffix == "a") {
    runs = number == own;
  } else if (machineCode && (suffix.empty() || suffix == "f")) {
    runs = runs && number / 10 == major;
  } else if (!suffix.empty()) {
    return -1;
  }
  return runs ? number * 2 + !suffix.empty() + (machineCode ? kMachineCode : 0) : -1;
}

namespace {

class CudaDevice final : public Device {
public:
  explicit CudaDevice(std::shared_ptr<DeviceState> s) : state(std::move(s)) {}

  DeviceInfo info() const override {
    DeviceInfo info;
    info.kind = "cuda";
    info.name = state->name;
    info.variant = formatText("sm_%d%d", state->major, state->minor);
    info.totalBytes = state->totalBytes;
    if (auto memory = state->memory()) {
      info.freeBytes = memory->free;
    } else {
      // No monitor: a context can say it, and the driver keeps it for the sessions to come.
      ContextHandle context = nullptr;
      size_t free = 0, total = 0;
      if (state->retain(&context).isOk()) {
        Current current(*state, context);
        if (state->driver.memGetInfo(&free, &total) == result::success) {
          info.freeBytes = static_cast<int64_t>(free);
        }
      }
    }
    info.processBytes = state->processBytes(true);
    return info;
  }

  int variantRank(std::string_view variant) const override {
    return gpuVariantRank(variant, state->major, state->minor);
  }

  Status createContext(const ContextOptions &options, std::unique_ptr<Context> *out) override {
    auto context = std::make_unique<CudaContext>(state, options);
    CIUIC_TRY(context->open());
    *out = std::move(context);
    return Status::ok();
  }

private:
  std::shared_ptr<DeviceState> state;
};

} // namespace

Status createCudaDevice(Driver driver, int ordinal,
                        std::unique_ptr<MemoryMonitor> (*monitor)(const std::string &uuid),
                        std::unique_ptr<Device> *out) {
  auto state = std::make_shared<DeviceState>(std::move(driver), ordinal);
  CIUIC_TRY(state->open(monitor));
  *out = std::make_unique<CudaDevice>(std::move(state));
  return Status::ok();
}

Status createCudaDevice(int ordinal, std::unique_ptr<Device> *out) {
  Driver driver;
  CIUIC_TRY(openDriver(&driver));
  return createCudaDevice(std::move(driver), ordinal, openNvml, out);
}

} // namespace ciuic::device
