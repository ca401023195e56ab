// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A transpose through a tile in shared memory, 33 wide.
// REQUIRES: compiler, ptxas
// RUN: ciuic-kernels %s --ptx 90 > %t.ptx
// RUN: FileCheck %s < %t.ptx
// RUN: ptxas -arch=sm_90 %t.ptx -o %t.cubin

// CHECK: .visible .entry transpose(
// CHECK: .shared {{.*}}[4224]
// CHECK: ld.global
// CHECK: st.shared
// CHECK: bar.sync
// CHECK: ld.shared
// CHECK: st.global
graph.kernel transpose @transpose (tensor<?x3x50xf32, affine_map<()[s0] -> (s0, 3, 50)>>) -> (tensor<50x3x?xf32, affine_map<()[s0] -> (50, 3, s0)>>) grid affine_map<()[s0] -> (1)> scratch 0 symbols [#graph.symbol<"n", 0, 300>] {
^bb0(%a: tensor<?x3x50xf32, affine_map<()[s0] -> (s0, 3, 50)>>):
  %r = graph.transpose %a [2, 1, 0] : tensor<?x3x50xf32, affine_map<()[s0] -> (s0, 3, 50)>> -> tensor<50x3x?xf32, affine_map<()[s0] -> (50, 3, s0)>>
  graph.yield %r : tensor<50x3x?xf32, affine_map<()[s0] -> (50, 3, s0)>>
}
