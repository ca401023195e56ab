// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The graph dialect: what is computed, with value semantics and symbolic, bounded dims.
#ifndef CIUIC_GRAPH_BASE
#define CIUIC_GRAPH_BASE

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/IR/RegionKindInterface.td"

def Graph_Dialect : Dialect {
  let name = "graph";
  let cppNamespace = "::ciuic::graph";
  let summary = "What a model computes: typed, value-semantic tensor operations";
  let description = [{
    ```
    onnx ──Legalize──► graph ──Raise, Fuse──► graph (kernels) ──Lower──► mem ──► plan
    ```
    * *dim*: a dim is a constant or an affine expression of the entry's symbols. A tensor type with a dynamic dim
      carries the expressions as its encoding: `tensor<?x?x64xf32, affine_map<()[s0, s1] -> (s0, s0 + s1, 64)>>`.
      Symbols and their bounds stand on the function: `graph.symbols = [#graph.symbol<"seq", 1, 256>, …]`.
    * *map*: every elementwise computation is a `graph.map`: a scalar region applied over the result's index space,
      each operand read through an affine map, so that broadcasts, transposes and slices cost nothing.
    * *structured op*: matmul, convolution, attention, reductions, data movement.
    * *packing*: a weight that kernels multiply by is stored in panels, in a format that Compress may choose.
    * *fusion*: ops computed together by one kernel; *kernel*: a fusion outlined, named and shared by its launches.
    * *state*: an argument and a result marked `graph.state = K` are one buffer that lives as long as the session.
    * *device*: `graph.device` on the module says what the program runs on; kernels carry it once they are outlined.
    Function arguments and results carry the model's names in `graph.name`.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect", "::mlir::func::FuncDialect"];
  let useDefaultAttributePrinterParser = 1;
  let hasOperationAttrVerify = 1;
}

class Graph_Op<string mnemonic, list<Trait> traits = []> : Op<Graph_Dialect, mnemonic, traits>;

def Graph_SymbolAttr : AttrDef<Graph_Dialect, "Symbol"> {
  let mnemonic = "symbol";
  let summary = "A named dim with inclusive bounds; its position in `graph.symbols` is its affine symbol";
  let parameters = (ins StringRefParameter<>:$name, "int64_t":$lower, "int64_t":$upper);
  let assemblyFormat = "`<` $name `,` $lower `,` $upper `>`";
  let genVerifyDecl = 1;
}

def Graph_PackingAttr : AttrDef<Graph_Dialect, "Packing"> {
  let mnemonic = "packing";
  let summary = "How a weight is stored for the kernels that multiply by it";
  let description = [{
    Panels of sixteen columns (kernels/pack/Pack.h): `groups` × `columns` columns of depth `taps` × `channels`, in
    `format` (f32, f16, bf16, int8, int4g32, int4g64, int4g128). `source` says how the model stores it: `columns`
    ([N, K]), `rows` ([K, N]), `conv`, `conv_transpose` or `depthwise`. `layout` is the order inside a panel: `panel16`
    (the host's) or `rows16` (each column's values together).
  }];
  let parameters = (ins StringRefParameter<>:$format, "int64_t":$columns, "int64_t":$channels, "int64_t":$taps, "int64_t":$groups,
    StringRefParameter<>:$source, StringRefParameter<"the order inside a panel", "\"panel16\"">:$layout);
  let assemblyFormat = "`<` $format `,` $source `,` `columns` `=` $columns `,` `channels` `=` $channels `,` `taps` `=` $taps `,` `groups` `=` $groups (`,` `layout` `=` $layout^)? `>`";
  let genVerifyDecl = 1;
}

def Graph_StoredAttr : AttrDef<Graph_Dialect, "Stored"> {
  let mnemonic = "stored";
  let summary = "The bytes of a tensor from `offset` of the module's file number `file`";
  let parameters = (ins "int64_t":$file, "int64_t":$offset, "::mlir::Type":$type);
  let assemblyFormat = "`<` $file `,` $offset `,` $type `>`";
}

def Graph_BlocksAttr : AttrDef<Graph_Dialect, "Blocks"> {
  let mnemonic = "blocks";
  let summary = "A weight [N, K] stored as integers of `bits` bits in blocks of `size` along K";
  let description = [{
    (ir/Graph/BlockWeights.h) `depth` is K. `scales` has one for each column and block, `zeros` likewise or nothing: a #graph.stored
    or, where they are few, the elements; of a merged weight a list with one for each part. `part` says what the weight is of them: `values`, (q − zero) · scale; `centred`,
    (q − middle) · scale; `shifts`, (middle − zero) · scale for each block. `format` names the packed format that holds
    `values` or `centred` without loss, empty where none does.
  }];
  let parameters = (ins "int64_t":$bits, "int64_t":$size, "int64_t":$depth, StringRefParameter<>:$part,
    "::mlir::Attribute":$scales, OptionalParameter<"::mlir::Attribute">:$zeros, StringRefParameter<"packed format", "\"\"">:$format);
  let assemblyFormat = "`<` $part `bits` $bits `size` $size `depth` $depth `scales` $scales (`zeros` $zeros^)? (`exactly` $format^)? `>`";
  let genVerifyDecl = 1;
}

// A tensor of the graph level: ranked, and where a dim is dynamic the encoding says which expression it is.
def Graph_Tensor : Type<And<[CPred<"::llvm::isa<::mlir::RankedTensorType>($_self)">,
                             CPred<"::ciuic::graph::isGraphTensor(::llvm::cast<::mlir::RankedTensorType>($_self))">]>,
                        "ranked tensor whose dynamic dims are given by its affine map encoding",
                        "::mlir::RankedTensorType">;
def Graph_IndexTensor : Type<And<[Graph_Tensor.predicate,
                                  CPred<"::llvm::cast<::mlir::RankedTensorType>($_self).getElementType().isInteger(64) || "
                                        "::llvm::cast<::mlir::RankedTensorType>($_self).getElementType().isInteger(32)">]>,
                             "graph tensor of i64 or i32 indices", "::mlir::RankedTensorType">;

def Graph_ReduceKind : I32EnumAttr<"ReduceKind", "how a reduction combines", [
    I32EnumAttrCase<"sum", 0>, I32EnumAttrCase<"mean", 1>, I32EnumAttrCase<"max", 2>, I32EnumAttrCase<"min", 3>,
    I32EnumAttrCase<"prod", 4>]> {
  let cppNamespace = "::ciuic::graph";
  let genSpecializedAttr = 0;
}
def Graph_ReduceKindAttr : EnumAttr<Graph_Dialect, Graph_ReduceKind, "reduce">;

def Graph_PoolKind : I32EnumAttr<"PoolKind", "what a pooling window yields", [
    I32EnumAttrCase<"max", 0>, I32EnumAttrCase<"average", 1>]> {
  let cppNamespace = "::ciuic::graph";
  let genSpecializedAttr = 0;
}
def Graph_PoolKindAttr : EnumAttr<Graph_Dialect, Graph_PoolKind, "pool">;

// Where channels stand in an image tensor: n, channels, spatial… (ONNX) or n, spatial…, channels (the kernels').
def Graph_ImageLayout : I32EnumAttr<"ImageLayout", "the order of an image tensor's dims", [
    I32EnumAttrCase<"channels_first", 0>, I32EnumAttrCase<"channels_last", 1>]> {
  let cppNamespace = "::ciuic::graph";
  let genSpecializedAttr = 0;
}
def Graph_ImageLayoutAttr : EnumAttr<Graph_Dialect, Graph_ImageLayout, "image">;

// batch, heads, sequence, width per head; or batch, sequence, heads, width per head.
def Graph_HeadLayout : I32EnumAttr<"HeadLayout", "the order of an attention operand's dims", [
    I32EnumAttrCase<"bhsd", 0>, I32EnumAttrCase<"bshd", 1>]> {
  let cppNamespace = "::ciuic::graph";
  let genSpecializedAttr = 0;
}
def Graph_HeadLayoutAttr : EnumAttr<Graph_Dialect, Graph_HeadLayout, "heads">;

def Graph_ResizeMode : I32EnumAttr<"ResizeMode", "interpolation of a resize", [
    I32EnumAttrCase<"nearest", 0>, I32EnumAttrCase<"linear", 1>, I32EnumAttrCase<"cubic", 2>]> {
  let cppNamespace = "::ciuic::graph";
  let genSpecializedAttr = 0;
}
def Graph_ResizeModeAttr : EnumAttr<Graph_Dialect, Graph_ResizeMode, "resize_mode">;

def Graph_Template : I32EnumAttr<"Template", "the kernel template a fusion is generated from", [
    I32EnumAttrCase<"flat", 0>, I32EnumAttrCase<"row", 1>, I32EnumAttrCase<"column", 2>,
    I32EnumAttrCase<"transpose", 3>, I32EnumAttrCase<"gather", 4>, I32EnumAttrCase<"matmul", 5>,
    I32EnumAttrCase<"batch_matmul", 6>, I32EnumAttrCase<"conv", 7>, I32EnumAttrCase<"conv_transpose", 8>,
    I32EnumAttrCase<"pool", 9>, I32EnumAttrCase<"attention", 10>, I32EnumAttrCase<"rope", 11>,
    I32EnumAttrCase<"concat", 12>, I32EnumAttrCase<"pad", 13>, I32EnumAttrCase<"append", 14>,
    I32EnumAttrCase<"resize", 15>, I32EnumAttrCase<"cumsum", 16>, I32EnumAttrCase<"copy", 17>,
    I32EnumAttrCase<"scatter", 18>, I32EnumAttrCase<"heads", 19>]> {
  let cppNamespace = "::ciuic::graph";
  let genSpecializedAttr = 0;
}
def Graph_TemplateAttr : EnumAttr<Graph_Dialect, Graph_Template, "template">;

#endif
