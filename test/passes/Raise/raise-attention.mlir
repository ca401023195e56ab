// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-raise-attention,canonicalize))' --split-input-file | FileCheck %s

// As BERT has it: heads split by reshape and transpose, keys transposed to [.., width, keys], the scale a divisor
// (√16 = 4), a padding mask added, the result's heads put together. All transposes go.
// CHECK-LABEL: func.func @bert
// CHECK-NEXT: %[[Q:.*]] = graph.reshape %arg0
// CHECK-NEXT: %[[K:.*]] = graph.reshape %arg1
// CHECK-NEXT: %[[V:.*]] = graph.reshape %arg2
// CHECK-NEXT: %[[A:.*]] = graph.attention %[[Q]] bshd, %[[K]] bshd, %[[V]] bshd mask %arg3 scale 2.500000e-01 to bshd
// CHECK-NEXT: %[[O:.*]] = graph.reshape %[[A]]
// CHECK-NEXT: return %[[O]]
func.func @bert(%q: tensor<1x6x32xf32>, %k: tensor<1x6x32xf32>, %v: tensor<1x6x32xf32>, %mask: tensor<1x1x1x6xf32>) -> tensor<1x6x32xf32> {
  %q4 = graph.reshape %q : tensor<1x6x32xf32> -> tensor<1x6x2x16xf32>
  %qt = graph.transpose %q4 [0, 2, 1, 3] : tensor<1x6x2x16xf32> -> tensor<1x2x6x16xf32>
  %k4 = graph.reshape %k : tensor<1x6x32xf32> -> tensor<1x6x2x16xf32>
  %kt = graph.transpose %k4 [0, 2, 3, 1] : tensor<1x6x2x16xf32> -> tensor<1x2x16x6xf32>
  %v4 = graph.reshape %v : tensor<1x6x32xf32> -> tensor<1x6x2x16xf32>
  %vt = graph.transpose %v4 [0, 2, 1, 3] : tensor<1x6x2x16xf32> -> tensor<1x2x6x16xf32>
  %s = graph.matmul %qt, %kt : (tensor<1x2x6x16xf32>, tensor<1x2x16x6xf32>) -> tensor<1x2x6x6xf32>
  %d = graph.map (%s) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>] {
  ^bb0(%a: f32):
    %four = arith.constant 4.0 : f32
    %r = arith.divf %a, %four : f32
    graph.yield %r : f32
  } : (tensor<1x2x6x6xf32>) -> tensor<1x2x6x6xf32>
  %m = graph.map (%d, %mask) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, 0, 0, d3)>] {
  ^bb0(%a: f32, %b: f32):
    %r = arith.addf %a, %b : f32
    graph.yield %r : f32
  } : (tensor<1x2x6x6xf32>, tensor<1x1x1x6xf32>) -> tensor<1x2x6x6xf32>
  %p = graph.softmax %m : tensor<1x2x6x6xf32>
  %o = graph.matmul %p, %vt : (tensor<1x2x6x6xf32>, tensor<1x2x6x16xf32>) -> tensor<1x2x6x16xf32>
  %t = graph.transpose %o [0, 2, 1, 3] : tensor<1x2x6x16xf32> -> tensor<1x6x2x16xf32>
  %y = graph.reshape %t : tensor<1x6x2x16xf32> -> tensor<1x6x32xf32>
  return %y : tensor<1x6x32xf32>
}

// -----

// Key and value heads repeated three times by expand and reshape: attention reads the two that there are. The scale is
// on q and on k, 0.5 each. The mask's condition is key ≤ query + past and true: causal for all values of past and seq.
// CHECK-LABEL: func.func @grouped_causal
// CHECK-NEXT: %[[A:.*]] = graph.attention %arg0 bhsd, %arg1 bhsd, %arg2 bhsd scale 2.500000e-01 to bhsd {causal}
// CHECK-NEXT: return %[[A]]
#q = affine_map<()[s0, s1] -> (1, 6, s1, 16)>
#k = affine_map<()[s0, s1] -> (1, 2, s0 + s1, 16)>
#k5 = affine_map<()[s0, s1] -> (1, 2, 1, s0 + s1, 16)>
#k5e = affine_map<()[s0, s1] -> (1, 2, 3, s0 + s1, 16)>
#k6 = affine_map<()[s0, s1] -> (1, 6, s0 + s1, 16)>
#s = affine_map<()[s0, s1] -> (1, 6, s1, s0 + s1)>
#m = affine_map<()[s0, s1] -> (1, 1, s1, s0 + s1)>
#id = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
func.func @grouped_causal(%q: tensor<1x6x?x16xf32, #q>, %k: tensor<1x2x?x16xf32, #k>, %v: tensor<1x2x?x16xf32, #k>) -> tensor<1x6x?x16xf32, #q>
    attributes {graph.symbols = [#graph.symbol<"past", 0, 768>, #graph.symbol<"seq", 1, 256>]} {
  %qs = graph.map (%q) [#id] {
  ^bb0(%a: f32):
    %h = arith.constant 0.5 : f32
    %r = arith.mulf %a, %h : f32
    graph.yield %r : f32
  } : (tensor<1x6x?x16xf32, #q>) -> tensor<1x6x?x16xf32, #q>
  %ks = graph.map (%k) [#id] {
  ^bb0(%a: f32):
    %h = arith.constant 0.5 : f32
    %r = arith.mulf %h, %a : f32
    graph.yield %r : f32
  } : (tensor<1x2x?x16xf32, #k>) -> tensor<1x2x?x16xf32, #k>
  %k5 = graph.reshape %ks : tensor<1x2x?x16xf32, #k> -> tensor<1x2x1x?x16xf32, #k5>
  %ke = graph.expand %k5 : tensor<1x2x1x?x16xf32, #k5> -> tensor<1x2x3x?x16xf32, #k5e>
  %k6 = graph.reshape %ke : tensor<1x2x3x?x16xf32, #k5e> -> tensor<1x6x?x16xf32, #k6>
  %v5 = graph.reshape %v : tensor<1x2x?x16xf32, #k> -> tensor<1x2x1x?x16xf32, #k5>
  %ve = graph.expand %v5 : tensor<1x2x1x?x16xf32, #k5> -> tensor<1x2x3x?x16xf32, #k5e>
  %v6 = graph.reshape %ve : tensor<1x2x3x?x16xf32, #k5e> -> tensor<1x6x?x16xf32, #k6>
  %keys = graph.map () [] {
    %i = graph.index 0 : i64
    graph.yield %i : i64
  } : () -> tensor<?xi64, affine_map<()[s0, s1] -> (s0 + s1)>>
  %mask = graph.map (%keys) [affine_map<(d0, d1, d2, d3) -> (d3)>] {
  ^bb0(%key: i64):
    %i = graph.index 2 : i64
    %past = graph.extent affine_map<()[s0] -> (s0)> : i64
    %last = arith.addi %i, %past : i64
    %le = arith.cmpi sle, %key, %last : i64
    %true = arith.constant true
    %c = arith.andi %true, %le : i1
    %zero = arith.constant 0.0 : f32
    %low = arith.constant -3.40282347E+38 : f32
    %r = arith.select %c, %zero, %low : f32
    graph.yield %r : f32
  } : (tensor<?xi64, affine_map<()[s0, s1] -> (s0 + s1)>>) -> tensor<1x1x?x?xf32, #m>
  %s = graph.matmul %qs, %k6 {transpose_b} : (tensor<1x6x?x16xf32, #q>, tensor<1x6x?x16xf32, #k6>) -> tensor<1x6x?x?xf32, #s>
  %a = graph.map (%s, %mask) [#id, affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>] {
  ^bb0(%u: f32, %w: f32):
    %r = arith.addf %u, %w : f32
    graph.yield %r : f32
  } : (tensor<1x6x?x?xf32, #s>, tensor<1x1x?x?xf32, #m>) -> tensor<1x6x?x?xf32, #s>
  %p = graph.softmax %a : tensor<1x6x?x?xf32, #s>
  %o = graph.matmul %p, %v6 : (tensor<1x6x?x?xf32, #s>, tensor<1x6x?x16xf32, #k6>) -> tensor<1x6x?x16xf32, #q>
  return %o : tensor<1x6x?x16xf32, #q>
}

// -----

// Scores replaced where a condition fails, NaNs of the softmax made 0: a mask from the condition, a guard on the result.
// CHECK-LABEL: func.func @selected_guarded
// CHECK-NEXT: %[[M:.*]] = graph.map(%arg3)
// CHECK: arith.select %{{.*}}, %[[Z:.*]], %[[LOW:.*]] : f32
// CHECK: } : (tensor<6x6xi1>) -> tensor<1x1x6x6xf32>
// CHECK: %[[A:.*]] = graph.attention %arg0 bhsd, %arg1 bhsd, %arg2 bhsd mask %[[M]] scale 1.000000e+00 to bhsd
// CHECK: graph.map(%[[A]])
// CHECK: arith.cmpf uno
func.func @selected_guarded(%q: tensor<1x2x6x16xf32>, %k: tensor<1x2x6x16xf32>, %v: tensor<1x2x6x16xf32>, %c: tensor<6x6xi1>) -> tensor<1x2x6x16xf32> {
  %s = graph.matmul %q, %k {transpose_b} : (tensor<1x2x6x16xf32>, tensor<1x2x6x16xf32>) -> tensor<1x2x6x6xf32>
  %m = graph.map (%c, %s) [affine_map<(d0, d1, d2, d3) -> (d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>] {
  ^bb0(%b: i1, %a: f32):
    %low = arith.constant 0xFF800000 : f32
    %r = arith.select %b, %a, %low : f32
    graph.yield %r : f32
  } : (tensor<6x6xi1>, tensor<1x2x6x6xf32>) -> tensor<1x2x6x6xf32>
  %p = graph.softmax %m : tensor<1x2x6x6xf32>
  %nan = graph.map (%p) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>] {
  ^bb0(%a: f32):
    %r = arith.cmpf uno, %a, %a : f32
    graph.yield %r : i1
  } : (tensor<1x2x6x6xf32>) -> tensor<1x2x6x6xi1>
  %g = graph.map (%nan, %p) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>] {
  ^bb0(%b: i1, %a: f32):
    %zero = arith.constant 0.0 : f32
    %r = arith.select %b, %zero, %a : f32
    graph.yield %r : f32
  } : (tensor<1x2x6x6xi1>, tensor<1x2x6x6xf32>) -> tensor<1x2x6x6xf32>
  %o = graph.matmul %g, %v : (tensor<1x2x6x6xf32>, tensor<1x2x6x16xf32>) -> tensor<1x2x6x16xf32>
  return %o : tensor<1x2x6x16xf32>
}

// -----

// A causal condition and padding that depends on data: the mask stays whole, since a row that padding hides entirely
// attends to what comes after it too.
// CHECK-LABEL: func.func @causal_and_padding
// CHECK: %[[M:.*]] = graph.map(%arg3)
// CHECK: graph.attention %arg0 bhsd, %arg1 bhsd, %arg2 bhsd mask %[[M]] scale 1.000000e+00 to bhsd :
func.func @causal_and_padding(%q: tensor<1x2x6x16xf32>, %k: tensor<1x2x6x16xf32>, %v: tensor<1x2x6x16xf32>, %pad: tensor<1x6xi1>) -> tensor<1x2x6x16xf32> {
  %mask = graph.map (%pad) [affine_map<(d0, d1, d2, d3) -> (d0, d3)>] {
  ^bb0(%b: i1):
    %i = graph.index 2 : i64
    %j = graph.index 3 : i64
    %le = arith.cmpi sle, %j, %i : i64
    %c = arith.andi %le, %b : i1
    %zero = arith.constant 0.0 : f32
    %low = arith.constant -3.40282347E+38 : f32
    %r = arith.select %c, %zero, %low : f32
    graph.yield %r : f32
  } : (tensor<1x6xi1>) -> tensor<1x1x6x6xf32>
  %s = graph.matmul %q, %k {transpose_b} : (tensor<1x2x6x16xf32>, tensor<1x2x6x16xf32>) -> tensor<1x2x6x6xf32>
  %a = graph.map (%s, %mask) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>] {
  ^bb0(%u: f32, %w: f32):
    %r = arith.addf %u, %w : f32
    graph.yield %r : f32
  } : (tensor<1x2x6x6xf32>, tensor<1x1x6x6xf32>) -> tensor<1x2x6x6xf32>
  %p = graph.softmax %a : tensor<1x2x6x6xf32>
  %o = graph.matmul %p, %v : (tensor<1x2x6x6xf32>, tensor<1x2x6x16xf32>) -> tensor<1x2x6x16xf32>
  return %o : tensor<1x2x6x16xf32>
}

// -----

// A window of four keys hides more than causality does: no flag.
// CHECK-LABEL: func.func @window
// CHECK: graph.attention {{.*}} mask
// CHECK-NOT: {causal}
func.func @window(%q: tensor<1x2x6x16xf32>, %k: tensor<1x2x6x16xf32>, %v: tensor<1x2x6x16xf32>) -> tensor<1x2x6x16xf32> {
  %mask = graph.map () [] {
    %i = graph.index 2 : i64
    %j = graph.index 3 : i64
    %le = arith.cmpi sle, %j, %i : i64
    %four = arith.constant 4 : i64
    %far = arith.addi %j, %four : i64
    %near = arith.cmpi sgt, %far, %i : i64
    %c = arith.andi %le, %near : i1
    %zero = arith.constant 0.0 : f32
    %low = arith.constant -3.40282347E+38 : f32
    %r = arith.select %c, %zero, %low : f32
    graph.yield %r : f32
  } : () -> tensor<1x1x6x6xf32>
  %s = graph.matmul %q, %k {transpose_b} : (tensor<1x2x6x16xf32>, tensor<1x2x6x16xf32>) -> tensor<1x2x6x6xf32>
  %a = graph.map (%s, %mask) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>] {
  ^bb0(%u: f32, %w: f32):
    %r = arith.addf %u, %w : f32
    graph.yield %r : f32
  } : (tensor<1x2x6x6xf32>, tensor<1x1x6x6xf32>) -> tensor<1x2x6x6xf32>
  %p = graph.softmax %a : tensor<1x2x6x6xf32>
  %o = graph.matmul %p, %v : (tensor<1x2x6x6xf32>, tensor<1x2x6x16xf32>) -> tensor<1x2x6x16xf32>
  return %o : tensor<1x2x6x16xf32>
}

// -----

// No softmax between the products: nothing is recognised.
// CHECK-LABEL: func.func @nothing
// CHECK-NOT: graph.attention
func.func @nothing(%q: tensor<1x2x6x16xf32>, %k: tensor<1x2x6x16xf32>, %v: tensor<1x2x6x16xf32>) -> tensor<1x2x6x16xf32> {
  %s = graph.matmul %q, %k {transpose_b} : (tensor<1x2x6x16xf32>, tensor<1x2x6x16xf32>) -> tensor<1x2x6x6xf32>
  %o = graph.matmul %s, %v : (tensor<1x2x6x6xf32>, tensor<1x2x6x16xf32>) -> tensor<1x2x6x16xf32>
  return %o : tensor<1x2x6x16xf32>
}

// -----

// In f16 the lowest value hides a key, the softmax is in f32 between two casts, and a mask is widened for the op.
// CHECK-LABEL: func.func @halves
// CHECK: %[[M:.*]] = graph.map(%arg3)
// CHECK: arith.extf %{{.*}} : f16 to f32
// CHECK: graph.attention %arg0 bhsd, %arg1 bhsd, %arg2 bhsd mask %[[M]] scale 2.500000e-01 to bhsd : (tensor<1x2x4x16xf16>, tensor<1x2x6x16xf16>, tensor<1x2x6x16xf16>, tensor<1x1x4x6xf32>) -> tensor<1x2x4x16xf16>
#id4 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
func.func @halves(%q: tensor<1x2x4x16xf16>, %k: tensor<1x2x6x16xf16>, %v: tensor<1x2x6x16xf16>, %mask: tensor<1x1x4x6xf16>) -> tensor<1x2x4x16xf16> {
  %s = graph.matmul %q, %k {transpose_b} : (tensor<1x2x4x16xf16>, tensor<1x2x6x16xf16>) -> tensor<1x2x4x6xf16>
  %m = graph.map (%s, %mask) [#id4, affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>] {
  ^bb0(%a: f16, %b: f16):
    %c = arith.constant 0.25 : f32
    %w = arith.extf %a : f16 to f32
    %x = arith.mulf %w, %c : f32
    %y = arith.truncf %x : f32 to f16
    %z = arith.extf %y : f16 to f32
    %e = arith.extf %b : f16 to f32
    %r = arith.addf %z, %e : f32
    %t = arith.truncf %r : f32 to f16
    graph.yield %t : f16
  } : (tensor<1x2x4x6xf16>, tensor<1x1x4x6xf16>) -> tensor<1x2x4x6xf16>
  %w = graph.map (%m) [#id4] {
  ^bb0(%a: f16):
    %r = arith.extf %a : f16 to f32
    graph.yield %r : f32
  } : (tensor<1x2x4x6xf16>) -> tensor<1x2x4x6xf32>
  %p = graph.softmax %w : tensor<1x2x4x6xf32>
  %n = graph.map (%p) [#id4] {
  ^bb0(%a: f32):
    %r = arith.truncf %a : f32 to f16
    graph.yield %r : f16
  } : (tensor<1x2x4x6xf32>) -> tensor<1x2x4x6xf16>
  %o = graph.matmul %n, %v : (tensor<1x2x4x6xf16>, tensor<1x2x6x16xf16>) -> tensor<1x2x4x16xf16>
  return %o : tensor<1x2x4x16xf16>
}
