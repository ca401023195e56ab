// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The products that are timed: activations, weight, M, K, N.
#pragma once

#define CIUIC_TIMED_GEMV(X)                                                                        \
  X(f16, int4g128, 1, 4096, 4096)                                                                  \
  X(f16, int4g128, 1, 4096, 12288)                                                                 \
  X(f16, int4g128, 1, 4096, 22016)                                                                 \
  X(f16, int4g128, 1, 11008, 4096)                                                                 \
  X(f16, int4g32, 1, 4096, 22016)                                                                  \
  X(f16, int8, 1, 4096, 4096)                                                                      \
  X(f16, int8, 1, 4096, 22016)                                                                     \
  X(f16, f16, 1, 4096, 4096)                                                                       \
  X(f16, f16, 1, 4096, 22016)                                                                      \
  X(f16, f16, 1, 11008, 4096)                                                                      \
  X(f32, int4g64, 1, 4096, 22016)                                                                  \
  X(f16, int4g128, 8, 4096, 22016)                                                                 \
  X(f16, int4g128, 16, 4096, 22016)                                                                \
  X(f32, f32, 1, 4096, 12288)                                                                      \
  X(f32, f32, 1, 4096, 22016)                                                                      \
  X(f32, f32, 1, 576, 3072)

// Behind a norm; with 1 as pairs: activations, weight, M, K, N, pairs.
#define CIUIC_TIMED_FUSED(X)                                                                       \
  X(f16, int4g128, 1, 4096, 12288, 0)                                                              \
  X(f16, int4g128, 1, 4096, 22016, 1)                                                              \
  X(f16, f16, 1, 4096, 12288, 0)                                                                   \
  X(f16, f16, 1, 4096, 22016, 1)                                                                   \
  X(f32, f32, 1, 4096, 12288, 0)                                                                   \
  X(f32, f32, 1, 4096, 22016, 1)                                                                   \
  X(f32, f32, 1, 576, 3072, 1)

// Quantised products of many rows: activations, weight, K, N.
#define CIUIC_TIMED_MATMUL(X)                                                                      \
  X(f16, int4g128, 4096, 4096)                                                                     \
  X(f16, int4g128, 4096, 22016)                                                                    \
  X(f16, int4g128, 11008, 4096)                                                                    \
  X(f16, int4g64, 4096, 4096)                                                                      \
  X(f16, int4g32, 4096, 4096)                                                                      \
  X(bf16, int4g128, 4096, 4096)                                                                    \
  X(f16, int8, 4096, 4096)                                                                         \
  X(bf16, int8, 4096, 4096)
