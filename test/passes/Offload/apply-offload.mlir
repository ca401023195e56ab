// RUN: sed 's/"BUDGET"/4390912 : i64/' %s | ciuic-opt --ciuic-apply-offload | FileCheck %s --check-prefix=RESIDENT
// RUN: sed 's/"BUDGET"/3342336 : i64/' %s | ciuic-opt --ciuic-apply-offload | FileCheck %s --check-prefix=STREAM
// RUN: sed 's/"BUDGET"/1245184 : i64/' %s | ciuic-opt --ciuic-apply-offload | FileCheck %s --check-prefix=LEAST
// RUN: sed 's/"BUDGET"/1179648 : i64/' %s | not ciuic-opt --ciuic-apply-offload 2>&1 | FileCheck %s --check-prefix=INFEASIBLE
// One model under four budgets: four steps, each with 1 MiB of weights and activations of 64 KiB, two alive at once.

// All of it at once takes 4096 (dims, aligned) + 4 MiB + 128 KiB = 4329472 bytes, in granules of 64 KiB 4390912.
// RESIDENT: arena_bytes = 4390912 : i64, need_bytes = 4329472 : i64, policy = "all resident"
// RESIDENT: mem.unit @u0 [@w0, @w1, @w2, @w3] {{.*}} {bytes = 4194304 : i64, offset = 4096 : i64}
// RESIDENT: mem.entry @main
// RESIDENT-NOT: mem.prefetch
// RESIDENT: mem.get_weight @w0 {begin = 0 : i64, end = 1048576 : i64, offset = 4096 : i64} : <device, 1048576>
// The output takes the place of an activation that is dead by then.
// RESIDENT: mem.alloc "b" {offset = [[B:.*]] : i64}
// RESIDENT: mem.get_weight @w3 {begin = 0 : i64, end = 1048576 : i64, offset = 3149824 : i64}
// RESIDENT: mem.alloc "d" {offset = [[B]] : i64}

// A MiB less: two weights stay, spread evenly, and two share a slot. w1 comes while the step of w0
// runs; w3 follows when the step that read w1 is done.
// STREAM: arena_bytes = 3342336 : i64, {{.*}}policy = "strided", resident_bytes = 2097152 : i64, slots_bytes = 1048576 : i64, slots_offset = 2101248 : i64
// STREAM-DAG: mem.weight @w0 {{.*}}mode = #mem<mode resident>
// STREAM-DAG: mem.weight @w1 {{.*}}mode = #mem<mode streamed>
// STREAM: mem.entry @main {{.*}}initial_slots = array<i64>, initial_units = array<i64>
// STREAM-SAME: copied_h2d = 2097152 : i64
// STREAM: %[[S:.*]] = mem.prefetch @u1 {{.*}}offset = 2101248 : i64}
// STREAM: mem.get_weight @w0
// STREAM: mem.get_weight @w1 {{.*}}offset = 2101248 : i64, slot = 2101248 : i64
// STREAM: mem.await %[[S]]
// STREAM-NEXT: mem.launch
// STREAM-NEXT: %[[T:.*]] = mem.prefetch @u3 {{.*}}offset = 2101248 : i64}
// STREAM: mem.get_weight @w2
// STREAM: mem.launch
// STREAM: mem.get_weight @w3 {{.*}}slot = 2101248 : i64
// STREAM: mem.await %[[T]]
// STREAM-NEXT: mem.launch

// The least that works: one slot for everything, 4096 + 1 MiB + 128 KiB.
// LEAST: arena_bytes = 1245184 : i64, {{.*}}policy = "minimal memory", resident_bytes = 0 : i64, slots_bytes = 1048576 : i64, slots_offset = 4096 : i64
// LEAST: copied_h2d = 4194304 : i64

// One granule less: 4096 + 1 MiB + 128 KiB are 4096 bytes more than 1152 KiB.
// INFEASIBLE: error: [infeasible.budget] the budget is too small: entry 'main' needs 1.1 MiB at step 0 (k), budget is 1.1 MiB (4096 bytes over); nearest budget that fits: 1216K (1.2 MiB)
// INFEASIBLE: alive at that step:
// INFEASIBLE-NEXT: 1.0 MiB w0
// INFEASIBLE-NEXT: 64.0 KiB x
// INFEASIBLE-NEXT: 64.0 KiB a

module attributes {mem.budget = "BUDGET"} {
  mem.weight @w0 "w0" : tensor<512x512xf32> format "plain" layout "rowmajor" {bytes = 1048576 : i64, tile_bytes = 1048576 : i64, file = 0 : i64, file_offset = 0 : i64, file_bytes = 1048576 : i64}
  mem.weight @w1 "w1" : tensor<512x512xf32> format "plain" layout "rowmajor" {bytes = 1048576 : i64, tile_bytes = 1048576 : i64, file = 0 : i64, file_offset = 1048576 : i64, file_bytes = 1048576 : i64}
  mem.weight @w2 "w2" : tensor<512x512xf32> format "plain" layout "rowmajor" {bytes = 1048576 : i64, tile_bytes = 1048576 : i64, file = 0 : i64, file_offset = 2097152 : i64, file_bytes = 1048576 : i64}
  mem.weight @w3 "w3" : tensor<512x512xf32> format "plain" layout "rowmajor" {bytes = 1048576 : i64, tile_bytes = 1048576 : i64, file = 0 : i64, file_offset = 3145728 : i64, file_bytes = 1048576 : i64}
  mem.entry @main symbols [] {
    %x = mem.input "x" : tensor<32x512xf32> -> <device, 65536>
    %w0 = mem.get_weight @w0 {begin = 0 : i64, end = 1048576 : i64} : <host, 1048576>
    %a = mem.alloc "a" : <device, 65536>
    mem.launch @k(%x, %w0) -> (%a) params [] grid affine_map<() -> (1)> cost {bytes = 1179648 : i64, class = "matmul", flops = 1.6e7 : f64, format = "f32", rows = 32 : i64} : (!mem.buffer<device, 65536>, !mem.buffer<host, 1048576>) -> (!mem.buffer<device, 65536>)
    %w1 = mem.get_weight @w1 {begin = 0 : i64, end = 1048576 : i64} : <host, 1048576>
    %b = mem.alloc "b" : <device, 65536>
    mem.launch @k(%a, %w1) -> (%b) params [] grid affine_map<() -> (1)> cost {bytes = 1179648 : i64, class = "matmul", flops = 1.6e7 : f64, format = "f32", rows = 32 : i64} : (!mem.buffer<device, 65536>, !mem.buffer<host, 1048576>) -> (!mem.buffer<device, 65536>)
    mem.free %a : <device, 65536>
    %w2 = mem.get_weight @w2 {begin = 0 : i64, end = 1048576 : i64} : <host, 1048576>
    %c = mem.alloc "c" : <device, 65536>
    mem.launch @k(%b, %w2) -> (%c) params [] grid affine_map<() -> (1)> cost {bytes = 1179648 : i64, class = "matmul", flops = 1.6e7 : f64, format = "f32", rows = 32 : i64} : (!mem.buffer<device, 65536>, !mem.buffer<host, 1048576>) -> (!mem.buffer<device, 65536>)
    mem.free %b : <device, 65536>
    %w3 = mem.get_weight @w3 {begin = 0 : i64, end = 1048576 : i64} : <host, 1048576>
    %d = mem.alloc "d" : <device, 65536>
    mem.launch @k(%c, %w3) -> (%d) params [] grid affine_map<() -> (1)> cost {bytes = 1179648 : i64, class = "matmul", flops = 1.6e7 : f64, format = "f32", rows = 32 : i64} : (!mem.buffer<device, 65536>, !mem.buffer<host, 1048576>) -> (!mem.buffer<device, 65536>)
    mem.free %c : <device, 65536>
    mem.output "y" %d : tensor<32x512xf32> from <device, 65536>
  }
}
