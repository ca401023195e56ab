// RUN: ciuic-opt %s | ciuic-opt | FileCheck %s
// Every op of the dialect, printed and read back.

// CHECK: mem.state @s0 : tensor<1x2x16x8xf32> {axis = 2 : i64
mem.state @s0 : tensor<1x2x16x8xf32> {axis = 2 : i64, input = "past", output = "present"}
// CHECK: mem.weight @w0 "layer.weight" : tensor<8x16xf32> format "f32" layout "panel16"
mem.weight @w0 "layer.weight" : tensor<8x16xf32> format "f32" layout "panel16" {bytes = 512 : i64, tile_bytes = 512 : i64, file = 0 : i64, file_offset = 4096 : i64, file_bytes = 512 : i64}
// CHECK: mem.weight @w1 "constant" : tensor<2xi64> format "plain" layout "rowmajor" {{.*}}value = dense<[1, 2]> : tensor<2xi64>
mem.weight @w1 "constant" : tensor<2xi64> format "plain" layout "rowmajor" {bytes = 16 : i64, tile_bytes = 16 : i64, value = dense<[1, 2]> : tensor<2xi64>}
// CHECK: mem.unit @u0 [@w0] [0] [512] [0]
mem.unit @u0 [@w0] [0] [512] [0] {bytes = 512 : i64}

// CHECK: mem.entry @main symbols [#graph.symbol<"seq", 1, 16>]
mem.entry @main symbols [#graph.symbol<"seq", 1, 16>] attributes {dims_offset = 64 : i64} {
  // CHECK: mem.input "x" : tensor<?x8xf32, #{{.*}}> -> <device, 512>
  %x = mem.input "x" : tensor<?x8xf32, affine_map<()[s0] -> (s0, 8)>> -> <device, 512>
  // CHECK: mem.get_state @s0 #{{.*}} to #{{.*}} : <device, 1024>
  %s = mem.get_state @s0 affine_map<()[s0] -> (0)> to affine_map<()[s0] -> (s0)> : <device, 1024>
  // CHECK: %[[T:.*]] = mem.prefetch @u0
  %t = mem.prefetch @u0 {offset = 8192 : i64, microseconds = 1.0}
  // CHECK: mem.await %[[T]]
  mem.await %t
  // CHECK: mem.get_weight @w0
  %w = mem.get_weight @w0 {begin = 0 : i64, end = 512 : i64, offset = 8192 : i64, slot = 8192 : i64} : <device, 512>
  // CHECK: %[[A:.*]] = mem.alloc "y" {offset = 0 : i64} : <device, 1024>
  %a = mem.alloc "y" {offset = 0 : i64} : <device, 1024>
  // CHECK: mem.launch @k(%{{.*}}, %{{.*}}) -> (%[[A]]) params [0, 1] grid #{{.*}} cost {bytes = 1 : i64}
  mem.launch @k (%x, %w) -> (%a) params [0, 1] grid affine_map<()[s0] -> (s0)> cost {bytes = 1 : i64} : (!mem.buffer<device, 512>, !mem.buffer<device, 512>) -> (!mem.buffer<device, 1024>)
  // CHECK: mem.evict %[[A]]
  %e = mem.evict %a {host_offset = 0 : i64, microseconds = 1.0} : <device, 1024>
  // CHECK: mem.restore %[[A]]
  %r = mem.restore %a {host_offset = 0 : i64, microseconds = 1.0} : <device, 1024>
  // CHECK: mem.output "y" %[[A]]
  mem.output "y" %a : tensor<?x16xf32, affine_map<()[s0] -> (s0, 16)>> from <device, 1024>
  // CHECK: %[[H:.*]] = mem.alloc "y" : <host, 1024>
  %h = mem.alloc "y" : <host, 1024>
  // CHECK: mem.drain %[[A]] to %[[H]] rows #{{.*}} {column = 32 : i64, microseconds = 1.000000e+00 : f64, pitch = 64 : i64, row_bytes = 32 : i64} : <device, 1024> to <host, 1024>
  %d = mem.drain %a to %h rows affine_map<()[s0] -> (s0)> {column = 32 : i64, pitch = 64 : i64, row_bytes = 32 : i64, microseconds = 1.0} : <device, 1024> to <host, 1024>
  %b = mem.alloc "z" : <device, 64>
  // CHECK: mem.free
  mem.free %b : <device, 64>
}
