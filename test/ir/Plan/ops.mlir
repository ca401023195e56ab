// RUN: ciuic-opt %s | ciuic-opt | FileCheck %s
// Every op of the dialect, printed and read back.

// CHECK: plan.weight @w0 "w" : tensor<8x16xf32> format "f32" layout "panel16"
plan.weight @w0 "w" : tensor<8x16xf32> format "f32" layout "panel16" {bytes = 512 : i64, tile_bytes = 512 : i64, host_offset = 0 : i64, arena_offset = -1 : i64, resident = array<i64: 0, 256, 1024>}
// CHECK: plan.state @s0 : tensor<1x2x16x8xf32>
plan.state @s0 : tensor<1x2x16x8xf32> {axis = 2 : i64, input = "past", output = "present", offset = 0 : i64}
// CHECK: plan.entry @main symbols [#graph.symbol<"seq", 1, 16>]
plan.entry @main symbols [#graph.symbol<"seq", 1, 16>] attributes {dims_offset = 64 : i64, prediction = {}} {
  // CHECK: plan.port "x" : tensor<4xf32>
  plan.port "x" : tensor<4xf32> {offset = 0 : i64, bytes = 16 : i64}
  // CHECK: plan.state_use @s0
  plan.state_use @s0 affine_map<()[s0] -> (0)> to affine_map<()[s0] -> (s0)>
  // CHECK: plan.buffer "slot 0" "slot"
  plan.buffer "slot 0" "slot" {offset = 0 : i64, bytes = 64 : i64, first_step = 0 : i64, last_step = 1 : i64}
  // CHECK: plan.copy @w0 {{.*}}wrap{{.*}} waits [] us 1.000000e+00
  plan.copy @w0 {tile = 0 : i64, host_offset = 0 : i64, arena_offset = 0 : i64, bytes = 64 : i64, wrap} waits [] us 1.0
  // CHECK: plan.launch @k [#plan.range<0, 64, false>, #plan.range<64, 64, true>] params [] grid #{{.*}} waits [0] us
  plan.launch @k [#plan.range<0, 64, false>, #plan.range<64, 64, true>] params [] grid affine_map<()[s0] -> (s0)> waits [0] us 2.0
  // CHECK: plan.spill {{.*}}restore
  plan.spill {arena_offset = 0 : i64, host_offset = 64 : i64, bytes = 64 : i64, restore} waits [1] us 1.0
  // CHECK: plan.port "y" : tensor<4xf32> {bytes = 16 : i64, host, offset = 128 : i64, output}
  plan.port "y" : tensor<4xf32> {offset = 128 : i64, bytes = 16 : i64, output, host}
  // CHECK: plan.drain "y" {{.*}}pitch = 16 : i64, row_bytes = 8 : i64} rows #{{.*}} waits [1] us
  plan.drain "y" {arena_offset = 0 : i64, bytes = 8 : i64, host_offset = 128 : i64, row_bytes = 8 : i64, pitch = 16 : i64} rows affine_map<() -> (1)> waits [1] us 1.0
  // CHECK: plan.gather @g @w0
  plan.gather @g @w0 {ids_offset = 0 : i64, ids_bytes = 64 : i64, ids_host_offset = 0 : i64, staging_host_offset = 64 : i64, arena_offset = 128 : i64, bytes = 64 : i64, row_bytes = 32 : i64} rows affine_map<()[s0] -> (s0)> params [] waits [] us 1.0
}
