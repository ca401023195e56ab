// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The slow twin of matmul: plain loops, float64 sums, unpacked weights.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ciuic::kernels::reference {

// C[M, N] = A[M, K] (row stride lda) × B[K, N] (row-major).
inline std::vector<double> matmul(int64_t M, int64_t N, int64_t K, const float *a, int64_t lda,
                                  const float *b) {
  std::vector<double> c(static_cast<std::size_t>(M * N));
  for (int64_t m = 0; m < M; ++m) {
    for (int64_t k = 0; k < K; ++k) {
      const double x = a[m * lda + k];
      for (int64_t n = 0; n < N; ++n) {
        c[static_cast<std::size_t>(m * N + n)] += x * b[k * N + n];
      }
    }
  }
  return c;
}

} // namespace ciuic::kernels::reference
