// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products of two activations, any strides. An operand whose depth lies together is copied in rows
// of depth, a 16-bit one whose rows (columns) lie together in rows of these, both by 16 bytes where
// addresses allow; the rest element by element. Reads each operand once per tile of the other.
#include "kernels/cuda/Product.h"

using namespace ciuic::cuda;

namespace {

template <typename T, int Tile, bool DeepA, bool DeepB>
CIUIC_DEVICE void multiplyTiles(const int64_t *args, char *const *ptrs, const int64_t *dims,
                                bool vectorsA, bool vectorsB) {
  const int64_t M = args[kBatchM], N = args[kBatchN], K = args[kBatchK];
  const int64_t rowTiles = ceilDiv(M, Tile), columnTiles = ceilDiv(N, Tile);
  const int64_t units = args[kBatchB0] * args[kBatchB1] * args[kBatchB2] * rowTiles * columnTiles;
#pragma unroll 1
  for (int64_t unit = blockIndex(); unit < units; unit += blockCount()) {
    const int64_t row = unit % rowTiles * Tile, column = unit / rowTiles % columnTiles * Tile;
    const int64_t batch = unit / rowTiles / columnTiles;
    const int64_t i2 = batch % args[kBatchB2], i1 = batch / args[kBatchB2] % args[kBatchB1];
    const int64_t i0 = batch / args[kBatchB2] / args[kBatchB1];
    const T *a = reinterpret_cast<const T *>(ptrs[0]) + i0 * args[kBatchA0] + i1 * args[kBatchA1] +
                 i2 * args[kBatchA2] + row * args[kBatchARow];
    const T *b = reinterpret_cast<const T *>(ptrs[1]) + i0 * args[kBatchW0] + i1 * args[kBatchW1] +
                 i2 * args[kBatchW2] + column * args[kBatchWCol];
    const int rows = static_cast<int>(least(int64_t(Tile), M - row));
    const int columns = static_cast<int>(least(int64_t(Tile), N - column));
    const int depth = static_cast<int>(K);
    const StridedTile<T, Tile, DeepA> tileA = {a,     args[kBatchARow], args[kBatchAK], rows,
                                               depth, vectorsA};
    const StridedTile<T, Tile, DeepB> tileB = {b,     args[kBatchWCol], args[kBatchWK], columns,
                                               depth, vectorsB};
    const int64_t first = batch * M + row;
    auto rowOf = [&](int r) CIUIC_INLINED { return r < rows ? first + r : int64_t(-1); };
    const Destination<decltype(rowOf)> to = {rowOf, 0, columns, column, ptrs, dims};
    TileProduct<T, Tile>::run(tileA, tileB, (depth + kStep<T> - 1) / kStep<T>, to);
  }
}

/// How an operand lies: chunks along the depth, along the rows, or neither.
enum class Lies { deep, wide, scattered };

template <typename T>
CIUIC_DEVICE Lies liesHow(const char *base, const int64_t *batches, int64_t row, int64_t depth) {
  const int64_t step = kChunk<T>;
  const bool whole =
      isAligned(base) && batches[0] % step == 0 && batches[1] % step == 0 && batches[2] % step == 0;
  return whole && depth == 1 && row % step == 0                     ? Lies::deep
         : whole && sizeof(T) == 2 && row == 1 && depth % step == 0 ? Lies::wide
                                                                    : Lies::scattered;
}

template <typename T, int Tile>
CIUIC_DEVICE void multiplyLying(const int64_t *args, char *const *ptrs, const int64_t *dims) {
  const Lies a = liesHow<T>(ptrs[0], args + kBatchA0, args[kBatchARow], args[kBatchAK]);
  const Lies b = liesHow<T>(ptrs[1], args + kBatchW0, args[kBatchWCol], args[kBatchWK]);
  if constexpr (sizeof(T) == 2) {
    if (a == Lies::wide && b == Lies::wide) {
      return multiplyTiles<T, Tile, false, false>(args, ptrs, dims, true, true);
    }
    if (a == Lies::wide) {
      return multiplyTiles<T, Tile, false, true>(args, ptrs, dims, true, b == Lies::deep);
    }
    if (b == Lies::wide) {
      return multiplyTiles<T, Tile, true, false>(args, ptrs, dims, a == Lies::deep, true);
    }
  }
  multiplyTiles<T, Tile, true, true>(args, ptrs, dims, a == Lies::deep, b == Lies::deep);
}

template <typename T>
CIUIC_DEVICE void multiplyBatches(const int64_t *args, char *const *ptrs, const int64_t *dims) {
  const int64_t batches = args[kBatchB0] * args[kBatchB1] * args[kBatchB2];
  if (sizeof(T) == 2 &&
      productTile(batches, args[kBatchM], args[kBatchN], sizeof(T)) == kProductLarge) {
    multiplyLying<T, sizeof(T) == 2 ? kProductLarge : kProductSmall>(args, ptrs, dims);
  } else {
    multiplyLying<T, kProductSmall>(args, ptrs, dims);
  }
}

} // namespace

CIUIC_LIBRARY(ciuic_cuda_batch_matmul_f32) { multiplyBatches<float>(args, ptrs, dims); }
CIUIC_LIBRARY(ciuic_cuda_batch_matmul_f16) { multiplyBatches<Half>(args, ptrs, dims); }
CIUIC_LIBRARY(ciuic_cuda_batch_matmul_bf16) { multiplyBatches<BFloat>(args, ptrs, dims); }
