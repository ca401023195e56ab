// RUN: ciuic-opt %s --ciuic-legalize --ciuic-verify-graph-level --split-input-file | FileCheck %s

// The weight stays integers where it lies; scales that are halves make its blocks of 32 what int4g32 is. Without a file to
// read, scales of f32 are not known to be.
// CHECK-LABEL: func.func @main
// CHECK: %[[W:.*]] = graph.weight "w" file 0 offset 4096 bytes 8192
// CHECK-SAME: blocks = #graph.blocks<"values" bits 4 size 32 depth 64 scales #graph.stored<0, 65536, tensor<64x2xf16>> exactly "int4g32">
// CHECK-SAME: tensor<64x64xf16>
// CHECK: graph.matmul %arg0, %[[W]] {transpose_b}
onnx.graph @main(%x "x" : tensor<3x64xf16>) attributes {files = ["m"], opset = {ai.onnx = 21 : i64, "com.microsoft" = 1 : i64}} {
  %w = onnx.weight "w" #onnx.weight<file = 0, offset = 4096, bytes = 2048> : tensor<64x2x16xui8>
  %s = onnx.weight "s" #onnx.weight<file = 0, offset = 65536, bytes = 256> : tensor<128xf16>
  %y = onnx.node "com.microsoft" : "MatMulNBits"(%x, %w, %s) {K = 64 : i64, N = 64 : i64, bits = 4 : i64, block_size = 32 : i64}
      outputs ["y"] : (tensor<3x64xf16>, tensor<64x2x16xui8>, tensor<128xf16>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}

// -----

// Zero points become a product of the sums over blocks beside the packed one.
// CHECK-LABEL: func.func @main
// CHECK: %[[W:.*]] = graph.weight "w" {{.*}}#graph.blocks<"centred" bits 4 size 32 depth 64 scales {{.*}} exactly "int4g32">
// CHECK: %[[Y:.*]] = graph.matmul %arg0, %[[W]] {transpose_b}
// CHECK: %[[SUMS:.*]] = graph.reduce sum %{{.*}} dims [2]
// CHECK: %[[S:.*]] = graph.weight "w.shifts" file 0 offset 70000 {{.*}}#graph.blocks<"shifts" bits 4 size 32 depth 64 {{.*}} zeros #graph.stored<0, 70000, tensor<64x1xi8>>>{{.*}}tensor<64x2xf16>
// CHECK: %[[SHIFT:.*]] = graph.matmul %{{.*}}, %[[S]] {transpose_b} : (tensor<3x2xf16>, tensor<64x2xf16>)
// CHECK: graph.map(%[[Y]], %[[SHIFT]])
onnx.graph @main(%x "x" : tensor<3x64xf16>) attributes {files = ["m"], opset = {ai.onnx = 21 : i64, "com.microsoft" = 1 : i64}} {
  %w = onnx.weight "w" #onnx.weight<file = 0, offset = 4096, bytes = 2048> : tensor<64x2x16xui8>
  %s = onnx.weight "s" #onnx.weight<file = 0, offset = 65536, bytes = 256> : tensor<128xf16>
  %z = onnx.weight "z" #onnx.weight<file = 0, offset = 70000, bytes = 64> : tensor<64xui8>
  %y = onnx.node "com.microsoft" : "MatMulNBits"(%x, %w, %s, %z) {K = 64 : i64, N = 64 : i64, bits = 4 : i64, block_size = 32 : i64}
      outputs ["y"] : (tensor<3x64xf16>, tensor<64x2x16xui8>, tensor<128xf16>, tensor<64xui8>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}
