// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// An elementwise kernel: 16-byte accesses where rows are whole vectors, no library function.
// REQUIRES: compiler, ptxas
// RUN: ciuic-kernels %s --ptx 90 > %t.ptx
// RUN: FileCheck %s < %t.ptx
// RUN: ptxas -arch=sm_90 %t.ptx -o %t.cubin

// CHECK: .visible .entry flat(
// CHECK-NOT: __nv_
// CHECK: ld.global{{.*}}.v4.b32
// CHECK: st.global{{.*}}.v4.b32
graph.kernel flat @flat (tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>) -> (tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>) grid affine_map<()[s0] -> (1)> scratch 0 symbols [#graph.symbol<"n", 0, 300>] {
^bb0(%a: tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>):
  %r = graph.map (%a) [affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%x: f32):
    %e = math.exp %x : f32
    graph.yield %e : f32
  } : (tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>) -> tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>
  graph.yield %r : tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>
}
