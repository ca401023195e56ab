// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A product of many rows by a quantised weight: where tiles are few, parts of K are added up in a workspace, the last
// pointer in front of the dims.
// REQUIRES: compiler
// RUN: ciuic-kernels %s --ptx 90 > %t.ptx
// RUN: FileCheck %s < %t.ptx

// Operands, result, workspace, dims, two params: 64 rows of 256 columns are two tiles, each in four parts.
// CHECK: .visible .entry few(
// CHECK: few_param_6
// CHECK-NOT: few_param_7
// CHECK: .maxntid 256
// CHECK-NOT: call
graph.kernel matmul @few (tensor<64x4096xf16>, tensor<256x4096xf16>) -> tensor<64x256xf16> grid affine_map<() -> (8)> scratch 0 symbols [] args [{}, {graph.packing = #graph.packing<"int4g128", "columns", columns = 256, channels = 4096, taps = 1, groups = 1, layout = "rows16">}] {
^bb0(%a: tensor<64x4096xf16>, %w: tensor<256x4096xf16>):
  %p = graph.matmul %a, %w {transpose_b} : (tensor<64x4096xf16>, tensor<256x4096xf16>) -> tensor<64x256xf16>
  graph.yield %p : tensor<64x256xf16>
} {graph.device = "cuda"}

// Parts have eight steps of 64 or more: 512 values are not divided, however few the rows.
// CHECK: .visible .entry many(
// CHECK: many_param_5
// CHECK-NOT: many_param_6
graph.kernel matmul @many (tensor<1500x512xf16>, tensor<2816x512xf16>) -> tensor<1500x2816xf16> grid affine_map<() -> (264)> scratch 0 symbols [] args [{}, {graph.packing = #graph.packing<"int4g128", "columns", columns = 2816, channels = 512, taps = 1, groups = 1, layout = "rows16">}] {
^bb0(%a: tensor<1500x512xf16>, %w: tensor<2816x512xf16>):
  %p = graph.matmul %a, %w {transpose_b} : (tensor<1500x512xf16>, tensor<2816x512xf16>) -> tensor<1500x2816xf16>
  graph.yield %p : tensor<1500x2816xf16>
} {graph.device = "cuda"}
