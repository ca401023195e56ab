// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rotations and appends: vectors on both sides of the pairs, and a kernel that begins while the one before it ends where the
// chip can. Nothing but the dims is read before it waits, and nothing through the read-only path.
// REQUIRES: compiler, ptxas
// RUN: ciuic-kernels %s --ptx 90 > %t.ptx
// RUN: FileCheck %s < %t.ptx
// RUN: ptxas -arch=sm_90 %t.ptx -o %t.cubin
// RUN: ciuic-kernels %s --ptx 80 | FileCheck %s --check-prefix=OLD

// CHECK: .visible .entry heads(
// CHECK-NOT: ld.global.v4
// CHECK: griddepcontrol.launch_dependents
// CHECK: griddepcontrol.wait
// CHECK-NOT: ld.global.nc{{.*}}b16
// CHECK: ld.global.v4.b32
// CHECK-NOT: ld.global.b16
// CHECK-NOT: st.global.b16
// OLD: .visible .entry heads(
// OLD-NOT: griddepcontrol
#past = affine_map<()[s0] -> (1, 2, s0, 64)>
#all = affine_map<()[s0] -> (1, 2, s0 + 1, 64)>
graph.kernel heads @heads (tensor<1x1x10x64xf16>, tensor<1x1x64xf16>, tensor<1x2x?x64xf16, #past>) -> (tensor<1x1x8x64xf16>, tensor<1x2x?x64xf16, #all>) grid affine_map<()[s0] -> (10)> scratch 0 symbols [#graph.symbol<"past", 0, 127>] args [{}, {}, {graph.physical = affine_map<() -> (1, 2, 128, 64)>}] {
^bb0(%x: tensor<1x1x10x64xf16>, %c: tensor<1x1x64xf16>, %p: tensor<1x2x?x64xf16, #past>):
  %q = graph.slice %x offsets affine_map<() -> (0, 0, 0, 0)> steps [1, 1, 1, 1] : tensor<1x1x10x64xf16> -> tensor<1x1x8x64xf16>
  %k = graph.slice %x offsets affine_map<() -> (0, 0, 8, 0)> steps [1, 1, 1, 1] : tensor<1x1x10x64xf16> -> tensor<1x1x2x64xf16>
  %r = graph.rope %q bshd, %c, %c : (tensor<1x1x8x64xf16>, tensor<1x1x64xf16>, tensor<1x1x64xf16>) -> tensor<1x1x8x64xf16>
  %s = graph.rope %k bshd, %c, %c : (tensor<1x1x2x64xf16>, tensor<1x1x64xf16>, tensor<1x1x64xf16>) -> tensor<1x1x2x64xf16>
  %t = graph.reshape %s : tensor<1x1x2x64xf16> -> tensor<1x2x1x64xf16>
  %a = graph.append %p, %t axis 2 : (tensor<1x2x?x64xf16, #past>, tensor<1x2x1x64xf16>) -> tensor<1x2x?x64xf16, #all>
  graph.yield %r, %a : tensor<1x1x8x64xf16>, tensor<1x2x?x64xf16, #all>
} {graph.device = "cuda"}
