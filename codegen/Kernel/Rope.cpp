// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rotary position embedding. A unit is one head at one position; lanes run over the pairs.
#include "codegen/Kernel/Generator.h"

using namespace mlir;

namespace ciuic::codegen {

void emitRope(KernelFrame &frame) {
  Emitter &e = frame.emitter;
  auto op = dyn_cast<graph::RopeOp>(&frame.body.front());
  if (!op || op.getResult() != frame.yield().getValues()[0]) {
    e.fail("a rope kernel holds one rope");
    return;
  }
  SmallVector<AffineExpr> dims = graph::dimsOf(op.getInput()), table = graph::dimsOf(op.getCos());
  if (!graph::sameDim(dims[3], table[2])) {
    e.fail("rope tables are as wide as a head");
    return;
  }
  bool oneBatch =
      isa<AffineConstantExpr>(table[0]) && cast<AffineConstantExpr>(table[0]).getValue() == 1;
  unsigned sequence = op.getLayout() == graph::HeadLayout::bhsd ? 2 : 1;
  SmallVector<Value> splits{e.symbolic(dims[0]), e.symbolic(dims[1]), e.symbolic(dims[2])};
  AffineExpr halfExpr = dims[3].floorDiv(2);
  Value half = e.symbolic(halfExpr);
  Buffer out = frame.result(0);
  frame.forUnits([&](Value unit) {
    SmallVector<Value> where = e.delinearise(unit, splits);
    e.lanes(e.constant(0), half, [&](Lane pair) {
      Lane low = pair, high = e.plus(pair, e.uniform(half));
      if (op.getInterleaved()) {
        low = e.times(pair, e.uniform(int64_t(2)));
        high = e.plus(low, e.uniform(int64_t(1)));
      }
      auto element = [&](Lane i) {
        SmallVector<Lane> index = llvm::map_to_vector(where, [&](Value v) { return e.uniform(v); });
        index.push_back(i);
        return index;
      };
      auto tableAt = [&](Value tensor, Lane i) {
        Lane batch = oneBatch ? e.uniform(int64_t(0)) : e.uniform(where[0]);
        return e.splat(e.at(tensor, {batch, e.uniform(where[sequence]), i}));
      };
      auto mul = [&](Value a, Value b) -> Value {
        return arith::MulFOp::create(e.builder, e.loc, a, b);
      };
      Value a = e.splat(e.at(op.getInput(), element(low))),
            b = e.splat(e.at(op.getInput(), element(high)));
      Value first = arith::SubFOp::create(e.builder, e.loc, mul(a, tableAt(op.getCos(), low)),
                                          mul(b, tableAt(op.getSin(), low)));
      Value second = arith::AddFOp::create(e.builder, e.loc, mul(b, tableAt(op.getCos(), high)),
                                           mul(a, tableAt(op.getSin(), high)));
      e.store(first, out, element(low));
      e.store(second, out, element(high));
    });
  });
}

} // namespace ciuic::codegen
