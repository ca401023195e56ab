// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Both variants are linked under prefixed names (CMakeLists.txt).
#include "tools/ciuic-bench/Variants.h"

#define CIUIC_DECLARE(NAME)                                                                        \
  void v3_##NAME(const int64_t *, ciuic_epilogue, char *const *, const int64_t *, const int64_t *, \
                 int64_t, int64_t, char *);                                                        \
  void v4_##NAME(const int64_t *, ciuic_epilogue, char *const *, const int64_t *, const int64_t *, \
                 int64_t, int64_t, char *);
extern "C" {
CIUIC_HOST_KERNELS(CIUIC_DECLARE)
}
#undef CIUIC_DECLARE

namespace ciuic::bench {

const HostKernels *hostKernels() {
#define CIUIC_VARIANT(V)                                                                           \
  {                                                                                                \
    "x86-64-" #V, V##_ciuic_matmul_f32, V##_ciuic_matmul_f16, V##_ciuic_matmul_bf16,               \
        V##_ciuic_matmul_int8, V##_ciuic_matmul_int4g64, V##_ciuic_matmul_int4g64_rounded,         \
        V##_ciuic_conv, V##_ciuic_attention                                                        \
  }
  static const HostKernels v3 = CIUIC_VARIANT(v3), v4 = CIUIC_VARIANT(v4);
#undef CIUIC_VARIANT
  if (__builtin_cpu_supports("x86-64-v4")) {
    return &v4;
  }
  return __builtin_cpu_supports("x86-64-v3") ? &v3 : nullptr;
}

} // namespace ciuic::bench
