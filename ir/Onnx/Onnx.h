// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The `onnx` dialect: a lossless mirror of an ONNX model (see OnnxBase.td for its words).
#pragma once
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/IR/TensorEncoding.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include <optional>

namespace ciuic::onnx {
class ReturnOp;

/// Constants up to this many bytes are held in the IR, all others stay in their file.
inline constexpr int64_t kInlineBytes = 1024;
/// The same for tensors of strings, which have no file form.
inline constexpr int64_t kInlineStringBytes = 16 * 1024;

/// What `opset` calls the default domain, which nodes write as "": the two are one domain in ONNX.
inline constexpr llvm::StringLiteral kDefaultDomain = "ai.onnx";

/// Bits of one element as ONNX stores it (BOOL: 8, complex: both parts), or 0 if the type has no
/// size.
unsigned elementBits(mlir::Type elementType);

/// Bytes of a tensor as ONNX stores it, sub-byte elements packed; nothing if the shape is dynamic,
/// the element type has no size, or the product exceeds 63 bits.
std::optional<int64_t> tensorBytes(mlir::Type type);
} // namespace ciuic::onnx

#include "ir/Onnx/OnnxDialect.h.inc"
#include "ir/Onnx/OnnxEnums.h.inc"
#define GET_TYPEDEF_CLASSES
#include "ir/Onnx/OnnxTypes.h.inc"
#define GET_ATTRDEF_CLASSES
#include "ir/Onnx/OnnxAttrs.h.inc"
#define GET_OP_CLASSES
#include "ir/Onnx/OnnxOps.h.inc"

namespace ciuic::onnx {
/// What the file calls the dims of `type`, or null if it names none: strings, integers, `unit` (see
/// #onnx.dims).
mlir::ArrayAttr dimNames(mlir::Type type);

/// `type` without its #onnx.dims.
mlir::Type withoutDims(mlir::Type type);
} // namespace ciuic::onnx
