// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Masks of attention: see AttentionMask.h. Causality is decided on the condition's scalar
// expression: it must come to one comparison of affine expressions of the query's and the key's
// position (other comparisons must always hold).
#include "passes/Raise/AttentionMask.h"

#include "ir/Graph/Views.h"

#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic::raise {
namespace {

/// An integer term as an affine expression of d0, d1, … and the symbols.
std::optional<AffineExpr> affineOf(const Term &term, unsigned depth = maxDepth) {
  Computation c = depth ? computationOf(term) : Computation();
  if (!c.op) {
    return std::nullopt;
  }
  if (auto index = dyn_cast<IndexOp>(c.op)) {
    return c.index[index.getDim()];
  }
  if (auto extent = dyn_cast<ExtentOp>(c.op)) {
    return extent.getExpr().getResult(0);
  }
  APInt value;
  if (c.op->getNumResults() == 1 && matchPattern(c.op->getResult(0), m_ConstantInt(&value)) &&
      value.getSignificantBits() <= 64) {
    return getAffineConstantExpr(value.getSExtValue(), c.op->getContext());
  }
  if (!isa<arith::AddIOp, arith::SubIOp, arith::MulIOp>(c.op)) {
    return std::nullopt;
  }
  auto a = affineOf(c.operands[0], depth - 1), b = affineOf(c.operands[1], depth - 1);
  if (!a || !b) {
    return std::nullopt;
  }
  if (isa<arith::MulIOp>(c.op)) {
    bool linear = a->isSymbolicOrConstant() || b->isSymbolicOrConstant();
    return linear ? std::optional(*a * *b) : std::nullopt;
  }
  return isa<arith::AddIOp>(c.op) ? *a + *b : *a - *b;
}

AffineExpr simplified(AffineExpr e, unsigned symbols) { return simplifyAffineExpr(e, 4, symbols); }

/// The least value of an affine expression over the scores' index space.
std::optional<int64_t> leastOf(AffineExpr e, ArrayRef<AffineExpr> scores, const Bounds &bounds) {
  // Dims become symbols of their own behind the function's, with bounds 0 … extent − 1.
  Bounds all = bounds;
  SmallVector<AffineExpr> dims;
  for (AffineExpr extent : scores) {
    auto upper = intervalOf(extent, bounds).upper;
    if (!upper) {
      return std::nullopt;
    }
    dims.push_back(getAffineSymbolExpr(all.upper.size(), e.getContext()));
    all.lower.push_back(0);
    all.upper.push_back(std::max<int64_t>(0, *upper - 1));
  }
  return intervalOf(e.replaceDims(dims), all).lower;
}

/// Expressions that must all be ≥ 0 for the condition (or, `negated`, its opposite) to hold;
/// nothing if it has parts of another kind.
std::optional<SmallVector<AffineExpr>> requirementsOf(const Term &condition, bool negated,
                                                      unsigned depth = maxDepth) {
  Computation c = depth ? computationOf(condition) : Computation();
  APInt value;
  if (c.op && matchPattern(c.op, m_ConstantInt(&value))) {
    bool holds = !value.isZero() != negated;
    return holds ? std::optional(SmallVector<AffineExpr>()) : std::nullopt;
  }
  if (isa_and_nonnull<arith::XOrIOp>(c.op) && matchPattern(c.op->getOperand(1), m_One())) {
    return requirementsOf(c.operands[0], !negated, depth - 1);
  }
  if ((isa_and_nonnull<arith::AndIOp>(c.op) && !negated) ||
      (isa_and_nonnull<arith::OrIOp>(c.op) && negated)) {
    auto a = requirementsOf(c.operands[0], negated, depth - 1),
         b = requirementsOf(c.operands[1], negated, depth - 1);
    if (!a || !b) {
      return std::nullopt;
    }
    a->append(*b);
    return a;
  }
  auto compare = dyn_cast_or_null<arith::CmpIOp>(c.op);
  auto left = compare ? affineOf(c.operands[0]) : std::nullopt,
       right = left ? affineOf(c.operands[1]) : std::nullopt;
  if (!right) {
    return std::nullopt;
  }
  auto predicate =
      negated ? arith::invertPredicate(compare.getPredicate()) : compare.getPredicate();
  switch (predicate) {
  case arith::CmpIPredicate::sle:
    return SmallVector<AffineExpr>{*right - *left};
  case arith::CmpIPredicate::slt:
    return SmallVector<AffineExpr>{*right - *left - 1};
  case arith::CmpIPredicate::sge:
    return SmallVector<AffineExpr>{*left - *right};
  case arith::CmpIPredicate::sgt:
    return SmallVector<AffineExpr>{*left - *right - 1};
  default:
    return std::nullopt;
  }
}

/// The deepest tensor below views that is read as something that broadcasts to the scores.
std::optional<Term> broadcastTensor(const Term &term, ArrayRef<AffineExpr> scores) {
  std::optional<Term> found;
  for (const Term &t : tensorsOf(term, /*views=*/true)) {
    auto dims = dimsOf(t.value);
    bool fits = dims.size() <= 4;
    for (size_t i = 0; fits && i < dims.size(); ++i) {
      unsigned dim = 4 - dims.size() + i;
      auto one = getAffineConstantExpr(1, dims[i].getContext());
      fits = dims[i] == one ? isDim(t.index[i], dim, one)
                            : isDim(t.index[i], dim, dims[i]) && sameDim(dims[i], scores[dim]);
    }
    found = fits ? std::optional(t) : found;
  }
  return found;
}

} // namespace

bool isCausal(const Mask &mask, ArrayRef<AffineExpr> scores, const Bounds &bounds, double low) {
  // Every query must see a key, or hiding by a low finite addend and hiding for good would differ.
  auto lead = intervalOf(simplified(scores[3] - scores[2], bounds.upper.size()), bounds).lower;
  if (!lead || *lead < 0) {
    return false;
  }
  Term condition = mask.term;
  bool keeps = mask.keeps;
  if (!mask.isCondition) {
    auto select = operandsOf<arith::SelectOp>(mask.term);
    auto onTrue = select.empty() ? std::nullopt : constantOf(select[1]),
         onFalse = select.empty() ? std::nullopt : constantOf(select[2]);
    if (!onTrue || !onFalse) {
      return false;
    }
    keeps = *onTrue == 0 && *onFalse <= low;
    if (!keeps && !(*onFalse == 0 && *onTrue <= low)) {
      return false;
    }
    condition = select[0];
  } else if (mask.fill > low) {
    return false;
  }
  auto requirements = requirementsOf(condition, !keeps);
  if (!requirements) {
    return false;
  }
  MLIRContext *context = scores[0].getContext();
  auto one = getAffineConstantExpr(1, context);
  AffineExpr query =
      scores[2] == one ? getAffineConstantExpr(0, context) : getAffineDimExpr(2, context);
  AffineExpr key =
      scores[3] == one ? getAffineConstantExpr(0, context) : getAffineDimExpr(3, context);
  bool causal = false;
  for (AffineExpr e : *requirements) {
    auto rest = dyn_cast<AffineConstantExpr>(
        simplified(e - (query + scores[3] - scores[2] - key), bounds.upper.size()));
    bool this_ = rest && rest.getValue() == 0;
    causal |= this_;
    auto least = this_ ? std::optional<int64_t>(0)
                       : leastOf(simplified(e, bounds.upper.size()), scores, bounds);
    if (!least || *least < 0) {
      return false;
    }
  }
  return causal;
}

bool hasTensor(const Mask &mask, ArrayRef<AffineExpr> scores) {
  auto t = broadcastTensor(mask.term, scores);
  Type element = t ? getElementTypeOrSelf(t->value) : Type();
  return t && (mask.isCondition ? element.isInteger(1)
                                : isa<Float32Type, Float16Type, BFloat16Type>(element));
}

Value tensorOfMasks(OpBuilder &b, Location loc, ArrayRef<Mask> masks, ArrayRef<AffineExpr> scores) {
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  SmallVector<AffineExpr> dims(4, b.getAffineConstantExpr(1));
  for (const Mask &mask : masks) {
    Term t = *broadcastTensor(mask.term, scores);
    auto own = dimsOf(t.value);
    if (masks.size() == 1 && !mask.isCondition && getElementTypeOrSelf(t.value).isF32()) {
      return t.value;
    }
    SmallVector<AffineExpr> index;
    for (auto [i, extent] : llvm::enumerate(own)) {
      unsigned dim = 4 - own.size() + i;
      bool unit = extent == b.getAffineConstantExpr(1);
      index.push_back(unit ? b.getAffineConstantExpr(0) : b.getAffineDimExpr(dim));
      dims[dim] = unit ? dims[dim] : scores[dim];
    }
    inputs.push_back(t.value);
    maps.push_back(accessMap(4, index, b.getContext()));
  }
  SmallVector<Type> types{tensorOf(dims, b.getF32Type())};
  auto map = MapOp::create(
      b, loc, types, inputs, maps, [&](OpBuilder &b, Location loc, ValueRange scalars) {
        Value sum;
        for (auto [mask, scalar] : llvm::zip(masks, scalars)) {
          Value addend = scalar;
          if (mask.isCondition) {
            Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
            Value fill =
                arith::ConstantOp::create(b, loc, b.getF32FloatAttr(static_cast<float>(mask.fill)));
            addend = arith::SelectOp::create(b, loc, scalar, mask.keeps ? zero : fill,
                                             mask.keeps ? fill : zero);
          } else if (!scalar.getType().isF32()) {
            addend = arith::ExtFOp::create(b, loc, b.getF32Type(), scalar);
          }
          sum = sum ? Value(arith::AddFOp::create(b, loc, sum, addend)) : addend;
        }
        return SmallVector<Value>{sum};
      });
  return map.getResult(0);
}

} // namespace ciuic::raise
