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

// CHECK-LABEL: func.func @nothing
// CHECK-NEXT: return
// CHECK-NOT: graph.kernel
func.func @nothing() {
  return
}
