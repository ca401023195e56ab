// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The slow twins of convolution (by its definition), transposed convolution (by scattering, where
// the kernel gathers) and pooling. Filters as ONNX stores them; activations channels last.
#pragma once
#include "kernels/host/Abi.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace ciuic::kernels::reference {

// filter [OC, C / groups, KH, KW].
inline std::vector<double> conv(const int64_t *a, const float *input, const float *filter) {
  const int64_t OH = a[kConvOutH], OW = a[kConvOutW], OC = a[kConvOutC], C = a[kConvInC];
  const int64_t perGroup = C / a[kConvGroups], outPerGroup = OC / a[kConvGroups];
  std::vector<double> out(static_cast<std::size_t>(a[kConvBatch] * OH * OW * OC));
  for (int64_t i = 0; i < static_cast<int64_t>(out.size()); ++i) {
    const int64_t o = i % OC, x = i / OC % OW, y = i / OC / OW % OH, n = i / OC / OW / OH;
    double sum = 0;
    for (int64_t c = 0; c < perGroup; ++c) {
      for (int64_t ky = 0; ky < a[kConvKernelH]; ++ky) {
        for (int64_t kx = 0; kx < a[kConvKernelW]; ++kx) {
          const int64_t iy = y * a[kConvStrideH] - a[kConvPadTop] + ky * a[kConvDilationH];
          const int64_t ix = x * a[kConvStrideW] - a[kConvPadLeft] + kx * a[kConvDilationW];
          if (iy < 0 || iy >= a[kConvInH] || ix < 0 || ix >= a[kConvInW]) {
            continue;
          }
          const int64_t channel = o / outPerGroup * perGroup + c;
          sum += static_cast<double>(
                     input[((n * a[kConvInH] + iy) * a[kConvInW] + ix) * C + channel]) *
                 filter[((o * perGroup + c) * a[kConvKernelH] + ky) * a[kConvKernelW] + kx];
        }
      }
    }
    out[static_cast<std::size_t>(i)] = sum;
  }
  return out;
}

// filter [C, OC / groups, KH, KW].
inline std::vector<double> convTranspose(const int64_t *a, const float *input,
                                         const float *filter) {
  const int64_t OH = a[kConvOutH], OW = a[kConvOutW], OC = a[kConvOutC], C = a[kConvInC];
  const int64_t perGroup = C / a[kConvGroups], outPerGroup = OC / a[kConvGroups];
  std::vector<double> out(static_cast<std::size_t>(a[kConvBatch] * OH * OW * OC));
  for (int64_t n = 0; n < a[kConvBatch]; ++n) {
    for (int64_t iy = 0; iy < a[kConvInH]; ++iy) {
      for (int64_t ix = 0; ix < a[kConvInW]; ++ix) {
        for (int64_t c = 0; c < C; ++c) {
          const double v = input[((n * a[kConvInH] + iy) * a[kConvInW] + ix) * C + c];
          for (int64_t o = 0; o < outPerGroup; ++o) {
            for (int64_t ky = 0; ky < a[kConvKernelH]; ++ky) {
              for (int64_t kx = 0; kx < a[kConvKernelW]; ++kx) {
                const int64_t y = iy * a[kConvStrideH] - a[kConvPadTop] + ky * a[kConvDilationH];
                const int64_t x = ix * a[kConvStrideW] - a[kConvPadLeft] + kx * a[kConvDilationW];
                if (y < 0 || y >= OH || x < 0 || x >= OW) {
                  continue;
                }
                const int64_t column = c / perGroup * outPerGroup + o;
                out[static_cast<std::size_t>(((n * OH + y) * OW + x) * OC + column)] +=
                    v *
                    filter[((c * outPerGroup + o) * a[kConvKernelH] + ky) * a[kConvKernelW] + kx];
              }
            }
          }
        }
      }
    }
  }
  return out;
}

inline std::vector<double> pool(const int64_t *a, const float *input) {
  const int64_t OH = a[kPoolOutH], OW = a[kPoolOutW], C = a[kPoolC];
  std::vector<double> out(static_cast<std::size_t>(a[kPoolBatch] * OH * OW * C));
  for (int64_t i = 0; i < static_cast<int64_t>(out.size()); ++i) {
    const int64_t c = i % C, x = i / C % OW, y = i / C / OW % OH, n = i / C / OW / OH;
    double sum = 0, largest = -INFINITY;
    int64_t inInput = 0, inPadded = 0;
    for (int64_t ky = 0; ky < a[kPoolKernelH]; ++ky) {
      for (int64_t kx = 0; kx < a[kPoolKernelW]; ++kx) {
        const int64_t iy = y * a[kPoolStrideH] - a[kPoolPadTop] + ky * a[kPoolDilationH];
        const int64_t ix = x * a[kPoolStrideW] - a[kPoolPadLeft] + kx * a[kPoolDilationW];
        inPadded += iy < a[kPoolInH] + a[kPoolPadBottom] && ix < a[kPoolInW] + a[kPoolPadRight];
        if (iy < 0 || iy >= a[kPoolInH] || ix < 0 || ix >= a[kPoolInW]) {
          continue;
        }
        const double v = input[((n * a[kPoolInH] + iy) * a[kPoolInW] + ix) * C + c];
        ++inInput;
        sum += v;
        largest = std::max(largest, v);
      }
    }
    const int64_t counted = a[kPoolCountPadding] ? inPadded : inInput;
    out[static_cast<std::size_t>(i)] = a[kPoolMax] ? largest : sum / static_cast<double>(counted);
  }
  return out;
}

} // namespace ciuic::kernels::reference
