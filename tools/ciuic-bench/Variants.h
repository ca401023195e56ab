// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The host library kernels in the variant that this CPU runs, as the runtime picks it for a
// program.
#pragma once

#include "kernels/host/Abi.h"

namespace ciuic::bench {

struct HostKernels {
  const char *variant; ///< x86-64-v3 or x86-64-v4
  ciuic_library_kernel f32, f16, bf16, int8, int4, int4Rounded, conv, attention;
};

/// Null if the CPU runs neither variant.
const HostKernels *hostKernels();

} // namespace ciuic::bench
