// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-widen-halves))' --split-input-file | FileCheck %s

// The activation is widened, the weight stays as stored, the result keeps its type.
// CHECK-LABEL: func.func @product
// CHECK: %[[WEIGHT:.*]] = graph.weight "w"
// CHECK: %[[WIDE:.*]] = graph.map(%arg0)
// CHECK: arith.extf %{{.*}} : f16 to f32
// CHECK: graph.matmul %[[WIDE]], %[[WEIGHT]] : (tensor<4x8xf32>, tensor<8x16xf16>) -> tensor<4x16xf16>
func.func @product(%x: tensor<4x8xf16>) -> tensor<4x16xf16> {
  %w = graph.weight "w" file 0 offset 0 bytes 256 : tensor<8x16xf16>
  %y = graph.matmul %x, %w : (tensor<4x8xf16>, tensor<8x16xf16>) -> tensor<4x16xf16>
  return %y : tensor<4x16xf16>
}

// Two activations: both; one tensor twice is widened once.
// CHECK-LABEL: func.func @square
// CHECK-COUNT-1: arith.extf
// CHECK: %[[X:.*]] = graph.matmul %[[W:.*]], %[[W]] {transpose_b}
// CHECK-NOT: arith.extf
func.func @square(%x: tensor<4x8xbf16>) -> tensor<4x4xbf16> {
  %y = graph.matmul %x, %x {transpose_b} : (tensor<4x8xbf16>, tensor<4x8xbf16>) -> tensor<4x4xbf16>
  return %y : tensor<4x4xbf16>
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
