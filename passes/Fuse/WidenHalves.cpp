// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// On the host f16 and bf16 are types that values are stored in, none that they are computed in:
// weights, arguments, states and results keep them, and everything between is f32. Otherwise each
// sum of a residual stream would be rounded to ten bits beside its largest element, and the squares
// of a norm that nothing raised would overflow. A cast that the model itself makes still rounds. On
// CUDA kernels read and write halves, and only a mask changes its type.
#include "passes/Fuse/Passes.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_WIDENHALVES
#include "passes/Fuse/Passes.h.inc"
} // namespace ciuic

namespace {

bool isHalf(Type type) {
  Type element = getElementTypeOrSelf(type);
  return element.isF16() || element.isBF16();
}

/// The type with f32 in place of halves.
Type wideType(Type type) {
  if (!isHalf(type)) {
    return type;
  }
  Type f32 = Float32Type::get(type.getContext());
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor ? tensorOf(dimsOf(tensor), f32) : f32;
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

/// Scale and bias of a norm, which its kernel widens as it reads them.
bool isVectorOfNorm(OpOperand &operand) {
  return operand.getOperandNumber() > 0 &&
         isa<LayerNormOp, RmsNormOp, GroupNormOp>(operand.getOwner());
}

/// A copy of the value whose elements are of this type.
Value converted(Value value, Type element, OpBuilder &b, Location loc) {
  SmallVector<AffineExpr> dims = dimsOf(value);
  auto map = MapOp::create(
      b, loc, TypeRange(tensorOf(dims, element)), value, b.getMultiDimIdentityMap(dims.size()),
      [&](OpBuilder &at, Location where, ValueRange scalars) -> SmallVector<Value> {
        if (element.isF32()) {
          return {arith::ExtFOp::create(at, where, element, scalars[0])};
        }
        return {arith::TruncFOp::create(at, where, element, scalars[0])};
      });
  return map.getResult(0);
}

/// Makes f32 of what the function computes, in program order: an operand that is a half by then is
/// a stored one.
class Widening {
public:
  explicit Widening(func::FuncOp function) : function(function) {}

  void run() {
    for (Operation &op : llvm::make_early_inc_range(function.getBody().front())) {
      llvm::TypeSwitch<Operation *>(&op)
          .Case<WeightOp, ConstantOp>([](auto) {})
          .Case<ReshapeOp, TransposeOp, ExpandOp, SliceOp, GatherOp, PadOp>(
              [&](Operation *move) { follow(move); })
          .Case<ConcatOp>([&](ConcatOp concat) {
            if (!llvm::all_of(concat.getInputs().getTypes(), isHalf)) {
              compute(concat);
            }
          })
          .Case<AppendOp>([&](AppendOp append) {
            if (isHalf(append.getPast().getType())) {
              narrow(append.getFreshMutable());
            } else {
              compute(append);
            }
          })
          .Case<MapOp>([&](MapOp map) { computeScalars(map); })
          .Case<func::ReturnOp>([&](func::ReturnOp terminator) {
            auto types = function.getFunctionType().getResults();
            for (auto [operand, type] : llvm::zip(terminator->getOpOperands(), types)) {
              if (isHalf(type) && !isHalf(operand.get().getType())) {
                OpBuilder b(terminator);
                operand.set(converted(operand.get(), getElementTypeOrSelf(type), b,
                                      operand.get().getLoc()));
              }
            }
          })
          .Default([&](Operation *op) { compute(op); });
    }
  }

private:
  /// Elements are moved as they are.
  static void follow(Operation *move) {
    Type element = getElementTypeOrSelf(move->getOperand(0).getType());
    Value result = move->getResult(0);
    if (getElementTypeOrSelf(result.getType()) == element) {
      return;
    }
    result.setType(wideType(result.getType()));
    if (auto pad = dyn_cast<PadOp>(move)) {
      auto value = cast<FloatAttr>(pad.getValue());
      pad.setValueAttr(FloatAttr::get(element, value.getValueAsDouble()));
    }
  }

  void compute(Operation *op) {
    for (OpOperand &operand : op->getOpOperands()) {
      if (isHalf(operand.get().getType()) && !isPacked(operand) && !isVectorOfNorm(operand)) {
        Value &wide = widened[operand.get()]; // q, k and v may be one tensor
        if (!wide) {
          OpBuilder b(op);
          wide = converted(operand.get(), b.getF32Type(), b, op->getLoc());
        }
        operand.set(wide);
      }
    }
    for (Value result : op->getResults()) {
      result.setType(wideType(result.getType()));
    }
  }

  static void narrow(OpOperand &operand) {
    Type element = getElementTypeOrSelf(operand.getOwner()->getResult(0).getType());
    if (getElementTypeOrSelf(operand.get().getType()) != element) {
      OpBuilder b(operand.getOwner());
      operand.set(converted(operand.get(), element, b, operand.getOwner()->getLoc()));
    }
  }

  /// A map reads stored halves by itself.
  static void computeScalars(MapOp map) {
    Block &body = map.getBody().front();
    OpBuilder b = OpBuilder::atBlockBegin(&body);
    for (auto [argument, operand] : llvm::zip(body.getArguments(), map.getInputs())) {
      argument.setType(getElementTypeOrSelf(operand.getType()));
      if (isHalf(argument.getType())) {
        extend(argument, b);
      }
    }
    for (Operation &op : llvm::make_early_inc_range(body.without_terminator())) {
      if (isa<arith::ExtFOp>(op)) {
        if (op.getOperand(0).getType() == op.getResult(0).getType()) {
          op.getResult(0).replaceAllUsesWith(op.getOperand(0));
          op.erase();
        }
      } else if (isa<arith::TruncFOp>(op)) {
        if (isHalf(op.getResult(0).getType())) {
          round(cast<arith::TruncFOp>(op), b);
        }
      } else if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
        if (isHalf(constant.getType())) {
          double value = cast<FloatAttr>(constant.getValue()).getValueAsDouble();
          b.setInsertionPoint(constant);
          constant.replaceAllUsesWith(
              arith::ConstantOp::create(b, op.getLoc(), b.getF32FloatAttr(value)).getResult());
          constant.erase();
        }
      } else {
        for (Value result : op.getResults()) {
          result.setType(wideType(result.getType()));
        }
      }
    }
    for (Value result : map.getResults()) {
      result.setType(wideType(result.getType()));
    }
  }

  /// A map that computes ends in a truncation, since its result is a half: nothing is stored there
  /// now. One of an operand is a cast.
  static void round(arith::TruncFOp op, OpBuilder &b) {
    b.setInsertionPointAfter(op);
    Value from = op.getIn();
    if (isa<BlockArgument>(from)) {
      extend(op.getResult(), b);
      return;
    }
    if (!from.getType().isF32()) {
      from = arith::TruncFOp::create(b, op.getLoc(), b.getF32Type(), from);
    }
    op.getResult().replaceAllUsesWith(from);
    op.erase();
  }

  static void extend(Value half, OpBuilder &b) {
    auto wide = arith::ExtFOp::create(b, half.getLoc(), b.getF32Type(), half);
    half.replaceAllUsesExcept(wide, wide);
  }

  func::FuncOp function;
  llvm::DenseMap<Value, Value> widened;
};

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
    Widening(getOperation()).run();
  }
};

} // namespace
