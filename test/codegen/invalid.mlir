// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the generator refuses, it names: every faulty kernel of a program is reported, at its place.
// REQUIRES: compiler
// RUN: not ciuic-kernels %s %t.so 2>&1 | FileCheck %s

// CHECK: invalid.mlir":[[#@LINE+1]]:{{.*}}kernel 'no_expansion': op 'math.cbrt' has no expansion
graph.kernel flat @no_expansion (tensor<4xf32>) -> (tensor<4xf32>) grid affine_map<() -> (1)> scratch 0 symbols [] {
^bb0(%a: tensor<4xf32>):
  %r = graph.map (%a) [affine_map<(d0) -> (d0)>] {
  ^bb0(%x: f32):
    %y = math.cbrt %x : f32
    graph.yield %y : f32
  } : (tensor<4xf32>) -> tensor<4xf32>
  graph.yield %r : tensor<4xf32>
}

// CHECK: invalid.mlir":[[#@LINE+1]]:{{.*}}kernel 'wide_function': op 'math.exp' on f64: only f32 and narrower are computed
graph.kernel flat @wide_function (tensor<4xf64>) -> (tensor<4xf64>) grid affine_map<() -> (1)> scratch 0 symbols [] {
^bb0(%a: tensor<4xf64>):
  %r = graph.map (%a) [affine_map<(d0) -> (d0)>] {
  ^bb0(%x: f64):
    %y = math.exp %x : f64
    graph.yield %y : f64
  } : (tensor<4xf64>) -> tensor<4xf64>
  graph.yield %r : tensor<4xf64>
}

// CHECK: invalid.mlir":[[#@LINE+1]]:{{.*}}kernel 'other_shape': a flat kernel's results share one shape
graph.kernel flat @other_shape (tensor<4xf32>) -> (tensor<4xf32>, tensor<2xf32>) grid affine_map<() -> (1)> scratch 0 symbols [] {
^bb0(%a: tensor<4xf32>):
  %s = graph.slice %a offsets affine_map<() -> (0)> steps [2] : tensor<4xf32> -> tensor<2xf32>
  graph.yield %a, %s : tensor<4xf32>, tensor<2xf32>
}

// CHECK: invalid.mlir":[[#@LINE+1]]:{{.*}}kernel 'far_read': a reduction is read at another index than the unit's
graph.kernel row @far_read (tensor<4x8xf32>) -> (tensor<4x8xf32>) grid affine_map<() -> (1)> scratch 0 symbols [] {
^bb0(%a: tensor<4x8xf32>):
  %s = graph.reduce sum %a dims [1] : tensor<4x8xf32> -> tensor<4x1xf32>
  %r = graph.map (%a, %s) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (3 - d0, 0)>] {
  ^bb0(%x: f32, %y: f32):
    %d = arith.subf %x, %y : f32
    graph.yield %d : f32
  } : (tensor<4x8xf32>, tensor<4x1xf32>) -> tensor<4x8xf32>
  graph.yield %r : tensor<4x8xf32>
}
