// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// c / √(mean(c²) + ε) · scale + bias with c = x − mean(x) is one layer_norm, with or without the
// bias. The root of the mean says what c is; c must be a difference of x and its mean.
#include "passes/Raise/Passes.h"
#include "passes/Raise/Term.h"

using namespace mlir;
using namespace ciuic::graph;
using namespace ciuic::raise;

namespace ciuic {
#define GEN_PASS_DEF_RAISELAYERNORM
#include "passes/Raise/Passes.h.inc"
} // namespace ciuic

namespace {

/// x, if the term is x − mean(x).
std::optional<Term> centredOf(const Term &term, ArrayRef<AffineExpr> dims) {
  auto difference = operandsOf<arith::SubFOp>(term);
  auto mean = difference.empty() ? std::nullopt : meanOf(difference[1], dims);
  auto x = mean ? sharedTensor(difference[0], *mean) : std::nullopt;
  return x && isIdentity(*x) ? x : std::nullopt;
}

/// The norm of which `scaled` (an element of `type`) is all but the bias; null if it is none.
Value normOf(OpBuilder &b, Location loc, RankedTensorType type, const Term &scaled, Value bias) {
  auto dims = dimsOf(type);
  Product whole = productOf(scaled);
  for (const Term &divisor : whole.divisors) {
    auto deviation = rootMeanSquareOf(divisor, dims);
    auto x = deviation ? centredOf(deviation->element, dims) : std::nullopt;
    if (!x || x->value.getType() != type) {
      continue;
    }
    Product product = productOf(scaled, deviation->element);
    if (product.constant != 1 || product.factors.size() != 2 || product.divisors.size() != 1 ||
        !rootMeanSquareOf(product.divisors[0], dims)) {
      continue;
    }
    for (unsigned i = 0; i < 2; ++i) {
      bool centred =
          passes(product.factors[i], deviation->element) || centredOf(product.factors[i], dims);
      Value scale =
          centred ? vectorAlong(b, product.factors[1 - i], dims.size() - 1, dims.back()) : Value();
      if (scale && getElementTypeOrSelf(scale) == type.getElementType()) {
        return LayerNormOp::create(b, loc, type, x->value, scale, bias,
                                   b.getF32FloatAttr(static_cast<float>(deviation->epsilon)));
      }
    }
  }
  return {};
}

Value normOfMap(OpBuilder &b, MapOp map) {
  auto type = cast<RankedTensorType>(map.getResult(0).getType());
  Term root = elementOf(map.getResult(0));
  auto sum = operandsOf<arith::AddFOp>(root);
  for (unsigned i = 0; i < sum.size(); ++i) {
    Value bias =
        type.getRank() ? vectorAlong(b, sum[i], type.getRank() - 1, dimsOf(type).back()) : Value();
    if (bias && getElementTypeOrSelf(bias) == type.getElementType()) {
      if (Value norm = normOf(b, map.getLoc(), type, sum[1 - i], bias)) {
        return norm;
      }
    }
  }
  return normOf(b, map.getLoc(), type, root, Value());
}

struct RaiseLayerNormPass : ciuic::impl::RaiseLayerNormBase<RaiseLayerNormPass> {
  void runOnOperation() override { raiseMaps(getOperation(), normOfMap); }
};

} // namespace
