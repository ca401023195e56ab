// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Matrix products, convolutions, attention, norms: the ops that kernels exist for.
#ifndef CIUIC_GRAPH_STRUCTURED_OPS
#define CIUIC_GRAPH_STRUCTURED_OPS
include "ir/Graph/GraphBase.td"

def Graph_MatmulOp : Graph_Op<"matmul", [Pure]> {
  let summary = "Matrix product over the last two dims; leading dims broadcast as in numpy";
  let description = [{
    `a` is [..., M, K] ([..., K, M] with `transpose_a`), `b` is [..., K, N] ([..., N, K] with `transpose_b`); f32
    accumulation.
    (C1) ranks at least 2; (C2) the K extents agree; (C3) the result is [broadcast..., M, N].
    ```mlir
    %c = graph.matmul %a, %b {transpose_b} : (tensor<8x384xf32>, tensor<1536x384xf32>) -> tensor<8x1536xf32>
    ```
  }];
  let arguments = (ins Graph_Tensor:$a, Graph_Tensor:$b, UnitAttr:$transpose_a, UnitAttr:$transpose_b);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$a `,` $b attr-dict `:` functional-type(operands, $result)";
  let hasVerifier = 1;
}

class Graph_WindowOp<string mnemonic> : Graph_Op<mnemonic, [Pure]>;

def Graph_ConvOp : Graph_WindowOp<"conv"> {
  let summary = "Convolution over one to three spatial dims";
  let description = [{
    `filter` is always [out channels, in channels / group, kernel…], as ONNX stores it; `input` and the result follow
    `layout`. `pads` holds the low sides, then the high sides.
    (C1) strides, dilations: one per spatial dim, positive; pads two, not negative; (C2) channels divide by `group`;
    (C3) result extents follow from input, kernel, strides, pads, dilations where constant.
  }];
  let arguments = (ins Graph_Tensor:$input, Graph_Tensor:$filter, DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$pads,
    DenseI64ArrayAttr:$dilations, I64Attr:$group, Graph_ImageLayoutAttr:$layout);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$input `,` $filter `strides` $strides `pads` $pads `dilations` $dilations `group` custom<Int>($group) $layout attr-dict `:` functional-type(operands, $result)";
  let hasVerifier = 1;
}

def Graph_ConvTransposeOp : Graph_WindowOp<"conv_transpose"> {
  let summary = "Transposed convolution (the gradient of a convolution by its input)";
  let description = [{
    `filter` is [in channels, out channels / group, kernel…]. Result extent = (in − 1)·stride − low − high +
    (kernel − 1)·dilation + 1 + output padding; the output padding is what the result type says beyond that.
    (C1) as conv's; (C2) as conv's.
  }];
  let arguments = (ins Graph_Tensor:$input, Graph_Tensor:$filter, DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$pads,
    DenseI64ArrayAttr:$dilations, I64Attr:$group, Graph_ImageLayoutAttr:$layout);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$input `,` $filter `strides` $strides `pads` $pads `dilations` $dilations `group` custom<Int>($group) $layout attr-dict `:` functional-type(operands, $result)";
  let hasVerifier = 1;
}

def Graph_PoolOp : Graph_WindowOp<"pool"> {
  let summary = "Maximum or average over sliding windows; padding counts only with `count_padding`";
  let description = [{ (C1) kernel, strides, dilations: one per spatial dim, positive; pads two, not negative. }];
  let arguments = (ins Graph_PoolKindAttr:$kind, Graph_Tensor:$input, DenseI64ArrayAttr:$kernel, DenseI64ArrayAttr:$strides,
    DenseI64ArrayAttr:$pads, DenseI64ArrayAttr:$dilations, Graph_ImageLayoutAttr:$layout, UnitAttr:$count_padding);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$kind $input `kernel` $kernel `strides` $strides `pads` $pads `dilations` $dilations $layout attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_ResizeOp : Graph_Op<"resize", [Pure]> {
  let summary = "Interpolation over the spatial dims of an image tensor";
  let description = [{
    `coordinates` is ONNX's coordinate_transformation_mode (half_pixel, pytorch_half_pixel, align_corners, asymmetric),
    `rounding` its nearest_mode. `scales` per spatial dim, output / input.
    (C1) one scale per spatial dim.
  }];
  let arguments = (ins Graph_ResizeModeAttr:$mode, Graph_Tensor:$input, DenseF64ArrayAttr:$scales, StrAttr:$coordinates,
    StrAttr:$rounding, Graph_ImageLayoutAttr:$layout);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$mode $input `scales` $scales `coordinates` $coordinates `rounding` $rounding $layout attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_SoftmaxOp : Graph_Op<"softmax", [Pure, SameOperandsAndResultType]> {
  let summary = "exp(x − max) / Σ exp(x − max) along the last dim (`log`: its logarithm)";
  let arguments = (ins Graph_Tensor:$input, UnitAttr:$log);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
}

def Graph_LayerNormOp : Graph_Op<"layer_norm", [Pure]> {
  let summary = "(x − mean) / √(variance + epsilon) · scale + bias along the last dim";
  let description = [{ (C1) scale and bias are vectors of the last extent; (C2) operand and result types agree. }];
  let arguments = (ins Graph_Tensor:$input, Graph_Tensor:$scale, Optional<Graph_Tensor>:$bias, F32Attr:$epsilon);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$input `,` $scale (`,` $bias^)? `epsilon` $epsilon attr-dict `:` functional-type(operands, $result)";
  let hasVerifier = 1;
}

def Graph_RmsNormOp : Graph_Op<"rms_norm", [Pure]> {
  let summary = "x / √(mean(x²) + epsilon) · scale along the last dim";
  let description = [{ (C1) scale is a vector of the last extent; (C2) operand and result types agree. }];
  let arguments = (ins Graph_Tensor:$input, Graph_Tensor:$scale, F32Attr:$epsilon);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$input `,` $scale `epsilon` $epsilon attr-dict `:` functional-type(operands, $result)";
  let hasVerifier = 1;
}

def Graph_GroupNormOp : Graph_Op<"group_norm", [Pure]> {
  let summary = "(x − mean) / √(variance + epsilon) · scale + bias over the pixels and channels of a group";
  let description = [{
    `input` is [images, groups, channels of a group, pixels] with `channels_first`, [images, pixels, groups, channels of a
    group] with `channels_last`.
    (C1) four dims; (C2) scale and bias are [groups, channels of a group]; (C3) operand and result types agree.
    ```mlir
    %y = graph.group_norm %x, %scale, %bias epsilon 1.0e-5 channels_last : …
    ```
  }];
  let arguments = (ins Graph_Tensor:$input, Graph_Tensor:$scale, Graph_Tensor:$bias, F32Attr:$epsilon,
    Graph_ImageLayoutAttr:$layout);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$input `,` $scale `,` $bias `epsilon` $epsilon $layout attr-dict `:` functional-type(operands, $result)";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Dims that are averaged over, and those that scale and bias have.
    std::array<int64_t, 2> getReducedDims() {
      return getLayout() == ImageLayout::channels_last ? std::array<int64_t, 2>{1, 3} : std::array<int64_t, 2>{2, 3};
    }
    std::array<int64_t, 2> getChannelDims() {
      return getLayout() == ImageLayout::channels_last ? std::array<int64_t, 2>{2, 3} : std::array<int64_t, 2>{1, 2};
    }
  }];
}

def Graph_AttentionOp : Graph_Op<"attention", [Pure]> {
  let summary = "softmax(scale · q kᵀ + mask) v per head, without materialising the scores";
  let description = [{
    With H query heads and G key/value heads, query head h reads key/value head h / (H / G). `mask` is added
    (f32, broadcastable to [batch, H, queries, keys]); with `causal`, query i sees keys j ≤ i + keys − queries.
    Layouts say each operand's order of dims; `layout` is the result's. Key and value may both be quantised rows (i8).
    (C1) four dims each; (C2) G divides H; (C3) batch, width and key extents agree; (C4) the mask broadcasts.
  }];
  let arguments = (ins Graph_Tensor:$query, Graph_Tensor:$key, Graph_Tensor:$value, Optional<Graph_Tensor>:$mask,
    F32Attr:$scale, UnitAttr:$causal, Graph_HeadLayoutAttr:$query_layout, Graph_HeadLayoutAttr:$key_layout,
    Graph_HeadLayoutAttr:$value_layout, Graph_HeadLayoutAttr:$layout);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$query $query_layout `,` $key $key_layout `,` $value $value_layout (`mask` $mask^)? `scale` $scale `to` $layout attr-dict `:` functional-type(operands, $result)";
  let hasVerifier = 1;
}

def Graph_QuantiseRowsOp : Graph_Op<"quantise_rows", [Pure]> {
  let summary = "Rows along the last dim as int8 with a scale each";
  let description = [{
    A row of W values becomes kernels/QuantisedRows.h's bytes: integers round(x / scale), ties to even, with
    scale = max |x| / 127, then the scale. A row of zeros has scale 0; one that is not finite has a scale that is not.
    (C1) floats with a constant last dim W; (C2) the result is i8, its last dim the bytes of such a row, the others agree.
    ```mlir
    %r = graph.quantise_rows %x : tensor<1x8x1x64xf16> -> tensor<1x8x1x72xi8>
    ```
  }];
  let arguments = (ins Graph_Tensor:$input);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_DequantiseRowsOp : Graph_Op<"dequantise_rows", [Pure]> {
  let summary = "The values that quantised rows stand for";
  let description = [{
    Integer times scale in f32, rounded to the result's type.
    (C1), (C2) as quantise_rows' constraints with operand and result exchanged.
  }];
  let arguments = (ins Graph_Tensor:$input);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_RopeOp : Graph_Op<"rope", [Pure]> {
  let summary = "Rotary position embedding: x·cos + rotate(x)·sin";
  let description = [{
    `input` is four-dimensional in `layout`; cos and sin are [batch or 1, sequence, width], broadcast over heads.
    rotate pairs element i with i ± width / 2, or with its neighbour when `interleaved`.
    (C1) even width; (C2) cos and sin agree; (C3) operand and result types agree.
  }];
  let arguments = (ins Graph_Tensor:$input, Graph_Tensor:$cos, Graph_Tensor:$sin, Graph_HeadLayoutAttr:$layout, UnitAttr:$interleaved);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$input $layout `,` $cos `,` $sin attr-dict `:` functional-type(operands, $result)";
  let hasVerifier = 1;
}

#endif
