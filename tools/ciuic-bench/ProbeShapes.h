// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The products that a GPU is measured with, as the kernels and their caller both list them: those
// of a language model's blocks.
#pragma once

#include <cstdint>

namespace ciuic::bench {

/// Activations, weights, rows: matrix-vector products of kProbeK × kProbeN.
#define CIUIC_PROBE_GEMV(X)                                                                        \
  X(f16, f16, 1)                                                                                   \
  X(f16, f16, 4)                                                                                   \
  X(f16, f16, 16)                                                                                  \
  X(f16, int8, 1)                                                                                  \
  X(f16, int8, 4)                                                                                  \
  X(f16, int8, 16)                                                                                 \
  X(f16, int4g128, 1)                                                                              \
  X(f16, int4g128, 4)                                                                              \
  X(f16, int4g128, 16)                                                                             \
  X(f32, f32, 1)                                                                                   \
  X(f32, f32, 4)                                                                                   \
  X(f32, f32, 16)

/// Activations and weights: quantised products of any number of rows.
#define CIUIC_PROBE_MATMUL(X)                                                                      \
  X(f16, int8)                                                                                     \
  X(f16, int4g128)

inline constexpr int64_t kProbeK = 4096, kProbeN = 11008;
/// Attention of a prompt.
inline constexpr int64_t kProbeHeads = 32, kProbeWidth = 128, kProbeTokens = 2048;
/// Repetitions of the arithmetic that one element goes through.
inline constexpr int kProbeRepeats = 64;
/// Those of x · sigmoid(x) as the compiler counts them: negate, exponential, add, divide, multiply.
inline constexpr int kProbeOperations = 5;

} // namespace ciuic::bench
