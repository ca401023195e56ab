// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which device is measured by what.
#include "tools/ciuic-bench/Calibration.h"

namespace ciuic::bench {

std::variant<cost::Profile, std::string> calibrate(const CalibrationOptions &options) {
  if (options.device == "host") {
    return calibrateHost(options);
  }
  return "[usage.device] --device " + options.device + ": only host can be calibrated";
}

} // namespace ciuic::bench
