// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-form-fusions))' --split-input-file | FileCheck %s
// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-form-fusions{single=true}))' --split-input-file | FileCheck %s --check-prefix=SINGLE

// A bias joins the matmul before it.
// CHECK-LABEL: func.func @epilogue
// CHECK: %[[M:.*]] = graph.fusion matmul(%arg0, %{{.*}}, %arg1)
// CHECK: graph.matmul
// CHECK: graph.map
// CHECK: return %[[M]]
// SINGLE-LABEL: func.func @epilogue
// SINGLE-COUNT-2: graph.fusion
func.func @epilogue(%x: tensor<4x8xf32>, %b: tensor<16xf32>) -> tensor<4x16xf32> {
  %w = graph.weight "w" file 0 offset 0 bytes 512 : tensor<8x16xf32>
  %m = graph.matmul %x, %w : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
  %a = graph.map (%m, %b) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>] {
  ^bb0(%p: f32, %q: f32):
    %t = arith.addf %p, %q : f32
    graph.yield %t : f32
  } : (tensor<4x16xf32>, tensor<16xf32>) -> tensor<4x16xf32>
  return %a : tensor<4x16xf32>
}

// -----

// The residual sum joins the norm that reads it, and leaves it as a second result.
// CHECK-LABEL: func.func @residual
// CHECK: %[[N:.*]]:2 = graph.fusion row(%arg0, %arg1, %arg2)
// CHECK: graph.map
// CHECK: graph.rms_norm
// CHECK: return %[[N]]#1, %[[N]]#0
func.func @residual(%x: tensor<4x16xf32>, %r: tensor<4x16xf32>, %s: tensor<16xf32>) -> (tensor<4x16xf32>, tensor<4x16xf32>) {
  %sum = graph.map (%x, %r) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%p: f32, %q: f32):
    %t = arith.addf %p, %q : f32
    graph.yield %t : f32
  } : (tensor<4x16xf32>, tensor<4x16xf32>) -> tensor<4x16xf32>
  %one = graph.rms_norm %sum, %s epsilon 1.0e-5 : (tensor<4x16xf32>, tensor<16xf32>) -> tensor<4x16xf32>
  return %one, %sum : tensor<4x16xf32>, tensor<4x16xf32>
}

// -----

// A value that is read between cannot move down: the sum stays out of the matmul's epilogue.
// CHECK-LABEL: func.func @between
// CHECK: graph.fusion matmul
// CHECK: graph.fusion row
// CHECK: graph.fusion flat
func.func @between(%x: tensor<4x8xf32>, %r: tensor<4x16xf32>, %s: tensor<16xf32>) -> (tensor<4x16xf32>, tensor<4x16xf32>) {
  %w = graph.weight "w" file 0 offset 0 bytes 512 : tensor<8x16xf32>
  %m = graph.matmul %x, %w : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
  %one = graph.softmax %m : tensor<4x16xf32>
  %sum = graph.map (%m, %r) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%p: f32, %q: f32):
    %t = arith.addf %p, %q : f32
    graph.yield %t : f32
  } : (tensor<4x16xf32>, tensor<4x16xf32>) -> tensor<4x16xf32>
  return %one, %sum : tensor<4x16xf32>, tensor<4x16xf32>
}

// -----

// An output that is an input gets a copy of its own.
// CHECK-LABEL: func.func @passed_through
// CHECK: %[[C:.*]] = graph.fusion flat(%arg0)
// CHECK: return %[[C]]
func.func @passed_through(%x: tensor<4xi64>) -> tensor<4xi64> {
  return %x : tensor<4xi64>
}
