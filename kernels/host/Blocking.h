// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Block sizes that size scratch; none changes a bit of any result of a matmul.
#pragma once
#include <cstdint>

namespace ciuic::kernels {

// Values of k per block: two panels of them are 32 KiB, which the first-level cache keeps while
// rows pass by.
inline constexpr int64_t kDepthBlock = 256;
// Keys of attention per block.
inline constexpr int64_t kAttentionKeys = 64;

} // namespace ciuic::kernels
