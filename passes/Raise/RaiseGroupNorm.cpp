// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A group norm that an exporter wrote as an instance norm of regrouped channels, scaled and shifted
// per channel behind it. The last sum is the anchor; below it stand the product with the scale, a
// reshape, the plain norm of each group as one channel, and a reshape of the input.
#include "passes/Raise/Passes.h"
#include "passes/Raise/Term.h"

using namespace mlir;
using namespace ciuic::graph;
using namespace ciuic::raise;

namespace ciuic {
#define GEN_PASS_DEF_RAISEGROUPNORM
#include "passes/Raise/Passes.h.inc"
} // namespace ciuic

namespace {

bool isSplat(Value value, double wanted) {
  while (auto reshape = value.getDefiningOp<ReshapeOp>()) {
    value = reshape.getInput();
  }
  auto constant = value.getDefiningOp<ConstantOp>();
  auto elements = constant ? dyn_cast<DenseFPElementsAttr>(constant.getValue()) : nullptr;
  return elements && elements.isSplat() &&
         elements.getSplatValue<APFloat>().convertToDouble() == wanted;
}

/// The norm of whose reshaped result `term` is an element, the reshape being of `dims`: batch,
/// channels, pixels.
GroupNormOp plainNormOf(const Term &term, ArrayRef<AffineExpr> dims) {
  for (const Term &t : tensorsOf(term)) {
    auto reshape = t.value.getDefiningOp<ReshapeOp>();
    if (!reshape || !isIdentity(t) || !sameDims(dimsOf(t.value), dims)) {
      continue;
    }
    auto norm = reshape.getInput().getDefiningOp<GroupNormOp>();
    if (!norm || norm.getLayout() != ImageLayout::channels_first || !isSplat(norm.getScale(), 1) ||
        !isSplat(norm.getBias(), 0)) {
      return {};
    }
    return norm;
  }
  return {};
}

Value normOfMap(OpBuilder &b, MapOp map) {
  Value result = map.getResult(0);
  auto type = cast<RankedTensorType>(result.getType());
  auto dims = dimsOf(result);
  auto channels = dims.size() >= 3 ? dyn_cast<AffineConstantExpr>(dims[1]) : AffineConstantExpr();
  if (!channels) {
    return {};
  }
  auto sum = operandsOf<arith::AddFOp>(elementOf(result));
  for (unsigned i = 0; i < sum.size(); ++i) {
    auto product = operandsOf<arith::MulFOp>(sum[1 - i]);
    for (unsigned j = 0; j < product.size(); ++j) {
      GroupNormOp plain = plainNormOf(product[1 - j], dims);
      if (!plain || getElementTypeOrSelf(plain.getInput()) != type.getElementType()) {
        continue;
      }
      Value scale = vectorAlong(b, product[j], 1, channels),
            bias = vectorAlong(b, sum[i], 1, channels);
      auto own = dimsOf(plain.getInput());
      auto groups = dyn_cast<AffineConstantExpr>(own[1]);
      if (!scale || !bias || getElementTypeOrSelf(scale) != type.getElementType() ||
          getElementTypeOrSelf(bias) != type.getElementType() || !sameDim(own[0], dims[0]) ||
          !groups || groups.getValue() < 1 || channels.getValue() % groups.getValue() != 0 ||
          !isOne(own[2])) {
        continue;
      }
      Location loc = map.getLoc();
      Type element = type.getElementType();
      AffineExpr each =
          getAffineConstantExpr(channels.getValue() / groups.getValue(), b.getContext());
      auto reshaped = [&](Value v, ArrayRef<AffineExpr> shape) -> Value {
        return ReshapeOp::create(b, loc, tensorOf(shape, element), v);
      };
      Value x =
          reshaped(plain.getInput(), {dims[0], groups, each,
                                      productOf(ArrayRef(dims).drop_front(2), b.getContext())});
      Value y = GroupNormOp::create(b, loc, x.getType(), x, reshaped(scale, {groups, each}),
                                    reshaped(bias, {groups, each}), plain.getEpsilon(),
                                    ImageLayout::channels_first);
      return ReshapeOp::create(b, loc, type, y);
    }
  }
  return {};
}

struct RaiseGroupNormPass : ciuic::impl::RaiseGroupNormBase<RaiseGroupNormPass> {
  void runOnOperation() override { raiseMaps(getOperation(), normOfMap); }
};

} // namespace
