// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-form-fusions),ciuic-select-layouts,ciuic-outline-kernels,ciuic-lower-to-mem)' --split-input-file | FileCheck %s

// A buffer has its size at the bounds: 8 · 64 · 4 = 2048 bytes. It is freed after its last reader, outputs never; a
// kernel gets its units: 8 rows in blocks of 48.
// CHECK-LABEL: mem.weight @w0 "u" : tensor<64x64xf32> format "f32" layout "panel16"
// CHECK-SAME: bytes = 16384 : i64
// CHECK: mem.weight @w1 "v"
// CHECK: mem.entry @main symbols [#graph.symbol<"batch", 1, 8>]
// CHECK-NEXT: %[[X:.*]] = mem.input "x" : tensor<?x64xf32, #{{.*}}> -> <device, 2048>
// CHECK-NEXT: %[[U:.*]] = mem.get_weight @w0 {begin = 0 : i64, end = 16384 : i64} : <host, 16384>
// CHECK-NEXT: %[[H:.*]] = mem.alloc "main_matmul_0" : <device, 2048>
// CHECK-NEXT: mem.launch @main_matmul_0(%[[X]], %[[U]]) -> (%[[H]]) params [0, 4, 0, 64] grid #[[UNITS:.*]] cost {{.*}}class = "matmul"{{.*}}rows = 8 : i64
// CHECK-NEXT: %[[V:.*]] = mem.get_weight @w1
// CHECK-NEXT: %[[Y:.*]] = mem.alloc "main_matmul_1" : <device, 1024>
// CHECK-NEXT: mem.launch @main_matmul_1(%[[H]], %[[V]]) -> (%[[Y]])
// CHECK-NEXT: mem.free %[[H]]
// CHECK-NOT: mem.free
// CHECK: mem.output "y" %[[Y]] : tensor<?x32xf32, #{{.*}}> from <device, 1024>
// CHECK: graph.kernel matmul @main_matmul_0 {{.*}} grid #[[UNITS]]
func.func @main(%x: tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>> {graph.name = "x"})
    -> (tensor<?x32xf32, affine_map<()[s0] -> (s0, 32)>> {graph.name = "y"})
    attributes {graph.symbols = [#graph.symbol<"batch", 1, 8>]} {
  %u = graph.weight "u" file 0 offset 0 bytes 16384 : tensor<64x64xf32>
  %v = graph.weight "v" file 0 offset 16384 bytes 8192 : tensor<64x32xf32>
  %h = graph.matmul %x, %u : (tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>, tensor<64x64xf32>) -> tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>
  %y = graph.matmul %h, %v : (tensor<?x64xf32, affine_map<()[s0] -> (s0, 64)>>, tensor<64x32xf32>) -> tensor<?x32xf32, affine_map<()[s0] -> (s0, 32)>>
  return %y : tensor<?x32xf32, affine_map<()[s0] -> (s0, 32)>>
}

// -----

// Entries share weights: one symbol for one stored tensor.
// CHECK-COUNT-1: mem.weight @w0 "w"
// CHECK-NOT: mem.weight
// CHECK: mem.entry @few
// CHECK: mem.get_weight @w0
// CHECK: mem.entry @many
// CHECK: mem.get_weight @w0
func.func @few(%x: tensor<2x16xf32> {graph.name = "x"}) -> (tensor<2x16xf32> {graph.name = "y"}) attributes {graph.symbols = []} {
  %w = graph.weight "w" file 0 offset 0 bytes 1024 : tensor<16x16xf32>
  %y = graph.matmul %x, %w : (tensor<2x16xf32>, tensor<16x16xf32>) -> tensor<2x16xf32>
  return %y : tensor<2x16xf32>
}
func.func @many(%x: tensor<64x16xf32> {graph.name = "x"}) -> (tensor<64x16xf32> {graph.name = "y"}) attributes {graph.symbols = []} {
  %w = graph.weight "w" file 0 offset 0 bytes 1024 : tensor<16x16xf32>
  %y = graph.matmul %x, %w : (tensor<64x16xf32>, tensor<16x16xf32>) -> tensor<64x16xf32>
  return %y : tensor<64x16xf32>
}

// -----

// A state is one buffer of its largest extents, 16 · 8 · 4 = 512 bytes, which the append writes in place: no buffer is
// allocated. Its length before and after a pass are expressions of the symbols.
// CHECK-DAG: #[[BEFORE:.*]] = affine_map<()[s0] -> (s0)>
// CHECK-DAG: #[[AFTER:.*]] = affine_map<()[s0] -> (s0 + 1)>
// CHECK: mem.state @s0 : tensor<16x8xf32> {axis = 0 : i64, input = "past", output = "present"}
// CHECK: mem.entry @append
// CHECK: %[[S:.*]] = mem.get_state @s0 #[[BEFORE]] to #[[AFTER]] : <device, 512>
// CHECK: %[[N:.*]] = mem.input "new"
// CHECK-NOT: mem.alloc
// CHECK: mem.launch @{{.*}}(%[[S]], %[[N]]) -> (%[[S]])
// CHECK-NOT: mem.output
func.func @append(%past: tensor<?x8xf32, affine_map<()[s0] -> (s0, 8)>> {graph.name = "past", graph.axis = 0 : i64, graph.physical = affine_map<() -> (16, 8)>, graph.state = 0 : i64},
    %new: tensor<1x8xf32> {graph.name = "new"})
    -> (tensor<?x8xf32, affine_map<()[s0] -> (s0 + 1, 8)>> {graph.name = "present", graph.state = 0 : i64})
    attributes {graph.symbols = [#graph.symbol<"past", 0, 15>]} {
  %p = graph.append %past, %new axis 0 : (tensor<?x8xf32, affine_map<()[s0] -> (s0, 8)>>, tensor<1x8xf32>) -> tensor<?x8xf32, affine_map<()[s0] -> (s0 + 1, 8)>>
  return %p : tensor<?x8xf32, affine_map<()[s0] -> (s0 + 1, 8)>>
}

// -----

// A reshape between two kernels shares its operand's buffer.
// CHECK: mem.entry @reshape
// CHECK: %[[A:.*]] = mem.alloc "reshape_flat_0" : <device, 32>
// CHECK-NEXT: mem.launch @reshape_flat_0({{.*}}) -> (%[[A]])
// CHECK-NEXT: %[[B:.*]] = mem.alloc
// CHECK-NEXT: mem.launch @{{.*}}(%[[A]]) -> (%[[B]])
func.func @reshape(%x: tensor<8xf32> {graph.name = "x"}) -> (tensor<4x1xf32> {graph.name = "y"}) attributes {graph.symbols = []} {
  %n = graph.map (%x) [affine_map<(d0) -> (d0)>] {
  ^bb0(%a: f32):
    %m = arith.negf %a : f32
    graph.yield %m : f32
  } : (tensor<8xf32>) -> tensor<8xf32>
  %r = graph.reshape %n : tensor<8xf32> -> tensor<4x2xf32>
  %y = graph.reduce sum %r dims [1] : tensor<4x2xf32> -> tensor<4x1xf32>
  return %y : tensor<4x1xf32>
}

// -----

// CHECK: mem.entry @nothing symbols [] {
// CHECK-NEXT: }
func.func @nothing() attributes {graph.symbols = []} {
  return
}

// -----

// Rows of a plain table may be gathered in the host tier where a unit of work is a row: here rows of 8 · 4 bytes.
// Rows of more than 4096 elements are cut into units, so that table is needed whole.
// CHECK-LABEL: mem.entry @gather
// CHECK: mem.launch {{.*}}gather_rows = #{{.*}}, row_bytes = 32 : i64
// CHECK: mem.launch
// CHECK-NOT: gather_rows
// CHECK: mem.output "wide"
func.func @gather(%ids: tensor<?xi64, affine_map<()[s0] -> (s0)>> {graph.name = "ids"})
    -> (tensor<?x8xf32, affine_map<()[s0] -> (s0, 8)>> {graph.name = "narrow"}, tensor<?x5000xf32, affine_map<()[s0] -> (s0, 5000)>> {graph.name = "wide"})
    attributes {graph.symbols = [#graph.symbol<"n", 1, 8>]} {
  %t = graph.weight "t" file 0 offset 0 bytes 3200 : tensor<100x8xf32>
  %u = graph.weight "u" file 0 offset 3200 bytes 2000000 : tensor<100x5000xf32>
  %a = graph.gather %t, %ids axis 0 : (tensor<100x8xf32>, tensor<?xi64, affine_map<()[s0] -> (s0)>>) -> tensor<?x8xf32, affine_map<()[s0] -> (s0, 8)>>
  %b = graph.gather %u, %ids axis 0 : (tensor<100x5000xf32>, tensor<?xi64, affine_map<()[s0] -> (s0)>>) -> tensor<?x5000xf32, affine_map<()[s0] -> (s0, 5000)>>
  return %a, %b : tensor<?x8xf32, affine_map<()[s0] -> (s0, 8)>>, tensor<?x5000xf32, affine_map<()[s0] -> (s0, 5000)>>
}
