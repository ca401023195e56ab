// RUN: ciuic-opt %s --ciuic-apply-formats --split-input-file --verify-diagnostics | FileCheck %s

// Both entries' ops of one place take the format; the plain twin of the same bytes and other weights stay.
// CHECK-LABEL: module
// CHECK-NOT: graph.formats
module attributes {graph.formats = [{file = 0 : i64, offset = 64 : i64, format = "int8", relative_error = 0.0078125 : f64, activation_error = 0.015625 : f64, predicted_loss = 0.25 : f64}]} {
  // CHECK: @prefill
  func.func @prefill(%x: tensor<4x32xf32>) -> (tensor<4x32xf32>, tensor<32x32xf32>) {
    // CHECK: graph.weight "w" file 0 offset 64 bytes 4096 {activation_error = 1.562500e-02 : f64, packing = #graph.packing<"int8", "rows", columns = 32, channels = 32, taps = 1, groups = 1>, predicted_loss = 2.500000e-01 : f64, relative_error = 7.812500e-03 : f64}
    %w = graph.weight "w" file 0 offset 64 bytes 4096 {packing = #graph.packing<"f32", "rows", columns = 32, channels = 32, taps = 1, groups = 1>} : tensor<32x32xf32>
    // CHECK: graph.weight "w" file 0 offset 64 bytes 4096 : tensor
    %plain = graph.weight "w" file 0 offset 64 bytes 4096 : tensor<32x32xf32>
    %y = graph.matmul %x, %w : (tensor<4x32xf32>, tensor<32x32xf32>) -> tensor<4x32xf32>
    return %y, %plain : tensor<4x32xf32>, tensor<32x32xf32>
  }
  // CHECK: @decode
  func.func @decode(%x: tensor<1x32xf32>) -> tensor<1x32xf32> {
    // CHECK: graph.packing<"int8", "rows"
    %w = graph.weight "w" file 0 offset 64 bytes 4096 {packing = #graph.packing<"f32", "rows", columns = 32, channels = 32, taps = 1, groups = 1>} : tensor<32x32xf32>
    // CHECK: graph.packing<"f32", "rows"
    %v = graph.weight "v" file 0 offset 8192 bytes 4096 {packing = #graph.packing<"f32", "rows", columns = 32, channels = 32, taps = 1, groups = 1>} : tensor<32x32xf32>
    %y = graph.matmul %x, %w : (tensor<1x32xf32>, tensor<32x32xf32>) -> tensor<1x32xf32>
    %z = graph.matmul %y, %v : (tensor<1x32xf32>, tensor<32x32xf32>) -> tensor<1x32xf32>
    return %z : tensor<1x32xf32>
  }
}

// -----

// Nothing recorded: nothing changes.
// CHECK-LABEL: func.func @nothing
// CHECK: graph.packing<"f32", "rows"
func.func @nothing(%x: tensor<1x32xf32>) -> tensor<1x32xf32> {
  %w = graph.weight "w" file 0 offset 64 bytes 4096 {packing = #graph.packing<"f32", "rows", columns = 32, channels = 32, taps = 1, groups = 1>} : tensor<32x32xf32>
  %y = graph.matmul %x, %w : (tensor<1x32xf32>, tensor<32x32xf32>) -> tensor<1x32xf32>
  return %y : tensor<1x32xf32>
}

// -----

// expected-error @+1 {{[internal.formats] graph.formats: no weight in panels at offset 64 of file 0}}
module attributes {graph.formats = [{file = 0 : i64, offset = 64 : i64, format = "int8"}]} {
}

// -----

// expected-error @+1 {{[internal.formats] graph.formats: unknown format 'int5'}}
module attributes {graph.formats = [{file = 0 : i64, offset = 64 : i64, format = "int5"}]} {
}
