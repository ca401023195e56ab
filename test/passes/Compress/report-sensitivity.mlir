// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-form-fusions),ciuic-select-layouts,ciuic-report-sensitivity)' --split-input-file --verify-diagnostics -o /dev/null

// One attention over twelve inner weights of 1024 elements, and a head. Depths are middles: 0.5/12 = 0.042, 1.5/12 = 0.125,
// 2.5/12 = 0.208, …, 11.5/12 = 0.958. The base of 0.06 is doubled for what feeds scores, times four for values (0.24), and
// times four at the ends (the first tenth: q, 0.48; the last fifteenth: the last inner weight, 0.24).
func.func @block(%x: tensor<1x4x32xf32>) -> tensor<1x4x64xf32> {
  // expected-remark @+1 {{weight 'q': query, depth 0.042, sensitivity 0.480, 1 ops}}
  %wq = graph.weight "q" file 0 offset 0 bytes 4096 : tensor<32x32xf32>
  // expected-remark @+1 {{weight 'k': query, depth 0.125, sensitivity 0.120, 1 ops}}
  %wk = graph.weight "k" file 0 offset 4096 bytes 4096 : tensor<32x32xf32>
  // expected-remark @+1 {{weight 'v': value, depth 0.208, sensitivity 0.240, 1 ops}}
  %wv = graph.weight "v" file 0 offset 8192 bytes 4096 : tensor<32x32xf32>
  // expected-remark @+1 {{weight 'o': inner, depth 0.292, sensitivity 0.060, 1 ops}}
  %wo = graph.weight "o" file 0 offset 12288 bytes 4096 : tensor<32x32xf32>
  // expected-remark @+1 {{weight 'up': inner, depth 0.500, sensitivity 0.060, 1 ops}}
  %wu = graph.weight "up" file 0 offset 16384 bytes 16384 : tensor<32x128xf32>
  // expected-remark @+1 {{weight 'down': inner, depth 0.792, sensitivity 0.060, 1 ops}}
  %wd = graph.weight "down" file 0 offset 32768 bytes 12288 : tensor<128x24xf32>
  // expected-remark @+1 {{weight 'last': inner, depth 0.958, sensitivity 0.240, 1 ops}}
  %wl = graph.weight "last" file 0 offset 45056 bytes 4096 : tensor<32x32xf32>
  // expected-remark @+1 {{weight 'head': boundary, depth 0.000, sensitivity 8.000, 1 ops}}
  %wh = graph.weight "head" file 0 offset 49152 bytes 8192 : tensor<32x64xf32>
  // Too narrow to be worth a format.
  %small = graph.weight "small" file 0 offset 57344 bytes 1024 : tensor<32x8xf32>
  %q = graph.matmul %x, %wq : (tensor<1x4x32xf32>, tensor<32x32xf32>) -> tensor<1x4x32xf32>
  %k = graph.matmul %x, %wk : (tensor<1x4x32xf32>, tensor<32x32xf32>) -> tensor<1x4x32xf32>
  %v = graph.matmul %x, %wv : (tensor<1x4x32xf32>, tensor<32x32xf32>) -> tensor<1x4x32xf32>
  %qh = graph.reshape %q : tensor<1x4x32xf32> -> tensor<1x4x2x16xf32>
  %kh = graph.reshape %k : tensor<1x4x32xf32> -> tensor<1x4x2x16xf32>
  %vh = graph.reshape %v : tensor<1x4x32xf32> -> tensor<1x4x2x16xf32>
  %a = graph.attention %qh bshd, %kh bshd, %vh bshd scale 0.25 to bshd : (tensor<1x4x2x16xf32>, tensor<1x4x2x16xf32>, tensor<1x4x2x16xf32>) -> tensor<1x4x2x16xf32>
  %ah = graph.reshape %a : tensor<1x4x2x16xf32> -> tensor<1x4x32xf32>
  %o = graph.matmul %ah, %wo : (tensor<1x4x32xf32>, tensor<32x32xf32>) -> tensor<1x4x32xf32>
  %u = graph.matmul %o, %wu : (tensor<1x4x32xf32>, tensor<32x128xf32>) -> tensor<1x4x128xf32>
  %d = graph.matmul %u, %wd : (tensor<1x4x128xf32>, tensor<128x24xf32>) -> tensor<1x4x24xf32>
  %s = graph.matmul %o, %small : (tensor<1x4x32xf32>, tensor<32x8xf32>) -> tensor<1x4x8xf32>
  %j = graph.concat %d, %s axis 2 : (tensor<1x4x24xf32>, tensor<1x4x8xf32>) -> tensor<1x4x32xf32>
  %l = graph.matmul %j, %wl : (tensor<1x4x32xf32>, tensor<32x32xf32>) -> tensor<1x4x32xf32>
  %h = graph.matmul %l, %wh : (tensor<1x4x32xf32>, tensor<32x64xf32>) -> tensor<1x4x64xf32>
  return %h : tensor<1x4x64xf32>
}

// -----

// Convolutions and plain tensors do not change format: no remark.
func.func @nothing(%x: tensor<1x8x8x16xf32>) -> tensor<1x8x8x16xf32> {
  %w = graph.weight "w" file 0 offset 0 bytes 1024 : tensor<16x16x1x1xf32>
  %y = graph.conv %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 channels_last : (tensor<1x8x8x16xf32>, tensor<16x16x1x1xf32>) -> tensor<1x8x8x16xf32>
  return %y : tensor<1x8x8x16xf32>
}
