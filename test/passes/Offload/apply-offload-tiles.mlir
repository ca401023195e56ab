// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-form-fusions),ciuic-select-layouts,ciuic-outline-kernels,ciuic-lower-to-mem,ciuic-apply-offload{profile=%S/Inputs/profile.json})' | FileCheck %s

// A weight of 16 MiB under a budget of 4 MiB comes in tiles: panels of 16 columns, 256 · 16 · 4 = 16384 bytes each, 1024
// of them. Every launch writes its columns of the one result; its params are its first and last panel, the first
// column of the result and the length of its rows, and the launches
// cover the panels without a gap. One unit of work is 4 panels.
// CHECK-DAG: #[[FIRST:.*]] = affine_map<() -> (16)>
// CHECK-DAG: #[[REST:.*]] = affine_map<() -> (20)>
// CHECK: mem.unit @u0 [@w0] [0] [1048576] [0] {bytes = 1048576 : i64, offset = 4096 : i64}
// CHECK: mem.unit @u1 [@w0] [1048576] [2359296] [0] {bytes = 1310720 : i64}
// CHECK: mem.entry @main
// CHECK: %[[X:.*]] = mem.input "x"
// CHECK: %[[W0:.*]] = mem.get_weight @w0 {begin = 0 : i64, end = 1048576 : i64, offset = 4096 : i64}
// CHECK: %[[Y:.*]] = mem.alloc
// CHECK: mem.launch @main_matmul_0(%[[X]], %[[W0]]) -> (%[[Y]]) params [0, 64, 0, 16384] grid #[[FIRST]]
// CHECK: %[[W1:.*]] = mem.get_weight @w0 {begin = 1048576 : i64, end = 2359296 : i64, offset = {{.*}}, slot = {{.*}}}
// CHECK: mem.launch @main_matmul_0(%[[X]], %[[W1]]) -> (%[[Y]]) params [64, 144, 0, 16384] grid #[[REST]]
// CHECK: params [144, 224, 0, 16384]
// CHECK: params [944, 1024, 0, 16384]
// CHECK-NOT: mem.launch
// CHECK: mem.output "y" %[[Y]]
module attributes {mem.budget = 4194304 : i64} {
  func.func @main(%x: tensor<4x256xf32> {graph.name = "x"}) -> (tensor<4x16384xf32> {graph.name = "y"}) attributes {graph.symbols = []} {
    %w = graph.weight "w" file 0 offset 0 bytes 16777216 : tensor<256x16384xf32>
    %y = graph.matmul %x, %w : (tensor<4x256xf32>, tensor<256x16384xf32>) -> tensor<4x16384xf32>
    return %y : tensor<4x16384xf32>
  }
}
