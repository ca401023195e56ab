// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What an attention call is told of its operands, for kernels of constant shapes that are timed.
// The kernel's own source comes before this.
#pragma once

/// Queries are [batch, queries, heads, width], keys and values [batch, kvHeads, keys, row], where a
/// row is `width` elements or as many bytes as its quantised form has. `scale` is the bits of a
/// float.
__device__ __forceinline__ void setAttentionArgs(int64_t (&args)[kAttentionArgs], int64_t batch,
                                                 int64_t heads, int64_t kvHeads, int64_t queries,
                                                 int64_t keys, int64_t width, int64_t scale,
                                                 bool causal, int64_t row) {
  args[kAttnBatch] = batch, args[kAttnHeads] = heads, args[kAttnKvHeads] = kvHeads;
  args[kAttnQueries] = queries, args[kAttnKeys] = keys;
  args[kAttnWidth] = args[kAttnValueWidth] = width;
  args[kAttnScale] = scale, args[kAttnCausal] = causal;
  args[kAttnQBatch] = queries * heads * width;
  args[kAttnQHead] = width, args[kAttnQSeq] = heads * width;
  args[kAttnKBatch] = args[kAttnVBatch] = kvHeads * keys * row;
  args[kAttnKHead] = args[kAttnVHead] = keys * row;
  args[kAttnKSeq] = args[kAttnVSeq] = row;
}
