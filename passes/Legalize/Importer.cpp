// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The walk over an onnx.graph: symbols, inputs, constants, nodes, results. Operators themselves are
// imported in Ops/.
//
// A walk assumes that the model's symbols are independent. Where a node shows otherwise (`total`
// must equal `past + seq`), the news is kept and the walk done again, so that no type ever has to
// be rewritten.
#include "passes/Legalize/Importer.h"
#include "passes/Legalize/DimExpr.h"

using namespace mlir;

namespace ciuic::legalize {

Importer::Importer(onnx::GraphOp graph, const LegalizeOptions &options,
                   std::vector<SymbolInfo> &symbols, Findings &findings)
    : builder(graph.getContext()), options(options), findings(findings), graph(graph),
      symbols(symbols) {}

// --- Symbols ---

void Importer::resolveSymbols() {
  MLIRContext *context = builder.getContext();
  compact.assign(symbols.size(), AffineExpr());
  live.clear();
  bounds = {};
  for (auto [i, symbol] : llvm::enumerate(symbols)) {
    if (!symbol.equals && symbol.lower != symbol.upper) {
      compact[i] = getAffineSymbolExpr(live.size(), context);
      live.push_back(i);
      bounds.lower.push_back(symbol.lower);
      bounds.upper.push_back(symbol.upper);
    } else if (!symbol.equals) {
      compact[i] = getAffineConstantExpr(symbol.lower, context);
    }
  }
  // An expression may mention symbols that are expressions themselves; each round resolves one
  // level.
  std::vector<AffineExpr> resolved(symbols.size());
  for (auto [i, symbol] : llvm::enumerate(symbols)) {
    if (symbol.equals) {
      SmallVector<AffineExpr> model;
      for (auto [j, other] : llvm::enumerate(symbols)) {
        model.push_back(other.equals ? other.equals : getAffineSymbolExpr(j, context));
      }
      AffineExpr e = symbol.equals;
      for (size_t round = 0; round < symbols.size(); ++round) {
        AffineExpr next = substitute(e, model);
        if (next == e) {
          break;
        }
        e = next;
      }
      resolved[i] = e;
    }
  }
  SmallVector<AffineExpr> plain(compact);
  for (auto [i, symbol] : llvm::enumerate(symbols)) {
    if (symbol.equals) {
      compact[i] = substitute(resolved[i], plain);
    }
  }
}

AffineExpr Importer::toModel(AffineExpr e) const {
  SmallVector<AffineExpr> model;
  for (unsigned i : live) {
    model.push_back(getAffineSymbolExpr(i, e.getContext()));
  }
  return substitute(e, model);
}

std::optional<bool> Importer::lessOrEqual(AffineExpr a, AffineExpr b) const {
  graph::Interval d = interval(canonical(b - a));
  if (d.lower && *d.lower >= 0) {
    return true;
  }
  return d.upper && *d.upper < 0 ? std::optional(false) : std::nullopt;
}

std::optional<bool> Importer::equal(AffineExpr a, AffineExpr b) const {
  AffineExpr d = canonical(b - a);
  if (auto value = constantOf(d)) {
    return *value == 0;
  }
  graph::Interval range = interval(d);
  bool apart = (range.lower && *range.lower > 0) || (range.upper && *range.upper < 0);
  return apart ? std::optional(false) : std::nullopt;
}

AffineExpr Importer::unify(AffineExpr a, AffineExpr b) {
  auto same = equal(a, b);
  auto symbolOf = [&](AffineExpr e) { return dyn_cast<AffineSymbolExpr>(e); };
  if (same == true) {
    return a;
  }
  if (constantOf(a) && constantOf(b)) {
    return {};
  }
  auto sa = symbolOf(a), sb = symbolOf(b);
  if (sa && sb && sa.getPosition() < sb.getPosition()) {
    std::swap(a, b);
    std::swap(sa, sb);
  }
  if (!sa && sb) {
    std::swap(a, b);
    std::swap(sa, sb);
  }
  if (sa && !mentions(b, sa.getPosition())) {
    SymbolInfo &symbol = symbols[live[sa.getPosition()]];
    if (auto value = constantOf(b)) {
      if (!symbol.isDefault && (*value < symbol.lower || *value > symbol.upper)) {
        return {};
      }
    } else if (sb) {
      SymbolInfo &other = symbols[live[sb.getPosition()]];
      if (other.isDefault && !symbol.isDefault) {
        other.lower = symbol.lower;
        other.upper = symbol.upper;
        other.isDefault = false;
      } else if (other.isDefault == symbol.isDefault) {
        int64_t lower = std::max(other.lower, symbol.lower),
                upper = std::min(other.upper, symbol.upper);
        if (lower > upper) {
          return {};
        }
        other.lower = lower;
        other.upper = upper;
      }
    } else if (same == false && !symbol.isDefault) {
      return {};
    }
    symbol.equals = toModel(b);
    restartAsked = true;
    return b;
  }
  if (same == false) {
    return {};
  }
  constraints.insert(canonical(a - b));
  return constantOf(b) ? b : a;
}

/// The only symbol in `e`, if there is one and its bounds are defaults.
static std::optional<unsigned> onlyDefault(AffineExpr e, ArrayRef<unsigned> live,
                                           ArrayRef<SymbolInfo> symbols) {
  std::optional<unsigned> found;
  bool several = false;
  e.walk([&](AffineExpr x) {
    if (auto s = dyn_cast<AffineSymbolExpr>(x)) {
      several |= found && *found != s.getPosition();
      found = s.getPosition();
    }
  });
  return found && !several && symbols[live[*found]].isDefault ? found : std::nullopt;
}

bool Importer::limit(AffineExpr e, int64_t most) {
  auto position = onlyDefault(e, live, symbols);
  if (!position) {
    return false;
  }
  SymbolInfo &symbol = symbols[live[*position]];
  for (graph::Bounds trial = bounds; --trial.upper[*position] >= symbol.lower;) {
    auto range = graph::intervalOf(e, trial);
    if (range.upper && *range.upper <= most) {
      symbol.upper = std::min(symbol.upper, trial.upper[*position]);
      restartAsked = true;
      return true;
    }
  }
  return false;
}

bool Importer::raise(AffineExpr e, int64_t least) {
  auto position = onlyDefault(e, live, symbols);
  if (!position) {
    return false;
  }
  SymbolInfo &symbol = symbols[live[*position]];
  for (graph::Bounds trial = bounds; ++trial.lower[*position] <= symbol.upper;) {
    auto range = graph::intervalOf(e, trial);
    if (range.lower && *range.lower >= least) {
      symbol.lower = std::max(symbol.lower, trial.lower[*position]);
      restartAsked = true;
      return true;
    }
  }
  return false;
}

bool collectSymbols(onnx::GraphOp graph, std::vector<SymbolInfo> &symbols) {
  auto add = [&](StringRef name, unsigned axis) {
    if (llvm::none_of(symbols, [&](const SymbolInfo &s) { return s.name == name; })) {
      symbols.push_back({name.str(), 1, axis == 0 ? 4 : 512, true, {}});
    }
  };
  auto forEachDim = [&](auto visit) {
    for (auto [i, argument] : llvm::enumerate(graph.getBody().getArguments())) {
      auto type = dyn_cast<RankedTensorType>(argument.getType());
      ArrayAttr names = type ? onnx::dimNames(type) : ArrayAttr();
      for (int64_t axis = 0; type && axis < type.getRank(); ++axis) {
        if (type.isDynamicDim(axis)) {
          visit(i, axis, names ? dyn_cast<StringAttr>(names[axis]) : StringAttr());
        }
      }
    }
  };
  // Names first, so that an expression counts as one only if each of its names is a dim of its own
  // somewhere.
  forEachDim([&](unsigned i, unsigned axis, StringAttr name) {
    if (!name || name.getValue().trim().empty()) {
      add((graph.getInputName(i) + "." + Twine(axis)).str(), axis);
    } else if (!hasOperator(name.getValue())) {
      add(name.getValue().trim(), axis);
    }
  });
  forEachDim([&](unsigned i, unsigned axis, StringAttr name) {
    if (name && hasOperator(name.getValue())) {
      bool known =
          static_cast<bool>(parseDim(name.getValue(), graph.getContext(), [&](StringRef word) {
            bool found = llvm::any_of(symbols, [&](const SymbolInfo &s) { return s.name == word; });
            return found ? getAffineSymbolExpr(0, graph.getContext()) : AffineExpr();
          }));
      if (!known) {
        add(name.getValue().trim(), axis);
      }
    }
  });
  // What an append grows from starts at nothing.
  graph.walk([&](onnx::NodeOp node) {
    if (node.getOpType() != "Concat" || node.getOperands().empty()) {
      return;
    }
    auto argument = dyn_cast<BlockArgument>(node.getOperand(0));
    auto axis = dyn_cast_or_null<IntegerAttr>(node.getAttribute("axis"));
    if (!argument || argument.getOwner() != &graph.getBody().front() || !axis) {
      return;
    }
    auto dims = inputDims(graph, argument.getArgNumber(), symbols);
    int64_t position =
        axis.getInt() < 0 ? axis.getInt() + static_cast<int64_t>(dims.size()) : axis.getInt();
    if (position >= 0 && position < static_cast<int64_t>(dims.size())) {
      if (auto symbol = dyn_cast<AffineSymbolExpr>(dims[position])) {
        symbols[symbol.getPosition()].lower = 0;
      }
    }
  });
  return true;
}

SmallVector<AffineExpr> inputDims(onnx::GraphOp graph, unsigned input,
                                  const std::vector<SymbolInfo> &symbols) {
  MLIRContext *context = graph.getContext();
  auto symbolOf = [&](StringRef name) {
    for (auto [i, symbol] : llvm::enumerate(symbols)) {
      if (symbol.name == name) {
        return getAffineSymbolExpr(i, context);
      }
    }
    return AffineExpr();
  };
  SmallVector<AffineExpr> dims;
  auto type = dyn_cast<RankedTensorType>(graph.getBody().getArgument(input).getType());
  ArrayAttr names = type ? onnx::dimNames(type) : ArrayAttr();
  for (int64_t axis = 0; type && axis < type.getRank(); ++axis) {
    auto name = names ? dyn_cast<StringAttr>(names[axis]) : StringAttr();
    AffineExpr dim;
    if (!type.isDynamicDim(axis)) {
      dim = getAffineConstantExpr(type.getDimSize(axis), context);
    } else if (!name || name.getValue().trim().empty()) {
      dim = symbolOf((graph.getInputName(input) + "." + Twine(axis)).str());
    } else {
      dim = symbolOf(name.getValue().trim());
      if (!dim) {
        dim = parseDim(name.getValue(), context, symbolOf);
      }
    }
    dims.push_back(dim);
  }
  return dims;
}

// --- Values ---

/// Fills element type and signedness; false for what the graph level has no tensors of.
static bool setElement(Tensor &tensor, Type element) {
  tensor.element = element;
  if (auto integer = dyn_cast<IntegerType>(element)) {
    unsigned width = integer.getWidth();
    tensor.isUnsigned = integer.isUnsigned();
    tensor.element = IntegerType::get(element.getContext(), width);
    return width == 1 || width == 8 || width == 16 || width == 32 || width == 64;
  }
  return element.isF16() || element.isBF16() || element.isF32() || element.isF64();
}

Contents Contents::pick(ArrayRef<int64_t> positions) const {
  Contents result;
  result.isFloat = isFloat;
  for (int64_t p : positions) {
    if (isFloat) {
      result.floats.push_back(real(p));
    } else {
      result.ints.push_back(integer(p));
    }
  }
  return result;
}

std::optional<int64_t> Tensor::count(int64_t cap) const {
  int64_t n = 1;
  for (AffineExpr dim : dims) {
    auto extent = constantOf(dim);
    if (!extent || llvm::MulOverflow(n, *extent, n)) {
      return std::nullopt;
    }
  }
  return n <= cap ? std::optional(n) : std::nullopt;
}

std::optional<Tensor> tensorOfAttribute(Attribute attribute) {
  Tensor tensor;
  auto typed = dyn_cast_or_null<TypedAttr>(attribute);
  auto type = typed ? dyn_cast<RankedTensorType>(typed.getType()) : RankedTensorType();
  if (!type || !type.hasStaticShape() || !setElement(tensor, type.getElementType())) {
    return std::nullopt;
  }
  for (int64_t extent : type.getShape()) {
    tensor.dims.push_back(getAffineConstantExpr(extent, type.getContext()));
  }
  if (auto weight = dyn_cast<onnx::WeightAttr>(attribute)) {
    tensor.weight = weight;
    return tensor;
  }
  auto dense = dyn_cast<DenseElementsAttr>(attribute);
  if (!dense) {
    return std::nullopt;
  }
  Contents contents;
  contents.isFloat = tensor.isFloat();
  contents.uniform = dense.isSplat() && dense.getNumElements() > 1;
  int64_t n = contents.uniform ? 1 : dense.getNumElements();
  if (contents.isFloat) {
    auto values = dense.getValues<APFloat>();
    for (int64_t i = 0; i < n; ++i) {
      APFloat v = values[i];
      bool lost;
      v.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
      contents.floats.push_back(v.convertToDouble());
    }
  } else {
    auto values = dense.getValues<APInt>();
    for (int64_t i = 0; i < n; ++i) {
      APInt v = values[i];
      bool zeroExtend = tensor.isUnsigned || tensor.isBool();
      contents.ints.push_back(getAffineConstantExpr(
          zeroExtend ? static_cast<int64_t>(v.getZExtValue()) : v.getSExtValue(),
          type.getContext()));
    }
  }
  tensor.contents = std::move(contents);
  return tensor;
}

static double readFloat(const char *bytes, Type element) {
  const llvm::fltSemantics &semantics = cast<FloatType>(element).getFloatSemantics();
  unsigned width = element.getIntOrFloatBitWidth();
  uint64_t bits = 0;
  std::memcpy(&bits, bytes, width / 8);
  APFloat v(semantics, APInt(width, bits));
  bool lost;
  v.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
  return v.convertToDouble();
}

const Contents *Importer::contentsOf(Tensor &tensor, Location location) {
  constexpr int64_t limit = 1 << 20;
  if (tensor.contents || !tensor.weight) {
    return tensor.contents ? &*tensor.contents : nullptr;
  }
  auto n = tensor.count(limit);
  int64_t width = graph::elementBytes(tensor.element);
  std::vector<char> bytes;
  if (!n || *n * width > limit || !options.readWeight ||
      !options.readWeight(tensor.weight, location, bytes) ||
      static_cast<int64_t>(bytes.size()) != *n * width) {
    return nullptr;
  }
  Contents contents;
  contents.isFloat = tensor.isFloat();
  for (int64_t i = 0; i < *n; ++i) {
    const char *p = bytes.data() + i * width;
    if (contents.isFloat) {
      contents.floats.push_back(readFloat(p, tensor.element));
    } else {
      uint64_t raw = 0;
      std::memcpy(&raw, p, width);
      unsigned shift = 64 - 8 * width;
      int64_t v = tensor.isUnsigned || tensor.isBool()
                      ? static_cast<int64_t>(raw)
                      : static_cast<int64_t>(raw << shift) >> shift;
      contents.ints.push_back(getAffineConstantExpr(v, builder.getContext()));
    }
  }
  tensor.contents = std::move(contents);
  return &*tensor.contents;
}

/// A constant of known elements; null if they are too many or not all numbers.
static Value constantOf(OpBuilder &b, Location loc, const Tensor &tensor) {
  const Contents &contents = *tensor.contents;
  auto n = tensor.count();
  bool symbolic = llvm::any_of(contents.ints, [](AffineExpr e) { return !constantOf(e); });
  if (!n || symbolic || *n * graph::elementBytes(tensor.element) > graph::ConstantOp::maxBytes) {
    return {};
  }
  SmallVector<Attribute> values;
  for (size_t i = 0; i < (contents.uniform ? std::min<size_t>(1, *n) : contents.size()); ++i) {
    if (contents.isFloat) {
      values.push_back(b.getFloatAttr(tensor.element, contents.real(i)));
    } else {
      int64_t v = *constantOf(contents.integer(i));
      values.push_back(
          b.getIntegerAttr(tensor.element, APInt(tensor.element.getIntOrFloatBitWidth(), v,
                                                 /*isSigned=*/false, /*implicitTrunc=*/true)));
    }
  }
  auto type = tensor.type();
  auto value = *n == 0 ? DenseElementsAttr::get(type, ArrayRef<Attribute>())
                       : DenseElementsAttr::get(type, values);
  return graph::ConstantOp::create(b, loc, type, value);
}

Value Importer::materialize(Tensor &tensor, Location location) {
  if (tensor.value) {
    return tensor.value;
  }
  Location loc =
      tensor.name.empty() ? location : Location(NameLoc::get(builder.getStringAttr(tensor.name)));
  if (tensor.count() == 0) {
    // Nothing is stored for an empty tensor.
    tensor.value = graph::MapOp::create(
                       builder, loc, TypeRange(tensor.type()), ValueRange(), ArrayRef<AffineMap>(),
                       [&](OpBuilder &b, Location l, ValueRange) {
                         Scalars s{b, l};
                         return SmallVector<Value>{tensor.isFloat() ? s.f(0, tensor.element)
                                                                    : s.i(0, tensor.element)};
                       })
                       .getResult(0);
    return tensor.value;
  }
  if (tensor.weight && tensor.weight.getEncoding() == onnx::Encoding::Varint) {
    contentsOf(tensor, location);
  } else if (tensor.weight) {
    tensor.value = graph::WeightOp::create(builder, loc, tensor.type(), tensor.name,
                                           tensor.weight.getFile(), tensor.weight.getOffset(),
                                           tensor.weight.getBytes(), graph::PackingAttr());
    return tensor.value;
  }
  if (!tensor.contents) {
    problems.push_back({{"unsupported.weight-encoding"},
                        "weight",
                        tensor.name,
                        "integer weights written as varints are read only up to 64 KiB; save the "
                        "model again with a "
                        "current exporter",
                        location});
    tensor.value = graph::ConstantOp::create(
        builder, loc, RankedTensorType::get({0}, tensor.element),
        DenseElementsAttr::get(RankedTensorType::get({0}, tensor.element), ArrayRef<Attribute>()));
    return tensor.value;
  }
  if ((tensor.value = constantOf(builder, loc, tensor))) {
    return tensor.value;
  }
  // Not a constant: a value of the entry's symbols, computed where it is needed.
  const Contents &contents = *tensor.contents;
  auto type = tensor.type();
  tensor.value = graph::MapOp::create(
                     builder, loc, TypeRange(type), ValueRange(), ArrayRef<AffineMap>(),
                     [&](OpBuilder &b, Location l, ValueRange) {
                       Scalars s{b, l};
                       auto element = [&](size_t i) -> Value {
                         if (contents.isFloat) {
                           return s.f(contents.real(i), tensor.element);
                         }
                         if (auto v = constantOf(contents.integer(i))) {
                           return s.i(*v, tensor.element);
                         }
                         Value v = s.extent(contents.integer(i));
                         return s.cast(v, false, tensor.element, tensor.isUnsigned);
                       };
                       Value result = element(0);
                       if (!contents.uniform && contents.size() > 1) {
                         Value position = s.i(0, b.getI64Type());
                         for (int64_t d = 0; d < tensor.rank(); ++d) {
                           Value index =
                               graph::IndexOp::create(b, l, b.getI64Type(), b.getI64IntegerAttr(d));
                           Value extent = s.extent(tensor.dims[d]);
                           position = arith::MulIOp::create(b, l, position, extent);
                           position = arith::AddIOp::create(b, l, position, index);
                         }
                         for (size_t i = 1; i < contents.size(); ++i) {
                           Value here = arith::CmpIOp::create(b, l, arith::CmpIPredicate::eq,
                                                              position, s.i(i, b.getI64Type()));
                           result = arith::SelectOp::create(b, l, here, element(i), result);
                         }
                       }
                       return SmallVector<Value>{result};
                     })
                     .getResult(0);
  return tensor.value;
}

Tensor *Importer::define(Value value, Tensor tensor) {
  storage.push_back(std::make_unique<Tensor>(std::move(tensor)));
  tensors[value] = storage.back().get();
  return storage.back().get();
}

// --- The walk ---

void Importer::importNode(onnx::NodeOp op) {
  Node node(*this, op);
  const OpEntry *entry = findOp(op.getDomain(), op.getOpType());
  StringRef domain = op.getDomain();
  std::string shown = (domain.empty() ? op.getOpType() : domain + "." + op.getOpType()).str();
  auto report = [&](StringRef reason) {
    problems.push_back(
        {{"unsupported.operator"}, shown, op.getNodeName().str(), reason.str(), op.getLoc()});
  };
  bool isIf = op.getOpType() == "If" && domain.empty();
  if (!entry && !isIf) {
    return report("");
  }
  // A node that reads what a failed node should have made says nothing new.
  for (unsigned i = 0; i < op.getOperands().size(); ++i) {
    if (!isa<NoneType>(op.getOperand(i).getType()) && !node.operands[i]) {
      return;
    }
  }
  if (isIf) {
    const Contents *condition = node.inputs() == 1 ? node.contents(0) : nullptr;
    auto value = condition && condition->size() == 1 && !condition->isFloat
                     ? constantOf(condition->integer(0))
                     : std::nullopt;
    Region *region = value ? op.getBody(*value ? "then_branch" : "else_branch") : nullptr;
    if (!region) {
      return report(
          "the condition depends on data; only conditions known at compile time are followed");
    }
    importBlock(region->front());
    auto yielded = cast<onnx::ReturnOp>(region->front().getTerminator());
    for (auto [result, source] : llvm::zip(op.getResults(), yielded.getOperands())) {
      if (Tensor *t = tensors.lookup(source)) {
        define(result, *t);
      }
    }
    return;
  }
  if (node.opset != 0 && node.opset < entry->since) {
    return report(
        ("needs opset " + Twine(entry->since) + " or later, the model has " + Twine(node.opset))
            .str());
  }
  if (entry->types != kNone && !node.has(0)) {
    (void)node.invalid("its first input is missing");
    return;
  }
  if (node.has(0)) {
    Tensor &first = node.in(0);
    unsigned kind = first.isFloat() ? kFloat : first.isBool() ? kBool : kInt;
    if (!(entry->types & kind)) {
      std::string type;
      llvm::raw_string_ostream(type) << first.element;
      return report("does not take elements of type " + type);
    }
  }
  for (unsigned i = 1; (entry->types & kSame) && i < node.inputs(); ++i) {
    if (node.has(i) && (node.in(i).element != node.in(0).element ||
                        node.in(i).isUnsigned != node.in(0).isUnsigned)) {
      (void)node.invalid("inputs have different element types");
      return;
    }
  }
  size_t before = problems.size();
  if (failed(entry->import(node)) && problems.size() == before) {
    report("has a form that is not covered");
  }
}

void Importer::importBlock(Block &block) {
  auto importStored = [&](auto op, Attribute contents) {
    if (auto tensor = tensorOfAttribute(contents)) {
      tensor->name = op.getName().str();
      define(op.getResult(), std::move(*tensor));
    } else if (!op.getResult().use_empty()) {
      std::string type;
      llvm::raw_string_ostream(type) << op.getResult().getType();
      problems.push_back({{"unsupported.type"},
                          "initializer",
                          op.getName().str(),
                          "of type " + type,
                          op.getLoc()});
    }
  };
  for (Operation &op : block) {
    llvm::TypeSwitch<Operation *>(&op)
        .Case([&](onnx::WeightOp weight) { importStored(weight, weight.getHandle()); })
        .Case([&](onnx::ConstantOp constant) { importStored(constant, constant.getValue()); })
        .Case([&](onnx::NodeOp node) { importNode(node); });
  }
}

bool Importer::declareInput(unsigned i, SmallVectorImpl<Type> &types,
                            SmallVectorImpl<bool> &isUnsigned) {
  BlockArgument argument = graph.getBody().getArgument(i);
  auto type = dyn_cast<RankedTensorType>(argument.getType());
  Tensor tensor;
  if (!type || !setElement(tensor, type.getElementType())) {
    std::string text;
    llvm::raw_string_ostream(text) << argument.getType();
    problems.push_back({{"unsupported.type"},
                        "input",
                        graph.getInputName(i).str(),
                        "of type " + text + "; an input needs a numeric element type and a rank",
                        graph.getLoc()});
    return false;
  }
  for (AffineExpr dim : inputDims(graph, i, symbols)) {
    if (!dim) {
      problems.push_back({{"input.dim"},
                          "input",
                          graph.getInputName(i).str(),
                          "has a dim that is no expression",
                          graph.getLoc()});
      return false;
    }
    tensor.dims.push_back(substitute(dim, compact));
    graph::Interval range = interval(tensor.dims.back());
    if (!range.lower || *range.lower < 0 || !range.upper || *range.upper > (int64_t(1) << 40)) {
      problems.push_back({{"input.dim"},
                          "input",
                          graph.getInputName(i).str(),
                          "has a dim whose bounds leave 0 to 2^40; give bounds with --entry",
                          graph.getLoc()});
      return false;
    }
  }
  types.push_back(tensor.type());
  isUnsigned.push_back(tensor.isUnsigned);
  define(argument, std::move(tensor));
  return true;
}

func::FuncOp Importer::run(ModuleOp module, StringRef name, bool &restart) {
  // 1. Settle the symbols and declare the inputs.
  resolveSymbols();
  SmallVector<Type> types;
  SmallVector<bool> isUnsigned;
  unsigned inputs = graph.getBody().getNumArguments();
  for (unsigned i = 0; i < inputs; ++i) {
    declareInput(i, types, isUnsigned);
  }
  restart = false;
  if (types.size() != inputs) {
    return {};
  }
  builder.setInsertionPointToEnd(module.getBody());
  auto function =
      func::FuncOp::create(builder, graph.getLoc(), name, builder.getFunctionType(types, {}));
  Block *body = function.addEntryBlock();
  for (unsigned i = 0; i < inputs; ++i) {
    function.setArgAttr(i, "graph.name", builder.getStringAttr(graph.getInputName(i)));
    if (isUnsigned[i]) {
      function.setArgAttr(i, "graph.unsigned", builder.getUnitAttr());
    }
    tensors[graph.getBody().getArgument(i)]->value = body->getArgument(i);
  }
  builder.setInsertionPointToStart(body);

  // 2. Walk the nodes.
  importBlock(graph.getBody().front());

  // 3. Results: each a value of its own, never an argument or a constant, so that each has a
  // buffer.
  onnx::ReturnOp ret = graph.getReturn();
  SmallVector<Value> returned;
  SmallVector<bool> unsignedResult;
  for (auto [i, source] : llvm::enumerate(ret.getOperands())) {
    Tensor *tensor = tensors.lookup(source);
    if (!tensor) {
      continue;
    }
    Value v = materialize(*tensor, ret.getLoc());
    if (isa<BlockArgument>(v) || isa<graph::WeightOp, graph::ConstantOp>(v.getDefiningOp()) ||
        llvm::is_contained(returned, v)) {
      AffineMap identity = builder.getMultiDimIdentityMap(tensor->rank());
      v = graph::MapOp::create(builder, ret.getLoc(), TypeRange(v.getType()), ValueRange(v),
                               {identity},
                               [](OpBuilder &, Location, ValueRange args) {
                                 return SmallVector<Value>(args.begin(), args.end());
                               })
              .getResult(0);
    }
    returned.push_back(v);
    unsignedResult.push_back(tensor->isUnsigned);
  }
  restart = restartAsked;
  if (restart || !problems.empty()) {
    function.erase();
    return {};
  }
  if (returned.size() != ret.getNumOperands()) {
    problems.push_back(
        {{"input.output"}, "output", "", "an output is never computed", graph.getLoc()});
    function.erase();
    return {};
  }
  func::ReturnOp::create(builder, ret.getLoc(), returned);
  function.setFunctionType(builder.getFunctionType(types, ValueRange(returned).getTypes()));
  for (auto [i, resultName] : llvm::enumerate(ret.getNames().getAsRange<StringAttr>())) {
    function.setResultAttr(i, "graph.name", resultName);
    if (unsignedResult[i]) {
      function.setResultAttr(i, "graph.unsigned", builder.getUnitAttr());
    }
  }
  SmallVector<Attribute> attributes;
  for (unsigned i : live) {
    attributes.push_back(graph::SymbolAttr::get(builder.getContext(), symbols[i].name,
                                                symbols[i].lower, symbols[i].upper));
  }
  function->setAttr("graph.symbols", builder.getArrayAttr(attributes));
  if (!constraints.empty()) {
    SmallVector<Attribute> maps;
    for (AffineExpr e : constraints) {
      maps.push_back(AffineMapAttr::get(AffineMap::get(0, live.size(), e)));
    }
    function->setAttr("graph.constraints", builder.getArrayAttr(maps));
  }
  return function;
}

} // namespace ciuic::legalize
