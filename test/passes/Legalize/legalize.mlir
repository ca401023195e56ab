// RUN: ciuic-opt %s --ciuic-legalize=entries=main:batch=1..8 --ciuic-verify-graph-level --split-input-file | FileCheck %s

// A node is a map; the user's bounds reach the dim whose name starts with theirs.
// CHECK-LABEL: func.func @main(
// CHECK-SAME: tensor<?x4xf32, #[[DIMS:.*]]> {graph.name = "x"}) -> (tensor<?x4xf32, #[[DIMS]]> {graph.name = "y"})
// CHECK-SAME: graph.symbols = [#graph.symbol<"batch_size", 1, 8>]
// CHECK: graph.map(%arg0)
// CHECK: arith.maximumf
// CHECK-NOT: onnx.node
onnx.graph @main(%x "x" : tensor<?x4xf32, #onnx.dims<["batch_size", 4]>>)
    attributes {files = ["model.onnx"], opset = {ai.onnx = 18 : i64}} {
  %y = onnx.node "Relu"(%x) outputs ["y"] : (tensor<?x4xf32, #onnx.dims<["batch_size", 4]>>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}

// -----

// Shape arithmetic leaves nothing behind: [batch, seq, 8] → [batch, seq, 2, 4] by way of Shape, Gather and Concat.
// CHECK-LABEL: func.func @main(
// CHECK-NEXT: %[[R:.*]] = graph.reshape %arg0 : tensor<?x?x8xf32, {{.*}}> -> tensor<?x?x2x4xf32, #[[RESHAPED:.*]]>
// CHECK-NEXT: return %[[R]]
onnx.graph @main(%x "x" : tensor<?x?x8xf32, #onnx.dims<["batch", "seq", 8]>>)
    attributes {files = ["model.onnx"], opset = {ai.onnx = 18 : i64}} {
  %zero = onnx.constant "zero" dense<[0]> : tensor<1xi64>
  %one = onnx.constant "one" dense<[1]> : tensor<1xi64>
  %tail = onnx.constant "tail" dense<[-1, 4]> : tensor<2xi64>
  %s = onnx.node "Shape"(%x) outputs ["s"] : (tensor<?x?x8xf32, #onnx.dims<["batch", "seq", 8]>>) -> !onnx.unknown
  %b = onnx.node "Gather"(%s, %zero) {axis = 0 : i64} outputs ["b"] : (!onnx.unknown, tensor<1xi64>) -> !onnx.unknown
  %q = onnx.node "Gather"(%s, %one) {axis = 0 : i64} outputs ["q"] : (!onnx.unknown, tensor<1xi64>) -> !onnx.unknown
  %t = onnx.node "Concat"(%b, %q, %tail) {axis = 0 : i64} outputs ["t"]
      : (!onnx.unknown, !onnx.unknown, tensor<2xi64>) -> !onnx.unknown
  %y = onnx.node "Reshape"(%x, %t) outputs ["y"]
      : (tensor<?x?x8xf32, #onnx.dims<["batch", "seq", 8]>>, !onnx.unknown) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}

// -----

// An input's dim may be an expression. What is added to [.., past + seq] must have this extent, so `total` is no symbol.
// CHECK-LABEL: func.func @main(
// CHECK-SAME: %arg0: tensor<?x?xf32, #[[PAST:[a-z0-9]+]]>
// CHECK-SAME: %arg1: tensor<?x?xf32, #[[SEQ:[a-z0-9]+]]>
// CHECK-SAME: %arg2: tensor<?x?xf32, #[[SUM:[a-z0-9]+]]>
// CHECK-SAME: graph.symbols = [#graph.symbol<"batch", 1, 8>, #graph.symbol<"past", 0, 512>, #graph.symbol<"seq", 1, 512>]
// CHECK: graph.concat %arg0, %arg1 axis 1
// CHECK: graph.map(%{{.*}}, %arg2)
onnx.graph @main(%past "past" : tensor<?x?xf32, #onnx.dims<["batch", "past"]>>, %new "new" : tensor<?x?xf32, #onnx.dims<["batch", "seq"]>>,
                 %mask "mask" : tensor<?x?xf32, #onnx.dims<["batch", "total"]>>)
    attributes {files = ["model.onnx"], opset = {ai.onnx = 18 : i64}} {
  %c = onnx.node "Concat"(%past, %new) {axis = 1 : i64} outputs ["c"]
      : (tensor<?x?xf32, #onnx.dims<["batch", "past"]>>, tensor<?x?xf32, #onnx.dims<["batch", "seq"]>>) -> !onnx.unknown
  %y = onnx.node "Add"(%c, %mask) outputs ["y"] : (!onnx.unknown, tensor<?x?xf32, #onnx.dims<["batch", "total"]>>) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}

// -----

// A condition known at compile time: the extent of a dim with bounds 1..8 is never 0, so the else branch is taken.
// CHECK-LABEL: func.func @main(
// CHECK: math.tanh
// CHECK-NOT: math.exp
onnx.graph @main(%x "x" : tensor<?x4xf32, #onnx.dims<["batch", 4]>>)
    attributes {files = ["model.onnx"], opset = {ai.onnx = 18 : i64}} {
  %zero = onnx.constant "zero" dense<0> : tensor<i64>
  %s = onnx.node "Shape"(%x) {end = 1 : i64} outputs ["s"] : (tensor<?x4xf32, #onnx.dims<["batch", 4]>>) -> !onnx.unknown
  %c = onnx.node "Equal"(%s, %zero) outputs ["c"] : (!onnx.unknown, tensor<i64>) -> !onnx.unknown
  %y = onnx.node "If"(%c) outputs ["y"] bodies ["then_branch", "else_branch"] {
    %e = onnx.node "Exp"(%x) outputs ["e"] : (tensor<?x4xf32, #onnx.dims<["batch", 4]>>) -> !onnx.unknown
    onnx.return %e as ["e"] : !onnx.unknown
  }, {
    %t = onnx.node "Tanh"(%x) outputs ["t"] : (tensor<?x4xf32, #onnx.dims<["batch", 4]>>) -> !onnx.unknown
    onnx.return %t as ["t"] : !onnx.unknown
  } : (!onnx.unknown) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}

// -----

// Extents that agree only where the input divides by 2: a constraint for the runtime, h - 2 * (h // 2) = h mod 2 = 0. The
// window has to fit, so the default bounds of h start at 2.
// CHECK: #[[ZERO:.*]] = affine_map<()[s0, s1] -> (s1 mod 2)>
// CHECK-LABEL: func.func @main(
// CHECK-SAME: graph.constraints = {{\[}}#[[ZERO]]{{\]}}
// CHECK-SAME: #graph.symbol<"h", 2, 512>
// CHECK: graph.pool max
onnx.graph @main(%x "x" : tensor<?x1x?x4xf32, #onnx.dims<["batch", 1, "h", 4]>>)
    attributes {files = ["model.onnx"], opset = {ai.onnx = 18 : i64}} {
  %none = onnx.none
  %scales = onnx.constant "scales" dense<[1.0, 1.0, 2.0, 2.0]> : tensor<4xf32>
  %p = onnx.node "MaxPool"(%x) {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} outputs ["p"]
      : (tensor<?x1x?x4xf32, #onnx.dims<["batch", 1, "h", 4]>>) -> !onnx.unknown
  %u = onnx.node "Resize"(%p, %none, %scales) outputs ["u"] : (!onnx.unknown, none, tensor<4xf32>) -> !onnx.unknown
  %y = onnx.node "Add"(%x, %u) outputs ["y"] : (tensor<?x1x?x4xf32, #onnx.dims<["batch", 1, "h", 4]>>, !onnx.unknown) -> !onnx.unknown
  onnx.return %y as ["y"] : !onnx.unknown
}
