// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Dialect, types and attributes of `onnx`. Sizes of tensors are computed here, with checked
// arithmetic: shapes come from files.
#include "ir/Onnx/Onnx.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace ciuic::onnx;

#include "ir/Onnx/OnnxDialect.cpp.inc"
#include "ir/Onnx/OnnxEnums.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "ir/Onnx/OnnxTypes.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "ir/Onnx/OnnxAttrs.cpp.inc"

void OnnxDialect::initialize() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "ir/Onnx/OnnxTypes.cpp.inc"
      >();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "ir/Onnx/OnnxAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "ir/Onnx/OnnxOps.cpp.inc"
      >();
}

unsigned ciuic::onnx::elementBits(Type elementType) {
  if (auto complex = dyn_cast<ComplexType>(elementType)) {
    return 2 * elementBits(complex.getElementType());
  }
  if (elementType.isInteger(1)) {
    return 8;
  }
  return elementType.isIntOrFloat() ? elementType.getIntOrFloatBitWidth() : 0;
}

std::optional<int64_t> ciuic::onnx::tensorBytes(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || !tensor.hasStaticShape()) {
    return std::nullopt;
  }
  int64_t bits = elementBits(tensor.getElementType());
  if (bits == 0) {
    return std::nullopt;
  }
  // A zero extent makes the tensor empty, whatever the other extents multiply to.
  if (llvm::is_contained(tensor.getShape(), 0)) {
    return 0;
  }
  for (int64_t extent : tensor.getShape()) {
    if (__builtin_mul_overflow(bits, extent, &bits)) {
      return std::nullopt;
    }
  }
  return bits / 8 + (bits % 8 != 0);
}

LogicalResult WeightAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t file,
                                 int64_t offset, int64_t bytes, Encoding encoding, Type type) {
  int64_t end = 0;
  if (file < 0 || offset < 0 || bytes < 0 || __builtin_add_overflow(offset, bytes, &end)) {
    return emitError() << "(A1) file, offset and bytes must not be negative, and offset + bytes "
                          "must fit 63 bits";
  }
  std::optional<int64_t> size = tensorBytes(type);
  if (!size) {
    return emitError() << "(A2) a weight needs a tensor type of static shape whose element type "
                          "has a size, got "
                       << type;
  }
  if (encoding == Encoding::Raw && *size != bytes) {
    return emitError() << "(A3) " << type << " has " << *size << " bytes, not " << bytes;
  }
  return success();
}

LogicalResult DimsAttr::verifyEncoding(ArrayRef<int64_t> shape, Type elementType,
                                       function_ref<InFlightDiagnostic()> emitError) const {
  if (shape.size() != getDims().size()) {
    return emitError() << "(D1) " << getDims().size() << " dim names for a tensor of rank "
                       << shape.size();
  }
  for (auto [index, extent, dim] : llvm::enumerate(shape, getDims())) {
    auto fixed = dyn_cast<IntegerAttr>(dim);
    bool fits = ShapedType::isDynamic(extent) ? isa<StringAttr, UnitAttr>(dim)
                                              : fixed && fixed.getInt() == extent;
    if (!fits) {
      return emitError() << "(D2) dim " << index << " of the shape contradicts " << dim;
    }
  }
  return success();
}

ArrayAttr ciuic::onnx::dimNames(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  auto dims = tensor ? dyn_cast_or_null<DimsAttr>(tensor.getEncoding()) : DimsAttr();
  return dims ? dims.getDims() : ArrayAttr();
}

Type ciuic::onnx::withoutDims(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor ? RankedTensorType::get(tensor.getShape(), tensor.getElementType()) : type;
}
