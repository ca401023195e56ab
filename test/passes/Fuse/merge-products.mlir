// RUN: ciuic-opt %s --ciuic-merge-products --split-input-file | FileCheck %s

// Two heads of 16 for queries, one for keys: both entries read the columns of one weight, as slices of three heads.
// CHECK-LABEL: func.func @decode
// CHECK-SAME: (%[[X:.*]]: tensor<1x1x64xf16>
// CHECK: %[[W:.*]] = graph.weight "q + k" file 0 offset 0 bytes 6144 {parts = array<i64: 0, 0, 4096, 0, 8192, 2048>} : tensor<48x64xf16>
// CHECK: %[[P:.*]] = graph.matmul %[[X]], %[[W]] {transpose_b} {{.*}} -> tensor<1x1x48xf16>
// CHECK: %[[H:.*]] = graph.reshape %[[P]] {{.*}} -> tensor<1x1x3x16xf16>
// CHECK: %[[Q:.*]] = graph.slice %[[H]] offsets #{{.*}} steps [1, 1, 1, 1] {{.*}} -> tensor<1x1x2x16xf16>
// CHECK: %[[K:.*]] = graph.slice %[[H]] offsets #{{.*}} steps [1, 1, 1, 1] {{.*}} -> tensor<1x1x1x16xf16>
// CHECK: graph.rope %[[Q]]
// CHECK: graph.rope %[[K]]
// CHECK-LABEL: func.func @prefill
// CHECK: graph.weight "q + k"
// CHECK-NOT: graph.weight "k"
module attributes {graph.device = "cuda"} {
func.func @decode(%x: tensor<1x1x64xf16>, %c: tensor<1x1x16xf16>) -> (tensor<1x1x2x16xf16>, tensor<1x1x1x16xf16>) {
  %wq = graph.weight "q" file 0 offset 0 bytes 4096 : tensor<32x64xf16>
  %wk = graph.weight "k" file 0 offset 8192 bytes 2048 : tensor<16x64xf16>
  %q = graph.matmul %x, %wq {transpose_b} : (tensor<1x1x64xf16>, tensor<32x64xf16>) -> tensor<1x1x32xf16>
  %k = graph.matmul %x, %wk {transpose_b} : (tensor<1x1x64xf16>, tensor<16x64xf16>) -> tensor<1x1x16xf16>
  %qh = graph.reshape %q : tensor<1x1x32xf16> -> tensor<1x1x2x16xf16>
  %kh = graph.reshape %k : tensor<1x1x16xf16> -> tensor<1x1x1x16xf16>
  %qr = graph.rope %qh bshd, %c, %c : (tensor<1x1x2x16xf16>, tensor<1x1x16xf16>, tensor<1x1x16xf16>) -> tensor<1x1x2x16xf16>
  %kr = graph.rope %kh bshd, %c, %c : (tensor<1x1x1x16xf16>, tensor<1x1x16xf16>, tensor<1x1x16xf16>) -> tensor<1x1x1x16xf16>
  return %qr, %kr : tensor<1x1x2x16xf16>, tensor<1x1x1x16xf16>
}
func.func @prefill(%x: tensor<1x40x64xf16>, %c: tensor<1x40x16xf16>) -> (tensor<1x40x2x16xf16>, tensor<1x40x1x16xf16>) {
  %wq = graph.weight "q" file 0 offset 0 bytes 4096 : tensor<32x64xf16>
  %wk = graph.weight "k" file 0 offset 8192 bytes 2048 : tensor<16x64xf16>
  %q = graph.matmul %x, %wq {transpose_b} : (tensor<1x40x64xf16>, tensor<32x64xf16>) -> tensor<1x40x32xf16>
  %k = graph.matmul %x, %wk {transpose_b} : (tensor<1x40x64xf16>, tensor<16x64xf16>) -> tensor<1x40x16xf16>
  %qh = graph.reshape %q : tensor<1x40x32xf16> -> tensor<1x40x2x16xf16>
  %kh = graph.reshape %k : tensor<1x40x16xf16> -> tensor<1x40x1x16xf16>
  %qr = graph.rope %qh bshd, %c, %c : (tensor<1x40x2x16xf16>, tensor<1x40x16xf16>, tensor<1x40x16xf16>) -> tensor<1x40x2x16xf16>
  %kr = graph.rope %kh bshd, %c, %c : (tensor<1x40x1x16xf16>, tensor<1x40x16xf16>, tensor<1x40x16xf16>) -> tensor<1x40x1x16xf16>
  return %qr, %kr : tensor<1x40x2x16xf16>, tensor<1x40x1x16xf16>
}
}

// -----

// A gate and what it gates, 32 columns each: two panels of each, interleaved. With few rows one fusion computes the map.
// CHECK-LABEL: func.func @few
// CHECK: %[[W:.*]] = graph.weight "gate + up" {{.*}}interleaved, parts = array<i64: 0, 0, 4096, 0, 4096, 4096>} : tensor<64x64xf16>
// CHECK: %[[F:.*]] = graph.fusion matmul(%{{.*}}, %[[W]])
// CHECK: %[[P:.*]] = graph.matmul {{.*}} -> tensor<4x64xf16>
// CHECK: %[[V:.*]] = graph.reshape %[[P]] : tensor<4x64xf16> -> tensor<4x2x2x16xf16>
// CHECK: graph.map(%[[V]], %[[V]]) [#[[G:.*]], #[[U:.*]]] {
// CHECK: graph.reshape %[[F]] : tensor<4x2x16xf16> -> tensor<4x32xf16>
// With many rows the map stays apart from the product.
// CHECK-LABEL: func.func @many
// CHECK-NOT: graph.fusion
// CHECK: graph.matmul {{.*}} -> tensor<40x64xf16>
// CHECK: graph.map
module attributes {graph.device = "cuda"} {
func.func @few(%x: tensor<4x64xf16>) -> tensor<4x32xf16> {
  %wg = graph.weight "gate" file 0 offset 0 bytes 4096 : tensor<32x64xf16>
  %wu = graph.weight "up" file 0 offset 4096 bytes 4096 : tensor<32x64xf16>
  %g = graph.matmul %x, %wg {transpose_b} : (tensor<4x64xf16>, tensor<32x64xf16>) -> tensor<4x32xf16>
  %u = graph.matmul %x, %wu {transpose_b} : (tensor<4x64xf16>, tensor<32x64xf16>) -> tensor<4x32xf16>
  %y = graph.map (%u, %g) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f16, %b: f16):
    %m = arith.mulf %a, %b : f16
    graph.yield %m : f16
  } : (tensor<4x32xf16>, tensor<4x32xf16>) -> tensor<4x32xf16>
  return %y : tensor<4x32xf16>
}
func.func @many(%x: tensor<40x64xf16>) -> tensor<40x32xf16> {
  %wg = graph.weight "gate" file 0 offset 0 bytes 4096 : tensor<32x64xf16>
  %wu = graph.weight "up" file 0 offset 4096 bytes 4096 : tensor<32x64xf16>
  %g = graph.matmul %x, %wg {transpose_b} : (tensor<40x64xf16>, tensor<32x64xf16>) -> tensor<40x32xf16>
  %u = graph.matmul %x, %wu {transpose_b} : (tensor<40x64xf16>, tensor<32x64xf16>) -> tensor<40x32xf16>
  %y = graph.map (%u, %g) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f16, %b: f16):
    %m = arith.mulf %a, %b : f16
    graph.yield %m : f16
  } : (tensor<40x32xf16>, tensor<40x32xf16>) -> tensor<40x32xf16>
  return %y : tensor<40x32xf16>
}
}

// -----

// SwiGLU in several maps, as they stand where a map is read twice: all of them are the product's.
// CHECK-LABEL: func.func @chain
// CHECK: graph.fusion matmul
// CHECK: graph.matmul {{.*}} -> tensor<1x64xf16>
// CHECK-COUNT-2: graph.map
// CHECK: graph.yield %{{.*}} : tensor<1x2x16xf16>
// CHECK-NOT: graph.map
// CHECK: return
module attributes {graph.device = "cuda"} {
func.func @chain(%x: tensor<1x64xf16>) -> tensor<1x32xf16> {
  %wg = graph.weight "gate" file 0 offset 0 bytes 4096 : tensor<32x64xf16>
  %wu = graph.weight "up" file 0 offset 4096 bytes 4096 : tensor<32x64xf16>
  %g = graph.matmul %x, %wg {transpose_b} : (tensor<1x64xf16>, tensor<32x64xf16>) -> tensor<1x32xf16>
  %s = graph.map (%g) [affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f16):
    %m = math.tanh %a : f16
    graph.yield %m : f16
  } : (tensor<1x32xf16>) -> tensor<1x32xf16>
  %u = graph.matmul %x, %wu {transpose_b} : (tensor<1x64xf16>, tensor<32x64xf16>) -> tensor<1x32xf16>
  %y = graph.map (%u, %s) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f16, %b: f16):
    %m = arith.mulf %a, %b : f16
    graph.yield %m : f16
  } : (tensor<1x32xf16>, tensor<1x32xf16>) -> tensor<1x32xf16>
  return %y : tensor<1x32xf16>
}
}

// -----

// Another entry multiplies by one of the weights alone: each stays as it is, in both.
// CHECK-LABEL: func.func @apart
// CHECK-NOT: parts
// CHECK-COUNT-2: graph.matmul
// CHECK-LABEL: func.func @other
module attributes {graph.device = "cuda"} {
func.func @apart(%x: tensor<4x64xf16>) -> tensor<4x32xf16> {
  %wg = graph.weight "gate" file 0 offset 0 bytes 4096 : tensor<32x64xf16>
  %wu = graph.weight "up" file 0 offset 4096 bytes 4096 : tensor<32x64xf16>
  %g = graph.matmul %x, %wg {transpose_b} : (tensor<4x64xf16>, tensor<32x64xf16>) -> tensor<4x32xf16>
  %u = graph.matmul %x, %wu {transpose_b} : (tensor<4x64xf16>, tensor<32x64xf16>) -> tensor<4x32xf16>
  %y = graph.map (%u, %g) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f16, %b: f16):
    %m = arith.mulf %a, %b : f16
    graph.yield %m : f16
  } : (tensor<4x32xf16>, tensor<4x32xf16>) -> tensor<4x32xf16>
  return %y : tensor<4x32xf16>
}
func.func @other(%x: tensor<4x64xf16>) -> tensor<4x32xf16> {
  %wu = graph.weight "up" file 0 offset 4096 bytes 4096 : tensor<32x64xf16>
  %u = graph.matmul %x, %wu {transpose_b} : (tensor<4x64xf16>, tensor<32x64xf16>) -> tensor<4x32xf16>
  return %u : tensor<4x32xf16>
}
}

// -----

// Forty rows alone: launches do not count there.
// CHECK-LABEL: func.func @prompt
// CHECK-NOT: parts
// CHECK: return
module attributes {graph.device = "cuda"} {
func.func @prompt(%x: tensor<40x64xf16>) -> tensor<40x32xf16> {
  %wg = graph.weight "gate" file 0 offset 0 bytes 4096 : tensor<32x64xf16>
  %wu = graph.weight "up" file 0 offset 4096 bytes 4096 : tensor<32x64xf16>
  %g = graph.matmul %x, %wg {transpose_b} : (tensor<40x64xf16>, tensor<32x64xf16>) -> tensor<40x32xf16>
  %u = graph.matmul %x, %wu {transpose_b} : (tensor<40x64xf16>, tensor<32x64xf16>) -> tensor<40x32xf16>
  %y = graph.map (%u, %g) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f16, %b: f16):
    %m = arith.mulf %a, %b : f16
    graph.yield %m : f16
  } : (tensor<40x32xf16>, tensor<40x32xf16>) -> tensor<40x32xf16>
  return %y : tensor<40x32xf16>
}
}

// -----

// On the host nothing changes.
// CHECK-LABEL: func.func @host
// CHECK-NOT: parts
func.func @host(%x: tensor<4x64xf32>) -> tensor<4x32xf32> {
  %wg = graph.weight "gate" file 0 offset 0 bytes 8192 : tensor<32x64xf32>
  %wu = graph.weight "up" file 0 offset 8192 bytes 8192 : tensor<32x64xf32>
  %g = graph.matmul %x, %wg {transpose_b} : (tensor<4x64xf32>, tensor<32x64xf32>) -> tensor<4x32xf32>
  %u = graph.matmul %x, %wu {transpose_b} : (tensor<4x64xf32>, tensor<32x64xf32>) -> tensor<4x32xf32>
  %y = graph.map (%u, %g) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%a: f32, %b: f32):
    %m = arith.mulf %a, %b : f32
    graph.yield %m : f32
  } : (tensor<4x32xf32>, tensor<4x32xf32>) -> tensor<4x32xf32>
  return %y : tensor<4x32xf32>
}

// -----

// Products with a bias each: the biases lie side by side too, and are added to all heads at once.
// CHECK-LABEL: func.func @biased
// CHECK: %[[W:.*]] = graph.weight "q + k" {{.*}} : tensor<48x64xf16>
// CHECK: %[[P:.*]] = graph.matmul %{{.*}}, %[[W]]
// CHECK: %[[B:.*]] = graph.weight "qb + kb" file 0 offset 12288 bytes 96 {parts = array<i64: 0, 12288, 64, 0, 12352, 32>} : tensor<48xf16>
// CHECK: %[[S:.*]] = graph.map(%[[B]], %[[P]])
// CHECK: %[[H:.*]] = graph.reshape %[[S]] {{.*}} -> tensor<1x1x3x16xf16>
// CHECK-COUNT-2: graph.slice %[[H]]
// CHECK-NOT: graph.matmul
// CHECK: return
module attributes {graph.device = "cuda"} {
func.func @biased(%x: tensor<1x1x64xf16>, %c: tensor<1x1x16xf16>) -> (tensor<1x1x2x16xf16>, tensor<1x1x1x16xf16>) {
  %wq = graph.weight "q" file 0 offset 0 bytes 4096 : tensor<32x64xf16>
  %wk = graph.weight "k" file 0 offset 8192 bytes 2048 : tensor<16x64xf16>
  %bq = graph.weight "qb" file 0 offset 12288 bytes 64 : tensor<32xf16>
  %bk = graph.weight "kb" file 0 offset 12352 bytes 32 : tensor<16xf16>
  %q = graph.matmul %x, %wq {transpose_b} : (tensor<1x1x64xf16>, tensor<32x64xf16>) -> tensor<1x1x32xf16>
  %qs = graph.map (%bq, %q) [affine_map<(d0, d1, d2) -> (d2)>, affine_map<(d0, d1, d2) -> (d0, d1, d2)>] {
  ^bb0(%a: f16, %b: f16):
    %s = arith.addf %a, %b : f16
    graph.yield %s : f16
  } : (tensor<32xf16>, tensor<1x1x32xf16>) -> tensor<1x1x32xf16>
  %k = graph.matmul %x, %wk {transpose_b} : (tensor<1x1x64xf16>, tensor<16x64xf16>) -> tensor<1x1x16xf16>
  %ks = graph.map (%bk, %k) [affine_map<(d0, d1, d2) -> (d2)>, affine_map<(d0, d1, d2) -> (d0, d1, d2)>] {
  ^bb0(%a: f16, %b: f16):
    %s = arith.addf %a, %b : f16
    graph.yield %s : f16
  } : (tensor<16xf16>, tensor<1x1x16xf16>) -> tensor<1x1x16xf16>
  %qh = graph.reshape %qs : tensor<1x1x32xf16> -> tensor<1x1x2x16xf16>
  %kh = graph.reshape %ks : tensor<1x1x16xf16> -> tensor<1x1x1x16xf16>
  %qr = graph.rope %qh bshd, %c, %c : (tensor<1x1x2x16xf16>, tensor<1x1x16xf16>, tensor<1x1x16xf16>) -> tensor<1x1x2x16xf16>
  %kr = graph.rope %kh bshd, %c, %c : (tensor<1x1x1x16xf16>, tensor<1x1x16xf16>, tensor<1x1x16xf16>) -> tensor<1x1x1x16xf16>
  return %qr, %kr : tensor<1x1x2x16xf16>, tensor<1x1x1x16xf16>
}
}

// -----

// One with a bias and one without stay apart.
// CHECK-LABEL: func.func @uneven
// CHECK-NOT: parts
// CHECK: return
module attributes {graph.device = "cuda"} {
func.func @uneven(%x: tensor<1x1x64xf16>, %c: tensor<1x1x16xf16>) -> (tensor<1x1x2x16xf16>, tensor<1x1x1x16xf16>) {
  %wq = graph.weight "q" file 0 offset 0 bytes 4096 : tensor<32x64xf16>
  %wk = graph.weight "k" file 0 offset 8192 bytes 2048 : tensor<16x64xf16>
  %bq = graph.weight "qb" file 0 offset 12288 bytes 64 : tensor<32xf16>
  %q = graph.matmul %x, %wq {transpose_b} : (tensor<1x1x64xf16>, tensor<32x64xf16>) -> tensor<1x1x32xf16>
  %qs = graph.map (%q, %bq) [affine_map<(d0, d1, d2) -> (d0, d1, d2)>, affine_map<(d0, d1, d2) -> (d2)>] {
  ^bb0(%a: f16, %b: f16):
    %s = arith.addf %a, %b : f16
    graph.yield %s : f16
  } : (tensor<1x1x32xf16>, tensor<32xf16>) -> tensor<1x1x32xf16>
  %k = graph.matmul %x, %wk {transpose_b} : (tensor<1x1x64xf16>, tensor<16x64xf16>) -> tensor<1x1x16xf16>
  %qh = graph.reshape %qs : tensor<1x1x32xf16> -> tensor<1x1x2x16xf16>
  %kh = graph.reshape %k : tensor<1x1x16xf16> -> tensor<1x1x1x16xf16>
  %qr = graph.rope %qh bshd, %c, %c : (tensor<1x1x2x16xf16>, tensor<1x1x16xf16>, tensor<1x1x16xf16>) -> tensor<1x1x2x16xf16>
  %kr = graph.rope %kh bshd, %c, %c : (tensor<1x1x1x16xf16>, tensor<1x1x16xf16>, tensor<1x1x16xf16>) -> tensor<1x1x1x16xf16>
  return %qr, %kr : tensor<1x1x2x16xf16>, tensor<1x1x1x16xf16>
}
}

// -----

// A gate and what it gates, 4 bits in blocks of 32 and a bias each: column c of the pair's panel p is c of 16 p on.
// CHECK: #[[C:.*]] = affine_map<(d0, d1, d2) -> (d1 * 16 + d2)>
// CHECK-LABEL: func.func @blocks
// CHECK: graph.weight "gate + up" {{.*}}blocks = #graph.blocks<"values" bits 4 size 32 depth 64 scales [#graph.stored<0, 8192, tensor<32x2xf16>>, #graph.stored<0, 8320, tensor<32x2xf16>>] exactly "int4g32">{{.*}}interleaved, parts =
// CHECK: graph.fusion matmul
// CHECK: graph.map({{.*}}) [{{.*}}, #[[C]], {{.*}}, #[[C]]]
module attributes {graph.device = "cuda"} {
func.func @blocks(%x: tensor<1x64xf16>) -> tensor<1x32xf16> {
  %wg = graph.weight "gate" file 0 offset 0 bytes 4096 {blocks = #graph.blocks<"values" bits 4 size 32 depth 64 scales #graph.stored<0, 8192, tensor<32x2xf16>> exactly "int4g32">} : tensor<32x64xf16>
  %wu = graph.weight "up" file 0 offset 1024 bytes 4096 {blocks = #graph.blocks<"values" bits 4 size 32 depth 64 scales #graph.stored<0, 8320, tensor<32x2xf16>> exactly "int4g32">} : tensor<32x64xf16>
  %bg = graph.weight "gb" file 0 offset 9000 bytes 64 : tensor<32xf16>
  %bu = graph.weight "ub" file 0 offset 9064 bytes 64 : tensor<32xf16>
  %g = graph.matmul %x, %wg {transpose_b} : (tensor<1x64xf16>, tensor<32x64xf16>) -> tensor<1x32xf16>
  %u = graph.matmul %x, %wu {transpose_b} : (tensor<1x64xf16>, tensor<32x64xf16>) -> tensor<1x32xf16>
  %y = graph.map (%g, %bg, %u, %bu) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>, affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>] {
  ^bb0(%a: f16, %b: f16, %c: f16, %d: f16):
    %s = arith.addf %a, %b : f16
    %t = arith.addf %c, %d : f16
    %m = arith.mulf %s, %t : f16
    graph.yield %m : f16
  } : (tensor<1x32xf16>, tensor<32xf16>, tensor<1x32xf16>, tensor<32xf16>) -> tensor<1x32xf16>
  return %y : tensor<1x32xf16>
}
}
