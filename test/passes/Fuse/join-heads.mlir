// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-join-heads))' --split-input-file | FileCheck %s

// Queries are rotated, keys rotated and appended, values appended: one fusion, which reads all of them in one tensor.
// CHECK-LABEL: func.func @decode
// CHECK-SAME: (%[[H:.*]]: tensor<1x1x4x16xf16>, %[[C:.*]]: tensor<1x1x16xf16>, %[[K:.*]]: tensor<1x1x?x16xf16, #{{.*}}> {{.*}}, %[[V:.*]]: tensor<1x1x?x16xf16, #{{[a-z0-9]*}}>
// CHECK: %[[F:.*]]:3 = graph.fusion heads(%[[H]], %[[C]], %[[K]], %[[V]])
// CHECK: %[[Q:.*]] = graph.rope
// CHECK: %[[KA:.*]] = graph.append
// CHECK: %[[VA:.*]] = graph.append
// CHECK: graph.yield %[[Q]], %[[KA]], %[[VA]]
// CHECK: graph.attention %[[F]]#0 bshd, %[[F]]#1 bhsd, %[[F]]#2 bhsd
#past = affine_map<()[s0] -> (1, 1, s0, 16)>
#all = affine_map<()[s0] -> (1, 1, s0 + 1, 16)>
#at = affine_map<() -> (0, 0, 0, 0)>
#at2 = affine_map<() -> (0, 0, 2, 0)>
#at3 = affine_map<() -> (0, 0, 3, 0)>
module attributes {graph.device = "cuda"} {
func.func @decode(%h: tensor<1x1x4x16xf16>, %c: tensor<1x1x16xf16>,
    %pk: tensor<1x1x?x16xf16, #past> {graph.state = 0 : i64, graph.physical = affine_map<() -> (1, 1, 64, 16)>},
    %pv: tensor<1x1x?x16xf16, #past> {graph.state = 1 : i64, graph.physical = affine_map<() -> (1, 1, 64, 16)>})
    -> (tensor<1x1x2x16xf16>, tensor<1x1x?x16xf16, #all> {graph.state = 0 : i64}, tensor<1x1x?x16xf16, #all> {graph.state = 1 : i64})
    attributes {graph.symbols = [#graph.symbol<"past", 0, 63>]} {
  %q = graph.slice %h offsets #at steps [1, 1, 1, 1] : tensor<1x1x4x16xf16> -> tensor<1x1x2x16xf16>
  %k = graph.slice %h offsets #at2 steps [1, 1, 1, 1] : tensor<1x1x4x16xf16> -> tensor<1x1x1x16xf16>
  %v = graph.slice %h offsets #at3 steps [1, 1, 1, 1] : tensor<1x1x4x16xf16> -> tensor<1x1x1x16xf16>
  %qr = graph.rope %q bshd, %c, %c : (tensor<1x1x2x16xf16>, tensor<1x1x16xf16>, tensor<1x1x16xf16>) -> tensor<1x1x2x16xf16>
  %kr = graph.rope %k bshd, %c, %c : (tensor<1x1x1x16xf16>, tensor<1x1x16xf16>, tensor<1x1x16xf16>) -> tensor<1x1x1x16xf16>
  %kt = graph.transpose %kr [0, 2, 1, 3] : tensor<1x1x1x16xf16> -> tensor<1x1x1x16xf16>
  %ka = graph.append %pk, %kt axis 2 : (tensor<1x1x?x16xf16, #past>, tensor<1x1x1x16xf16>) -> tensor<1x1x?x16xf16, #all>
  %va = graph.append %pv, %v axis 2 : (tensor<1x1x?x16xf16, #past>, tensor<1x1x1x16xf16>) -> tensor<1x1x?x16xf16, #all>
  %y = graph.attention %qr bshd, %ka bhsd, %va bhsd scale 0.25 to bshd : (tensor<1x1x2x16xf16>, tensor<1x1x?x16xf16, #all>, tensor<1x1x?x16xf16, #all>) -> tensor<1x1x2x16xf16>
  return %y, %ka, %va : tensor<1x1x2x16xf16>, tensor<1x1x?x16xf16, #all>, tensor<1x1x?x16xf16, #all>
}
}

// -----

// One rotation alone is a kernel of its own already; keys and values that come from outside are none of it.
// CHECK-LABEL: func.func @alone
// CHECK-NOT: graph.fusion
module attributes {graph.device = "cuda"} {
func.func @alone(%q: tensor<1x2x2x16xf16>, %c: tensor<1x2x16xf16>, %k: tensor<1x2x2x16xf16>) -> tensor<1x2x2x16xf16> {
  %qr = graph.rope %q bshd, %c, %c : (tensor<1x2x2x16xf16>, tensor<1x2x16xf16>, tensor<1x2x16xf16>) -> tensor<1x2x2x16xf16>
  %y = graph.attention %qr bshd, %k bshd, %k bshd scale 0.25 to bshd : (tensor<1x2x2x16xf16>, tensor<1x2x2x16xf16>, tensor<1x2x2x16xf16>) -> tensor<1x2x2x16xf16>
  return %y : tensor<1x2x2x16xf16>
}
}

// -----

// Nor are two rotations that nothing appends: a prompt's.
// CHECK-LABEL: func.func @prompt
// CHECK-NOT: graph.fusion
module attributes {graph.device = "cuda"} {
func.func @prompt(%q: tensor<1x2x2x16xf16>, %c: tensor<1x2x16xf16>, %k: tensor<1x2x2x16xf16>) -> tensor<1x2x2x16xf16> {
  %qr = graph.rope %q bshd, %c, %c : (tensor<1x2x2x16xf16>, tensor<1x2x16xf16>, tensor<1x2x16xf16>) -> tensor<1x2x2x16xf16>
  %kr = graph.rope %k bshd, %c, %c : (tensor<1x2x2x16xf16>, tensor<1x2x16xf16>, tensor<1x2x16xf16>) -> tensor<1x2x2x16xf16>
  %y = graph.attention %qr bshd, %kr bshd, %k bshd scale 0.25 to bshd : (tensor<1x2x2x16xf16>, tensor<1x2x2x16xf16>, tensor<1x2x2x16xf16>) -> tensor<1x2x2x16xf16>
  return %y : tensor<1x2x2x16xf16>
}
}
