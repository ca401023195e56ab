// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The contract of the host library kernels (matmul, attention, convolution, …): what generated code
// calls.
//
// A program's kernel has the host kernel ABI
//     void NAME(char *const *ptrs, const int64_t *dims, const int64_t *params,
//               int64_t begin, int64_t end, char *scratch);
// For the heavy operators it is a thin wrapper: it evaluates the shape into an int64 array
// (constants or expressions of `dims`), and calls one of the functions declared here, which add
// that array and an epilogue in front. The functions are machine code, built once per
// instruction-set variant and linked into the program's .so, so that a program pays code generation
// for its epilogues only. They are freestanding: no libc, no globals, no undefined symbols.
//
// Units. [begin, end) is a range of independent units; `Catalog.h` says how many there are. No
// result depends on how units are split over threads or calls, on the variant (v3 and v4 agree bit
// for bit), or on the tile a panel comes in.
//
// Epilogue. A kernel collects a block of finished f32 sums in its scratch and hands it over exactly
// once:
//     acc[r * ld + c] is output element (row + r, col + c), r in [0, rows), c in [0, cols)
// The epilogue adds bias, activation and residual and stores to its own operands in whatever type
// and layout it likes; it reads extra operands and results from `ptrs` (from the kernel's
// `ptrs[kFirstFree]` on). A null epilogue stores f32 rows at ptrs[kFirstFree] with the row stride
// of the kernel's `ldc` argument.
#pragma once
#include <cstdint>

// The CUDA functions take the same arguments, but have an epilogue of their own
// (kernels/cuda/Abi.h).
#ifndef __CUDA__
extern "C" {
typedef void (*ciuic_epilogue)(const float *acc, int64_t ld, int64_t row, int64_t rows, int64_t col,
                               int64_t cols, char *const *ptrs, const int64_t *dims);
typedef void (*ciuic_library_kernel)(const int64_t *args, ciuic_epilogue epilogue,
                                     char *const *ptrs, const int64_t *dims, const int64_t *params,
                                     int64_t begin, int64_t end, char *scratch);
}
#endif

namespace ciuic::kernels {

// Columns of one packed weight panel; every weight layout is a run of such panels.
inline constexpr int64_t kPanel = 16;

// C[M, N] = epilogue(A[M, K] × B[K, N]), B packed in panels (kernels/pack/Pack.h), one function per
// weight format: ciuic_matmul_{f32,f16,bf16,int8,int4g32,int4g64,int4g128}.
//   ptrs: A f32, B packed (points at panel `first`), …; free from 2.   params: first panel, end
//   panel. units: ceildiv(M, kMatmulRows) · ceildiv(end − first, kMatmulPanels); row blocks run
//   fastest.
// f32 sums run over k in order, one fused multiply-add each, so with f32 weights a row does not
// depend on M. Compressed weights are multiplied as the exact values they stand for; a single row
// scales a group's (a column's) sum instead of every weight, which rounds differently from many
// rows. ciuic_matmul_int4g{32,64,128}_rounded round a single row (M = 1) to int8 per group first;
// never in an exact program.
enum MatmulArg { kMatmulM, kMatmulN, kMatmulK, kMatmulLda, kMatmulLdc, kMatmulArgs };
inline constexpr int64_t kMatmulRows = 48, kMatmulPanels = 4;

// out[i, 0..K) = row ids[i] of a packed table of N rows: column ids[i] of the panels. ids are int64
// or int32; negative ones count from the end. With tiles, a launch writes the rows whose panel is
// in its range. An id outside [−N, N) gives a row of NaN.
// ciuic_gather_{f32,f16,bf16,int8,int4g32,int4g64,int4g128}.
//   ptrs: table (points at panel `first`), ids, …; free from 2.   params: first panel, end panel.
//   units: count.
enum GatherArg { kGatherCount, kGatherRows, kGatherWidth, kGatherWideIds, kGatherLdc, kGatherArgs };

// C[b0, b1, b2, M, N] = A × B, neither packed. Strides in f32 elements; a batch stride of 0
// broadcasts. Of A's row and k strides at least one must be 1. `row` of the epilogue counts through
// the batches: ((i0·b1 + i1)·b2 + i2)·M + m.
//   ptrs: A, B, …; free from 2.   units: b0 · b1 · b2 · ceildiv(M, kMatmulRows) · ceildiv(N,
//   kMatmulPanels · kPanel).
enum BatchMatmulArg {
  kBatchB0,
  kBatchB1,
  kBatchB2, // extents of the batch dims
  kBatchM,
  kBatchN,
  kBatchK,
  kBatchA0,
  kBatchA1,
  kBatchA2,
  kBatchARow,
  kBatchAK, // strides of A
  kBatchW0,
  kBatchW1,
  kBatchW2,
  kBatchWK,
  kBatchWCol, // strides of B
  kBatchLdc,
  kBatchMatmulArgs
};

// out = softmax(scale · q kᵀ + mask) v per head; H query heads share kv heads in runs of H / G.
// With `causal`, query i sees keys j ≤ i + keys − queries. Strides in f32 elements; the width of a
// head is contiguous in every operand.
//   ptrs: q, k, v, mask (anything where there is none), …; free from 4.
//   `row` of the epilogue is (b·H + h)·queries + i, `col` runs over the value width; without an
//   epilogue the result goes to ptrs[4] with the out strides. units: batch · H · ceildiv(queries,
//   kAttentionRows).
// ciuic_attention_rows8: k and v are quantised rows (kernels/QuantisedRows.h), their strides bytes.
enum AttentionArg {
  kAttnBatch,
  kAttnHeads,
  kAttnKvHeads,
  kAttnQueries,
  kAttnKeys,
  kAttnWidth,
  kAttnValueWidth,
  kAttnScale, // the bits of a float
  kAttnCausal,
  kAttnMasked, // 0 or 1
  kAttnQBatch,
  kAttnQHead,
  kAttnQSeq,
  kAttnKBatch,
  kAttnKHead,
  kAttnKSeq,
  kAttnVBatch,
  kAttnVHead,
  kAttnVSeq,
  kAttnMaskBatch,
  kAttnMaskHead,
  kAttnMaskQuery,
  kAttnMaskKey, // 0 or 1
  kAttnOutBatch,
  kAttnOutHead,
  kAttnOutSeq,
  kAttentionArgs
};
inline constexpr int64_t kAttentionRows = 32;

// Convolutions over two spatial dims (one: height 1), channels last throughout; out is [batch, OH,
// OW, OC]. The epilogue's `row` is the output pixel (n·OH + y)·OW + x, `col` the output channel.
// Output extents are given, not derived: a pixel whose window leaves the input reads zeros there.
enum ConvArg {
  kConvBatch,
  kConvInH,
  kConvInW,
  kConvInC,
  kConvOutH,
  kConvOutW,
  kConvOutC,
  kConvKernelH,
  kConvKernelW,
  kConvStrideH,
  kConvStrideW,
  kConvPadTop,
  kConvPadLeft,
  kConvDilationH,
  kConvDilationW,
  kConvGroups,
  kConvUnitRows, // output rows per unit: convUnitRows() of the bounds of OH and OW; changes no bits
  kConvLdc,
  kConvArgs
};
// Output pixels of a row per unit, and weight panels per unit (one where there are groups).
inline constexpr int64_t kConvPixels = 48, kConvPanels = 4;

// A 1×1 convolution of stride 1 without padding and groups is ciuic_matmul_* with M = batch·H·W:
// faster, any format. ciuic_conv: filter packed with K = (ky, kx, c), `sourceOfConv`.
// ciuic_conv_transpose: filter packed by `sourceOfConvTranspose`; computed by gathering, so no
// result is written twice.
//   ptrs: input, filter (points at panel `first`), …; free from 2.   params: first panel, end
//   panel. units: batch · ceildiv(OH, unit rows) · ceildiv(OW, kConvPixels) · ceildiv(end − first,
//   groups == 1 ? kConvPanels : 1); the transposed one takes single rows whatever kConvUnitRows
//   says.
// ciuic_conv_depthwise: one filter per channel (OC = C), packed by `sourceOfDepthwise`; units as
// conv's with one group.

// Pools, channels last. kPoolMax: else the average, over the window's part inside the input, or
// inside the padded input with kPoolCountPadding. `row`, `col` as for convolutions.
//   ptrs: input, …; free from 1.   units: batch · OH.
enum PoolArg {
  kPoolBatch,
  kPoolInH,
  kPoolInW,
  kPoolC,
  kPoolOutH,
  kPoolOutW,
  kPoolKernelH,
  kPoolKernelW,
  kPoolStrideH,
  kPoolStrideW,
  kPoolPadTop,
  kPoolPadLeft,
  kPoolPadBottom,
  kPoolPadRight,
  kPoolDilationH,
  kPoolDilationW,
  kPoolMax,
  kPoolCountPadding,
  kPoolLdc,
  kPoolArgs
};

} // namespace ciuic::kernels

// Every library kernel, for tables and tests.
#define CIUIC_HOST_KERNELS(X)                                                                      \
  X(ciuic_matmul_f32)                                                                              \
  X(ciuic_matmul_f16)                                                                              \
  X(ciuic_matmul_bf16)                                                                             \
  X(ciuic_matmul_int8)                                                                             \
  X(ciuic_matmul_int4g32)                                                                          \
  X(ciuic_matmul_int4g64)                                                                          \
  X(ciuic_matmul_int4g128)                                                                         \
  X(ciuic_matmul_int4g32_rounded)                                                                  \
  X(ciuic_matmul_int4g64_rounded)                                                                  \
  X(ciuic_matmul_int4g128_rounded)                                                                 \
  X(ciuic_gather_f32)                                                                              \
  X(ciuic_gather_f16)                                                                              \
  X(ciuic_gather_bf16)                                                                             \
  X(ciuic_gather_int8)                                                                             \
  X(ciuic_gather_int4g32)                                                                          \
  X(ciuic_gather_int4g64)                                                                          \
  X(ciuic_gather_int4g128)                                                                         \
  X(ciuic_batch_matmul)                                                                            \
  X(ciuic_attention)                                                                               \
  X(ciuic_attention_rows8)                                                                         \
  X(ciuic_conv)                                                                                    \
  X(ciuic_conv_transpose)                                                                          \
  X(ciuic_conv_depthwise)                                                                          \
  X(ciuic_pool)

#ifndef __CUDA__
extern "C" {
#define CIUIC_DECLARE_KERNEL(NAME)                                                                 \
  void NAME(const int64_t *args, ciuic_epilogue epilogue, char *const *ptrs, const int64_t *dims,  \
            const int64_t *params, int64_t begin, int64_t end, char *scratch);
CIUIC_HOST_KERNELS(CIUIC_DECLARE_KERNEL)
#undef CIUIC_DECLARE_KERNEL
}
#endif
