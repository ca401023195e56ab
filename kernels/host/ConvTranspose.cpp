// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Transposed convolution by gathering: an output pixel (y, x) takes input (iy, ix) through tap (ky,
// kx) where y + pad − ky·dilation = iy·stride, likewise for x. The pixels of one row with the same
// remainder of x by the stride take the same taps from neighbouring input pixels, so they are rows
// of a matmul, `stride` rows apart in the sums.
#include "kernels/host/Epilogue.h"
#include "kernels/host/Microkernel.h"

using namespace ciuic::kernels;

namespace {
constexpr int64_t kLd = kConvPanels * kPanel;
int64_t floorDiv(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }
} // namespace

extern "C" void ciuic_conv_transpose(const int64_t *args, ciuic_epilogue epilogue,
                                     char *const *ptrs, const int64_t *dims, const int64_t *params,
                                     int64_t begin, int64_t end, char *scratch) {
  const int64_t H = args[kConvInH], W = args[kConvInW], OH = args[kConvOutH], OW = args[kConvOutW];
  const int64_t groups = args[kConvGroups], kernelH = args[kConvKernelH],
                kernelW = args[kConvKernelW];
  const int64_t channels = args[kConvInC] / groups, columns = args[kConvOutC] / groups;
  const int64_t K = kernelH * kernelW * channels, perGroup = ceilDiv(columns, kPanel);
  const int64_t perUnit = groups == 1 ? kConvPanels : 1, colBlocks = ceilDiv(OW, kConvPixels);
  const int64_t strideH = args[kConvStrideH], strideW = args[kConvStrideW];
  const int64_t first = params[0], count = params[1] - params[0];
  float *acc = reinterpret_cast<float *>(scratch);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t x0 = unit % colBlocks * kConvPixels, y = unit / colBlocks % OH;
    const int64_t n = unit / colBlocks / OH % args[kConvBatch];
    const int64_t panel = unit / colBlocks / OH / args[kConvBatch] * perUnit;
    const int64_t panels = least(perUnit, count - panel), pixels = least(kConvPixels, OW - x0);
    const int64_t group = (first + panel) / perGroup, inGroup = (first + panel) % perGroup;
    const float *input =
        reinterpret_cast<const float *>(ptrs[0]) + n * H * W * args[kConvInC] + group * channels;
    const float *weights = reinterpret_cast<const float *>(ptrs[1]) + panel * K * kPanel;
    for (int64_t i = 0; i < pixels * kLd; i += kPanel) {
      store(acc + i, v16f{});
    }
    for (int64_t ky = 0; ky < kernelH; ++ky) {
      const int64_t sy = y + args[kConvPadTop] - ky * args[kConvDilationH];
      if (sy < 0 || sy % strideH != 0 || sy / strideH >= H) {
        continue;
      }
      for (int64_t kx = 0; kx < kernelW; ++kx) {
        // Pixels x = x0 + p + t·stride with ix = start + t inside the input.
        const int64_t sx = x0 + args[kConvPadLeft] - kx * args[kConvDilationW];
        const int64_t p = -sx - strideW * floorDiv(-sx, strideW);
        const int64_t start = (sx + p) / strideW, t0 = most(0, -start);
        const int64_t t1 = least(ceilDiv(most(0, pixels - p), strideW), W - start);
        if (t0 >= t1) {
          continue;
        }
        const float *a = input + (sy / strideH * W + start + t0) * args[kConvInC];
        multiplyBlock<false, true>(t1 - t0, panels,
                                   {a, args[kConvInC],
                                    weights + (ky * kernelW + kx) * channels * kPanel, K * kPanel,
                                    kPanel, channels},
                                   acc + (p + t0 * strideW) * kLd, kLd * strideW, false);
      }
    }
    finish({acc, kLd, (n * OH + y) * OW + x0, pixels, group * columns + inGroup * kPanel,
            least(panels * kPanel, columns - inGroup * kPanel)},
           epilogue, ptrs, dims, 2, args[kConvLdc]);
  }
}
