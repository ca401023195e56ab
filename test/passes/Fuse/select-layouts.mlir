// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-form-fusions),ciuic-select-layouts)' --split-input-file | FileCheck %s

// A tied embedding: stored as [N, K], multiplied by and gathered from in panels of N columns.
// CHECK-LABEL: func.func @tied
// CHECK-COUNT-1: graph.weight "e" {{.*}}packing = #graph.packing<"f32", "columns", columns = 32, channels = 8, taps = 1, groups = 1>
func.func @tied(%ids: tensor<4xi64>) -> tensor<4x32xf32> {
  %e = graph.weight "e" file 0 offset 0 bytes 1024 : tensor<32x8xf32>
  %x = graph.gather %e, %ids axis 0 : (tensor<32x8xf32>, tensor<4xi64>) -> tensor<4x8xf32>
  %y = graph.matmul %x, %e {transpose_b} : (tensor<4x8xf32>, tensor<32x8xf32>) -> tensor<4x32xf32>
  return %y : tensor<4x32xf32>
}

// -----

// Integers in blocks that int4g32 holds as they are stay so; those that it would round are floats.
// CHECK-LABEL: func.func @blocks
// CHECK: graph.weight "a" {{.*}}packing = #graph.packing<"int4g32", "columns", columns = 16, channels = 32
// CHECK: graph.weight "b" {{.*}}packing = #graph.packing<"f32", "columns", columns = 16, channels = 32
func.func @blocks(%x: tensor<4x32xf32>) -> (tensor<4x16xf32>, tensor<4x16xf32>) {
  %a = graph.weight "a" file 0 offset 0 bytes 2048 {blocks = #graph.blocks<"values" bits 4 size 32 depth 32 scales #graph.stored<0, 256, tensor<16x1xf16>> exactly "int4g32">} : tensor<16x32xf32>
  %b = graph.weight "b" file 0 offset 512 bytes 2048 {blocks = #graph.blocks<"values" bits 4 size 32 depth 32 scales #graph.stored<0, 1024, tensor<16x1xf32>>>} : tensor<16x32xf32>
  %y = graph.matmul %x, %a {transpose_b} : (tensor<4x32xf32>, tensor<16x32xf32>) -> tensor<4x16xf32>
  %z = graph.matmul %x, %b {transpose_b} : (tensor<4x32xf32>, tensor<16x32xf32>) -> tensor<4x16xf32>
  return %y, %z : tensor<4x16xf32>, tensor<4x16xf32>
}

// -----

// Read as a tensor too: a plain twin of the same bytes.
// CHECK-LABEL: func.func @twin
// CHECK-DAG: graph.weight "w" file 0 offset 0 bytes 512 : tensor<8x16xf32>
// CHECK-DAG: graph.weight "w" {{.*}}packing = #graph.packing<"f32", "rows", columns = 16, channels = 8
func.func @twin(%x: tensor<4x8xf32>) -> (tensor<4x16xf32>, tensor<8x16xf32>) {
  %w = graph.weight "w" file 0 offset 0 bytes 512 : tensor<8x16xf32>
  %y = graph.matmul %x, %w : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
  %n = graph.map (%w) [affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f32):
    %s = arith.negf %a : f32
    graph.yield %s : f32
  } : (tensor<8x16xf32>) -> tensor<8x16xf32>
  return %y, %n : tensor<4x16xf32>, tensor<8x16xf32>
}

// -----

// Nothing multiplies by it: it stays as it is.
// CHECK-LABEL: func.func @nothing
// CHECK-NOT: packing
func.func @nothing(%ids: tensor<4xi64>) -> tensor<4x8xf32> {
  %e = graph.weight "e" file 0 offset 0 bytes 1024 : tensor<32x8xf32>
  %x = graph.gather %e, %ids axis 0 : (tensor<32x8xf32>, tensor<4xi64>) -> tensor<4x8xf32>
  return %x : tensor<4x8xf32>
}
