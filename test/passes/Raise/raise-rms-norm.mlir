// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-raise-rms-norm,canonicalize))' --split-input-file | FileCheck %s

// As PyTorch's exporter writes it: power, mean, ε, root, reciprocal, product, scale.
// CHECK-LABEL: func.func @reciprocal
// CHECK-NEXT: %[[W:.*]] = graph.weight
// CHECK-NEXT: %[[Y:.*]] = graph.rms_norm %arg0, %[[W]] epsilon 9.99999974E-6 : (tensor<1x8x64xf32>, tensor<64xf32>) -> tensor<1x8x64xf32>
// CHECK-NEXT: return %[[Y]]
func.func @reciprocal(%x: tensor<1x8x64xf32>) -> tensor<1x8x64xf32> {
  %w = graph.weight "w" file 0 offset 0 bytes 256 : tensor<64xf32>
  %p = graph.map (%x) [affine_map<(d0, d1, d2) -> (d0, d1, d2)>] {
  ^bb0(%a: f32):
    %s = arith.mulf %a, %a : f32
    graph.yield %s : f32
  } : (tensor<1x8x64xf32>) -> tensor<1x8x64xf32>
  %m = graph.reduce mean %p dims [2] : tensor<1x8x64xf32> -> tensor<1x8x1xf32>
  %e = graph.map (%m) [affine_map<(d0, d1, d2) -> (d0, d1, d2)>] {
  ^bb0(%a: f32):
    %c = arith.constant 9.99999974E-6 : f32
    %s = arith.addf %a, %c : f32
    graph.yield %s : f32
  } : (tensor<1x8x1xf32>) -> tensor<1x8x1xf32>
  %r = graph.map (%e) [affine_map<(d0, d1, d2) -> (d0, d1, d2)>] {
  ^bb0(%a: f32):
    %s = math.sqrt %a : f32
    %one = arith.constant 1.0 : f32
    %d = arith.divf %one, %s : f32
    graph.yield %d : f32
  } : (tensor<1x8x1xf32>) -> tensor<1x8x1xf32>
  %n = graph.map (%x, %r) [affine_map<(d0, d1, d2) -> (d0, d1, d2)>, affine_map<(d0, d1, d2) -> (d0, d1, 0)>] {
  ^bb0(%a: f32, %b: f32):
    %s = arith.mulf %a, %b : f32
    graph.yield %s : f32
  } : (tensor<1x8x64xf32>, tensor<1x8x1xf32>) -> tensor<1x8x64xf32>
  %y = graph.map (%w, %n) [affine_map<(d0, d1, d2) -> (d2)>, affine_map<(d0, d1, d2) -> (d0, d1, d2)>] {
  ^bb0(%a: f32, %b: f32):
    %s = arith.mulf %a, %b : f32
    graph.yield %s : f32
  } : (tensor<64xf32>, tensor<1x8x64xf32>) -> tensor<1x8x64xf32>
  return %y : tensor<1x8x64xf32>
}

// -----

// A division, the dims symbolic, the scale [1, 64]; what is normalised is itself a product, which stays as it is.
// CHECK-LABEL: func.func @division
// CHECK: %[[X:.*]] = graph.map(%arg0, %arg1)
// CHECK: %[[W:.*]] = graph.reshape %arg2 : tensor<1x64xf32> -> tensor<64xf32>
// CHECK: graph.rms_norm %[[X]], %[[W]] epsilon 1.000000e-03
func.func @division(%g: tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>, %u: tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>, %w: tensor<1x64xf32>)
    -> tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>> attributes {graph.symbols = [#graph.symbol<"rows", 1, 8>]} {
  %x = graph.map (%g, %u) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f32, %b: f32):
    %s = arith.mulf %a, %b : f32
    graph.yield %s : f32
  } : (tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>, tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>) -> tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>
  %p = graph.map (%x) [affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f32):
    %c = arith.constant 2.0 : f32
    %s = math.powf %a, %c : f32
    graph.yield %s : f32
  } : (tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>) -> tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>
  %m = graph.reduce mean %p dims [1] : tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>> -> tensor<?x1xf32, affine_map<()[s0] -> (s0, 1)>>
  %y = graph.map (%x, %m, %w) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, 0)>, affine_map<(d0, d1) -> (0, d1)>] {
  ^bb0(%a: f32, %b: f32, %v: f32):
    %c = arith.constant 1.0e-3 : f32
    %e = arith.addf %c, %b : f32
    %r = math.sqrt %e : f32
    %s = arith.mulf %a, %v : f32
    %d = arith.divf %s, %r : f32
    graph.yield %d : f32
  } : (tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>, tensor<?x1xf32, affine_map<()[s0] -> (s0, 1)>>, tensor<1x64xf32>) -> tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>
  return %y : tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>
}

// -----

// The root is of another tensor's mean: no norm.
// CHECK-LABEL: func.func @nothing
// CHECK-NOT: graph.rms_norm
func.func @nothing(%x: tensor<8x64xf32>, %z: tensor<8x64xf32>, %w: tensor<64xf32>) -> tensor<8x64xf32> {
  %p = graph.map (%z) [affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f32):
    %s = arith.mulf %a, %a : f32
    graph.yield %s : f32
  } : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %m = graph.reduce mean %p dims [1] : tensor<8x64xf32> -> tensor<8x1xf32>
  %y = graph.map (%x, %m, %w) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, 0)>, affine_map<(d0, d1) -> (d1)>] {
  ^bb0(%a: f32, %b: f32, %v: f32):
    %c = arith.constant 1.0e-3 : f32
    %e = arith.addf %c, %b : f32
    %r = math.sqrt %e : f32
    %s = arith.mulf %a, %v : f32
    %d = arith.divf %s, %r : f32
    graph.yield %d : f32
  } : (tensor<8x64xf32>, tensor<8x1xf32>, tensor<64xf32>) -> tensor<8x64xf32>
  return %y : tensor<8x64xf32>
}

// -----

// As exporters write it in f16: widened, normed in f32, rounded, then scaled. One norm of the halves.
// CHECK-LABEL: func.func @halves
// CHECK-NEXT: %[[N:.*]] = graph.rms_norm %arg0, %arg1 epsilon {{.*}} : (tensor<8x64xf16>, tensor<64xf16>) -> tensor<8x64xf16>
// CHECK-NEXT: return %[[N]]
func.func @halves(%h: tensor<8x64xf16>, %w: tensor<64xf16>) -> tensor<8x64xf16> {
  %x = graph.map (%h) [affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f16):
    %e = arith.extf %a : f16 to f32
    graph.yield %e : f32
  } : (tensor<8x64xf16>) -> tensor<8x64xf32>
  %p = graph.map (%x) [affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f32):
    %s = arith.mulf %a, %a : f32
    graph.yield %s : f32
  } : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %m = graph.reduce mean %p dims [1] : tensor<8x64xf32> -> tensor<8x1xf32>
  %y = graph.map (%x, %m, %w) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, 0)>, affine_map<(d0, d1) -> (d1)>] {
  ^bb0(%a: f32, %b: f32, %v: f16):
    %c = arith.constant 1.0e-5 : f32
    %one = arith.constant 1.0 : f32
    %e = arith.addf %c, %b : f32
    %r = math.sqrt %e : f32
    %i = arith.divf %one, %r : f32
    %n = arith.mulf %a, %i : f32
    %t = arith.truncf %n : f32 to f16
    %g = arith.extf %t : f16 to f32
    %u = arith.extf %v : f16 to f32
    %d = arith.mulf %u, %g : f32
    %z = arith.truncf %d : f32 to f16
    graph.yield %z : f16
  } : (tensor<8x64xf32>, tensor<8x1xf32>, tensor<64xf16>) -> tensor<8x64xf16>
  return %y : tensor<8x64xf16>
}
