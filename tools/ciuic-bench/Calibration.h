// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Measures the constants of this machine that a device profile holds (passes/Cost/Profile.h). Each
// constant is the best of many short runs: a profile describes a machine that does nothing else.
#pragma once

#include "passes/Cost/Profile.h"

#include <functional>
#include <string>
#include <variant>

namespace ciuic::bench {

struct CalibrationOptions {
  std::string device = "host"; ///< host or cuda:N
  std::string name;            ///< of the profile
  std::string disk;            ///< folder of the disk that is measured too; none: it is not
  int threads = 0;             ///< that compute; 0: as many as the process may use
  double seconds = 0.4;        ///< that each constant is measured for, at least
  std::function<void(const char *what)> onStage;
  std::function<void(const char *text)> onDetail; ///< what was measured and is no constant
};

/// The profile of the device; the string says why there is none, beginning with a code.
std::variant<cost::Profile, std::string> calibrate(const CalibrationOptions &options);

/// Of the host device: this CPU, its memory, and a third thread that copies.
std::variant<cost::Profile, std::string> calibrateHost(const CalibrationOptions &options);

/// Of a GPU, "cuda" or "cuda:N": its links, memory, the vendor's products and convolutions, the
/// project's own products and attention. Needs cuBLASLt and cuDNN.
std::variant<cost::Profile, std::string> calibrateCuda(const CalibrationOptions &options);

} // namespace ciuic::bench
