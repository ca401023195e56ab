// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-widen-halves,ciuic-form-fusions),ciuic-select-layouts,func.func(ciuic-split-epilogues))' --split-input-file | FileCheck %s

// Of bias, residual and a negation behind 64 rows the vendor's product does the sums; the rest is a kernel. Its inputs
// are the call's pointers in order, whatever order the map reads them in.
// CHECK-LABEL: func.func @rows
// CHECK-SAME: (%[[X:.*]]: tensor<64x128xf16>, %[[R:.*]]: tensor<64x256xf16>)
// CHECK: %[[W:.*]] = graph.weight "w" {{.*}}layout = "rows16"
// CHECK: %[[B:.*]] = graph.weight "b"
// CHECK: %[[P:.*]] = graph.fusion matmul(%[[X]], %[[W]], %[[B]], %[[R]])
// CHECK: graph.matmul
// CHECK: arith.addf
// CHECK-NEXT: arith.addf
// CHECK-NEXT: graph.yield
// CHECK: %[[Y:.*]] = graph.fusion flat(%[[P]])
// CHECK-NOT: arith.addf
// CHECK: arith.negf
// CHECK: return %[[Y]]
module attributes {graph.device = "cuda"} {
func.func @rows(%x: tensor<64x128xf16>, %r: tensor<64x256xf16>) -> tensor<64x256xf16> {
  %w = graph.weight "w" file 0 offset 0 bytes 65536 : tensor<128x256xf16>
  %b = graph.weight "b" file 0 offset 65536 bytes 512 : tensor<256xf16>
  %m = graph.matmul %x, %w : (tensor<64x128xf16>, tensor<128x256xf16>) -> tensor<64x256xf16>
  %a = graph.map (%r, %m, %b) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>] {
  ^bb0(%s: f16, %p: f16, %q: f16):
    %t = arith.addf %p, %q : f16
    %u = arith.addf %s, %t : f16
    %v = arith.negf %u : f16
    graph.yield %v : f16
  } : (tensor<64x256xf16>, tensor<64x256xf16>, tensor<256xf16>) -> tensor<64x256xf16>
  return %a : tensor<64x256xf16>
}
}

// -----

// Sixteen rows are a matrix-vector product of our own, with any epilogue; so is a product on the host.
// CHECK-LABEL: func.func @few
// CHECK-COUNT-1: graph.fusion
// CHECK: graph.matmul
// CHECK: arith.negf
// CHECK-NOT: graph.fusion
module attributes {graph.device = "cuda"} {
func.func @few(%x: tensor<16x128xf16>) -> tensor<16x256xf16> {
  %w = graph.weight "w" file 0 offset 0 bytes 65536 : tensor<128x256xf16>
  %m = graph.matmul %x, %w : (tensor<16x128xf16>, tensor<128x256xf16>) -> tensor<16x256xf16>
  %a = graph.map (%m) [affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%p: f16):
    %v = arith.negf %p : f16
    graph.yield %v : f16
  } : (tensor<16x256xf16>) -> tensor<16x256xf16>
  return %a : tensor<16x256xf16>
}
}

// -----

// A product that two read is stored as it is.
// CHECK-LABEL: func.func @shared
// CHECK: %[[P:.*]] = graph.fusion matmul(%arg0, %{{.*}})
// CHECK-NOT: graph.map
// CHECK: %[[Y:.*]] = graph.fusion flat(%[[P]], %arg1)
// CHECK: return %[[P]], %[[Y]]
module attributes {graph.device = "cuda"} {
func.func @shared(%x: tensor<64x128xf32>, %r: tensor<64x256xf32>) -> (tensor<64x256xf32>, tensor<64x256xf32>) {
  %w = graph.weight "w" file 0 offset 0 bytes 131072 : tensor<128x256xf32>
  %m = graph.matmul %x, %w : (tensor<64x128xf32>, tensor<128x256xf32>) -> tensor<64x256xf32>
  %a = graph.map (%m, %r) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%p: f32, %q: f32):
    %v = arith.addf %p, %q : f32
    graph.yield %v : f32
  } : (tensor<64x256xf32>, tensor<64x256xf32>) -> tensor<64x256xf32>
  return %m, %a : tensor<64x256xf32>, tensor<64x256xf32>
}
}

// -----

// A product of computed operands: a tensor by its own transpose is two pointers.
// CHECK-LABEL: func.func @self
// CHECK: graph.fusion batch_matmul(%arg0, %arg0)
module attributes {graph.device = "cuda"} {
func.func @self(%x: tensor<8x64x32xf16>) -> tensor<8x64x64xf16> {
  %m = graph.matmul %x, %x {transpose_b} : (tensor<8x64x32xf16>, tensor<8x64x32xf16>) -> tensor<8x64x64xf16>
  return %m : tensor<8x64x64xf16>
}
}

// -----

// The host's products take every epilogue.
// CHECK-LABEL: func.func @host
// CHECK-COUNT-1: graph.fusion
// CHECK: arith.negf
func.func @host(%x: tensor<64x128xf32>) -> tensor<64x256xf32> {
  %w = graph.weight "w" file 0 offset 0 bytes 131072 : tensor<128x256xf32>
  %m = graph.matmul %x, %w : (tensor<64x128xf32>, tensor<128x256xf32>) -> tensor<64x256xf32>
  %a = graph.map (%m) [affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%p: f32):
    %v = arith.negf %p : f32
    graph.yield %v : f32
  } : (tensor<64x256xf32>) -> tensor<64x256xf32>
  return %a : tensor<64x256xf32>
}

// -----

// Sums of halves as importers write them: in f32, rounded after each.
// CHECK-LABEL: func.func @rounded
// CHECK: %[[P:.*]] = graph.fusion matmul(%arg0, %{{.*}}, %{{.*}}, %arg1)
// CHECK: arith.addf %{{.*}} : f16
// CHECK-NEXT: arith.addf %{{.*}} : f16
// CHECK-NEXT: graph.yield
// CHECK-NOT: graph.fusion
// CHECK: return %[[P]]
module attributes {graph.device = "cuda"} {
func.func @rounded(%x: tensor<64x128xf16>, %r: tensor<64x256xf16>) -> tensor<64x256xf16> {
  %w = graph.weight "w" file 0 offset 0 bytes 65536 : tensor<128x256xf16>
  %b = graph.weight "b" file 0 offset 65536 bytes 512 : tensor<256xf16>
  %m = graph.matmul %x, %w : (tensor<64x128xf16>, tensor<128x256xf16>) -> tensor<64x256xf16>
  %a = graph.map (%r, %m, %b) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>] {
  ^bb0(%s: f16, %p: f16, %q: f16):
    %p32 = arith.extf %p : f16 to f32
    %q32 = arith.extf %q : f16 to f32
    %t32 = arith.addf %p32, %q32 : f32
    %t = arith.truncf %t32 : f32 to f16
    %s32 = arith.extf %s : f16 to f32
    %t33 = arith.extf %t : f16 to f32
    %u = arith.addf %s32, %t33 : f32
    %v = arith.truncf %u : f32 to f16
    graph.yield %v : f16
  } : (tensor<64x256xf16>, tensor<64x256xf16>, tensor<256xf16>) -> tensor<64x256xf16>
  return %a : tensor<64x256xf16>
}
}

// -----

// Three channels of halves are no eight: the convolution is our own, with any epilogue.
// CHECK-LABEL: func.func @channels
// CHECK: graph.fusion conv
// CHECK: graph.conv
// CHECK: math.tanh
// CHECK-NOT: graph.fusion
module attributes {graph.device = "cuda"} {
func.func @channels(%x: tensor<1x8x8x16xf16>) -> tensor<1x8x8x3xf16> {
  %f = graph.weight "f" file 0 offset 0 bytes 864 : tensor<3x16x3x3xf16>
  %c = graph.conv %x, %f strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] group 1 channels_last : (tensor<1x8x8x16xf16>, tensor<3x16x3x3xf16>) -> tensor<1x8x8x3xf16>
  %y = graph.map (%c) [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>] {
  ^bb0(%p: f16):
    %v = math.tanh %p : f16
    graph.yield %v : f16
  } : (tensor<1x8x8x3xf16>) -> tensor<1x8x8x3xf16>
  return %y : tensor<1x8x8x3xf16>
}
}

// -----

// A sum that is stored and read again: the call does all of the first map, and the second reads what it stored.
// CHECK-LABEL: func.func @stored
// CHECK: %[[P:.*]] = graph.fusion matmul(%arg0, %{{.*}}, %arg1)
// CHECK: arith.addf
// CHECK: %[[Y:.*]] = graph.fusion flat(%[[P]])
// CHECK-NOT: arith.addf
// CHECK: arith.negf
// CHECK: return %[[P]], %[[Y]]
module attributes {graph.device = "cuda"} {
func.func @stored(%x: tensor<64x128xf16>, %r: tensor<64x256xf16>) -> (tensor<64x256xf16>, tensor<64x256xf32>) {
  %w = graph.weight "w" file 0 offset 0 bytes 65536 : tensor<128x256xf16>
  %m = graph.matmul %x, %w : (tensor<64x128xf16>, tensor<128x256xf16>) -> tensor<64x256xf16>
  %a = graph.map (%m, %r) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%p: f16, %q: f16):
    %s = arith.addf %p, %q : f16
    graph.yield %s : f16
  } : (tensor<64x256xf16>, tensor<64x256xf16>) -> tensor<64x256xf16>
  %n = graph.map (%a) [affine_map<(d0, d1) -> (d0, d1)>] {
  ^bb0(%p: f16):
    %u = arith.extf %p : f16 to f32
    %v = arith.negf %u : f32
    graph.yield %v : f32
  } : (tensor<64x256xf16>) -> tensor<64x256xf32>
  return %a, %n : tensor<64x256xf16>, tensor<64x256xf32>
}
}
