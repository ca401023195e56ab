// RUN: ciuic-opt %s --pass-pipeline='builtin.module(ciuic-verify-mem-level)' --split-input-file --verify-diagnostics

// A placed module within its budget passes.
module attributes {mem.budget = 65536 : i64, mem.plan = {arena_bytes = 65536 : i64}} {
  mem.entry @main symbols [] {
    %a = mem.alloc "a" {offset = 65472 : i64} : <device, 64>
    mem.free %a : <device, 64>
  }
}

// -----
// expected-error@+1 {{(V3) the arena of 65536 bytes exceeds the budget of 65535}}
module attributes {mem.budget = 65535 : i64, mem.plan = {arena_bytes = 65536 : i64}} {
}

// -----
module attributes {mem.plan = {arena_bytes = 65536 : i64}} {
  mem.entry @main symbols [] {
    // 65,473 + 64 > 65,536
    // expected-error@+1 {{(V3) a device buffer must lie in the arena of 65536 bytes}}
    %a = mem.alloc "a" {offset = 65473 : i64} : <device, 64>
  }
}

// -----
module attributes {mem.plan = {arena_bytes = 65536 : i64}} {
  mem.entry @main symbols [] {
    // expected-error@+1 {{(V3) a device buffer must lie in the arena}}
    %a = mem.alloc "a" : <device, 64>
  }
}

// -----
// expected-error@+1 {{(V1) does not belong to the mem level}}
func.func @f() { return }

// -----
mem.entry @main symbols [] {
  %a = mem.alloc "a" : <device, 64>
  // expected-error@+1 {{(V2) needs a kernel with as many arguments and results: k}}
  mem.launch @k (%a) -> (%a) params [] grid affine_map<() -> (1)> cost {} : (!mem.buffer<device, 64>) -> (!mem.buffer<device, 64>)
}

// -----
mem.entry @main symbols [] {
  %a = mem.alloc "a" : <device, 64>
  mem.free %a : <device, 64>
  // expected-error@+1 {{(V4) uses a buffer after it was freed}}
  mem.output "y" %a : tensor<16xf32> from <device, 64>
}
