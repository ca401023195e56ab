// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Terms: see Term.h.
#include "passes/Raise/Term.h"

#include "ir/Graph/Views.h"

#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic::raise {

Term elementOf(Value tensor) {
  Term term{tensor, {}};
  for (auto [i, extent] : llvm::enumerate(dimsOf(tensor))) {
    term.index.push_back(isOne(extent) ? getAffineConstantExpr(0, tensor.getContext())
                                       : getAffineDimExpr(i, tensor.getContext()));
  }
  return term;
}

/// Whether an expression is small. Merging and splitting dims in turn doubles an index each time;
/// one that has grown beyond use is not followed, which also bounds the work on a hostile graph.
static bool isSmall(AffineExpr e, unsigned &budget) {
  if (budget == 0) {
    return false;
  }
  --budget;
  auto binary = dyn_cast<AffineBinaryOpExpr>(e);
  return !binary || (isSmall(binary.getLHS(), budget) && isSmall(binary.getRHS(), budget));
}
static bool areSmall(ArrayRef<AffineExpr> index) {
  return llvm::all_of(index, [](AffineExpr e) {
    unsigned budget = 64;
    return isSmall(e, budget);
  });
}

bool step(Term &term) {
  Operation *definition = term.value.getDefiningOp();
  if (term.isTensor()) {
    if (auto map = dyn_cast_or_null<MapOp>(definition)) {
      unsigned number = cast<OpResult>(term.value).getResultNumber();
      term.value = cast<YieldOp>(map.getBody().front().getTerminator()).getValues()[number];
      return true;
    }
    auto through =
        definition ? throughView(definition, term.index, /*merging=*/true) : std::nullopt;
    if (through && !areSmall(through->second)) {
      return false;
    }
    if (through) {
      // An extent of one has a single index.
      for (auto [e, extent] : llvm::zip(through->second, dimsOf(through->first))) {
        e = isOne(extent) ? getAffineConstantExpr(0, e.getContext()) : e;
      }
      term = {through->first, through->second};
    }
    return through.has_value();
  }
  if (auto argument = dyn_cast<BlockArgument>(term.value)) {
    auto map = cast<MapOp>(argument.getOwner()->getParentOp());
    AffineMap access = map.getMap(argument.getArgNumber());
    Term read{map.getInputs()[argument.getArgNumber()], {}};
    for (auto [e, extent] : llvm::zip(access.getResults(), dimsOf(read.value))) {
      read.index.push_back(isOne(extent) ? getAffineConstantExpr(0, e.getContext())
                                         : e.replaceDims(term.index));
    }
    if (!areSmall(read.index)) {
      return false;
    }
    term = std::move(read);
    return true;
  }
  if (isa<arith::ExtFOp, arith::TruncFOp>(definition)) {
    term.value = definition->getOperand(0);
    return true;
  }
  // A factor of one, as a power written as a product begins with.
  if (isa<arith::MulFOp>(definition)) {
    for (unsigned i = 0; i < 2; ++i) {
      if (matchPattern(definition->getOperand(i), m_OneFloat())) {
        term.value = definition->getOperand(1 - i);
        return true;
      }
    }
  }
  return false;
}

SmallVector<Term> tensorsOf(Term term, bool views) {
  SmallVector<Term> tensors;
  unsigned steps = 0;
  do {
    if (term.isTensor()) {
      tensors.push_back(term);
      if (views && term.value.getDefiningOp<MapOp>()) {
        break;
      }
    }
  } while (steps++ < maxSteps && step(term));
  return tensors;
}

/// Where a term ends, or where following it is given up.
static Term endOf(Term term) {
  for (unsigned steps = 0; steps < maxSteps && step(term); ++steps) {
  }
  return term;
}

Computation computationOf(Term term) {
  term = endOf(std::move(term));
  Computation c;
  c.index = term.index;
  c.op = term.isTensor() ? nullptr : term.value.getDefiningOp();
  if (c.op) {
    for (Value operand : c.op->getOperands()) {
      c.operands.push_back({operand, term.index});
    }
  }
  return c;
}

std::optional<double> constantOf(const Term &term) {
  Term end = endOf(term);
  Attribute value;
  if (auto constant = end.value.getDefiningOp<arith::ConstantOp>()) {
    value = constant.getValue();
  } else if (auto tensor = end.value.getDefiningOp<ConstantOp>()) {
    auto dense = dyn_cast<DenseElementsAttr>(tensor.getValue());
    if (dense && dense.isSplat()) {
      value = dense.getSplatValue<Attribute>();
    }
  }
  auto number = dyn_cast_or_null<FloatAttr>(value);
  return number ? std::optional(number.getValueAsDouble()) : std::nullopt;
}

bool passes(const Term &term, const Term &element) {
  return llvm::any_of(tensorsOf(term), [&](const Term &t) {
    return t.value == element.value && t.index == element.index;
  });
}

std::optional<Term> sharedTensor(const Term &a, const Term &b) {
  auto others = tensorsOf(b);
  for (const Term &t : tensorsOf(a)) {
    for (const Term &o : others) {
      if (t.value == o.value && t.index == o.index) {
        return t;
      }
    }
  }
  return std::nullopt;
}

std::optional<Term> squareOf(const Term &term) {
  Computation c = computationOf(term);
  if (isa_and_nonnull<arith::MulFOp>(c.op)) {
    return sharedTensor(c.operands[0], c.operands[1]);
  }
  bool power = isa_and_nonnull<math::PowFOp>(c.op) && constantOf(c.operands[1]) == 2;
  auto tensors = power ? tensorsOf(c.operands[0]) : SmallVector<Term>();
  return tensors.empty() ? std::nullopt : std::optional(tensors.front());
}

static Product takeApart(const Term &term, const std::optional<Term> &opaque, unsigned depth) {
  Product product;
  if (auto constant = constantOf(term)) {
    product.constant = *constant;
    return product;
  }
  if (opaque && passes(term, *opaque)) {
    product.factors.push_back(term);
    return product;
  }
  Computation c = depth ? computationOf(term) : Computation();
  bool multiplies = isa_and_nonnull<arith::MulFOp>(c.op),
       divides = isa_and_nonnull<arith::DivFOp>(c.op);
  if (!multiplies && !divides) {
    product.factors.push_back(term);
    return product;
  }
  Product left = takeApart(c.operands[0], opaque, depth - 1),
          right = takeApart(c.operands[1], opaque, depth - 1);
  product.constant = multiplies ? left.constant * right.constant : left.constant / right.constant;
  product.factors = std::move(left.factors);
  product.divisors = std::move(left.divisors);
  product.factors.append(multiplies ? right.factors : right.divisors);
  product.divisors.append(multiplies ? right.divisors : right.factors);
  return product;
}

Product productOf(const Term &term, const std::optional<Term> &opaque) {
  return takeApart(term, opaque, maxDepth);
}

bool isDim(AffineExpr expr, unsigned dim, AffineExpr extent) {
  auto position = dyn_cast<AffineDimExpr>(expr);
  auto constant = dyn_cast<AffineConstantExpr>(expr);
  return (position && position.getPosition() == dim) ||
         (isOne(extent) && constant && constant.getValue() == 0);
}

bool isIdentity(const Term &term) {
  if (!term.isTensor()) {
    return false;
  }
  for (auto [i, extent] : llvm::enumerate(dimsOf(term.value))) {
    if (!isDim(term.index[i], i, extent)) {
      return false;
    }
  }
  return true;
}

Value vectorAlong(OpBuilder &b, const Term &term, unsigned dim, AffineExpr extent) {
  for (const Term &t : tensorsOf(term)) {
    auto dims = dimsOf(t.value);
    unsigned found = 0;
    bool vector = true;
    for (auto [e, own] : llvm::zip(t.index, dims)) {
      if (!isOne(own)) {
        vector &= isDim(e, dim, own) && sameDim(own, extent);
        ++found;
      }
    }
    if (vector && found == 1) {
      return dims.size() == 1
                 ? t.value
                 : ReshapeOp::create(b, t.value.getLoc(),
                                     tensorOf({extent}, getElementTypeOrSelf(t.value)), t.value);
    }
  }
  return {};
}

std::optional<RootMeanSquare> rootMeanSquareOf(const Term &term, ArrayRef<AffineExpr> dims) {
  auto root = operandsOf<math::SqrtOp>(term);
  auto sum = root.empty() ? SmallVector<Term>() : operandsOf<arith::AddFOp>(root[0]);
  for (unsigned i = 0; i < sum.size(); ++i) {
    auto epsilon = constantOf(sum[i]);
    auto mean = epsilon ? meanOf(sum[1 - i], dims) : std::nullopt;
    auto element = mean ? squareOf(*mean) : std::nullopt;
    if (element && isIdentity(*element)) {
      return RootMeanSquare{*element, *epsilon};
    }
  }
  return std::nullopt;
}

std::optional<Term> meanOf(const Term &term, ArrayRef<AffineExpr> dims) {
  SmallVector<Term> tensors = tensorsOf(term);
  auto reduce = tensors.empty() ? ReduceOp() : tensors.back().value.getDefiningOp<ReduceOp>();
  Term operand = reduce ? elementOf(reduce.getInput()) : Term();
  auto own = reduce ? dimsOf(reduce.getInput()) : SmallVector<AffineExpr>();
  if (!reduce || reduce.getKind() != ReduceKind::mean || own.size() != dims.size() ||
      reduce.getDims().size() != 1 ||
      reduce.getDims()[0] + 1 != static_cast<int64_t>(dims.size()) || !sameDims(own, dims)) {
    return std::nullopt;
  }
  for (unsigned i = 0; i + 1 < dims.size(); ++i) {
    if (!isDim(tensors.back().index[i], i, own[i])) {
      return std::nullopt;
    }
  }
  return operand;
}

void raiseMaps(func::FuncOp function, function_ref<Value(OpBuilder &, MapOp)> raise) {
  auto maps = llvm::to_vector(function.getOps<MapOp>());
  for (MapOp map : llvm::reverse(maps)) {
    if (map.use_empty()) {
      continue;
    }
    OpBuilder b(map);
    if (Value value = raise(b, map)) {
      map.getResult(0).replaceAllUsesWith(value);
    }
  }
}

} // namespace ciuic::raise
