// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The import as a whole, and the inlining of model-local functions: a call is replaced by the
// function's nodes while the graph is built, so no second form of the model exists. Call cycles are
// found before anything is inlined; what remains is bounded by the node count.
#include "frontend/Import.h"
#include "frontend/Importer.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/SetVector.h"
#include <google/protobuf/arena.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

using namespace mlir;
using namespace ciuic;
using namespace ciuic::frontend;

/// Names of inlined nodes carry the name of the call, as long as these prefixes take no more than
/// this.
static constexpr int64_t kMostPrefixBytes = 64 << 20;
static constexpr int64_t kNewestIrVersion = 14;
/// Protobuf's own default; the pre-scan stops before.
static constexpr int kParserDepth = 100;

std::string ciuic::frontend::quoted(StringRef text) {
  std::string out;
  llvm::raw_string_ostream os(out);
  os << '"';
  llvm::printEscapedString(text.take_front(200), os);
  os << (text.size() > 200 ? "…\"" : "\"");
  return out;
}

std::string ciuic::frontend::describeNode(StringRef name, StringRef type) {
  std::string shown = quoted(type);
  return "node " + quoted(name) + " (" + shown.substr(1, shown.size() - 2) + "):";
}

Importer::Importer(MLIRContext &context, onnx::WeightFiles &files, const ImportOptions &options,
                   std::vector<Payload> payloads)
    : context(context), files(files), options(options), payloads(std::move(payloads)),
      builder(&context), fileLoc(NameLoc::get(StringAttr::get(&context, files.names().front()))) {}

InFlightDiagnostic Importer::error(ErrorCode code, const std::string &where) {
  InFlightDiagnostic diagnostic = emitCoded(fileLoc, code);
  if (!where.empty()) {
    diagnostic << where << " ";
  }
  return diagnostic;
}

InFlightDiagnostic Importer::error(ErrorCode code, const ::onnx::NodeProto &node,
                                   const Call *call) {
  std::string name = node.name().empty() && node.output_size() > 0 ? node.output(0) : node.name();
  return error(code, describeNode(call && !call->name.empty() ? call->name + "/" + name : name,
                                  node.op_type()));
}

InFlightDiagnostic Importer::tooMuchWork() {
  return error(kErrorLimit) << "the model takes more than " << kMostWork
                            << " steps to import once its functions are inlined";
}

//===-- Opsets and functions --===//

LogicalResult Importer::collectOpsets(const ::onnx::ModelProto &model) {
  if (model.ir_version() < 1) {
    return error(kErrorNotOnnx) << "this is not an ONNX model: it has no IR version";
  }
  if (model.ir_version() > kNewestIrVersion) {
    return error(kErrorUnsupportedModel)
           << "the model has IR version " << model.ir_version() << ", the newest known is "
           << kNewestIrVersion << "; export it with an older onnx package";
  }
  if (!model.has_graph()) {
    return error(kErrorNotOnnx)
           << "the model has no graph; it is incomplete or only carries functions";
  }
  for (const auto &import : model.opset_import()) {
    if (import.version() < 1 || import.version() > INT32_MAX) {
      return error(kErrorMalformed) << "the model imports version " << import.version()
                                    << " of domain " << quoted(import.domain());
    }
    int64_t &version = opsets[canonicalDomain(import.domain())];
    version = std::max(version, import.version());
  }
  // Before IR version 3 a model could say nothing and mean version 1.
  if (model.opset_import_size() == 0) {
    if (model.ir_version() >= 3) {
      return error(kErrorMalformed) << "the model imports no operator set";
    }
    opsets[""] = 1;
  }
  return success();
}

LogicalResult Importer::collectFunctions(const ::onnx::ModelProto &model) {
  for (const auto &function : model.functions()) {
    std::string where = "function " + quoted(function.domain() + "::" + function.name());
    if (function.name().empty()) {
      return error(kErrorFunction) << "a function has no name";
    }
    auto key =
        std::make_tuple(canonicalDomain(function.domain()), function.name(), function.overload());
    if (!functions.try_emplace(key, &function).second) {
      return error(kErrorFunction, where) << "is defined twice";
    }
    auto &versions = functionOpsets[&function];
    for (const auto &import : function.opset_import()) {
      if (import.version() < 1 || import.version() > INT32_MAX) {
        return error(kErrorFunction, where)
               << "imports version " << import.version() << " of a domain";
      }
      versions[canonicalDomain(import.domain())] = import.version();
    }
  }
  return checkCallGraph();
}

const ::onnx::FunctionProto *Importer::findFunction(const ::onnx::NodeProto &node) const {
  auto it = functions.find(
      std::make_tuple(canonicalDomain(node.domain()), node.op_type(), node.overload()));
  return it == functions.end() ? nullptr : it->second;
}

/// All nodes of a function, those in subgraphs too. Iterative.
static void forEachNode(const ::onnx::FunctionProto &function,
                        function_ref<void(const ::onnx::NodeProto &)> visit) {
  std::vector<const ::onnx::NodeProto *> pending;
  for (const auto &node : function.node()) {
    pending.push_back(&node);
  }
  while (!pending.empty()) {
    const ::onnx::NodeProto *node = pending.back();
    pending.pop_back();
    visit(*node);
    auto push = [&](const ::onnx::GraphProto &graph) {
      for (const auto &inner : graph.node()) {
        pending.push_back(&inner);
      }
    };
    for (const auto &attribute : node->attribute()) {
      if (attribute.has_g()) {
        push(attribute.g());
      }
      llvm::for_each(attribute.graphs(), push);
    }
  }
}

LogicalResult Importer::checkCallGraph() {
  if (functions.empty()) {
    return success();
  }
  std::map<const ::onnx::FunctionProto *, llvm::SetVector<const ::onnx::FunctionProto *>> calls;
  for (const auto &[key, function] : functions) {
    auto &callees = calls[function];
    forEachNode(*function, [&](const ::onnx::NodeProto &node) {
      if (const auto *callee = findFunction(node)) {
        callees.insert(callee);
      }
    });
  }
  // Depth-first with an explicit stack; a function met again while it is open closes a cycle.
  enum State : uint8_t { New, Open, Done };
  std::map<const ::onnx::FunctionProto *, State> state;
  for (const auto &[key, root] : functions) {
    std::vector<std::pair<const ::onnx::FunctionProto *, size_t>> stack;
    if (state[root] == New) {
      state[root] = Open;
      stack.emplace_back(root, 0);
    }
    while (!stack.empty()) {
      auto &[function, next] = stack.back();
      if (next == calls[function].size()) {
        state[function] = Done;
        stack.pop_back();
        continue;
      }
      const ::onnx::FunctionProto *callee = calls[function][next++];
      if (state[callee] == Open) {
        return error(kErrorFunction, "function " + quoted(callee->domain() + "::" + callee->name()))
               << "calls itself, directly or through others";
      }
      if (state[callee] == New) {
        state[callee] = Open;
        stack.emplace_back(callee, 0);
      }
    }
  }
  return success();
}

// Values go by position, attributes by name; what is not given has its default.
LogicalResult Importer::bindParameters(const ::onnx::NodeProto &node, const Scope &scope,
                                       const Call *caller, Call &call, Scope &body) {
  const ::onnx::FunctionProto &function = *call.function;
  for (auto [index, name] : llvm::enumerate(function.input())) {
    bool given =
        static_cast<int>(index) < node.input_size() && !node.input(static_cast<int>(index)).empty();
    Value value = given ? scope.find(node.input(static_cast<int>(index))) : none();
    if (!value) {
      return error(kErrorGraph, node, caller)
             << "reads " << quoted(node.input(static_cast<int>(index)))
             << ", which nothing before it defines";
    }
    if (name.empty() || !body.values.try_emplace(name, value).second) {
      return error(kErrorFunction, node, caller)
             << "calls a function whose input " << quoted(name) << " is nameless or there twice";
    }
  }
  llvm::StringSet<> declared;
  for (const std::string &name : function.attribute()) {
    declared.insert(name);
  }
  for (const auto &attribute : function.attribute_proto()) {
    declared.insert(attribute.name());
    call.attributes[attribute.name()] = {&attribute, &body, nullptr};
  }
  for (const auto &attribute : node.attribute()) {
    if (!declared.contains(attribute.name())) {
      return error(kErrorFunction, node, caller)
             << "gives the attribute " << quoted(attribute.name())
             << ", which the function does not have";
    }
    BoundAttribute bound{&attribute, &scope, caller};
    // A reference passed on stands for what the caller was given, if anything.
    if (!attribute.ref_attr_name().empty()) {
      auto it = caller ? caller->attributes.find(attribute.ref_attr_name())
                       : decltype(caller->attributes.end()){};
      if (!caller || it == caller->attributes.end()) {
        continue;
      }
      bound = it->second;
    }
    call.attributes[attribute.name()] = bound;
  }
  return success();
}

LogicalResult Importer::inlineCall(const ::onnx::FunctionProto &function,
                                   const ::onnx::NodeProto &node, Scope &scope,
                                   const Call *caller) {
  if (++nesting > kDeepestNesting) {
    return error(kErrorLimit, node, caller)
           << "functions and graphs are nested more than " << kDeepestNesting << " deep";
  }
  // Calls are counted like nodes: functions that only call each other make no node and yet take
  // time.
  if (++callCount > options.limits.nodes) {
    return error(kErrorLimit) << "the model has more than " << options.limits.nodes
                              << " calls of functions";
  }
  if (!spend(function.input_size() + function.attribute_size() + function.attribute_proto_size())) {
    return tooMuchWork();
  }
  if (node.input_size() > function.input_size() || node.output_size() > function.output_size()) {
    return error(kErrorFunction, node, caller)
           << "calls a function of " << function.input_size() << " inputs and "
           << function.output_size() << " outputs with " << node.input_size() << " and "
           << node.output_size();
  }

  Call call{&function, caller, {}, {}};
  std::string own = node.name().empty() && node.output_size() > 0 ? node.output(0) : node.name();
  call.name = caller && !caller->name.empty() ? caller->name + "/" + own : own;
  prefixBytes += static_cast<int64_t>(call.name.size()) * function.node_size();
  if (prefixBytes > kMostPrefixBytes) {
    call.name.clear();
  }

  Scope body;
  if (failed(bindParameters(node, scope, caller, call, body))) {
    return failure();
  }
  for (const auto &inner : function.node()) {
    if (failed(importNode(inner, body, &call))) {
      return failure();
    }
  }
  for (auto [index, name] : llvm::enumerate(node.output())) {
    if (name.empty()) {
      continue;
    }
    Value value = body.find(function.output(static_cast<int>(index)));
    if (!value) {
      return error(kErrorFunction, node, caller)
             << "calls a function that does not compute its output "
             << quoted(function.output(static_cast<int>(index)));
    }
    // The caller's graph may know the type of what the function's body leaves open.
    auto declaredType = scope.types.find(name);
    if (declaredType != scope.types.end() && isa<onnx::UnknownType>(value.getType()) &&
        value.getDefiningOp<onnx::NodeOp>()) {
      FailureOr<Type> type = importType(*declaredType->second, "value " + quoted(name));
      if (failed(type)) {
        return failure();
      }
      value.setType(*type);
    }
    if (failed(define(scope, name, value, "output " + quoted(name)))) {
      return failure();
    }
  }
  --nesting;
  return success();
}

//===-- The whole --===//

OwningOpRef<ModuleOp> Importer::run(const ::onnx::ModelProto &model) {
  OwningOpRef<ModuleOp> module = ModuleOp::create(builder.getUnknownLoc());
  builder.setInsertionPointToEnd(module->getBody());
  if (failed(collectOpsets(model)) || failed(collectFunctions(model)) ||
      failed(importMainGraph(model.graph(), model)) || failed(checkOverlaps())) {
    return {};
  }
  SmallVector<StringRef> names(files.names().begin(), files.names().end());
  graphOp.setFilesAttr(builder.getStrArrayAttr(names));
  return module;
}

FailureOr<ImportedModel> ciuic::frontend::importOnnx(const std::string &path, MLIRContext &context,
                                                     const ImportOptions &options) {
  context.getOrLoadDialect<onnx::OnnxDialect>();
  Location loc = NameLoc::get(StringAttr::get(&context, path));
  std::string message;
  std::shared_ptr<onnx::WeightFiles> files = onnx::WeightFiles::open(path, message);
  if (!files) {
    return emitError(loc) << message;
  }

  // 1. Take the tensors out and bound the rest.
  Skeleton skeleton;
  if (!scanModel(*files, options.limits, skeleton, message)) {
    return emitError(loc) << message;
  }

  // 2. Parse the rest.
  google::protobuf::Arena arena;
  auto *model = google::protobuf::Arena::CreateMessage<::onnx::ModelProto>(&arena);
  google::protobuf::io::ArrayInputStream bytes(skeleton.bytes.data(),
                                               static_cast<int>(skeleton.bytes.size()));
  google::protobuf::io::CodedInputStream stream(&bytes);
  stream.SetRecursionLimit(kParserDepth);
  stream.SetTotalBytesLimit(INT32_MAX);
  if (!model->ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage()) {
    return emitCoded(loc, kErrorMalformed) << "the model is damaged: protobuf cannot parse it";
  }
  skeleton.bytes = std::string();

  // 3. Build the IR, functions inlined.
  OwningOpRef<ModuleOp> module =
      Importer(context, *files, options, std::move(skeleton.payloads)).run(*model);
  if (!module || failed(verify(*module))) {
    return failure();
  }
  return ImportedModel{std::move(module), std::move(files)};
}
