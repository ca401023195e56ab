// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A gather of rows: the index is read once and clamped, the row copied in whole vectors.
// REQUIRES: compiler, ptxas
// RUN: ciuic-kernels %s --ptx 90 > %t.ptx
// RUN: FileCheck %s < %t.ptx
// RUN: ptxas -arch=sm_90 %t.ptx -o %t.cubin

// CHECK: .visible .entry gather(
// CHECK: ld.global{{.*}}.b64
// CHECK: min.s64
// CHECK: ld.global{{.*}}.v4.b32
// CHECK: st.global{{.*}}.v4.b32
graph.kernel gather @gather (tensor<1000x128xf32>, tensor<?xi64, affine_map<()[s0] -> (s0)>>) -> (tensor<?x128xf32, affine_map<()[s0] -> (s0, 128)>>) grid affine_map<()[s0] -> (1)> scratch 0 symbols [#graph.symbol<"n", 0, 300>] {
^bb0(%t: tensor<1000x128xf32>, %i: tensor<?xi64, affine_map<()[s0] -> (s0)>>):
  %r = graph.gather %t, %i axis 0 : (tensor<1000x128xf32>, tensor<?xi64, affine_map<()[s0] -> (s0)>>) -> tensor<?x128xf32, affine_map<()[s0] -> (s0, 128)>>
  graph.yield %r : tensor<?x128xf32, affine_map<()[s0] -> (s0, 128)>>
}
