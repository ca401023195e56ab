// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
#include <cstdint>

namespace ciuic::bench {

/// The operations that the compiler counts for x · sigmoid(x): negate, exponential, add, divide,
/// multiply, and the store.
inline constexpr int kSiluOperations = 6;

/// y = x · sigmoid(x) over whole vectors of sixteen.
void silu(const float *x, float *y, int64_t count);

} // namespace ciuic::bench
