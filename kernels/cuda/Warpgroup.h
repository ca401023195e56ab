// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products of a warpgroup, four warps at once (wgmma, compute capability 9.0 exactly: the target
// must be sm_90a). Operands in shared memory are described by 64 bits (PTX ISA, "Matrix descriptor
// format"): here always runs of 128-byte lines, eight of which are permuted by chunk ^ (line & 7),
// and which begin at multiples of 1024 bytes. The sums of 64 rows lie as those of mma.m16n8k16:
// warp i has rows 16·i to 16·i + 15.
#pragma once
#include "kernels/cuda/Tile.h"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define CIUIC_HAS_WARPGROUPS 1

namespace ciuic::cuda {

/// Makes this thread's writes to shared memory visible to wgmma; a barrier follows.
CIUIC_DEVICE void publishShared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
CIUIC_DEVICE void beginProducts() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
CIUIC_DEVICE void commitProducts() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int Newer>
CIUIC_DEVICE void awaitProducts() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Newer) : "memory");
}

/// Values of a product that was waited for: nothing made of them moves before this.
template <int N>
CIUIC_DEVICE void arrived(float (&sum)[N][4]) {
#pragma unroll
  for (int i = 0; i < N; ++i) {
    asm volatile("" : "+f"(sum[i][0]), "+f"(sum[i][1]), "+f"(sum[i][2]), "+f"(sum[i][3])::"memory");
  }
}

/// Values that a product reads from registers: they are there before it begins.
template <int N>
CIUIC_DEVICE void departing(uint32_t (&a)[N][4]) {
#pragma unroll
  for (int i = 0; i < N; ++i) {
    asm volatile("" : "+r"(a[i][0]), "+r"(a[i][1]), "+r"(a[i][2]), "+r"(a[i][3])::"memory");
  }
}

/// Of lines from `address` on. Where lines hold the depth (eight rows or columns a kilobyte),
/// `across` is unused; where they hold columns, the next 64 columns are `across` bytes further.
CIUIC_DEVICE uint64_t describeLines(uint32_t address, uint32_t across) {
  return static_cast<uint64_t>((address & 0x3ffff) >> 4) |
         static_cast<uint64_t>((across & 0x3ffff) >> 4) << 16 | uint64_t(1024 >> 4) << 32 |
         uint64_t(1) << 62;
}

#define CIUIC_FOUR(a, i) "+f"(a[i][0]), "+f"(a[i][1]), "+f"(a[i][2]), "+f"(a[i][3])
#define CIUIC_SIXTEEN(a, i)                                                                        \
  CIUIC_FOUR(a, i), CIUIC_FOUR(a, i + 1), CIUIC_FOUR(a, i + 2), CIUIC_FOUR(a, i + 3)

// The forms of a warpgroup's product, for a half type and its name in PTX.
#define CIUIC_MULTIPLY_LINES(TYPE, NAME)                                                           \
  /* sum[64][64] (+)= a[64][16] · b[16][64], both described, depth in the lines. */                \
  CIUIC_DEVICE void multiplyLines(float (&sum)[8][4], uint64_t a, uint64_t b, int add, TYPE) {     \
    asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %34, 0;\n\t"                                \
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32." NAME "." NAME " "                   \
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "         \
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, "     \
                 "%31}, "                                                                          \
                 "%32, %33, p, 1, 1, 0, 0;\n\t}"                                                   \
                 : CIUIC_SIXTEEN(sum, 0), CIUIC_SIXTEEN(sum, 4)                                    \
                 : "l"(a), "l"(b), "r"(add));                                                      \
  }                                                                                                \
  /* sum[64][64] += a[64][16] · b[16][64], b described, columns in the lines. */                   \
  CIUIC_DEVICE void multiplyLines(float (&sum)[8][4], const uint32_t (&a)[4], uint64_t b, TYPE) {  \
    asm volatile("{\n\t.reg .pred p;\n\tsetp.eq.b32 p, 0, 0;\n\t"                                  \
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32." NAME "." NAME " "                   \
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "         \
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, "     \
                 "%31}, "                                                                          \
                 "{%32, %33, %34, %35}, %36, p, 1, 1, 1;\n\t}"                                     \
                 : CIUIC_SIXTEEN(sum, 0), CIUIC_SIXTEEN(sum, 4)                                    \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                            \
  }                                                                                                \
  /* sum[64][128] += a[64][16] · b[16][128], b described, columns in the lines. */                 \
  CIUIC_DEVICE void multiplyLines(float (&sum)[16][4], const uint32_t (&a)[4], uint64_t b, TYPE) { \
    asm volatile("{\n\t.reg .pred p;\n\tsetp.eq.b32 p, 0, 0;\n\t"                                  \
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32." NAME "." NAME " "                  \
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "         \
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, "     \
                 "%31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, "     \
                 "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, "     \
                 "%61, %62, %63}, "                                                                \
                 "{%64, %65, %66, %67}, %68, p, 1, 1, 1;\n\t}"                                     \
                 : CIUIC_SIXTEEN(sum, 0), CIUIC_SIXTEEN(sum, 4), CIUIC_SIXTEEN(sum, 8),            \
                   CIUIC_SIXTEEN(sum, 12)                                                          \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                            \
  }                                                                                                \
  /* sum[64][8 N] (+)= a[64][16] · b[16][8 N], b described, depth in the lines; N = 2, 4, 8. */    \
  CIUIC_DEVICE void multiplyDeep(float (&sum)[2][4], const uint32_t (&a)[4], uint64_t b, int add,  \
                                 TYPE) {                                                           \
    asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %13, 0;\n\t"                                \
                 "wgmma.mma_async.sync.aligned.m64n16k16.f32." NAME "." NAME " "                   \
                 "{%0, %1, %2, %3, %4, %5, %6, %7}, {%8, %9, %10, %11}, %12, p, 1, 1, 0;\n\t}"     \
                 : CIUIC_FOUR(sum, 0), CIUIC_FOUR(sum, 1)                                          \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));                  \
  }                                                                                                \
  CIUIC_DEVICE void multiplyDeep(float (&sum)[4][4], const uint32_t (&a)[4], uint64_t b, int add,  \
                                 TYPE) {                                                           \
    asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %21, 0;\n\t"                                \
                 "wgmma.mma_async.sync.aligned.m64n32k16.f32." NAME "." NAME " "                   \
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, "        \
                 "{%16, %17, %18, %19}, %20, p, 1, 1, 0;\n\t}"                                     \
                 : CIUIC_SIXTEEN(sum, 0)                                                           \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));                  \
  }                                                                                                \
  CIUIC_DEVICE void multiplyDeep(float (&sum)[8][4], const uint32_t (&a)[4], uint64_t b, int add,  \
                                 TYPE) {                                                           \
    asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %37, 0;\n\t"                                \
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32." NAME "." NAME " "                   \
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "         \
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, "     \
                 "%31}, "                                                                          \
                 "{%32, %33, %34, %35}, %36, p, 1, 1, 0;\n\t}"                                     \
                 : CIUIC_SIXTEEN(sum, 0), CIUIC_SIXTEEN(sum, 4)                                    \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));                  \
  }                                                                                                \
  CIUIC_DEVICE void multiplyDeep(float (&sum)[16][4], const uint32_t (&a)[4], uint64_t b, int add, \
                                 TYPE) {                                                           \
    asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %69, 0;\n\t"                                \
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32." NAME "." NAME " "                  \
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "         \
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, "     \
                 "%31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, "     \
                 "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, "     \
                 "%61, %62, %63}, "                                                                \
                 "{%64, %65, %66, %67}, %68, p, 1, 1, 0;\n\t}"                                     \
                 : CIUIC_SIXTEEN(sum, 0), CIUIC_SIXTEEN(sum, 4), CIUIC_SIXTEEN(sum, 8),            \
                   CIUIC_SIXTEEN(sum, 12)                                                          \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));                  \
  }                                                                                                \
  /* sum[64][128] (+)= a[64][16] · b[16][128], both described, depth in the lines. */              \
  CIUIC_DEVICE void multiplyLines(float (&sum)[16][4], uint64_t a, uint64_t b, int add, TYPE) {    \
    asm volatile(                                                                                  \
        "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %66, 0;\n\t"                                         \
        "wgmma.mma_async.sync.aligned.m64n128k16.f32." NAME "." NAME " "                           \
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, "        \
        "%18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, "         \
        "%34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, "         \
        "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "                  \
        "%64, %65, p, 1, 1, 0, 0;\n\t}"                                                            \
        : CIUIC_SIXTEEN(sum, 0), CIUIC_SIXTEEN(sum, 4), CIUIC_SIXTEEN(sum, 8),                     \
          CIUIC_SIXTEEN(sum, 12)                                                                   \
        : "l"(a), "l"(b), "r"(add));                                                               \
  }

CIUIC_MULTIPLY_LINES(Half, "f16")
CIUIC_MULTIPLY_LINES(BFloat, "bf16")

#undef CIUIC_MULTIPLY_LINES
#undef CIUIC_FOUR
#undef CIUIC_SIXTEEN

} // namespace ciuic::cuda
#else
#define CIUIC_HAS_WARPGROUPS 0
#endif
