// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <algorithm>
#include <cmath>

namespace ciuic::bench {

/// Three significant digits: runs differ by more than the fourth.
inline double rounded(double value) {
  const double scale = std::pow(10.0, 2 - std::floor(std::log10(std::max(value, 1e-9))));
  return std::round(value * scale) / scale;
}

} // namespace ciuic::bench
