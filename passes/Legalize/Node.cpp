// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What operator importers build with: inputs, attributes, shapes, maps and the usual graph ops.
#include "passes/Legalize/DimExpr.h"
#include "passes/Legalize/Importer.h"

#include <cmath>

using namespace mlir;

namespace ciuic::legalize {

Node::Node(Importer &importer, onnx::NodeOp op)
    : importer(importer), op(op), b(importer.builder), context(op.getContext()), loc(op.getLoc()),
      opset(op.getOpsetVersion()) {
  for (Value operand : op.getOperands()) {
    operands.push_back(importer.tensors.lookup(operand));
  }
}

bool Node::has(unsigned i) const { return i < operands.size() && operands[i]; }

LogicalResult Node::unsupported(const Twine &reason) {
  StringRef domain = op.getDomain();
  importer.problems.push_back(
      {{"unsupported.form"},
       (domain.empty() ? op.getOpType() : domain + "." + op.getOpType()).str(),
       op.getNodeName().str(),
       reason.str(),
       loc});
  return failure();
}

LogicalResult Node::invalid(const Twine &reason) {
  importer.problems.push_back(
      {{"input.node"}, op.getOpType().str(), op.getNodeName().str(), reason.str(), loc});
  return failure();
}

// --- Known elements and attributes ---

FailureOr<SmallVector<AffineExpr>> Node::knownInts(unsigned i, StringRef what) {
  const Contents *known = contents(i);
  if (!known || known->isFloat) {
    return unsupported(what + " depends on data; it must follow from the inputs' shapes");
  }
  SmallVector<AffineExpr> result;
  auto n = in(i).count(kMaxFollowed);
  if (!n) {
    return unsupported(what + " has too many elements");
  }
  for (int64_t k = 0; k < *n; ++k) {
    result.push_back(known->integer(k));
  }
  return result;
}

FailureOr<SmallVector<int64_t>> Node::constantInts(unsigned i, StringRef what) {
  auto known = knownInts(i, what);
  if (failed(known)) {
    return failure();
  }
  SmallVector<int64_t> result;
  for (AffineExpr e : *known) {
    auto v = constantOf(e);
    if (!v) {
      return unsupported(what + " varies with the inputs' shapes; it must be constant");
    }
    result.push_back(*v);
  }
  return result;
}

FailureOr<SmallVector<double>> Node::constantFloats(unsigned i, StringRef what) {
  const Contents *known = contents(i);
  auto n = known ? in(i).count(int64_t(1) << 20) : std::nullopt;
  if (!known || !n) {
    return unsupported(what + " must be constant (at most 1 MiB)");
  }
  SmallVector<double> result;
  for (int64_t k = 0; k < *n; ++k) {
    if (known->isFloat) {
      result.push_back(known->real(k));
    } else if (auto v = constantOf(known->integer(k))) {
      result.push_back(static_cast<double>(*v));
    } else {
      return unsupported(what + " must be constant");
    }
  }
  return result;
}

int64_t Node::attr(StringRef name, int64_t otherwise) {
  auto value = dyn_cast_or_null<IntegerAttr>(op.getAttribute(name));
  return value && value.getType().isInteger(64) ? value.getInt() : otherwise;
}
double Node::attrFloat(StringRef name, double otherwise) {
  auto value = dyn_cast_or_null<FloatAttr>(op.getAttribute(name));
  return value ? value.getValueAsDouble() : otherwise;
}
std::string Node::attrString(StringRef name, StringRef otherwise) {
  auto value = dyn_cast_or_null<StringAttr>(op.getAttribute(name));
  return value ? value.str() : otherwise.str();
}
std::optional<SmallVector<int64_t>> Node::attrInts(StringRef name) {
  auto value = dyn_cast_or_null<DenseI64ArrayAttr>(op.getAttribute(name));
  return value ? std::optional(llvm::to_vector(value.asArrayRef())) : std::nullopt;
}

// --- Results ---

LogicalResult Node::set(unsigned i, Tensor tensor) {
  if (i >= op.getNumResults()) {
    return success(); // An optional output that the model leaves out.
  }
  int64_t most = 1;
  for (AffineExpr dim : tensor.dims) {
    graph::Interval range = importer.interval(dim);
    std::string text;
    llvm::raw_string_ostream(text) << dim;
    if (!range.lower || *range.lower < 0) {
      return invalid("an extent, " + text + ", can become negative within the bounds of the entry");
    }
    if (!range.upper || llvm::MulOverflow(most, std::max<int64_t>(1, *range.upper), most) ||
        most > kMaxElements) {
      return invalid("a result can have more than 2^48 elements (extent " + text +
                     "); give smaller bounds with --entry");
    }
  }
  importer.define(op.getResult(i), std::move(tensor));
  return success();
}
LogicalResult Node::set(unsigned i, Value v, bool isUnsigned) {
  return set(i, tensor(v, isUnsigned));
}

Tensor Node::tensor(Value v, bool isUnsigned) {
  Tensor t;
  t.element = cast<RankedTensorType>(v.getType()).getElementType();
  t.isUnsigned = isUnsigned;
  t.dims = graph::dimsOf(v);
  t.value = v;
  return t;
}

// --- Shapes ---

FailureOr<int64_t> Node::axis(int64_t axis, int64_t rank) {
  int64_t positive = axis < 0 ? axis + rank : axis;
  if (positive < 0 || positive >= rank) {
    return invalid("axis " + Twine(axis) + " is out of range for rank " + Twine(rank));
  }
  return positive;
}

bool Node::isVector(unsigned input, AffineExpr extent) {
  return has(input) && in(input).rank() == 1 && importer.unify(in(input).dims[0], extent);
}

FailureOr<SmallVector<AffineExpr>> Node::broadcast(ArrayRef<AffineExpr> x, ArrayRef<AffineExpr> y) {
  if (x.size() < y.size()) {
    std::swap(x, y);
  }
  SmallVector<AffineExpr> result(x);
  for (size_t i = 0; i < y.size(); ++i) {
    AffineExpr &r = result[x.size() - y.size() + i];
    if (isOne(r)) {
      r = y[i];
    } else if (!isOne(y[i])) {
      AffineExpr both = importer.unify(r, y[i]);
      if (!both) {
        std::string text;
        llvm::raw_string_ostream(text) << "extents " << r << " and " << y[i] << " do not broadcast";
        return invalid(text);
      }
      r = both;
    }
  }
  return result;
}

// --- Scalars ---

Value Scalars::f(double value, Type type) {
  APFloat v(value);
  bool lost;
  v.convert(cast<FloatType>(type).getFloatSemantics(), APFloat::rmNearestTiesToEven, &lost);
  return arith::ConstantOp::create(b, loc, FloatAttr::get(type, v));
}
Value Scalars::i(int64_t value, Type type) {
  unsigned width = type.getIntOrFloatBitWidth();
  return arith::ConstantOp::create(b, loc,
                                   IntegerAttr::get(type, APInt(width, static_cast<uint64_t>(value),
                                                                false, /*implicitTrunc=*/true)));
}
Value Scalars::constantLike(double value, Value like) {
  return isa<FloatType>(like.getType()) ? f(value, like.getType())
                                        : i(static_cast<int64_t>(value), like.getType());
}
Value Scalars::extent(AffineExpr e) {
  if (auto v = constantOf(e)) {
    return i(*v, b.getI64Type());
  }
  unsigned symbols = 0;
  e.walk([&](AffineExpr x) {
    if (auto s = dyn_cast<AffineSymbolExpr>(x)) {
      symbols = std::max(symbols, s.getPosition() + 1);
    }
  });
  return graph::ExtentOp::create(b, loc, b.getI64Type(), AffineMap::get(0, symbols, e));
}

/// Float to integer as numpy does it for values in range; values out of range saturate, NaN becomes
/// 0.
static Value floatToInt(Scalars &s, Value v, Type to, bool isUnsigned) {
  OpBuilder &b = s.b;
  Location loc = s.loc;
  unsigned width = to.getIntOrFloatBitWidth();
  double lowest = isUnsigned ? 0.0 : -std::ldexp(1.0, width - 1);
  double above = std::ldexp(1.0, isUnsigned ? width : width - 1);
  Type from = v.getType();
  // Values in (-1, 0) truncate to zero for unsigned results too.
  Value tooLow = arith::CmpFOp::create(
      b, loc, isUnsigned ? arith::CmpFPredicate::OLE : arith::CmpFPredicate::OLT, v,
      s.f(isUnsigned ? -1.0 : lowest, from));
  Value tooHigh = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGE, v, s.f(above, from));
  Value isNan = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO, v, v);
  Value outside =
      arith::OrIOp::create(b, loc, arith::OrIOp::create(b, loc, tooLow, tooHigh), isNan);
  Value safe = arith::SelectOp::create(b, loc, outside, s.f(0.0, from), v);
  Value converted = isUnsigned ? Value(arith::FPToUIOp::create(b, loc, to, safe))
                               : Value(arith::FPToSIOp::create(b, loc, to, safe));
  APInt lowestInt = isUnsigned ? APInt::getZero(width) : APInt::getSignedMinValue(width);
  APInt highestInt = isUnsigned ? APInt::getMaxValue(width) : APInt::getSignedMaxValue(width);
  Value low = arith::ConstantOp::create(b, loc, IntegerAttr::get(to, lowestInt));
  Value high = arith::ConstantOp::create(b, loc, IntegerAttr::get(to, highestInt));
  Value bounded = arith::SelectOp::create(b, loc, tooHigh, high, converted);
  return arith::SelectOp::create(b, loc, tooLow, low, bounded);
}

Value Scalars::cast(Value v, bool fromUnsigned, Type to, bool toUnsigned) {
  Type from = v.getType();
  if (from == to) {
    return v;
  }
  unsigned fromWidth = from.getIntOrFloatBitWidth(), toWidth = to.getIntOrFloatBitWidth();
  if (isa<FloatType>(from) && isa<FloatType>(to)) {
    if (fromWidth == toWidth) { // f16 and bf16: through f32
      return arith::TruncFOp::create(b, loc, to,
                                     Value(arith::ExtFOp::create(b, loc, b.getF32Type(), v)));
    }
    return fromWidth < toWidth ? Value(arith::ExtFOp::create(b, loc, to, v))
                               : Value(arith::TruncFOp::create(b, loc, to, v));
  }
  if (to.isInteger(1)) {
    if (isa<FloatType>(from)) {
      return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNE, v, f(0.0, from));
    }
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, v, i(0, from));
  }
  bool zeroExtend = fromUnsigned || from.isInteger(1);
  if (isa<FloatType>(to)) {
    Type wide = to.isF64() ? to : Type(b.getF32Type());
    Value w = zeroExtend ? Value(arith::UIToFPOp::create(b, loc, wide, v))
                         : Value(arith::SIToFPOp::create(b, loc, wide, v));
    return cast(w, false, to, false);
  }
  if (isa<FloatType>(from)) {
    if (fromWidth < 32) {
      v = arith::ExtFOp::create(b, loc, b.getF32Type(), v);
    }
    return floatToInt(*this, v, to, toUnsigned);
  }
  if (fromWidth == toWidth) {
    return v;
  }
  if (fromWidth > toWidth) {
    return arith::TruncIOp::create(b, loc, to, v);
  }
  return zeroExtend ? Value(arith::ExtUIOp::create(b, loc, to, v))
                    : Value(arith::ExtSIOp::create(b, loc, to, v));
}

// --- Graph ops ---

static bool isHalf(Type type) { return type.isF16() || type.isBF16(); }

/// Functions that kernels compute in f32 at most.
static bool needsNarrow(Operation &op) {
  bool isFunction = isa_and_nonnull<math::MathDialect>(op.getDialect()) || isa<arith::RemFOp>(op);
  return isFunction && op.getNumResults() == 1 && op.getResult(0).getType().isF64() &&
         !isa<math::AbsFOp, math::SqrtOp, math::FloorOp, math::CeilOp, math::RoundEvenOp,
              math::CopySignOp>(op);
}

Value Node::mapWith(ValueRange inputs, ArrayRef<AffineMap> maps, ArrayRef<AffineExpr> dims,
                    Type element, Body body) {
  auto type = graph::tensorOf(dims, element);
  auto map = graph::MapOp::create(
      b, loc, TypeRange(type), inputs, maps, [&](OpBuilder &inner, Location l, ValueRange args) {
        Scalars s{inner, l};
        SmallVector<Value> scalars;
        for (Value arg : args) {
          scalars.push_back(isHalf(arg.getType()) ? s.cast(arg, false, inner.getF32Type(), false)
                                                  : arg);
        }
        Value result = body(s, scalars);
        if (result.getType() != element && isHalf(element)) {
          result = s.cast(result, false, element, false);
        }
        return SmallVector<Value>{result};
      });
  if (llvm::any_of(map.getBody().front(), needsNarrow)) {
    (void)unsupported("a function of f64 elements; f32 and narrower are computed");
  }
  return map.getResult(0);
}

Value Node::map(ArrayRef<Tensor *> inputs, ArrayRef<AffineExpr> dims, Type element, Body body) {
  SmallVector<Value> values;
  SmallVector<AffineMap> maps;
  unsigned rank = dims.size();
  for (Tensor *t : inputs) {
    if (t->isSingle()) {
      continue;
    }
    SmallVector<AffineExpr> results;
    for (size_t i = 0; i < t->dims.size(); ++i) {
      unsigned target = rank - t->dims.size() + i;
      bool repeats = isOne(t->dims[i]) && !isOne(dims[target]);
      results.push_back(repeats ? cst(0) : getAffineDimExpr(target, context));
    }
    values.push_back(value(*t));
    maps.push_back(AffineMap::get(rank, 0, results, context));
  }
  return mapWith(values, maps, dims, element, [&](Scalars &s, ArrayRef<Value> args) {
    SmallVector<Value> all;
    size_t next = 0;
    for (Tensor *t : inputs) {
      if (!t->isSingle()) {
        all.push_back(args[next++]);
      } else if (t->contents->isFloat) {
        all.push_back(
            s.f(t->contents->real(0), isHalf(t->element) ? Type(b.getF32Type()) : t->element));
      } else if (auto v = constantOf(t->contents->integer(0))) {
        all.push_back(s.i(*v, t->element));
      } else {
        all.push_back(s.cast(s.extent(t->contents->integer(0)), false, t->element, t->isUnsigned));
      }
    }
    return body(s, all);
  });
}

Value Node::reshape(Value v, ArrayRef<AffineExpr> dims) {
  auto type = graph::tensorOf(dims, cast<RankedTensorType>(v.getType()).getElementType());
  return type == v.getType() ? v : Value(graph::ReshapeOp::create(b, loc, type, v));
}

Value Node::transpose(Value v, ArrayRef<int64_t> permutation) {
  auto from = graph::dimsOf(v);
  SmallVector<AffineExpr> dims;
  bool identity = true;
  for (auto [i, p] : llvm::enumerate(permutation)) {
    dims.push_back(from[p]);
    identity &= static_cast<int64_t>(i) == p;
  }
  if (identity) {
    return v;
  }
  auto type = graph::tensorOf(dims, cast<RankedTensorType>(v.getType()).getElementType());
  return graph::TransposeOp::create(b, loc, type, v, b.getDenseI64ArrayAttr(permutation));
}

Value Node::reduce(graph::ReduceKind kind, Value v, ArrayRef<int64_t> dims) {
  auto extents = graph::dimsOf(v);
  SmallVector<int64_t> sorted(dims);
  llvm::sort(sorted);
  for (int64_t d : sorted) {
    extents[d] = cst(1);
  }
  if (sorted.empty()) {
    return v;
  }
  auto type = graph::tensorOf(extents, cast<RankedTensorType>(v.getType()).getElementType());
  return graph::ReduceOp::create(b, loc, type, graph::ReduceKindAttr::get(context, kind), v,
                                 b.getDenseI64ArrayAttr(sorted));
}

Value Node::slice(Value v, ArrayRef<AffineExpr> offsets, ArrayRef<int64_t> steps,
                  ArrayRef<AffineExpr> dims) {
  auto type = graph::tensorOf(dims, cast<RankedTensorType>(v.getType()).getElementType());
  bool whole = type == v.getType() && llvm::all_of(steps, [](int64_t s) { return s == 1; }) &&
               llvm::all_of(offsets, [](AffineExpr o) { return constantOf(o) == 0; });
  if (whole) {
    return v;
  }
  unsigned symbols = 0;
  for (AffineExpr e : offsets) {
    e.walk([&](AffineExpr x) {
      if (auto s = dyn_cast<AffineSymbolExpr>(x)) {
        symbols = std::max(symbols, s.getPosition() + 1);
      }
    });
  }
  return graph::SliceOp::create(b, loc, type, v,
                                AffineMapAttr::get(AffineMap::get(0, symbols, offsets, context)),
                                b.getDenseI64ArrayAttr(steps));
}

Value Node::concat(ArrayRef<Value> parts, int64_t axis) {
  if (parts.size() == 1) {
    return parts[0];
  }
  auto dims = graph::dimsOf(parts[0]);
  for (Value part : parts.drop_front()) {
    dims[axis] = canonical(dims[axis] + graph::dimsOf(part)[axis]);
  }
  auto type = graph::tensorOf(dims, cast<RankedTensorType>(parts[0].getType()).getElementType());
  return graph::ConcatOp::create(b, loc, type, parts, b.getI64IntegerAttr(axis));
}

Value Node::expand(Value v, ArrayRef<AffineExpr> dims) {
  auto type = graph::tensorOf(dims, cast<RankedTensorType>(v.getType()).getElementType());
  return type == v.getType() ? v : Value(graph::ExpandOp::create(b, loc, type, v));
}

Value Node::cast(Value v, Type element) {
  auto type = mlir::cast<RankedTensorType>(v.getType());
  if (type.getElementType() == element) {
    return v;
  }
  return mapWith(
      {v}, {b.getMultiDimIdentityMap(type.getRank())}, graph::dimsOf(v), element,
      [&](Scalars &s, ArrayRef<Value> args) { return s.cast(args[0], false, element, false); });
}

Value Node::constant(ArrayRef<double> values, Type element, ArrayRef<int64_t> shape) {
  Tensor t;
  t.element = element;
  for (int64_t extent : shape) {
    t.dims.push_back(cst(extent));
  }
  Contents contents;
  contents.isFloat = isa<FloatType>(element);
  for (double v : values) {
    if (contents.isFloat) {
      contents.floats.push_back(v);
    } else {
      contents.ints.push_back(cst(static_cast<int64_t>(v)));
    }
  }
  t.contents = std::move(contents);
  return value(t);
}

} // namespace ciuic::legalize
