// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The machinery under the operator importers: an Importer walks the onnx.graph once for one entry;
// a Node is what an operator's importer sees: inputs with what is known of them, attributes, and
// helpers that build graph ops.
#pragma once
#include "passes/Legalize/Legalize.h"
#include "passes/Legalize/Tensor.h"

#include "ir/Diagnostics.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/MapVector.h"

#include <map>

namespace ciuic::legalize {

/// A named dim of the model's inputs as one entry sees it.
struct SymbolInfo {
  std::string name;
  int64_t lower = 1, upper = 1;
  bool isDefault = true;
  mlir::AffineExpr equals; ///< over the model's symbols, when found to be no symbol of its own
};

/// Something wrong with one node; collected, so that all are reported at once.
struct Problem {
  ErrorCode code;
  std::string op, node, reason;
  mlir::Location location;
};

class Node;

/// What was found out about stored tensors, by file and offset: kept over walks and entries, since
/// it took reading them whole.
struct Findings {
  std::map<std::pair<int64_t, int64_t>, bool> weights;
};

class Importer {
public:
  Importer(onnx::GraphOp graph, const LegalizeOptions &options, std::vector<SymbolInfo> &symbols,
           Findings &findings);

  /// Builds the entry's function. `restart` says that a symbol turned out to be an expression, or a
  /// default bound to be too wide: `symbols` then has the news, nothing was built, and the walk has
  /// to be done again.
  mlir::func::FuncOp run(mlir::ModuleOp module, llvm::StringRef name, bool &restart);

  std::vector<Problem> problems;

  mlir::OpBuilder builder;
  const LegalizeOptions &options;
  Findings &findings;

  graph::Interval interval(mlir::AffineExpr e) const { return graph::intervalOf(e, bounds); }
  /// Whether a ≤ b holds for all admissible symbols; nothing if it holds for some or is unknown.
  std::optional<bool> lessOrEqual(mlir::AffineExpr a, mlir::AffineExpr b) const;
  std::optional<bool> equal(mlir::AffineExpr a, mlir::AffineExpr b) const;

  /// The extent that both must have. Where they are not known to be equal, a symbol is replaced by
  /// the other side (and the walk restarted), or a constraint is left to the runtime. Null if they
  /// cannot be equal.
  mlir::AffineExpr unify(mlir::AffineExpr a, mlir::AffineExpr b);
  /// Makes `e ≤ most` (`e ≥ least`) hold by narrowing a default bound; false if the user's bounds
  /// forbid that.
  bool limit(mlir::AffineExpr e, int64_t most);
  bool raise(mlir::AffineExpr e, int64_t least);

  mlir::Value materialize(Tensor &tensor, mlir::Location location);
  /// Elements of a constant or small weight, read if need be.
  const Contents *contentsOf(Tensor &tensor, mlir::Location location);

private:
  onnx::GraphOp graph;
  std::vector<SymbolInfo> &symbols;
  graph::Bounds bounds;
  llvm::SmallVector<unsigned> live; ///< compact position → the model's symbol
  llvm::SmallVector<mlir::AffineExpr>
      compact; ///< the model's symbol → expression over compact positions
  llvm::SetVector<mlir::AffineExpr> constraints; ///< expressions that must be zero
  llvm::DenseMap<mlir::Value, Tensor *> tensors;
  std::vector<std::unique_ptr<Tensor>> storage;
  bool restartAsked = false;

  friend class Node;
  mlir::AffineExpr toModel(mlir::AffineExpr e) const;
  void resolveSymbols();
  Tensor *define(mlir::Value value, Tensor tensor);
  void importBlock(mlir::Block &block);
  void importNode(onnx::NodeOp node);
  std::optional<Tensor> describe(mlir::Type type);
  bool declareInput(unsigned i, llvm::SmallVectorImpl<mlir::Type> &types,
                    llvm::SmallVectorImpl<bool> &isUnsigned);
};

/// The dims of an input in terms of the model's symbols, by position in `symbols`; adds what is
/// new.
bool collectSymbols(onnx::GraphOp graph, std::vector<SymbolInfo> &symbols);
llvm::SmallVector<mlir::AffineExpr> inputDims(onnx::GraphOp graph, unsigned input,
                                              const std::vector<SymbolInfo> &symbols);

/// Scalar code inside a graph.map.
struct Scalars {
  mlir::OpBuilder &b;
  mlir::Location loc;
  mlir::Value f(double value, mlir::Type type);
  mlir::Value i(int64_t value, mlir::Type type);
  mlir::Value constantLike(double value, mlir::Value like);
  /// A dim expression as i64.
  mlir::Value extent(mlir::AffineExpr e);
  /// ONNX Cast between scalar types.
  mlir::Value cast(mlir::Value v, bool fromUnsigned, mlir::Type to, bool toUnsigned);
};

/// What an importer sees of one node.
class Node {
public:
  Node(Importer &importer, onnx::NodeOp op);

  Importer &importer;
  onnx::NodeOp op;
  mlir::OpBuilder &b;
  mlir::MLIRContext *context;
  mlir::Location loc;
  int64_t opset;

  // Inputs.
  unsigned inputs() { return op.getOperands().size(); }
  bool has(unsigned i) const;
  Tensor &in(unsigned i) { return *operands[i]; }
  mlir::Value value(unsigned i) { return importer.materialize(in(i), loc); }
  mlir::Value value(Tensor &t) { return importer.materialize(t, loc); }
  /// Known elements of input i, or null (read from the weight if it is one).
  const Contents *contents(unsigned i) {
    return has(i) ? importer.contentsOf(in(i), loc) : nullptr;
  }
  /// The elements of an integer input that must be known; reports and fails if they are not.
  mlir::FailureOr<llvm::SmallVector<mlir::AffineExpr>> knownInts(unsigned i, llvm::StringRef what);
  mlir::FailureOr<llvm::SmallVector<int64_t>> constantInts(unsigned i, llvm::StringRef what);
  /// The elements of a constant input as numbers.
  mlir::FailureOr<llvm::SmallVector<double>> constantFloats(unsigned i, llvm::StringRef what);

  // Attributes.
  bool hasAttr(llvm::StringRef name) { return static_cast<bool>(op.getAttribute(name)); }
  int64_t attr(llvm::StringRef name, int64_t otherwise);
  double attrFloat(llvm::StringRef name, double otherwise);
  std::string attrString(llvm::StringRef name, llvm::StringRef otherwise);
  std::optional<llvm::SmallVector<int64_t>> attrInts(llvm::StringRef name);

  // Results.
  unsigned results() { return op.getNumResults(); }
  bool used(unsigned i) { return i < op.getNumResults() && !op.getResult(i).use_empty(); }
  mlir::LogicalResult set(unsigned i, Tensor tensor);
  mlir::LogicalResult set(unsigned i, mlir::Value value, bool isUnsigned = false);
  mlir::LogicalResult alias(unsigned i, unsigned input) { return set(i, in(input)); }

  // Failure: recorded, reported with all others at the end.
  mlir::LogicalResult unsupported(const llvm::Twine &reason);
  mlir::LogicalResult invalid(const llvm::Twine &reason);

  // Dims.
  mlir::AffineExpr cst(int64_t v) { return mlir::getAffineConstantExpr(v, context); }
  /// `axis` counted from the front; fails on one out of range.
  mlir::FailureOr<int64_t> axis(int64_t axis, int64_t rank);
  /// Whether an input is a vector of this extent; unify makes an extent that is not known be it.
  bool isVector(unsigned input, mlir::AffineExpr extent);
  /// Numpy broadcast of two shapes.
  mlir::FailureOr<llvm::SmallVector<mlir::AffineExpr>>
  broadcast(llvm::ArrayRef<mlir::AffineExpr> a, llvm::ArrayRef<mlir::AffineExpr> b);

  // Building.
  Tensor tensor(mlir::Value value, bool isUnsigned = false);
  using Body = llvm::function_ref<mlir::Value(Scalars &, llvm::ArrayRef<mlir::Value>)>;
  /// A graph.map over `dims`; operands broadcast into it (numpy rules), known single elements
  /// become constants of the region. f16 and bf16 scalars reach the body as f32; the result is
  /// rounded to `element`.
  mlir::Value map(llvm::ArrayRef<Tensor *> operands, llvm::ArrayRef<mlir::AffineExpr> dims,
                  mlir::Type element, Body body);
  /// The same with a map per operand.
  mlir::Value mapWith(mlir::ValueRange operands, llvm::ArrayRef<mlir::AffineMap> maps,
                      llvm::ArrayRef<mlir::AffineExpr> dims, mlir::Type element, Body body);
  mlir::Value reshape(mlir::Value v, llvm::ArrayRef<mlir::AffineExpr> dims);
  mlir::Value transpose(mlir::Value v, llvm::ArrayRef<int64_t> permutation);
  mlir::Value reduce(graph::ReduceKind kind, mlir::Value v, llvm::ArrayRef<int64_t> dims);
  mlir::Value slice(mlir::Value v, llvm::ArrayRef<mlir::AffineExpr> offsets,
                    llvm::ArrayRef<int64_t> steps, llvm::ArrayRef<mlir::AffineExpr> dims);
  mlir::Value concat(llvm::ArrayRef<mlir::Value> parts, int64_t axis);
  mlir::Value expand(mlir::Value v, llvm::ArrayRef<mlir::AffineExpr> dims);
  mlir::Value cast(mlir::Value v, mlir::Type element);
  mlir::Value constant(llvm::ArrayRef<double> values, mlir::Type element,
                       llvm::ArrayRef<int64_t> shape);

private:
  llvm::SmallVector<Tensor *> operands;
  friend class Importer;
};

using ImportFn = mlir::LogicalResult (*)(Node &);

/// Which element types the first input, which must be there, may have; none where there is no
/// input.
enum Types : unsigned {
  kNone = 0,
  kFloat = 1,
  kInt = 2,
  kBool = 4,
  kNumeric = kFloat | kInt,
  kAny = kNumeric | kBool,
  kSame = 8 ///< and all other inputs have that of the first
};

/// One line of the operator table.
struct OpEntry {
  llvm::StringLiteral domain, name;
  int64_t since; ///< the first opset version whose semantics the importer has
  unsigned types;
  ImportFn import;
};

/// The importer of an operator, or null.
const OpEntry *findOp(llvm::StringRef domain, llvm::StringRef name);

/// The elements of a `dense` or handle attribute of a node; empty optional for what has no known
/// elements.
std::optional<Tensor> tensorOfAttribute(mlir::Attribute value);

} // namespace ciuic::legalize
