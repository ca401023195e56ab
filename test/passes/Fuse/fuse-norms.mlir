// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-form-fusions),ciuic-select-layouts,func.func(ciuic-fuse-norms))' --split-input-file | FileCheck %s

// The product of one row of 128 halves takes the norm in front of it.
// CHECK-LABEL: func.func @one
// CHECK-SAME: (%[[X:.*]]: tensor<1x128xf16>)
// CHECK: %[[S:.*]] = graph.weight "s"
// CHECK-NOT: fusion row
// CHECK: graph.fusion matmul(%[[X]], %{{.*}}, %[[S]])
// CHECK: %[[N:.*]] = graph.rms_norm
// CHECK: graph.matmul %[[N]],
module attributes {graph.device = "cuda"} {
func.func @one(%x: tensor<1x128xf16>) -> tensor<1x256xf16> {
  %s = graph.weight "s" file 0 offset 65536 bytes 256 : tensor<128xf16>
  %w = graph.weight "w" file 0 offset 0 bytes 65536 : tensor<128x256xf16>
  %n = graph.rms_norm %x, %s epsilon 1.0e-5 : (tensor<1x128xf16>, tensor<128xf16>) -> tensor<1x128xf16>
  %y = graph.matmul %n, %w : (tensor<1x128xf16>, tensor<128x256xf16>) -> tensor<1x256xf16>
  return %y : tensor<1x256xf16>
}
}

// -----

// Not 17 rows, which are no matrix-vector product; not a norm that something else reads; not f32 rows by 128 KiB of f32 weights,
// which would wait for it longer than a launch takes, but those by 64 MiB.
// CHECK-LABEL: func.func @many
// CHECK: fusion row
// CHECK-LABEL: func.func @shared
// CHECK: fusion row
// CHECK-LABEL: func.func @plain
// CHECK: fusion row
// CHECK-LABEL: func.func @large
// CHECK-NOT: fusion row
// CHECK: graph.rms_norm
module attributes {graph.device = "cuda"} {
func.func @many(%x: tensor<17x128xf16>) -> tensor<17x256xf16> {
  %s = graph.weight "s" file 0 offset 65536 bytes 256 : tensor<128xf16>
  %w = graph.weight "w" file 0 offset 0 bytes 65536 : tensor<128x256xf16>
  %n = graph.rms_norm %x, %s epsilon 1.0e-5 : (tensor<17x128xf16>, tensor<128xf16>) -> tensor<17x128xf16>
  %y = graph.matmul %n, %w : (tensor<17x128xf16>, tensor<128x256xf16>) -> tensor<17x256xf16>
  return %y : tensor<17x256xf16>
}
func.func @shared(%x: tensor<1x128xf16>) -> (tensor<1x256xf16>, tensor<1x128xf16>) {
  %s = graph.weight "s" file 0 offset 65536 bytes 256 : tensor<128xf16>
  %w = graph.weight "w" file 0 offset 0 bytes 65536 : tensor<128x256xf16>
  %n = graph.rms_norm %x, %s epsilon 1.0e-5 : (tensor<1x128xf16>, tensor<128xf16>) -> tensor<1x128xf16>
  %y = graph.matmul %n, %w : (tensor<1x128xf16>, tensor<128x256xf16>) -> tensor<1x256xf16>
  return %y, %n : tensor<1x256xf16>, tensor<1x128xf16>
}
func.func @plain(%x: tensor<1x128xf32>) -> tensor<1x256xf32> {
  %s = graph.weight "s" file 0 offset 131072 bytes 512 : tensor<128xf32>
  %w = graph.weight "w" file 0 offset 0 bytes 131072 : tensor<128x256xf32>
  %n = graph.rms_norm %x, %s epsilon 1.0e-5 : (tensor<1x128xf32>, tensor<128xf32>) -> tensor<1x128xf32>
  %y = graph.matmul %n, %w : (tensor<1x128xf32>, tensor<128x256xf32>) -> tensor<1x256xf32>
  return %y : tensor<1x256xf32>
}
func.func @large(%x: tensor<1x4096xf32>) -> tensor<1x4096xf32> {
  %s = graph.weight "s" file 0 offset 67108864 bytes 16384 : tensor<4096xf32>
  %w = graph.weight "w" file 0 offset 0 bytes 67108864 : tensor<4096x4096xf32>
  %n = graph.rms_norm %x, %s epsilon 1.0e-5 : (tensor<1x4096xf32>, tensor<4096xf32>) -> tensor<1x4096xf32>
  %y = graph.matmul %n, %w : (tensor<1x4096xf32>, tensor<4096x4096xf32>) -> tensor<1x4096xf32>
  return %y : tensor<1x4096xf32>
}
}
