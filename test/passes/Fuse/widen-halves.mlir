// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-widen-halves))' --split-input-file | FileCheck %s

// The activation is widened, the weight stays as stored, the result is rounded where it leaves.
// CHECK-LABEL: func.func @product
// CHECK: %[[WEIGHT:.*]] = graph.weight "w"
// CHECK: %[[WIDE:.*]] = graph.map(%arg0)
// CHECK: arith.extf %{{.*}} : f16 to f32
// CHECK: %[[Y:.*]] = graph.matmul %[[WIDE]], %[[WEIGHT]] : (tensor<4x8xf32>, tensor<8x16xf16>) -> tensor<4x16xf32>
// CHECK: %[[H:.*]] = graph.map(%[[Y]])
// CHECK: arith.truncf %{{.*}} : f32 to f16
// CHECK: return %[[H]] : tensor<4x16xf16>
func.func @product(%x: tensor<4x8xf16>) -> tensor<4x16xf16> {
  %w = graph.weight "w" file 0 offset 0 bytes 256 : tensor<8x16xf16>
  %y = graph.matmul %x, %w : (tensor<4x8xf16>, tensor<8x16xf16>) -> tensor<4x16xf16>
  return %y : tensor<4x16xf16>
}

// Two activations: both; one tensor twice is widened once.
// CHECK-LABEL: func.func @square
// CHECK-COUNT-1: arith.extf
// CHECK: graph.matmul %[[W:.*]], %[[W]] {transpose_b}
// CHECK-NOT: arith.extf
// CHECK-COUNT-1: arith.truncf
func.func @square(%x: tensor<4x8xbf16>) -> tensor<4x4xbf16> {
  %y = graph.matmul %x, %x {transpose_b} : (tensor<4x8xbf16>, tensor<4x8xbf16>) -> tensor<4x4xbf16>
  return %y : tensor<4x4xbf16>
}

// Mean of squares of a row, the row behind it: 300² is beyond f16, so nothing between is one. A
// stored half is widened in the map that reads it, a reduction's operand by a map in front.
// CHECK-LABEL: func.func @squares
// CHECK: %[[SQUARES:.*]] = graph.map(%arg0)
// CHECK: ^bb0(%[[A:.*]]: f16):
// CHECK-NEXT: %[[E:.*]] = arith.extf %[[A]] : f16 to f32
// CHECK-NEXT: %[[P:.*]] = arith.mulf %[[E]], %[[E]] : f32
// CHECK-NEXT: graph.yield %[[P]] : f32
// CHECK: %[[MEAN:.*]] = graph.reduce mean %[[SQUARES]] dims [1] : tensor<4x8xf32> -> tensor<4x1xf32>
// CHECK: graph.map(%arg0, %[[MEAN]])
// CHECK: arith.constant 1.00135803E-5 : f32
// CHECK: graph.map
// CHECK: arith.truncf
func.func @squares(%x: tensor<4x8xf16>) -> tensor<4x8xf16> {
  %s = graph.map (%x) [affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f16):
    %e = arith.extf %a : f16 to f32
    %p = arith.mulf %e, %e : f32
    %t = arith.truncf %p : f32 to f16
    graph.yield %t : f16
  } : (tensor<4x8xf16>) -> tensor<4x8xf16>
  %m = graph.reduce mean %s dims [1] : tensor<4x8xf16> -> tensor<4x1xf16>
  %y = graph.map (%x, %m) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, 0)>] {
  ^bb0(%a: f16, %b: f16):
    %e = arith.constant 1.0e-5 : f16
    %c = arith.addf %b, %e : f16
    %r = arith.divf %a, %c : f16
    graph.yield %r : f16
  } : (tensor<4x8xf16>, tensor<4x1xf16>) -> tensor<4x8xf16>
  return %y : tensor<4x8xf16>
}

// Casts: one that widens has nothing left to do; one that narrows an operand rounds still, where one behind a computation
// (above) would only have been for storing it.
// CHECK-LABEL: func.func @casts
// CHECK: graph.map(%arg0)
// CHECK: %[[H:.*]] = arith.truncf %{{.*}} : f32 to f16
// CHECK: %[[W:.*]] = arith.extf %[[H]] : f16 to f32
// CHECK: graph.yield %[[W]] : f32
// CHECK: graph.map
// CHECK: ^bb0(%[[B:.*]]: f32):
// CHECK-NEXT: arith.addf %[[B]], %[[B]] : f32
// CHECK: return %{{.*}} : tensor<8xf32>
func.func @casts(%x: tensor<8xf32>) -> tensor<8xf32> {
  %h = graph.map (%x) [affine_map<(d0) -> (d0)>] {
  ^bb0(%a: f32):
    %t = arith.truncf %a : f32 to f16
    graph.yield %t : f16
  } : (tensor<8xf32>) -> tensor<8xf16>
  %y = graph.map (%h) [affine_map<(d0) -> (d0)>] {
  ^bb0(%a: f16):
    %e = arith.extf %a : f16 to f32
    %s = arith.addf %e, %e : f32
    graph.yield %s : f32
  } : (tensor<8xf16>) -> tensor<8xf32>
  return %y : tensor<8xf32>
}

// What is only moved stays as it is stored; a stored past takes what is appended in its type.
// CHECK-LABEL: func.func @stored
// CHECK: graph.concat %arg0, %arg1 axis 0 : (tensor<2x8xf16>, tensor<3x8xf16>) -> tensor<5x8xf16>
// CHECK: %[[S:.*]] = graph.softmax %{{.*}} : tensor<3x8xf32>
// CHECK: %[[F:.*]] = graph.map(%[[S]])
// CHECK: arith.truncf
// CHECK: graph.append %arg0, %[[F]] axis 0 : (tensor<2x8xf16>, tensor<3x8xf16>) -> tensor<5x8xf16>
// CHECK-NOT: graph.map
func.func @stored(%past: tensor<2x8xf16>, %x: tensor<3x8xf16>) -> (tensor<5x8xf16>, tensor<5x8xf16>) {
  %c = graph.concat %past, %x axis 0 : (tensor<2x8xf16>, tensor<3x8xf16>) -> tensor<5x8xf16>
  %s = graph.softmax %x : tensor<3x8xf16>
  %a = graph.append %past, %s axis 0 : (tensor<2x8xf16>, tensor<3x8xf16>) -> tensor<5x8xf16>
  return %c, %a : tensor<5x8xf16>, tensor<5x8xf16>
}

// Does nothing to f32.
// CHECK-LABEL: func.func @wide
// CHECK-NOT: graph.map
func.func @wide(%x: tensor<4x8xf32>, %y: tensor<8x2xf32>) -> tensor<4x2xf32> {
  %z = graph.matmul %x, %y : (tensor<4x8xf32>, tensor<8x2xf32>) -> tensor<4x2xf32>
  return %z : tensor<4x2xf32>
}

// -----

// CUDA reads halves; a mask takes their type, its addends no lower than the type's least value.
// CHECK-LABEL: func.func @cuda
// CHECK: %[[M:.*]] = graph.map(%arg3)
// CHECK: arith.constant -6.550400e+04 : f32
// CHECK: arith.maximumf
// CHECK: arith.truncf
// CHECK: graph.attention %arg0 bhsd, %arg1 bhsd, %arg2 bhsd mask %[[M]]
module attributes {graph.device = "cuda"} {
func.func @cuda(%q: tensor<1x2x6x16xf16>, %k: tensor<1x2x6x16xf16>, %v: tensor<1x2x6x16xf16>, %m: tensor<1x1x6x6xf32>) -> tensor<1x2x6x16xf16> {
  %a = graph.attention %q bhsd, %k bhsd, %v bhsd mask %m scale 1.0 to bhsd : (tensor<1x2x6x16xf16>, tensor<1x2x6x16xf16>, tensor<1x2x6x16xf16>, tensor<1x1x6x6xf32>) -> tensor<1x2x6x16xf16>
  return %a : tensor<1x2x6x16xf16>
}
}
