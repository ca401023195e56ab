// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operations of the `onnx` dialect.
#ifndef CIUIC_IR_ONNX_OPS_TD
#define CIUIC_IR_ONNX_OPS_TD

include "ir/Onnx/OnnxAttrs.td"
include "ir/Onnx/OnnxTypes.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/IR/OpAsmInterface.td"
include "mlir/IR/RegionKindInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Onnx_Op<string mnemonic, list<Trait> traits = []> : Op<OnnxDialect, mnemonic, traits>;

def Onnx_GraphOp : Onnx_Op<"graph", [IsolatedFromAbove, Symbol, SingleBlock]> {
  let summary = "a model's main graph";
  let description = [{
    The block arguments are the graph's inputs, in the file's order, without those that an initialiser gives a value;
    each is followed by its ONNX name. `files` lists the files that weights lie in, relative to the model's directory;
    the first is the model itself. `opset` maps each imported domain to its version; the default domain is called `ai.onnx` there.

    ```mlir
    onnx.graph @main(%0 "input_ids" : tensor<?x?xi64, #onnx.dims<["batch", "seq"]>>)
        attributes {files = ["model.onnx"], ir_version = 8 : i64, opset = {ai.onnx = 18 : i64}} {
      ...
      onnx.return %9 as ["logits"] : tensor<?x?x49152xf32>
    }
    ```

    * (C1) one input name for each block argument, all different.
    * (C2) `opset` has integers only, all at least 1.
    * (C3) `files` is not empty and has strings only.
    * (C4) the block ends in `onnx.return`.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrArrayAttr:$inputs, DictionaryAttr:$opset, StrArrayAttr:$files,
                       OptionalAttr<I64Attr>:$ir_version, OptionalAttr<StrAttr>:$producer);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The ONNX name of input `i`.
    ::llvm::StringRef getInputName(unsigned i);
    /// The version of `domain` that the model imports, or 0.
    int64_t getOpsetVersion(::llvm::StringRef domain);
    /// The `onnx.return` of the graph.
    ReturnOp getReturn();
  }];
}

def Onnx_NodeOp : Onnx_Op<"node", []> {
  let summary = "any ONNX operator";
  let description = [{
    Operator type and domain (`"domain" : "Type"`, the domain left out when it is the default one), operands (`onnx.none`
    where one is left out), the ONNX attributes, and the names of the results (an empty name: the result is not used).
    Attributes are kept in their own dictionary:

    | ONNX | here |
    |---|---|
    | INT, FLOAT, STRING | `3 : i64`, `1.0 : f32`, `"text"` |
    | INTS, FLOATS, STRINGS | `array<i64: 1, 2>`, `array<f32: 0.5>`, `["a", "b"]` |
    | TENSOR | `dense<…>` up to 1 KiB, else `#onnx.weight<…>` |
    | TENSORS | an array of these |
    | TYPE_PROTO | a type |
    | GRAPH | a region, named in `bodies`; it may use values from outside |

    `opset` stands on a node that came out of a function which imports another version of the node's domain than the model.

    ```mlir
    %1 = onnx.node "Gemm"(%x, %w, %b) {transB = 1 : i64} outputs ["y"]
        : (tensor<1x16xf32>, tensor<8x16xf32>, tensor<8xf32>) -> tensor<1x8xf32>
    %2 = onnx.node "com.microsoft" : "FastGelu"(%1) outputs ["z"] : (tensor<1x8xf32>) -> !onnx.unknown
    %3 = onnx.node "If"(%c) outputs ["o"] bodies ["then_branch", "else_branch"] {
      onnx.return %1 as ["y"] : tensor<1x8xf32>
    }, {
      onnx.return %2 as ["z"] : !onnx.unknown
    } : (tensor<i1>) -> tensor<1x8xf32>
    ```

    * (C1) the operator type is not empty.
    * (C2) one output name for each result; names that are not empty are all different.
    * (C3) one body name for each region, none of them empty or twice or also in `onnx_attributes`.
    * (C4) each region has one block that ends in `onnx.return`.
    * (C5) `onnx_attributes` has the kinds of value in the table only; a `dense` value has at most 1 KiB.
    * (C6) `opset`, if present, is at least 1.
  }];
  let arguments = (ins Variadic<AnyType>:$operands, StrAttr:$op_type, DefaultValuedStrAttr<StrAttr, "">:$domain,
                       DefaultValuedStrAttr<StrAttr, "">:$overload, DictionaryAttr:$onnx_attributes, StrArrayAttr:$outputs,
                       StrArrayAttr:$bodies, OptionalAttr<I64Attr>:$opset);
  let results = (outs Variadic<AnyType>:$results);
  let regions = (region VariadicRegion<SizedRegion<1>>:$body_regions);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The ONNX attribute `name`, or null.
    ::mlir::Attribute getAttribute(::llvm::StringRef name) { return getOnnxAttributes().get(name); }
    /// The region of the graph attribute `name`, or null.
    ::mlir::Region *getBody(::llvm::StringRef name);
    /// The version of its domain that the node is written against, or 0 if the model imports none.
    int64_t getOpsetVersion();
    /// The ONNX name of the node, or its first output's name if it has none.
    ::llvm::StringRef getNodeName();
    /// `node "/layer3/Conv_12" (Conv)`: how diagnostics speak of it.
    std::string describe();
  }];
}

def Onnx_WeightOp : Onnx_Op<"weight", [Pure]> {
  let summary = "a tensor whose bytes stay in a file";
  let description = [{
    ```mlir
    %w = onnx.weight "fc.weight" #onnx.weight<file = 0, offset = 4096, bytes = 1024> : tensor<16x16xf32>
    ```

    * (C1) the result's type, without its encoding, is the handle's.
    * (C2) `file` counts into the `files` of the enclosing `onnx.graph`.
  }];
  let arguments = (ins StrAttr:$name, Onnx_WeightAttr:$handle);
  let results = (outs AnyRankedTensor:$result);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
}

def Onnx_ConstantOp : Onnx_Op<"constant", [Pure, ConstantLike]> {
  let summary = "a small tensor held in the IR";
  let description = [{
    ```mlir
    %c = onnx.constant "axes" dense<[0, 2]> : tensor<2xi64>
    ```

    * (C1) the result's type is the value's.
    * (C2) the value has at most 1 KiB (16 KiB for strings).
  }];
  let arguments = (ins StrAttr:$name, ElementsAttr:$value);
  let results = (outs AnyRankedTensor:$result);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Onnx_NoneOp : Onnx_Op<"none", [Pure]> {
  let summary = "an optional input that is left out";
  let results = (outs NoneType:$result);
  let assemblyFormat = "attr-dict";
}

def Onnx_ReturnOp : Onnx_Op<"return", [Pure, Terminator, ReturnLike, ParentOneOf<["GraphOp", "NodeOp"]>]> {
  let summary = "the outputs of a graph";
  let description = [{
    ```mlir
    onnx.return %9 as ["logits"] : tensor<?x?x49152xf32>
    ```

    * (C1) one name for each operand, all different in an `onnx.graph`.
  }];
  let arguments = (ins Variadic<AnyType>:$operands, StrArrayAttr:$names);
  let assemblyFormat = "($operands^)? `as` $names attr-dict (`:` type($operands)^)?";
  let hasVerifier = 1;
}

#endif
