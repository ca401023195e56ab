// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Elements of arrays by dtype: random ones, and as double for comparisons.
#pragma once

#include "ciuic/ciuic.h"

#include <cstdint>
#include <vector>

namespace ciuic::run {

/// Floats in -1..1, integers and bools 0 or 1; the same on every machine.
void fillRandom(ciuic_dtype dtype, std::vector<char> &data, uint64_t seed);
/// Exact for all but the largest 64-bit integers.
double elementAsDouble(ciuic_dtype dtype, const char *element);

} // namespace ciuic::run
