// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Graphs, nodes and attributes → `onnx`. ONNX orders nodes topologically, so one walk in file order
// sees every value before its uses; a graph that breaks this rule is refused by name.
#include "frontend/Importer.h"

using namespace mlir;
using namespace ciuic;
using namespace ciuic::frontend;

static constexpr size_t kLongestName = 4096;

LogicalResult Importer::define(Scope &scope, StringRef name, Value value,
                               const std::string &where) {
  if (!scope.values.try_emplace(name, value).second) {
    return error(kErrorGraph, where) << "defines " << quoted(name) << ", which is defined already";
  }
  return success();
}

Value Importer::none() {
  if (!noneValue) {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(&graphOp.getBody().front());
    noneValue = onnx::NoneOp::create(builder, builder.getUnknownLoc(), builder.getNoneType());
  }
  return noneValue;
}

LogicalResult Importer::declareTypes(const ::onnx::GraphProto &graph, Scope &scope) {
  if (!spend(graph.value_info_size() + graph.output_size() + graph.input_size())) {
    return tooMuchWork();
  }
  for (const auto *list : {&graph.value_info(), &graph.output(), &graph.input()}) {
    for (const auto &info : *list) {
      if (info.has_type()) {
        scope.types[info.name()] = &info.type();
      }
    }
  }
  return success();
}

LogicalResult Importer::importMainGraph(const ::onnx::GraphProto &graph,
                                        const ::onnx::ModelProto &model) {
  // Versions by domain; std::map keeps the order of names, so the text is the same every time.
  SmallVector<NamedAttribute> opsetEntries;
  for (const auto &[domain, version] : opsets) {
    StringRef name = domain.empty() ? StringRef(onnx::kDefaultDomain) : StringRef(domain);
    opsetEntries.push_back(builder.getNamedAttr(name, builder.getI64IntegerAttr(version)));
  }
  llvm::StringSet<> initialized;
  for (const auto &tensor : graph.initializer()) {
    initialized.insert(tensor.name());
  }
  // Until IR version 4 initialisers had to be inputs too; as inputs they are defaults, which we
  // fix.
  SmallVector<StringRef> inputs;
  SmallVector<const ::onnx::ValueInfoProto *> inputInfos;
  llvm::StringSet<> seen;
  for (const auto &input : graph.input()) {
    if (input.name().empty() || !seen.insert(input.name()).second) {
      return error(kErrorGraph, "input " + quoted(input.name())) << "is nameless or there twice";
    }
    if (!initialized.contains(input.name())) {
      inputs.push_back(input.name());
      inputInfos.push_back(&input);
    }
  }

  std::string producer = model.producer_name();
  if (!model.producer_version().empty()) {
    producer += " " + model.producer_version();
  }
  OperationState state(fileLoc, onnx::GraphOp::getOperationName());
  onnx::GraphOp::build(builder, state,
                       graph.name().empty() ? StringRef("main") : StringRef(graph.name()),
                       builder.getStrArrayAttr(inputs), builder.getDictionaryAttr(opsetEntries),
                       builder.getStrArrayAttr({}), builder.getI64IntegerAttr(model.ir_version()),
                       producer.empty() ? StringAttr() : builder.getStringAttr(producer));
  graphOp = cast<onnx::GraphOp>(builder.create(state));
  Block *block = builder.createBlock(&graphOp.getBody());

  Scope scope;
  if (failed(declareTypes(graph, scope))) {
    return failure();
  }
  for (const auto *input : inputInfos) {
    std::string where = "input " + quoted(input->name());
    FailureOr<Type> type = importType(input->type(), where);
    if (failed(type)) {
      return failure();
    }
    Value argument = block->addArgument(*type, NameLoc::get(builder.getStringAttr(input->name())));
    if (failed(define(scope, input->name(), argument, where))) {
      return failure();
    }
  }
  if (failed(importContents(graph, scope, nullptr))) {
    return failure();
  }
  llvm::StringSet<> outputs;
  for (const auto &output : graph.output()) {
    if (!outputs.insert(output.name()).second) {
      return error(kErrorGraph, "output " + quoted(output.name())) << "is there twice";
    }
  }
  return importResults(graph, scope, "the graph");
}

LogicalResult Importer::importContents(const ::onnx::GraphProto &graph, Scope &scope,
                                       const Call *call) {
  if (graph.sparse_initializer_size() > 0) {
    return error(kErrorUnsupportedAttribute)
           << "graph " << quoted(graph.name())
           << " has sparse initialisers; save them as dense tensors";
  }
  for (const auto &tensor : graph.initializer()) {
    if (failed(importInitializer(tensor, scope))) {
      return failure();
    }
  }
  for (const auto &node : graph.node()) {
    if (failed(importNode(node, scope, call))) {
      return failure();
    }
  }
  return success();
}

LogicalResult Importer::importResults(const ::onnx::GraphProto &graph, const Scope &scope,
                                      const std::string &where) {
  SmallVector<Value> values;
  SmallVector<StringRef> names;
  for (const auto &output : graph.output()) {
    Value value = scope.find(output.name());
    if (!value) {
      return error(kErrorGraph, where)
             << "has an output " << quoted(output.name()) << " that nothing defines";
    }
    values.push_back(value);
    names.push_back(output.name());
  }
  onnx::ReturnOp::create(builder, builder.getUnknownLoc(), values, builder.getStrArrayAttr(names));
  return success();
}

LogicalResult Importer::importBody(const ::onnx::GraphProto &graph, Region &region,
                                   const Scope *parent, const Call *call) {
  if (++nesting > kDeepestNesting) {
    return error(kErrorLimit) << "functions and graphs are nested more than " << kDeepestNesting
                              << " deep";
  }
  OpBuilder::InsertionGuard guard(builder);
  Block *block = builder.createBlock(&region);
  Scope scope;
  scope.parent = parent;
  if (failed(declareTypes(graph, scope))) {
    return failure();
  }
  std::string where = "graph " + quoted(graph.name());
  for (const auto &input : graph.input()) {
    FailureOr<Type> type = importType(input.type(), "input " + quoted(input.name()));
    if (failed(type)) {
      return failure();
    }
    Value argument = block->addArgument(*type, NameLoc::get(builder.getStringAttr(input.name())));
    if (failed(define(scope, input.name(), argument, where))) {
      return failure();
    }
  }
  if (failed(importContents(graph, scope, call)) || failed(importResults(graph, scope, where))) {
    return failure();
  }
  --nesting;
  return success();
}

LogicalResult Importer::importNode(const ::onnx::NodeProto &node, Scope &scope, const Call *call) {
  if (node.op_type().empty()) {
    return error(kErrorGraph, node, call) << "has no operator type";
  }
  if (const ::onnx::FunctionProto *function = findFunction(node)) {
    return inlineCall(*function, node, scope, call);
  }
  if (++nodeCount > options.limits.nodes) {
    return error(kErrorLimit) << "the model has more than " << options.limits.nodes
                              << " nodes once its functions are inlined";
  }
  if (!spend(node.input_size() + node.output_size() + node.attribute_size())) {
    return tooMuchWork();
  }

  SmallVector<Value> operands;
  for (const std::string &input : node.input()) {
    Value value = input.empty() ? none() : scope.find(input);
    if (!value) {
      return error(kErrorGraph, node, call)
             << "reads " << quoted(input)
             << ", which no input, initialiser or node before it defines";
    }
    operands.push_back(value);
  }
  SmallVector<Type> types;
  SmallVector<StringRef> outputs;
  llvm::StringSet<> own;
  for (const std::string &output : node.output()) {
    if (!output.empty() && !own.insert(output).second) {
      return error(kErrorGraph, node, call) << "has two outputs " << quoted(output);
    }
    auto declared = scope.types.find(output);
    FailureOr<Type> type = declared == scope.types.end()
                               ? FailureOr<Type>(onnx::UnknownType::get(&context))
                               : importType(*declared->second, "value " + quoted(output));
    if (failed(type)) {
      return failure();
    }
    types.push_back(*type);
    outputs.push_back(output);
  }

  NamedAttrList attributes;
  SmallVector<BoundAttribute> bodies;
  SmallVector<Attribute> bodyNames;
  if (failed(importAttributes(node, scope, call, attributes, bodies, bodyNames))) {
    return failure();
  }
  std::string domain = canonicalDomain(node.domain());
  IntegerAttr opset;
  if (call) {
    const auto &versions = functionOpsets.at(call->function);
    auto version = versions.find(domain);
    auto modelVersion = opsets.find(domain);
    if (version != versions.end() &&
        (modelVersion == opsets.end() || modelVersion->second != version->second)) {
      opset = builder.getI64IntegerAttr(version->second);
    }
  }

  StringRef name =
      node.name().empty() && !outputs.empty() ? outputs.front() : StringRef(node.name());
  std::string fullName = call && !call->name.empty() ? call->name + "/" + name.str() : name.str();
  // Of a name that nesting made too long the end says more than the beginning.
  StringRef shown = StringRef(fullName).take_back(kLongestName);
  OperationState state(NameLoc::get(builder.getStringAttr(shown)),
                       onnx::NodeOp::getOperationName());
  onnx::NodeOp::build(builder, state, types, operands, builder.getStringAttr(node.op_type()),
                      builder.getStringAttr(domain), builder.getStringAttr(node.overload()),
                      attributes.getDictionary(&context), builder.getStrArrayAttr(outputs),
                      builder.getArrayAttr(bodyNames), opset, static_cast<unsigned>(bodies.size()));
  auto op = cast<onnx::NodeOp>(builder.create(state));
  for (auto [index, body] : llvm::enumerate(bodies)) {
    if (failed(
            importBody(body.attribute->g(), op.getBodyRegions()[index], body.scope, body.call))) {
      return failure();
    }
  }
  for (auto [result, output] : llvm::zip_equal(op.getResults(), outputs)) {
    if (!output.empty() && failed(define(scope, output, result, "node " + quoted(shown)))) {
      return failure();
    }
  }
  return success();
}

LogicalResult Importer::importAttributes(const ::onnx::NodeProto &node, const Scope &scope,
                                         const Call *call, NamedAttrList &attributes,
                                         SmallVector<BoundAttribute> &bodies,
                                         SmallVector<Attribute> &bodyNames) {
  llvm::StringSet<> seen;
  for (const auto &given : node.attribute()) {
    if (given.name().empty() || !seen.insert(given.name()).second) {
      return error(kErrorAttribute, node, call)
             << "has an attribute " << quoted(given.name()) << " that is nameless or there twice";
    }
    BoundAttribute bound{&given, &scope, call};
    if (!given.ref_attr_name().empty()) {
      if (!call) {
        return error(kErrorAttribute, node, call)
               << "refers to an attribute " << quoted(given.ref_attr_name())
               << " of a function, and is in none";
      }
      auto it = call->attributes.find(given.ref_attr_name());
      if (it == call->attributes.end()) {
        continue; // The call leaves it out, so the operator's own default holds.
      }
      bound = it->second;
    }
    const ::onnx::AttributeProto &attribute = *bound.attribute;
    if (attribute.type() == ::onnx::AttributeProto::GRAPH ||
        (attribute.type() == ::onnx::AttributeProto::UNDEFINED && attribute.has_g())) {
      if (!attribute.has_g()) {
        return error(kErrorAttribute, node, call)
               << "has an attribute " << quoted(given.name()) << " of type graph without one";
      }
      bodies.push_back(bound);
      bodyNames.push_back(builder.getStringAttr(given.name()));
      continue;
    }
    std::string where =
        describeNode(node.name(), node.op_type()) + " attribute " + quoted(given.name());
    FailureOr<Attribute> value = importAttribute(attribute, where);
    if (failed(value)) {
      return failure();
    }
    attributes.append(given.name(), *value);
  }
  return success();
}

/// The kind of an attribute: as it says, or, before IR version 4, by the field that is there.
static ::onnx::AttributeProto::AttributeType kindOf(const ::onnx::AttributeProto &attribute) {
  using Proto = ::onnx::AttributeProto;
  if (attribute.type() != Proto::UNDEFINED) {
    return attribute.type();
  }
  return attribute.has_f()                  ? Proto::FLOAT
         : attribute.has_i()                ? Proto::INT
         : attribute.has_s()                ? Proto::STRING
         : attribute.has_t()                ? Proto::TENSOR
         : attribute.floats_size() > 0      ? Proto::FLOATS
         : attribute.ints_size() > 0        ? Proto::INTS
         : attribute.strings_size() > 0     ? Proto::STRINGS
         : attribute.tensors_size() > 0     ? Proto::TENSORS
         : attribute.has_tp()               ? Proto::TYPE_PROTO
         : attribute.type_protos_size() > 0 ? Proto::TYPE_PROTOS
                                            : Proto::UNDEFINED;
}

FailureOr<Attribute> Importer::importAttribute(const ::onnx::AttributeProto &attribute,
                                               const std::string &where) {
  if (!spend(attribute.floats_size() + attribute.ints_size() + attribute.strings_size() +
             attribute.tensors_size() + attribute.type_protos_size() +
             static_cast<int64_t>(attribute.s().size()) / 8)) {
    return tooMuchWork();
  }
  SmallVector<Attribute> list;
  switch (kindOf(attribute)) {
  case ::onnx::AttributeProto::FLOAT:
    return Attribute(builder.getF32FloatAttr(attribute.f()));
  case ::onnx::AttributeProto::INT:
    return Attribute(builder.getI64IntegerAttr(attribute.i()));
  case ::onnx::AttributeProto::STRING:
    return Attribute(builder.getStringAttr(attribute.s()));
  case ::onnx::AttributeProto::FLOATS:
    return Attribute(
        builder.getDenseF32ArrayAttr({attribute.floats().data(), size_t(attribute.floats_size())}));
  case ::onnx::AttributeProto::INTS: {
    SmallVector<int64_t> ints(attribute.ints().begin(), attribute.ints().end());
    return Attribute(builder.getDenseI64ArrayAttr(ints));
  }
  case ::onnx::AttributeProto::STRINGS:
    for (const std::string &string : attribute.strings()) {
      list.push_back(builder.getStringAttr(string));
    }
    return Attribute(builder.getArrayAttr(list));
  case ::onnx::AttributeProto::TENSOR:
    if (!attribute.has_t()) {
      return error(kErrorAttribute, where) << "is of type tensor without one";
    }
    return importTensor(attribute.t(), where);
  case ::onnx::AttributeProto::TENSORS:
    for (const auto &tensor : attribute.tensors()) {
      FailureOr<Attribute> value = importTensor(tensor, where);
      if (failed(value)) {
        return failure();
      }
      list.push_back(*value);
    }
    return Attribute(builder.getArrayAttr(list));
  case ::onnx::AttributeProto::TYPE_PROTO: {
    FailureOr<Type> type = importType(attribute.tp(), where);
    return failed(type) ? FailureOr<Attribute>(failure())
                        : FailureOr<Attribute>(Attribute(TypeAttr::get(*type)));
  }
  case ::onnx::AttributeProto::TYPE_PROTOS:
    for (const auto &proto : attribute.type_protos()) {
      FailureOr<Type> type = importType(proto, where);
      if (failed(type)) {
        return failure();
      }
      list.push_back(TypeAttr::get(*type));
    }
    return Attribute(builder.getArrayAttr(list));
  case ::onnx::AttributeProto::GRAPHS:
  case ::onnx::AttributeProto::SPARSE_TENSOR:
  case ::onnx::AttributeProto::SPARSE_TENSORS:
    return error(kErrorUnsupportedAttribute, where)
           << "is a sparse tensor or a list of graphs; no operator that "
              "ciuic knows has such an attribute";
  case ::onnx::AttributeProto::GRAPH:
  case ::onnx::AttributeProto::UNDEFINED:
    return error(kErrorAttribute, where) << "has no value";
  }
  return error(kErrorAttribute, where) << "has a type number that no ONNX version knows";
}
