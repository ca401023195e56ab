// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// TensorProto → constant or weight handle. Shape, element type and data must agree to the byte:
// what passes here is never checked again. Data lie in one of four places: taken out by the
// pre-scan, in raw_data, in one of the typed fields, or in another file.
#include "frontend/Importer.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/StringExtras.h"
#include <algorithm>

using namespace mlir;
using namespace ciuic;
using namespace ciuic::frontend;
using ciuic::onnx::Encoding;
using ciuic::onnx::WeightAttr;

static constexpr int64_t kMostElements = int64_t{1} << 48;

namespace {
// Field numbers of TensorProto.
enum DataField {
  kFloatData = 4,
  kInt32Data = 5,
  kInt64Data = 7,
  kRawData = 9,
  kDoubleData = 10,
  kUint64Data = 11
};
} // namespace

/// The typed field that holds elements of `type`.
static int typedField(Type type) {
  if (auto complex = dyn_cast<ComplexType>(type)) {
    return complex.getElementType().isF32() ? kFloatData : kDoubleData;
  }
  if (type.isF32()) {
    return kFloatData;
  }
  if (type.isF64()) {
    return kDoubleData;
  }
  if (type.isUnsignedInteger(32) || type.isUnsignedInteger(64)) {
    return kUint64Data;
  }
  return type.isInteger(64) ? kInt64Data : kInt32Data;
}

/// A constant of `type` from its bytes as ONNX packs them; `bytes` has the right size.
static DenseElementsAttr makeDense(RankedTensorType type, ArrayRef<char> bytes) {
  Type element = type.getElementType();
  int64_t count = type.getNumElements();
  if (count == 0) {
    return DenseElementsAttr::get(type, ArrayRef<Attribute>());
  }
  if (element.isInteger(1)) {
    SmallVector<bool> bits;
    for (char byte : bytes) {
      bits.push_back(byte != 0);
    }
    return DenseElementsAttr::get(type, bits);
  }
  unsigned width = ciuic::onnx::elementBits(element);
  if (width >= 8) {
    return DenseElementsAttr::getFromRawBuffer(type, bytes);
  }
  // MLIR keeps a sub-byte element in a byte of its own.
  SmallVector<APInt> integers;
  SmallVector<APFloat> floats;
  for (int64_t i = 0; i < count; ++i) {
    int64_t bit = i * width;
    unsigned value = (static_cast<uint8_t>(bytes[bit / 8]) >> (bit % 8)) & ((1u << width) - 1);
    integers.emplace_back(width, value);
    if (auto number = dyn_cast<FloatType>(element)) {
      floats.emplace_back(number.getFloatSemantics(), integers.back());
    }
  }
  return floats.empty() ? DenseElementsAttr::get(type, integers)
                        : DenseElementsAttr::get(type, floats);
}

LogicalResult Importer::importInitializer(const ::onnx::TensorProto &tensor, Scope &scope) {
  std::string where = "initializer " + quoted(tensor.name());
  if (tensor.name().empty()) {
    return error(kErrorGraph, where) << "has no name";
  }
  FailureOr<Attribute> value = importTensor(tensor, where);
  if (failed(value)) {
    return failure();
  }
  Location loc = NameLoc::get(builder.getStringAttr(tensor.name()));
  Value result;
  if (auto weight = dyn_cast<WeightAttr>(*value)) {
    result = onnx::WeightOp::create(builder, loc, weight.getType(), tensor.name(), weight);
  } else {
    auto elements = cast<ElementsAttr>(*value);
    result = onnx::ConstantOp::create(builder, loc, elements.getShapedType(),
                                      builder.getStringAttr(tensor.name()), elements);
  }
  return define(scope, tensor.name(), result, where);
}

/// The elements that protobuf's own fields hold, as bytes of their type. False: one of them does
/// not fit it.
static bool appendFields(const ::onnx::TensorProto &tensor, Type element,
                         SmallVector<char> &buffer) {
  int64_t width = std::max<int64_t>(ciuic::onnx::elementBits(element) / 8, 1);
  bool fits = true;
  auto append = [&](auto value) {
    const char *p = reinterpret_cast<const char *>(&value);
    buffer.append(p, p + sizeof(value));
  };
  auto appendNarrow = [&](int64_t value) {
    fits &= width >= 8 ||
            (value >= -(int64_t{1} << (8 * width - 1)) && value < int64_t{1} << (8 * width));
    const char *p = reinterpret_cast<const char *>(&value);
    buffer.append(p, p + std::min<int64_t>(width, 8));
  };
  switch (typedField(element)) {
  case kFloatData:
    llvm::for_each(tensor.float_data(), append);
    break;
  case kDoubleData:
    llvm::for_each(tensor.double_data(), append);
    break;
  case kInt32Data:
    llvm::for_each(tensor.int32_data(), appendNarrow);
    break;
  case kInt64Data:
    llvm::for_each(tensor.int64_data(), appendNarrow);
    break;
  case kUint64Data:
    for (uint64_t value : tensor.uint64_data()) {
      fits &= width == 8 || value <= UINT32_MAX;
      const char *p = reinterpret_cast<const char *>(&value);
      buffer.append(p, p + width);
    }
    break;
  }
  return fits;
}

FailureOr<Attribute> Importer::importTensor(const ::onnx::TensorProto &tensor,
                                            const std::string &where) {
  Type element = elementType(tensor.data_type());
  if (!element) {
    return error(kErrorUnsupportedType, where)
           << "element type number " << tensor.data_type()
           << " is not known; re-export with a released ONNX version";
  }
  int64_t count = 1;
  for (int64_t dim : tensor.dims()) {
    if (dim < 0 || dim > kLargestDim) {
      return error(kErrorTensor, where)
             << "has a dim of " << dim << "; dims are 0 to " << kLargestDim;
    }
    // An empty tensor stays empty, so a zero ends the counting.
    if (dim == 0 || count == 0) {
      count = 0;
    } else if (__builtin_mul_overflow(count, dim, &count) || count >= kMostElements) {
      return error(kErrorTensor, where) << "has more than 2^48 elements";
    }
  }
  SmallVector<int64_t> shape(tensor.dims().begin(), tensor.dims().end());
  auto type = RankedTensorType::get(shape, element);
  bool external = tensor.data_location() == ::onnx::TensorProto::EXTERNAL;
  bool payload = tensor.has_segment();
  int given = payload + external + tensor.has_raw_data() + (tensor.float_data_size() > 0) +
              (tensor.int32_data_size() > 0) + (tensor.int64_data_size() > 0) +
              (tensor.double_data_size() > 0) + (tensor.uint64_data_size() > 0) +
              (tensor.string_data_size() > 0);
  if (given > 1) {
    return error(kErrorTensor, where) << "has its data in more than one field";
  }
  if (isa<onnx::StringType>(element)) {
    return importStrings(tensor, type, where);
  }
  int64_t bytes = *onnx::tensorBytes(type);
  if (external) {
    FailureOr<WeightAttr> weight = importExternal(tensor, type, bytes, where);
    return failed(weight) ? FailureOr<Attribute>(failure()) : inlineIfSmall(*weight, where);
  }

  if (payload) {
    return importPayload(payloads[tensor.segment().begin()], type, bytes, where);
  }
  SmallVector<char> buffer;
  if (tensor.has_raw_data()) {
    buffer.append(tensor.raw_data().begin(), tensor.raw_data().end());
  } else if (given == 1) {
    if (!appendFields(tensor, element, buffer)) {
      return error(kErrorTensor, where) << "has an element that does not fit its type " << element;
    }
    if (buffer.empty()) {
      return wrongField(type, where);
    }
  }
  if (static_cast<int64_t>(buffer.size()) != bytes) {
    return wrongSize(static_cast<int64_t>(buffer.size()), type, bytes, where);
  }
  if (bytes > onnx::kInlineBytes) {
    // Only unpacked repeated fields come here: no writer in use makes them this long.
    return error(kErrorTensor, where)
           << "has " << bytes << " bytes of data in the unpacked form of old protobuf; "
           << "load and save the model with the onnx package";
  }
  return Attribute(makeDense(type, buffer));
}

InFlightDiagnostic Importer::wrongSize(int64_t have, Type type, int64_t bytes,
                                       const std::string &where) {
  return error(kErrorTensor, where) << "has " << have << " bytes of data, its shape and type "
                                    << type << " ask for " << bytes << " bytes";
}

InFlightDiagnostic Importer::wrongField(Type type, const std::string &where) {
  return error(kErrorTensor, where)
         << "has its data in a field that does not go with its type " << type;
}

FailureOr<Attribute> Importer::importPayload(const Payload &data, RankedTensorType type,
                                             int64_t bytes, const std::string &where) {
  if (data.field != kRawData && data.field != typedField(type.getElementType())) {
    return wrongField(type, where);
  }
  bool varint = data.field == kInt32Data || data.field == kInt64Data || data.field == kUint64Data;
  if (!varint && data.bytes != bytes) {
    return wrongSize(data.bytes, type, bytes, where);
  }
  auto weight = WeightAttr::get(&context, 0, data.offset, data.bytes,
                                varint ? Encoding::Varint : Encoding::Raw, type);
  std::string message;
  if (varint && !spend(data.bytes / 16)) {
    return tooMuchWork();
  }
  if (varint && !files.checkVarints(weight, message)) {
    auto [code, text] = splitErrorCode(message);
    return error(ErrorCode{code}, where) << StringRef(text);
  }
  return inlineIfSmall(weight, where);
}

FailureOr<Attribute> Importer::inlineIfSmall(WeightAttr weight, const std::string &where) {
  auto type = cast<RankedTensorType>(weight.getType());
  int64_t bytes = *onnx::tensorBytes(type);
  if (bytes > onnx::kInlineBytes) {
    return Attribute(weight);
  }
  SmallVector<char> buffer(bytes);
  std::string message;
  if (!files.read(weight, 0, buffer, message)) {
    auto [code, text] = splitErrorCode(message);
    return error(ErrorCode{code}, where) << StringRef(text);
  }
  return Attribute(makeDense(type, buffer));
}

FailureOr<Attribute> Importer::importStrings(const ::onnx::TensorProto &tensor,
                                             RankedTensorType type, const std::string &where) {
  if (tensor.string_data_size() != type.getNumElements()) {
    return error(kErrorTensor, where) << "has " << tensor.string_data_size()
                                      << " strings, its shape asks for " << type.getNumElements();
  }
  int64_t bytes = 0;
  SmallVector<StringRef> strings;
  for (const std::string &string : tensor.string_data()) {
    strings.push_back(string);
    bytes += static_cast<int64_t>(string.size());
  }
  if (bytes > onnx::kInlineStringBytes || type.getNumElements() > onnx::kInlineStringBytes) {
    return error(kErrorUnsupportedType, where)
           << "is a table of " << strings.size()
           << " strings; take the text processing out of the model";
  }
  return Attribute(DenseStringElementsAttr::get(type, strings));
}

/// Digits only: no sign, no blank, no base; what Python's int() would accept beyond that is
/// refused.
static bool parseNumber(StringRef text, int64_t &value) {
  return !text.empty() && text.size() <= 19 && llvm::all_of(text, llvm::isDigit) &&
         !text.getAsInteger(10, value);
}

FailureOr<WeightAttr> Importer::importExternal(const ::onnx::TensorProto &tensor,
                                               RankedTensorType type, int64_t bytes,
                                               const std::string &where) {
  std::optional<StringRef> location;
  std::optional<int64_t> offset, length;
  llvm::StringSet<> seen;
  for (const auto &entry : tensor.external_data()) {
    StringRef key = entry.key(), value = entry.value();
    if (!seen.insert(key).second) {
      return error(kErrorExternalData, where) << "gives " << quoted(key) << " twice";
    }
    if (key == "location") {
      location = value;
    } else if (key == "offset" || key == "length") {
      int64_t number = 0;
      if (!parseNumber(value, number)) {
        return error(kErrorExternalData, where)
               << "has " << key << " " << quoted(value) << ", which is not a plain decimal number";
      }
      (key == "offset" ? offset : length) = number;
    } else if (key != "checksum") {
      return error(kErrorExternalData, where)
             << "has an external-data key " << quoted(key)
             << "; known are location, offset, length and checksum";
    }
  }
  if (!location) {
    return error(kErrorExternalData, where) << "says its data are external, but not where";
  }
  if (length && *length != bytes) {
    return error(kErrorExternalData, where)
           << "has a length of " << *length << " in " << quoted(*location)
           << ", its shape and type " << type << " ask for " << bytes << " bytes";
  }
  std::string message;
  int64_t file = files.add(*location, options.allowHardLinks, message);
  if (file < 0) {
    auto [code, text] = splitErrorCode(message);
    return error(ErrorCode{code}, where) << StringRef(text);
  }
  int64_t size = files.fileSize(file), begin = offset.value_or(0);
  if (bytes > size || begin > size - bytes) {
    return error(kErrorExternalData, where)
           << "lies at [" << begin << ", " << begin << " + " << bytes << ") of "
           << quoted(*location) << ", which has " << size
           << " bytes; the file is incomplete or belongs to another model";
  }
  externalRanges.emplace_back(file, begin, bytes);
  return WeightAttr::get(&context, file, begin, bytes, Encoding::Raw, type);
}

LogicalResult Importer::checkOverlaps() {
  // Tied weights name one range twice. Ranges that overlap otherwise make a small file into a large
  // model.
  llvm::sort(externalRanges);
  externalRanges.erase(std::unique(externalRanges.begin(), externalRanges.end()),
                       externalRanges.end());
  llvm::erase_if(externalRanges, [](const auto &range) { return std::get<2>(range) == 0; });
  for (size_t i = 1; i < externalRanges.size(); ++i) {
    auto [file, begin, bytes] = externalRanges[i - 1];
    if (std::get<0>(externalRanges[i]) == file && std::get<1>(externalRanges[i]) < begin + bytes) {
      return error(kErrorExternalData)
             << "two tensors overlap in " << quoted(files.names()[file]) << " at byte "
             << std::get<1>(externalRanges[i]) << "; only the same range may be named twice";
    }
  }
  return success();
}
