// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-regroup-maps,canonicalize))' --split-input-file | FileCheck %s

// The map behind a norm, and the one before it that adds a value per image and channel.
// CHECK: #[[ALL:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
// CHECK: #[[IMAGE:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d2, d3)>
// CHECK-LABEL: func.func @around
// CHECK-DAG: %[[X:.*]] = graph.reshape %arg0 : tensor<2x8x8x64xf32> -> tensor<2x64x4x16xf32>
// CHECK-DAG: %[[T:.*]] = graph.reshape %arg1 : tensor<2x64xf32> -> tensor<2x4x16xf32>
// CHECK: %[[S:.*]] = graph.map(%[[X]], %[[T]]) [#[[ALL]], #[[IMAGE]]]
// CHECK: %[[N:.*]] = graph.group_norm %[[S]], %arg2, %arg3
// CHECK-NEXT: %[[Y:.*]] = graph.map(%[[N]]) [#[[ALL]]]
// CHECK: graph.reshape %[[Y]] : tensor<2x64x4x16xf32> -> tensor<2x8x8x64xf32>
func.func @around(%x: tensor<2x8x8x64xf32>, %t: tensor<2x64xf32>, %w: tensor<4x16xf32>, %v: tensor<4x16xf32>) -> tensor<2x8x8x64xf32> {
  %s = graph.map (%x, %t) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d3)>] {
  ^bb0(%a: f32, %b: f32):
    %c = arith.addf %a, %b : f32
    graph.yield %c : f32
  } : (tensor<2x8x8x64xf32>, tensor<2x64xf32>) -> tensor<2x8x8x64xf32>
  %g = graph.reshape %s : tensor<2x8x8x64xf32> -> tensor<2x64x4x16xf32>
  %n = graph.group_norm %g, %w, %v epsilon 1.0e-05 channels_last : (tensor<2x64x4x16xf32>, tensor<4x16xf32>, tensor<4x16xf32>) -> tensor<2x64x4x16xf32>
  %r = graph.reshape %n : tensor<2x64x4x16xf32> -> tensor<2x8x8x64xf32>
  %y = graph.map (%r) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>] {
  ^bb0(%a: f32):
    %c = arith.negf %a : f32
    graph.yield %c : f32
  } : (tensor<2x8x8x64xf32>) -> tensor<2x8x8x64xf32>
  return %y : tensor<2x8x8x64xf32>
}

// -----

// A bias before a norm stays where it is: the epilogue of what is before it. So does a map that knows its place.
// CHECK-LABEL: func.func @elsewhere
// CHECK: graph.map(%arg0, %arg1) {{.*}}
// CHECK: -> tensor<2x8x8x64xf32>
// CHECK: graph.group_norm
// CHECK: graph.reshape {{.*}} tensor<2x64x4x16xf32> -> tensor<2x8x8x64xf32>
// CHECK: graph.index 1
func.func @elsewhere(%x: tensor<2x8x8x64xf32>, %t: tensor<64xf32>, %w: tensor<4x16xf32>, %v: tensor<4x16xf32>) -> tensor<2x8x8x64xf32> {
  %s = graph.map (%x, %t) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d3)>] {
  ^bb0(%a: f32, %b: f32):
    %c = arith.addf %a, %b : f32
    graph.yield %c : f32
  } : (tensor<2x8x8x64xf32>, tensor<64xf32>) -> tensor<2x8x8x64xf32>
  %g = graph.reshape %s : tensor<2x8x8x64xf32> -> tensor<2x64x4x16xf32>
  %n = graph.group_norm %g, %w, %v epsilon 1.0e-05 channels_last : (tensor<2x64x4x16xf32>, tensor<4x16xf32>, tensor<4x16xf32>) -> tensor<2x64x4x16xf32>
  %r = graph.reshape %n : tensor<2x64x4x16xf32> -> tensor<2x8x8x64xf32>
  %y = graph.map (%r) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>] {
  ^bb0(%a: f32):
    %i = graph.index 1 : i64
    %f = arith.sitofp %i : i64 to f32
    %c = arith.addf %a, %f : f32
    graph.yield %c : f32
  } : (tensor<2x8x8x64xf32>) -> tensor<2x8x8x64xf32>
  return %y : tensor<2x8x8x64xf32>
}

// -----

// A value per image and channel, read at group · channels + channel.
// CHECK: #[[IMAGE:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d2, d3)>
// CHECK-LABEL: func.func @split
// CHECK: %[[T:.*]] = graph.reshape %arg1 : tensor<2x64xf32> -> tensor<2x4x16xf32>
// CHECK: graph.map(%arg0, %[[T]]) [#{{.*}}, #[[IMAGE]]]
func.func @split(%x: tensor<2x64x4x16xf32>, %t: tensor<2x64xf32>, %w: tensor<4x16xf32>, %v: tensor<4x16xf32>) -> tensor<2x64x4x16xf32> {
  %s = graph.map (%x, %t) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d2 * 16 + d3)>] {
  ^bb0(%a: f32, %b: f32):
    %c = arith.addf %a, %b : f32
    graph.yield %c : f32
  } : (tensor<2x64x4x16xf32>, tensor<2x64xf32>) -> tensor<2x64x4x16xf32>
  %n = graph.group_norm %s, %w, %v epsilon 1.0e-05 channels_last : (tensor<2x64x4x16xf32>, tensor<4x16xf32>, tensor<4x16xf32>) -> tensor<2x64x4x16xf32>
  return %n : tensor<2x64x4x16xf32>
}
