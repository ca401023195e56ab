// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-raise-layer-norm,canonicalize))' --split-input-file | FileCheck %s

// CHECK-LABEL: func.func @bias
// CHECK-NEXT: %[[Y:.*]] = graph.layer_norm %arg0, %arg1, %arg2 epsilon 9.99999974E-6
// CHECK-NEXT: return %[[Y]]
func.func @bias(%x: tensor<8x64xf32>, %w: tensor<64xf32>, %v: tensor<64xf32>) -> tensor<8x64xf32> {
  %m = graph.reduce mean %x dims [1] : tensor<8x64xf32> -> tensor<8x1xf32>
  %c = graph.map (%x, %m) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, 0)>] {
  ^bb0(%a: f32, %b: f32):
    %s = arith.subf %a, %b : f32
    graph.yield %s : f32
  } : (tensor<8x64xf32>, tensor<8x1xf32>) -> tensor<8x64xf32>
  %p = graph.map (%c) [affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f32):
    %s = arith.mulf %a, %a : f32
    graph.yield %s : f32
  } : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %q = graph.reduce mean %p dims [1] : tensor<8x64xf32> -> tensor<8x1xf32>
  %r = graph.map (%q) [affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f32):
    %e = arith.constant 9.99999974E-6 : f32
    %s = arith.addf %a, %e : f32
    %t = math.sqrt %s : f32
    graph.yield %t : f32
  } : (tensor<8x1xf32>) -> tensor<8x1xf32>
  %n = graph.map (%c, %r) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, 0)>] {
  ^bb0(%a: f32, %b: f32):
    %s = arith.divf %a, %b : f32
    graph.yield %s : f32
  } : (tensor<8x64xf32>, tensor<8x1xf32>) -> tensor<8x64xf32>
  %o = graph.map (%n, %w) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>] {
  ^bb0(%a: f32, %b: f32):
    %s = arith.mulf %a, %b : f32
    graph.yield %s : f32
  } : (tensor<8x64xf32>, tensor<64xf32>) -> tensor<8x64xf32>
  %y = graph.map (%o, %v) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>] {
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    graph.yield %s : f32
  } : (tensor<8x64xf32>, tensor<64xf32>) -> tensor<8x64xf32>
  return %y : tensor<8x64xf32>
}

// -----

// What is added is no vector: it stays a map of its own.
// CHECK-LABEL: func.func @no_bias
// CHECK: %[[N:.*]] = graph.layer_norm %arg0, %arg1 epsilon 1.000000e-03
// CHECK: graph.map(%[[N]], %arg2)
func.func @no_bias(%x: tensor<8x64xf32>, %w: tensor<64xf32>, %z: tensor<8x64xf32>) -> tensor<8x64xf32> {
  %m = graph.reduce mean %x dims [1] : tensor<8x64xf32> -> tensor<8x1xf32>
  %c = graph.map (%x, %m) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, 0)>] {
  ^bb0(%a: f32, %b: f32):
    %s = arith.subf %a, %b : f32
    graph.yield %s : f32
  } : (tensor<8x64xf32>, tensor<8x1xf32>) -> tensor<8x64xf32>
  %p2 = graph.map (%c) [affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f32):
    %s = arith.mulf %a, %a : f32
    graph.yield %s : f32
  } : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %q = graph.reduce mean %p2 dims [1] : tensor<8x64xf32> -> tensor<8x1xf32>
  %o = graph.map (%c, %q, %w) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, 0)>, affine_map<(d0, d1) -> (d1)>] {
  ^bb0(%a: f32, %b: f32, %v: f32):
    %e = arith.constant 1.0e-3 : f32
    %s = arith.addf %b, %e : f32
    %t = math.sqrt %s : f32
    %d = arith.divf %a, %t : f32
    %y = arith.mulf %v, %d : f32
    graph.yield %y : f32
  } : (tensor<8x64xf32>, tensor<8x1xf32>, tensor<64xf32>) -> tensor<8x64xf32>
  %y = graph.map (%o, %z) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    graph.yield %s : f32
  } : (tensor<8x64xf32>, tensor<8x64xf32>) -> tensor<8x64xf32>
  return %y : tensor<8x64xf32>
}

// -----

// The variance is of x itself, not of x − mean: no layer norm.
// CHECK-LABEL: func.func @nothing
// CHECK-NOT: graph.layer_norm
func.func @nothing(%x: tensor<8x64xf32>, %w: tensor<64xf32>) -> tensor<8x64xf32> {
  %p = graph.map (%x) [affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f32):
    %s = arith.mulf %a, %a : f32
    graph.yield %s : f32
  } : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %m = graph.reduce mean %x dims [1] : tensor<8x64xf32> -> tensor<8x1xf32>
  %q = graph.reduce mean %p dims [1] : tensor<8x64xf32> -> tensor<8x1xf32>
  %o = graph.map (%x, %m, %q, %w) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, 0)>, affine_map<(d0, d1) -> (d0, 0)>, affine_map<(d0, d1) -> (d1)>] {
  ^bb0(%a: f32, %n: f32, %b: f32, %v: f32):
    %c = arith.subf %a, %n : f32
    %e = arith.constant 1.0e-3 : f32
    %s = arith.addf %b, %e : f32
    %t = math.sqrt %s : f32
    %d = arith.divf %c, %t : f32
    %y = arith.mulf %v, %d : f32
    graph.yield %y : f32
  } : (tensor<8x64xf32>, tensor<8x1xf32>, tensor<8x1xf32>, tensor<64xf32>) -> tensor<8x64xf32>
  return %o : tensor<8x64xf32>
}
