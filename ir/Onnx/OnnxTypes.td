// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Types of the `onnx` dialect: what builtin tensors cannot say.
#ifndef CIUIC_IR_ONNX_TYPES_TD
#define CIUIC_IR_ONNX_TYPES_TD

include "ir/Onnx/OnnxBase.td"

class Onnx_Type<string name, string typeMnemonic> : TypeDef<OnnxDialect, name> {
  let mnemonic = typeMnemonic;
}

def Onnx_UnknownType : Onnx_Type<"Unknown", "unknown"> {
  let summary = "a value the file gives no type for";
}

def Onnx_StringType : Onnx_Type<"String", "string"> {
  let summary = "element type STRING";
}

def Onnx_SequenceType : Onnx_Type<"Sequence", "sequence"> {
  let summary = "sequence of values of one type";
  let parameters = (ins "::mlir::Type":$elementType);
  let assemblyFormat = "`<` $elementType `>`";
}

def Onnx_OptionalType : Onnx_Type<"Optional", "optional"> {
  let summary = "a value that may be absent";
  let parameters = (ins "::mlir::Type":$elementType);
  let assemblyFormat = "`<` $elementType `>`";
}

def Onnx_MapType : Onnx_Type<"Map", "map"> {
  let summary = "map from scalars of one type to values of another";
  let parameters = (ins "::mlir::Type":$keyType, "::mlir::Type":$valueType);
  let assemblyFormat = "`<` $keyType `,` $valueType `>`";
}

#endif
