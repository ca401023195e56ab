// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Functions of one element: arithmetic functions, activations, and their variants with a bias or a
// slope.
#include "passes/Legalize/DimExpr.h"
#include "passes/Legalize/Fold.h"
#include "passes/Legalize/Ops.h"

#include <cmath>
#include <numbers>

using namespace mlir;

namespace ciuic::legalize {
namespace {

/// Short names for the scalar ops of one region.
struct Math {
  Scalars &s;
  Value add(Value a, Value b) { return arith::AddFOp::create(s.b, s.loc, a, b); }
  Value sub(Value a, Value b) { return arith::SubFOp::create(s.b, s.loc, a, b); }
  Value mul(Value a, Value b) { return arith::MulFOp::create(s.b, s.loc, a, b); }
  Value div(Value a, Value b) { return arith::DivFOp::create(s.b, s.loc, a, b); }
  Value max(Value a, Value b) { return arith::MaximumFOp::create(s.b, s.loc, a, b); }
  Value min(Value a, Value b) { return arith::MinimumFOp::create(s.b, s.loc, a, b); }
  Value neg(Value a) { return arith::NegFOp::create(s.b, s.loc, a); }
  Value c(double v, Value like) { return s.f(v, like.getType()); }
  Value exp(Value a) { return math::ExpOp::create(s.b, s.loc, a); }
  Value tanh(Value a) { return math::TanhOp::create(s.b, s.loc, a); }
  Value less(Value a, Value b) {
    return arith::CmpFOp::create(s.b, s.loc, arith::CmpFPredicate::OLT, a, b);
  }
  Value greater(Value a, Value b) {
    return arith::CmpFOp::create(s.b, s.loc, arith::CmpFPredicate::OGT, a, b);
  }
  Value select(Value c, Value a, Value b) { return arith::SelectOp::create(s.b, s.loc, c, a, b); }
  Value sigmoid(Value x) { return div(c(1, x), add(c(1, x), exp(neg(x)))); }
  /// log(1 + exp x) without overflow.
  Value softplus(Value x) {
    Value tail = math::Log1pOp::create(s.b, s.loc, exp(neg(math::AbsFOp::create(s.b, s.loc, x))));
    return add(max(x, c(0, x)), tail);
  }
  Value abs(Value x) { return math::AbsFOp::create(s.b, s.loc, x); }
  Value sqrt(Value x) { return math::SqrtOp::create(s.b, s.loc, x); }
  Value expm1(Value x) { return math::ExpM1Op::create(s.b, s.loc, x); }
  /// (e^|x| − 1 + (e^|x| − 1) / e^|x|) / 2 with x's sign: exact near 0, and finite wherever sinh
  /// is.
  Value sinh(Value x) {
    Value e = expm1(mul(abs(x), c(0.5, x)));
    // e^|x| − 1 = e·(e + 2) for e = e^(|x|/2) − 1; the halves keep the product finite.
    Value grown = mul(e, add(e, c(2, x)));
    Value half = mul(add(grown, div(grown, add(grown, c(1, x)))), c(0.5, x));
    return math::CopySignOp::create(s.b, s.loc, half, x);
  }
  Value cosh(Value x) {
    Value root = exp(mul(abs(x), c(0.5, x)));
    Value square = mul(root, c(0.5, x));
    return add(mul(square, root), div(c(0.5, x), mul(root, root)));
  }
  /// Reduced to |x| ≤ tan(π/8), then an odd polynomial; relative error about 1e-7.
  Value atan(Value x) {
    constexpr double pi = std::numbers::pi;
    Value a = abs(x), one = c(1, x);
    Value large = greater(a, c(2.414213562373095, x)),
          middle = greater(a, c(0.4142135623730950, x));
    Value reduced =
        select(large, div(c(-1, x), a), select(middle, div(sub(a, one), add(a, one)), a));
    Value offset = select(large, c(pi / 2, x), select(middle, c(pi / 4, x), c(0, x)));
    Value z = mul(reduced, reduced);
    Value p = c(8.05374449538e-2, x);
    for (double k : {-1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1}) {
      p = add(mul(p, z), c(k, x));
    }
    Value magnitude = add(offset, add(mul(mul(p, z), reduced), reduced));
    return math::CopySignOp::create(s.b, s.loc, magnitude, x);
  }
  Value asin(Value x) {
    Value one = c(1, x);
    return atan(div(x, sqrt(mul(sub(one, x), add(one, x)))));
  }
  Value acos(Value x) {
    Value one = c(1, x);
    return mul(c(2, x), atan(sqrt(div(sub(one, x), add(one, x)))));
  }
  /// log(1 + y) with y = |x| + x² / (1 + √(x² + 1)), which is asinh without cancellation.
  Value asinh(Value x) {
    Value a = abs(x), one = c(1, x), square = mul(x, x);
    Value y = add(a, div(square, add(one, sqrt(add(square, one)))));
    Value magnitude = math::Log1pOp::create(s.b, s.loc, y);
    return math::CopySignOp::create(s.b, s.loc, magnitude, x);
  }
  Value acosh(Value x) {
    Value t = sub(x, c(1, x));
    return math::Log1pOp::create(s.b, s.loc, add(t, sqrt(mul(t, add(t, c(2, x))))));
  }
  Value atanh(Value x) {
    Value one = c(1, x);
    return mul(c(0.5, x),
               Value(math::Log1pOp::create(s.b, s.loc, div(mul(c(2, x), x), sub(one, x)))));
  }
  Value geluErf(Value x) {
    Value inner = math::ErfOp::create(s.b, s.loc, mul(x, c(1 / std::numbers::sqrt2, x)));
    return mul(mul(c(0.5, x), x), add(c(1, x), inner));
  }
  Value geluTanh(Value x) {
    Value cubic = mul(mul(mul(x, x), x), c(0.044715, x));
    Value inner = tanh(mul(c(std::sqrt(2 / std::numbers::pi), x), add(x, cubic)));
    return mul(mul(c(0.5, x), x), add(c(1, x), inner));
  }
};

using UnaryEmit = llvm::function_ref<Value(Math &, Value)>;

LogicalResult unary(Node &node, UnaryEmit emit, FoldInt onInt = nullptr,
                    FoldFloat onFloat = nullptr) {
  Tensor &x = node.in(0);
  if (auto contents = foldElementwise({&x}, x.dims, x.element, onInt, onFloat)) {
    Tensor result;
    result.element = x.element;
    result.isUnsigned = x.isUnsigned;
    result.dims = x.dims;
    result.contents = std::move(contents);
    return node.set(0, std::move(result));
  }
  return node.set(0,
                  node.map({&x}, x.dims, x.element,
                           [&](Scalars &s, ArrayRef<Value> v) {
                             Math m{s};
                             return emit(m, v[0]);
                           }),
                  x.isUnsigned);
}

struct FloatFunction {
  StringLiteral name;
  Value (*emit)(Math &, Value);
  double (*fold)(double);
};

template <typename Op>
Value emitOp(Math &m, Value x) {
  return Op::create(m.s.b, m.s.loc, x);
}

const FloatFunction functions[] = {
    {"Sqrt", emitOp<math::SqrtOp>, [](double x) { return std::sqrt(x); }},
    {"Exp", emitOp<math::ExpOp>, [](double x) { return std::exp(x); }},
    {"Log", emitOp<math::LogOp>, [](double x) { return std::log(x); }},
    {"Erf", emitOp<math::ErfOp>, [](double x) { return std::erf(x); }},
    {"Tanh", emitOp<math::TanhOp>, [](double x) { return std::tanh(x); }},
    {"Sin", emitOp<math::SinOp>, [](double x) { return std::sin(x); }},
    {"Cos", emitOp<math::CosOp>, [](double x) { return std::cos(x); }},
    {"Tan",
     [](Math &m, Value x) { return m.div(emitOp<math::SinOp>(m, x), emitOp<math::CosOp>(m, x)); },
     [](double x) { return std::tan(x); }},
    {"Asin", [](Math &m, Value x) { return m.asin(x); }, [](double x) { return std::asin(x); }},
    {"Acos", [](Math &m, Value x) { return m.acos(x); }, [](double x) { return std::acos(x); }},
    {"Atan", [](Math &m, Value x) { return m.atan(x); }, [](double x) { return std::atan(x); }},
    {"Sinh", [](Math &m, Value x) { return m.sinh(x); }, [](double x) { return std::sinh(x); }},
    {"Cosh", [](Math &m, Value x) { return m.cosh(x); }, [](double x) { return std::cosh(x); }},
    {"Asinh", [](Math &m, Value x) { return m.asinh(x); }, [](double x) { return std::asinh(x); }},
    {"Acosh", [](Math &m, Value x) { return m.acosh(x); }, [](double x) { return std::acosh(x); }},
    {"Atanh", [](Math &m, Value x) { return m.atanh(x); }, [](double x) { return std::atanh(x); }},
    {"Floor", emitOp<math::FloorOp>, [](double x) { return std::floor(x); }},
    {"Ceil", emitOp<math::CeilOp>, [](double x) { return std::ceil(x); }},
    {"Round", emitOp<math::RoundEvenOp>, [](double x) { return std::nearbyint(x); }},
    {"Reciprocal", [](Math &m, Value x) { return m.div(m.c(1, x), x); },
     [](double x) { return 1 / x; }},
    {"Sigmoid", [](Math &m, Value x) { return m.sigmoid(x); }, nullptr},
    {"Softplus", [](Math &m, Value x) { return m.softplus(x); }, nullptr},
    {"Softsign",
     [](Math &m, Value x) { return m.div(x, m.add(m.c(1, x), emitOp<math::AbsFOp>(m, x))); },
     nullptr},
    {"Mish", [](Math &m, Value x) { return m.mul(x, m.tanh(m.softplus(x))); }, nullptr},
    {"HardSwish",
     [](Math &m, Value x) {
       Value gate = m.add(m.mul(x, m.c(1.0 / 6, x)), m.c(0.5, x));
       return m.mul(x, m.max(m.c(0, x), m.min(m.c(1, x), gate)));
     },
     nullptr},
};

} // namespace

LogicalResult importFloatFunction(Node &node) {
  StringRef name = node.op.getOpType();
  for (const FloatFunction &f : functions) {
    if (f.name == name) {
      auto onFloat = [&](ArrayRef<double> x) -> std::optional<double> {
        return f.fold ? std::optional(f.fold(x[0])) : std::nullopt;
      };
      return unary(node, f.emit, nullptr, onFloat);
    }
  }
  return node.unsupported("an unknown function");
}

LogicalResult importNeg(Node &node) {
  auto onInt = [](ArrayRef<AffineExpr> x) -> AffineExpr { return -x[0]; };
  auto onFloat = [](ArrayRef<double> x) -> std::optional<double> { return -x[0]; };
  auto emit = [](Math &m, Value x) -> Value {
    return isa<FloatType>(x.getType())
               ? m.neg(x)
               : Value(arith::SubIOp::create(m.s.b, m.s.loc, m.s.i(0, x.getType()), x));
  };
  return unary(node, emit, onInt, onFloat);
}

LogicalResult importAbs(Node &node) {
  bool isUnsigned = node.in(0).isUnsigned;
  auto onInt = [&](ArrayRef<AffineExpr> x) -> AffineExpr {
    graph::Interval range = node.importer.interval(x[0]);
    return range.lower && *range.lower >= 0   ? x[0]
           : range.upper && *range.upper <= 0 ? -x[0]
                                              : AffineExpr();
  };
  auto onFloat = [](ArrayRef<double> x) -> std::optional<double> { return std::fabs(x[0]); };
  auto emit = [&](Math &m, Value x) -> Value {
    if (isa<FloatType>(x.getType())) {
      return math::AbsFOp::create(m.s.b, m.s.loc, x);
    }
    Value zero = m.s.i(0, x.getType());
    Value negative = arith::CmpIOp::create(m.s.b, m.s.loc, arith::CmpIPredicate::slt, x, zero);
    return isUnsigned
               ? x
               : m.select(negative, Value(arith::SubIOp::create(m.s.b, m.s.loc, zero, x)), x);
  };
  return unary(node, emit, onInt, onFloat);
}

LogicalResult importSign(Node &node) {
  bool isUnsigned = node.in(0).isUnsigned;
  auto emit = [&](Math &m, Value x) -> Value {
    Value zero = m.s.constantLike(0, x), one = m.s.constantLike(1, x),
          minus = m.s.constantLike(-1, x);
    if (isa<FloatType>(x.getType())) {
      return m.select(m.greater(x, zero), one, m.select(m.less(x, zero), minus, zero));
    }
    auto compare = [&](arith::CmpIPredicate p) -> Value {
      return arith::CmpIOp::create(m.s.b, m.s.loc, p, x, zero);
    };
    if (isUnsigned) {
      return m.select(compare(arith::CmpIPredicate::ne), one, zero);
    }
    return m.select(compare(arith::CmpIPredicate::sgt), one,
                    m.select(compare(arith::CmpIPredicate::slt), minus, zero));
  };
  return unary(node, emit);
}

LogicalResult importRelu(Node &node) {
  auto emit = [](Math &m, Value x) -> Value {
    return isa<FloatType>(x.getType())
               ? m.max(x, m.c(0, x))
               : Value(arith::MaxSIOp::create(m.s.b, m.s.loc, x, m.s.i(0, x.getType())));
  };
  return unary(node, emit);
}

/// Activations with coefficients in attributes.
LogicalResult importActivation(Node &node) {
  StringRef name = node.op.getOpType();
  auto emit = [&](Math &m, Value x) -> Value {
    Value zero = m.c(0, x), one = m.c(1, x);
    if (name == "LeakyRelu") {
      return m.select(m.less(x, zero), m.mul(x, m.c(node.attrFloat("alpha", 0.01), x)), x);
    }
    if (name == "HardSigmoid") {
      Value line = m.add(m.mul(x, m.c(node.attrFloat("alpha", 0.2), x)),
                         m.c(node.attrFloat("beta", 0.5), x));
      return m.max(zero, m.min(one, line));
    }
    if (name == "Elu" || name == "Selu" || name == "Celu") {
      double alpha = node.attrFloat("alpha", name == "Selu" ? 1.67326319217681884765625 : 1.0);
      double gamma = name == "Selu" ? node.attrFloat("gamma", 1.05070102214813232421875) : 1.0;
      Value argument = name == "Celu" ? m.div(x, m.c(alpha, x)) : x;
      Value curve = m.mul(m.c(alpha, x), math::ExpM1Op::create(m.s.b, m.s.loc, argument));
      return m.mul(m.c(gamma, x), m.select(m.less(x, zero), curve, x));
    }
    if (name == "ThresholdedRelu") {
      return m.select(m.greater(x, m.c(node.attrFloat("alpha", 1.0), x)), x, zero);
    }
    if (name == "Shrink") {
      double lambd = node.attrFloat("lambd", 0.5), bias = node.attrFloat("bias", 0.0);
      Value above = m.select(m.greater(x, m.c(lambd, x)), m.sub(x, m.c(bias, x)), zero);
      return m.select(m.less(x, m.c(-lambd, x)), m.add(x, m.c(bias, x)), above);
    }
    // Swish and QuickGelu: x·sigmoid(alpha·x).
    return m.mul(
        x, m.sigmoid(m.mul(x, m.c(node.attrFloat("alpha", name == "QuickGelu" ? 1.702 : 1.0), x))));
  };
  return unary(node, emit);
}

LogicalResult importGelu(Node &node) {
  bool isTanh =
      node.op.getOpType() == "FastGelu" || node.attrString("approximate", "none") == "tanh";
  Tensor &x = node.in(0);
  SmallVector<Tensor *> operands{&x};
  if (node.has(1)) { // The bias of FastGelu and BiasGelu.
    operands.push_back(&node.in(1));
  }
  return node.set(0, node.map(operands, x.dims, x.element, [&](Scalars &s, ArrayRef<Value> v) {
    Math m{s};
    Value sum = v.size() > 1 ? m.add(v[0], v[1]) : v[0];
    return isTanh ? m.geluTanh(sum) : m.geluErf(sum);
  }));
}

LogicalResult importPRelu(Node &node) {
  if (!node.has(1)) {
    return node.invalid("needs a slope");
  }
  Tensor &x = node.in(0);
  auto dims = node.broadcast(x.dims, node.in(1).dims);
  if (failed(dims) || !graph::sameDims(*dims, x.dims)) {
    return failed(dims) ? failure() : node.invalid("the slope must broadcast to the input");
  }
  return node.set(0,
                  node.map({&x, &node.in(1)}, x.dims, x.element, [](Scalars &s, ArrayRef<Value> v) {
                    Math m{s};
                    return m.select(m.less(v[0], m.c(0, v[0])), m.mul(v[0], v[1]), v[0]);
                  }));
}

LogicalResult importIsNan(Node &node) {
  Tensor &x = node.in(0);
  bool inf = node.op.getOpType() == "IsInf";
  bool positive = node.attr("detect_positive", 1) != 0,
       negative = node.attr("detect_negative", 1) != 0;
  return node.set(
      0, node.map({&x}, x.dims, node.b.getI1Type(), [&](Scalars &s, ArrayRef<Value> v) -> Value {
        auto compare = [&](arith::CmpFPredicate p, Value a, Value b) -> Value {
          return arith::CmpFOp::create(s.b, s.loc, p, a, b);
        };
        if (!inf) {
          return compare(arith::CmpFPredicate::UNO, v[0], v[0]);
        }
        Value none = s.i(0, s.b.getI1Type());
        Value up = positive
                       ? compare(arith::CmpFPredicate::OEQ, v[0], s.f(INFINITY, v[0].getType()))
                       : none;
        Value down = negative
                         ? compare(arith::CmpFPredicate::OEQ, v[0], s.f(-INFINITY, v[0].getType()))
                         : none;
        return arith::OrIOp::create(s.b, s.loc, up, down);
      }));
}

} // namespace ciuic::legalize
