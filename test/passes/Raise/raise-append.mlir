// RUN: ciuic-opt %s --ciuic-raise-append --split-input-file --verify-diagnostics | FileCheck %s

// Two entries over one state: the capacity is the largest of 768 + 256 and 1023 + 1. The reader that is a map reads the
// state itself, the reshape a copy.
// CHECK-LABEL: func.func @prefill
// CHECK-SAME: graph.axis = 1 : i64, graph.name = "past", graph.physical = affine_map<() -> (2, 1024, 4)>, graph.state = 0 : i64
// CHECK-SAME: graph.state = 0 : i64
// CHECK: %[[P:.*]] = graph.append %arg0, %arg1 axis 1
// CHECK: %[[COPY:.*]] = graph.map(%[[P]])
// CHECK-NEXT: ^bb0(%[[A:.*]]: f32):
// CHECK-NEXT: graph.yield %[[A]]
// CHECK: graph.map(%[[P]])
// CHECK-NEXT: ^bb0
// CHECK-NEXT: arith.negf
// CHECK: graph.reshape %[[COPY]]
// CHECK: return %[[P]]
func.func @prefill(%past: tensor<2x?x4xf32, affine_map<()[s0, s1] -> (2, s0, 4)>> {graph.name = "past"}, %new: tensor<2x?x4xf32, affine_map<()[s0, s1] -> (2, s1, 4)>>)
    -> (tensor<2x?x4xf32, affine_map<()[s0, s1] -> (2, s0 + s1, 4)>> {graph.name = "present"}, tensor<2x?x4xf32, affine_map<()[s0, s1] -> (2, s0 + s1, 4)>>, tensor<2x?x2x2xf32, affine_map<()[s0, s1] -> (2, s0 + s1, 2, 2)>>)
    attributes {graph.symbols = [#graph.symbol<"past", 0, 768>, #graph.symbol<"seq", 1, 256>]} {
  %p = graph.concat %past, %new axis 1 : (tensor<2x?x4xf32, affine_map<()[s0, s1] -> (2, s0, 4)>>, tensor<2x?x4xf32, affine_map<()[s0, s1] -> (2, s1, 4)>>) -> tensor<2x?x4xf32, affine_map<()[s0, s1] -> (2, s0 + s1, 4)>>
  %n = graph.map (%p) [affine_map<(d0, d1, d2) -> (d0, d1, d2)>] {
  ^bb0(%a: f32):
    %m = arith.negf %a : f32
    graph.yield %m : f32
  } : (tensor<2x?x4xf32, affine_map<()[s0, s1] -> (2, s0 + s1, 4)>>) -> tensor<2x?x4xf32, affine_map<()[s0, s1] -> (2, s0 + s1, 4)>>
  %r = graph.reshape %p : tensor<2x?x4xf32, affine_map<()[s0, s1] -> (2, s0 + s1, 4)>> -> tensor<2x?x2x2xf32, affine_map<()[s0, s1] -> (2, s0 + s1, 2, 2)>>
  return %p, %n, %r : tensor<2x?x4xf32, affine_map<()[s0, s1] -> (2, s0 + s1, 4)>>, tensor<2x?x4xf32, affine_map<()[s0, s1] -> (2, s0 + s1, 4)>>, tensor<2x?x2x2xf32, affine_map<()[s0, s1] -> (2, s0 + s1, 2, 2)>>
}
// CHECK-LABEL: func.func @decode
// CHECK-SAME: graph.physical = affine_map<() -> (2, 1024, 4)>, graph.state = 0 : i64
// CHECK: graph.append
func.func @decode(%past: tensor<2x?x4xf32, affine_map<()[s0] -> (2, s0, 4)>> {graph.name = "past"}, %new: tensor<2x1x4xf32>)
    -> (tensor<2x?x4xf32, affine_map<()[s0] -> (2, s0 + 1, 4)>> {graph.name = "present"}, tensor<2x1x4xf32>, tensor<2x1x4xf32>)
    attributes {graph.symbols = [#graph.symbol<"past", 0, 1023>]} {
  %p = graph.concat %past, %new axis 1 : (tensor<2x?x4xf32, affine_map<()[s0] -> (2, s0, 4)>>, tensor<2x1x4xf32>) -> tensor<2x?x4xf32, affine_map<()[s0] -> (2, s0 + 1, 4)>>
  return %p, %new, %new : tensor<2x?x4xf32, affine_map<()[s0] -> (2, s0 + 1, 4)>>, tensor<2x1x4xf32>, tensor<2x1x4xf32>
}

// -----

// An entry whose past is always empty has no concat; what it returns is all new.
// CHECK-LABEL: func.func @first
// CHECK-SAME: graph.state = 0 : i64
// CHECK: graph.append %arg0, %arg1 axis 0
func.func @first(%past: tensor<0x4xf32>, %new: tensor<8x4xf32>) -> tensor<8x4xf32> attributes {graph.symbols = []} {
  return %new : tensor<8x4xf32>
}
func.func @next(%past: tensor<?x4xf32, affine_map<()[s0] -> (s0, 4)>>, %new: tensor<1x4xf32>) -> tensor<?x4xf32, affine_map<()[s0] -> (s0 + 1, 4)>>
    attributes {graph.symbols = [#graph.symbol<"past", 0, 31>]} {
  %p = graph.concat %past, %new axis 0 : (tensor<?x4xf32, affine_map<()[s0] -> (s0, 4)>>, tensor<1x4xf32>) -> tensor<?x4xf32, affine_map<()[s0] -> (s0 + 1, 4)>>
  return %p : tensor<?x4xf32, affine_map<()[s0] -> (s0 + 1, 4)>>
}

// -----

// The input comes second: nothing is appended.
// CHECK-LABEL: func.func @nothing
// CHECK-NOT: graph.state
// CHECK: graph.concat
func.func @nothing(%past: tensor<?x4xf32, affine_map<()[s0] -> (s0, 4)>>) -> tensor<?x4xf32, affine_map<()[s0] -> (s0 + 2, 4)>>
    attributes {graph.symbols = [#graph.symbol<"past", 0, 31>]} {
  %new = graph.constant dense<1.0> : tensor<2x4xf32>
  %p = graph.concat %new, %past axis 0 : (tensor<2x4xf32>, tensor<?x4xf32, affine_map<()[s0] -> (s0, 4)>>) -> tensor<?x4xf32, affine_map<()[s0] -> (s0 + 2, 4)>>
  return %p : tensor<?x4xf32, affine_map<()[s0] -> (s0 + 2, 4)>>
}

// -----

// Never empty: two pictures side by side are no state.
// CHECK-LABEL: func.func @side_by_side
// CHECK-NOT: graph.state
// CHECK: graph.concat
func.func @side_by_side(%a: tensor<8x4xf32>, %b: tensor<8x4xf32>) -> tensor<16x4xf32> attributes {graph.symbols = []} {
  %p = graph.concat %a, %b axis 0 : (tensor<8x4xf32>, tensor<8x4xf32>) -> tensor<16x4xf32>
  return %p : tensor<16x4xf32>
}

// -----

// One entry of two does not continue the input, so neither does the other.
// CHECK-LABEL: func.func @one
// CHECK-NOT: graph.append
// CHECK-LABEL: func.func @other
func.func @one(%past: tensor<?x4xf32, affine_map<()[s0] -> (s0, 4)>>, %new: tensor<1x4xf32>) -> tensor<?x4xf32, affine_map<()[s0] -> (s0 + 1, 4)>>
    attributes {graph.symbols = [#graph.symbol<"past", 0, 31>]} {
  %p = graph.concat %past, %new axis 0 : (tensor<?x4xf32, affine_map<()[s0] -> (s0, 4)>>, tensor<1x4xf32>) -> tensor<?x4xf32, affine_map<()[s0] -> (s0 + 1, 4)>>
  return %p : tensor<?x4xf32, affine_map<()[s0] -> (s0 + 1, 4)>>
}
func.func @other(%past: tensor<8x4xf32>, %new: tensor<9x4xf32>) -> tensor<9x4xf32> attributes {graph.symbols = []} {
  return %new : tensor<9x4xf32>
}
