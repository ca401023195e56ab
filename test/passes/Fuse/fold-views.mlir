// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-fold-views))' --split-input-file | FileCheck %s

// A transpose is a permuted index.
// CHECK: #[[T:.*]] = affine_map<(d0, d1) -> (d1, d0)>
// CHECK-LABEL: func.func @transpose
// CHECK: graph.map(%arg0) [#[[T]]]
// CHECK-NOT: graph.transpose
func.func @transpose(%x: tensor<4x8xf32>) -> tensor<8x4xf32> {
  %t = graph.transpose %x [1, 0] : tensor<4x8xf32> -> tensor<8x4xf32>
  %y = graph.map (%t) [affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f32):
    %n = arith.negf %a : f32
    graph.yield %n : f32
  } : (tensor<8x4xf32>) -> tensor<8x4xf32>
  return %y : tensor<8x4xf32>
}

// -----

// A broadcast dim is read at 0; a slice from row 2 with step 3 at 2 + 3·i.
// CHECK: #[[E:.*]] = affine_map<(d0, d1) -> (0, d1)>
// CHECK: #[[S:.*]] = affine_map<(d0, d1) -> (d0 * 3 + 2, d1)>
// CHECK-LABEL: func.func @expand_and_slice
// CHECK: graph.map(%arg0, %arg1) [#[[E]], #[[S]]]
func.func @expand_and_slice(%x: tensor<1x8xf32>, %z: tensor<12x8xf32>) -> tensor<4x8xf32> {
  %e = graph.expand %x : tensor<1x8xf32> -> tensor<4x8xf32>
  %s = graph.slice %z offsets affine_map<() -> (2, 0)> steps [3, 1] : tensor<12x8xf32> -> tensor<4x8xf32>
  %y = graph.map (%e, %s) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f32, %b: f32):
    %n = arith.addf %a, %b : f32
    graph.yield %n : f32
  } : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// -----

// A reshape that splits 24 = 3 · 8 reads at d1 · 8 + d2; unit dims come and go.
// CHECK: #[[R:.*]] = affine_map<(d0, d1, d2) -> (0, d0, d1 * 8 + d2)>
// CHECK-LABEL: func.func @split
// CHECK: graph.map(%arg0) [#[[R]]]
func.func @split(%x: tensor<1x2x24xf32>) -> tensor<2x3x8xf32> {
  %r = graph.reshape %x : tensor<1x2x24xf32> -> tensor<2x3x8xf32>
  %y = graph.map (%r) [affine_map<(d0, d1, d2) -> (d0, d1, d2)>] {
  ^bb0(%a: f32):
    %n = arith.negf %a : f32
    graph.yield %n : f32
  } : (tensor<2x3x8xf32>) -> tensor<2x3x8xf32>
  return %y : tensor<2x3x8xf32>
}

// -----

// One-element constants move into the region, operands read alike are merged.
// CHECK-LABEL: func.func @operands
// CHECK: graph.map(%arg0) [#{{.*}}] {
// CHECK-NEXT: ^bb0(%[[A:.*]]: f32)
// CHECK-NEXT: %[[C:.*]] = arith.constant 2.000000e+00 : f32
// CHECK: arith.mulf %[[A]], %[[C]]
func.func @operands(%x: tensor<4xf32>) -> tensor<4xf32> {
  %c = graph.constant dense<2.0> : tensor<f32>
  %y = graph.map (%x, %c, %x) [affine_map<(d0) -> (d0)>, affine_map<(d0) -> ()>, affine_map<(d0) -> (d0)>] {
  ^bb0(%a: f32, %b: f32, %d: f32):
    %m = arith.mulf %a, %b : f32
    %n = arith.addf %m, %d : f32
    graph.yield %n : f32
  } : (tensor<4xf32>, tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

// CHECK-LABEL: func.func @matmul
// CHECK: graph.matmul %arg0, %arg1 {transpose_b}
func.func @matmul(%a: tensor<4x8xf32>, %b: tensor<16x8xf32>) -> tensor<4x16xf32> {
  %t = graph.transpose %b [1, 0] : tensor<16x8xf32> -> tensor<8x16xf32>
  %c = graph.matmul %a, %t : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
  return %c : tensor<4x16xf32>
}

// -----

// A reshape that merges dims stays: its reader would need divisions.
// CHECK-LABEL: func.func @nothing
// CHECK: graph.reshape
func.func @nothing(%x: tensor<3x8xf32>) -> tensor<24xf32> {
  %r = graph.reshape %x : tensor<3x8xf32> -> tensor<24xf32>
  %y = graph.map (%r) [affine_map<(d0) -> (d0)>] {
  ^bb0(%a: f32):
    %n = arith.negf %a : f32
    graph.yield %n : f32
  } : (tensor<24xf32>) -> tensor<24xf32>
  return %y : tensor<24xf32>
}
