// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// x · cos + concat(−x₂, x₁) · sin, x₁ and x₂ the halves of x along the last dim, is one rope. The
// concat, of which one half must be a negation, says what x is: the deepest tensor below views that
// both halves and the other product read. A rope over a tensor of the other head layout is followed
// by a transpose, which attention absorbs.
#include "passes/Raise/HeadLayouts.h"
#include "passes/Raise/Passes.h"

using namespace mlir;
using namespace ciuic::graph;
using namespace ciuic::raise;

namespace ciuic {
#define GEN_PASS_DEF_RAISEROPE
#include "passes/Raise/Passes.h.inc"
} // namespace ciuic

namespace {

/// `index` with d3 moved on by half the width.
SmallVector<AffineExpr> movedOn(ArrayRef<AffineExpr> index, int64_t half) {
  MLIRContext *context = index.front().getContext();
  AffineExpr d3 = getAffineDimExpr(3, context);
  return llvm::map_to_vector(index, [&](AffineExpr e) { return e.replace(d3, d3 + half); });
}

/// The deepest tensor of heads that `x` reads at some index, `second` at that index moved on by
/// `half`, and `first` at that index: what is rotated.
std::optional<Heads> rotatedOf(const Term &x, const Term &second, const Term &first, int64_t half,
                               ArrayRef<AffineExpr> dims) {
  std::optional<Heads> found;
  for (const Term &t : tensorsOf(x)) {
    auto layout = layoutOf(t, dims, /*repeated=*/false);
    if (layout && passes(first, t) && passes(second, Term{t.value, movedOn(t.index, half)})) {
      found = Heads{t.value, *layout, 1};
    }
  }
  return found;
}

/// cos or sin as [batch or 1, sequence, width]: `term` must read it at (d0, d2, d3).
Value tableOf(OpBuilder &b, const Term &term, ArrayRef<AffineExpr> wanted) {
  auto one = getAffineConstantExpr(1, wanted[0].getContext());
  for (const Term &t : tensorsOf(term)) {
    auto dims = dimsOf(t.value);
    bool unitHeads = dims.size() == 4 && dims[1] == one;
    if (dims.size() != 3 && !unitHeads) {
      continue;
    }
    SmallVector<AffineExpr> index = t.index;
    if (unitHeads) {
      dims.erase(dims.begin() + 1);
      index.erase(index.begin() + 1);
    }
    if (isDim(index[0], 0, dims[0]) && (dims[0] == one || sameDim(dims[0], wanted[0])) &&
        isDim(index[1], 2, dims[1]) && sameDim(dims[1], wanted[2]) && isDim(index[2], 3, dims[2]) &&
        sameDim(dims[2], wanted[3])) {
      return unitHeads ? ReshapeOp::create(b, t.value.getLoc(),
                                           tensorOf(dims, getElementTypeOrSelf(t.value)), t.value)
                       : t.value;
    }
  }
  return {};
}

Value raise(OpBuilder &b, MapOp map, HeadLayout layout) {
  Value result = map.getResult(0);
  auto dims = dimsOf(result);
  Term root = elementOf(result);
  auto width = dims.size() == 4 ? dyn_cast<AffineConstantExpr>(dims[3]) : AffineConstantExpr();
  Type element = getElementTypeOrSelf(result);
  if (!width || width.getValue() % 2 != 0 || width.getValue() < 2 ||
      !isa<Float32Type, Float16Type, BFloat16Type>(element)) {
    return {};
  }
  // Matching sees (batch d0, head d1, position d2, width d3).
  if (layout == HeadLayout::bshd) {
    std::swap(dims[1], dims[2]);
    for (unsigned i = 1; i < 3; ++i) {
      root.index[i] = isa<AffineDimExpr>(root.index[i]) ? getAffineDimExpr(3 - i, b.getContext())
                                                        : root.index[i];
    }
  }
  int64_t half = width.getValue() / 2;
  auto sum = operandsOf<arith::AddFOp>(root);
  for (unsigned swap = 0; swap < 8 && !sum.empty(); ++swap) {
    auto straight = operandsOf<arith::MulFOp>(sum[swap & 1]),
         rotated = operandsOf<arith::MulFOp>(sum[1 - (swap & 1)]);
    if (straight.empty() || rotated.empty()) {
      return {};
    }
    const Term &x = straight[(swap >> 1) & 1], &cos = straight[1 - ((swap >> 1) & 1)];
    const Term &turned = rotated[(swap >> 2) & 1], &sin = rotated[1 - ((swap >> 2) & 1)];
    auto tensors = tensorsOf(turned);
    auto concat = tensors.empty() ? ConcatOp() : tensors.back().value.getDefiningOp<ConcatOp>();
    if (!concat || concat.getInputs().size() != 2 ||
        static_cast<int64_t>(concat.getAxis()) + 1 !=
            cast<RankedTensorType>(concat.getType()).getRank() ||
        cast<RankedTensorType>(concat.getInputs()[0].getType()).getShape().back() != half) {
      continue;
    }
    Term second{concat.getInputs()[0], tensors.back().index},
        first{concat.getInputs()[1], tensors.back().index};
    // Either half counts from 0.
    auto negated = operandsOf<arith::NegFOp>(second);
    auto found = negated.empty() ? std::nullopt : rotatedOf(x, negated[0], first, half, dims);
    Value cosTable = found ? tableOf(b, cos, dims) : Value(),
          sinTable = cosTable ? tableOf(b, sin, dims) : Value();
    // Tables are read below a rounding to the type of x, if there is one: f32 serves all types.
    if (!sinTable || getElementTypeOrSelf(found->tensor) != element ||
        cosTable.getType() != sinTable.getType() ||
        !isa<Float32Type, Float16Type, BFloat16Type>(getElementTypeOrSelf(cosTable))) {
      continue;
    }
    Value rope = RopeOp::create(b, map.getLoc(), found->tensor.getType(), found->tensor, cosTable,
                                sinTable, found->layout, false);
    return found->layout == layout ? rope : transposeHeads(b, map.getLoc(), rope);
  }
  return {};
}

struct RaiseRopePass : ciuic::impl::RaiseRopeBase<RaiseRopePass> {
  void runOnOperation() override {
    for (MapOp map : llvm::to_vector(getOperation().getOps<MapOp>())) {
      for (HeadLayout layout : {HeadLayout::bhsd, HeadLayout::bshd}) {
        OpBuilder b(map);
        if (Value rope = map.use_empty() ? Value() : raise(b, map, layout)) {
          map.getResult(0).replaceAllUsesWith(rope);
        }
      }
    }
  }
};

} // namespace
