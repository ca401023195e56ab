// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Attributes of the `onnx` dialect: where a weight's bytes are, and what a dim is called.
#ifndef CIUIC_IR_ONNX_ATTRS_TD
#define CIUIC_IR_ONNX_ATTRS_TD

include "ir/Onnx/OnnxBase.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/TensorEncoding.td"

def Onnx_Encoding : I32EnumAttr<"Encoding", "how a weight's bytes stand in its file", [
    I32EnumAttrCase<"Raw", 0, "raw">,
    I32EnumAttrCase<"Varint", 1, "varint">]> {
  let cppNamespace = "::ciuic::onnx";
  let genSpecializedAttr = 0;
}

def Onnx_WeightAttr : AttrDef<OnnxDialect, "Weight", [TypedAttrInterface]> {
  let mnemonic = "weight";
  let summary = "handle of a tensor whose bytes stay in a file";
  let description = [{
    `file` counts into the graph's `files`; `[offset, offset + bytes)` is the range in it. The type says what the bytes
    are. With `raw`, the usual form, they are the tensor itself: little-endian, row-major, 4- and 2-bit elements packed
    from the low bits up. With `varint` they are protobuf varints, one for each element (for each byte of packed 4-bit
    elements), as old exporters write integer tensors; `ir/Onnx/WeightFiles.h` reads both.

    ```mlir
    #onnx.weight<file = 0, offset = 4096, bytes = 1024> : tensor<16x16xf32>
    #onnx.weight<file = 0, offset = 77, bytes = 300, encoding = varint> : tensor<300xi64>
    ```

    * (A1) `file`, `offset` and `bytes` are not negative, and `offset + bytes` fits 63 bits.
    * (A2) the type is a tensor of static shape and an element type with a size.
    * (A3) if raw, `bytes` is the size of the tensor.
  }];
  let parameters = (ins "int64_t":$file, "int64_t":$offset, "int64_t":$bytes,
                        DefaultValuedParameter<"Encoding", "Encoding::Raw">:$encoding,
                        AttributeSelfTypeParameter<"">:$type);
  let assemblyFormat = "`<` struct($file, $offset, $bytes, $encoding) `>`";
  let genVerifyDecl = 1;
}

def Onnx_DimsAttr : AttrDef<OnnxDialect, "Dims", [
    DeclareAttrInterfaceMethods<VerifiableTensorEncoding>]> {
  let mnemonic = "dims";
  let summary = "the dims of a tensor as the file writes them";
  let description = [{
    The encoding of a tensor type with named dims. One element for each dim: a string is the file's `dim_param`,
    verbatim (it may be an expression); an integer is a static extent; `unit` is a dim without a name.

    * (D1) one element for each dim of the tensor.
    * (D2) a string or `unit` where the tensor's dim is dynamic, the extent where it is static.
  }];
  let parameters = (ins "::mlir::ArrayAttr":$dims);
  let assemblyFormat = "`<` $dims `>`";
}

#endif
