// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// TypeProto → types. Numbers of element types are those of TensorProto.DataType.
#include "frontend/Importer.h"
#include "mlir/IR/BuiltinTypes.h"

using namespace mlir;
using namespace ciuic;
using namespace ciuic::frontend;

Type Importer::elementType(int64_t number) {
  auto integer = [&](unsigned width) -> Type { return builder.getIntegerType(width); };
  auto unsignedInteger = [&](unsigned width) -> Type {
    return builder.getIntegerType(width, /*isSigned=*/false);
  };
  switch (number) {
  case ::onnx::TensorProto::FLOAT:
    return builder.getF32Type();
  case ::onnx::TensorProto::UINT8:
    return unsignedInteger(8);
  case ::onnx::TensorProto::INT8:
    return integer(8);
  case ::onnx::TensorProto::UINT16:
    return unsignedInteger(16);
  case ::onnx::TensorProto::INT16:
    return integer(16);
  case ::onnx::TensorProto::INT32:
    return integer(32);
  case ::onnx::TensorProto::INT64:
    return integer(64);
  case ::onnx::TensorProto::STRING:
    return onnx::StringType::get(&context);
  case ::onnx::TensorProto::BOOL:
    return integer(1);
  case ::onnx::TensorProto::FLOAT16:
    return builder.getF16Type();
  case ::onnx::TensorProto::DOUBLE:
    return builder.getF64Type();
  case ::onnx::TensorProto::UINT32:
    return unsignedInteger(32);
  case ::onnx::TensorProto::UINT64:
    return unsignedInteger(64);
  case ::onnx::TensorProto::COMPLEX64:
    return ComplexType::get(builder.getF32Type());
  case ::onnx::TensorProto::COMPLEX128:
    return ComplexType::get(builder.getF64Type());
  case ::onnx::TensorProto::BFLOAT16:
    return builder.getBF16Type();
  case ::onnx::TensorProto::FLOAT8E4M3FN:
    return Float8E4M3FNType::get(&context);
  case ::onnx::TensorProto::FLOAT8E4M3FNUZ:
    return Float8E4M3FNUZType::get(&context);
  case ::onnx::TensorProto::FLOAT8E5M2:
    return Float8E5M2Type::get(&context);
  case ::onnx::TensorProto::FLOAT8E5M2FNUZ:
    return Float8E5M2FNUZType::get(&context);
  case ::onnx::TensorProto::UINT4:
    return unsignedInteger(4);
  case ::onnx::TensorProto::INT4:
    return integer(4);
  case ::onnx::TensorProto::FLOAT4E2M1:
    return Float4E2M1FNType::get(&context);
  case ::onnx::TensorProto::FLOAT8E8M0:
    return Float8E8M0FNUType::get(&context);
  case ::onnx::TensorProto::UINT2:
    return unsignedInteger(2);
  case ::onnx::TensorProto::INT2:
    return integer(2);
  default:
    return {};
  }
}

FailureOr<Type> Importer::importTensorType(const ::onnx::TypeProto::Tensor &type,
                                           const std::string &where) {
  if (type.elem_type() == ::onnx::TensorProto::UNDEFINED) {
    return Type(onnx::UnknownType::get(&context));
  }
  Type element = elementType(type.elem_type());
  if (!element) {
    return error(kErrorUnsupportedType, where)
           << "element type number " << type.elem_type()
           << " is not known; re-export with a released ONNX version";
  }
  if (!type.has_shape()) {
    return Type(UnrankedTensorType::get(element));
  }
  SmallVector<int64_t> shape;
  SmallVector<Attribute> names;
  bool anyName = false;
  for (const auto &dim : type.shape().dim()) {
    // Several exporters write -1 for "not known".
    if (dim.has_dim_value() && dim.dim_value() >= 0) {
      if (dim.dim_value() > kLargestDim) {
        return error(kErrorType, where) << "dim " << shape.size() << " is " << dim.dim_value()
                                        << ", the most is " << kLargestDim;
      }
      shape.push_back(dim.dim_value());
      names.push_back(builder.getI64IntegerAttr(dim.dim_value()));
      continue;
    }
    shape.push_back(ShapedType::kDynamic);
    bool named = dim.has_dim_param() && !dim.dim_param().empty();
    names.push_back(named ? Attribute(builder.getStringAttr(dim.dim_param()))
                          : builder.getUnitAttr());
    anyName |= named;
  }
  Attribute encoding =
      anyName ? onnx::DimsAttr::get(&context, builder.getArrayAttr(names)) : Attribute();
  return Type(RankedTensorType::get(shape, element, encoding));
}

FailureOr<Type> Importer::importType(const ::onnx::TypeProto &type, const std::string &where) {
  // The pre-scan bounds the nesting, and so this recursion.
  switch (type.value_case()) {
  case ::onnx::TypeProto::kTensorType:
    return importTensorType(type.tensor_type(), where);
  case ::onnx::TypeProto::kSequenceType: {
    FailureOr<Type> element = importType(type.sequence_type().elem_type(), where);
    return failed(element) ? element : FailureOr<Type>(onnx::SequenceType::get(&context, *element));
  }
  case ::onnx::TypeProto::kOptionalType: {
    FailureOr<Type> element = importType(type.optional_type().elem_type(), where);
    return failed(element) ? element : FailureOr<Type>(onnx::OptionalType::get(&context, *element));
  }
  case ::onnx::TypeProto::kMapType: {
    Type key = elementType(type.map_type().key_type());
    if (!key) {
      return error(kErrorUnsupportedType, where)
             << "key type number " << type.map_type().key_type() << " is not known";
    }
    FailureOr<Type> value = importType(type.map_type().value_type(), where);
    return failed(value) ? value : FailureOr<Type>(onnx::MapType::get(&context, key, *value));
  }
  case ::onnx::TypeProto::kSparseTensorType:
  case ::onnx::TypeProto::kOpaqueType:
    return error(kErrorUnsupportedType, where)
           << "sparse and opaque types are not among the types ciuic knows";
  case ::onnx::TypeProto::VALUE_NOT_SET:
    return Type(onnx::UnknownType::get(&context));
  }
  return Type(onnx::UnknownType::get(&context));
}
