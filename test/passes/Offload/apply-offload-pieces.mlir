// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-form-fusions),ciuic-select-layouts,func.func(ciuic-split-epilogues),ciuic-outline-kernels,ciuic-lower-to-mem)' | FileCheck %s --check-prefix=MEM
// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-form-fusions),ciuic-select-layouts,func.func(ciuic-split-epilogues),ciuic-outline-kernels,ciuic-lower-to-mem,ciuic-apply-offload{profile=h100},ciuic-lower-to-plan)' | FileCheck %s --check-prefix=ALL
// RUN: sed 's/mem.budget = 50331648/mem.budget = 37748736/' %s | ciuic-opt --pass-pipeline='builtin.module(func.func(ciuic-form-fusions),ciuic-select-layouts,func.func(ciuic-split-epilogues),ciuic-outline-kernels,ciuic-lower-to-mem,ciuic-apply-offload{profile=h100},ciuic-lower-to-plan)' | FileCheck %s --check-prefix=HALF

// A merged weight of 4 MiB, 2 · 1,024 columns of 1,024 halves: 128 panels of 32 KiB. The vendor multiplies 64 rows by as many
// columns as it is asked for and may sum otherwise for others, so that its product is two launches in every plan: panels 0
// to 64 and 64 to 128, one for each part's share. For a single row our own kernel takes any run of such tiles.
// MEM: mem.weight @w0 "gate + up" : tensor<1024x2048xf16> format "f16" layout "rows16" {{.*}}tile_bytes = 2097152
// MEM: mem.entry @many
// MEM: mem.launch @many_matmul_0({{.*}} params [2, 2, 2, 0, 1, 0, 0, 0, 0, 128] {{.*}}piecewise, tiled = 1
// MEM: mem.entry @one
// MEM: mem.launch @one_matmul_0({{.*}} params [0, 128]
// MEM-NOT: piecewise

// All of it resident: two launches of many rows, one of a single row.
// ALL: plan.entry @many
// ALL: plan.launch @many_matmul_0 {{.*}} params [2, 2, 2, 0, 1, 0, 0, 0, 0, 64]
// ALL: plan.launch @many_matmul_0 {{.*}} params [2, 2, 2, 0, 1, 0, 0, 0, 64, 128]
// ALL: plan.entry @one
// ALL: plan.launch @one_matmul_0 {{.*}} params [0, 128]
// ALL-NOT: plan.launch

// In less: the same launches of many rows, of one row too, where a tile streams.
// HALF: plan.entry @many
// HALF: plan.launch @many_matmul_0 {{.*}} params [2, 2, 2, 0, 1, 0, 0, 0, 0, 64]
// HALF: plan.launch @many_matmul_0 {{.*}} params [2, 2, 2, 0, 1, 0, 0, 0, 64, 128]
// HALF: plan.entry @one
// HALF: plan.launch @one_matmul_0 {{.*}} params [0, 64]
// HALF: plan.launch @one_matmul_0 {{.*}} params [64, 128]
module attributes {graph.device = "cuda", mem.budget = 50331648 : i64} {
func.func @many(%x: tensor<64x1024xf16> {graph.name = "x"}) -> (tensor<64x2048xf16> {graph.name = "y"}) attributes {graph.symbols = []} {
  %w = graph.weight "gate + up" file 0 offset 0 bytes 4194304 {parts = array<i64: 0, 0, 2097152, 0, 2097152, 2097152>, interleaved} : tensor<1024x2048xf16>
  %m = graph.matmul %x, %w : (tensor<64x1024xf16>, tensor<1024x2048xf16>) -> tensor<64x2048xf16>
  return %m : tensor<64x2048xf16>
}
func.func @one(%x: tensor<1x1024xf16> {graph.name = "x"}) -> (tensor<1x2048xf16> {graph.name = "y"}) attributes {graph.symbols = []} {
  %w = graph.weight "gate + up" file 0 offset 0 bytes 4194304 {parts = array<i64: 0, 0, 2097152, 0, 2097152, 2097152>, interleaved} : tensor<1024x2048xf16>
  %m = graph.matmul %x, %w : (tensor<1x1024xf16>, tensor<1024x2048xf16>) -> tensor<1x2048xf16>
  return %m : tensor<1x2048xf16>
}
}
