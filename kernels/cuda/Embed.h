// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The CUDA library functions as LLVM bitcode, one module per instruction-set generation, as the
// compiler links them into generated kernels. Nothing in them is specific to one chip of a
// generation.
#pragma once
#include <string_view>

namespace ciuic::kernels {

/// The module of a generation: "80" and "90" run on chips from that compute capability on, "90a" on
/// 9.0 alone (products of warpgroups).
std::string_view cudaBitcode(std::string_view generation);

} // namespace ciuic::kernels
