// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products of two activations. A unit is 48 rows by 64 columns of one batch; it copies its block of
// B into panels in scratch (64 KiB), transposing where k is contiguous, and multiplies as with
// packed weights. Few rows read B where it lies if its columns are contiguous: the copy would cost
// as much as the product.
#include "kernels/host/Blocking.h"
#include "kernels/host/Epilogue.h"
#include "kernels/host/Microkernel.h"
#include "kernels/host/Transpose.h"

using namespace ciuic::kernels;

namespace {

constexpr int64_t kLd = kMatmulPanels * kPanel;

// depth × cols of B at `b` to panels of sixteen columns, each depth × 16; zeros in the columns
// beyond.
void packBlock(const float *b, int64_t kStride, int64_t colStride, int64_t depth, int64_t cols,
               float *out) {
  for (int64_t col = 0; col < cols; col += kPanel, out += depth * kPanel) {
    const int64_t width = least(kPanel, cols - col);
    const float *from = b + col * colStride;
    int64_t k = 0;
    if (colStride == 1 && width == kPanel) {
      for (; k < depth; ++k) {
        store(out + k * kPanel, load(from + k * kStride));
      }
    } else if (kStride == 1 && width == kPanel) {
      for (; k + kPanel <= depth; k += kPanel) {
        v16f tile[16];
#pragma unroll
        for (int i = 0; i < 16; ++i) {
          tile[i] = load(from + i * colStride + k);
        }
        transpose(tile);
#pragma unroll
        for (int i = 0; i < 16; ++i) {
          store(out + (k + i) * kPanel, tile[i]);
        }
      }
    }
    for (; k < depth; ++k) {
      for (int64_t c = 0; c < kPanel; ++c) {
        out[k * kPanel + c] = c < width ? from[k * kStride + c * colStride] : 0.0f;
      }
    }
  }
}

} // namespace

extern "C" void ciuic_batch_matmul(const int64_t *args, ciuic_epilogue epilogue, char *const *ptrs,
                                   const int64_t *dims, const int64_t *, int64_t begin, int64_t end,
                                   char *scratch) {
  const int64_t M = args[kBatchM], N = args[kBatchN], K = args[kBatchK];
  const int64_t rowBlocks = ceilDiv(M, kMatmulRows), colBlocks = ceilDiv(N, kLd);
  float *acc = reinterpret_cast<float *>(scratch), *packed = acc + kMatmulRows * kLd;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t row = unit % rowBlocks * kMatmulRows, col = unit / rowBlocks % colBlocks * kLd;
    const int64_t batch = unit / rowBlocks / colBlocks;
    const int64_t i2 = batch % args[kBatchB2], i1 = batch / args[kBatchB2] % args[kBatchB1];
    const int64_t i0 = batch / args[kBatchB2] / args[kBatchB1];
    const float *a = reinterpret_cast<const float *>(ptrs[0]) + i0 * args[kBatchA0] +
                     i1 * args[kBatchA1] + i2 * args[kBatchA2] + row * args[kBatchARow];
    const float *b = reinterpret_cast<const float *>(ptrs[1]) + i0 * args[kBatchW0] +
                     i1 * args[kBatchW1] + i2 * args[kBatchW2] + col * args[kBatchWCol];
    const int64_t rows = least(kMatmulRows, M - row), cols = least(kLd, N - col);
    const int64_t panels = ceilDiv(cols, kPanel);
    const bool inPlace = rows < 8 && args[kBatchWCol] == 1 && cols % kPanel == 0;
    for (int64_t k = 0; k == 0 || k < K; k += kDepthBlock) {
      const int64_t depth = least(kDepthBlock, K - k);
      TileInput in = {a + k * args[kBatchAK], args[kBatchARow], packed,
                      depth * kPanel,         kPanel,           depth};
      if (inPlace) {
        in.b = b + k * args[kBatchWK];
        in.panelStride = kPanel;
        in.bStride = args[kBatchWK];
      } else {
        packBlock(b + k * args[kBatchWK], args[kBatchWK], args[kBatchWCol], depth, cols, packed);
      }
      if (args[kBatchAK] == 1) {
        multiplyBlock<false, false>(rows, panels, in, acc, kLd, k == 0);
      } else {
        in.rowStride = args[kBatchAK];
        multiplyBlock<true, false>(rows, panels, in, acc, kLd, k == 0);
      }
    }
    finish({acc, kLd, batch * M + row, rows, col, cols}, epilogue, ptrs, dims, 2, args[kBatchLdc]);
  }
}
