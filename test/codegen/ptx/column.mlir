// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A reduction that keeps the last dim: consecutive threads read consecutive elements, nobody waits.
// REQUIRES: compiler, ptxas
// RUN: ciuic-kernels %s --ptx 90 > %t.ptx
// RUN: FileCheck %s < %t.ptx
// RUN: ptxas -arch=sm_90 %t.ptx -o %t.cubin

// CHECK: .visible .entry column(
// CHECK-NOT: bar.sync
// CHECK: ld.global{{.*}}.v4.b32
// CHECK: add.rn.f32
// CHECK: st.global{{.*}}.v4.b32
graph.kernel column @column (tensor<2x49x256xf32>) -> (tensor<2x1x256xf32>) grid affine_map<() -> (1)> scratch 0 symbols [] {
^bb0(%a: tensor<2x49x256xf32>):
  %r = graph.reduce mean %a dims [1] : tensor<2x49x256xf32> -> tensor<2x1x256xf32>
  graph.yield %r : tensor<2x1x256xf32>
}
