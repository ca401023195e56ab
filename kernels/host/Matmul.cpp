// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// C = A × B with packed f32 weights. A unit is 48 rows by 4 panels (64 columns); its sums stay in
// scratch, 12 KiB, until k is exhausted. k goes in blocks small enough for the panels of a tile to
// stay in the first-level cache. Moves 4·K·N bytes of weights once per 48 rows; with one row it
// runs at the rate of a plain read.
#include "kernels/host/Blocking.h"
#include "kernels/host/Epilogue.h"
#include "kernels/host/Microkernel.h"

using namespace ciuic::kernels;

namespace {
constexpr int64_t kLd = kMatmulPanels * kPanel;
} // namespace

extern "C" void ciuic_matmul_f32(const int64_t *args, ciuic_epilogue epilogue, char *const *ptrs,
                                 const int64_t *dims, const int64_t *params, int64_t begin,
                                 int64_t end, char *scratch) {
  const int64_t M = args[kMatmulM], N = args[kMatmulN], K = args[kMatmulK], lda = args[kMatmulLda];
  const float *A = reinterpret_cast<const float *>(ptrs[0]);
  const float *B = reinterpret_cast<const float *>(ptrs[1]);
  const int64_t first = params[0], count = params[1] - params[0];
  const int64_t rowBlocks = ceilDiv(M, kMatmulRows);
  float *acc = reinterpret_cast<float *>(scratch);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t row = unit % rowBlocks * kMatmulRows, panel = unit / rowBlocks * kMatmulPanels;
    const int64_t rows = least(kMatmulRows, M - row), panels = least(kMatmulPanels, count - panel);
    // One row streams its weights: no block of k, or the streams restart at each.
    const int64_t depth = rows <= 3 ? most(K, 1) : kDepthBlock;
    for (int64_t k = 0; k == 0 || k < K; k += depth) {
      TileInput in = {A + row * lda + k, lda,    B + panel * K * kPanel + k * kPanel,
                      K * kPanel,        kPanel, least(depth, K - k)};
      multiplyBlock<false, true>(rows, panels, in, acc, kLd, k == 0);
    }
    const int64_t col = (first + panel) * kPanel;
    finish({acc, kLd, row, rows, col, least(panels * kPanel, N - col)}, epilogue, ptrs, dims, 2,
           args[kMatmulLdc]);
  }
}
