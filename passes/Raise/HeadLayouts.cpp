// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See HeadLayouts.h.
#include "passes/Raise/HeadLayouts.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic::raise {

/// Whether `expr` is the head that query head d1 of `heads` reads among `own` heads.
static bool isHead(AffineExpr expr, int64_t own, int64_t heads) {
  if (own < 1 || heads % own != 0) {
    return false;
  }
  AffineExpr wanted = getAffineDimExpr(1, expr.getContext());
  wanted = own == 1 ? getAffineConstantExpr(0, expr.getContext()) : wanted.floorDiv(heads / own);
  return expr == wanted ||
         (heads == 1 && isDim(expr, 1, getAffineConstantExpr(1, expr.getContext())));
}

std::optional<HeadLayout> layoutOf(const Term &t, ArrayRef<AffineExpr> wanted, bool repeated) {
  auto dims = dimsOf(t.value);
  auto heads = dyn_cast<AffineConstantExpr>(wanted[1]);
  auto is = [&](unsigned i, unsigned dim) {
    return isDim(t.index[i], dim, dims[i]) && sameDim(dims[i], wanted[dim]);
  };
  if (!heads || dims.size() != 4 || !is(0, 0) || !is(3, 3)) {
    return std::nullopt;
  }
  for (HeadLayout layout : {HeadLayout::bhsd, HeadLayout::bshd}) {
    unsigned head = layout == HeadLayout::bhsd ? 1 : 2;
    auto own = dyn_cast<AffineConstantExpr>(dims[head]);
    if (own && (repeated || own == heads) &&
        isHead(t.index[head], own.getValue(), heads.getValue()) && is(3 - head, 2)) {
      return layout;
    }
  }
  return std::nullopt;
}

std::optional<Heads> headsOf(const Term &term, ArrayRef<AffineExpr> dims, bool scaled,
                             bool repeated) {
  std::optional<Heads> found;
  double scale = 1;
  Term t = term;
  for (unsigned steps = 0; steps < maxSteps; ++steps) {
    if (t.isTensor()) {
      if (auto layout = layoutOf(t, dims, repeated)) {
        found = Heads{t.value, *layout, scale};
      }
    }
    if (step(t)) {
      continue;
    }
    Operation *op = t.isTensor() ? nullptr : t.value.getDefiningOp();
    if (!scaled || !isa_and_nonnull<arith::MulFOp, arith::DivFOp>(op)) {
      return found;
    }
    Term left{op->getOperand(0), t.index}, right{op->getOperand(1), t.index};
    auto a = constantOf(left), b = constantOf(right);
    if (b) {
      scale = isa<arith::MulFOp>(op) ? scale * *b : scale / *b;
      t = left;
    } else if (a && isa<arith::MulFOp>(op)) {
      scale *= *a;
      t = right;
    } else {
      return found;
    }
  }
  return found;
}

Value transposeHeads(OpBuilder &b, Location loc, Value tensor) {
  auto dims = dimsOf(tensor);
  std::swap(dims[1], dims[2]);
  return TransposeOp::create(b, loc, tensorOf(dims, getElementTypeOrSelf(tensor)), tensor,
                             ArrayRef<int64_t>{0, 2, 1, 3});
}

} // namespace ciuic::raise
