// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-raise-group-norm,canonicalize))' --split-input-file | FileCheck %s

// CHECK-LABEL: func.func @instance
// CHECK-DAG: %[[X:.*]] = graph.reshape %arg0 : tensor<2x64x8x8xf16> -> tensor<2x4x16x64xf16>
// CHECK-DAG: %[[W:.*]] = graph.reshape %arg1 : tensor<64x1x1xf16> -> tensor<4x16xf16>
// CHECK-DAG: %[[V:.*]] = graph.reshape %arg2 : tensor<64x1x1xf16> -> tensor<4x16xf16>
// CHECK: %[[N:.*]] = graph.group_norm %[[X]], %[[W]], %[[V]] epsilon 9.99999974E-6 channels_first
// CHECK: %[[Y:.*]] = graph.reshape %[[N]] : tensor<2x4x16x64xf16> -> tensor<2x64x8x8xf16>
// CHECK-NEXT: return %[[Y]]
func.func @instance(%x: tensor<2x64x8x8xf16>, %w: tensor<64x1x1xf16>, %v: tensor<64x1x1xf16>) -> tensor<2x64x8x8xf16> {
  %ones = graph.constant dense<1.0> : tensor<4x1xf16>
  %zeros = graph.constant dense<0.0> : tensor<4x1xf16>
  %g = graph.reshape %x : tensor<2x64x8x8xf16> -> tensor<2x4x1x1024xf16>
  %n = graph.group_norm %g, %ones, %zeros epsilon 9.99999974E-6 channels_first : (tensor<2x4x1x1024xf16>, tensor<4x1xf16>, tensor<4x1xf16>) -> tensor<2x4x1x1024xf16>
  %r = graph.reshape %n : tensor<2x4x1x1024xf16> -> tensor<2x64x8x8xf16>
  %p = graph.map (%r, %w) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d1, 0, 0)>] {
  ^bb0(%a: f16, %b: f16):
    %s = arith.mulf %a, %b : f16
    graph.yield %s : f16
  } : (tensor<2x64x8x8xf16>, tensor<64x1x1xf16>) -> tensor<2x64x8x8xf16>
  %y = graph.map (%p, %v) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d1, 0, 0)>] {
  ^bb0(%a: f16, %b: f16):
    %s = arith.addf %a, %b : f16
    graph.yield %s : f16
  } : (tensor<2x64x8x8xf16>, tensor<64x1x1xf16>) -> tensor<2x64x8x8xf16>
  return %y : tensor<2x64x8x8xf16>
}

// -----

// A norm with a scale of its own is another function.
// CHECK-LABEL: func.func @scaled
// CHECK: graph.group_norm {{.*}} tensor<2x4x1x1024xf16>
// CHECK: arith.mulf
func.func @scaled(%x: tensor<2x64x8x8xf16>, %w: tensor<64xf16>) -> tensor<2x64x8x8xf16> {
  %twos = graph.constant dense<2.0> : tensor<4x1xf16>
  %zeros = graph.constant dense<0.0> : tensor<4x1xf16>
  %g = graph.reshape %x : tensor<2x64x8x8xf16> -> tensor<2x4x1x1024xf16>
  %n = graph.group_norm %g, %twos, %zeros epsilon 9.99999974E-6 channels_first : (tensor<2x4x1x1024xf16>, tensor<4x1xf16>, tensor<4x1xf16>) -> tensor<2x4x1x1024xf16>
  %r = graph.reshape %n : tensor<2x4x1x1024xf16> -> tensor<2x64x8x8xf16>
  %y = graph.map (%r, %w, %w) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d1)>, affine_map<(d0, d1, d2, d3) -> (d1)>] {
  ^bb0(%a: f16, %b: f16, %c: f16):
    %s = arith.mulf %a, %b : f16
    %t = arith.addf %s, %c : f16
    graph.yield %t : f16
  } : (tensor<2x64x8x8xf16>, tensor<64xf16>, tensor<64xf16>) -> tensor<2x64x8x8xf16>
  return %y : tensor<2x64x8x8xf16>
}
