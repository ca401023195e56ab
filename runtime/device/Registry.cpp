// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The devices of this build, by name.
#include "runtime/device/Device.h"
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/device/host/HostDevice.h"

#include <charconv>

namespace ciuic::device {

Status createDevice(const std::string &name, std::unique_ptr<Device> *out) {
  if (name == "host") {
    *out = createHostDevice();
    return Status::ok();
  }
  if (name == "cuda") {
    return createCudaDevice(0, out);
  }
  if (name.rfind("cuda:", 0) == 0) {
    unsigned ordinal = 0;
    const char *end = name.data() + name.size();
    auto [at, error] = std::from_chars(name.data() + 5, end, ordinal);
    if (error == std::errc() && at == end && ordinal <= INT32_MAX) {
      return createCudaDevice(static_cast<int>(ordinal), out);
    }
  }
  return failure(StatusClass::Environment, "device.unknown",
                 "no device '%s'; this build has: host, cuda, cuda:N with N counted from 0",
                 name.c_str());
}

} // namespace ciuic::device
