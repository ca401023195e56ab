// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-fuse-maps,canonicalize))' --split-input-file | FileCheck %s

// The producer's region runs inside the consumer's; its index becomes the composed one.
// CHECK: #[[ID:.*]] = affine_map<(d0, d1) -> (d0, d1)>
// CHECK: #[[T:.*]] = affine_map<(d0, d1) -> (d1, d0)>
// CHECK-LABEL: func.func @merge
// CHECK: graph.map(%arg1, %arg0) [#[[ID]], #[[T]]]
// CHECK: graph.index 1
// CHECK: math.exp
// CHECK: arith.addf
// CHECK-NOT: graph.map
func.func @merge(%x: tensor<4x8xf32>, %z: tensor<8x4xf32>) -> tensor<8x4xf32> {
  %p = graph.map (%x) [affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f32):
    %i = graph.index 0 : i64
    %f = arith.sitofp %i : i64 to f32
    %e = math.exp %a : f32
    %s = arith.mulf %e, %f : f32
    graph.yield %s : f32
  } : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %y = graph.map (%p, %z) [affine_map<(d0, d1) -> (d1, d0)>, affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    graph.yield %s : f32
  } : (tensor<4x8xf32>, tensor<8x4xf32>) -> tensor<8x4xf32>
  return %y : tensor<8x4xf32>
}

// -----

// An exponential that is read through a broadcast would run 4 times per element: it stays.
// CHECK-LABEL: func.func @nothing
// CHECK-COUNT-2: graph.map
func.func @nothing(%x: tensor<8xf32>, %z: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %p = graph.map (%x) [affine_map<(d0) -> (d0)>] {
  ^bb0(%a: f32):
    %e = math.exp %a : f32
    graph.yield %e : f32
  } : (tensor<8xf32>) -> tensor<8xf32>
  %y = graph.map (%p, %z) [affine_map<(d0, d1) -> (d1)>, affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    graph.yield %s : f32
  } : (tensor<8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// -----

// A bias stays with its product where the reader has another space or ends another product.
// CHECK-LABEL: func.func @epilogues
// CHECK: %[[A:.*]] = graph.matmul
// CHECK: %[[AB:.*]] = graph.map(%[[A]], %arg3)
// CHECK: %[[B:.*]] = graph.matmul
// CHECK: graph.map(%[[B]], %[[AB]])
func.func @epilogues(%x: tensor<4x8xf32>, %w: tensor<8x8xf32>, %u: tensor<8x8xf32>, %v: tensor<8xf32>) -> tensor<4x8xf32> {
  %a = graph.matmul %x, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %ab = graph.map (%a, %v) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>] {
  ^bb0(%p: f32, %q: f32):
    %s = arith.addf %p, %q : f32
    graph.yield %s : f32
  } : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
  %b = graph.matmul %x, %u : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %y = graph.map (%b, %ab) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%p: f32, %q: f32):
    %s = arith.addf %p, %q : f32
    graph.yield %s : f32
  } : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}
