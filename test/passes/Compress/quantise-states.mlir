// RUN: ciuic-opt %s --ciuic-quantise-states --split-input-file --verify-diagnostics | FileCheck %s

// A token's two caches, 64 wide: rows of 64 integers and 8 bytes of scale.
// CHECK: module attributes {graph.quantised_states = [2, 2]}
// CHECK-LABEL: func.func @decode
// CHECK-SAME: tensor<1x2x?x72xi8, {{.*}}> {graph.axis = 2 : i64, graph.physical = affine_map<() -> (1, 2, 128, 72)>, graph.state = 0 : i64}
// CHECK: %[[R:.*]] = graph.quantise_rows %{{.*}} : tensor<1x2x1x64xf16> -> tensor<1x2x1x72xi8>
// CHECK: %[[K:.*]] = graph.append %{{.*}}, %[[R]] axis 2
// CHECK: graph.quantise_rows
// CHECK: %[[V:.*]] = graph.append
// CHECK: graph.attention %{{.*}} bhsd, %[[K]] bhsd, %[[V]] bhsd
#past = affine_map<()[s0] -> (1, 2, s0, 64)>
#present = affine_map<()[s0] -> (1, 2, s0 + 1, 64)>
#whole = affine_map<() -> (1, 2, 128, 64)>
func.func @decode(%q: tensor<1x4x1x64xf16>, %k: tensor<1x2x1x64xf16>, %v: tensor<1x2x1x64xf16>,
    %pk: tensor<1x2x?x64xf16, #past> {graph.axis = 2 : i64, graph.physical = #whole, graph.state = 0 : i64},
    %pv: tensor<1x2x?x64xf16, #past> {graph.axis = 2 : i64, graph.physical = #whole, graph.state = 1 : i64})
    -> (tensor<1x4x1x64xf16>, tensor<1x2x?x64xf16, #present> {graph.state = 0 : i64}, tensor<1x2x?x64xf16, #present> {graph.state = 1 : i64})
    attributes {graph.symbols = [#graph.symbol<"past", 0, 127>]} {
  %k1 = graph.append %pk, %k axis 2 : (tensor<1x2x?x64xf16, #past>, tensor<1x2x1x64xf16>) -> tensor<1x2x?x64xf16, #present>
  %v1 = graph.append %pv, %v axis 2 : (tensor<1x2x?x64xf16, #past>, tensor<1x2x1x64xf16>) -> tensor<1x2x?x64xf16, #present>
  %y = graph.attention %q bhsd, %k1 bhsd, %v1 bhsd scale 1.250000e-01 to bhsd : (tensor<1x4x1x64xf16>, tensor<1x2x?x64xf16, #present>, tensor<1x2x?x64xf16, #present>) -> tensor<1x4x1x64xf16>
  return %y, %k1, %v1 : tensor<1x4x1x64xf16>, tensor<1x2x?x64xf16, #present>, tensor<1x2x?x64xf16, #present>
}

// -----

// On CUDA a prompt's attention reads values made of the rows: it passes over its keys once for each tile of queries.
// CHECK-LABEL: func.func @prefill
// CHECK: %[[K:.*]] = graph.append
// CHECK: %[[V:.*]] = graph.append
// CHECK: %[[KV:.*]] = graph.dequantise_rows %[[K]] : {{.*}} -> tensor<1x2x?x64xf16
// CHECK: %[[VV:.*]] = graph.dequantise_rows %[[V]]
// CHECK: graph.attention %{{.*}} bhsd, %[[KV]] bhsd, %[[VV]] bhsd
#past = affine_map<()[s0] -> (1, 2, s0, 64)>
#present = affine_map<()[s0] -> (1, 2, s0 + 32, 64)>
#whole = affine_map<() -> (1, 2, 128, 64)>
module attributes {graph.device = "cuda"} {
func.func @prefill(%q: tensor<1x4x32x64xf16>, %k: tensor<1x2x32x64xf16>, %v: tensor<1x2x32x64xf16>,
    %pk: tensor<1x2x?x64xf16, #past> {graph.axis = 2 : i64, graph.physical = #whole, graph.state = 0 : i64},
    %pv: tensor<1x2x?x64xf16, #past> {graph.axis = 2 : i64, graph.physical = #whole, graph.state = 1 : i64})
    -> (tensor<1x4x32x64xf16>, tensor<1x2x?x64xf16, #present> {graph.state = 0 : i64}, tensor<1x2x?x64xf16, #present> {graph.state = 1 : i64})
    attributes {graph.symbols = [#graph.symbol<"past", 0, 96>]} {
  %k1 = graph.append %pk, %k axis 2 : (tensor<1x2x?x64xf16, #past>, tensor<1x2x32x64xf16>) -> tensor<1x2x?x64xf16, #present>
  %v1 = graph.append %pv, %v axis 2 : (tensor<1x2x?x64xf16, #past>, tensor<1x2x32x64xf16>) -> tensor<1x2x?x64xf16, #present>
  %y = graph.attention %q bhsd, %k1 bhsd, %v1 bhsd scale 1.250000e-01 to bhsd : (tensor<1x4x32x64xf16>, tensor<1x2x?x64xf16, #present>, tensor<1x2x?x64xf16, #present>) -> tensor<1x4x32x64xf16>
  return %y, %k1, %v1 : tensor<1x4x32x64xf16>, tensor<1x2x?x64xf16, #present>, tensor<1x2x?x64xf16, #present>
}
}

// -----

// A first prompt, before which the caches are empty: attention reads what is appended behind the append.
// CHECK-LABEL: func.func @first
// CHECK: %[[K:.*]] = graph.append %{{.*}}, %{{.*}} axis 2 : (tensor<1x2x0x72xi8>, tensor<1x2x8x72xi8>)
// CHECK: graph.attention %{{.*}} bhsd, %{{.*}} bhsd, %{{.*}} bhsd {{.*}}tensor<1x2x8x72xi8>
#whole = affine_map<() -> (1, 2, 128, 64)>
func.func @first(%q: tensor<1x4x8x64xf16>, %a: tensor<1x8x2x64xf16>, %b: tensor<1x8x2x64xf16>,
    %pk: tensor<1x2x0x64xf16> {graph.axis = 2 : i64, graph.physical = #whole, graph.state = 0 : i64},
    %pv: tensor<1x2x0x64xf16> {graph.axis = 2 : i64, graph.physical = #whole, graph.state = 1 : i64})
    -> (tensor<1x4x8x64xf16>, tensor<1x2x8x64xf16> {graph.state = 0 : i64}, tensor<1x2x8x64xf16> {graph.state = 1 : i64}) {
  %k = graph.transpose %a [0, 2, 1, 3] : tensor<1x8x2x64xf16> -> tensor<1x2x8x64xf16>
  %v = graph.transpose %b [0, 2, 1, 3] : tensor<1x8x2x64xf16> -> tensor<1x2x8x64xf16>
  %y = graph.attention %q bhsd, %k bhsd, %v bhsd scale 1.250000e-01 to bhsd : (tensor<1x4x8x64xf16>, tensor<1x2x8x64xf16>, tensor<1x2x8x64xf16>) -> tensor<1x4x8x64xf16>
  %k1 = graph.append %pk, %k axis 2 : (tensor<1x2x0x64xf16>, tensor<1x2x8x64xf16>) -> tensor<1x2x8x64xf16>
  %v1 = graph.append %pv, %v axis 2 : (tensor<1x2x0x64xf16>, tensor<1x2x8x64xf16>) -> tensor<1x2x8x64xf16>
  return %y, %k1, %v1 : tensor<1x4x8x64xf16>, tensor<1x2x8x64xf16>, tensor<1x2x8x64xf16>
}

// -----

// A cache that something else reads stays as it is, and so does the one beside it: nothing is left, which is an error.
// expected-error@+1 {{[usage.kv] --kv int8: no state of this model is a cache that attention alone reads; leave the option out}}
module {
func.func @read(%q: tensor<1x4x1x64xf16>, %k: tensor<1x2x1x64xf16>, %v: tensor<1x2x1x64xf16>,
    %pk: tensor<1x2x7x64xf16> {graph.axis = 2 : i64, graph.physical = affine_map<() -> (1, 2, 8, 64)>, graph.state = 0 : i64},
    %pv: tensor<1x2x7x64xf16> {graph.axis = 2 : i64, graph.physical = affine_map<() -> (1, 2, 8, 64)>, graph.state = 1 : i64})
    -> (tensor<1x4x1x64xf16>, tensor<1x2x8x64xf16>, tensor<1x2x8x64xf16> {graph.state = 0 : i64}, tensor<1x2x8x64xf16> {graph.state = 1 : i64}) {
  %k1 = graph.append %pk, %k axis 2 : (tensor<1x2x7x64xf16>, tensor<1x2x1x64xf16>) -> tensor<1x2x8x64xf16>
  %v1 = graph.append %pv, %v axis 2 : (tensor<1x2x7x64xf16>, tensor<1x2x1x64xf16>) -> tensor<1x2x8x64xf16>
  %y = graph.attention %q bhsd, %k1 bhsd, %v1 bhsd scale 1.250000e-01 to bhsd : (tensor<1x4x1x64xf16>, tensor<1x2x8x64xf16>, tensor<1x2x8x64xf16>) -> tensor<1x4x1x64xf16>
  %copy = graph.map (%k1) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>] {
  ^bb0(%a: f16):
    graph.yield %a : f16
  } : (tensor<1x2x8x64xf16>) -> tensor<1x2x8x64xf16>
  return %y, %copy, %k1, %v1 : tensor<1x4x1x64xf16>, tensor<1x2x8x64xf16>, tensor<1x2x8x64xf16>, tensor<1x2x8x64xf16>
}
}
