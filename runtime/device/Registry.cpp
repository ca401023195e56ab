// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The devices of this build, by name.
#include "runtime/device/Device.h"
#include "runtime/device/host/HostDevice.h"

namespace ciuic::device {

Status createDevice(const std::string &name, std::unique_ptr<Device> *out) {
  if (name == "host") {
    *out = createHostDevice();
    return Status::ok();
  }
  return failure(StatusClass::Environment, "device.unknown", "no device '%s'; this build has: host",
                 name.c_str());
}

} // namespace ciuic::device
