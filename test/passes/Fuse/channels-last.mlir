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
