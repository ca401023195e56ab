// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Tiles in shared memory and the matrix units: asynchronous copies, fragment loads and the product
// of 16×16 by 16×8 (mma.sync, compute capability 8.0 and up; PTX ISA, "Matrix fragments for
// mma.m16n8k16").
//
// A tile's row is a run of 16-byte chunks. Eight consecutive rows of one column of chunks lie in
// different banks: the chunks of a row are permuted where a row is whole 128-byte lines, else a row
// takes an odd number of chunks.
#pragma once
#include "kernels/cuda/Device.h"

/// For lambdas: what they capture stays in registers.
#define CIUIC_INLINED __attribute__((always_inline))

namespace ciuic::cuda {

CIUIC_DEVICE uint32_t sharedAddress(const void *pointer) {
#ifdef __clang__
  return static_cast<uint32_t>(
      reinterpret_cast<uintptr_t>((__attribute__((address_space(3))) const char *)pointer));
#else
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
#endif
}

CIUIC_DEVICE int least(int a, int b) { return a < b ? a : b; }
CIUIC_DEVICE int most(int a, int b) { return a > b ? a : b; }
CIUIC_DEVICE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
CIUIC_DEVICE int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
CIUIC_DEVICE int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
#ifdef __clang__
CIUIC_DEVICE float larger(float a, float b) { return __builtin_fmaxf(a, b); }
CIUIC_DEVICE bool allOfWarp(bool value) { return __nvvm_vote_all_sync(0xffffffffu, value); }
#else
CIUIC_DEVICE float larger(float a, float b) { return fmaxf(a, b); }
CIUIC_DEVICE bool allOfWarp(bool value) { return __all_sync(0xffffffffu, value); }
#endif

/// At a 16-byte address.
CIUIC_DEVICE bool isAligned(const void *pointer) {
  return (reinterpret_cast<uintptr_t>(pointer) & 15) == 0;
}

/// Where chunks lie in a tile whose rows have `Chunks` chunks; in bytes.
template <int Chunks>
struct ChunkLayout {
  static constexpr bool permuted = Chunks % 8 == 0;
  static constexpr int rowBytes = (permuted ? Chunks : Chunks | 1) * 16;
  static CIUIC_DEVICE int at(int row, int chunk) {
    return row * rowBytes + (permuted ? chunk ^ (row & 7) : chunk) * 16;
  }
};

/// Starts a copy of `bytes` (0 … 16) of a chunk, the rest becomes zero. Both addresses are 16-byte
/// aligned; `from` is an address in global memory even where nothing is read.
CIUIC_DEVICE void copyChunk(uint32_t to, const void *from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes)
               : "memory");
}
CIUIC_DEVICE void commitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most `Newer` of this thread's groups are under way.
template <int Newer>
CIUIC_DEVICE void awaitCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Newer) : "memory");
}
CIUIC_DEVICE void storeShared(uint32_t to, Words v) {
  asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(v.x), "r"(v.y), "r"(v.z),
               "r"(v.w)
               : "memory");
}
CIUIC_DEVICE void storeShared(uint32_t to, float v) {
  asm volatile("st.shared.f32 [%0], %1;" ::"r"(to), "f"(v) : "memory");
}
CIUIC_DEVICE void storeElement(uint32_t to, float v) { storeShared(to, v); }
template <typename T>
CIUIC_DEVICE void storeElement(uint32_t to, T v) {
  asm volatile("st.shared.b16 [%0], %1;" ::"r"(to), "h"(v.bits) : "memory");
}
CIUIC_DEVICE void storeShared(uint32_t to, float a, float b) {
  asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(to), "f"(a), "f"(b) : "memory");
}

/// Reads what another block may have written since this one started: from L2.
CIUIC_DEVICE float loadFresh(const float *from) {
  float v;
  asm volatile("ld.volatile.f32 %0, [%1];" : "=f"(v) : "l"(from) : "memory");
  return v;
}

/// Bytes of low (0 … 3) and high (4 … 7), chosen by the nibbles of `select`, lowest first.
CIUIC_DEVICE uint32_t permuteBytes(uint32_t low, uint32_t high, uint32_t select) {
  uint32_t v;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(v) : "r"(low), "r"(high), "r"(select));
  return v;
}

/// The same value, computed anew where it stands: keeps what is made of it from being held in
/// registers across a loop.
CIUIC_DEVICE int afresh(int value) {
  asm volatile("" : "+r"(value));
  return value;
}

/// Up to eight 16-bit elements from any address, zeros behind `count`.
template <typename T>
CIUIC_DEVICE Words gatherChunk(const T *from, int64_t stride, int count) {
  uint32_t e[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    e[i] = i < count ? from[i * stride].bits : 0;
  }
  return {e[0] | e[1] << 16, e[2] | e[3] << 16, e[4] | e[5] << 16, e[6] | e[7] << 16};
}

/// Four 8×8 matrices of 16-bit elements; lane i gives the address of row i % 8 of matrix i / 8.
CIUIC_DEVICE void loadMatrices(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
CIUIC_DEVICE void loadMatricesTransposed(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

/// c[16][8] += a[16][16] · b[16][8]. A lane holds rows lane / 4 and that + 8, columns lane % 4 · 2
/// and the next: c = {low row: 2, high row: 2}.
CIUIC_DEVICE void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, Half) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
CIUIC_DEVICE void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                           BFloat) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

} // namespace ciuic::cuda
