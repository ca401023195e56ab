// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The host library multiplies f32 activations. Halves in front of it are widened by a map, which
// fuses with what computed them; weights stay as they are stored, and results are rounded where the
// kernel stores them. On CUDA kernels read halves, and only a mask changes its type.
#include "passes/Fuse/Passes.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_WIDENHALVES
#include "passes/Fuse/Passes.h.inc"
} // namespace ciuic

namespace {

bool isHalf(Value value) {
  Type element = cast<RankedTensorType>(value.getType()).getElementType();
  return element.isF16() || element.isBF16();
}

/// Whether the kernel reads this operand as packed panels, which decode by themselves.
bool isPacked(OpOperand &operand) {
  if (operand.getOperandNumber() != 1 ||
      !isa_and_nonnull<WeightOp, ConstantOp>(operand.get().getDefiningOp())) {
    return false;
  }
  if (auto matmul = dyn_cast<MatmulOp>(operand.getOwner())) {
    return cast<RankedTensorType>(matmul.getB().getType()).getRank() == 2 &&
           !matmul.getTransposeA();
  }
  return isa<ConvOp, ConvTransposeOp>(operand.getOwner());
}

Value widened(Value value, OpBuilder &b, Location loc) {
  SmallVector<AffineExpr> dims = dimsOf(value);
  auto result = tensorOf(dims, b.getF32Type());
  auto map = MapOp::create(b, loc, TypeRange(result), value, b.getMultiDimIdentityMap(dims.size()),
                           [](OpBuilder &builder, Location at, ValueRange scalars) {
                             return SmallVector<Value>{arith::ExtFOp::create(
                                 builder, at, builder.getF32Type(), scalars[0])};
                           });
  return map.getResult(0);
}

/// CUDA's attention takes a mask of the type of its other operands. Addends beyond the type's range
/// become its least value, which hides a key as well.
void narrowMask(AttentionOp attention) {
  Value mask = attention.getMask();
  auto element =
      cast<FloatType>(cast<RankedTensorType>(attention.getQuery().getType()).getElementType());
  if (!mask || element.isF32() ||
      !cast<RankedTensorType>(mask.getType()).getElementType().isF32()) {
    return;
  }
  OpBuilder b(attention);
  SmallVector<AffineExpr> dims = dimsOf(mask);
  auto map = MapOp::create(
      b, attention.getLoc(), TypeRange(tensorOf(dims, element)), mask,
      b.getMultiDimIdentityMap(dims.size()), [&](OpBuilder &at, Location loc, ValueRange scalars) {
        APFloat least = APFloat::getLargest(element.getFloatSemantics(), /*Negative=*/true);
        bool inexact = false;
        least.convert(APFloat::IEEEsingle(), APFloat::rmNearestTiesToEven, &inexact);
        Value bound =
            arith::ConstantOp::create(at, loc, at.getF32FloatAttr(least.convertToFloat()));
        Value kept = arith::MaximumFOp::create(at, loc, scalars[0], bound);
        return SmallVector<Value>{arith::TruncFOp::create(at, loc, element, kept)};
      });
  attention.getMaskMutable().assign(map.getResult(0));
}

struct WidenHalvesPass : ciuic::impl::WidenHalvesBase<WidenHalvesPass> {
  void runOnOperation() override {
    if (isForCuda(getOperation())) {
      getOperation().walk(narrowMask);
      return;
    }
    for (Operation &op : llvm::make_early_inc_range(getOperation().getBody().front())) {
      if (!isa<MatmulOp, ConvOp, ConvTransposeOp, PoolOp, AttentionOp>(op)) {
        continue;
      }
      OpBuilder b(&op);
      llvm::SmallDenseMap<Value, Value> done; // q, k and v may be one tensor
      for (OpOperand &operand : op.getOpOperands()) {
        if (!isHalf(operand.get()) || isPacked(operand)) {
          continue;
        }
        Value &wide = done[operand.get()];
        if (!wide) {
          wide = widened(operand.get(), b, op.getLoc());
        }
        operand.set(wide);
      }
    }
  }
};

} // namespace
