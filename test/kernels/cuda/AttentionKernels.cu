// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// An entry for each attention function. The two families have counters and tiles of their own
// names, so each source is a module: define CIUIC_MANY, CIUIC_FEW or CIUIC_PLAIN.
#if defined(CIUIC_MANY)
#include "kernels/cuda/Attention.cu"
#include "test/kernels/cuda/TestEpilogue.h"
CIUIC_ENTRY(attention, f16)
CIUIC_ENTRY(attention, bf16)
#elif defined(CIUIC_FEW)
#include "kernels/cuda/DecodeAttention.cu"
#include "test/kernels/cuda/TestEpilogue.h"
CIUIC_ENTRY(decode_attention, f16)
CIUIC_ENTRY(decode_attention, bf16)
CIUIC_ENTRY(decode_attention, f16_rows8)
CIUIC_ENTRY(decode_attention, bf16_rows8)
#else
#include "kernels/cuda/AttentionPlain.cu"
#include "test/kernels/cuda/TestEpilogue.h"
CIUIC_ENTRY(attention, f32)
CIUIC_ENTRY(decode_attention, f32)
CIUIC_ENTRY(decode_attention, f32_rows8)
#endif
