// RUN: ciuic-opt %s | ciuic-opt | FileCheck %s
// Every op of the dialect, printed and read back.

#x = affine_map<()[s0] -> (s0, 8)>
#id = affine_map<(d0, d1) -> (d0, d1)>

// CHECK-LABEL: func.func @leaves
// CHECK-SAME: graph.symbols = [#graph.symbol<"seq", 1, 256>]
func.func @leaves() -> tensor<2xi64> attributes {graph.symbols = [#graph.symbol<"seq", 1, 256>]} {
  // CHECK: graph.weight "w" file 1 offset 4096 bytes 256 : tensor<8x8xf32>
  %w = graph.weight "w" file 1 offset 4096 bytes 256 : tensor<8x8xf32>
  // CHECK: graph.weight "b" file 0 offset 128 bytes 256 {blocks = #graph.blocks<"values" bits 4 size 32 depth 8 scales #graph.stored<1, 64, tensor<8x1xf16>> exactly "int4g32">} : tensor<8x8xf32>
  %blocks = graph.weight "b" file 0 offset 128 bytes 256 {blocks = #graph.blocks<"values" bits 4 size 32 depth 8 scales #graph.stored<1, 64, tensor<8x1xf16>> exactly "int4g32">} : tensor<8x8xf32>
  // CHECK: graph.weight "p" file 0 offset 0 bytes 128 {packing = #graph.packing<"int8", "rows", columns = 8, channels = 8, taps = 1, groups = 1>} : tensor<8x8xf16>
  %p = graph.weight "p" file 0 offset 0 bytes 128 {packing = #graph.packing<"int8", "rows", columns = 8, channels = 8, taps = 1, groups = 1>} : tensor<8x8xf16>
  // CHECK: graph.constant dense<[1, 2]> : tensor<2xi64>
  %c = graph.constant dense<[1, 2]> : tensor<2xi64>
  return %c : tensor<2xi64>
}

// CHECK-LABEL: func.func @map
func.func @map(%x: tensor<?x8xf32, #x>, %b: tensor<8xf32>) -> tensor<?x8xf32, #x> {
  // CHECK: graph.map(%arg0, %arg1)
  // CHECK: graph.index 0 : i64
  // CHECK: graph.extent #{{.*}} : i64
  // CHECK: graph.yield
  %y = graph.map (%x, %b) [#id, affine_map<(d0, d1) -> (d1)>] {
  ^bb0(%a: f32, %c: f32):
    %i = graph.index 0 : i64
    %n = graph.extent affine_map<()[s0] -> (s0 + 1)> : i64
    %k = arith.addi %i, %n : i64
    %f = arith.sitofp %k : i64 to f32
    %s = arith.addf %a, %f : f32
    graph.yield %s : f32
  } : (tensor<?x8xf32, #x>, tensor<8xf32>) -> tensor<?x8xf32, #x>
  return %y : tensor<?x8xf32, #x>
}

// CHECK-LABEL: func.func @data
func.func @data(%x: tensor<4x8xf32>, %i: tensor<3xi64>, %u: tensor<3x8xf32>) {
  // CHECK: graph.reduce sum %arg0 dims [1]
  %0 = graph.reduce sum %x dims [1] : tensor<4x8xf32> -> tensor<4x1xf32>
  // CHECK: graph.arg_reduce max %arg0
  %1 = graph.arg_reduce max %x : tensor<4x8xf32> -> tensor<4x1xi64>
  // CHECK: graph.reshape %arg0
  %2 = graph.reshape %x : tensor<4x8xf32> -> tensor<32xf32>
  // CHECK: graph.transpose %arg0 [1, 0]
  %3 = graph.transpose %x [1, 0] : tensor<4x8xf32> -> tensor<8x4xf32>
  // CHECK: graph.expand
  %4 = graph.expand %0 : tensor<4x1xf32> -> tensor<2x4x8xf32>
  // CHECK: graph.slice %arg0 offsets #{{.*}} steps [-1, 2]
  %5 = graph.slice %x offsets affine_map<() -> (3, 0)> steps [-1, 2] : tensor<4x8xf32> -> tensor<4x4xf32>
  // CHECK: graph.concat %arg0, %arg0 axis 1
  %6 = graph.concat %x, %x axis 1 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x16xf32>
  // CHECK: graph.append %arg0, %arg2 axis 0
  %7 = graph.append %x, %u axis 0 : (tensor<4x8xf32>, tensor<3x8xf32>) -> tensor<7x8xf32>
  // CHECK: graph.pad %arg0 low [1, 0] value 0.000000e+00 : f32
  %8 = graph.pad %x low [1, 0] value 0.0 : f32 : tensor<4x8xf32> -> tensor<6x8xf32>
  // CHECK: graph.gather %arg0, %arg1 axis 0
  %9 = graph.gather %x, %i axis 0 : (tensor<4x8xf32>, tensor<3xi64>) -> tensor<3x8xf32>
  // CHECK: graph.cumsum %arg0 axis 1 {exclusive}
  %10 = graph.cumsum %x axis 1 {exclusive} : tensor<4x8xf32> -> tensor<4x8xf32>
  return
}

// CHECK-LABEL: func.func @structured
func.func @structured(%x: tensor<1x4x8xf32>, %img: tensor<1x8x8x4xf32>, %q: tensor<1x6x4x32xf32>, %k: tensor<1x2x4x32xf32>,
                      %cs: tensor<1x4x32xf32>, %v: tensor<8xf32>) {
  %w = graph.weight "w" file 0 offset 0 bytes 512 : tensor<16x8xf32>
  %f = graph.weight "f" file 0 offset 512 bytes 1152 : tensor<8x4x3x3xf32>
  %g = graph.weight "g" file 0 offset 2048 bytes 256 : tensor<4x4x2x2xf32>
  // CHECK: graph.matmul %arg0, %{{.*}} {transpose_b}
  %0 = graph.matmul %x, %w {transpose_b} : (tensor<1x4x8xf32>, tensor<16x8xf32>) -> tensor<1x4x16xf32>
  // CHECK: graph.conv %arg1, %{{.*}} strides [2, 2] pads [1, 1, 1, 1] dilations [1, 1] group 1 channels_last
  %1 = graph.conv %img, %f strides [2, 2] pads [1, 1, 1, 1] dilations [1, 1] group 1 channels_last : (tensor<1x8x8x4xf32>, tensor<8x4x3x3xf32>) -> tensor<1x4x4x8xf32>
  // CHECK: graph.conv_transpose
  %2 = graph.conv_transpose %img, %g strides [2, 2] pads [0, 0, 0, 0] dilations [1, 1] group 1 channels_last : (tensor<1x8x8x4xf32>, tensor<4x4x2x2xf32>) -> tensor<1x16x16x4xf32>
  // CHECK: graph.pool max %arg1 kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] dilations [1, 1] channels_last
  %3 = graph.pool max %img kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] dilations [1, 1] channels_last : tensor<1x8x8x4xf32> -> tensor<1x4x4x4xf32>
  // CHECK: graph.resize nearest %arg1 scales [2.000000e+00, 2.000000e+00] coordinates "asymmetric" rounding "floor" channels_last
  %4 = graph.resize nearest %img scales [2.0, 2.0] coordinates "asymmetric" rounding "floor" channels_last : tensor<1x8x8x4xf32> -> tensor<1x16x16x4xf32>
  // CHECK: graph.softmax %arg0
  %5 = graph.softmax %x : tensor<1x4x8xf32>
  // CHECK: graph.layer_norm %arg0, %arg5, %arg5 epsilon
  %6 = graph.layer_norm %x, %v, %v epsilon 1.0e-5 : (tensor<1x4x8xf32>, tensor<8xf32>, tensor<8xf32>) -> tensor<1x4x8xf32>
  // CHECK: graph.rms_norm %arg0, %arg5 epsilon
  %7 = graph.rms_norm %x, %v epsilon 1.0e-5 : (tensor<1x4x8xf32>, tensor<8xf32>) -> tensor<1x4x8xf32>
  // CHECK: graph.attention %arg2 bhsd, %arg3 bhsd, %arg3 bhsd scale 1.250000e-01 to bshd {causal}
  %8 = graph.attention %q bhsd, %k bhsd, %k bhsd scale 0.125 to bshd {causal} : (tensor<1x6x4x32xf32>, tensor<1x2x4x32xf32>, tensor<1x2x4x32xf32>) -> tensor<1x4x6x32xf32>
  // CHECK: %[[ROWS:.*]] = graph.quantise_rows %arg3 : tensor<1x2x4x32xf32> -> tensor<1x2x4x40xi8>
  %rows = graph.quantise_rows %k : tensor<1x2x4x32xf32> -> tensor<1x2x4x40xi8>
  // CHECK: graph.dequantise_rows %[[ROWS]] : tensor<1x2x4x40xi8> -> tensor<1x2x4x32xf32>
  %values = graph.dequantise_rows %rows : tensor<1x2x4x40xi8> -> tensor<1x2x4x32xf32>
  // CHECK: graph.attention %arg2 bhsd, %[[ROWS]] bhsd, %[[ROWS]] bhsd
  %quantised = graph.attention %q bhsd, %rows bhsd, %rows bhsd scale 0.125 to bshd : (tensor<1x6x4x32xf32>, tensor<1x2x4x40xi8>, tensor<1x2x4x40xi8>) -> tensor<1x4x6x32xf32>
  // CHECK: graph.rope %arg2 bhsd, %arg4, %arg4
  %9 = graph.rope %q bhsd, %cs, %cs : (tensor<1x6x4x32xf32>, tensor<1x4x32xf32>, tensor<1x4x32xf32>) -> tensor<1x6x4x32xf32>
  return
}

// CHECK-LABEL: func.func @kernels
func.func @kernels(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  // CHECK: graph.fusion row(%arg0)
  %0 = graph.fusion row(%x) {
  ^bb0(%a: tensor<4x8xf32>):
    %s = graph.softmax %a : tensor<4x8xf32>
    graph.yield %s : tensor<4x8xf32>
  } : (tensor<4x8xf32>) -> tensor<4x8xf32>
  // CHECK: graph.launch @k(%{{.*}})
  %1 = graph.launch @k(%0) : (tensor<4x8xf32>) -> tensor<4x8xf32>
  return %1 : tensor<4x8xf32>
}

// CHECK: graph.kernel row @k (tensor<4x8xf32>) -> tensor<4x8xf32> grid #{{.*}} scratch 64 symbols []
graph.kernel row @k (tensor<4x8xf32>) -> tensor<4x8xf32> grid affine_map<() -> (4)> scratch 64 symbols [] {
^bb0(%a: tensor<4x8xf32>):
  %s = graph.softmax %a : tensor<4x8xf32>
  graph.yield %s : tensor<4x8xf32>
}
