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

// -----

// Updates that reach beside the operand.
onnx.graph @main(%x "x" : tensor<6x4xf32>, %i "i" : tensor<3x5xi64>, %u "u" : tensor<3x5xf32>)
    attributes {files = ["model.onnx"], opset = {ai.onnx = 23 : i64}} {
  // expected-error @below {{[input.node] node "z" (ScatterElements): indices reach beyond the input}}
  %z = onnx.node "ScatterElements"(%x, %i, %u) outputs ["z"] : (tensor<6x4xf32>, tensor<3x5xi64>, tensor<3x5xf32>) -> !onnx.unknown
  onnx.return %z as ["z"] : !onnx.unknown
}

// -----

// A bias that is not one element per output channel.
onnx.graph @main(%x "x" : tensor<1x4x8x8xf32>, %w "w" : tensor<4x6x3x3xf32>, %b "b" : tensor<4xf32>)
    attributes {files = ["model.onnx"], opset = {ai.onnx = 23 : i64}} {
  // expected-error @below {{[input.node] node "z" (ConvTranspose): the bias needs one element per output channel, of the input's type}}
  %z = onnx.node "ConvTranspose"(%x, %w, %b) outputs ["z"] : (tensor<1x4x8x8xf32>, tensor<4x6x3x3xf32>, tensor<4xf32>) -> !onnx.unknown
  onnx.return %z as ["z"] : !onnx.unknown
}

// -----

// A scale that is not one element per channel.
onnx.graph @main(%x "x" : tensor<2x4x8xf32>, %s "s" : tensor<3xf32>, %b "b" : tensor<4xf32>)
    attributes {files = ["model.onnx"], opset = {ai.onnx = 23 : i64}} {
  // expected-error @below {{[input.node] node "z" (InstanceNormalization): needs an input with spatial dims, a scale and a bias per channel}}
  %z = onnx.node "InstanceNormalization"(%x, %s, %b) outputs ["z"] : (tensor<2x4x8xf32>, tensor<3xf32>, tensor<4xf32>) -> !onnx.unknown
  onnx.return %z as ["z"] : !onnx.unknown
}

// -----

// A mask for three batches of two.
onnx.graph @main(%q "q" : tensor<2x4x5x8xf32>, %k "k" : tensor<2x4x6x8xf32>, %v "v" : tensor<2x4x6x8xf32>, %m "m" : tensor<3x1x5x6xf32>)
    attributes {files = ["model.onnx"], opset = {ai.onnx = 23 : i64}} {
  // expected-error @below {{[input.node] node "z" (Attention): the mask does not broadcast to batch, heads, queries and keys}}
  %z = onnx.node "Attention"(%q, %k, %v, %m) outputs ["z"] : (tensor<2x4x5x8xf32>, tensor<2x4x6x8xf32>, tensor<2x4x6x8xf32>, tensor<3x1x5x6xf32>) -> !onnx.unknown
  onnx.return %z as ["z"] : !onnx.unknown
}

// -----

// Keys of another batch extent than the queries.
onnx.graph @main(%q "q" : tensor<2x4x5x8xf32>, %k "k" : tensor<3x4x6x8xf32>, %v "v" : tensor<3x4x6x8xf32>)
    attributes {files = ["model.onnx"], opset = {ai.onnx = 23 : i64}} {
  // expected-error @below {{[input.node] node "z" (Attention): query, key and value have heads or extents that do not agree}}
  %z = onnx.node "Attention"(%q, %k, %v) outputs ["z"] : (tensor<2x4x5x8xf32>, tensor<3x4x6x8xf32>, tensor<3x4x6x8xf32>) -> !onnx.unknown
  onnx.return %z as ["z"] : !onnx.unknown
}
