// RUN: ciuic-opt %s --split-input-file --verify-diagnostics
// One case per constraint of the dialect; labels are those of the ops' descriptions.

// expected-error@+1 {{bounds of symbol 'seq' must satisfy 0 <= 5 <= 3}}
func.func @f() attributes {graph.symbols = [#graph.symbol<"seq", 5, 3>]} { return }

// -----
// expected-error@+1 {{graph.symbols stands on a function and is an array of #graph.symbol}}
func.func @f() attributes {graph.symbols = [1 : i64]} { return }

// -----
// expected-error@+1 {{a symbol needs a name}}
func.func @f() attributes {graph.symbols = [#graph.symbol<"", 1, 3>]} { return }

// -----
func.func @f() {
  // expected-error@+1 {{(C3) blocks of depth 16 stand for a matrix of floats with 16 values a row}}
  %w = graph.weight "w" file 0 offset 0 bytes 256 {blocks = #graph.blocks<"values" bits 4 size 32 depth 16 scales dense<1.0> : tensor<8x1xf16>>} : tensor<8x8xf32>
  return
}

// -----
// expected-error@+1 {{blocks have 2, 4 or 8 bits and a power of two from 16 on as size}}
func.func private @f() attributes {b = #graph.blocks<"values" bits 3 size 32 depth 16 scales dense<1.0> : tensor<8x1xf16>>}

// -----
// expected-error@+1 {{the part of blocks is values, centred, or, with zeros, shifts}}
func.func private @f() attributes {b = #graph.blocks<"shifts" bits 4 size 32 depth 16 scales dense<1.0> : tensor<8x1xf16>>}

// -----
// expected-error@+1 {{scales and zeros are stored or elements}}
func.func private @f() attributes {b = #graph.blocks<"values" bits 4 size 32 depth 16 scales 1 : i64>}

// -----
func.func @f() {
  // expected-error@+1 {{(C5) blocks list scales and zeros for each part, and only there}}
  %w = graph.weight "w" file 0 offset 0 bytes 256 {blocks = #graph.blocks<"values" bits 4 size 32 depth 8 scales [dense<1.0> : tensor<4x1xf16>]>, parts = array<i64: 0, 0, 128, 0, 512, 128>} : tensor<8x8xf32>
  return
}

// -----
func.func @f() {
  // expected-error@+1 {{(C1) bytes must be the size of the result type, 256}}
  %w = graph.weight "w" file 0 offset 0 bytes 255 : tensor<8x8xf32>
  return
}

// -----
func.func @f() {
  // expected-error@+1 {{(C4) parts are two or more of file, offset and bytes, the first the weight's own, and add up to its bytes}}
  %w = graph.weight "w" file 0 offset 0 bytes 256 {parts = array<i64: 0, 0, 128, 0, 512, 64>} : tensor<8x8xf32>
  return
}

// -----
func.func @f() {
  // (C1): the value's type, by a trait.
  // expected-error@+1 {{failed to verify that all of {value, result} have same type}}
  %c = "graph.constant"() <{value = dense<1> : tensor<2xi64>}> : () -> tensor<3xi64>
  return
}

// -----
func.func @f() {
  // expected-error@+1 {{(C2) result type must be static}}
  %w = graph.weight "w" file 0 offset 0 bytes 255 : tensor<?xf32, affine_map<()[s0] -> (s0)>>
  return
}

// -----
func.func @f() {
  // expected-error@+1 {{(C2) at most 65536 bytes; larger tensors are weights}}
  %w = graph.constant dense<0.0> : tensor<16385xf32>
  return
}

// -----
func.func @f(%x: tensor<4xf32>) {
  // expected-error@+1 {{(C1) map 0 must take 1 dims to 1}}
  %y = graph.map (%x) [affine_map<(d0, d1) -> (d0)>] {
  ^bb0(%a: f32):
    graph.yield %a : f32
  } : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----
func.func @f(%x: tensor<4xf32>) {
  // expected-error@+1 {{(C2) block argument 0 must be of the operand's element type}}
  %y = graph.map (%x) [affine_map<(d0) -> (d0)>] {
  ^bb0(%a: f16):
    graph.yield %a : f16
  } : (tensor<4xf32>) -> tensor<4xf16>
  return
}

// -----
func.func @f(%x: tensor<4xf32>) {
  // expected-error@+1 {{(C3) must yield scalars of the results' element types}}
  %y = graph.map (%x) [affine_map<(d0) -> (d0)>] {
  ^bb0(%a: f32):
    graph.yield %a : f32
  } : (tensor<4xf32>) -> tensor<4xf16>
  return
}

// -----
func.func @f(%x: tensor<4xf32>) {
  // expected-error@+1 {{(C4) results must share a shape}}
  %y:2 = graph.map (%x) [affine_map<(d0) -> (d0)>] {
  ^bb0(%a: f32):
    graph.yield %a, %a : f32, f32
  } : (tensor<4xf32>) -> (tensor<4xf32>, tensor<5xf32>)
  return
}

// -----
func.func @f() {
  // expected-error@+1 {{(C4) needs a result}}
  graph.map () [] {
    graph.yield
  } : () -> ()
  return
}

// -----
func.func @f(%x: tensor<4xf32>) {
  // expected-error@+1 {{(C1) needs one map and one block argument per operand}}
  %y = graph.map (%x) [] {
  ^bb0(%a: f32):
    graph.yield %a : f32
  } : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----
func.func @f(%x: tensor<4xf32>) {
  // expected-error@+1 {{(C3) must yield one scalar per result}}
  %y = graph.map (%x) [affine_map<(d0) -> (d0)>] {
  ^bb0(%a: f32):
    graph.yield %a, %a : f32, f32
  } : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----
func.func @f(%x: tensor<4xf32>) {
  %y = graph.map (%x) [affine_map<(d0) -> (d0)>] {
  ^bb0(%a: f32):
    // expected-error@+1 {{(C1) dim must lie below 1}}
    %i = graph.index 1 : i64
    graph.yield %a : f32
  } : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----
func.func @f(%x: tensor<4xf32>) {
  %y = graph.map (%x) [affine_map<(d0) -> (d0)>] {
  ^bb0(%a: f32):
    // expected-error@+1 {{(C1) needs a map without dims and with one result}}
    %n = graph.extent affine_map<(d0) -> (d0)> : i64
    graph.yield %a : f32
  } : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C1) dims must ascend and lie below the rank}}
  %y = graph.reduce sum %x dims [2] : tensor<4x8xf32> -> tensor<4x8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C2) result extent 1 must be 1}}
  %y = graph.reduce sum %x dims [1] : tensor<4x8xf32> -> tensor<4x8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C2) ranks must agree}}
  %y = graph.reduce sum %x dims [1] : tensor<4x8xf32> -> tensor<4xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C3) element types must agree}}
  %y = graph.reduce sum %x dims [1] : tensor<4x8xf32> -> tensor<4x1xf16>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C1) the result must be i64 with extent 1 at the last dim}}
  %y = graph.arg_reduce max %x : tensor<4x8xf32> -> tensor<4x8xi64>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C2) the result must have the operand's extents at the other dims}}
  %y = graph.arg_reduce max %x : tensor<4x8xf32> -> tensor<3x1xi64>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C3) the kind must be max or min}}
  %y = graph.arg_reduce sum %x : tensor<4x8xf32> -> tensor<4x1xi64>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C1) must keep element type and count}}
  %y = graph.reshape %x : tensor<4x8xf32> -> tensor<31xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C1) must be a permutation}}
  %y = graph.transpose %x [0, 0] : tensor<4x8xf32> -> tensor<4x4xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C1) needs one position per dim}}
  %y = graph.transpose %x [0] : tensor<4x8xf32> -> tensor<4x8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C2) result extent 0 must be operand extent 1}}
  %y = graph.transpose %x [1, 0] : tensor<4x8xf32> -> tensor<4x8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C1) operand extent 0 must be 1 or the result's}}
  %y = graph.expand %x : tensor<4x8xf32> -> tensor<5x8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C1) the operand's rank must not exceed the result's}}
  %y = graph.expand %x : tensor<4x8xf32> -> tensor<8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C1) needs one offset and one nonzero step per dim}}
  %y = graph.slice %x offsets affine_map<() -> (0, 0)> steps [1, 0] : tensor<4x8xf32> -> tensor<4x8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C1) ranks and element types must agree}}
  %y = graph.concat %x, %x axis 0 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<8x8xf16>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C2) axis must lie below the rank}}
  %y = graph.concat %x, %x axis 2 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<8x8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>, %z: tensor<4x7xf32>) {
  // expected-error@+1 {{(C3) extent 1 must agree}}
  %y = graph.concat %x, %z axis 0 : (tensor<4x8xf32>, tensor<4x7xf32>) -> tensor<8x8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C3) extents must add up along the axis}}
  %y = graph.concat %x, %x axis 0 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<9x8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>, %z: tensor<1x8xf16>) {
  // expected-error@+1 {{(C1) ranks and element types must agree}}
  %y = graph.append %x, %z axis 0 : (tensor<4x8xf32>, tensor<1x8xf16>) -> tensor<5x8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C1) needs one non-negative low side per dim and a value of the element type}}
  %y = graph.pad %x low [-1, 0] value 0.0 : f32 : tensor<4x8xf32> -> tensor<4x8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>, %i: tensor<3xi64>) {
  // expected-error@+1 {{(C1) axis must lie below the rank}}
  %y = graph.gather %x, %i axis 2 : (tensor<4x8xf32>, tensor<3xi64>) -> tensor<4x3xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>, %i: tensor<3xi64>) {
  // expected-error@+1 {{(C2) result shape must be input[:axis] ++ indices ++ input[axis+1:]}}
  %y = graph.gather %x, %i axis 0 : (tensor<4x8xf32>, tensor<3xi64>) -> tensor<4x8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C1) operand and result types must agree}}
  %y = graph.cumsum %x axis 0 : tensor<4x8xf32> -> tensor<4x8xf16>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C2) axis must lie below the rank}}
  %y = graph.cumsum %x axis 2 : tensor<4x8xf32> -> tensor<4x8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>, %i: tensor<3x1xi64>, %u: tensor<3x8xf32>) {
  // expected-error@+1 {{(C1) input and result types must agree}}
  %y = graph.scatter %x, %i, %u : (tensor<4x8xf32>, tensor<3x1xi64>, tensor<3x8xf32>) -> tensor<4x9xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>, %i: tensor<1x3xi64>, %u: tensor<1xf32>) {
  // expected-error@+1 {{(C2) the last extent of indices must be a constant within 1 to the rank}}
  %y = graph.scatter %x, %i, %u : (tensor<4x8xf32>, tensor<1x3xi64>, tensor<1xf32>) -> tensor<4x8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>, %i: tensor<3x1xi64>, %u: tensor<3x7xf32>) {
  // expected-error@+1 {{(C3) updates must be indices[:-1] ++ input[k:] of its element type}}
  %y = graph.scatter %x, %i, %u : (tensor<4x8xf32>, tensor<3x1xi64>, tensor<3x7xf32>) -> tensor<4x8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>, %w: tensor<8xf32>) {
  // expected-error@+1 {{(C1) operands need rank 2 or more}}
  %y = graph.matmul %x, %w : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>, %w: tensor<7x16xf32>) {
  // expected-error@+1 {{(C2) the contracted extents must agree}}
  %y = graph.matmul %x, %w : (tensor<4x8xf32>, tensor<7x16xf32>) -> tensor<4x16xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>, %w: tensor<8x16xf32>) {
  // expected-error@+1 {{(C3) the result must be [broadcast..., M, N]}}
  %y = graph.matmul %x, %w : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x8xf32>
  return
}

// -----
func.func @f(%x: tensor<2x4x8xf32>, %w: tensor<3x8x16xf32>) {
  // expected-error@+1 {{(C3) leading extents must broadcast to the result's}}
  %y = graph.matmul %x, %w : (tensor<2x4x8xf32>, tensor<3x8x16xf32>) -> tensor<2x4x16xf32>
  return
}

// -----
func.func @f(%x: tensor<1x4xf32>, %w: tensor<8x4xf32>) {
  // expected-error@+1 {{(C1) the filter must be static and of the input's rank, 3 to 5}}
  %y = graph.conv %x, %w strides [] pads [] dilations [] group 1 channels_first : (tensor<1x4xf32>, tensor<8x4xf32>) -> tensor<1x8xf32>
  return
}

// -----
func.func @f(%x: tensor<1x4x8x8xf32>) {
  %w = graph.weight "w" file 0 offset 0 bytes 1152 : tensor<8x4x3x3xf32>
  // expected-error@+1 {{(C1) needs one positive stride, dilation and kernel extent and two pads per spatial dim}}
  %y = graph.conv %x, %w strides [1] pads [0, 0, 0, 0] dilations [1, 1] group 1 channels_first : (tensor<1x4x8x8xf32>, tensor<8x4x3x3xf32>) -> tensor<1x8x6x6xf32>
  return
}

// -----
func.func @f(%x: tensor<1x4x8x8xf32>) {
  %w = graph.weight "w" file 0 offset 0 bytes 1152 : tensor<8x4x3x3xf32>
  // expected-error@+1 {{(C2) channels must divide by the group and match the filter}}
  %y = graph.conv %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 2 channels_first : (tensor<1x4x8x8xf32>, tensor<8x4x3x3xf32>) -> tensor<1x8x6x6xf32>
  return
}

// -----
func.func @f(%x: tensor<1x4x8x8xf32>) {
  %w = graph.weight "w" file 0 offset 0 bytes 1152 : tensor<8x4x3x3xf32>
  // expected-error@+1 {{(C3) result extent does not follow from the window at spatial dim 0}}
  %y = graph.conv %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 channels_first : (tensor<1x4x8x8xf32>, tensor<8x4x3x3xf32>) -> tensor<1x8x8x6xf32>
  return
}

// -----
func.func @f(%x: tensor<1x4x8x8xf32>, %w: tensor<4x8x3x3xf32>) {
  // expected-error@+1 {{(C1) needs one positive stride, dilation and kernel extent and two pads per spatial dim}}
  %y = graph.conv_transpose %x, %w strides [1, 1] pads [0, 0, 0, -1] dilations [1, 1] group 1 channels_first : (tensor<1x4x8x8xf32>, tensor<4x8x3x3xf32>) -> tensor<1x8x10x10xf32>
  return
}

// -----
func.func @f(%x: tensor<1x4x8x8xf32>, %w: tensor<5x8x3x3xf32>) {
  // expected-error@+1 {{(C2) channels must divide by the group and match the filter}}
  %y = graph.conv_transpose %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 channels_first : (tensor<1x4x8x8xf32>, tensor<5x8x3x3xf32>) -> tensor<1x8x10x10xf32>
  return
}

// -----
func.func @f(%x: tensor<1x4x8x8xf32>) {
  // expected-error@+1 {{(C1) needs one positive stride, dilation and kernel extent and two pads per spatial dim}}
  %y = graph.pool max %x kernel [2, 2] strides [2, 0] pads [0, 0, 0, 0] dilations [1, 1] channels_first : tensor<1x4x8x8xf32> -> tensor<1x4x4x4xf32>
  return
}

// -----
func.func @f(%x: tensor<1x4x8x8xf32>) {
  // expected-error@+1 {{(C1) needs one scale per spatial dim}}
  %y = graph.resize nearest %x scales [2.0] coordinates "asymmetric" rounding "floor" channels_first : tensor<1x4x8x8xf32> -> tensor<1x4x16x16xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>, %v: tensor<8xf32>, %b: tensor<1x8xf32>) {
  // expected-error@+1 {{(C1) scale and bias must be vectors of the last extent}}
  %y = graph.layer_norm %x, %v, %b epsilon 1.0e-5 : (tensor<4x8xf32>, tensor<8xf32>, tensor<1x8xf32>) -> tensor<4x8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>, %v: tensor<8xf32>) {
  // expected-error@+1 {{(C2) operand and result types must agree}}
  %y = graph.layer_norm %x, %v epsilon 1.0e-5 : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf16>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>, %v: tensor<8xf32>) {
  // expected-error@+1 {{(C2) operand and result types must agree}}
  %y = graph.rms_norm %x, %v epsilon 1.0e-5 : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<8x4xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>, %v: tensor<4xf32>) {
  // expected-error@+1 {{(C1) scale and bias must be vectors of the last extent}}
  %y = graph.rms_norm %x, %v epsilon 1.0e-5 : (tensor<4x8xf32>, tensor<4xf32>) -> tensor<4x8xf32>
  return
}

// -----
func.func @f(%x: tensor<2x4x8xf32>, %v: tensor<2x4xf32>) {
  // expected-error@+1 {{(C1) needs four dims}}
  %y = graph.group_norm %x, %v, %v epsilon 1.0e-5 channels_first : (tensor<2x4x8xf32>, tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4x8xf32>
  return
}

// -----
func.func @f(%x: tensor<1x9x2x4xf32>, %v: tensor<2x4xf32>, %b: tensor<8xf32>) {
  // expected-error@+1 {{(C2) scale and bias must be [groups, channels of a group]}}
  %y = graph.group_norm %x, %v, %b epsilon 1.0e-5 channels_last : (tensor<1x9x2x4xf32>, tensor<2x4xf32>, tensor<8xf32>) -> tensor<1x9x2x4xf32>
  return
}

// -----
func.func @f(%x: tensor<1x9x2x4xf32>, %v: tensor<9x2xf32>) {
  // expected-error@+1 {{(C2) scale and bias must be [groups, channels of a group]}}
  %y = graph.group_norm %x, %v, %v epsilon 1.0e-5 channels_last : (tensor<1x9x2x4xf32>, tensor<9x2xf32>, tensor<9x2xf32>) -> tensor<1x9x2x4xf32>
  return
}

// -----
func.func @f(%x: tensor<1x9x2x4xf32>, %v: tensor<2x4xf32>) {
  // expected-error@+1 {{(C3) operand and result types must agree}}
  %y = graph.group_norm %x, %v, %v epsilon 1.0e-5 channels_last : (tensor<1x9x2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<1x9x2x4xf16>
  return
}

// -----
func.func @f(%q: tensor<1x6x4x32xf32>, %k: tensor<6x4x32xf32>) {
  // expected-error@+1 {{(C1) operands need four dims}}
  %y = graph.attention %q bhsd, %k bhsd, %k bhsd scale 1.0 to bhsd : (tensor<1x6x4x32xf32>, tensor<6x4x32xf32>, tensor<6x4x32xf32>) -> tensor<1x6x4x32xf32>
  return
}

// -----
func.func @f(%q: tensor<1x6x4x32xf32>, %k: tensor<1x4x4x32xf32>) {
  // expected-error@+1 {{(C2) key/value heads must divide the query heads}}
  %y = graph.attention %q bhsd, %k bhsd, %k bhsd scale 1.0 to bhsd : (tensor<1x6x4x32xf32>, tensor<1x4x4x32xf32>, tensor<1x4x4x32xf32>) -> tensor<1x6x4x32xf32>
  return
}

// -----
func.func @f(%q: tensor<1x6x4x32xf32>, %k: tensor<1x2x4x32xf32>, %v: tensor<1x2x5x32xf32>) {
  // expected-error@+1 {{(C3) batch, width and key extents must agree}}
  %y = graph.attention %q bhsd, %k bhsd, %v bhsd scale 1.0 to bhsd : (tensor<1x6x4x32xf32>, tensor<1x2x4x32xf32>, tensor<1x2x5x32xf32>) -> tensor<1x6x4x32xf32>
  return
}

// -----
func.func @f(%q: tensor<1x6x4x32xf32>, %k: tensor<1x2x5x32xf32>, %m: tensor<4x4xf32>) {
  // expected-error@+1 {{(C4) the mask must broadcast to [batch, heads, queries, keys]}}
  %y = graph.attention %q bhsd, %k bhsd, %k bhsd mask %m scale 1.0 to bhsd : (tensor<1x6x4x32xf32>, tensor<1x2x5x32xf32>, tensor<1x2x5x32xf32>, tensor<4x4xf32>) -> tensor<1x6x4x32xf32>
  return
}

// -----
func.func @f(%x: tensor<1x6x4x31xf32>, %c: tensor<1x4x31xf32>) {
  // expected-error@+1 {{(C1) needs four dims, the last constant and even}}
  %y = graph.rope %x bhsd, %c, %c : (tensor<1x6x4x31xf32>, tensor<1x4x31xf32>, tensor<1x4x31xf32>) -> tensor<1x6x4x31xf32>
  return
}

// -----
func.func @f(%x: tensor<1x6x4x32xf32>, %c: tensor<1x4x32xf32>, %s: tensor<1x5x32xf32>) {
  // expected-error@+1 {{(C2) cos and sin must be [batch or 1, sequence, width]}}
  %y = graph.rope %x bhsd, %c, %s : (tensor<1x6x4x32xf32>, tensor<1x4x32xf32>, tensor<1x5x32xf32>) -> tensor<1x6x4x32xf32>
  return
}

// -----
func.func @f(%x: tensor<1x6x4x32xf32>, %c: tensor<1x4x32xf32>) {
  // expected-error@+1 {{(C3) operand and result types must agree}}
  %y = graph.rope %x bhsd, %c, %c : (tensor<1x6x4x32xf32>, tensor<1x4x32xf32>, tensor<1x4x32xf32>) -> tensor<1x6x4x32xf16>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C1) block arguments must have the operands' types}}
  %y = graph.fusion row(%x) {
  ^bb0(%a: tensor<8x4xf32>):
    graph.yield %a : tensor<8x4xf32>
  } : (tensor<4x8xf32>) -> tensor<8x4xf32>
  return
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C2) yielded values must have the results' types}}
  %y = graph.fusion row(%x) {
  ^bb0(%a: tensor<4x8xf32>):
    graph.yield %a : tensor<4x8xf32>
  } : (tensor<4x8xf32>) -> tensor<8x4xf32>
  return
}

// -----
// expected-error@+1 {{(C1) block arguments must have the operands' types}}
graph.kernel row @k (tensor<4x8xf32>) -> tensor<4x8xf32> grid affine_map<() -> (4)> scratch 0 symbols [] {
^bb0(%a: tensor<8x4xf32>):
  graph.yield %a : tensor<8x4xf32>
}

// -----
// expected-error@+1 {{(C2) yielded values must have the results' types}}
graph.kernel row @k (tensor<4x8xf32>) -> tensor<4x8xf32> grid affine_map<() -> (4)> scratch 0 symbols [] {
^bb0(%a: tensor<4x8xf32>):
  graph.yield %a, %a : tensor<4x8xf32>, tensor<4x8xf32>
}

// -----
// expected-error@+1 {{(C3) the grid must be one expression of the symbols}}
graph.kernel row @k (tensor<4x8xf32>) -> tensor<4x8xf32> grid affine_map<() -> (4, 1)> scratch 0 symbols [] {
^bb0(%a: tensor<4x8xf32>):
  graph.yield %a : tensor<4x8xf32>
}

// -----
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error@+1 {{(C1) names no kernel: missing}}
  %y = graph.launch @missing(%x) : (tensor<4x8xf32>) -> tensor<4x8xf32>
  return
}

// -----
graph.kernel row @k (tensor<4x8xf32>) -> tensor<4x8xf32> grid affine_map<() -> (4)> scratch 0 symbols [] {
^bb0(%a: tensor<4x8xf32>):
  graph.yield %a : tensor<4x8xf32>
}
func.func @f(%x: tensor<4x4xf32>) {
  // expected-error@+1 {{(C2) types differ from those of k}}
  %y = graph.launch @k(%x) : (tensor<4x4xf32>) -> tensor<4x8xf32>
  return
}

// -----
func.func @f(%x: tensor<2x20xi32>) {
  // expected-error@+1 {{(C1) rows of floats have a constant last dim}}
  %r = graph.quantise_rows %x : tensor<2x20xi32> -> tensor<2x32xi8>
  return
}

// -----
func.func @f(%x: tensor<2x20xf16>) {
  // expected-error@+1 {{(C2) quantised rows are i8, as long as such rows are, and as many}}
  %r = graph.quantise_rows %x : tensor<2x20xf16> -> tensor<2x28xi8>
  return
}

// -----
func.func @f(%r: tensor<2x32xi8>) {
  // expected-error@+1 {{(C2) quantised rows are i8, as long as such rows are, and as many}}
  %x = graph.dequantise_rows %r : tensor<2x32xi8> -> tensor<3x20xf16>
  return
}

// -----
func.func @f(%q: tensor<1x2x1x64xf16>, %k: tensor<1x2x5x72xi8>, %v: tensor<1x2x5x64xf16>) {
  // expected-error@+1 {{(C3) batch, width and key extents must agree}}
  %y = graph.attention %q bhsd, %k bhsd, %v bhsd scale 1.250000e-01 to bhsd : (tensor<1x2x1x64xf16>, tensor<1x2x5x72xi8>, tensor<1x2x5x64xf16>) -> tensor<1x2x1x64xf16>
  return
}

// -----
func.func @f(%r: tensor<2x32xi8>) {
  // expected-error@+1 {{(C1) rows of floats have a constant last dim}}
  %x = graph.dequantise_rows %r : tensor<2x32xi8> -> tensor<2x20xi32>
  return
}
