// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-form-fusions),ciuic-select-layouts,ciuic-outline-kernels,ciuic-lower-to-mem,ciuic-apply-offload,ciuic-verify-mem-level)' | FileCheck %s
// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-form-fusions),ciuic-select-layouts,ciuic-outline-kernels,ciuic-lower-to-mem,ciuic-apply-offload,ciuic-lower-to-plan,ciuic-verify-plan-level)' | FileCheck %s --check-prefix=PLAN

// An output of 64 rows of 4096 floats, 1 MiB, under a budget of 768 KiB. It leaves by columns: each launch makes 256 of
// them, of 16 panels, side by side in one of two places (64 · 256 · 4 = 64 KiB), and a copy takes them to the rows of the
// output in the host tier, 16384 bytes apart. A launch writes a place again after its copy.
// CHECK: mem.entry @main
// CHECK: %[[OUT:.*]] = mem.alloc "y" : <host, 1048576>
// CHECK: %[[T0:.*]] = mem.alloc "y tile" {offset = {{.*}}} : <device, 65536>
// CHECK: mem.launch @main_matmul_0({{.*}}) -> (%[[T0]]) params [0, 16, 0, 256] grid
// CHECK: %[[C0:.*]] = mem.drain %[[T0]] to %[[OUT]] rows #{{.*}} {column = 0 : i64, {{.*}}pitch = 16384 : i64, row_bytes = 1024 : i64}
// CHECK: %[[T1:.*]] = mem.alloc "y tile" {offset = {{.*}}} : <device, 65536>
// CHECK: mem.launch @main_matmul_0({{.*}}) -> (%[[T1]]) params [16, 32, 256, 256] grid
// CHECK: mem.drain %[[T1]] to %[[OUT]] rows #{{.*}} {column = 1024 : i64,
// CHECK: mem.await {{.*}}%[[C0]]
// CHECK-NEXT: mem.launch @main_matmul_0({{.*}}) -> (%[[T0]]) params [32, 48, 512, 256] grid
// CHECK: mem.drain %[[T1]] to %[[OUT]] rows #{{.*}} {column = 15360 : i64,
// CHECK-NOT: mem.launch
// CHECK: mem.output "y" %[[OUT]] : tensor<64x4096xf32> from <host, 1048576>

// The weight streams, so its 4 MiB come first in the host tier; the output lies behind. The third launch waits for its
// weights and for the place.
// PLAN: plan.launch @main_matmul_0 {{.*}} params [0, 16, 0, 256]
// PLAN-NEXT: plan.copy @w0
// PLAN-NEXT: plan.drain "y" {arena_offset = [[T:.*]] : i64, bytes = 65536 : i64, host_offset = 4194304 : i64, pitch = 16384 : i64, row_bytes = 1024 : i64} rows #{{.*}} waits [0]
// PLAN: plan.drain "y" {{.*}}host_offset = 4195328 : i64
// PLAN-NEXT: plan.launch @main_matmul_0 [{{.*}}#plan.range<[[T]], 65536, true>] params [32, 48, 512, 256] grid #{{.*}} waits [1, 2]
// PLAN: plan.port "y" : tensor<64x4096xf32> {bytes = 1048576 : i64, host, offset = 4194304 : i64, output}
// PLAN-NOT: "output"
// PLAN: plan.buffer "y tile" "activation" {bytes = 65536 : i64,
module attributes {mem.budget = 786432 : i64} {
  func.func @main(%x: tensor<64x256xf32> {graph.name = "x"}) -> (tensor<64x4096xf32> {graph.name = "y"}) attributes {graph.symbols = []} {
    %w = graph.weight "w" file 0 offset 0 bytes 4194304 : tensor<256x4096xf32>
    %y = graph.matmul %x, %w : (tensor<64x256xf32>, tensor<256x4096xf32>) -> tensor<64x4096xf32>
    return %y : tensor<64x4096xf32>
  }
}
