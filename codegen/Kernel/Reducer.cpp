// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reductions and the values around them: see Reducer.h.
#include "codegen/Kernel/Reducer.h"

#include <cmath>

using namespace mlir;

namespace ciuic::codegen {
namespace {

// How a reduction combines values of its compute type.
struct Combiner {
  Emitter &e;
  graph::ReduceKind kind;
  Type type;

  Value identity() const {
    bool real = isa<FloatType>(type);
    auto number = [&](double v) { return e.scalarFloat(v, type); };
    auto whole = [&](const APInt &v) {
      return Value(arith::ConstantOp::create(e.builder, e.loc, e.builder.getIntegerAttr(type, v)));
    };
    unsigned bits = type.getIntOrFloatBitWidth();
    switch (kind) {
    case graph::ReduceKind::sum:
    case graph::ReduceKind::mean:
      return real ? number(0) : whole(APInt(bits, 0));
    case graph::ReduceKind::prod:
      return real ? number(1) : whole(APInt(bits, 1));
    case graph::ReduceKind::max:
      return real ? number(-HUGE_VAL)
                  : whole(bits == 1 ? APInt(1, 0) : APInt::getSignedMinValue(bits));
    case graph::ReduceKind::min:
      return real ? number(HUGE_VAL)
                  : whole(bits == 1 ? APInt(1, 1) : APInt::getSignedMaxValue(bits));
    }
    return e.fail("an unknown reduction");
  }

  Value combine(Value a, Value b) const {
    OpBuilder &builder = e.builder;
    Location loc = e.loc;
    bool real = isa<FloatType>(type), truth = type.isInteger(1);
    switch (kind) {
    case graph::ReduceKind::sum:
    case graph::ReduceKind::mean:
      return real ? Value(arith::AddFOp::create(builder, loc, a, b))
                  : Value(arith::AddIOp::create(builder, loc, a, b));
    case graph::ReduceKind::prod:
      return real ? Value(arith::MulFOp::create(builder, loc, a, b))
                  : Value(arith::MulIOp::create(builder, loc, a, b));
    case graph::ReduceKind::max:
      return real    ? Value(arith::MaximumFOp::create(builder, loc, a, b))
             : truth ? Value(arith::OrIOp::create(builder, loc, a, b))
                     : Value(arith::MaxSIOp::create(builder, loc, a, b));
    case graph::ReduceKind::min:
      return real    ? Value(arith::MinimumFOp::create(builder, loc, a, b))
             : truth ? Value(arith::AndIOp::create(builder, loc, a, b))
                     : Value(arith::MinSIOp::create(builder, loc, a, b));
    }
    return a;
  }

  // The mean's division; `count` is an i64.
  Value finish(Value total, Value count) const {
    if (kind != graph::ReduceKind::mean) {
      return total;
    }
    if (isa<FloatType>(type)) {
      Value divisor = arith::SIToFPOp::create(e.builder, e.loc, type, count);
      return arith::DivFOp::create(e.builder, e.loc, total,
                                   e.isVector(total) ? e.splat(divisor) : divisor);
    }
    Value divisor = e.max(count, e.constant(1));
    if (type != e.builder.getI64Type()) {
      divisor = arith::TruncIOp::create(e.builder, e.loc, type, divisor);
    }
    return arith::DivSIOp::create(e.builder, e.loc, total,
                                  e.isVector(total) ? e.splat(divisor) : divisor);
  }
};

} // namespace

Reducer::Reducer(KernelFrame &frame, graph::ReduceSpace s)
    : frame(frame), e(frame.emitter), space(std::move(s)) {
  AffineExpr product = getAffineConstantExpr(1, e.builder.getContext());
  for (auto [i, dim] : llvm::enumerate(space.dims)) {
    extents.push_back(e.symbolic(dim));
    (space.reduced[i] ? reduced : kept).push_back(i);
    if (space.reduced[i]) {
      product = product * dim;
    }
  }
  count = e.symbolic(product);
  base.assign(space.dims.size(), e.uniform(int64_t(0)));
}

bool Reducer::isFull(Value tensor) { return graph::sameDims(graph::dimsOf(tensor), space.dims); }
bool Reducer::isReduced(Value tensor) {
  SmallVector<AffineExpr> dims = graph::dimsOf(tensor);
  if (dims.size() != space.dims.size()) {
    return false;
  }
  for (auto [i, dim] : llvm::enumerate(dims)) {
    auto constant = dyn_cast<AffineConstantExpr>(dim);
    if (space.reduced[i] ? !(constant && constant.getValue() == 1)
                         : !graph::sameDim(dim, space.dims[i])) {
      return false;
    }
  }
  return true;
}
void Reducer::install() {
  e.supply = [this](Value tensor, ArrayRef<Lane> index) -> Value {
    if (auto it = reductions.find(tensor); it != reductions.end()) {
      for (unsigned d : kept) {
        if (!sameLane(index[d], base[d])) {
          return e.fail("a reduction is read at another index than the unit's");
        }
      }
      return it->second;
    }
    if (isa_and_nonnull<graph::ReduceOp, graph::ArgReduceOp>(tensor.getDefiningOp())) {
      return e.fail("a reduction is read before it is computed");
    }
    if (complete.contains(tensor) && atCurrent(index)) {
      return e.load(rows[tensor], index);
    }
    return Value();
  };
  e.observe = [this](Value tensor, ArrayRef<Lane> index, Value value) {
    auto it = rows.find(tensor);
    if (it != rows.end() && !complete.contains(tensor) && atCurrent(index)) {
      e.store(value, it->second, index);
      written.insert(tensor);
    }
  };
}
bool Reducer::atCurrent(ArrayRef<Lane> index) {
  return index.size() == current.size() && llvm::all_of(llvm::zip(index, current), [&](auto pair) {
           return sameLane(std::get<0>(pair), std::get<1>(pair));
         });
}
void Reducer::endPass() {
  complete.insert(written.begin(), written.end());
  written.clear();
  current.clear();
}

bool Reducer::checkShapes() {
  for (Value value : frame.yield().getValues()) {
    if (!isFull(value) && !isReduced(value)) {
      e.fail("a result of a reducing kernel has the shape of its index space or of its reductions");
      return false;
    }
  }
  return true;
}

bool Reducer::hasFull() {
  return llvm::any_of(frame.yield().getValues(), [&](Value value) { return isFull(value); });
}

bool Reducer::storeReduced() {
  for (auto [i, value] : llvm::enumerate(frame.yield().getValues())) {
    if (!isFull(value)) {
      e.store(e.at(value, base), frame.result(i), base);
    }
  }
  return hasFull();
}

SmallVector<std::pair<unsigned, Value>> Reducer::fullValues(ArrayRef<Lane> index) {
  SmallVector<std::pair<unsigned, Value>> values;
  for (auto [i, value] : llvm::enumerate(frame.yield().getValues())) {
    if (isFull(value)) {
      values.push_back({i, e.at(value, index)});
    }
  }
  return values;
}

void Reducer::storeValues(ArrayRef<std::pair<unsigned, Value>> values, ArrayRef<Lane> index) {
  for (auto [i, value] : values) {
    e.store(value, frame.result(i), index);
  }
}

void Reducer::storeFull(ArrayRef<Lane> index) { storeValues(fullValues(index), index); }

static ReductionState stateOf(Reducer &r, graph::ReduceOp op) {
  Type type =
      Emitter::computeType(cast<RankedTensorType>(op.getInput().getType()).getElementType());
  Combiner combiner{r.e, op.getKind(), type};
  Value input = op.getInput();
  return {{op.getResult()},
          {combiner.identity()},
          [&r, combiner, input](ArrayRef<Lane> index, ValueRange carried) -> SmallVector<Value> {
            Value value = r.e.at(input, index);
            return {
                combiner.combine(carried[0], r.e.isVector(carried[0]) ? r.e.splat(value) : value)};
          },
          [combiner](ValueRange a, ValueRange b) -> SmallVector<Value> {
            return {combiner.combine(a[0], b[0])};
          },
          [&r, combiner](ValueRange total) -> SmallVector<Value> {
            return {combiner.finish(total[0], r.count)};
          }};
}

// Carries the best value and its index; of equals the first (or last) index wins, in any order of
// combination.
static ReductionState stateOf(Reducer &r, graph::ArgReduceOp op) {
  Emitter &e = r.e;
  Type type =
      Emitter::computeType(cast<RankedTensorType>(op.getInput().getType()).getElementType());
  bool isMax = op.getKind() == graph::ReduceKind::max, last = op.getSelectLast();
  Combiner combiner{e, op.getKind(), type};
  auto combine = [&e, isMax, last, type](ValueRange a, ValueRange b) -> SmallVector<Value> {
    Value better, equal;
    if (isa<FloatType>(type)) {
      better = arith::CmpFOp::create(e.builder, e.loc,
                                     isMax ? arith::CmpFPredicate::OGT : arith::CmpFPredicate::OLT,
                                     b[0], a[0]);
      equal = arith::CmpFOp::create(e.builder, e.loc, arith::CmpFPredicate::OEQ, b[0], a[0]);
    } else {
      better = e.compare(isMax ? arith::CmpIPredicate::sgt : arith::CmpIPredicate::slt, b[0], a[0]);
      equal = e.compare(arith::CmpIPredicate::eq, b[0], a[0]);
    }
    Value earlier =
        e.compare(last ? arith::CmpIPredicate::sgt : arith::CmpIPredicate::slt, b[1], a[1]);
    Value take = arith::OrIOp::create(e.builder, e.loc, better,
                                      arith::AndIOp::create(e.builder, e.loc, equal, earlier));
    return {e.select(take, b[0], a[0]), e.select(take, b[1], a[1])};
  };
  Value input = op.getInput();
  unsigned dim = r.space.dims.size() - 1;
  Value limit = r.extents[dim];
  return {
      {op.getResult()},
      {combiner.identity(), e.constant(last ? -1 : INT64_MAX)},
      [&r, combine, input, dim](ArrayRef<Lane> index, ValueRange carried) -> SmallVector<Value> {
        Value value = r.e.at(input, index), position = r.e.materialise(index[dim]);
        bool vectors = r.e.isVector(carried[0]);
        return combine(carried, {vectors ? r.e.splat(value) : value,
                                 vectors ? r.e.splat(position) : position});
      },
      combine,
      // A row of NaN alone has no best element: its first index.
      [&r, limit](ValueRange total) -> SmallVector<Value> {
        Value inside = r.e.compare(arith::CmpIPredicate::ult, total[1], limit);
        return {r.e.select(inside, total[1], r.e.constant(0))};
      }};
}

std::optional<ReductionState> stateOf(Reducer &r, Operation &op) {
  if (auto reduce = dyn_cast<graph::ReduceOp>(op)) {
    return stateOf(r, reduce);
  }
  if (auto arg = dyn_cast<graph::ArgReduceOp>(op)) {
    return stateOf(r, arg);
  }
  return std::nullopt;
}

//===-- Moments --===//

// Sums and products that may be fused.
static Value contracted(Emitter &e, Operation *op) {
  op->setAttr("fastmath", arith::FastMathFlagsAttr::get(e.builder.getContext(),
                                                        arith::FastMathFlags::contract));
  return op->getResult(0);
}
static Value plus(Emitter &e, Value a, Value b) {
  return contracted(e, arith::AddFOp::create(e.builder, e.loc, a, b));
}
static Value minus(Emitter &e, Value a, Value b) {
  return contracted(e, arith::SubFOp::create(e.builder, e.loc, a, b));
}
static Value times(Emitter &e, Value a, Value b) {
  return contracted(e, arith::MulFOp::create(e.builder, e.loc, a, b));
}

// No elements have no mean: parts of none add nothing, and a total of none has mean 0.
static Value inverseOrZero(Emitter &e, Value number) {
  return reciprocalOnGpu(e, arith::MaximumFOp::create(e.builder, e.loc, number,
                                                      e.scalarFloat(1, e.builder.getF32Type())));
}

SmallVector<Value> mergeMoments(Emitter &e, ArrayRef<SmallVector<Value>> parts) {
  Value number, sum, squares;
  for (const SmallVector<Value> &part : parts) {
    Value weighted = times(e, part[0], part[1]);
    number = number ? plus(e, number, part[0]) : part[0];
    sum = sum ? plus(e, sum, weighted) : weighted;
  }
  Value mean = times(e, sum, inverseOrZero(e, number));
  for (const SmallVector<Value> &part : parts) {
    Value d = minus(e, part[1], mean);
    Value around = plus(e, part[2], times(e, part[0], times(e, d, d)));
    squares = squares ? plus(e, squares, around) : around;
  }
  return {number, mean, squares};
}

// The variance around `mean` among the ops behind it: mean((x − mean)²), with x and mean read at
// the element's index.
static graph::ReduceOp varianceAround(graph::ReduceOp mean) {
  auto isMean = [](graph::ReduceOp op) {
    return op.getKind() == graph::ReduceKind::mean &&
           cast<RankedTensorType>(op.getInput().getType()).getElementType().isF32();
  };
  if (!isMean(mean)) {
    return {};
  }
  for (Operation *user : mean.getResult().getUsers()) {
    auto map = dyn_cast<graph::MapOp>(user);
    if (!map || map.getInputs().size() != 2 || map.getResults().size() != 1 ||
        map.getInputs()[0] != mean.getInput() || map.getInputs()[1] != mean.getResult() ||
        !map.getMap(0).isIdentity() ||
        !llvm::all_of(llvm::enumerate(map.getMap(1).getResults()), [](auto pair) {
          auto dim = dyn_cast<AffineDimExpr>(pair.value());
          return dim ? dim.getPosition() == pair.index() : isa<AffineConstantExpr>(pair.value());
        })) {
      continue;
    }
    Block &region = map.getBody().front();
    auto yield = region.getTerminator();
    auto square = yield->getOperand(0).getDefiningOp<arith::MulFOp>();
    auto difference = square ? square.getLhs().getDefiningOp<arith::SubFOp>() : arith::SubFOp();
    if (!difference || square.getRhs() != square.getLhs() ||
        difference.getLhs() != region.getArgument(0) ||
        difference.getRhs() != region.getArgument(1)) {
      continue;
    }
    for (Operation *reader : map.getResult(0).getUsers()) {
      if (auto variance = dyn_cast<graph::ReduceOp>(reader);
          variance && isMean(variance) && variance.getDims() == mean.getDims()) {
        return variance;
      }
    }
  }
  return {};
}

static ReductionState momentsOf(Reducer &r, graph::ReduceOp mean, graph::ReduceOp variance) {
  Emitter &e = r.e;
  Value zero = e.scalarFloat(0, e.builder.getF32Type()), input = mean.getInput();
  ReductionState state;
  state.tensors = {mean.getResult(), variance.getResult()};
  state.identity = {zero, zero, zero};
  state.isMoments = true;
  state.step = [&e, input](ArrayRef<Lane> index, ValueRange carried) -> SmallVector<Value> {
    Value x = e.splat(e.at(input, index));
    Value number = plus(e, carried[0], e.scalarFloat(1, e.builder.getF32Type()));
    Value d = minus(e, x, carried[1]);
    Value next = plus(e, carried[1], times(e, d, e.splat(reciprocalOnGpu(e, number))));
    return {number, next, plus(e, carried[2], times(e, d, minus(e, x, next)))};
  };
  state.combine = [&e](ValueRange a, ValueRange b) -> SmallVector<Value> {
    Value number = plus(e, a[0], b[0]);
    Value share = times(e, b[0], inverseOrZero(e, number)), weight = times(e, a[0], share);
    if (e.isVector(a[1]) && !e.isVector(share)) {
      share = e.splat(share), weight = e.splat(weight);
    }
    Value d = minus(e, b[1], a[1]);
    Value between = times(e, times(e, d, d), weight);
    return {number, plus(e, a[1], times(e, d, share)), plus(e, plus(e, a[2], b[2]), between)};
  };
  state.finish = [&r](ValueRange total) -> SmallVector<Value> {
    Value number = arith::SIToFPOp::create(r.e.builder, r.e.loc, r.e.builder.getF32Type(), r.count);
    return {total[1], arith::DivFOp::create(r.e.builder, r.e.loc, total[2], number)};
  };
  return state;
}

void Reducer::resolveAll(function_ref<SmallVector<Value>(const ReductionState &)> finished) {
  reductions.clear();
  for (Operation &op : frame.body.without_terminator()) {
    if (auto map = dyn_cast<graph::MapOp>(op);
        map && isReduced(map.getResult(0)) && !isFull(map.getResult(0))) {
      e.at(map.getResult(0), base);
      continue;
    }
    if (op.getNumResults() == 1 && reductions.contains(op.getResult(0))) {
      continue;
    }
    std::optional<ReductionState> state = stateOf(*this, op);
    if (!state) {
      continue;
    }
    if (auto mean = dyn_cast<graph::ReduceOp>(op); mean && joinMoments) {
      if (graph::ReduceOp variance = varianceAround(mean)) {
        state = momentsOf(*this, mean, variance);
      }
    }
    for (auto [tensor, value] : llvm::zip(state->tensors, finished(*state))) {
      reductions[tensor] = value;
    }
  }
}

void Reducer::reduceAll(function_ref<SmallVector<Value>(const ReductionState &)> total) {
  resolveAll([&](const ReductionState &state) { return state.finish(total(state)); });
}

} // namespace ciuic::codegen
