// RUN: ciuic-opt %s --pass-pipeline='builtin.module(ciuic-verify-plan-level)' --split-input-file --verify-diagnostics

module attributes {plan.summary = {arena_bytes = 65536 : i64}} {
  plan.weight @w "w" : tensor<16xf32> format "plain" layout "rowmajor" {bytes = 64 : i64, tile_bytes = 64 : i64, host_offset = 0 : i64, arena_offset = -1 : i64}
  plan.entry @main symbols [] attributes {dims_offset = 0 : i64, prediction = {}} {
    plan.copy @w {tile = 0 : i64, host_offset = 0 : i64, arena_offset = 65472 : i64, bytes = 64 : i64} waits [] us 1.0
    plan.spill {arena_offset = 0 : i64, host_offset = 64 : i64, bytes = 64 : i64} waits [0] us 1.0
  }
}

// -----
// expected-error@+1 {{(V1) has no plan.summary}}
module {
}

// -----
module attributes {plan.summary = {arena_bytes = 65536 : i64}} {
  // expected-error@+1 {{(V1) does not belong to the plan level}}
  func.func @f() { return }
}

// -----
module attributes {plan.summary = {arena_bytes = 65536 : i64}} {
  plan.entry @main symbols [] attributes {dims_offset = 0 : i64, prediction = {}} {
    // expected-error@+1 {{(V2) waits for a step that does not come before it}}
    plan.spill {arena_offset = 0 : i64, host_offset = 64 : i64, bytes = 64 : i64} waits [0] us 1.0
  }
}

// -----
module attributes {plan.summary = {arena_bytes = 65536 : i64}} {
  plan.entry @main symbols [] attributes {dims_offset = 0 : i64, prediction = {}} {
    // expected-error@+1 {{(V3) bytes 65473 to 65537 leave the arena of 65536}}
    plan.port "x" : tensor<16xf32> {offset = 65473 : i64, bytes = 64 : i64}
  }
}

// -----
module attributes {plan.summary = {arena_bytes = 65536 : i64}} {
  plan.entry @main symbols [] attributes {dims_offset = 0 : i64, prediction = {}} {
    // expected-error@+1 {{(V4) unknown name: w}}
    plan.copy @w {tile = 0 : i64, host_offset = 0 : i64, arena_offset = 0 : i64, bytes = 64 : i64} waits [] us 1.0
  }
}
