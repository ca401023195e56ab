// RUN: ciuic-opt %s --ciuic-legalize --ciuic-verify-graph-level --split-input-file | FileCheck %s

// Numpy broadcasting becomes access maps; a known single element a constant of the region.
// CHECK: #[[ID:.*]] = affine_map<(d0, d1) -> (d0, d1)>
// CHECK: #[[COLUMN:.*]] = affine_map<(d0, d1) -> (d0, 0)>
// CHECK-LABEL: func.func @main
// CHECK: %[[S:.*]] = graph.map(%arg0, %arg1) [#[[ID]], #[[COLUMN]]]
// CHECK: arith.addf
// CHECK: graph.map(%[[S]]) [#[[ID]]]
// CHECK: %[[TWO:.*]] = arith.constant 2.0
// CHECK: arith.mulf %{{.*}}, %[[TWO]]
onnx.graph @main(%x "x" : tensor<3x4xf32>, %c "c" : tensor<3x1xf32>)
    attributes {files = ["m"], opset = {ai.onnx = 18 : i64}} {
  %two = onnx.constant "two" dense<2.0> : tensor<f32>
  %s = onnx.node "Add"(%x, %c) outputs ["s"] : (tensor<3x4xf32>, tensor<3x1xf32>) -> !onnx.unknown
  %y = onnx.node "Mul"(%s, %two) outputs ["y"] : (!onnx.unknown, tensor<f32>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}

// -----

// Halves are computed in f32 and rounded once.
// CHECK-LABEL: func.func @main
// CHECK: ^bb0(%[[A:.*]]: f16):
// CHECK-NEXT: %[[W:.*]] = arith.extf %[[A]] : f16 to f32
// CHECK-NEXT: %[[E:.*]] = math.exp %[[W]] : f32
// CHECK-NEXT: %[[N:.*]] = arith.truncf %[[E]] : f32 to f16
// CHECK-NEXT: graph.yield %[[N]]
onnx.graph @main(%x "x" : tensor<4xf16>) attributes {files = ["m"], opset = {ai.onnx = 18 : i64}} {
  %y = onnx.node "Exp"(%x) outputs ["y"] : (tensor<4xf16>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}

// -----

// Integer division truncates and cannot trap: divisors 0 and -1 are replaced before it.
// CHECK-LABEL: func.func @main
// CHECK: %[[Z:.*]] = arith.cmpi eq, %[[B:.*]], %{{.*}} : i32
// CHECK: %[[M:.*]] = arith.cmpi eq, %[[B]], %{{.*}} : i32
// CHECK: %[[SPECIAL:.*]] = arith.ori %[[Z]], %[[M]]
// CHECK: %[[SAFE:.*]] = arith.select %[[SPECIAL]], %{{.*}}, %[[B]]
// CHECK: arith.divsi %{{.*}}, %[[SAFE]]
onnx.graph @main(%x "x" : tensor<4xi32>, %d "d" : tensor<4xi32>)
    attributes {files = ["m"], opset = {ai.onnx = 18 : i64}} {
  %y = onnx.node "Div"(%x, %d) outputs ["y"] : (tensor<4xi32>, tensor<4xi32>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}

// -----

// Unsigned integers are signless here, marked at the boundary, and extended with zeros.
// CHECK-LABEL: func.func @main
// CHECK-SAME: %arg0: tensor<4xi8> {graph.name = "x", graph.unsigned}
// CHECK: arith.uitofp %{{.*}} : i8 to f32
onnx.graph @main(%x "x" : tensor<4xui8>) attributes {files = ["m"], opset = {ai.onnx = 18 : i64}} {
  %y = onnx.node "Cast"(%x) {to = 1 : i64} outputs ["y"] : (tensor<4xui8>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}

// -----

// A comparison that the bounds decide is folded: past + 1 (1..513) exceeds 0, so the selection is an alias.
// CHECK-LABEL: func.func @main
// CHECK-NOT: arith.select
// CHECK: graph.extent
onnx.graph @main(%x "x" : tensor<?xf32, #onnx.dims<["n"]>>) attributes {files = ["m"], opset = {ai.onnx = 18 : i64}} {
  %zero = onnx.constant "zero" dense<[0]> : tensor<1xi64>
  %s = onnx.node "Shape"(%x) outputs ["s"] : (tensor<?xf32, #onnx.dims<["n"]>>) -> !onnx.unknown
  %c = onnx.node "Greater"(%s, %zero) outputs ["c"] : (!onnx.unknown, tensor<1xi64>) -> !onnx.unknown
  %y = onnx.node "Where"(%c, %s, %zero) outputs ["y"] : (!onnx.unknown, !onnx.unknown, tensor<1xi64>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}

// -----

// A reduction over no axis still squares.
// CHECK-LABEL: func.func @main
// CHECK-NOT: graph.reduce
// CHECK: arith.mulf
// CHECK-NOT: graph.reduce
// CHECK: return
onnx.graph @main(%x "x" : tensor<3x4xf32>) attributes {files = ["m"], opset = {ai.onnx = 18 : i64}} {
  %y = onnx.node "ReduceSumSquare"(%x) {noop_with_empty_axes = 1 : i64} outputs ["y"] : (tensor<3x4xf32>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}
