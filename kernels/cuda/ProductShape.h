// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Tiles of the products that share Product.h (batch matmul, convolutions), as device code and
// launches see them.
#pragma once
#include <stdint.h>

namespace ciuic::kernels {

inline constexpr int kProductThreads = 128;
/// A tile's row in shared memory: eight 16-byte chunks of depth. Tiles begin at multiples of 1024
/// bytes.
inline constexpr int kProductChunks = 8, kProductRowBytes = 128, kProductStages = 3;
inline constexpr int kProductSmall = 64, kProductLarge = 128;

/// Side of a product's tiles: large ones where they occupy a large chip. It decides no bits: every
/// result sums its depth in the same order.
constexpr int productTile(int64_t batches, int64_t rows, int64_t columns, int64_t elementBytes) {
  const int64_t tiles = batches * ((rows + kProductLarge - 1) / kProductLarge) *
                        ((columns + kProductLarge - 1) / kProductLarge);
  return elementBytes == 2 && tiles >= 128 ? kProductLarge : kProductSmall;
}
constexpr int64_t productShared(int tile) {
  return int64_t(kProductStages) * 2 * tile * kProductRowBytes + 1024;
}

} // namespace ciuic::kernels
