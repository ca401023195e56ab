// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A kernel around a function of the CUDA library: operands, result, dims and the two params are its arguments; the
// function and the epilogue (a residual added to each element) are inlined, nothing is left to call.
// REQUIRES: compiler, ptxas
// RUN: ciuic-kernels %s --ptx 90 > %t.ptx
// RUN: FileCheck %s < %t.ptx
// RUN: ptxas -arch=sm_90 %t.ptx -o %t.cubin

// CHECK-NOT: .func
// CHECK: .extern .shared {{.*}}product_ciuic_shared
// CHECK: .visible .entry product(
// CHECK: product_param_6
// CHECK-NOT: product_param_7
// CHECK: .maxntid 256
// CHECK-NOT: call
// CHECK-DAG: ld.global{{.*}}no_allocate
// CHECK-DAG: st.global.b16
#each = affine_map<(d0, d1) -> (d0, d1)>
graph.kernel matmul @product (tensor<1x512xf16>, tensor<96x512xf16>, tensor<1x96xf16>) -> tensor<1x96xf16> grid affine_map<() -> (1)> scratch 0 symbols [] args [{}, {graph.packing = #graph.packing<"f16", "columns", columns = 96, channels = 512, taps = 1, groups = 1, layout = "rows16">}, {}] {
^bb0(%a: tensor<1x512xf16>, %w: tensor<96x512xf16>, %r: tensor<1x96xf16>):
  %p = graph.matmul %a, %w {transpose_b} : (tensor<1x512xf16>, tensor<96x512xf16>) -> tensor<1x96xf16>
  %s = graph.map (%r, %p) [#each, #each] {
  ^bb0(%x: f16, %y: f16):
    %z = arith.addf %x, %y : f16
    graph.yield %z : f16
  } : (tensor<1x96xf16>, tensor<1x96xf16>) -> tensor<1x96xf16>
  graph.yield %s : tensor<1x96xf16>
} {graph.device = "cuda"}
