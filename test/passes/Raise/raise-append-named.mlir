// RUN: ciuic-opt %s --pass-pipeline='builtin.module(ciuic-raise-append{states=cache=next})' --split-input-file --verify-diagnostics | FileCheck %s

// The graph does not show that the output continues the input; its rows from the input's extent on are new.
// CHECK: #[[AT:.*]] = affine_map<()[s0] -> (s0, 0)>
// CHECK-LABEL: func.func @named
// CHECK-SAME: graph.state = 0 : i64
// CHECK: %[[M:.*]] = graph.map(%arg0)
// CHECK: %[[NEW:.*]] = graph.slice %[[M]] offsets #[[AT]] steps [1, 1] : {{.*}} -> tensor<1x4xf32>
// CHECK: %[[P:.*]] = graph.append %arg0, %[[NEW]] axis 0
// CHECK: return %[[P]]
func.func @named(%past: tensor<?x4xf32, affine_map<()[s0] -> (s0, 4)>> {graph.name = "cache"}) -> (tensor<?x4xf32, affine_map<()[s0] -> (s0 + 1, 4)>> {graph.name = "next"})
    attributes {graph.symbols = [#graph.symbol<"past", 0, 31>]} {
  %p = graph.map (%past) [affine_map<(d0, d1)[s0] -> (d0 mod s0, d1)>] {
  ^bb0(%a: f32):
    graph.yield %a : f32
  } : (tensor<?x4xf32, affine_map<()[s0] -> (s0, 4)>>) -> tensor<?x4xf32, affine_map<()[s0] -> (s0 + 1, 4)>>
  return %p : tensor<?x4xf32, affine_map<()[s0] -> (s0 + 1, 4)>>
}

// -----

// expected-error @below {{[usage.state] --state cache=next: a state starts empty, and no entry allows that extent}}
func.func @full(%past: tensor<8x4xf32> {graph.name = "cache"}) -> (tensor<9x4xf32> {graph.name = "next"}) attributes {graph.symbols = []} {
  %p = graph.map (%past) [affine_map<(d0, d1) -> (0, d1)>] {
  ^bb0(%a: f32):
    graph.yield %a : f32
  } : (tensor<8x4xf32>) -> tensor<9x4xf32>
  return %p : tensor<9x4xf32>
}

// -----

// expected-error @below {{[usage.state] --state cache=next: the output must have the input's type and extents but for one axis}}
func.func @same(%past: tensor<8x4xf32> {graph.name = "cache"}) -> (tensor<8x4xf32> {graph.name = "next"}) attributes {graph.symbols = []} {
  return %past : tensor<8x4xf32>
}

// -----

// expected-error @below {{[usage.state] --state cache=next: the model has no output 'next'}}
func.func @unknown(%past: tensor<8x4xf32> {graph.name = "cache"}) -> (tensor<8x4xf32> {graph.name = "y"}) attributes {graph.symbols = []} {
  return %past : tensor<8x4xf32>
}
