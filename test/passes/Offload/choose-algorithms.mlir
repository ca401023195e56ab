// RUN: %python %S/Inputs/choices.py %source/passes/Cost/profiles/h100.json > %t.json
// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-form-fusions),ciuic-select-layouts,func.func(ciuic-split-epilogues),ciuic-outline-kernels,ciuic-lower-to-mem,ciuic-choose-algorithms{profile=%t.json})' | FileCheck %s
// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-form-fusions),ciuic-select-layouts,func.func(ciuic-split-epilogues),ciuic-outline-kernels,ciuic-lower-to-mem,ciuic-choose-algorithms{profile=host-generic})' | FileCheck %s --check-prefix=NONE
// RUN: not ciuic-opt %s --pass-pipeline='builtin.module(ciuic-choose-algorithms{profile=nosuch})' 2>&1 | FileCheck %s --check-prefix=MISSING
// MISSING: [usage.profile] --profile nosuch: no such profile or file

module attributes {graph.device = "cuda"} {
// The profile says: [64, 128] × [128, 256] in f16 by the sixth of the heuristics (5, counted from 0). The entry's bound is
// 64 rows, so that is what the choice is for.
// CHECK: mem.entry @measured
// CHECK: mem.launch @measured_matmul_0({{.*}} params [2, 2, 2, 0, 1, 0, 5, 64, 0, 16]
// NONE: mem.launch @measured_matmul_0({{.*}} params [2, 2, 2, 0, 1, 0, 0, 0, 0, 16]
func.func @measured(%x: tensor<?x128xf16, affine_map<()[s0] -> (s0, 128)>> {graph.name = "x"})
    -> (tensor<?x256xf16, affine_map<()[s0] -> (s0, 256)>> {graph.name = "y"})
    attributes {graph.symbols = [#graph.symbol<"n", 1, 64>]} {
  %w = graph.weight "w" file 0 offset 0 bytes 65536 : tensor<128x256xf16>
  %m = graph.matmul %x, %w : (tensor<?x128xf16, affine_map<()[s0] -> (s0, 128)>>, tensor<128x256xf16>) -> tensor<?x256xf16, affine_map<()[s0] -> (s0, 256)>>
  return %m : tensor<?x256xf16, affine_map<()[s0] -> (s0, 256)>>
}

// Other rows at the bound: does nothing.
// CHECK: mem.entry @other
// CHECK: mem.launch @other_matmul_0({{.*}} params [2, 2, 2, 0, 1, 0, 0, 0, 0, 16]
func.func @other(%x: tensor<?x128xf16, affine_map<()[s0] -> (s0, 128)>> {graph.name = "x"})
    -> (tensor<?x256xf16, affine_map<()[s0] -> (s0, 256)>> {graph.name = "y"})
    attributes {graph.symbols = [#graph.symbol<"n", 1, 65>]} {
  %w = graph.weight "w" file 0 offset 0 bytes 65536 : tensor<128x256xf16>
  %m = graph.matmul %x, %w : (tensor<?x128xf16, affine_map<()[s0] -> (s0, 128)>>, tensor<128x256xf16>) -> tensor<?x256xf16, affine_map<()[s0] -> (s0, 256)>>
  return %m : tensor<?x256xf16, affine_map<()[s0] -> (s0, 256)>>
}
}
