// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The importer's state, private to this folder: Import.cpp (model, functions), ImportGraph.cpp
// (graphs, nodes, attributes), ImportTensor.cpp (tensors, external data), ImportType.cpp (types).
#pragma once
#include "frontend/ErrorCodes.h"
#include "frontend/Import.h"
#include "frontend/onnx-ml.pb.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"
#include <map>
#include <tuple>

namespace ciuic::frontend {

/// Steps that an import may take, beside the count of nodes: a function body may be small and its
/// repetition large.
inline constexpr int64_t kMostWork = int64_t{1} << 28;
/// Calls inside calls and graphs inside graphs, together.
inline constexpr int64_t kDeepestNesting = 64;
/// The largest extent of one dim.
inline constexpr int64_t kLargestDim = int64_t{1} << 40;

/// Values by name, in one graph or function body; a subgraph also sees its parents'.
struct Scope {
  const Scope *parent = nullptr;
  llvm::StringMap<mlir::Value> values;
  /// Declared types: value_info, inputs and outputs of the graph.
  llvm::StringMap<const ::onnx::TypeProto *> types;

  mlir::Value find(llvm::StringRef name) const {
    for (const Scope *scope = this; scope; scope = scope->parent) {
      if (auto it = scope->values.find(name); it != scope->values.end()) {
        return it->second;
      }
    }
    return {};
  }
};

struct Call;

/// An attribute that a function's body may refer to, and the place its own references and captures
/// belong to.
struct BoundAttribute {
  const ::onnx::AttributeProto *attribute;
  const Scope *scope;
  const Call *call;
};

/// One inlined call; null stands for the main graph.
struct Call {
  const ::onnx::FunctionProto *function;
  const Call *caller;
  std::string name; ///< prefix of the names of its nodes
  llvm::StringMap<BoundAttribute> attributes;
};

class Importer {
public:
  Importer(mlir::MLIRContext &context, onnx::WeightFiles &files, const ImportOptions &options,
           std::vector<Payload> payloads);

  mlir::OwningOpRef<mlir::ModuleOp> run(const ::onnx::ModelProto &model);

private:
  using Domain = std::string;

  // Diagnostics. `where` is "node "/x/Conv_12" (Conv)" and the like.
  mlir::InFlightDiagnostic error(ErrorCode code, const std::string &where = "");
  mlir::InFlightDiagnostic error(ErrorCode code, const ::onnx::NodeProto &node, const Call *call);

  mlir::InFlightDiagnostic tooMuchWork();
  /// Counts `steps`; false when there were too many.
  bool spend(int64_t steps) { return (work += steps) <= kMostWork; }

  // Import.cpp
  mlir::LogicalResult collectOpsets(const ::onnx::ModelProto &model);
  mlir::LogicalResult collectFunctions(const ::onnx::ModelProto &model);
  mlir::LogicalResult checkCallGraph();
  const ::onnx::FunctionProto *findFunction(const ::onnx::NodeProto &node) const;
  mlir::LogicalResult inlineCall(const ::onnx::FunctionProto &function,
                                 const ::onnx::NodeProto &node, Scope &scope, const Call *caller);
  /// Gives a function's body the values and attributes of a call.
  mlir::LogicalResult bindParameters(const ::onnx::NodeProto &node, const Scope &scope,
                                     const Call *caller, Call &call, Scope &body);

  // ImportGraph.cpp
  mlir::LogicalResult importMainGraph(const ::onnx::GraphProto &graph,
                                      const ::onnx::ModelProto &model);
  mlir::LogicalResult importBody(const ::onnx::GraphProto &graph, mlir::Region &region,
                                 const Scope *parent, const Call *call);
  mlir::LogicalResult importContents(const ::onnx::GraphProto &graph, Scope &scope,
                                     const Call *call);
  mlir::LogicalResult declareTypes(const ::onnx::GraphProto &graph, Scope &scope);
  mlir::LogicalResult importNode(const ::onnx::NodeProto &node, Scope &scope, const Call *call);
  mlir::LogicalResult importAttributes(const ::onnx::NodeProto &node, const Scope &scope,
                                       const Call *call, mlir::NamedAttrList &attributes,
                                       mlir::SmallVector<BoundAttribute> &bodies,
                                       mlir::SmallVector<mlir::Attribute> &bodyNames);
  mlir::FailureOr<mlir::Attribute> importAttribute(const ::onnx::AttributeProto &attribute,
                                                   const std::string &where);
  mlir::LogicalResult importResults(const ::onnx::GraphProto &graph, const Scope &scope,
                                    const std::string &where);
  mlir::LogicalResult define(Scope &scope, llvm::StringRef name, mlir::Value value,
                             const std::string &where);
  mlir::Value none();

  // ImportTensor.cpp
  mlir::LogicalResult importInitializer(const ::onnx::TensorProto &tensor, Scope &scope);
  /// DenseElementsAttr, DenseStringElementsAttr or WeightAttr.
  mlir::FailureOr<mlir::Attribute> importTensor(const ::onnx::TensorProto &tensor,
                                                const std::string &where);
  mlir::FailureOr<mlir::Attribute> importPayload(const Payload &data, mlir::RankedTensorType type,
                                                 int64_t bytes, const std::string &where);
  mlir::InFlightDiagnostic wrongSize(int64_t have, mlir::Type type, int64_t bytes,
                                     const std::string &where);
  mlir::InFlightDiagnostic wrongField(mlir::Type type, const std::string &where);
  mlir::FailureOr<onnx::WeightAttr> importExternal(const ::onnx::TensorProto &tensor,
                                                   mlir::RankedTensorType type, int64_t bytes,
                                                   const std::string &where);
  mlir::FailureOr<mlir::Attribute> inlineIfSmall(onnx::WeightAttr weight, const std::string &where);
  mlir::FailureOr<mlir::Attribute> importStrings(const ::onnx::TensorProto &tensor,
                                                 mlir::RankedTensorType type,
                                                 const std::string &where);
  mlir::LogicalResult checkOverlaps();

  // ImportType.cpp
  /// Null if the number is no element type we know.
  mlir::Type elementType(int64_t number);
  mlir::FailureOr<mlir::Type> importType(const ::onnx::TypeProto &type, const std::string &where);
  mlir::FailureOr<mlir::Type> importTensorType(const ::onnx::TypeProto::Tensor &type,
                                               const std::string &where);

  mlir::MLIRContext &context;
  onnx::WeightFiles &files;
  const ImportOptions &options;
  std::vector<Payload> payloads;
  mlir::OpBuilder builder;
  mlir::Location fileLoc;

  std::map<Domain, int64_t> opsets;
  std::map<std::tuple<Domain, std::string, std::string>, const ::onnx::FunctionProto *> functions;
  /// Opset of the domains that a function imports.
  std::map<const ::onnx::FunctionProto *, std::map<Domain, int64_t>> functionOpsets;
  onnx::GraphOp graphOp;
  mlir::Value noneValue;
  int64_t nodeCount = 0, callCount = 0, nesting = 0;
  /// What inlining repeats: operands, attributes and their elements, declared types.
  int64_t work = 0;
  int64_t prefixBytes = 0;
  /// Ranges of external data: (file, offset, bytes).
  std::vector<std::tuple<int64_t, int64_t, int64_t>> externalRanges;
};

/// The default domain has two spellings.
inline std::string canonicalDomain(const std::string &domain) {
  return domain == onnx::kDefaultDomain ? std::string() : domain;
}

/// `node "/x/Conv_12" (Conv):`
std::string describeNode(llvm::StringRef name, llvm::StringRef type);

/// A string of a file, fit for a message.
std::string quoted(llvm::StringRef text);

} // namespace ciuic::frontend
