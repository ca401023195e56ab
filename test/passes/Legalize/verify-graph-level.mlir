// RUN: ciuic-opt %s --ciuic-verify-graph-level --split-input-file --verify-diagnostics

// A complete level passes.
func.func @main(%x: tensor<?x4xf32, affine_map<()[s0] -> (s0, 4)>> {graph.name = "x"})
    -> (tensor<?x4xf32, affine_map<()[s0] -> (s0, 4)>> {graph.name = "y"})
    attributes {graph.symbols = [#graph.symbol<"batch", 1, 8>]} {
  return %x : tensor<?x4xf32, affine_map<()[s0] -> (s0, 4)>>
}

// -----

// expected-error @below {{(V1) 'onnx.graph' is left of the onnx level}}
onnx.graph @main(%x "x" : tensor<1xf32>) attributes {files = ["m"], opset = {ai.onnx = 18 : i64}} {
  onnx.return %x as ["y"] : tensor<1xf32>
}

// -----

// expected-error @below {{(V2) function 'main' has no graph.symbols}}
func.func @main(%x: tensor<4xf32> {graph.name = "x"}) {
  return
}

// -----

// expected-error @below {{(V2) argument 0 has no graph.name}}
func.func @main(%x: tensor<4xf32>) attributes {graph.symbols = []} {
  return
}

// -----

// expected-error @below {{(V3) a dim of}}
func.func @main(%x: tensor<?xf32, affine_map<()[s0, s1] -> (s0 - s1)>> {graph.name = "x"})
    attributes {graph.symbols = [#graph.symbol<"a", 1, 8>, #graph.symbol<"b", 1, 8>]} {
  return
}

// -----

// expected-error @below {{can have more than 2^48 elements}}
func.func @main(%x: tensor<?x?xf32, affine_map<()[s0] -> (s0, s0)>> {graph.name = "x"})
    attributes {graph.symbols = [#graph.symbol<"a", 1, 1000000000>]} {
  return
}

// -----

func.func @main(%x: tensor<4xf32> {graph.name = "x"}) attributes {graph.symbols = []} {
  // expected-error @below {{(V4) operand 0 may be read outside its extents}}
  %y = graph.map (%x) [affine_map<(d0) -> (d0)>] {
  ^bb0(%a: f32):
    graph.yield %a : f32
  } : (tensor<4xf32>) -> tensor<5xf32>
  return
}
