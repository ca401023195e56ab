// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A row too long for one block's registers: the blocks of a cluster copy it into their shared memory, send each
// other their partial results. Chips without clusters do the same through global memory.
// REQUIRES: compiler, ptxas
// RUN: ciuic-kernels %s --ptx 90 > %t.90.ptx
// RUN: FileCheck %s < %t.90.ptx
// RUN: ptxas -arch=sm_90 %t.90.ptx -o %t.cubin
// RUN: ciuic-kernels %s --ptx 80 > %t.80.ptx
// RUN: FileCheck %s --check-prefix=OLD < %t.80.ptx
// RUN: ptxas -arch=sm_80 %t.80.ptx -o %t.cubin

// CHECK: .extern .shared .align 16 .b8 softmax___dynamic_shmem__0[];
// CHECK: .reqnctapercluster {{[248]}}, 1, 1
// CHECK: mbarrier.init
// CHECK: barrier.cluster.arrive.aligned
// CHECK: cp.async.cg.shared.global
// CHECK: barrier.cluster.wait.aligned
// CHECK: cp.async.wait_group 0
// CHECK: st.async.weak.shared::cluster
// CHECK: mbarrier.try_wait
// CHECK: st.async.weak.shared::cluster
// CHECK: mbarrier.try_wait
// CHECK: st.global.v4.b32

// OLD: .target sm_80
// OLD-NOT: cluster
// OLD: cp.async.cg.shared.global
// OLD: fence.acq_rel.gpu
// OLD: atom.global.add.u64
// OLD: ld.acquire.gpu
graph.kernel row @softmax (tensor<1000x65536xf16>) -> (tensor<1000x65536xf16>) grid affine_map<() -> (1)> scratch 0 symbols [] {
^bb0(%a: tensor<1000x65536xf16>):
  %r = graph.softmax %a : tensor<1000x65536xf16>
  graph.yield %r : tensor<1000x65536xf16>
}
