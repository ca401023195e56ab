// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Concatenation, padding and the append of fresh rows to a state's buffer. A unit is a row of the
// result along the last dim (of the fresh rows, for an append in place).
#include "codegen/Kernel/Generator.h"

using namespace mlir;

namespace ciuic::codegen {

static SmallVector<Value> rowsOf(Emitter &e, ArrayRef<AffineExpr> dims) {
  return llvm::map_to_vector(dims.empty() ? dims : dims.drop_back(),
                             [&](AffineExpr d) { return e.symbolic(d); });
}

static void concatenate(KernelFrame &frame, ValueRange inputs, unsigned axis, Value result) {
  Emitter &e = frame.emitter;
  SmallVector<AffineExpr> dims = graph::dimsOf(result);
  unsigned last = dims.size() - 1;
  Buffer out = frame.result(0);
  SmallVector<Value> splits = rowsOf(e, dims);
  SmallVector<AffineExpr> starts{getAffineConstantExpr(0, e.builder.getContext())};
  for (Value input : inputs) {
    starts.push_back(starts.back() + graph::dimsOf(input)[axis]);
  }
  frame.forUnits([&](Value unit) {
    SmallVector<Lane> index =
        llvm::map_to_vector(e.delinearise(unit, splits), [&](Value v) { return e.uniform(v); });
    index.emplace_back();
    auto copyRow = [&](unsigned number) {
      Value offset = e.symbolic(starts[number]);
      e.lanes(e.constant(0), e.symbolic(graph::dimsOf(inputs[number])[last]), [&](Lane lane) {
        SmallVector<Lane> from = index, to = index;
        from[last] = to[last] = lane;
        if (axis == last) {
          to[last] = e.plus(lane, e.uniform(offset));
        } else {
          from[axis] = e.uniform(e.sub(index[axis].value, offset));
        }
        e.store(e.at(inputs[number], from), out, to);
      });
    };
    if (axis == last) {
      for (unsigned number = 0; number < inputs.size(); ++number) {
        copyRow(number);
      }
      return;
    }
    std::function<void(unsigned)> choose = [&](unsigned number) {
      if (number + 1 == inputs.size()) {
        copyRow(number);
        return;
      }
      Value inside =
          e.compare(arith::CmpIPredicate::slt, index[axis].value, e.symbolic(starts[number + 1]));
      e.when(inside, [&] { copyRow(number); }, [&] { choose(number + 1); });
    };
    choose(0);
  });
}

void emitConcat(KernelFrame &frame) {
  auto op = dyn_cast<graph::ConcatOp>(&frame.body.front());
  if (!op || op.getResult() != frame.yield().getValues()[0]) {
    frame.emitter.fail("a concat kernel holds one concat");
    return;
  }
  concatenate(frame, op.getInputs(), op.getAxis(), op.getResult());
}

void emitAppend(KernelFrame &frame) {
  Emitter &e = frame.emitter;
  auto op = frame.yield().getValues()[0].getDefiningOp<graph::AppendOp>();
  std::optional<unsigned> past = graph::appendedArgument(frame.body, 0);
  auto rows = op ? op.getFresh().getDefiningOp<graph::QuantiseRowsOp>() : graph::QuantiseRowsOp();
  const bool inPlace = past && graph::hasPhysicalExtents(frame.body, *past);
  if (!op || !past || (rows && !inPlace)) {
    e.fail("an append kernel holds one append, of quantised rows to a state alone");
    return;
  }
  unsigned axis = op.getAxis();
  if (!inPlace) {
    concatenate(frame, {op.getPast(), op.getFresh()}, axis, op.getResult());
    return;
  }
  // In place: the result is the past's buffer, whose strides do not change as it fills.
  Buffer out = e.buffers[op.getPast()];
  out.pointer = frame.pointers.back();
  const Value fresh = rows ? rows.getInput() : op.getFresh();
  SmallVector<AffineExpr> dims = graph::dimsOf(fresh);
  unsigned last = dims.size() - 1;
  SmallVector<Value> splits = rowsOf(e, dims);
  Value length = e.symbolic(graph::dimsOf(op.getPast())[axis]);
  frame.forUnits([&](Value unit) {
    SmallVector<Lane> index =
        llvm::map_to_vector(e.delinearise(unit, splits), [&](Value v) { return e.uniform(v); });
    index.emplace_back();
    if (rows) {
      SmallVector<Lane> to = index;
      to[axis] = e.plus(index[axis], e.uniform(length));
      auto valueAt = [&](const Lane &lane) {
        index[last] = lane;
        return SmallVector<std::pair<Value, Lane>>{{e.at(fresh, index), lane}};
      };
      storeQuantised(e, cast<AffineConstantExpr>(dims[last]).getValue(),
                     {e.symbolic(dims[last]), valueAt}, out, to);
      return;
    }
    e.lanes(e.constant(0), e.symbolic(dims[last]), [&](Lane lane) {
      index[last] = lane;
      SmallVector<Lane> to = index;
      to[axis] = e.plus(index[axis], e.uniform(length));
      e.store(e.at(fresh, index), out, to);
    });
  });
}

void emitPad(KernelFrame &frame) {
  Emitter &e = frame.emitter;
  auto op = dyn_cast<graph::PadOp>(&frame.body.front());
  if (!op || op.getResult() != frame.yield().getValues()[0]) {
    e.fail("a pad kernel holds one pad");
    return;
  }
  SmallVector<AffineExpr> dims = graph::dimsOf(op.getResult()),
                          inner = graph::dimsOf(op.getInput());
  if (dims.empty()) {
    e.fail("a pad of a scalar");
    return;
  }
  unsigned last = dims.size() - 1;
  Buffer out = frame.result(0);
  SmallVector<Value> splits = rowsOf(e, dims);
  Value width = e.symbolic(dims[last]);
  frame.forUnits([&](Value unit) {
    SmallVector<Lane> index =
        llvm::map_to_vector(e.delinearise(unit, splits), [&](Value v) { return e.uniform(v); });
    index.emplace_back();
    Value border = e.scalarOf(cast<TypedAttr>(op.getValue()));
    auto fill = [&](Value lower, Value upper) {
      e.lanes(lower, upper, [&](Lane lane) {
        SmallVector<Lane> to = index;
        to[last] = lane;
        e.store(border, out, to);
      });
    };
    SmallVector<Lane> from = index;
    Value inside;
    for (unsigned d = 0; d < last; ++d) {
      from[d].value = e.sub(index[d].value, e.constant(op.getLow()[d]));
      // Unsigned: a negative index is beyond the extent, too.
      Value here = e.compare(arith::CmpIPredicate::ult, from[d].value, e.symbolic(inner[d]));
      inside = inside ? arith::AndIOp::create(e.builder, e.loc, inside, here).getResult() : here;
    }
    auto copyRow = [&] {
      Value low = e.min(e.constant(op.getLow()[last]), width);
      Value high = e.min(e.add(low, e.symbolic(inner[last])), width);
      fill(e.constant(0), low);
      e.lanes(low, high, [&](Lane lane) {
        SmallVector<Lane> to = index, source = from;
        to[last] = {lane.value, Lane::Unit};
        source[last] = {e.sub(lane.value, low), Lane::Unit};
        e.store(e.at(op.getInput(), source), out, to);
      });
      fill(high, width);
    };
    if (inside) {
      e.when(inside, copyRow, [&] { fill(e.constant(0), width); });
    } else {
      copyRow();
    }
  });
}

} // namespace ciuic::codegen
