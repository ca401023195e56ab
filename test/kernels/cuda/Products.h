// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the product tests' kernels take: a call of a library function, by value. Shared by host and
// device.
#pragma once
#include <cstdint>

struct ProductCall {
  int64_t args[8]; // MatmulArg, GemvArg
  char *ptrs[5];   // A, W, the norm's scales or the workspace, results f32 [M][ldc], how often each
                   // was handed over, u32 [M][ldc]
  int64_t dims[1]; // ldc
  int64_t params[2]; // first and end panel
};

// Every function of the families: the types of A and W.
#define CIUIC_GEMV_FUNCTIONS(X)                                                                    \
  X(f16, f16)                                                                                      \
  X(f16, int8)                                                                                     \
  X(f16, int4g32)                                                                                  \
  X(f16, int4g64)                                                                                  \
  X(f16, int4g128)                                                                                 \
  X(bf16, bf16)                                                                                    \
  X(bf16, int8)                                                                                    \
  X(bf16, int4g32)                                                                                 \
  X(bf16, int4g64)                                                                                 \
  X(bf16, int4g128)                                                                                \
  X(f32, bf16)                                                                                     \
  X(f32, int8)                                                                                     \
  X(f32, int4g32)                                                                                  \
  X(f32, int4g64)                                                                                  \
  X(f32, int4g128)                                                                                 \
  X(f32, f32)                                                                                      \
  X(f32, f16)                                                                                      \
  X(f16, f32)                                                                                      \
  X(f16, bf16)                                                                                     \
  X(bf16, f32)                                                                                     \
  X(bf16, f16)
#define CIUIC_MATMUL_FUNCTIONS(X)                                                                  \
  X(f16, int8)                                                                                     \
  X(f16, int4g32)                                                                                  \
  X(f16, int4g64)                                                                                  \
  X(f16, int4g128)                                                                                 \
  X(bf16, int8)                                                                                    \
  X(bf16, int4g32)                                                                                 \
  X(bf16, int4g64)                                                                                 \
  X(bf16, int4g128)                                                                                \
  X(f32, int8)                                                                                     \
  X(f32, int4g32)                                                                                  \
  X(f32, int4g64)                                                                                  \
  X(f32, int4g128)
