// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-widen-halves,ciuic-form-fusions),ciuic-select-layouts,func.func(ciuic-split-epilogues),ciuic-outline-kernels,ciuic-lower-to-mem)' | FileCheck %s
// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-widen-halves,ciuic-form-fusions),ciuic-select-layouts,func.func(ciuic-split-epilogues),ciuic-outline-kernels,ciuic-lower-to-mem,ciuic-apply-offload{profile=h100},ciuic-lower-to-plan)' | FileCheck %s --check-prefix=PLAN

module attributes {graph.device = "cuda"} {
// CHECK: mem.weight @w0 "w" : tensor<128x256xf16> format "f16" layout "rows16"

// At most 64 rows: the vendor's product, of types f16 (2), the weight as [256, 128], its 16 panels of 16 columns; 16384
// results take 4 MiB of workspace. Its extents are {batch, M, N, K, lda, ldb, ldc, strides}.
// CHECK: mem.entry @many
// CHECK: %[[WORK:.*]] = mem.alloc "{{.*}}.workspace" {workspace} : <device, 4194304>
// CHECK: mem.launch @many_matmul_0({{.*}}) -> (%{{.*}}, %[[WORK]]) params [2, 2, 2, 0, 1, 0, 0, 0, 0, 16]
// CHECK: mem.free %[[WORK]]
// PLAN-DAG: #[[SHAPE:.*]] = affine_map<()[s0] -> (1, s0, 256, 128, 128, 128, 256, 0, 0, 0)>
// PLAN-DAG: #[[CONV:.*]] = affine_map<() -> (1, 8, 32, 16, 16, 8, 8)>
// PLAN: plan.entry @many
// PLAN: plan.launch @many_matmul_0 {{.*}} params [2, 2, 2, 0, 1, 0, 0, 0, 0, 16] shape #[[SHAPE]] grid
// PLAN: plan.buffer "{{.*}}.workspace" "scratch" {bytes = 4194304 : i64
func.func @many(%x: tensor<?x128xf16, affine_map<()[s0] -> (s0, 128)>> {graph.name = "x"})
    -> (tensor<?x256xf16, affine_map<()[s0] -> (s0, 256)>> {graph.name = "y"})
    attributes {graph.symbols = [#graph.symbol<"n", 1, 64>]} {
  %w = graph.weight "w" file 0 offset 0 bytes 65536 : tensor<128x256xf16>
  %m = graph.matmul %x, %w : (tensor<?x128xf16, affine_map<()[s0] -> (s0, 128)>>, tensor<128x256xf16>) -> tensor<?x256xf16, affine_map<()[s0] -> (s0, 256)>>
  return %m : tensor<?x256xf16, affine_map<()[s0] -> (s0, 256)>>
}

// The same weight for one row: our own product over its panels, a block each.
// CHECK: mem.entry @one
// CHECK: mem.launch @one_matmul_0({{.*}}) -> (%{{[a-z0-9]*}}) params [0, 16] grid #[[PANELS:.*]] cost
// CHECK-NOT: workspace
func.func @one(%x: tensor<1x128xf16> {graph.name = "x"}) -> (tensor<1x256xf16> {graph.name = "y"}) attributes {graph.symbols = []} {
  %w = graph.weight "w" file 0 offset 0 bytes 65536 : tensor<128x256xf16>
  %m = graph.matmul %x, %w : (tensor<1x128xf16>, tensor<128x256xf16>) -> tensor<1x256xf16>
  return %m : tensor<1x256xf16>
}

// Few queries split the keys over blocks, whose sums lie in a workspace.
// CHECK: mem.entry @decode
// CHECK: %[[PARTS:.*]] = mem.alloc "{{.*}}.workspace" {workspace}
// CHECK: mem.launch @decode_attention_0({{.*}}) -> (%{{.*}}, %[[PARTS]]) params []
func.func @decode(%q: tensor<1x2x1x64xf16> {graph.name = "q"}, %k: tensor<1x2x1000x64xf16> {graph.name = "k"}, %v: tensor<1x2x1000x64xf16> {graph.name = "v"})
    -> (tensor<1x2x1x64xf16> {graph.name = "y"}) attributes {graph.symbols = []} {
  %a = graph.attention %q bhsd, %k bhsd, %v bhsd scale 0.125 to bhsd : (tensor<1x2x1x64xf16>, tensor<1x2x1000x64xf16>, tensor<1x2x1000x64xf16>) -> tensor<1x2x1x64xf16>
  return %a : tensor<1x2x1x64xf16>
}

// A 3×3 convolution over many pixels is the vendor's: type f16 (2), two dims, no epilogue, one group, then windows,
// strides, padding before and after, dilations. A depthwise one is ours.
// CHECK: mem.entry @window
// CHECK: mem.launch @window_conv_0({{.*}}) -> (%{{.*}}, %{{.*}}) params [2, 2, 0, 1, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1]
// CHECK: mem.launch @window_conv_1({{.*}}) -> (%{{[a-z0-9]*}}) params [0, 2]
// PLAN: plan.entry @window
// PLAN: plan.launch @window_conv_0 {{.*}} shape #[[CONV]]
func.func @window(%x: tensor<1x16x16x8xf16> {graph.name = "x"}) -> (tensor<1x6x6x32xf16> {graph.name = "y"}) attributes {graph.symbols = []} {
  %k = graph.weight "k" file 0 offset 65536 bytes 4608 : tensor<32x8x3x3xf16>
  %d = graph.weight "d" file 0 offset 70144 bytes 576 : tensor<32x1x3x3xf16>
  %y = graph.conv %x, %k strides [2, 2] pads [1, 1, 1, 1] dilations [1, 1] group 1 channels_last : (tensor<1x16x16x8xf16>, tensor<32x8x3x3xf16>) -> tensor<1x8x8x32xf16>
  %z = graph.conv %y, %d strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 32 channels_last : (tensor<1x8x8x32xf16>, tensor<32x1x3x3xf16>) -> tensor<1x6x6x32xf16>
  return %z : tensor<1x6x6x32xf16>
}
}
