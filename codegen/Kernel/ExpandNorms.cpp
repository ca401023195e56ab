// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Softmax and norms as reductions and maps, with f32 between them whatever the
// operand's type. Two-pass variance: mean first, then the mean of squared differences.
#include "codegen/Kernel/Generator.h"

using namespace mlir;

namespace ciuic::codegen {
namespace {

using Scalars = function_ref<Value(OpBuilder &, Location, ValueRange)>;

// Builds maps and reductions over the shape of one norm's operand.
struct Expansion {
  OpBuilder builder;
  Location loc;
  RankedTensorType full, sums; // f32
  unsigned rank;
  SmallVector<int64_t> reduced; ///< Dims that the norm runs along.
  AffineMap vector;             ///< Where scale and bias are read.

  Expansion(Operation *op) : builder(op), loc(op->getLoc()) {
    rank = cast<RankedTensorType>(op->getOperand(0).getType()).getRank();
    along(op, {rank - 1}, {rank - 1});
  }
  Expansion(graph::GroupNormOp op) : builder(op), loc(op.getLoc()), rank(4) {
    along(op, op.getReducedDims(), op.getChannelDims());
  }

  void along(Operation *op, ArrayRef<int64_t> norm, ArrayRef<int64_t> scaled) {
    SmallVector<AffineExpr> dims = graph::dimsOf(op->getOperand(0)), where;
    full = graph::tensorOf(dims, builder.getF32Type());
    reduced.assign(norm.begin(), norm.end());
    for (int64_t d : reduced) {
      dims[d] = builder.getAffineConstantExpr(1);
    }
    sums = graph::tensorOf(dims, builder.getF32Type());
    for (int64_t d : scaled) {
      where.push_back(builder.getAffineDimExpr(d));
    }
    vector = AffineMap::get(rank, 0, where, builder.getContext());
  }

  AffineMap identity() { return builder.getMultiDimIdentityMap(rank); }
  AffineMap mapFor(Value operand) {
    auto type = cast<RankedTensorType>(operand.getType());
    AffineMap map = identity();
    if (type.getRank() == static_cast<int64_t>(vector.getNumResults()) && rank > type.getRank()) {
      return vector;
    }
    SmallVector<AffineExpr> exprs(map.getResults());
    if (graph::sameDims(graph::dimsOf(type), graph::dimsOf(sums)) &&
        !graph::sameDims(graph::dimsOf(sums), graph::dimsOf(full))) {
      for (int64_t d : reduced) {
        exprs[d] = builder.getAffineConstantExpr(0);
      }
    }
    return AffineMap::get(rank, 0, exprs, builder.getContext());
  }
  Value map(RankedTensorType result, ValueRange operands, Scalars body) {
    SmallVector<AffineMap> maps = llvm::map_to_vector(operands, [&](Value v) { return mapFor(v); });
    auto op = graph::MapOp::create(
        builder, loc, TypeRange(result), operands, maps,
        [&](OpBuilder &b, Location l, ValueRange scalars) {
          SmallVector<Value> wide;
          for (Value v : scalars) {
            wide.push_back(v.getType().isF32()
                               ? v
                               : arith::ExtFOp::create(b, l, b.getF32Type(), v).getResult());
          }
          Value y = body(b, l, wide);
          Type element = result.getElementType();
          if (y.getType() != element) {
            y = arith::TruncFOp::create(b, l, element, y);
          }
          return SmallVector<Value>{y};
        });
    return op.getResult(0);
  }
  Value reduce(graph::ReduceKind kind, Value v) {
    return graph::ReduceOp::create(builder, loc, sums, kind, v, reduced);
  }
  /// The operand in f32: reductions read it directly.
  Value widened(Value v) {
    if (cast<RankedTensorType>(v.getType()).getElementType().isF32()) {
      return v;
    }
    return map(full, v, [](OpBuilder &, Location, ValueRange s) { return s[0]; });
  }
};

Value constantOf(OpBuilder &b, Location l, double value) {
  return arith::ConstantOp::create(b, l, b.getF32FloatAttr(value));
}

// 1 / √(v + epsilon), at the shape of the sums.
Value inverseRoot(Expansion &x, Value v, double epsilon) {
  return x.map(x.sums, v, [&](OpBuilder &b, Location l, ValueRange s) -> Value {
    Value sum = arith::AddFOp::create(b, l, s[0], constantOf(b, l, epsilon));
    return math::RsqrtOp::create(b, l, sum);
  });
}

Value expand(graph::SoftmaxOp op) {
  Expansion x(op);
  auto result = cast<RankedTensorType>(op.getResult().getType());
  Value input = x.widened(op.getInput());
  Value most = x.reduce(graph::ReduceKind::max, input);
  Type element = result.getElementType();
  bool halves = element.isF16() || element.isBF16();
  Value powers =
      x.map(x.full, {input, most}, [halves](OpBuilder &b, Location l, ValueRange s) -> Value {
        auto accuracy = halves ? arith::FastMathFlags::afn : arith::FastMathFlags::none;
        return math::ExpOp::create(b, l, Value(arith::SubFOp::create(b, l, s[0], s[1])), accuracy);
      });
  Value total = x.reduce(graph::ReduceKind::sum, powers);
  if (op.getLog()) {
    Value log = x.map(x.sums, total, [](OpBuilder &b, Location l, ValueRange s) -> Value {
      return math::LogOp::create(b, l, s[0]);
    });
    return x.map(result, {input, most, log}, [](OpBuilder &b, Location l, ValueRange s) -> Value {
      return arith::SubFOp::create(b, l, arith::SubFOp::create(b, l, s[0], s[1]), s[2]);
    });
  }
  Value inverse = x.map(x.sums, total, [](OpBuilder &b, Location l, ValueRange s) -> Value {
    return arith::DivFOp::create(b, l, constantOf(b, l, 1), s[0]);
  });
  return x.map(result, {powers, inverse}, [](OpBuilder &b, Location l, ValueRange s) -> Value {
    return arith::MulFOp::create(b, l, s[0], s[1]);
  });
}

/// LayerNorm and GroupNorm.
template <class Norm>
Value expandCentred(Norm op) {
  Expansion x(op);
  auto result = cast<RankedTensorType>(op.getResult().getType());
  Value input = x.widened(op.getInput());
  Value mean = x.reduce(graph::ReduceKind::mean, input);
  Value squares = x.map(x.full, {input, mean}, [](OpBuilder &b, Location l, ValueRange s) -> Value {
    Value d = arith::SubFOp::create(b, l, s[0], s[1]);
    return arith::MulFOp::create(b, l, d, d);
  });
  Value scale =
      inverseRoot(x, x.reduce(graph::ReduceKind::mean, squares), op.getEpsilon().convertToFloat());
  SmallVector<Value> operands{input, mean, scale, op.getScale()};
  if (op.getBias()) {
    operands.push_back(op.getBias());
  }
  return x.map(result, operands, [](OpBuilder &b, Location l, ValueRange s) -> Value {
    Value d = arith::MulFOp::create(b, l, arith::SubFOp::create(b, l, s[0], s[1]), s[2]);
    d = arith::MulFOp::create(b, l, d, s[3]);
    return s.size() > 4 ? arith::AddFOp::create(b, l, d, s[4]).getResult() : d;
  });
}

Value expand(graph::LayerNormOp op) { return expandCentred(op); }
Value expand(graph::GroupNormOp op) { return expandCentred(op); }

Value expand(graph::RmsNormOp op) {
  Expansion x(op);
  auto result = cast<RankedTensorType>(op.getResult().getType());
  Value squares = x.map(x.full, op.getInput(), [](OpBuilder &b, Location l, ValueRange s) -> Value {
    return arith::MulFOp::create(b, l, s[0], s[0]);
  });
  Value scale =
      inverseRoot(x, x.reduce(graph::ReduceKind::mean, squares), op.getEpsilon().convertToFloat());
  return x.map(result, {op.getInput(), scale, op.getScale()},
               [](OpBuilder &b, Location l, ValueRange s) -> Value {
                 return arith::MulFOp::create(b, l, arith::MulFOp::create(b, l, s[0], s[1]), s[2]);
               });
}

} // namespace

void expandNorms(Block &body) {
  for (Operation &op : llvm::make_early_inc_range(body)) {
    Value value =
        TypeSwitch<Operation *, Value>(&op)
            .Case<graph::SoftmaxOp, graph::LayerNormOp, graph::RmsNormOp, graph::GroupNormOp>(
                [](auto norm) { return expand(norm); })
            .Default([](Operation *) { return Value(); });
    if (value) {
      op.getResult(0).replaceAllUsesWith(value);
      op.erase();
    }
  }
}

} // namespace ciuic::codegen
