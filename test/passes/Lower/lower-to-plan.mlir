// RUN: ciuic-opt %s --ciuic-lower-to-plan --split-input-file | FileCheck %s

// @w0 is resident, @w1 and @w2 share a slot. Steps are numbered without the prologue, which fills the slot before the
// first pass:
//   0 launch of w0, 1 launch of w1, 2 copy of w2 (after step 1 has read the slot), 3 launch of w2 (after the copy),
//   4 copy of w1 for the next pass (after step 3).
// Only the streamed weights have bytes in the host tier.
// CHECK: plan.host_bytes = 4096 : i64
// CHECK: plan.weight @w0 {{.*}}arena_offset = 64 : i64, {{.*}}host_offset = -1 : i64
// CHECK: plan.weight @w1 {{.*}}arena_offset = -1 : i64, {{.*}}host_offset = 0 : i64
// CHECK: plan.weight @w2 {{.*}}arena_offset = -1 : i64, {{.*}}host_offset = 1024 : i64
// CHECK: plan.entry @main symbols [] attributes {dims_offset = 0 : i64
// CHECK-NEXT: plan.copy @w1 {arena_offset = 1088 : i64, bytes = 1024 : i64, host_offset = 0 : i64, prologue, {{.*}}} waits []
// CHECK-NEXT: plan.port "x" : tensor<16xf32> {bytes = 64 : i64, offset = 2112 : i64}
// CHECK-NEXT: plan.launch @k [#plan.range<2112, 64, false>, #plan.range<64, 1024, false>, #plan.range<2176, 64, true>] {{.*}} waits []
// CHECK-NEXT: plan.launch @k [#plan.range<2176, 64, false>, #plan.range<1088, 1024, false>, #plan.range<2112, 64, true>] {{.*}} waits []
// CHECK-NEXT: plan.copy @w2 {arena_offset = 1088 : i64, bytes = 1024 : i64, host_offset = 1024 : i64, {{.*}}} waits [1]
// CHECK-NEXT: plan.launch @k [#plan.range<2112, 64, false>, #plan.range<1088, 1024, false>, #plan.range<2176, 64, true>] {{.*}} waits [2]
// CHECK-NEXT: plan.copy @w1 {{.*}}wrap} waits [3]
// CHECK-NEXT: plan.port "y" : tensor<16xf32> {bytes = 64 : i64, offset = 2176 : i64, output}
// CHECK-DAG: plan.buffer "x" "input" {bytes = 64 : i64, first_step = 0 : i64, last_step = 0 : i64, offset = 2112 : i64}
// CHECK-DAG: plan.buffer "a" "activation" {bytes = 64 : i64, first_step = 0 : i64, last_step = 1 : i64, offset = 2176 : i64}
// CHECK-DAG: plan.buffer "c" "output" {bytes = 64 : i64, first_step = 3 : i64, last_step = 4 : i64, offset = 2176 : i64}
// CHECK-DAG: plan.buffer "slots" "slot" {bytes = 1024 : i64, first_step = 0 : i64, last_step = 4 : i64, offset = 1088 : i64}
// CHECK-NOT: mem.
module attributes {mem.plan = {arena_bytes = 65536 : i64, need_bytes = 3328 : i64, policy = "strided", resident_bytes = 1024 : i64, slots_bytes = 1024 : i64, slots_offset = 1088 : i64, streamed_bytes = 2048 : i64}} {
  mem.weight @w0 "w0" : tensor<16x16xf32> format "plain" layout "rowmajor" {bytes = 1024 : i64, tile_bytes = 1024 : i64, file = 0 : i64, file_offset = 0 : i64, file_bytes = 1024 : i64}
  mem.weight @w1 "w1" : tensor<16x16xf32> format "plain" layout "rowmajor" {bytes = 1024 : i64, tile_bytes = 1024 : i64, file = 0 : i64, file_offset = 1024 : i64, file_bytes = 1024 : i64}
  mem.weight @w2 "w2" : tensor<16x16xf32> format "plain" layout "rowmajor" {bytes = 1024 : i64, tile_bytes = 1024 : i64, file = 0 : i64, file_offset = 2048 : i64, file_bytes = 1024 : i64}
  mem.unit @u0 [@w0] [0] [1024] [0] {bytes = 1024 : i64, offset = 64 : i64}
  mem.unit @u1 [@w1] [0] [1024] [0] {bytes = 1024 : i64}
  mem.unit @u2 [@w2] [0] [1024] [0] {bytes = 1024 : i64}
  mem.entry @main symbols [] attributes {dims_offset = 0 : i64, initial_slots = array<i64: 1088>, initial_units = array<i64: 1>, prediction = {}} {
    %x = mem.input "x" : tensor<16xf32> {offset = 2112 : i64} -> <device, 64>
    %w0 = mem.get_weight @w0 {begin = 0 : i64, end = 1024 : i64, offset = 64 : i64} : <device, 1024>
    %a = mem.alloc "a" {offset = 2176 : i64} : <device, 64>
    mem.launch @k (%x, %w0) -> (%a) params [] grid affine_map<() -> (1)> cost {} {microseconds = 1.0} : (!mem.buffer<device, 64>, !mem.buffer<device, 1024>) -> (!mem.buffer<device, 64>)
    %w1 = mem.get_weight @w1 {begin = 0 : i64, end = 1024 : i64, offset = 1088 : i64, slot = 1088 : i64} : <device, 1024>
    %b = mem.alloc "b" {offset = 2112 : i64} : <device, 64>
    mem.launch @k (%a, %w1) -> (%b) params [] grid affine_map<() -> (1)> cost {} {microseconds = 1.0} : (!mem.buffer<device, 64>, !mem.buffer<device, 1024>) -> (!mem.buffer<device, 64>)
    %t = mem.prefetch @u2 {offset = 1088 : i64, microseconds = 1.0}
    %w2 = mem.get_weight @w2 {begin = 0 : i64, end = 1024 : i64, offset = 1088 : i64, slot = 1088 : i64} : <device, 1024>
    %c = mem.alloc "c" {offset = 2176 : i64} : <device, 64>
    mem.await %t
    mem.launch @k (%b, %w2) -> (%c) params [] grid affine_map<() -> (1)> cost {} {microseconds = 1.0} : (!mem.buffer<device, 64>, !mem.buffer<device, 1024>) -> (!mem.buffer<device, 64>)
    %r = mem.prefetch @u1 {offset = 1088 : i64, wrap, microseconds = 1.0}
    mem.output "y" %c : tensor<16xf32> from <device, 64>
  }
}

// -----

// An activation that leaves and comes back elsewhere: out after the launch that wrote it, in after the copy out, and the
// reader after the copy in. Its bytes in the host tier stand behind those of the weights, of which there are none.
// CHECK-LABEL: plan.entry @spill
// CHECK: plan.launch @k
// CHECK-NEXT: plan.spill {arena_offset = 64 : i64, bytes = 64 : i64, host_offset = 0 : i64} waits [0]
// CHECK-NEXT: plan.launch @k {{.*}} waits [1]
// CHECK-NEXT: plan.spill {arena_offset = 192 : i64, bytes = 64 : i64, host_offset = 0 : i64, restore} waits [2, 1]
// CHECK-NEXT: plan.launch @k {{.*}} waits [3]
module attributes {mem.plan = {arena_bytes = 65536 : i64, need_bytes = 320 : i64, policy = "all resident", resident_bytes = 0 : i64, slots_bytes = 0 : i64, slots_offset = 64 : i64, streamed_bytes = 0 : i64}} {
  mem.entry @spill symbols [] attributes {dims_offset = 0 : i64, prediction = {}} {
    %x = mem.input "x" : tensor<16xf32> {offset = 128 : i64} -> <device, 64>
    %a = mem.alloc "a" {offset = 64 : i64} : <device, 64>
    mem.launch @k (%x) -> (%a) params [] grid affine_map<() -> (1)> cost {} : (!mem.buffer<device, 64>) -> (!mem.buffer<device, 64>)
    %out = mem.evict %a {host_offset = 0 : i64, microseconds = 1.0} : <device, 64>
    %b = mem.alloc "b" {offset = 64 : i64} : <device, 64>
    mem.await %out
    mem.launch @k (%x) -> (%b) params [] grid affine_map<() -> (1)> cost {} : (!mem.buffer<device, 64>) -> (!mem.buffer<device, 64>)
    %a2 = mem.alloc "a" {offset = 192 : i64} : <device, 64>
    %in = mem.restore %a2 {host_offset = 0 : i64, microseconds = 1.0} : <device, 64>
    mem.await %in
    mem.launch @k (%a2) -> (%b) params [] grid affine_map<() -> (1)> cost {} : (!mem.buffer<device, 64>) -> (!mem.buffer<device, 64>)
    mem.output "y" %b : tensor<16xf32> from <device, 64>
  }
}

// -----

// CHECK: plan.entry @nothing symbols []
// CHECK-NOT: plan.launch
// CHECK: plan.buffer "dims"
module attributes {mem.plan = {arena_bytes = 65536 : i64, need_bytes = 64 : i64, policy = "all resident", resident_bytes = 0 : i64, slots_bytes = 0 : i64, slots_offset = 64 : i64, streamed_bytes = 0 : i64}} {
  mem.entry @nothing symbols [] attributes {dims_offset = 0 : i64, prediction = {}} {
  }
}
