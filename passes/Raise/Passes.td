// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Raise: recognise what exporters decompose.
include "mlir/Pass/PassBase.td"

def RaiseAppend : Pass<"ciuic-raise-append", "::mlir::ModuleOp"> {
  let summary = "Make an output that continues an input an append to a state of the session";
  let description = [{
    An output is a state where it is the concat of an input and something else, the input first, in every function
    (or, in a function whose input is always empty, that something alone), and the input may be empty in some function,
    which is how a state starts. Input and output then are one buffer.
    ```mlir
    func.func @decode(%past: tensor<1x?x4xf32, …(1, s0, 4)>, …) -> tensor<1x?x4xf32, …(1, s0 + 1, 4)> {
      %present = graph.concat %past, %new axis 1 …
    // becomes
    func.func @decode(%past: … {graph.axis = 1, graph.physical = affine_map<() -> (1, 1024, 4)>, graph.state = 0}, …)
        -> (… {graph.state = 0}) {
      %present = graph.append %past, %new axis 1 …
    ```
    `graph.physical` holds the extents that the buffer has: the largest of the output over all functions. Where an op
    cannot read with the strides of these extents, a copying map comes between. `states` names pairs INPUT=OUTPUT that
    continue each other although the graph does not show it: the output must have the input's extents but for one
    axis, along which only what lies beyond the input's extent is kept.
  }];
  let options = [ListOption<"states", "states", "std::string", "INPUT=OUTPUT: an output that continues an input">];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

def RaiseRmsNorm : Pass<"ciuic-raise-rms-norm", "::mlir::func::FuncOp"> {
  let summary = "Recognise x / √(mean(x²) + ε) · scale along the last dim";
  let description = [{
    The square may be a product or a power, the root a divisor or a reciprocal; casts between float types are passed.
    ```mlir
    %s = graph.map (%x) … arith.mulf %a, %a
    %m = graph.reduce mean %s dims [2]
    %r = graph.map (%m) … math.sqrt (%a + ε), 1 / …
    %n = graph.map (%x, %r) … arith.mulf
    %y = graph.map (%w, %n) … arith.mulf
    // becomes
    %y = graph.rms_norm %x, %w epsilon ε
    ```
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

def RaiseLayerNorm : Pass<"ciuic-raise-layer-norm", "::mlir::func::FuncOp"> {
  let summary = "Recognise (x − mean(x)) / √(mean((x − mean(x))²) + ε) · scale + bias along the last dim";
  let description = [{
    As ciuic-raise-rms-norm does, for `graph.layer_norm`; the bias is optional.
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

def RaiseGroupNorm : Pass<"ciuic-raise-group-norm", "::mlir::func::FuncOp"> {
  let summary = "Recognise a group norm written as an instance norm of regrouped channels";
  let description = [{
    ```mlir
    %g = graph.reshape %x : tensor<2x64x8x8xf32> -> tensor<2x4x1x1024xf32>
    %n = graph.group_norm %g, %ones, %zeros epsilon ε channels_first
    %r = graph.reshape %n : tensor<2x4x1x1024xf32> -> tensor<2x64x8x8xf32>
    %y = graph.map (%r, %w, %v) … arith.mulf, arith.addf
    // becomes
    %g = graph.reshape %x : tensor<2x64x8x8xf32> -> tensor<2x4x16x64xf32>
    %n = graph.group_norm %g, %w, %v epsilon ε channels_first
    %y = graph.reshape %n : tensor<2x4x16x64xf32> -> tensor<2x64x8x8xf32>
    ```
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

def RaiseRope : Pass<"ciuic-raise-rope", "::mlir::func::FuncOp"> {
  let summary = "Recognise rotary position embeddings: x · cos + concat(−x₂, x₁) · sin";
  let description = [{
    The tables of cos and sin stay tensors, computed once and shared by all layers. A rope reads heads in the layout in
    which they lie below views; where that is not the layout of the result, a transpose follows, which
    ciuic-raise-attention absorbs.
    ```mlir
    %a = graph.map (%x, %cos) … arith.mulf
    %c = graph.concat %negated_second_half, %first_half axis 3
    %b = graph.map (%c, %sin) … arith.mulf
    %y = graph.map (%a, %b) … arith.addf
    // becomes
    %y = graph.rope %x bhsd, %cos, %sin
    ```
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

def RaiseAttention : Pass<"ciuic-raise-attention", "::mlir::func::FuncOp"> {
  let summary = "Recognise softmax(scale · q kᵀ + mask) v";
  let description = [{
    The scale may be a factor or a divisor of the scores, of q, of k or of both; masks are addends or selections of a
    very low value; NaNs of the softmax may be made 0. Transposes around q, k, v and the result become layouts, and
    repeated key and value heads are read unrepeated. The flag `causal` replaces a mask that is provably that for all
    values of the symbols and nothing more.
    ```mlir
    %s = graph.matmul %q, %k {transpose_b}
    %m = graph.map (%s, %mask) … arith.mulf, arith.addf
    %p = graph.softmax %m
    %o = graph.matmul %p, %v
    // becomes
    %o = graph.attention %q bhsd, %k bhsd, %v bhsd mask %mask scale 0.125 to bhsd
    ```
    Runs after ciuic-raise-rope, whose results q and k then are.
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}
