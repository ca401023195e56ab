// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A row of W values as int8: W integers, zeros up to a multiple of eight, the row's scale (f32,
// little endian), four zeros. Value i is integer i times the scale, which is the largest magnitude
// of the row / 127. Compiler and kernels agree on this.
// Plain constants: nothing else may be included.
#pragma once

#include <stdint.h>

namespace ciuic::kernels {

/// Where the scale stands, and the bytes of a row, a multiple of eight.
constexpr int64_t rowScaleAt(int64_t width) { return (width + 7) / 8 * 8; }
constexpr int64_t quantisedRowBytes(int64_t width) { return rowScaleAt(width) + 8; }

/// What a value is off at most, as a share of its row's largest magnitude: half a step.
inline constexpr double kRowError = 0.5 / 127;

} // namespace ciuic::kernels
