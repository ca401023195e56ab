// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which device is measured by what.
#include "tools/ciuic-bench/Calibration.h"

namespace ciuic::bench {

std::variant<cost::Profile, std::string> calibrate(const CalibrationOptions &options) {
  if (options.device == "host") {
    return calibrateHost(options);
  }
  if (options.device.starts_with("cuda")) {
    return calibrateCuda(options);
  }
  return "[usage.device] --device " + options.device + ": host, cuda or cuda:N";
}

} // namespace ciuic::bench
