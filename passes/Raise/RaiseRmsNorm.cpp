// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// x / √(mean(x²) + ε) · scale, in any order of the factors and with the root as a divisor or as a
// reciprocal, is one rms_norm. The root of the mean says what x is; the rest of the product must be
// x and one vector.
#include "passes/Raise/Passes.h"
#include "passes/Raise/Term.h"

using namespace mlir;
using namespace ciuic::graph;
using namespace ciuic::raise;

namespace ciuic {
#define GEN_PASS_DEF_RAISERMSNORM
#include "passes/Raise/Passes.h.inc"
} // namespace ciuic

namespace {

/// The same element in a tensor of this type: halves are widened before they are squared.
std::optional<Term> inType(const Term &element, Type type) {
  for (const Term &t : tensorsOf(element)) {
    if (t.value.getType() == type && isIdentity(t)) {
      return t;
    }
  }
  return std::nullopt;
}

/// The norm that `map` computes, built before it; null if it is none.
Value normOfMap(OpBuilder &b, MapOp map) {
  Value result = map.getResult(0);
  auto dims = dimsOf(result);
  Term root = elementOf(result);
  Product whole = productOf(root);
  for (const Term &divisor : whole.divisors) {
    auto mean = rootMeanSquareOf(divisor, dims);
    auto element = mean ? inType(mean->element, result.getType()) : std::nullopt;
    if (!element) {
      continue;
    }
    Product product = productOf(root, element);
    if (product.constant != 1 || product.factors.size() != 2 || product.divisors.size() != 1 ||
        !rootMeanSquareOf(product.divisors[0], dims)) {
      continue;
    }
    for (unsigned i = 0; i < 2; ++i) {
      Value scale = passes(product.factors[i], *element)
                        ? vectorAlong(b, product.factors[1 - i], dims.size() - 1, dims.back())
                        : Value();
      if (scale && getElementTypeOrSelf(scale) == getElementTypeOrSelf(result)) {
        return RmsNormOp::create(b, map.getLoc(), result.getType(), element->value, scale,
                                 b.getF32FloatAttr(static_cast<float>(mean->epsilon)));
      }
    }
  }
  return {};
}

struct RaiseRmsNormPass : ciuic::impl::RaiseRmsNormBase<RaiseRmsNormPass> {
  void runOnOperation() override { raiseMaps(getOperation(), normOfMap); }
};

} // namespace
