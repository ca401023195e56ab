// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The slow twin of attention: scores of a row in float64, softmax by its definition.
#pragma once
#include "kernels/host/Abi.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <vector>

namespace ciuic::kernels::reference {

// out[batch][head][query][value width], dense, from the kernel's own arguments.
inline std::vector<double> attention(const int64_t *a, const float *q, const float *k,
                                     const float *v, const float *mask) {
  const float scale = std::bit_cast<float>(static_cast<int32_t>(a[kAttnScale]));
  const int64_t queries = a[kAttnQueries], keys = a[kAttnKeys];
  std::vector<double> out;
  for (int64_t b = 0; b < a[kAttnBatch]; ++b) {
    for (int64_t h = 0; h < a[kAttnHeads]; ++h) {
      const int64_t kv = h / (a[kAttnHeads] / a[kAttnKvHeads]);
      for (int64_t i = 0; i < queries; ++i) {
        std::vector<double> score(static_cast<std::size_t>(keys), -INFINITY);
        double largest = -INFINITY, sum = 0;
        for (int64_t j = 0; j < keys; ++j) {
          if (a[kAttnCausal] && j > i + keys - queries) {
            continue;
          }
          double s = 0;
          for (int64_t c = 0; c < a[kAttnWidth]; ++c) {
            s += static_cast<double>(
                     q[b * a[kAttnQBatch] + h * a[kAttnQHead] + i * a[kAttnQSeq] + c]) *
                 k[b * a[kAttnKBatch] + kv * a[kAttnKHead] + j * a[kAttnKSeq] + c];
          }
          s *= scale;
          if (mask) {
            s += mask[b * a[kAttnMaskBatch] + h * a[kAttnMaskHead] + i * a[kAttnMaskQuery] +
                      j * a[kAttnMaskKey]];
          }
          score[static_cast<std::size_t>(j)] = s;
          largest = s > largest ? s : largest;
        }
        for (double &s : score) {
          s = std::exp(s - largest);
          sum += s;
        }
        for (int64_t c = 0; c < a[kAttnValueWidth]; ++c) {
          double o = 0;
          for (int64_t j = 0; j < keys; ++j) {
            const double p = score[static_cast<std::size_t>(j)];
            if (p != 0) {
              o += p / sum * v[b * a[kAttnVBatch] + kv * a[kAttnVHead] + j * a[kAttnVSeq] + c];
            }
          }
          out.push_back(o);
        }
      }
    }
  }
  return out;
}

} // namespace ciuic::kernels::reference
