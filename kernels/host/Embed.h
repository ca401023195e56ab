// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The machine code of the host library kernels, one relocatable ELF object per instruction-set
// variant, as the compiler links it into a program's .so. All symbols are hidden; sections are per
// function, so --gc-sections keeps what a program calls and nothing else.
#pragma once
#include <string_view>

namespace ciuic::kernels {

enum class HostVariant {
  V3,
  V4
}; // x86-64-v3 (AVX2, FMA, F16C) and x86-64-v4 (AVX-512 F, BW, CD, DQ, VL)

std::string_view hostObject(HostVariant variant);

} // namespace ciuic::kernels
