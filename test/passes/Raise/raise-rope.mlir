// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-raise-rope,canonicalize))' --split-input-file | FileCheck %s

// The heads lie at dim 2 below the transpose; the rope turns them there, and the transpose follows.
// CHECK-LABEL: func.func @transposed
// CHECK-NEXT: %[[R:.*]] = graph.rope %arg0 bshd, %arg1, %arg2
// CHECK-NEXT: %[[T:.*]] = graph.transpose %[[R]] [0, 2, 1, 3] : tensor<1x6x2x8xf32> -> tensor<1x2x6x8xf32>
// CHECK-NEXT: return %[[T]]
func.func @transposed(%h: tensor<1x6x2x8xf32>, %cos: tensor<1x6x8xf32>, %sin: tensor<1x6x8xf32>) -> tensor<1x2x6x8xf32> {
  %x = graph.transpose %h [0, 2, 1, 3] : tensor<1x6x2x8xf32> -> tensor<1x2x6x8xf32>
  %c = graph.reshape %cos : tensor<1x6x8xf32> -> tensor<1x1x6x8xf32>
  %s = graph.reshape %sin : tensor<1x6x8xf32> -> tensor<1x1x6x8xf32>
  %a = graph.map (%x, %c) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>] {
  ^bb0(%u: f32, %v: f32):
    %m = arith.mulf %u, %v : f32
    graph.yield %m : f32
  } : (tensor<1x2x6x8xf32>, tensor<1x1x6x8xf32>) -> tensor<1x2x6x8xf32>
  %x1 = graph.slice %x offsets affine_map<() -> (0, 0, 0, 0)> steps [1, 1, 1, 1] : tensor<1x2x6x8xf32> -> tensor<1x2x6x4xf32>
  %x2 = graph.slice %x offsets affine_map<() -> (0, 0, 0, 4)> steps [1, 1, 1, 1] : tensor<1x2x6x8xf32> -> tensor<1x2x6x4xf32>
  %n = graph.map (%x2) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>] {
  ^bb0(%u: f32):
    %m = arith.negf %u : f32
    graph.yield %m : f32
  } : (tensor<1x2x6x4xf32>) -> tensor<1x2x6x4xf32>
  %r = graph.concat %n, %x1 axis 3 : (tensor<1x2x6x4xf32>, tensor<1x2x6x4xf32>) -> tensor<1x2x6x8xf32>
  %b = graph.map (%r, %s) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>] {
  ^bb0(%u: f32, %v: f32):
    %m = arith.mulf %u, %v : f32
    graph.yield %m : f32
  } : (tensor<1x2x6x8xf32>, tensor<1x1x6x8xf32>) -> tensor<1x2x6x8xf32>
  %y = graph.map (%a, %b) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>] {
  ^bb0(%u: f32, %v: f32):
    %m = arith.addf %u, %v : f32
    graph.yield %m : f32
  } : (tensor<1x2x6x8xf32>, tensor<1x2x6x8xf32>) -> tensor<1x2x6x8xf32>
  return %y : tensor<1x2x6x8xf32>
}

// -----

// The halves are not turned but swapped with the wrong sign: nothing is recognised.
// CHECK-LABEL: func.func @nothing
// CHECK-NOT: graph.rope
func.func @nothing(%x: tensor<1x2x6x8xf32>, %c: tensor<1x1x6x8xf32>, %s: tensor<1x1x6x8xf32>) -> tensor<1x2x6x8xf32> {
  %x1 = graph.slice %x offsets affine_map<() -> (0, 0, 0, 0)> steps [1, 1, 1, 1] : tensor<1x2x6x8xf32> -> tensor<1x2x6x4xf32>
  %x2 = graph.slice %x offsets affine_map<() -> (0, 0, 0, 4)> steps [1, 1, 1, 1] : tensor<1x2x6x8xf32> -> tensor<1x2x6x4xf32>
  %n = graph.map (%x1) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>] {
  ^bb0(%u: f32):
    %m = arith.negf %u : f32
    graph.yield %m : f32
  } : (tensor<1x2x6x4xf32>) -> tensor<1x2x6x4xf32>
  %r = graph.concat %n, %x2 axis 3 : (tensor<1x2x6x4xf32>, tensor<1x2x6x4xf32>) -> tensor<1x2x6x8xf32>
  %y = graph.map (%x, %c, %r, %s) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>,
                                   affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>] {
  ^bb0(%u: f32, %v: f32, %w: f32, %z: f32):
    %a = arith.mulf %u, %v : f32
    %b = arith.mulf %w, %z : f32
    %m = arith.addf %a, %b : f32
    graph.yield %m : f32
  } : (tensor<1x2x6x8xf32>, tensor<1x1x6x8xf32>, tensor<1x2x6x8xf32>, tensor<1x1x6x8xf32>) -> tensor<1x2x6x8xf32>
  return %y : tensor<1x2x6x8xf32>
}
