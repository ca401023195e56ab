// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Arithmetic, comparisons, logic, selection and casts: each is one graph.map, or nothing at all
// where the elements are known. Integer semantics are ONNX's: division truncates, Mod takes the
// divisor's sign, nothing traps.
#include "passes/Legalize/DimExpr.h"
#include "passes/Legalize/Fold.h"
#include "passes/Legalize/Ops.h"

#include <cmath>

using namespace mlir;

namespace ciuic::legalize {
namespace {

using Emit = llvm::function_ref<Value(Scalars &, ArrayRef<Value>)>;

LogicalResult elementwise(Node &node, ArrayRef<Tensor *> operands, Type element, Emit emit,
                          FoldInt onInt, FoldFloat onFloat) {
  SmallVector<AffineExpr> dims;
  for (Tensor *t : operands) {
    auto both = node.broadcast(dims, t->dims);
    if (failed(both)) {
      return failure();
    }
    dims = std::move(*both);
  }
  bool isUnsigned = operands[0]->isUnsigned && isa<IntegerType>(element) && !element.isInteger(1);
  if (auto contents = foldElementwise(operands, dims, element, onInt, onFloat)) {
    Tensor result;
    result.element = element;
    result.isUnsigned = isUnsigned;
    result.dims = dims;
    result.contents = std::move(contents);
    return node.set(0, std::move(result));
  }
  return node.set(0, node.map(operands, dims, element, emit), isUnsigned);
}

SmallVector<Tensor *> allInputs(Node &node) {
  SmallVector<Tensor *> operands;
  for (unsigned i = 0; i < node.inputs(); ++i) {
    if (node.has(i)) {
      operands.push_back(&node.in(i));
    }
  }
  return operands;
}

LogicalResult sameElement(Node &node, ArrayRef<Tensor *> operands) {
  for (Tensor *t : operands) {
    if (t->element != operands[0]->element || t->isUnsigned != operands[0]->isUnsigned) {
      return node.invalid("operands have different element types");
    }
  }
  return success();
}

bool isFloatValue(Value v) { return isa<FloatType>(v.getType()); }

/// a / b truncating, without traps: by zero it is 0, the smallest by -1 wraps.
Value divide(Scalars &s, Value a, Value b, bool isUnsigned) {
  if (isFloatValue(a)) {
    return arith::DivFOp::create(s.b, s.loc, a, b);
  }
  Value zero = s.i(0, a.getType()), one = s.i(1, a.getType()), minusOne = s.i(-1, a.getType());
  Value isZero = arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::eq, b, zero);
  if (isUnsigned) {
    Value safe = arith::SelectOp::create(s.b, s.loc, isZero, one, b);
    Value q = arith::DivUIOp::create(s.b, s.loc, a, safe);
    return arith::SelectOp::create(s.b, s.loc, isZero, zero, q);
  }
  Value isMinus = arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::eq, b, minusOne);
  Value special = arith::OrIOp::create(s.b, s.loc, isZero, isMinus);
  Value q = arith::DivSIOp::create(s.b, s.loc, a,
                                   Value(arith::SelectOp::create(s.b, s.loc, special, one, b)));
  Value negated = arith::SubIOp::create(s.b, s.loc, zero, a);
  q = arith::SelectOp::create(s.b, s.loc, isMinus, negated, q);
  return arith::SelectOp::create(s.b, s.loc, isZero, zero, q);
}

/// a − b·trunc(a / b), with the divisor's sign if `floors`.
Value modulo(Scalars &s, Value a, Value b, bool isUnsigned, bool floors) {
  if (isFloatValue(a)) {
    return arith::RemFOp::create(s.b, s.loc, a, b);
  }
  Value q = divide(s, a, b, isUnsigned);
  Value r = arith::SubIOp::create(s.b, s.loc, a, Value(arith::MulIOp::create(s.b, s.loc, q, b)));
  Value zero = s.i(0, a.getType());
  Value byZero = arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::eq, b, zero);
  if (floors && !isUnsigned) {
    Value nonzero = arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::ne, r, zero);
    Value signs = arith::XOrIOp::create(s.b, s.loc, r, b);
    Value differ = arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::slt, signs, zero);
    Value adjust = arith::AndIOp::create(s.b, s.loc, nonzero, differ);
    Value adjusted = arith::AddIOp::create(s.b, s.loc, r, b);
    r = arith::SelectOp::create(s.b, s.loc, adjust, adjusted, r);
  }
  return arith::SelectOp::create(s.b, s.loc, byZero, zero, r);
}

Value extremum(Scalars &s, Value a, Value b, bool isUnsigned, bool largest) {
  if (isFloatValue(a)) {
    return largest ? Value(arith::MaximumFOp::create(s.b, s.loc, a, b))
                   : Value(arith::MinimumFOp::create(s.b, s.loc, a, b));
  }
  if (isUnsigned) {
    return largest ? Value(arith::MaxUIOp::create(s.b, s.loc, a, b))
                   : Value(arith::MinUIOp::create(s.b, s.loc, a, b));
  }
  return largest ? Value(arith::MaxSIOp::create(s.b, s.loc, a, b))
                 : Value(arith::MinSIOp::create(s.b, s.loc, a, b));
}

double extremum(double a, double b, bool largest) {
  if (std::isnan(a) || std::isnan(b)) {
    return NAN;
  }
  return largest ? std::max(a, b) : std::min(a, b);
}

/// base^n for small constant n.
Value integerPower(Scalars &s, Value base, int64_t n) {
  Value result = s.constantLike(1, base);
  for (Value square = base; n > 0; n >>= 1) {
    if (n & 1) {
      result = isFloatValue(base) ? Value(arith::MulFOp::create(s.b, s.loc, result, square))
                                  : Value(arith::MulIOp::create(s.b, s.loc, result, square));
    }
    if (n > 1) {
      square = isFloatValue(base) ? Value(arith::MulFOp::create(s.b, s.loc, square, square))
                                  : Value(arith::MulIOp::create(s.b, s.loc, square, square));
    }
  }
  return result;
}

/// The two operands of a node whose operands have one element type.
LogicalResult readPair(Node &node, SmallVector<Tensor *> &operands) {
  operands = allInputs(node);
  return operands.size() == 2 ? sameElement(node, operands) : node.invalid("needs two operands");
}

} // namespace

LogicalResult importBinary(Node &node) {
  SmallVector<Tensor *> operands;
  if (failed(readPair(node, operands))) {
    return failure();
  }
  StringRef name = node.op.getOpType();
  bool isUnsigned = operands[0]->isUnsigned, floors = node.attr("fmod", 0) == 0;
  Importer &importer = node.importer;
  if (name == "Mod" && operands[0]->isFloat() && floors) {
    return node.invalid("Mod of floats needs fmod = 1");
  }
  auto emit = [&](Scalars &s, ArrayRef<Value> x) -> Value {
    bool isFloat = isFloatValue(x[0]);
    if (name == "Add") {
      return isFloat ? Value(arith::AddFOp::create(s.b, s.loc, x[0], x[1]))
                     : Value(arith::AddIOp::create(s.b, s.loc, x[0], x[1]));
    }
    if (name == "Sub") {
      return isFloat ? Value(arith::SubFOp::create(s.b, s.loc, x[0], x[1]))
                     : Value(arith::SubIOp::create(s.b, s.loc, x[0], x[1]));
    }
    if (name == "Mul") {
      return isFloat ? Value(arith::MulFOp::create(s.b, s.loc, x[0], x[1]))
                     : Value(arith::MulIOp::create(s.b, s.loc, x[0], x[1]));
    }
    return name == "Div" ? divide(s, x[0], x[1], isUnsigned)
                         : modulo(s, x[0], x[1], isUnsigned, floors);
  };
  auto onInt = [&](ArrayRef<AffineExpr> x) -> AffineExpr {
    if (name == "Add") {
      return x[0] + x[1];
    }
    if (name == "Sub") {
      return x[0] - x[1];
    }
    if (name == "Mul") {
      return x[0] * x[1];
    }
    if (name == "Div") {
      return foldDivision(importer, x[0], x[1]);
    }
    return floors ? foldModulo(importer, x[0], x[1]) : AffineExpr();
  };
  auto onFloat = [&](ArrayRef<double> x) -> std::optional<double> {
    return name == "Add"   ? x[0] + x[1]
           : name == "Sub" ? x[0] - x[1]
           : name == "Mul" ? x[0] * x[1]
           : name == "Div" ? x[0] / x[1]
                           : std::fmod(x[0], x[1]);
  };
  return elementwise(node, operands, operands[0]->element, emit, onInt, onFloat);
}

LogicalResult importPow(Node &node) {
  if (!node.has(0) || !node.has(1)) {
    return node.invalid("needs two operands");
  }
  Tensor &base = node.in(0), &exponent = node.in(1);
  std::optional<double> known;
  if (exponent.isSingle()) {
    if (exponent.contents->isFloat) {
      known = exponent.contents->real(0);
    } else if (auto v = constantOf(exponent.contents->integer(0))) {
      known = static_cast<double>(*v);
    }
  }
  bool small = known && *known >= 0 && *known <= 16 && *known == std::floor(*known);
  auto onFloat = [](ArrayRef<double> x) -> std::optional<double> { return std::pow(x[0], x[1]); };
  if (small || (known == 0.5 && base.isFloat())) {
    auto emit = [&](Scalars &s, ArrayRef<Value> x) -> Value {
      return small ? integerPower(s, x[0], static_cast<int64_t>(*known))
                   : Value(math::SqrtOp::create(s.b, s.loc, x[0]));
    };
    if (exponent.rank() == 0 || exponent.rank() <= base.rank()) {
      SmallVector<Tensor *> one{&base};
      auto power = [&](ArrayRef<double> x) -> std::optional<double> {
        return std::pow(x[0], *known);
      };
      auto onInt = [&](ArrayRef<AffineExpr> x) -> AffineExpr {
        AffineExpr r = node.cst(1);
        for (int64_t i = 0; i < static_cast<int64_t>(*known); ++i) {
          r = r * x[0];
        }
        return r;
      };
      return elementwise(node, one, base.element, emit, onInt, power);
    }
  }
  if (!base.isFloat()) {
    return node.unsupported("an integer base with an exponent that is no small constant");
  }
  SmallVector<Tensor *> operands{&base, &exponent};
  bool isUnsigned = exponent.isUnsigned;
  auto emit = [&](Scalars &s, ArrayRef<Value> x) -> Value {
    Value e = s.cast(x[1], isUnsigned, x[0].getType(), false);
    return math::PowFOp::create(s.b, s.loc, x[0], e);
  };
  return elementwise(node, operands, base.element, emit, nullptr, onFloat);
}

LogicalResult importCompare(Node &node) {
  SmallVector<Tensor *> operands;
  if (failed(readPair(node, operands))) {
    return failure();
  }
  StringRef name = node.op.getOpType();
  bool isUnsigned = operands[0]->isUnsigned || operands[0]->isBool();
  Importer &importer = node.importer;
  auto emit = [&](Scalars &s, ArrayRef<Value> x) -> Value {
    if (isFloatValue(x[0])) {
      auto p = name == "Equal"         ? arith::CmpFPredicate::OEQ
               : name == "Less"        ? arith::CmpFPredicate::OLT
               : name == "Greater"     ? arith::CmpFPredicate::OGT
               : name == "LessOrEqual" ? arith::CmpFPredicate::OLE
                                       : arith::CmpFPredicate::OGE;
      return arith::CmpFOp::create(s.b, s.loc, p, x[0], x[1]);
    }
    using P = arith::CmpIPredicate;
    P p = name == "Equal"         ? P::eq
          : name == "Less"        ? (isUnsigned ? P::ult : P::slt)
          : name == "Greater"     ? (isUnsigned ? P::ugt : P::sgt)
          : name == "LessOrEqual" ? (isUnsigned ? P::ule : P::sle)
                                  : (isUnsigned ? P::uge : P::sge);
    return arith::CmpIOp::create(s.b, s.loc, p, x[0], x[1]);
  };
  auto onInt = [&](ArrayRef<AffineExpr> x) -> AffineExpr {
    std::optional<bool> r;
    if (name == "Equal") {
      r = importer.equal(x[0], x[1]);
    } else if (name == "LessOrEqual" || name == "Greater") {
      r = importer.lessOrEqual(x[0], x[1]);
    } else {
      r = importer.lessOrEqual(x[1], x[0]);
    }
    bool negate = name == "Less" || name == "Greater";
    return r ? node.cst(*r != negate) : AffineExpr();
  };
  return elementwise(node, operands, node.b.getI1Type(), emit, onInt, nullptr);
}

LogicalResult importLogical(Node &node) {
  auto operands = allInputs(node);
  StringRef name = node.op.getOpType();
  size_t arity = name == "Not" || name == "BitwiseNot" ? 1 : 2;
  if (operands.size() != arity || failed(sameElement(node, operands))) {
    return operands.size() != arity ? node.invalid("has the wrong number of operands") : failure();
  }
  bool isBool = operands[0]->isBool();
  auto emit = [&](Scalars &s, ArrayRef<Value> x) -> Value {
    if (arity == 1) {
      return arith::XOrIOp::create(s.b, s.loc, x[0], s.i(-1, x[0].getType()));
    }
    if (name.ends_with("And")) {
      return arith::AndIOp::create(s.b, s.loc, x[0], x[1]);
    }
    return name.ends_with("Xor") ? Value(arith::XOrIOp::create(s.b, s.loc, x[0], x[1]))
                                 : Value(arith::OrIOp::create(s.b, s.loc, x[0], x[1]));
  };
  auto onInt = [&](ArrayRef<AffineExpr> x) -> AffineExpr {
    auto a = constantOf(x[0]), b = x.size() > 1 ? constantOf(x[1]) : a;
    if (!isBool || !a || !b) {
      return {};
    }
    bool r = arity == 1 ? !*a : name == "And" ? *a && *b : name == "Xor" ? *a != *b : *a || *b;
    return node.cst(r);
  };
  return elementwise(node, operands, operands[0]->element, emit, onInt, nullptr);
}

LogicalResult importVariadic(Node &node) {
  auto operands = allInputs(node);
  if (operands.empty() || failed(sameElement(node, operands))) {
    return operands.empty() ? node.invalid("needs an operand") : failure();
  }
  StringRef name = node.op.getOpType();
  bool isUnsigned = operands[0]->isUnsigned, largest = name == "Max",
       adds = name == "Sum" || name == "Mean";
  Importer &importer = node.importer;
  if (name == "Mean" && !operands[0]->isFloat()) {
    return node.invalid("Mean needs floats");
  }
  double count = static_cast<double>(operands.size());
  auto emit = [&](Scalars &s, ArrayRef<Value> x) -> Value {
    Value r = x[0];
    for (Value v : x.drop_front()) {
      r = !adds             ? extremum(s, r, v, isUnsigned, largest)
          : isFloatValue(r) ? Value(arith::AddFOp::create(s.b, s.loc, r, v))
                            : Value(arith::AddIOp::create(s.b, s.loc, r, v));
    }
    return name == "Mean" ? Value(arith::DivFOp::create(s.b, s.loc, r, s.f(count, r.getType())))
                          : r;
  };
  auto onInt = [&](ArrayRef<AffineExpr> x) -> AffineExpr {
    AffineExpr r = x[0];
    for (AffineExpr e : x.drop_front()) {
      r = !r        ? r
          : adds    ? r + e
          : largest ? foldMaximum(importer, r, e)
                    : foldMinimum(importer, r, e);
    }
    return r;
  };
  auto onFloat = [&](ArrayRef<double> x) -> std::optional<double> {
    double r = x[0];
    for (double v : x.drop_front()) {
      r = adds ? r + v : extremum(r, v, largest);
    }
    return name == "Mean" ? r / count : r;
  };
  return elementwise(node, operands, operands[0]->element, emit, onInt, onFloat);
}

LogicalResult importClip(Node &node) {
  SmallVector<Tensor *> operands{&node.in(0)};
  Tensor low, high;
  bool hasLow = node.has(1), hasHigh = node.has(2);
  if (hasLow) {
    operands.push_back(&node.in(1));
  }
  if (hasHigh) {
    operands.push_back(&node.in(2));
  }
  // Opset 6 has the bounds as attributes.
  auto bound = [&](Tensor &t, StringRef name) {
    if (node.opset < 11 && node.hasAttr(name) && node.in(0).isFloat()) {
      t.element = node.in(0).element;
      t.contents = Contents{true, false, {}, {node.attrFloat(name, 0)}};
      operands.push_back(&t);
      return true;
    }
    return false;
  };
  hasLow |= bound(low, "min");
  hasHigh |= bound(high, "max");
  bool isUnsigned = node.in(0).isUnsigned;
  Importer &importer = node.importer;
  auto emit = [&](Scalars &s, ArrayRef<Value> x) -> Value {
    Value r = x[0];
    if (hasLow) {
      r = extremum(s, r, x[1], isUnsigned, true);
    }
    return hasHigh ? extremum(s, r, x[hasLow ? 2 : 1], isUnsigned, false) : r;
  };
  auto onInt = [&](ArrayRef<AffineExpr> x) -> AffineExpr {
    AffineExpr r = x[0];
    if (hasLow) {
      r = foldMaximum(importer, r, x[1]);
    }
    return r && hasHigh ? foldMinimum(importer, r, x[hasLow ? 2 : 1]) : r;
  };
  auto onFloat = [&](ArrayRef<double> x) -> std::optional<double> {
    double r = hasLow ? extremum(x[0], x[1], true) : x[0];
    return hasHigh ? extremum(r, x[hasLow ? 2 : 1], false) : r;
  };
  return elementwise(node, operands, node.in(0).element, emit, onInt, onFloat);
}

LogicalResult importWhere(Node &node) {
  auto operands = allInputs(node);
  if (operands.size() != 3 || !operands[0]->isBool() ||
      operands[1]->element != operands[2]->element) {
    return node.invalid("needs a BOOL condition and two operands of one type");
  }
  Tensor &condition = *operands[0];
  auto dims = node.broadcast(condition.dims, operands[1]->dims);
  if (succeeded(dims)) {
    dims = node.broadcast(*dims, operands[2]->dims);
  }
  if (failed(dims)) {
    return failure();
  }
  // A condition that is the same everywhere chooses an operand.
  if (condition.isSingle()) {
    if (auto v = constantOf(condition.contents->integer(0))) {
      Tensor &chosen = *operands[*v ? 1 : 2];
      if (graph::sameDims(chosen.dims, *dims)) {
        return node.set(0, chosen);
      }
    }
  }
  Type element = operands[1]->element;
  bool isUnsigned = operands[1]->isUnsigned;
  auto select = [&](ArrayRef<AffineExpr> x) -> AffineExpr {
    auto c = constantOf(x[0]);
    return c ? x[*c ? 1 : 2] : (x[1] == x[2] ? x[1] : AffineExpr());
  };
  if (!operands[1]->isFloat()) {
    if (auto contents = foldElementwise(operands, *dims, element, select, nullptr)) {
      Tensor result;
      result.element = element;
      result.isUnsigned = isUnsigned;
      result.dims = *dims;
      result.contents = std::move(contents);
      return node.set(0, std::move(result));
    }
  }
  return node.set(0,
                  node.map(operands, *dims, element,
                           [](Scalars &s, ArrayRef<Value> x) -> Value {
                             return arith::SelectOp::create(s.b, s.loc, x[0], x[1], x[2]);
                           }),
                  isUnsigned);
}

// --- Casts ---

static LogicalResult castTo(Node &node, Type element, bool toUnsigned) {
  Tensor &x = node.in(0);
  if (element == x.element && toUnsigned == x.isUnsigned) {
    return node.alias(0, 0);
  }
  Tensor result;
  result.element = element;
  result.isUnsigned = toUnsigned;
  result.dims = x.dims;
  bool toFloat = isa<FloatType>(element);
  if (x.contents && x.contents->size() <= static_cast<size_t>(kMaxFollowed)) {
    Contents known;
    known.isFloat = toFloat;
    known.uniform = x.contents->uniform;
    bool folds = true;
    for (size_t i = 0; folds && i < x.contents->size(); ++i) {
      if (toFloat) {
        auto v = x.contents->isFloat ? std::optional(x.contents->real(i)) : std::nullopt;
        if (auto n = v ? std::nullopt : constantOf(x.contents->integer(i))) {
          v = x.isUnsigned ? static_cast<double>(static_cast<uint64_t>(*n))
                           : static_cast<double>(*n);
        }
        folds = v.has_value();
        if (folds) {
          APFloat rounded(*v);
          bool lost;
          rounded.convert(cast<FloatType>(element).getFloatSemantics(),
                          APFloat::rmNearestTiesToEven, &lost);
          rounded.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
          known.floats.push_back(rounded.convertToDouble());
        }
      } else if (x.contents->isFloat) {
        double v = x.contents->real(i);
        if (element.isInteger(1)) {
          known.ints.push_back(node.cst(v != 0));
        } else if (folds = std::fabs(v) < std::ldexp(1.0, element.getIntOrFloatBitWidth() - 1) &&
                           !toUnsigned;
                   folds) {
          known.ints.push_back(node.cst(static_cast<int64_t>(v)));
        }
      } else {
        AffineExpr e = x.contents->integer(i);
        if (element.isInteger(1)) {
          auto zero = node.importer.equal(e, node.cst(0));
          folds = zero.has_value();
          known.ints.push_back(node.cst(zero == false));
        } else {
          // Narrower types keep the expression where its bounds fit them.
          graph::Interval range = node.importer.interval(e);
          unsigned width = std::min(63u, element.getIntOrFloatBitWidth() - (toUnsigned ? 0 : 1));
          int64_t highest = width == 63 ? INT64_MAX : (int64_t(1) << width) - 1;
          folds = range.lower && range.upper && *range.upper <= highest &&
                  *range.lower >= (toUnsigned ? 0 : -highest - 1);
          known.ints.push_back(e);
        }
      }
    }
    if (folds) {
      result.contents = std::move(known);
      return node.set(0, std::move(result));
    }
  }
  bool fromUnsigned = x.isUnsigned;
  return node.set(0,
                  node.map({&x}, x.dims, element,
                           [&](Scalars &s, ArrayRef<Value> v) {
                             return s.cast(v[0], fromUnsigned, element, toUnsigned);
                           }),
                  toUnsigned);
}

LogicalResult importCast(Node &node) {
  struct Row {
    int64_t code;
    Type type;
    bool isUnsigned;
  };
  OpBuilder &b = node.b;
  const Row rows[] = {
      {1, b.getF32Type(), false},  {2, b.getI8Type(), true},   {3, b.getI8Type(), false},
      {4, b.getI16Type(), true},   {5, b.getI16Type(), false}, {6, b.getI32Type(), false},
      {7, b.getI64Type(), false},  {9, b.getI1Type(), false},  {10, b.getF16Type(), false},
      {11, b.getF64Type(), false}, {12, b.getI32Type(), true}, {13, b.getI64Type(), true},
      {16, b.getBF16Type(), false}};
  int64_t to = node.attr("to", 0);
  for (const Row &row : rows) {
    if (row.code == to) {
      return castTo(node, row.type, row.isUnsigned);
    }
  }
  return node.unsupported("to element type number " + Twine(to));
}

LogicalResult importCastLike(Node &node) {
  return node.has(1) ? castTo(node, node.in(1).element, node.in(1).isUnsigned)
                     : node.invalid("needs two operands");
}

} // namespace ciuic::legalize
