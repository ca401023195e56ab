// RUN: ciuic-opt %s --split-input-file --verify-diagnostics

// expected-error@+1 {{(C1) needs 0 < tile_bytes <= bytes}}
mem.weight @w "w" : tensor<2xi64> format "plain" layout "rowmajor" {bytes = 16 : i64, tile_bytes = 17 : i64, value = dense<[1, 2]> : tensor<2xi64>}

// -----
// expected-error@+1 {{(C2) needs either a value or a place in a file}}
mem.weight @w "w" : tensor<2xi64> format "plain" layout "rowmajor" {bytes = 16 : i64, tile_bytes = 16 : i64}

// -----
// expected-error@+1 {{(C1) the type must be static}}
mem.state @s : tensor<?xf32> {axis = 0 : i64, input = "a", output = "b"}

// -----
// expected-error@+1 {{(C2) axis must lie below the rank}}
mem.state @s : tensor<4xf32> {axis = 1 : i64, input = "a", output = "b"}

// -----
// expected-error@+1 {{(C1) needs one begin, end and place per weight}}
mem.unit @u [@w] [0, 1] [512] [0] {bytes = 512 : i64}

// -----
mem.entry @e symbols [] {
  // expected-error@+1 {{a buffer has a size of zero or more bytes}}
  %a = mem.alloc "a" : <device, -1>
}

// -----
mem.entry @e symbols [] {
  %a = mem.alloc "a" : <device, 64>
  %b = mem.alloc "b" : <host, 64>
  // Columns 12 to 28 of rows of 16 bytes.
  // expected-error@+1 {{(C1) needs 0 < row_bytes, 0 <= column and column + row_bytes <= pitch}}
  %t = mem.drain %a to %b rows affine_map<() -> (4)> {column = 12 : i64, pitch = 16 : i64, row_bytes = 16 : i64, microseconds = 1.0} : <device, 64> to <host, 64>
}

// -----
mem.entry @e symbols [] {
  %a = mem.alloc "a" : <device, 64>
  %b = mem.alloc "b" : <device, 64>
  // expected-error@+1 {{(C2) moves a device buffer into one of the host tier}}
  %t = mem.drain %a to %b rows affine_map<() -> (4)> {column = 0 : i64, pitch = 16 : i64, row_bytes = 16 : i64, microseconds = 1.0} : <device, 64> to <device, 64>
}
