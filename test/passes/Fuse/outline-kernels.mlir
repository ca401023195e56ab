// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-form-fusions),ciuic-outline-kernels)' --split-input-file | FileCheck %s

// Two layers with different weights run the same kernel; a third with another shape has its own.
// CHECK: graph.launch @main_matmul_0(%arg0, %{{.*}})
// CHECK: graph.launch @main_matmul_0(%{{.*}}, %{{.*}})
// CHECK: graph.launch @main_matmul_1
// CHECK: graph.kernel matmul @main_matmul_0
// CHECK: graph.kernel matmul @main_matmul_1
// CHECK-NOT: graph.kernel
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x16xf32> {
  %u = graph.weight "u" file 0 offset 0 bytes 256 : tensor<8x8xf32>
  %v = graph.weight "v" file 0 offset 256 bytes 256 : tensor<8x8xf32>
  %w = graph.weight "w" file 0 offset 512 bytes 512 : tensor<8x16xf32>
  %a = graph.matmul %x, %u : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %b = graph.matmul %a, %v : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %c = graph.matmul %b, %w : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
  return %c : tensor<4x16xf32>
}

// -----

// A weight that single rows are rounded for marks its argument; the same product by another weight is another kernel.
// CHECK-LABEL: func.func @rounded
// CHECK: graph.kernel matmul @rounded_matmul_0
// CHECK-SAME: args [{}, {graph.packing = #graph.packing<"int4g32", "rows", columns = 32, channels = 32, taps = 1, groups = 1>, graph.rounded}]
// CHECK: graph.kernel matmul @rounded_matmul_1
// CHECK-SAME: args [{}, {graph.packing = #graph.packing<"int4g32", "rows", columns = 32, channels = 32, taps = 1, groups = 1>}]
func.func @rounded(%x: tensor<1x32xf32>) -> tensor<1x32xf32> {
  %v = graph.weight "v" file 0 offset 0 bytes 4096 {packing = #graph.packing<"int4g32", "rows", columns = 32, channels = 32, taps = 1, groups = 1>, activation_error = 1.250000e-02 : f64} : tensor<32x32xf32>
  %w = graph.weight "w" file 0 offset 4096 bytes 4096 {packing = #graph.packing<"int4g32", "rows", columns = 32, channels = 32, taps = 1, groups = 1>} : tensor<32x32xf32>
  %a = graph.matmul %x, %v : (tensor<1x32xf32>, tensor<32x32xf32>) -> tensor<1x32xf32>
  %b = graph.matmul %a, %w : (tensor<1x32xf32>, tensor<32x32xf32>) -> tensor<1x32xf32>
  return %b : tensor<1x32xf32>
}

// -----

// CHECK-LABEL: func.func @nothing
// CHECK-NEXT: return
// CHECK-NOT: graph.kernel
func.func @nothing() {
  return
}
