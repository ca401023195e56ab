// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Row and column kernels: maps and reductions over one index space.
//
// Row: the last dim is reduced. A unit is one row (all reduced dims at one index of the others).
// Each reduction is one pass over the row; maps between are recomputed in every pass that needs
// them, except those worth a buffer, which the first pass leaves in scratch. One last pass stores
// every result that has the row's extent. Column: the last dim is kept. A unit is a chunk of it;
// lanes lie along it and reductions are loops around vectors.
#include "codegen/Kernel/Generator.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

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

struct Reducer {
  KernelFrame &frame;
  Emitter &e;
  graph::ReduceSpace space;
  SmallVector<Value> extents;
  SmallVector<unsigned> kept, reduced;
  Value count;
  // This unit's index at kept dims (lanes at reduced dims are set by the loops).
  SmallVector<Lane> base;
  DenseMap<Value, Value> reductions;
  // Rows kept in scratch: complete ones are read, the others written by whichever pass computes
  // them.
  DenseMap<Value, Buffer> rows;
  DenseSet<Value> complete, written;
  SmallVector<Lane> current;

  Reducer(KernelFrame &frame, graph::ReduceSpace s)
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

  bool isFull(Value tensor) { return graph::sameDims(graph::dimsOf(tensor), space.dims); }
  bool isReduced(Value tensor) {
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
  bool sameLane(const Lane &a, const Lane &b) { return a.value == b.value && a.kind == b.kind; }

  void install() {
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
  bool atCurrent(ArrayRef<Lane> index) {
    return index.size() == current.size() &&
           llvm::all_of(llvm::zip(index, current),
                        [&](auto pair) { return sameLane(std::get<0>(pair), std::get<1>(pair)); });
  }
  void endPass() {
    complete.insert(written.begin(), written.end());
    written.clear();
    current.clear();
  }
};

struct ReductionState {
  SmallVector<Value> identity;
  std::function<SmallVector<Value>(ArrayRef<Lane>, ValueRange)> step;
  std::function<SmallVector<Value>(ValueRange, ValueRange)> combine;
  std::function<Value(ValueRange)> finish;
};

ReductionState stateOf(Reducer &r, graph::ReduceOp op) {
  Type type =
      Emitter::computeType(cast<RankedTensorType>(op.getInput().getType()).getElementType());
  Combiner combiner{r.e, op.getKind(), type};
  Value input = op.getInput();
  return {{combiner.identity()},
          [&r, combiner, input](ArrayRef<Lane> index, ValueRange carried) -> SmallVector<Value> {
            Value value = r.e.at(input, index);
            return {
                combiner.combine(carried[0], r.e.isVector(carried[0]) ? r.e.splat(value) : value)};
          },
          [combiner](ValueRange a, ValueRange b) -> SmallVector<Value> {
            return {combiner.combine(a[0], b[0])};
          },
          [&r, combiner](ValueRange total) { return combiner.finish(total[0], r.count); }};
}

// Carries the best value and its index; of equals the first (or last) index wins, in any order of
// combination.
ReductionState stateOf(Reducer &r, graph::ArgReduceOp op) {
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
      {combiner.identity(), e.constant(last ? -1 : INT64_MAX)},
      [&r, combine, input, dim](ArrayRef<Lane> index, ValueRange carried) -> SmallVector<Value> {
        Value value = r.e.at(input, index), position = r.e.materialise(index[dim]);
        bool vectors = r.e.isVector(carried[0]);
        return combine(carried, {vectors ? r.e.splat(value) : value,
                                 vectors ? r.e.splat(position) : position});
      },
      combine,
      // A row of NaN alone has no best element: its first index.
      [&r, limit](ValueRange total) {
        Value inside = r.e.compare(arith::CmpIPredicate::ult, total[1], limit);
        return r.e.select(inside, total[1], r.e.constant(0));
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

// Loops over `extents` carrying values.
SmallVector<Value>
accumulateNest(Emitter &e, ArrayRef<Value> extents, SmallVector<Value> &index, ValueRange init,
               function_ref<SmallVector<Value>(ArrayRef<Value>, ValueRange)> body) {
  if (index.size() == extents.size()) {
    return body(index, init);
  }
  return e.loop(e.constant(0), extents[index.size()], 1, init, [&](Value i, ValueRange carried) {
    index.push_back(i);
    SmallVector<Value> result = accumulateNest(e, extents, index, carried, body);
    index.pop_back();
    return result;
  });
}

bool checkShapes(Reducer &r) {
  for (Value value : r.frame.yield().getValues()) {
    if (!r.isFull(value) && !r.isReduced(value)) {
      r.e.fail(
          "a result of a reducing kernel has the shape of its index space or of its reductions");
      return false;
    }
  }
  return true;
}

// Stores the results that have the reductions' shape; whether others have the full one.
bool storeReduced(Reducer &r) {
  bool anyFull = false;
  for (auto [i, value] : llvm::enumerate(r.frame.yield().getValues())) {
    if (r.isFull(value)) {
      anyFull = true;
    } else {
      r.e.store(r.e.at(value, r.base), r.frame.result(i), r.base);
    }
  }
  return anyFull;
}

// Stores the results of the full shape at an index. All are computed before any is stored: a result
// may be an operand.
void storeFull(Reducer &r, ArrayRef<Lane> index) {
  SmallVector<std::pair<unsigned, Value>> values;
  for (auto [i, value] : llvm::enumerate(r.frame.yield().getValues())) {
    if (r.isFull(value)) {
      values.push_back({i, r.e.at(value, index)});
    }
  }
  for (auto [i, value] : values) {
    r.e.store(value, r.frame.result(i), index);
  }
}

// Keeps rows that several passes read in scratch (host only: a GPU block recomputes them).
void placeRows(Reducer &r, KernelFrame &frame) {
  if (r.e.device != Device::host) {
    return;
  }
  int64_t bytes = 0, elements = 1;
  graph::Bounds bounds;
  for (auto symbol : frame.kernel.getSymbols().getAsRange<graph::SymbolAttr>()) {
    bounds.lower.push_back(symbol.getLower());
    bounds.upper.push_back(symbol.getUpper());
  }
  MLIRContext *context = r.e.builder.getContext();
  SmallVector<AffineExpr> strides(r.space.dims.size(), getAffineConstantExpr(0, context));
  AffineExpr stride = getAffineConstantExpr(1, context);
  for (unsigned d : llvm::reverse(r.reduced)) {
    strides[d] = stride;
    stride = stride * r.space.dims[d];
    std::optional<int64_t> upper = graph::intervalOf(r.space.dims[d], bounds).upper;
    if (!upper || *upper > frame.kernel.getScratch()) {
      return; // no room was planned: recompute
    }
    elements *= std::max<int64_t>(*upper, 1);
  }
  int64_t rowBytes = (elements * 4 + 63) / 64 * 64;
  for (Operation &op : frame.body) {
    for (Value value : op.getResults()) {
      if (graph::isBuffered(value, r.space) && bytes + rowBytes <= frame.kernel.getScratch()) {
        Value offset = r.e.constant(bytes / 4);
        Type f32 = r.e.builder.getF32Type();
        SmallVector<AffineExpr> own = strides;
        r.rows[value] = {frame.scratch, f32, own};
        r.rows[value].pointer =
            LLVM::GEPOp::create(r.e.builder, r.e.loc, frame.scratch.getType(), f32, frame.scratch,
                                ArrayRef<LLVM::GEPArg>{offset});
        bytes += rowBytes;
      }
    }
  }
}

} // namespace

void emitRow(KernelFrame &frame) {
  Emitter &e = frame.emitter;
  std::optional<graph::ReduceSpace> space = graph::reduceSpaceOf(frame.body);
  if (!space || !space->isRow()) {
    e.fail("a row kernel reduces along the last dim, the same dims in every reduction");
    return;
  }
  Reducer r(frame, *space);
  if (!checkShapes(r)) {
    return;
  }
  r.install();
  placeRows(r, frame);
  SmallVector<unsigned> around(r.reduced);
  around.pop_back();
  SmallVector<Value> aroundExtents =
      llvm::map_to_vector(around, [&](unsigned d) { return r.extents[d]; });
  SmallVector<Value> keptExtents =
      llvm::map_to_vector(r.kept, [&](unsigned d) { return r.extents[d]; });
  unsigned last = r.space.dims.size() - 1;
  auto indexAt = [&](ArrayRef<Value> outer, Lane lane) {
    SmallVector<Lane> index = r.base;
    for (auto [d, value] : llvm::zip(around, outer)) {
      index[d] = e.uniform(value);
    }
    index[last] = lane;
    r.current = index;
    return index;
  };
  frame.forUnits([&](Value unit) {
    r.reductions.clear(), r.complete.clear();
    for (auto [d, value] : llvm::zip(r.kept, e.delinearise(unit, keptExtents))) {
      r.base[d] = e.uniform(value);
    }
    for (Operation &op : frame.body.without_terminator()) {
      if (auto map = dyn_cast<graph::MapOp>(op);
          map && r.isReduced(map.getResult(0)) && !r.isFull(map.getResult(0))) {
        e.at(map.getResult(0), r.base);
        continue;
      }
      std::optional<ReductionState> state = stateOf(r, op);
      if (!state) {
        continue;
      }
      SmallVector<Value> index;
      SmallVector<Value> total = accumulateNest(
          e, aroundExtents, index, state->identity, [&](ArrayRef<Value> outer, ValueRange carried) {
            SmallVector<Value> part = e.accumulateLanes(
                e.constant(0), r.extents[last],
                {state->identity,
                 [&](Lane lane, ValueRange acc) { return state->step(indexAt(outer, lane), acc); },
                 [&](ValueRange a, ValueRange b) { return state->combine(a, b); }});
            return around.empty() ? part : state->combine(carried, part);
          });
      r.endPass();
      r.reductions[op.getResult(0)] = state->finish(total);
    }
    if (!storeReduced(r)) {
      return;
    }
    e.nest(aroundExtents, [&](ValueRange outer) {
      e.lanes(e.constant(0), r.extents[last], [&](Lane lane) {
        SmallVector<Lane> index = indexAt(llvm::to_vector(outer), lane);
        storeFull(r, index);
      });
    });
    r.endPass();
  });
  e.supply = nullptr, e.observe = nullptr;
}

void emitColumn(KernelFrame &frame) {
  Emitter &e = frame.emitter;
  std::optional<graph::ReduceSpace> space = graph::reduceSpaceOf(frame.body);
  if (!space || space->isRow()) {
    e.fail("a column kernel keeps the last dim and reduces the same others in every reduction");
    return;
  }
  Reducer r(frame, *space);
  if (!checkShapes(r)) {
    return;
  }
  r.install();
  unsigned last = r.space.dims.size() - 1;
  SmallVector<unsigned> outer(r.kept);
  outer.pop_back();
  Value chunks = e.symbolic(r.space.dims[last].ceilDiv(graph::columnChunk));
  SmallVector<Value> splits = llvm::map_to_vector(outer, [&](unsigned d) { return r.extents[d]; });
  splits.push_back(chunks);
  SmallVector<Value> reducedExtents =
      llvm::map_to_vector(r.reduced, [&](unsigned d) { return r.extents[d]; });
  auto indexAt = [&](ArrayRef<Value> at) {
    SmallVector<Lane> index = r.base;
    for (auto [d, value] : llvm::zip(r.reduced, at)) {
      index[d] = e.uniform(value);
    }
    return index;
  };
  frame.forUnits([&](Value unit) {
    SmallVector<Value> where = e.delinearise(unit, splits);
    for (auto [d, value] : llvm::zip(outer, where)) {
      r.base[d] = e.uniform(value);
    }
    Value lower = e.mul(where.back(), e.constant(graph::columnChunk));
    Value upper = e.min(e.add(lower, e.constant(graph::columnChunk)), r.extents[last]);
    e.lanes(lower, upper, [&](Lane lane) {
      r.reductions.clear();
      r.base[last] = lane;
      for (Operation &op : frame.body.without_terminator()) {
        if (auto map = dyn_cast<graph::MapOp>(op);
            map && r.isReduced(map.getResult(0)) && !r.isFull(map.getResult(0))) {
          e.at(map.getResult(0), r.base);
          continue;
        }
        std::optional<ReductionState> state = stateOf(r, op);
        if (!state) {
          continue;
        }
        SmallVector<Value> init =
            llvm::map_to_vector(state->identity, [&](Value v) { return e.splat(v); });
        SmallVector<Value> index;
        // Each inner loop sums from the identity: partial sums of a row, then of the rows, keep
        // rounding errors small.
        std::function<SmallVector<Value>(ValueRange)> sum =
            [&](ValueRange carried) -> SmallVector<Value> {
          if (index.size() == reducedExtents.size()) {
            return state->step(indexAt(index), carried);
          }
          SmallVector<Value> part = e.loop(e.constant(0), reducedExtents[index.size()], 1, init,
                                           [&](Value i, ValueRange acc) {
                                             index.push_back(i);
                                             SmallVector<Value> next = sum(acc);
                                             index.pop_back();
                                             return next;
                                           });
          return index.empty() ? part : state->combine(carried, part);
        };
        SmallVector<Value> total = sum(init);
        r.reductions[op.getResult(0)] = state->finish(total);
      }
      if (!storeReduced(r)) {
        return;
      }
      e.nest(reducedExtents, [&](ValueRange at) {
        SmallVector<Lane> index = indexAt(llvm::to_vector(at));
        storeFull(r, index);
      });
    });
  });
  e.supply = nullptr, e.observe = nullptr;
}

} // namespace ciuic::codegen
