// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The CUDA library functions as LLVM bitcode, one module per instruction-set generation, as the
// compiler links them into generated kernels. Nothing in them is specific to one chip of a
// generation.
#pragma once
#include <string_view>

namespace ciuic::kernels {

/// The module for a chip of this compute capability (86, 90, …): the newest one that it can run.
std::string_view cudaBitcode(int capability);

} // namespace ciuic::kernels
