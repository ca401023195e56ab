// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-channels-last,canonicalize))' --split-input-file | FileCheck %s

// Between two convolutions nothing is transposed: the restoring transpose sinks below the relu and cancels.
// CHECK-LABEL: func.func @chain
// CHECK: %[[IN:.*]] = graph.transpose %arg0 [0, 2, 3, 1] : tensor<1x3x8x8xf32> -> tensor<1x8x8x3xf32>
// CHECK: %[[C:.*]] = graph.conv %[[IN]], %{{.*}} channels_last
// CHECK: %[[R:.*]] = graph.map(%[[C]])
// CHECK-NOT: graph.transpose
// CHECK: %[[D:.*]] = graph.conv %[[R]], %{{.*}} channels_last
// CHECK: %[[OUT:.*]] = graph.transpose %[[D]] [0, 3, 1, 2]
// CHECK: return %[[OUT]]
func.func @chain(%x: tensor<1x3x8x8xf32>) -> tensor<1x4x8x8xf32> {
  %w = graph.weight "w" file 0 offset 0 bytes 192 : tensor<16x3x1x1xf32>
  %v = graph.weight "v" file 0 offset 192 bytes 256 : tensor<4x16x1x1xf32>
  %c = graph.conv %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 channels_first : (tensor<1x3x8x8xf32>, tensor<16x3x1x1xf32>) -> tensor<1x16x8x8xf32>
  %r = graph.map (%c) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>] {
  ^bb0(%a: f32):
    %z = arith.constant 0.0 : f32
    %m = arith.maximumf %a, %z : f32
    graph.yield %m : f32
  } : (tensor<1x16x8x8xf32>) -> tensor<1x16x8x8xf32>
  %d = graph.conv %r, %v strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 channels_first : (tensor<1x16x8x8xf32>, tensor<4x16x1x1xf32>) -> tensor<1x4x8x8xf32>
  return %d : tensor<1x4x8x8xf32>
}

// -----

// A reduction over the spatial dims 2 and 3 becomes one over 1 and 2.
// CHECK-LABEL: func.func @reduce
// CHECK: graph.reduce mean %{{.*}} dims [1, 2] : tensor<1x8x8x16xf32> -> tensor<1x1x1x16xf32>
func.func @reduce(%x: tensor<1x3x8x8xf32>) -> tensor<1x16x1x1xf32> {
  %w = graph.weight "w" file 0 offset 0 bytes 192 : tensor<16x3x1x1xf32>
  %c = graph.conv %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 channels_first : (tensor<1x3x8x8xf32>, tensor<16x3x1x1xf32>) -> tensor<1x16x8x8xf32>
  %m = graph.reduce mean %c dims [2, 3] : tensor<1x16x8x8xf32> -> tensor<1x16x1x1xf32>
  return %m : tensor<1x16x1x1xf32>
}

// -----

// No image op: nothing moves.
// CHECK-LABEL: func.func @nothing
// CHECK: graph.transpose %arg0 [0, 3, 1, 2]
// CHECK-NEXT: return
func.func @nothing(%x: tensor<1x8x8x3xf32>) -> tensor<1x3x8x8xf32> {
  %t = graph.transpose %x [0, 3, 1, 2] : tensor<1x8x8x3xf32> -> tensor<1x3x8x8xf32>
  return %t : tensor<1x3x8x8xf32>
}

// -----

// A group norm between convolutions leaves no transpose, nor does one over pixels in one dim.
// CHECK-LABEL: func.func @group_norm
// CHECK-SAME: (%[[X:.*]]: tensor<2x8x6x6xf32>
// CHECK: graph.transpose %[[X]] [0, 2, 3, 1]
// CHECK: graph.conv
// CHECK: graph.group_norm {{.*}} channels_last : (tensor<2x36x4x2xf32>
// CHECK-NOT: graph.transpose
// CHECK: graph.conv
func.func @group_norm(%x: tensor<2x8x6x6xf32>, %f: tensor<8x8x3x3xf32>, %w: tensor<4x2xf32>, %v: tensor<4x2xf32>) -> tensor<2x8x6x6xf32> {
  %a = graph.conv %x, %f strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] group 1 channels_first : (tensor<2x8x6x6xf32>, tensor<8x8x3x3xf32>) -> tensor<2x8x6x6xf32>
  %g = graph.reshape %a : tensor<2x8x6x6xf32> -> tensor<2x4x2x36xf32>
  %n = graph.group_norm %g, %w, %v epsilon 1.0e-05 channels_first : (tensor<2x4x2x36xf32>, tensor<4x2xf32>, tensor<4x2xf32>) -> tensor<2x4x2x36xf32>
  %l = graph.reshape %n : tensor<2x4x2x36xf32> -> tensor<2x8x36xf32>
  %m = graph.map (%l) [affine_map<(d0, d1, d2) -> (d0, d1, d2)>] {
  ^bb0(%e: f32):
    %c = arith.negf %e : f32
    graph.yield %c : f32
  } : (tensor<2x8x36xf32>) -> tensor<2x8x36xf32>
  %r = graph.reshape %m : tensor<2x8x36xf32> -> tensor<2x8x6x6xf32>
  %y = graph.conv %r, %f strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] group 1 channels_first : (tensor<2x8x6x6xf32>, tensor<8x8x3x3xf32>) -> tensor<2x8x6x6xf32>
  return %y : tensor<2x8x6x6xf32>
}
