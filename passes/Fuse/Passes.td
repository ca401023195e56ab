// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Fuse: which ops one kernel computes.
include "mlir/Pass/PassBase.td"

def FoldViews : Pass<"ciuic-fold-views", "::mlir::func::FuncOp"> {
  let summary = "Let maps read through transposes, expands, slices, simple reshapes and scalar constants";
  let description = [{
    Data movement that only renames indices costs nothing when the reader applies it to its access map:
    ```mlir
    %t = graph.transpose %x [1, 0] : tensor<4x8xf32> -> tensor<8x4xf32>
    %y = graph.map (%t) [affine_map<(d0, d1) -> (d0, d1)>] …
    // becomes
    %y = graph.map (%x) [affine_map<(d0, d1) -> (d1, d0)>] …
    ```
    A matmul takes a transpose of its last two dims into its flags, and one-element constants become constants of the
    scalar region.
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

def ChannelsLast : Pass<"ciuic-channels-last", "::mlir::func::FuncOp"> {
  let summary = "Compute convolutions, pooling, resizing and group norms with channels last";
  let description = [{
    The kernels of both devices (and tensor cores) want channels contiguous. Each such op is wrapped in transposes, which then
    move down through maps, reductions, concats, pads and slices until they cancel; what remains stands at inputs
    and outputs.
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

def RegroupMaps : Pass<"ciuic-regroup-maps", "::mlir::func::FuncOp"> {
  let summary = "Compute the maps around a group norm in the norm's view of the image";
  let description = [{
    Behind a norm, and before one where a map adds a value for each image and channel (elsewhere it is the epilogue of
    the product before it):
    ```mlir
    %r = graph.reshape %n : tensor<2x64x4x16xf32> -> tensor<2x8x8x64xf32>
    %y = graph.map (%r) … : (tensor<2x8x8x64xf32>) -> tensor<2x8x8x64xf32>
    // becomes
    %m = graph.map (%n) … : (tensor<2x64x4x16xf32>) -> tensor<2x64x4x16xf32>
    %y = graph.reshape %m : tensor<2x64x4x16xf32> -> tensor<2x8x8x64xf32>
    ```
    After `ciuic-channels-last`, before maps are fused with their producers.
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

def SplitReductions : Pass<"ciuic-split-reductions", "::mlir::func::FuncOp"> {
  let summary = "Rewrite reductions over the last dim and others into what kernels reduce";
  let description = [{
    A kernel reduces along the last dim, or along others that leave it.
    ```mlir
    %y = graph.reduce sum %x dims [1, 2] : tensor<2x4x5xf32> -> tensor<2x1x1xf32>
    // becomes
    %rows = graph.reshape %x : tensor<2x4x5xf32> -> tensor<2x20xf32>
    %sum = graph.reduce sum %rows dims [1] : tensor<2x20xf32> -> tensor<2x1xf32>
    %y = graph.reshape %sum : tensor<2x1xf32> -> tensor<2x1x1xf32>
    ```
    Runs after `ciuic-channels-last`, which makes the usual case, spatial dims, one of kept last dims.
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

def WidenHalves : Pass<"ciuic-widen-halves", "::mlir::func::FuncOp"> {
  let summary = "On the host, compute in f32 what is stored in f16 and bf16";
  let description = [{
    Weights, arguments, states and results keep their types; what is computed between them is f32, as are the products'
    and windows' kernels. Results are rounded once, where they are stored, and by casts that the model makes itself.
    Weights that are read in panels and the scale of a norm are widened by the kernel that reads them.
    ```mlir
    %y = graph.matmul %x, %w : (tensor<4x8xf16>, tensor<8x8xf16>) -> tensor<4x8xf16>
    return %y
    // becomes
    %f = graph.map (%x) … arith.extf … -> tensor<4x8xf32>
    %y = graph.matmul %f, %w : (tensor<4x8xf32>, tensor<8x8xf16>) -> tensor<4x8xf32>
    %h = graph.map (%y) … arith.truncf … -> tensor<4x8xf16>
    return %h
    ```
    Before maps are fused. CUDA's kernels read and write halves themselves; there only an attention's f32 mask becomes
    one of its operands' type.
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect", "::mlir::arith::ArithDialect"];
}

def FuseMaps : Pass<"ciuic-fuse-maps", "::mlir::func::FuncOp"> {
  let summary = "Merge a map into the only map that reads it (or into each, where recomputing is free)";
  let description = [{
    The producer's region runs inside the consumer's, its operands read at the composed index. A producer that is
    read through a broadcast is merged only when its region is cheap, since it would run once per element.
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

def MergeProducts : Pass<"ciuic-merge-products", "::mlir::ModuleOp"> {
  let summary = "CUDA: multiply by several weights of one operand at once";
  let description = [{
    A launch costs about a microsecond, and a product that reads 32 MB of weights at a token takes ten. The weights become
    one (`graph.weight` with parts), in every entry or in none. Of heads (q, k and v):
    ```mlir
    %q = graph.matmul %x, %wq {transpose_b}
    %k = graph.matmul %x, %wk {transpose_b}
    // becomes
    %qk = graph.matmul %x, %w {transpose_b}
    %heads = graph.reshape %qk : [.., heads, width]
    %q = graph.slice %heads offsets (.., 0, 0)
    %k = graph.slice %heads offsets (.., heads of q, 0)
    ```
    Two products that one map reads, a gate and what it gates, are interleaved by sixteen columns; the map reads
    them as [.., panels, 2, 16]. With few rows the two are one fusion already, whose kernel holds both elements.
    Only where one of the products, in some entry, has few rows. Maps must have been merged, fusions not been formed.
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

def JoinHeads : Pass<"ciuic-join-heads", "::mlir::func::FuncOp"> {
  let summary = "CUDA: rotate queries and keys and append keys and values in one kernel";
  let description = [{
    What stands between the products and an attention is small and independent: a fusion of template `heads` holds the
    rotations and the appends to states in front of an attention, and the slices, transposes and reshapes that they read
    through. An attention that appends nothing keeps its rotations as they are.
    ```mlir
    %q, %keys, %values = graph.fusion heads(%qkv, %cos, %sin, %past_k, %past_v) { slice, rope; slice, rope, append; slice, append }
    ```
    Runs before fusions are formed.
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

def FuseNorms : Pass<"ciuic-fuse-norms", "::mlir::func::FuncOp"> {
  let summary = "CUDA: let products of few rows normalise the rows that they read";
  let description = [{
    ```mlir
    %n = graph.fusion row(%x, %scale) { rms_norm }
    %y = graph.fusion matmul(%n, %w) { matmul, … }
    // becomes, where nothing else reads %n
    %y = graph.fusion matmul(%x, %w, %scale) { rms_norm, matmul, … }
    ```
    Each block normalises for itself, which costs less than a launch as long as the rows fit its shared memory. Formats
    must be chosen: not every kernel of few rows knows norms.
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

def FormFusions : Pass<"ciuic-form-fusions", "::mlir::func::FuncOp"> {
  let summary = "Put every computing op into a graph.fusion: one per kernel";
  let description = [{
    A structured op takes the maps that follow it over its result's index space (its epilogue); norms, softmaxes and
    reductions along the last dim take maps before and after them. What stands alone becomes a fusion of one.
    With `single` every op is its own fusion.
  }];
  let options = [Option<"single", "single", "bool", "false", "one op per fusion">];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

def SelectLayouts : Pass<"ciuic-select-layouts", "::mlir::ModuleOp"> {
  let summary = "Mark the weights that kernels multiply by with the panels they are packed in";
  let description = [{
    A weight is packed when every matmul, convolution or transposed convolution that reads it, in any entry, asks for
    the same panels; gathers (a tied embedding) read the panels too. A weight that something else reads as a plain
    tensor, or that two ops want packed differently, is read through a second, plain weight of the same bytes.
    Fusions must be formed. The order inside a panel is the device's: `panel16` on the host, `rows16` on CUDA.
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

def SplitEpilogues : Pass<"ciuic-split-epilogues", "::mlir::func::FuncOp"> {
  let summary = "CUDA: leave to a vendor's product what it computes itself, and make the rest a kernel";
  let description = [{
    The vendor's product adds a bias and a residual (kernels/VendorCalls.h). Other maps behind it become a flat fusion:
    ```mlir
    %y = graph.fusion matmul(%x, %w, %b) { matmul, map: gelu(product + b) }
    // becomes
    %p = graph.fusion matmul(%x, %w, %b) { matmul, map: product + b }
    %y = graph.fusion flat(%p) { map: gelu(p) }
    ```
    The inputs of such a fusion are the call's pointers, in its order. Which products the vendor computes follows from
    bounds, types and the weight's format, so formats must be chosen. On the host nothing changes.
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect", "::mlir::arith::ArithDialect"];
}

def OutlineKernels : Pass<"ciuic-outline-kernels", "::mlir::ModuleOp"> {
  let summary = "Turn fusions into kernels and launches; equal fusions share a kernel";
  let description = [{
    Layers of a model repeat, so a model of 30 layers has about a dozen kernels. Two fusions are equal when their
    bodies print the same and their functions have the same symbols.
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}
