// RUN: ciuic-opt %s --allow-unregistered-dialect --split-input-file --verify-diagnostics
// One case for each labelled constraint.

// expected-error @+1 {{(A1) file, offset and bytes must not be negative}}
onnx.weight "w" #onnx.weight<file = 0, offset = -1, bytes = 4> : tensor<1xf32>

// -----

// expected-error @+1 {{(A1) file, offset and bytes must not be negative, and offset + bytes must fit 63 bits}}
onnx.weight "w" #onnx.weight<file = 0, offset = 9223372036854775807, bytes = 4> : tensor<1xf32>

// -----

// expected-error @+1 {{(A2) a weight needs a tensor type of static shape whose element type has a size, got 'tensor<?xf32>'}}
onnx.weight "w" #onnx.weight<file = 0, offset = 0, bytes = 4> : tensor<?xf32>

// -----

// The product of the extents does not fit 63 bits.
// expected-error @+1 {{(A2) a weight needs a tensor type of static shape whose element type has a size, got 'tensor<4294967296x4294967296xf32>'}}
onnx.weight "w" #onnx.weight<file = 0, offset = 0, bytes = 4> : tensor<4294967296x4294967296xf32>

// -----

// expected-error @+1 {{(A3) 'tensor<3xui4>' has 2 bytes, not 3}}
onnx.weight "w" #onnx.weight<file = 0, offset = 0, bytes = 3> : tensor<3xui4>

// -----

// expected-error @+1 {{(D1) 1 dim names for a tensor of rank 2}}
"t.t"() {t = tensor<?x?xf32, #onnx.dims<["a"]>>} : () -> ()

// -----

// expected-error @+1 {{(D2) dim 1 of the shape contradicts 5}}
"t.t"() {t = tensor<?x4xf32, #onnx.dims<["a", 5]>>} : () -> ()

// -----

// expected-error @+1 {{(C1) has two inputs named 'x'}}
onnx.graph @g(%a "x" : tensor<f32>, %b "x" : tensor<f32>) attributes {files = ["m"], opset = {}} {
  onnx.return as []
}

// -----

// expected-error @+1 {{(C1) has 0 input names for 1 block arguments}}
"onnx.graph"() <{sym_name = "g", inputs = [], opset = {}, files = ["m"]}> ({
^bb0(%a: tensor<f32>):
  onnx.return as []
}) : () -> ()

// -----

// expected-error @+1 {{(C2) opset of domain 'ai.onnx' must be an integer of at least 1}}
onnx.graph @g() attributes {files = ["m"], opset = {ai.onnx = 0 : i64}} {
  onnx.return as []
}

// -----

// expected-error @+1 {{(C3) files must name the model file}}
onnx.graph @g() attributes {files = [], opset = {}} {
  onnx.return as []
}

// -----

// expected-error @+1 {{(C4) must end in onnx.return}}
onnx.graph @g() attributes {files = ["m"], opset = {}} {
  %n = onnx.none
}

// -----

// expected-error @+1 {{(C1) needs an operator type}}
onnx.node ""() outputs [] : () -> ()

// -----

// expected-error @+1 {{(C2) has 0 output names for 1 results}}
%r = onnx.node "Add"() outputs [] : () -> tensor<f32>

// -----

// expected-error @+1 {{(C2) has two outputs named 'y'}}
%r:2 = onnx.node "Split"() outputs ["y", "y"] : () -> (tensor<f32>, tensor<f32>)

// -----

// expected-error @+1 {{(C3) has 1 body names for 0 regions}}
"onnx.node"() <{op_type = "If", onnx_attributes = {}, outputs = [], bodies = ["b"]}> : () -> ()

// -----

// expected-error @+1 {{(C3) body name 'b' is empty or also an attribute}}
onnx.node "If"() {b = 1 : i64} outputs [] bodies ["b"] {
  onnx.return as []
} : () -> ()

// -----

// expected-error @+1 {{(C3) has two bodies named 'b'}}
onnx.node "If"() outputs [] bodies ["b", "b"] {
  onnx.return as []
}, {
  onnx.return as []
} : () -> ()

// -----

// expected-error @+1 {{(C4) each body has one block that ends in onnx.return}}
onnx.node "If"() outputs [] bodies ["b"] {
  %n = onnx.none
} : () -> ()

// -----

// expected-error @+1 {{(C5) attribute 'a': an integer must be i64}}
onnx.node "Op"() {a = 1 : i32} outputs [] : () -> ()

// -----

// expected-error @+1 {{(C5) attribute 'a': a float must be f32}}
onnx.node "Op"() {a = 1.0 : f64} outputs [] : () -> ()

// -----

// expected-error @+1 {{(C5) attribute 'a': a dense value has at most 1024 bytes, this one has 1028}}
onnx.node "Op"() {a = dense<0.0> : tensor<257xf32>} outputs [] : () -> ()

// -----

// expected-error @+1 {{(C5) attribute 'a': an array has strings, types or tensors, not 1 : i64}}
onnx.node "Op"() {a = [1]} outputs [] : () -> ()

// -----

// expected-error @+1 {{(C5) attribute 'a': ONNX has no attribute of this kind: {}}}
onnx.node "Op"() {a = {}} outputs [] : () -> ()

// -----

// expected-error @+1 {{(C6) opset must be at least 1}}
onnx.node "Op"() outputs [] attributes {opset = 0 : i64} : () -> ()

// -----

// expected-error @+1 {{(C1) result type 'tensor<2xf32>' is not the handle's 'tensor<1xf32>'}}
onnx.weight "w" #onnx.weight<file = 0, offset = 0, bytes = 4> : tensor<1xf32> as tensor<2xf32>

// -----

onnx.graph @g() attributes {files = ["m"], opset = {}} {
  // expected-error @+1 {{(C2) file 1 is not among the graph's 1 files}}
  %w = onnx.weight "w" #onnx.weight<file = 1, offset = 0, bytes = 4> : tensor<1xf32>
  onnx.return as []
}

// -----

// expected-error @+1 {{(C1) result type 'tensor<1xf32>' is not the value's 'tensor<f32>'}}
%c = "onnx.constant"() <{name = "c", value = dense<0.0> : tensor<f32>}> : () -> tensor<1xf32>

// -----

// expected-error @+1 {{(C2) has more than 1024 bytes; use onnx.weight}}
%c = onnx.constant "c" dense<0> : tensor<1025xi8>

// -----

onnx.graph @g(%a "a" : tensor<f32>) attributes {files = ["m"], opset = {}} {
  // expected-error @+1 {{(C1) returns 'y' twice}}
  onnx.return %a, %a as ["y", "y"] : tensor<f32>, tensor<f32>
}

// -----

onnx.graph @g(%a "a" : tensor<f32>) attributes {files = ["m"], opset = {}} {
  // expected-error @+1 {{(C1) has 0 names for 1 values}}
  onnx.return %a as [] : tensor<f32>
}
