// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the test kernels of attention, products and windows take: a call of a library function, by
// value. Shared by host and device.
#pragma once
#include <cstdint>

struct TestCall {
  int64_t args[32];
  char *ptrs[8];     // the function's own; at 6 how often each result was handed over, u32; at 7
                     // the results, f32
  int64_t dims[2];   // columns and number of results
  int64_t params[2]; // first and end panel
};

// Families of functions and the types they come in.
#define CIUIC_TEST_TYPES(X, family) X(family, f32) X(family, f16) X(family, bf16)
#define CIUIC_TEST_WINDOWS(X)                                                                      \
  CIUIC_TEST_TYPES(X, conv)                                                                        \
  CIUIC_TEST_TYPES(X, conv_transpose)                                                              \
  CIUIC_TEST_TYPES(X, conv_depthwise)                                                              \
  CIUIC_TEST_TYPES(X, pool)                                                                        \
  CIUIC_TEST_TYPES(X, batch_matmul)
#define CIUIC_TEST_GATHERS(X)                                                                      \
  X(gather, f32)                                                                                   \
  X(gather, f16)                                                                                   \
  X(gather, bf16) X(gather, int8) X(gather, int4g32) X(gather, int4g64) X(gather, int4g128)
#define CIUIC_TEST_ATTENTION(X) CIUIC_TEST_TYPES(X, attention) CIUIC_TEST_TYPES(X, decode_attention)
