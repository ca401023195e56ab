// RUN: ciuic-opt %s --ciuic-legalize --split-input-file --verify-diagnostics

// All operators without an importer are named at once, with their nodes.
onnx.graph @main(%x "x" : tensor<1x4xf32>) attributes {files = ["model.onnx"], opset = {ai.onnx = 18 : i64}} {
  // expected-error @below {{[unsupported.operators] 2 operators at 3 nodes cannot be compiled:}}
  %a = onnx.node "Conjure"(%x) outputs ["a"] : (tensor<1x4xf32>) -> !onnx.unknown
  %b = onnx.node "com.example" : "Summon"(%x) outputs ["b"] : (tensor<1x4xf32>) -> !onnx.unknown
  %c = onnx.node "Conjure"(%a) outputs ["c"] : (!onnx.unknown) -> !onnx.unknown
  onnx.return %b, %c as ["b", "c"] : !onnx.unknown, !onnx.unknown
}

// -----

onnx.graph @main(%x "x" : tensor<1x4xf32>, %y "y" : tensor<1x5xf32>)
    attributes {files = ["model.onnx"], opset = {ai.onnx = 18 : i64}} {
  // expected-error @below {{[input.node] node "z" (Add): extents 4 and 5 do not broadcast}}
  %z = onnx.node "Add"(%x, %y) outputs ["z"] : (tensor<1x4xf32>, tensor<1x5xf32>) -> !onnx.unknown
  onnx.return %z as ["z"] : !onnx.unknown
}

// -----

onnx.graph @main(%x "x" : tensor<2x4xf32>, %s "s" : tensor<2xi64>)
    attributes {files = ["model.onnx"], opset = {ai.onnx = 18 : i64}} {
  // expected-error @below {{Reshape: 1 node, the shape depends on data; it must follow from the inputs' shapes}}
  %z = onnx.node "Reshape"(%x, %s) outputs ["z"] : (tensor<2x4xf32>, tensor<2xi64>) -> !onnx.unknown
  onnx.return %z as ["z"] : !onnx.unknown
}

// -----

onnx.graph @main(%x "x" : tensor<1xf32>) attributes {files = ["model.onnx"], opset = {ai.onnx = 18 : i64}} {
  %s = onnx.constant "s" dense<[16777216, 33554432]> : tensor<2xi64>
  // expected-error @below {{a result can have more than 2^48 elements}}
  %z = onnx.node "Expand"(%x, %s) outputs ["z"] : (tensor<1xf32>, tensor<2xi64>) -> !onnx.unknown
  onnx.return %z as ["z"] : !onnx.unknown
}

// -----

// A float function in f64 is refused rather than computed in less.
onnx.graph @main(%x "x" : tensor<4xf64>) attributes {files = ["model.onnx"], opset = {ai.onnx = 18 : i64}} {
  // expected-error @below {{a function of f64 elements; f32 and narrower are computed}}
  %z = onnx.node "Exp"(%x) outputs ["z"] : (tensor<4xf64>) -> !onnx.unknown
  onnx.return %z as ["z"] : !onnx.unknown
}

// -----

// A missing first input is the file's mistake.
onnx.graph @main(%x "x" : tensor<4xf32>) attributes {files = ["model.onnx"], opset = {ai.onnx = 18 : i64}} {
  %none = onnx.none
  // expected-error @below {{[input.node] node "z" (Relu): its first input is missing}}
  %z = onnx.node "Relu"(%none) outputs ["z"] : (none) -> !onnx.unknown
  onnx.return %z as ["z"] : !onnx.unknown
}

// -----

// Updates that do not fit the places they go to.
onnx.graph @main(%x "x" : tensor<6x4xf32>, %i "i" : tensor<3x1xi64>, %u "u" : tensor<3x5xf32>)
    attributes {files = ["model.onnx"], opset = {ai.onnx = 18 : i64}} {
  // expected-error @below {{[input.node] node "z" (ScatterND): the updates' shape must be indices[:-1] ++ input[depth of indices:]}}
  %z = onnx.node "ScatterND"(%x, %i, %u) outputs ["z"] : (tensor<6x4xf32>, tensor<3x1xi64>, tensor<3x5xf32>) -> !onnx.unknown
  onnx.return %z as ["z"] : !onnx.unknown
}

// -----

// Indices that address more dims than there are.
onnx.graph @main(%x "x" : tensor<6x4xf32>, %i "i" : tensor<3x3xi64>, %u "u" : tensor<3xf32>)
    attributes {files = ["model.onnx"], opset = {ai.onnx = 18 : i64}} {
  // expected-error @below {{ScatterND: 1 node, indices of dynamic depth, or deeper than the input}}
  %z = onnx.node "ScatterND"(%x, %i, %u) outputs ["z"] : (tensor<6x4xf32>, tensor<3x3xi64>, tensor<3xf32>) -> !onnx.unknown
  onnx.return %z as ["z"] : !onnx.unknown
}

// -----

// A batch dim of the indices that the input lacks.
onnx.graph @main(%x "x" : tensor<2x6x4xf32>, %i "i" : tensor<3x5x1xi64>)
    attributes {files = ["model.onnx"], opset = {ai.onnx = 18 : i64}} {
  // expected-error @below {{[input.node] node "z" (GatherND): batch dim 0 of input and indices differ}}
  %z = onnx.node "GatherND"(%x, %i) {batch_dims = 1 : i64} outputs ["z"] : (tensor<2x6x4xf32>, tensor<3x5x1xi64>) -> !onnx.unknown
  onnx.return %z as ["z"] : !onnx.unknown
}
