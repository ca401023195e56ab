// RUN: ciuic-opt %s --ciuic-legalize --ciuic-verify-graph-level --split-input-file | FileCheck %s

// An end beyond any extent is the extent; the start counts from the back: the last two of n. There
// have to be two, so the default bounds of n start there.
// CHECK: #[[FROM:.*]] = affine_map<()[s0] -> (s0 - 2)>
// CHECK-LABEL: func.func @main
// CHECK-SAME: graph.symbols = [#graph.symbol<"n", 2, 4>]
// CHECK: graph.slice %arg0 offsets #[[FROM]] steps [1]
// CHECK-SAME: -> tensor<2xf32>
onnx.graph @main(%x "x" : tensor<?xf32, #onnx.dims<["n"]>>) attributes {files = ["m"], opset = {ai.onnx = 18 : i64}} {
  %starts = onnx.constant "starts" dense<[-2]> : tensor<1xi64>
  %ends = onnx.constant "ends" dense<[9223372036854775807]> : tensor<1xi64>
  %y = onnx.node "Slice"(%x, %starts, %ends) outputs ["y"]
      : (tensor<?xf32, #onnx.dims<["n"]>>, tensor<1xi64>, tensor<1xi64>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}

// -----

// A table of 256 rows bounds the default of the dim that is cut from it: 1..256, not 1..512.
// CHECK-LABEL: func.func @main
// CHECK-SAME: graph.symbols = [#graph.symbol<"n", 1, 256>]
onnx.graph @main(%x "x" : tensor<1x?xf32, #onnx.dims<[1, "n"]>>) attributes {files = ["m"], opset = {ai.onnx = 18 : i64}} {
  %table = onnx.weight "table" #onnx.weight<file = 0, offset = 0, bytes = 1024> : tensor<256xf32>
  %zero = onnx.constant "zero" dense<[0]> : tensor<1xi64>
  %s = onnx.node "Shape"(%x) {start = 1 : i64} outputs ["s"] : (tensor<1x?xf32, #onnx.dims<[1, "n"]>>) -> !onnx.unknown
  %t = onnx.node "Slice"(%table, %zero, %s) outputs ["t"] : (tensor<256xf32>, tensor<1xi64>, !onnx.unknown) -> !onnx.unknown
  %y = onnx.node "Add"(%x, %t) outputs ["y"] : (tensor<1x?xf32, #onnx.dims<[1, "n"]>>, !onnx.unknown) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}

// -----

// One known index is a slice; many are a gather.
// CHECK: #[[AT:.*]] = affine_map<() -> (0, 2)>
// CHECK-LABEL: func.func @main
// CHECK: graph.slice %arg0 offsets #[[AT]] steps [1, 1] : tensor<3x4xf32> -> tensor<3x1xf32>
// CHECK: graph.gather %arg0, %arg1 axis 0 : (tensor<3x4xf32>, tensor<5xi64>) -> tensor<5x4xf32>
onnx.graph @main(%x "x" : tensor<3x4xf32>, %i "i" : tensor<5xi64>) attributes {files = ["m"], opset = {ai.onnx = 18 : i64}} {
  %two = onnx.constant "two" dense<-2> : tensor<i64>
  %y = onnx.node "Gather"(%x, %two) {axis = 1 : i64} outputs ["y"] : (tensor<3x4xf32>, tensor<i64>) -> !onnx.unknown
  %z = onnx.node "Gather"(%x, %i) outputs ["z"] : (tensor<3x4xf32>, tensor<5xi64>) -> !onnx.unknown
  onnx.return %y, %z as ["y", "z"] : !onnx.unknown, !onnx.unknown
}

// -----

// -1 in a shape is what is left: n·12 elements in rows of 4 are 3·n rows.
// CHECK: #[[ROWS:.*]] = affine_map<()[s0] -> (s0 * 3, 4)>
// CHECK-LABEL: func.func @main
// CHECK: graph.reshape %arg0 {{.*}} -> tensor<?x4xf32, #[[ROWS]]>
onnx.graph @main(%x "x" : tensor<?x12xf32, #onnx.dims<["n", 12]>>) attributes {files = ["m"], opset = {ai.onnx = 18 : i64}} {
  %shape = onnx.constant "shape" dense<[-1, 4]> : tensor<2xi64>
  %y = onnx.node "Reshape"(%x, %shape) outputs ["y"] : (tensor<?x12xf32, #onnx.dims<["n", 12]>>, tensor<2xi64>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}
