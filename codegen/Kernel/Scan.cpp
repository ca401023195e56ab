// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Running sums and scatters: what is computed in one order and therefore one element after the
// other.
#include "codegen/Kernel/Generator.h"
#include "codegen/Kernel/Threads.h"

using namespace mlir;

namespace ciuic::codegen {

// A unit is one line along the axis.
void emitCumSum(KernelFrame &frame) {
  Emitter &e = frame.emitter;
  auto op = dyn_cast<graph::CumSumOp>(&frame.body.front());
  if (!op || op.getResult() != frame.yield().getValues()[0]) {
    e.fail("a cumsum kernel holds one cumsum");
    return;
  }
  unsigned axis = op.getAxis();
  SmallVector<AffineExpr> dims = graph::dimsOf(op.getResult());
  SmallVector<Value> splits;
  for (auto [d, dim] : llvm::enumerate(dims)) {
    if (d != axis) {
      splits.push_back(e.symbolic(dim));
    }
  }
  Buffer out = frame.result(0);
  Type type =
      Emitter::computeType(cast<RankedTensorType>(op.getResult().getType()).getElementType());
  Value length = e.symbolic(dims[axis]);
  frame.forUnits([&](Value unit) {
    SmallVector<Lane> index =
        llvm::map_to_vector(e.delinearise(unit, splits), [&](Value v) { return e.uniform(v); });
    index.insert(index.begin() + axis, Lane());
    Value zero = e.scalarOf(cast<TypedAttr>(e.builder.getZeroAttr(type)));
    e.loop(e.constant(0), length, 1, ValueRange{zero},
           [&](Value i, ValueRange carried) -> SmallVector<Value> {
             Value position = op.getReverse() ? e.sub(e.sub(length, e.constant(1)), i) : i;
             index[axis] = {position, Lane::Unit};
             Value value = e.at(op.getInput(), index);
             Value sum =
                 isa<FloatType>(type)
                     ? arith::AddFOp::create(e.builder, e.loc, carried[0], value).getResult()
                     : arith::AddIOp::create(e.builder, e.loc, carried[0], value).getResult();
             e.store(op.getExclusive() ? carried[0] : sum, out, index);
             return {sum};
           });
  });
}

// One unit: a copy of the operand, then the updates in order. An index out of range is clamped, as
// gather's is.
void emitScatter(KernelFrame &frame) {
  Emitter &e = frame.emitter;
  auto op = dyn_cast<graph::ScatterOp>(&frame.body.front());
  if (!op || op.getResult() != frame.yield().getValues()[0]) {
    e.fail("a scatter kernel holds one scatter");
    return;
  }
  SmallVector<AffineExpr> dims = graph::dimsOf(op.getInput()),
                          where = graph::dimsOf(op.getIndices());
  auto depth = where.empty() ? AffineConstantExpr() : dyn_cast<AffineConstantExpr>(where.back());
  if (!depth || depth.getValue() < 1 || depth.getValue() > int64_t(dims.size())) {
    e.fail("a scatter whose index depth is not a constant within the rank");
    return;
  }
  unsigned k = depth.getValue();
  Buffer out = frame.result(0);
  auto values = [&](ArrayRef<AffineExpr> list) {
    return llvm::map_to_vector(list, [&](AffineExpr d) { return e.symbolic(d); });
  };
  // Loops over `outer` and along the innermost of `inner` in lanes.
  auto rows = [&](ArrayRef<AffineExpr> extents, function_ref<void(ArrayRef<Lane>)> body) {
    SmallVector<Value> all = values(extents);
    Value inner = all.empty() ? e.constant(1) : all.pop_back_val();
    e.nest(all, [&](ValueRange outer) {
      SmallVector<Lane> index = llvm::map_to_vector(outer, [&](Value v) { return e.uniform(v); });
      e.lanes(e.constant(0), inner, [&](Lane lane) {
        SmallVector<Lane> full = index;
        if (!extents.empty()) {
          full.push_back(lane);
        }
        body(full);
      });
    });
  };
  frame.forUnits([&](Value) {
    rows(dims, [&](ArrayRef<Lane> index) { e.store(e.at(op.getInput(), index), out, index); });
    if (e.device == Device::gpu) {
      blockBarrier(e); // the copy is other threads' too; an element's updates are one thread's
    }
    // An operand without an element has no place for an update: the outermost loop is then empty.
    SmallVector<Value> counts = values(ArrayRef(where).drop_back());
    Value some = e.constant(1);
    for (AffineExpr extent : ArrayRef(dims).take_front(k)) {
      some = e.min(some, e.symbolic(extent));
    }
    counts.insert(counts.begin(), some);
    e.nest(counts, [&](ValueRange update) {
      SmallVector<Lane> prefix =
          llvm::map_to_vector(update.drop_front(), [&](Value v) { return e.uniform(v); });
      SmallVector<Lane> target;
      for (unsigned d = 0; d < k; ++d) {
        SmallVector<Lane> at = prefix;
        at.push_back(e.uniform(int64_t(d)));
        Value position = e.at(op.getIndices(), at);
        if (!position.getType().isInteger(64)) {
          position = arith::ExtSIOp::create(e.builder, e.loc, e.builder.getI64Type(), position);
        }
        Value extent = e.symbolic(dims[d]), zero = e.constant(0);
        position = e.select(e.compare(arith::CmpIPredicate::slt, position, zero),
                            e.add(position, extent), position);
        target.push_back(e.uniform(e.max(e.min(position, e.sub(extent, e.constant(1))), zero)));
      }
      rows(ArrayRef(dims).drop_front(k), [&](ArrayRef<Lane> rest) {
        SmallVector<Lane> from = prefix, to = target;
        from.append(rest.begin(), rest.end());
        to.append(rest.begin(), rest.end());
        e.store(e.at(op.getUpdates(), from), out, to);
      });
    });
  });
}

} // namespace ciuic::codegen
