// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which device is measured by what.
#include "tools/ciuic-bench/Calibration.h"

#include "tools/ciuic-bench/Disk.h"

namespace ciuic::bench {

namespace {

std::variant<cost::Profile, std::string> calibrateDevice(const CalibrationOptions &options) {
  if (options.device == "host") {
    return calibrateHost(options);
  }
  if (options.device.starts_with("cuda")) {
    return calibrateCuda(options);
  }
  return "[usage.device] --device " + options.device + ": host, cuda or cuda:N";
}

} // namespace

std::variant<cost::Profile, std::string> calibrate(const CalibrationOptions &options) {
  DiskRate disk{cost::kAssumedDisk, ""};
  if (!options.disk.empty()) { // first: what is wrong with it is told before minutes have passed
    if (options.onStage) {
      options.onStage("the disk");
    }
    if (Status status = measureDisk(options.disk, options.seconds, &disk); !status.isOk()) {
      return "[" + std::string(status.code()) + "] " + std::string(status.message());
    }
    if (options.onDetail) {
      options.onDetail(formatText("%.3g GB/s, %s", disk.gigabytes, disk.mode.c_str()).c_str());
    }
  }
  auto result = calibrateDevice(options);
  if (auto *profile = std::get_if<cost::Profile>(&result)) {
    profile->diskGigabytes = disk.gigabytes;
  }
  return result;
}

} // namespace ciuic::bench
