// RUN: ciuic-opt %s --ciuic-legalize --ciuic-verify-graph-level --split-input-file | FileCheck %s

// CHECK-LABEL: func.func @main
// CHECK: %[[P:.*]] = graph.matmul %arg0, %arg1 {transpose_b} : (tensor<2x8xf32>, tensor<4x8xf32>) -> tensor<2x4xf32>
// CHECK: graph.map(%[[P]], %arg2)
onnx.graph @main(%a "a" : tensor<2x8xf32>, %b "b" : tensor<4x8xf32>, %c "c" : tensor<4xf32>)
    attributes {files = ["m"], opset = {ai.onnx = 18 : i64}} {
  %y = onnx.node "Gemm"(%a, %b, %c) {transB = 1 : i64} outputs ["y"]
      : (tensor<2x8xf32>, tensor<4x8xf32>, tensor<4xf32>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}

// -----

// Extents of a convolution: (h + 2·1 − 2·1 − 1) // 2 + 1 with h ≥ 1, which is (h − 1) // 2 + 1 = (h + 1) // 2.
// CHECK: #[[DIMS:.*]] = affine_map<()[s0] -> (1, 2, (s0 + 1) floordiv 2, 4)>
// CHECK-LABEL: func.func @main
// CHECK: graph.conv %arg0, %{{.*}} strides [2, 2] pads [1, 1, 1, 1] dilations [1, 1] group 1 channels_first
// CHECK-SAME: -> tensor<1x2x?x4xf32, #[[DIMS]]>
onnx.graph @main(%x "x" : tensor<1x1x?x8xf32, #onnx.dims<[1, 1, "h", 8]>>, %w "w" : tensor<2x1x3x3xf32>)
    attributes {files = ["m"], opset = {ai.onnx = 18 : i64}} {
  %y = onnx.node "Conv"(%x, %w) {strides = array<i64: 2, 2>, pads = array<i64: 1, 1, 1, 1>} outputs ["y"]
      : (tensor<1x1x?x8xf32, #onnx.dims<[1, 1, "h", 8]>>, tensor<2x1x3x3xf32>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}

// -----

// Inference of a batch norm is x·a + b: a = 2 / √(3 + 1) = 1, b = 5 − 4·a = 1.
// CHECK-LABEL: func.func @main
// CHECK-DAG: graph.constant dense<1.000000e+00> : tensor<1xf32>
// CHECK: arith.mulf
// CHECK-NEXT: arith.addf
onnx.graph @main(%x "x" : tensor<1x1x4xf32>) attributes {files = ["m"], opset = {ai.onnx = 18 : i64}} {
  %s = onnx.constant "s" dense<[2.0]> : tensor<1xf32>
  %b = onnx.constant "b" dense<[5.0]> : tensor<1xf32>
  %m = onnx.constant "m" dense<[4.0]> : tensor<1xf32>
  %v = onnx.constant "v" dense<[3.0]> : tensor<1xf32>
  %y = onnx.node "BatchNormalization"(%x, %s, %b, %m, %v) {epsilon = 1.0 : f32} outputs ["y"]
      : (tensor<1x1x4xf32>, tensor<1xf32>, tensor<1xf32>, tensor<1xf32>, tensor<1xf32>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}

// -----

// A softmax along another dim than the last stands between two transposes; before opset 13 it flattens instead.
// CHECK-LABEL: func.func @main
// CHECK: %[[T:.*]] = graph.transpose %arg0 [2, 1, 0]
// CHECK: %[[S:.*]] = graph.softmax %[[T]] : tensor<4x3x2xf32>
// CHECK: graph.transpose %[[S]] [2, 1, 0]
onnx.graph @main(%x "x" : tensor<2x3x4xf32>) attributes {files = ["m"], opset = {ai.onnx = 13 : i64}} {
  %y = onnx.node "Softmax"(%x) {axis = 0 : i64} outputs ["y"] : (tensor<2x3x4xf32>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}

// -----

// CHECK-LABEL: func.func @main
// CHECK: %[[F:.*]] = graph.reshape %arg0 : tensor<2x3x4xf32> -> tensor<2x12xf32>
// CHECK: graph.softmax %[[F]]
onnx.graph @main(%x "x" : tensor<2x3x4xf32>) attributes {files = ["m"], opset = {ai.onnx = 11 : i64}} {
  %y = onnx.node "Softmax"(%x) {axis = 1 : i64} outputs ["y"] : (tensor<2x3x4xf32>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}

// -----

// Grouped heads and a causal mask that the op applies itself; present keys continue past ones.
// CHECK-LABEL: func.func @main
// CHECK: %[[K:.*]] = graph.concat %arg3, %{{.*}} axis 2
// CHECK: graph.attention %{{.*}} bshd, %[[K]] bhsd, %{{.*}} bhsd scale 2.500000e-01 to bshd {causal}
onnx.graph @main(%q "q" : tensor<1x2x64xf32>, %k "k" : tensor<1x2x32xf32>, %v "v" : tensor<1x2x32xf32>,
                 %pk "pk" : tensor<1x2x?x16xf32, #onnx.dims<[1, 2, "past", 16]>>,
                 %pv "pv" : tensor<1x2x?x16xf32, #onnx.dims<[1, 2, "past", 16]>>)
    attributes {files = ["m"], opset = {ai.onnx = 23 : i64}} {
  %none = onnx.none
  %y, %nk, %nv = onnx.node "Attention"(%q, %k, %v, %none, %pk, %pv)
      {is_causal = 1 : i64, q_num_heads = 4 : i64, kv_num_heads = 2 : i64} outputs ["y", "nk", "nv"]
      : (tensor<1x2x64xf32>, tensor<1x2x32xf32>, tensor<1x2x32xf32>, none,
         tensor<1x2x?x16xf32, #onnx.dims<[1, 2, "past", 16]>>, tensor<1x2x?x16xf32, #onnx.dims<[1, 2, "past", 16]>>)
      -> (!onnx.unknown, !onnx.unknown, !onnx.unknown)
  onnx.return %y, %nk, %nv as ["y", "nk", "nv"] : !onnx.unknown, !onnx.unknown, !onnx.unknown
}
