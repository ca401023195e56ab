// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A row reduction: warps combine by shuffles, their results through shared memory; f32 between f16 loads and stores.
// REQUIRES: compiler, ptxas
// RUN: ciuic-kernels %s --ptx 90 > %t.ptx
// RUN: FileCheck %s < %t.ptx
// RUN: ptxas -arch=sm_90 %t.ptx -o %t.cubin

// CHECK: .visible .entry row(
// CHECK-DAG: ld.global.v4.b32
// CHECK-DAG: max{{.*}}f32
// CHECK-DAG: shfl.sync.bfly
// CHECK-DAG: bar.sync
// CHECK-DAG: cvt.rn.f16x2.f32
graph.kernel row @row (tensor<?x4096xf16, affine_map<()[s0] -> (s0, 4096)>>) -> (tensor<?x4096xf16, affine_map<()[s0] -> (s0, 4096)>>) grid affine_map<()[s0] -> (1)> scratch 0 symbols [#graph.symbol<"n", 0, 300>] {
^bb0(%a: tensor<?x4096xf16, affine_map<()[s0] -> (s0, 4096)>>):
  %r = graph.softmax %a : tensor<?x4096xf16, affine_map<()[s0] -> (s0, 4096)>>
  graph.yield %r : tensor<?x4096xf16, affine_map<()[s0] -> (s0, 4096)>>
}
