// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The device side of CUDA C++ without the toolkit's headers: qualifiers, thread indices, barriers,
// shuffles, 16-bit types, vector loads. clang builds the kernels of this folder with
// `-nocudainc -nocudalib`; nvcc reads the same sources (its own headers then stand behind).
#pragma once

#ifdef __clang__
#include <stdint.h> // the compiler's own: freestanding
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __global__ __attribute__((global))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))
#define __forceinline__ __inline__ __attribute__((always_inline))
#else
#include <cstdint>
#define __CUDA__ 1
#endif
#define CIUIC_DEVICE __device__ __forceinline__

/// Dynamic shared memory of a block: `Block::sharedBytes`, 16-byte aligned.
extern __shared__ __attribute__((aligned(16))) char ciuic_shared[];

namespace ciuic::cuda {

//===-- Threads
//---------------------------------------------------------------------------------===//

#ifdef __clang__
CIUIC_DEVICE int threadIndex() { return __nvvm_read_ptx_sreg_tid_x(); }
CIUIC_DEVICE int threadCount() { return __nvvm_read_ptx_sreg_ntid_x(); }
CIUIC_DEVICE int blockIndex() { return __nvvm_read_ptx_sreg_ctaid_x(); }
CIUIC_DEVICE int blockCount() { return __nvvm_read_ptx_sreg_nctaid_x(); }
CIUIC_DEVICE void barrier() { __syncthreads(); }
CIUIC_DEVICE void warpBarrier() { __nvvm_bar_warp_sync(0xffffffffu); }
CIUIC_DEVICE void fenceGlobal() { __nvvm_membar_gl(); }
CIUIC_DEVICE int shuffleXor(int value, int distance) {
  return __nvvm_shfl_sync_bfly_i32(0xffffffffu, value, distance, 31);
}
CIUIC_DEVICE int shuffleDown(int value, int distance) {
  return __nvvm_shfl_sync_down_i32(0xffffffffu, value, distance, 31);
}
CIUIC_DEVICE int shuffleFrom(int value, int lane) {
  return __nvvm_shfl_sync_idx_i32(0xffffffffu, value, lane, 31);
}
CIUIC_DEVICE unsigned atomicAddWord(unsigned *address, unsigned value) {
  return __nvvm_atom_add_gen_i(reinterpret_cast<int *>(address), static_cast<int>(value));
}
CIUIC_DEVICE float fromBits(int bits) { return __builtin_bit_cast(float, bits); }
CIUIC_DEVICE int toBits(float value) { return __builtin_bit_cast(int, value); }
CIUIC_DEVICE float fusedMultiplyAdd(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
CIUIC_DEVICE int threadIndex() { return threadIdx.x; }
CIUIC_DEVICE int threadCount() { return blockDim.x; }
CIUIC_DEVICE int blockIndex() { return blockIdx.x; }
CIUIC_DEVICE int blockCount() { return gridDim.x; }
CIUIC_DEVICE void barrier() { __syncthreads(); }
CIUIC_DEVICE void warpBarrier() { __syncwarp(); }
CIUIC_DEVICE void fenceGlobal() { __threadfence(); }
CIUIC_DEVICE int shuffleXor(int value, int distance) {
  return __shfl_xor_sync(0xffffffffu, value, distance);
}
CIUIC_DEVICE int shuffleDown(int value, int distance) {
  return __shfl_down_sync(0xffffffffu, value, distance);
}
CIUIC_DEVICE int shuffleFrom(int value, int lane) { return __shfl_sync(0xffffffffu, value, lane); }
CIUIC_DEVICE unsigned atomicAddWord(unsigned *address, unsigned value) {
  return atomicAdd(address, value);
}
CIUIC_DEVICE float fromBits(int bits) { return __int_as_float(bits); }
CIUIC_DEVICE int toBits(float value) { return __float_as_int(value); }
CIUIC_DEVICE float fusedMultiplyAdd(float a, float b, float c) { return fmaf(a, b, c); }
#endif

CIUIC_DEVICE int laneIndex() { return threadIndex() & 31; }
CIUIC_DEVICE int warpIndex() { return threadIndex() >> 5; }
CIUIC_DEVICE float shuffleXor(float value, int distance) {
  return fromBits(shuffleXor(toBits(value), distance));
}
CIUIC_DEVICE float shuffleDown(float value, int distance) {
  return fromBits(shuffleDown(toBits(value), distance));
}
CIUIC_DEVICE float shuffleFrom(float value, int lane) {
  return fromBits(shuffleFrom(toBits(value), lane));
}

/// Totals over a warp, known to all of its lanes; additions in a fixed order.
CIUIC_DEVICE float warpSum(float value) {
  for (int distance = 16; distance; distance >>= 1) {
    value += shuffleXor(value, distance);
  }
  return value;
}
CIUIC_DEVICE float warpMax(float value) {
  for (int distance = 16; distance; distance >>= 1) {
    float other = shuffleXor(value, distance);
    value = value > other ? value : other;
  }
  return value;
}

//===-- Numbers
//---------------------------------------------------------------------------------===//

/// f16 and bf16 as they lie in memory; arithmetic is f32.
struct Half {
  uint16_t bits;
};
struct BFloat {
  uint16_t bits;
};

CIUIC_DEVICE float toFloat(float value) { return value; }
CIUIC_DEVICE float toFloat(Half value) {
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
}
CIUIC_DEVICE float toFloat(BFloat value) { return fromBits(static_cast<int>(value.bits) << 16); }

template <typename T>
CIUIC_DEVICE T fromFloat(float value);
template <>
CIUIC_DEVICE float fromFloat<float>(float value) {
  return value;
}
template <>
CIUIC_DEVICE Half fromFloat<Half>(float value) {
  Half result;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
  return result;
}
template <>
CIUIC_DEVICE BFloat fromFloat<BFloat>(float value) {
  BFloat result;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
  return result;
}

/// Two halves of one word, the low one first.
CIUIC_DEVICE void unpack(uint32_t word, Half, float &low, float &high) {
  asm("{\n\t.reg .b16 l, h;\n\tmov.b32 {l, h}, %2;\n\tcvt.f32.f16 %0, l;\n\tcvt.f32.f16 %1, h;\n\t}"
      : "=f"(low), "=f"(high)
      : "r"(word));
}
CIUIC_DEVICE void unpack(uint32_t word, BFloat, float &low, float &high) {
  low = fromBits(static_cast<int>(word << 16));
  high = fromBits(static_cast<int>(word & 0xffff0000u));
}
CIUIC_DEVICE uint32_t pack(float low, float high, Half) {
  uint32_t word;
  asm("cvt.rn.f16x2.f32 %0, %2, %1;" : "=r"(word) : "f"(low), "f"(high));
  return word;
}
CIUIC_DEVICE uint32_t pack(float low, float high, BFloat) {
  uint32_t word;
  asm("cvt.rn.bf16x2.f32 %0, %2, %1;" : "=r"(word) : "f"(low), "f"(high));
  return word;
}

/// 1 / √x by the special function unit: relative error below 2^-22.
CIUIC_DEVICE float inverseRoot(float x) {
  float result;
  asm("rsqrt.approx.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

/// 2^x by the special function unit: relative error below 2^-22.
CIUIC_DEVICE float exp2Fast(float x) {
  float result;
  asm("ex2.approx.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

//===-- Memory
//----------------------------------------------------------------------------------===//

/// Sixteen bytes: the widest access of a thread.
struct alignas(16) Words {
  uint32_t x, y, z, w;
};

CIUIC_DEVICE Words loadWords(const void *address) { return *static_cast<const Words *>(address); }
/// Data that this kernel reads once and nothing writes meanwhile (weights): through the read-only
/// path, not kept in L1.
CIUIC_DEVICE Words streamWords(const void *address) {
  Words v;
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
      : "l"(address));
  return v;
}
CIUIC_DEVICE void storeWords(void *address, Words value) { *static_cast<Words *>(address) = value; }

} // namespace ciuic::cuda
