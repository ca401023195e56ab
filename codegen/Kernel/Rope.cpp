// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rotary position embedding. A unit is one head at one position; lanes run over the pairs.
#include "codegen/Kernel/Generator.h"

using namespace mlir;

namespace ciuic::codegen {

Value pairsOf(Emitter &e, graph::RopeOp rope) {
  return e.symbolic(graph::dimsOf(rope.getInput())[3].floorDiv(2));
}

std::pair<Lane, Lane> pairAt(Emitter &e, graph::RopeOp rope, const Lane &lane) {
  Lane low = lane, high = e.plus(lane, e.uniform(pairsOf(e, rope)));
  if (rope.getInterleaved()) {
    low = e.times(lane, e.uniform(int64_t(2)));
    high = e.plus(low, e.uniform(int64_t(1)));
  }
  // Rows, and so their halves, are whole vectors where the width divides them.
  high.aligned =
      low.aligned && !rope.getInterleaved() &&
      graph::dimsOf(rope.getInput())[3].floorDiv(2).getLargestKnownDivisor() % e.width == 0;
  return {low, high};
}

void forPairs(Emitter &e, graph::RopeOp rope, function_ref<void(const Lane &, const Lane &)> pair) {
  e.lanes(e.constant(0), pairsOf(e, rope), [&](Lane lane) {
    auto [low, high] = pairAt(e, rope, lane);
    pair(low, high);
  });
}

std::pair<Value, Value> rotated(Emitter &e, graph::RopeOp rope, ArrayRef<Lane> low,
                                ArrayRef<Lane> high) {
  SmallVector<AffineExpr> dims = graph::dimsOf(rope.getInput()),
                          table = graph::dimsOf(rope.getCos());
  if (!graph::sameDim(dims[3], table[2])) {
    Value none = e.fail("rope tables are as wide as a head");
    return {none, none};
  }
  unsigned sequence = rope.getLayout() == graph::HeadLayout::bhsd ? 2 : 1;
  auto tableAt = [&](Value tensor, ArrayRef<Lane> at) {
    Lane batch = graph::isOne(table[0]) ? e.uniform(int64_t(0)) : at[0];
    return e.splat(e.at(tensor, {batch, at[sequence], at[3]}));
  };
  auto mul = [&](Value a, Value b) -> Value {
    return arith::MulFOp::create(e.builder, e.loc, a, b);
  };
  Value a = e.splat(e.at(rope.getInput(), low)), b = e.splat(e.at(rope.getInput(), high));
  Value first = arith::SubFOp::create(e.builder, e.loc, mul(a, tableAt(rope.getCos(), low)),
                                      mul(b, tableAt(rope.getSin(), low)));
  Value second = arith::AddFOp::create(e.builder, e.loc, mul(b, tableAt(rope.getCos(), high)),
                                       mul(a, tableAt(rope.getSin(), high)));
  return {first, second};
}

void emitRope(KernelFrame &frame) {
  Emitter &e = frame.emitter;
  auto op = dyn_cast<graph::RopeOp>(&frame.body.front());
  if (!op || op.getResult() != frame.yield().getValues()[0]) {
    e.fail("a rope kernel holds one rope");
    return;
  }
  SmallVector<AffineExpr> dims = graph::dimsOf(op.getInput());
  SmallVector<Value> splits{e.symbolic(dims[0]), e.symbolic(dims[1]), e.symbolic(dims[2])};
  Buffer out = frame.result(0);
  frame.forUnits([&](Value unit) {
    SmallVector<Lane> low =
        llvm::map_to_vector(e.delinearise(unit, splits), [&](Value v) { return e.uniform(v); });
    low.emplace_back();
    SmallVector<Lane> high = low;
    forPairs(e, op, [&](const Lane &a, const Lane &b) {
      low[3] = a, high[3] = b;
      auto [first, second] = rotated(e, op, low, high);
      e.store(first, out, low);
      e.store(second, out, high);
    });
  });
}

} // namespace ciuic::codegen
