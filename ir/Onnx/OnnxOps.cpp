// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Text form and verifiers of the `onnx` operations. The labels (C1)… are those of OnnxOps.td.
#include "ir/Onnx/Onnx.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace ciuic::onnx;

#define GET_OP_CLASSES
#include "ir/Onnx/OnnxOps.cpp.inc"

/// The first string that stands twice in `names`; empty strings may repeat.
static std::optional<StringRef> findTwice(ArrayAttr names) {
  llvm::StringSet<> seen;
  for (StringRef name : names.getAsValueRange<StringAttr>()) {
    if (!name.empty() && !seen.insert(name).second) {
      return name;
    }
  }
  return std::nullopt;
}

/// A string without the `: type` that MLIR would read as part of the attribute.
static ParseResult parseString(OpAsmParser &parser, StringAttr &string) {
  std::string text;
  if (parser.parseString(&text)) {
    return failure();
  }
  string = parser.getBuilder().getStringAttr(text);
  return success();
}

static void printStrings(OpAsmPrinter &p, ArrayAttr strings) {
  p << '[';
  llvm::interleaveComma(strings, p, [&](Attribute s) { p.printAttribute(s); });
  p << ']';
}

static ParseResult parseStrings(OpAsmParser &parser, ArrayAttr &strings) {
  SmallVector<Attribute> parsed;
  auto element = [&]() -> ParseResult {
    StringAttr string;
    if (parseString(parser, string)) {
      return failure();
    }
    parsed.push_back(string);
    return success();
  };
  if (parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Square, element)) {
    return failure();
  }
  strings = parser.getBuilder().getArrayAttr(parsed);
  return success();
}

//===-- onnx.graph --===//

StringRef GraphOp::getInputName(unsigned i) { return cast<StringAttr>(getInputs()[i]).getValue(); }

int64_t GraphOp::getOpsetVersion(StringRef domain) {
  auto version = getOpset().getAs<IntegerAttr>(domain.empty() ? StringRef(kDefaultDomain) : domain);
  return version ? version.getInt() : 0;
}

ReturnOp GraphOp::getReturn() { return cast<ReturnOp>(getBody().front().getTerminator()); }

void GraphOp::print(OpAsmPrinter &p) {
  p << ' ';
  p.printSymbolName(getSymName());
  p << '(';
  llvm::interleaveComma(llvm::zip_equal(getBody().getArguments(), getInputs()), p, [&](auto pair) {
    auto [argument, name] = pair;
    p.printOperand(argument);
    p << ' ';
    p.printAttribute(name);
    p << " : ";
    p.printType(argument.getType());
  });
  p << ')';
  p.printOptionalAttrDictWithKeyword((*this)->getAttrs(),
                                     {getSymNameAttrName(), getInputsAttrName()});
  p << ' ';
  p.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

ParseResult GraphOp::parse(OpAsmParser &parser, OperationState &result) {
  StringAttr name;
  SmallVector<OpAsmParser::Argument> arguments;
  SmallVector<Attribute> inputs;
  auto input = [&]() -> ParseResult {
    StringAttr inputName;
    if (parser.parseArgument(arguments.emplace_back()) || parseString(parser, inputName) ||
        parser.parseColonType(arguments.back().type)) {
      return failure();
    }
    inputs.push_back(inputName);
    return success();
  };
  if (parser.parseSymbolName(name, getSymNameAttrName(result.name), result.attributes) ||
      parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Paren, input) ||
      parser.parseOptionalAttrDictWithKeyword(result.attributes) ||
      parser.parseRegion(*result.addRegion(), arguments)) {
    return failure();
  }
  result.addAttribute(getInputsAttrName(result.name), parser.getBuilder().getArrayAttr(inputs));
  return success();
}

LogicalResult GraphOp::verify() {
  if (getInputs().size() != getBody().getNumArguments()) {
    return emitOpError() << "(C1) has " << getInputs().size() << " input names for "
                         << getBody().getNumArguments() << " block arguments";
  }
  if (auto twice = findTwice(getInputs())) {
    return emitOpError() << "(C1) has two inputs named '" << *twice << "'";
  }
  for (NamedAttribute entry : getOpset()) {
    auto version = dyn_cast<IntegerAttr>(entry.getValue());
    if (!version || version.getInt() < 1) {
      return emitOpError() << "(C2) opset of domain '" << entry.getName().getValue()
                           << "' must be an integer of at least 1";
    }
  }
  if (getFiles().empty()) {
    return emitOpError("(C3) files must name the model file");
  }
  if (getBody().front().empty() || !isa<ReturnOp>(getBody().front().back())) {
    return emitOpError("(C4) must end in onnx.return");
  }
  return success();
}

//===-- onnx.node --===//

Region *NodeOp::getBody(StringRef name) {
  for (auto [index, body] : llvm::enumerate(getBodies().getAsValueRange<StringAttr>())) {
    if (body == name) {
      return &getBodyRegions()[index];
    }
  }
  return nullptr;
}

int64_t NodeOp::getOpsetVersion() {
  if (std::optional<uint64_t> own = getOpset()) {
    return static_cast<int64_t>(*own);
  }
  auto graph = (*this)->getParentOfType<GraphOp>();
  return graph ? graph.getOpsetVersion(getDomain()) : 0;
}

StringRef NodeOp::getNodeName() {
  if (auto name = getLoc()->findInstanceOf<NameLoc>()) {
    return name.getName().getValue();
  }
  for (StringRef output : getOutputs().getAsValueRange<StringAttr>()) {
    if (!output.empty()) {
      return output;
    }
  }
  return {};
}

std::string NodeOp::describe() {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << "node \"";
  llvm::printEscapedString(getNodeName(), os);
  os << "\" (";
  if (!getDomain().empty()) {
    llvm::printEscapedString(getDomain(), os);
    os << "::";
  }
  llvm::printEscapedString(getOpType(), os);
  os << ')';
  return text;
}

void NodeOp::print(OpAsmPrinter &p) {
  p << ' ';
  if (!getDomain().empty()) {
    p.printAttribute(getDomainAttr());
    p << " : ";
  }
  p.printAttribute(getOpTypeAttr());
  p << '(';
  p.printOperands(getOperands());
  p << ')';
  if (!getOnnxAttributes().empty()) {
    p << ' ';
    p.printAttributeWithoutType(getOnnxAttributes());
  }
  p << " outputs ";
  printStrings(p, getOutputs());
  if (!getBodies().empty()) {
    p << " bodies ";
    printStrings(p, getBodies());
    p << ' ';
    llvm::interleaveComma(getBodyRegions(), p, [&](Region &region) { p.printRegion(region); });
  }
  SmallVector<StringRef> elided = {getDomainAttrName(), getOpTypeAttrName(),
                                   getOnnxAttributesAttrName(), getOutputsAttrName(),
                                   getBodiesAttrName()};
  if (getOverload().empty()) {
    elided.push_back(getOverloadAttrName());
  }
  p.printOptionalAttrDictWithKeyword((*this)->getAttrs(), elided);
  p << " : ";
  p.printFunctionalType(*this);
}

ParseResult NodeOp::parse(OpAsmParser &parser, OperationState &result) {
  Builder &builder = parser.getBuilder();
  StringAttr first, type;
  SmallVector<OpAsmParser::UnresolvedOperand> operands;
  if (parseString(parser, first)) {
    return failure();
  }
  if (succeeded(parser.parseOptionalColon())) {
    if (parseString(parser, type)) {
      return failure();
    }
    result.addAttribute(getDomainAttrName(result.name), first);
  } else {
    type = first;
    result.addAttribute(getDomainAttrName(result.name), builder.getStringAttr(""));
  }
  result.addAttribute(getOpTypeAttrName(result.name), type);
  if (parser.parseOperandList(operands, OpAsmParser::Delimiter::Paren)) {
    return failure();
  }

  Attribute attributes;
  OptionalParseResult given = parser.parseOptionalAttribute(attributes);
  if (given.has_value() && failed(*given)) {
    return failure();
  }
  if (attributes && !isa<DictionaryAttr>(attributes)) {
    return parser.emitError(parser.getCurrentLocation(),
                            "expected a dictionary of ONNX attributes");
  }
  result.addAttribute(getOnnxAttributesAttrName(result.name),
                      attributes ? attributes : builder.getDictionaryAttr({}));

  ArrayAttr outputs, bodies = builder.getArrayAttr({});
  if (parser.parseKeyword("outputs") || parseStrings(parser, outputs)) {
    return failure();
  }
  if (succeeded(parser.parseOptionalKeyword("bodies"))) {
    if (parseStrings(parser, bodies)) {
      return failure();
    }
    do {
      if (parser.parseRegion(*result.addRegion())) {
        return failure();
      }
    } while (succeeded(parser.parseOptionalComma()));
  }
  result.addAttribute(getOutputsAttrName(result.name), outputs);
  result.addAttribute(getBodiesAttrName(result.name), bodies);

  FunctionType types;
  SMLoc typeLoc;
  if (parser.parseOptionalAttrDictWithKeyword(result.attributes) || parser.parseColon() ||
      parser.getCurrentLocation(&typeLoc) || parser.parseType(types) ||
      parser.resolveOperands(operands, types.getInputs(), typeLoc, result.operands)) {
    return failure();
  }
  if (!result.attributes.get(getOverloadAttrName(result.name))) {
    result.addAttribute(getOverloadAttrName(result.name), builder.getStringAttr(""));
  }
  result.addTypes(types.getResults());
  return success();
}

/// Whether `value` is one of the kinds that OnnxOps.td lists; with the reason if not.
static LogicalResult checkAttribute(Attribute value, function_ref<InFlightDiagnostic()> emitError) {
  if (auto integer = dyn_cast<IntegerAttr>(value)) {
    return integer.getType().isSignlessInteger(64) ? success()
                                                   : emitError() << "an integer must be i64";
  }
  if (auto number = dyn_cast<FloatAttr>(value)) {
    return number.getType().isF32() ? success() : emitError() << "a float must be f32";
  }
  if (auto elements = dyn_cast<DenseElementsAttr>(value)) {
    std::optional<int64_t> bytes = tensorBytes(elements.getType());
    return !bytes || *bytes <= kInlineBytes ? success()
                                            : emitError()
                                                  << "a dense value has at most " << kInlineBytes
                                                  << " bytes, this one has " << *bytes;
  }
  if (isa<StringAttr, WeightAttr, TypeAttr, DenseI64ArrayAttr, DenseF32ArrayAttr>(value)) {
    return success();
  }
  if (auto array = dyn_cast<ArrayAttr>(value)) {
    for (Attribute element : array) {
      if (!isa<StringAttr, TypeAttr, WeightAttr, DenseElementsAttr>(element)) {
        return emitError() << "an array has strings, types or tensors, not " << element;
      }
      if (failed(checkAttribute(element, emitError))) {
        return failure();
      }
    }
    return success();
  }
  return emitError() << "ONNX has no attribute of this kind: " << value;
}

LogicalResult NodeOp::verify() {
  if (getOpType().empty()) {
    return emitOpError("(C1) needs an operator type");
  }
  if (getOutputs().size() != getNumResults()) {
    return emitOpError() << "(C2) has " << getOutputs().size() << " output names for "
                         << getNumResults() << " results";
  }
  if (auto twice = findTwice(getOutputs())) {
    return emitOpError() << "(C2) has two outputs named '" << *twice << "'";
  }
  if (getBodies().size() != getBodyRegions().size()) {
    return emitOpError() << "(C3) has " << getBodies().size() << " body names for "
                         << getBodyRegions().size() << " regions";
  }
  if (auto twice = findTwice(getBodies())) {
    return emitOpError() << "(C3) has two bodies named '" << *twice << "'";
  }
  for (StringRef body : getBodies().getAsValueRange<StringAttr>()) {
    if (body.empty() || getOnnxAttributes().contains(body)) {
      return emitOpError() << "(C3) body name '" << body << "' is empty or also an attribute";
    }
  }
  for (Region &region : getBodyRegions()) {
    if (!region.hasOneBlock() || region.front().empty() || !isa<ReturnOp>(region.front().back())) {
      return emitOpError("(C4) each body has one block that ends in onnx.return");
    }
  }
  for (NamedAttribute attribute : getOnnxAttributes()) {
    auto emit = [&] {
      return emitOpError() << "(C5) attribute '" << attribute.getName().getValue() << "': ";
    };
    if (failed(checkAttribute(attribute.getValue(), emit))) {
      return failure();
    }
  }
  if (IntegerAttr own = getOpsetAttr(); own && own.getInt() < 1) {
    return emitOpError("(C6) opset must be at least 1");
  }
  return success();
}

//===-- onnx.weight, onnx.constant --===//

void WeightOp::print(OpAsmPrinter &p) {
  p << ' ';
  p.printAttribute(getNameAttr());
  p << ' ';
  p.printAttribute(getHandle());
  p.printOptionalAttrDict((*this)->getAttrs(), {getNameAttrName(), getHandleAttrName()});
  if (getType() != getHandle().getType()) {
    p << " as ";
    p.printType(getType());
  }
}

ParseResult WeightOp::parse(OpAsmParser &parser, OperationState &result) {
  StringAttr name;
  WeightAttr handle;
  if (parser.parseAttribute(name, getNameAttrName(result.name), result.attributes) ||
      parser.parseAttribute(handle, getHandleAttrName(result.name), result.attributes) ||
      parser.parseOptionalAttrDict(result.attributes)) {
    return failure();
  }
  Type type = handle.getType();
  if (succeeded(parser.parseOptionalKeyword("as")) && parser.parseType(type)) {
    return failure();
  }
  result.addTypes(type);
  return success();
}

LogicalResult WeightOp::verify() {
  if (withoutDims(getType()) != getHandle().getType()) {
    return emitOpError() << "(C1) result type " << getType() << " is not the handle's "
                         << getHandle().getType();
  }
  auto graph = (*this)->getParentOfType<GraphOp>();
  if (graph && getHandle().getFile() >= static_cast<int64_t>(graph.getFiles().size())) {
    return emitOpError() << "(C2) file " << getHandle().getFile() << " is not among the graph's "
                         << graph.getFiles().size() << " files";
  }
  return success();
}

void ConstantOp::print(OpAsmPrinter &p) {
  p << ' ';
  p.printAttribute(getNameAttr());
  p << ' ';
  p.printAttribute(getValue());
  p.printOptionalAttrDict((*this)->getAttrs(), {getNameAttrName(), getValueAttrName()});
}

ParseResult ConstantOp::parse(OpAsmParser &parser, OperationState &result) {
  StringAttr name;
  ElementsAttr value;
  if (parser.parseAttribute(name, getNameAttrName(result.name), result.attributes) ||
      parser.parseAttribute(value, getValueAttrName(result.name), result.attributes) ||
      parser.parseOptionalAttrDict(result.attributes)) {
    return failure();
  }
  result.addTypes(value.getShapedType());
  return success();
}

LogicalResult ConstantOp::verify() {
  if (getType() != getValue().getShapedType()) {
    return emitOpError() << "(C1) result type " << getType() << " is not the value's "
                         << getValue().getShapedType();
  }
  if (auto strings = dyn_cast<DenseStringElementsAttr>(getValue())) {
    int64_t bytes = 0;
    for (StringRef string : strings.getRawStringData()) {
      bytes += static_cast<int64_t>(string.size());
    }
    if (bytes > kInlineStringBytes) {
      return emitOpError() << "(C2) has " << bytes << " bytes of text, at most "
                           << kInlineStringBytes << " are kept";
    }
    return success();
  }
  std::optional<int64_t> bytes = tensorBytes(getType());
  if (!bytes || *bytes > kInlineBytes) {
    return emitOpError() << "(C2) has more than " << kInlineBytes << " bytes; use onnx.weight";
  }
  return success();
}

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValue(); }

//===-- onnx.return --===//

LogicalResult ReturnOp::verify() {
  if (getNames().size() != getNumOperands()) {
    return emitOpError() << "(C1) has " << getNames().size() << " names for " << getNumOperands()
                         << " values";
  }
  // A body may yield a value twice under one name; a model's outputs are told apart by name.
  if (auto twice = findTwice(getNames()); twice && isa<GraphOp>((*this)->getParentOp())) {
    return emitOpError() << "(C1) returns '" << *twice << "' twice";
  }
  return success();
}
