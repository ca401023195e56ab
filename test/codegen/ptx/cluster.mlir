// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A row too long for one block: a cluster of blocks keeps it in registers, and its blocks write their partial results
// into each other's shared memory, once all have started. Chips without clusters read it once a reduction.
// REQUIRES: compiler, ptxas
// RUN: ciuic-kernels %s --ptx 90 > %t.90.ptx
// RUN: FileCheck %s < %t.90.ptx
// RUN: ptxas -arch=sm_90 %t.90.ptx -o %t.cubin
// RUN: ciuic-kernels %s --ptx 80 > %t.80.ptx
// RUN: FileCheck %s --check-prefix=OLD < %t.80.ptx
// RUN: ptxas -arch=sm_80 %t.80.ptx -o %t.cubin

// CHECK: .reqnctapercluster 4, 1, 1
// CHECK: barrier.cluster.arrive.aligned
// CHECK: ld.global.v4.b32
// CHECK: barrier.cluster.wait.aligned
// CHECK: st.volatile.shared::cluster
// CHECK: barrier.cluster.arrive.aligned
// CHECK: barrier.cluster.wait.aligned

// OLD: .target sm_80
// OLD-NOT: cluster
// OLD: bar.sync
graph.kernel row @softmax (tensor<1000x65536xf16>) -> (tensor<1000x65536xf16>) grid affine_map<() -> (1)> scratch 0 symbols [] {
^bb0(%a: tensor<1000x65536xf16>):
  %r = graph.softmax %a : tensor<1000x65536xf16>
  graph.yield %r : tensor<1000x65536xf16>
}
