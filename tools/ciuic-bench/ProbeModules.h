// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The kernels of Probe.cu as PTX, which the driver compiles where it runs.
#pragma once

#include <string_view>

namespace ciuic::bench {

/// The text of a family, for chips of a generation: "90a" (compute capability 9.0 alone), or "80"
/// and later.
std::string_view probeModule(std::string_view generation, int family);

} // namespace ciuic::bench
