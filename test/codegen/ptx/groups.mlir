// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows that alternate, groups of ten channels: a unit is several rows, read in vectors of sixteen bytes, scale and bias
// too, and mean and variance take one exchange. An image whose rows do not fit in a cluster is shared by a team of blocks,
// which meet at a counter and read again what they have no room for.
// REQUIRES: compiler, ptxas
// RUN: ciuic-kernels %s --ptx 90 > %t.ptx
// RUN: FileCheck %s < %t.ptx
// RUN: FileCheck %s --check-prefix=WIDE < %t.ptx
// RUN: ciuic-kernels %s --cuda %t 90,80

// WIDE-DAG: ex2.approx.ftz.f32
// WIDE-DAG: st.global.v4.b32
// WIDE-DAG: ld.global.v4.b32

// CHECK-LABEL: .visible .entry few(
// CHECK: .reqnctapercluster 8, 1, 1
// CHECK: cp.async.cg.shared.global
// CHECK-COUNT-3: st.async
// CHECK-NOT: st.async
graph.kernel row @few (tensor<2x4096x32x10xf16>, tensor<32x10xf16>, tensor<32x10xf16>) -> (tensor<2x4096x32x10xf16>) grid affine_map<() -> (1)> scratch 0 symbols [] {
^bb0(%a: tensor<2x4096x32x10xf16>, %s: tensor<32x10xf16>, %b: tensor<32x10xf16>):
  %n = graph.group_norm %a, %s, %b epsilon 1.0e-5 channels_last : (tensor<2x4096x32x10xf16>, tensor<32x10xf16>, tensor<32x10xf16>) -> tensor<2x4096x32x10xf16>
  %r = graph.map (%n) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>] {
  ^bb0(%x: f16):
    %m = arith.negf %x : f16
    %e = math.exp %m : f16
    %o = arith.constant 1.0 : f16
    %p = arith.addf %o, %e : f16
    %q = arith.divf %x, %p : f16
    graph.yield %q : f16
  } : (tensor<2x4096x32x10xf16>) -> tensor<2x4096x32x10xf16>
  graph.yield %r : tensor<2x4096x32x10xf16>
}

// CHECK-LABEL: .visible .entry many(
// CHECK-NOT: cluster
// CHECK-DAG: %dynamic_smem_size
// CHECK-DAG: %nctaid.x
// CHECK: atom.global.add.u64
// CHECK: ld.acquire.gpu
graph.kernel row @many (tensor<1x262144x32x4xf16>, tensor<32x4xf16>, tensor<32x4xf16>) -> (tensor<1x262144x32x4xf16>) grid affine_map<() -> (1)> scratch 0 symbols [] {
^bb0(%a: tensor<1x262144x32x4xf16>, %s: tensor<32x4xf16>, %b: tensor<32x4xf16>):
  %n = graph.group_norm %a, %s, %b epsilon 1.0e-5 channels_last : (tensor<1x262144x32x4xf16>, tensor<32x4xf16>, tensor<32x4xf16>) -> tensor<1x262144x32x4xf16>
  graph.yield %n : tensor<1x262144x32x4xf16>
}
