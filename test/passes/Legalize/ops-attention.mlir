// RUN: ciuic-opt %s --ciuic-legalize --ciuic-verify-graph-level --split-input-file | FileCheck %s

// What is new goes behind the cache, which makes the present a continuation of the past; total_sequence_length, an extent
// of the mask, is past + seq. A sequence shorter than that has no place in the cache, and its query is not a number.
// CHECK-LABEL: func.func @main
// CHECK: %[[Q:.*]] = graph.reshape %arg0 : {{.*}} -> tensor<1x?x4x8xf32
// CHECK: %[[K:.*]] = graph.reshape %arg1 : {{.*}} -> tensor<1x?x2x8xf32
// CHECK: %[[CHECKED:.*]] = graph.map(%[[Q]], %arg5)
// CHECK: arith.select {{.*}}, %{{.*}}, %cst
// CHECK: %[[T:.*]] = graph.transpose %[[K]] [0, 2, 1, 3]
// CHECK: %[[KEYS:.*]] = graph.concat %arg3, %[[T]] axis 2
// CHECK: %[[VALUES:.*]] = graph.concat %arg4, %{{.*}} axis 2
// CHECK: graph.attention %[[CHECKED]] bshd, %[[KEYS]] bhsd, %[[VALUES]] bhsd scale 5.000000e-01 to bshd {causal}
onnx.graph @main(%q "q" : tensor<1x?x32xf32, #onnx.dims<[1, "seq", 32]>>, %k "k" : tensor<1x?x16xf32, #onnx.dims<[1, "seq", 16]>>,
                 %v "v" : tensor<1x?x16xf32, #onnx.dims<[1, "seq", 16]>>, %pk "pk" : tensor<1x2x?x8xf32, #onnx.dims<[1, 2, "past", 8]>>,
                 %pv "pv" : tensor<1x2x?x8xf32, #onnx.dims<[1, 2, "past", 8]>>, %lengths "lengths" : tensor<1xi32>,
                 %mask "mask" : tensor<1x?xi64, #onnx.dims<[1, "total"]>>)
    attributes {files = ["m"], opset = {ai.onnx = 21 : i64, "com.microsoft" = 1 : i64}} {
  %one = onnx.constant "one" dense<1> : tensor<i64>
  %s = onnx.node "Shape"(%mask) outputs ["s"] : (tensor<1x?xi64, #onnx.dims<[1, "total"]>>) -> !onnx.unknown
  %t = onnx.node "Gather"(%s, %one) {axis = 0 : i64} outputs ["t"] : (!onnx.unknown, tensor<i64>) -> !onnx.unknown
  %y, %ok, %ov = onnx.node "com.microsoft" : "GroupQueryAttention"(%q, %k, %v, %pk, %pv, %lengths, %t)
      {num_heads = 4 : i64, kv_num_heads = 2 : i64, scale = 0.5 : f32} outputs ["y", "ok", "ov"]
      : (tensor<1x?x32xf32, #onnx.dims<[1, "seq", 32]>>, tensor<1x?x16xf32, #onnx.dims<[1, "seq", 16]>>,
         tensor<1x?x16xf32, #onnx.dims<[1, "seq", 16]>>, tensor<1x2x?x8xf32, #onnx.dims<[1, 2, "past", 8]>>,
         tensor<1x2x?x8xf32, #onnx.dims<[1, 2, "past", 8]>>, tensor<1xi32>, !onnx.unknown)
      -> (!onnx.unknown, !onnx.unknown, !onnx.unknown)
  onnx.return %y, %ok, %ov as ["y", "ok", "ov"] : !onnx.unknown, !onnx.unknown, !onnx.unknown
}

// -----

// A number of keys for each sequence masks what lies behind it; the bias of the projections is added in three parts.
// CHECK-LABEL: func.func @main
// CHECK: graph.slice %arg4 {{.*}} -> tensor<16xf32>
// CHECK: %[[Q:.*]] = graph.reshape {{.*}} -> tensor<2x3x2x8xf32>
// CHECK: %[[MASK:.*]] = graph.map(%arg3)
// CHECK: arith.cmpi slt
// CHECK: graph.attention %[[Q]] bshd, %{{.*}} bshd, %{{.*}} bshd mask %[[MASK]] scale 0.353553385 to bshd :
onnx.graph @main(%q "q" : tensor<2x3x16xf32>, %k "k" : tensor<2x4x16xf32>, %v "v" : tensor<2x4x16xf32>, %n "n" : tensor<2xi32>,
                 %b "b" : tensor<48xf32>)
    attributes {files = ["m"], opset = {ai.onnx = 21 : i64, "com.microsoft" = 1 : i64}} {
  %y = onnx.node "com.microsoft" : "MultiHeadAttention"(%q, %k, %v, %b, %n) {num_heads = 2 : i64} outputs ["y"]
      : (tensor<2x3x16xf32>, tensor<2x4x16xf32>, tensor<2x4x16xf32>, tensor<48xf32>, tensor<2xi32>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}
