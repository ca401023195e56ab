// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Hands a finished block to the epilogue, or stores it where there is none.
#pragma once
#include "kernels/host/Abi.h"
#include "kernels/host/Vector.h"

namespace ciuic::kernels {

struct Block {
  const float *acc;
  int64_t ld, row, rows, col, cols;
};

CIUIC_INLINE void finish(const Block &b, ciuic_epilogue epilogue, char *const *ptrs,
                         const int64_t *dims, int64_t firstFree, int64_t ldc) {
  if (b.rows <= 0 || b.cols <= 0) {
    return;
  }
  if (epilogue) {
    epilogue(b.acc, b.ld, b.row, b.rows, b.col, b.cols, ptrs, dims);
    return;
  }
  float *out = reinterpret_cast<float *>(ptrs[firstFree]) + b.row * ldc + b.col;
  for (int64_t r = 0; r < b.rows; ++r) {
    const float *from = b.acc + r * b.ld;
    float *to = out + r * ldc;
    int64_t c = 0;
    for (; c + 16 <= b.cols; c += 16) {
      store(to + c, load(from + c));
    }
    for (; c < b.cols; ++c) {
      to[c] = from[c];
    }
  }
}

} // namespace ciuic::kernels
