// RUN: ciuic-opt %s | ciuic-opt | FileCheck %s
// RUN: ciuic-opt %s --mlir-print-op-generic | ciuic-opt | FileCheck %s

// CHECK-LABEL: onnx.graph @main
// CHECK-SAME: (%[[IDS:.*]] "input_ids" : tensor<?x?xi64, #onnx.dims<["batch_size", "past + seq"]>>, %[[X:.*]] "x" : tensor<1x16xf32>)
// CHECK-SAME: attributes {files = ["model.onnx", "model.onnx_data"], ir_version = 8 : i64, opset = {ai.onnx = 18 : i64, com.microsoft = 1 : i64}, producer = "pytorch"}
onnx.graph @main(%ids "input_ids" : tensor<?x?xi64, #onnx.dims<["batch_size", "past + seq"]>>, %x "x" : tensor<1x16xf32>)
    attributes {files = ["model.onnx", "model.onnx_data"], ir_version = 8 : i64,
                opset = {ai.onnx = 18 : i64, "com.microsoft" = 1 : i64}, producer = "pytorch"} {
  // CHECK: %[[W:.*]] = onnx.weight "fc.weight" #onnx.weight<file = 0, offset = 4096, bytes = 512> : tensor<8x16xf32>
  %w = onnx.weight "fc.weight" #onnx.weight<file = 0, offset = 4096, bytes = 512> : tensor<8x16xf32>
  // CHECK: onnx.weight "old" #onnx.weight<file = 1, offset = 77, bytes = 300, encoding = varint> : tensor<300xi64>
  %old = onnx.weight "old" #onnx.weight<file = 1, offset = 77, bytes = 300, encoding = varint> : tensor<300xi64>
  // Two 4-bit elements a byte, the last byte half used.
  // CHECK: onnx.weight "q" #onnx.weight<file = 1, offset = 0, bytes = 2> : tensor<3xui4>
  %q = onnx.weight "q" #onnx.weight<file = 1, offset = 0, bytes = 2> : tensor<3xui4>
  // An empty tensor has no bytes, however large its other extent is.
  // CHECK: bytes = 0> : tensor<0x9007199254740992xf32>
  %z = onnx.weight "z" #onnx.weight<file = 1, offset = 0, bytes = 0> : tensor<0x9007199254740992xf32>
  // CHECK: onnx.constant "axes" dense<[0, 2]> : tensor<2xi64>
  %axes = onnx.constant "axes" dense<[0, 2]> : tensor<2xi64>
  // CHECK: onnx.constant "words" dense<["a", "b"]> : tensor<2x!onnx.string>
  %words = onnx.constant "words" dense<["a", "b"]> : tensor<2x!onnx.string>
  // CHECK: %[[NONE:.*]] = onnx.none
  %none = onnx.none
  // CHECK: %[[Y:.*]] = onnx.node "Gemm"(%[[X]], %[[W]], %[[NONE]]) {alpha = 1.000000e+00 : f32, transB = 1 : i64} outputs ["y"] : (tensor<1x16xf32>, tensor<8x16xf32>, none) -> tensor<1x8xf32>
  %y = onnx.node "Gemm"(%x, %w, %none) {transB = 1 : i64, alpha = 1.0 : f32} outputs ["y"]
      : (tensor<1x16xf32>, tensor<8x16xf32>, none) -> tensor<1x8xf32>
  // CHECK: onnx.node "com.microsoft" : "FastGelu"(%[[Y]]) outputs ["z"] : (tensor<1x8xf32>) -> !onnx.unknown
  %g = onnx.node "com.microsoft" : "FastGelu"(%y) outputs ["z"] : (tensor<1x8xf32>) -> !onnx.unknown
  // CHECK: onnx.node "Split"(%[[Y]]) {axis = -1 : i64, split = array<i64: 4, 4>} outputs ["", "b"] attributes {opset = 11 : i64} : (tensor<1x8xf32>) -> (tensor<*xf32>, tensor<1x4xf32>)
  %s:2 = onnx.node "Split"(%y) {axis = -1 : i64, split = array<i64: 4, 4>} outputs ["", "b"] attributes {opset = 11 : i64}
      : (tensor<1x8xf32>) -> (tensor<*xf32>, tensor<1x4xf32>)
  // CHECK: onnx.node "Kinds"() {fs = array<f32: 5.000000e-01>, ss = ["p", "q"], t = dense<1> : tensor<i64>, ts = [dense<1> : tensor<1xi32>], ty = tensor<2xf32>, w = #onnx.weight<file = 0, offset = 0, bytes = 8> : tensor<2xf32>} outputs [] attributes {overload = "v2"} : () -> ()
  onnx.node "Kinds"() {fs = array<f32: 0.5>, ss = ["p", "q"], t = dense<1> : tensor<i64>, ts = [dense<1> : tensor<1xi32>],
      ty = tensor<2xf32>, w = #onnx.weight<file = 0, offset = 0, bytes = 8> : tensor<2xf32>} outputs []
      attributes {overload = "v2"} : () -> ()
  %c = onnx.constant "c" dense<true> : tensor<i1>
  // CHECK: %[[O:.*]] = onnx.node "If"(%{{.*}}) outputs ["o"] bodies ["then_branch", "else_branch"] {
  // CHECK-NEXT: onnx.return %[[Y]] as ["t"] : tensor<1x8xf32>
  // CHECK-NEXT: }, {
  // CHECK-NEXT: onnx.return %[[Y]] as ["e"] : tensor<1x8xf32>
  // CHECK-NEXT: } : (tensor<i1>) -> tensor<1x8xf32>
  %o = onnx.node "If"(%c) outputs ["o"] bodies ["then_branch", "else_branch"] {
    onnx.return %y as ["t"] : tensor<1x8xf32>
  }, {
    onnx.return %y as ["e"] : tensor<1x8xf32>
  } : (tensor<i1>) -> tensor<1x8xf32>
  // A body with arguments.
  // CHECK: onnx.node "Scan"(%{{.*}}) outputs ["r"] bodies ["body"] {
  // CHECK-NEXT: ^bb0(%[[A:.*]]: tensor<16xf32>):
  // CHECK-NEXT: onnx.return %[[A]] as ["a"] : tensor<16xf32>
  %r = onnx.node "Scan"(%x) outputs ["r"] bodies ["body"] {
  ^bb0(%a: tensor<16xf32>):
    onnx.return %a as ["a"] : tensor<16xf32>
  } : (tensor<1x16xf32>) -> !onnx.sequence<tensor<?xf32>>
  // CHECK: onnx.return %[[O]], %{{.*}} as ["logits", "seq"] : tensor<1x8xf32>, !onnx.sequence<tensor<?xf32>>
  onnx.return %o, %r as ["logits", "seq"] : tensor<1x8xf32>, !onnx.sequence<tensor<?xf32>>
}

// CHECK-LABEL: onnx.graph @empty() attributes
onnx.graph @empty() attributes {files = ["e.onnx"], opset = {ai.onnx = 18 : i64}} {
  // CHECK-NEXT: onnx.return as []
  onnx.return as []
}

// CHECK: "a" : !onnx.optional<tensor<?xf32>>, %{{.*}} "b" : !onnx.map<i64, tensor<*xf32>>
onnx.graph @types(%a "a" : !onnx.optional<tensor<?xf32>>, %b "b" : !onnx.map<i64, tensor<*xf32>>)
    attributes {files = ["e.onnx"], opset = {}} {
  onnx.return as []
}
