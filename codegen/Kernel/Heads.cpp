// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What stands between a layer's products and its attention, in one kernel: every result is a rope,
// or an append to a state of what views and at most one rope make. A unit is a row of one result;
// results come one after the other. Elements are read where the first view says. Rows that a state
// keeps quantised are computed twice: for their scale, and for what is stored.
#include "codegen/Kernel/Generator.h"
#include "ir/Graph/KernelGeometry.h"

using namespace mlir;

namespace ciuic::codegen {
namespace {

class HeadsEmitter {
public:
  explicit HeadsEmitter(KernelFrame &frame) : frame(frame), e(frame.emitter) {}

  void run() {
    SmallVector<Value> results(frame.yield().getValues());
    frame.forUnits([&](Value unit) { choose(results, 0, unit); });
  }

private:
  /// The rows of result `number` and of those behind it, `unit` counted from its first.
  void choose(ArrayRef<Value> results, unsigned number, Value unit) {
    auto append = results[number].getDefiningOp<graph::AppendOp>();
    SmallVector<AffineExpr> dims = graph::dimsOf(append ? freshOf(append) : results[number]);
    SmallVector<Value> splits = llvm::map_to_vector(ArrayRef(dims).drop_back(),
                                                    [&](AffineExpr d) { return e.symbolic(d); });
    auto row = [&] {
      SmallVector<Lane> index =
          llvm::map_to_vector(e.delinearise(unit, splits), [&](Value v) { return e.uniform(v); });
      index.emplace_back();
      emitRow(number, append, results[number], dims, index);
    };
    if (number + 1 == results.size()) {
      row();
      return;
    }
    Value rows = e.symbolic(graph::productOf(ArrayRef(dims).drop_back(), e.builder.getContext()));
    e.when(e.compare(arith::CmpIPredicate::slt, unit, rows), row,
           [&] { choose(results, number + 1, e.sub(unit, rows)); });
  }

  /// What is appended, before it is quantised.
  static Value freshOf(graph::AppendOp append) {
    auto rows = append.getFresh().getDefiningOp<graph::QuantiseRowsOp>();
    return rows ? rows.getInput() : append.getFresh();
  }

  void emitRow(unsigned number, graph::AppendOp append, Value result, ArrayRef<AffineExpr> dims,
               SmallVector<Lane> index) {
    Buffer out = frame.result(number);
    Lane shift = e.uniform(int64_t(0));
    if (append) { // in place: the result is the state's buffer
      auto past = graph::appendedArgument(frame.body, number);
      if (!past || !graph::hasPhysicalExtents(frame.body, *past)) {
        e.fail("an append among heads is one to a state");
        return;
      }
      out.strides = e.buffers[append.getPast()].strides;
      shift = e.uniform(e.symbolic(graph::dimsOf(append.getPast())[append.getAxis()]));
    }
    auto store = [&](Value value, SmallVector<Lane> at) {
      if (append) {
        at[append.getAxis()] = e.plus(at[append.getAxis()], shift);
      }
      e.store(value, out, at);
    };
    // The rope that makes the row, and the views behind it.
    SmallVector<Operation *> views;
    const Value fresh = append ? freshOf(append) : result;
    const bool quantises = append && fresh != append.getFresh();
    Value source = fresh;
    while (Operation *op = source.getDefiningOp()) {
      if (isa<graph::RopeOp>(op)) {
        break;
      }
      views.push_back(op);
      source = op->getOperand(0);
    }
    auto rope = source.getDefiningOp<graph::RopeOp>();
    auto quantise = [&](const RowValues &values) {
      SmallVector<Lane> at = index;
      at[append.getAxis()] = e.plus(at[append.getAxis()], shift);
      const int64_t width = cast<AffineConstantExpr>(dims.back()).getValue();
      storeQuantised(e, width, values, out, at);
    };
    if (!rope && quantises) {
      quantise({e.symbolic(dims.back()), [&](const Lane &lane) {
                  index.back() = lane;
                  return SmallVector<std::pair<Value, Lane>>{{e.at(fresh, index), lane}};
                }});
      return;
    }
    if (!rope) {
      e.lanes(e.constant(0), e.symbolic(dims.back()), [&](Lane lane) {
        index.back() = lane;
        store(e.at(fresh, index), index);
      });
      return;
    }
    auto ofRope = [&](ArrayRef<Lane> at) {
      SmallVector<Lane> place(at);
      for (Operation *view : views) {
        auto next = e.through(view, place);
        if (!next) {
          e.fail("a view among heads cannot be followed");
          return SmallVector<Lane>(4, at.back());
        }
        place = *next;
      }
      return place;
    };
    auto rotatedAt = [&](const Lane &a, const Lane &b) {
      SmallVector<Lane> low = index, high = index;
      low.back() = a, high.back() = b;
      return rotated(e, rope, ofRope(low), ofRope(high));
    };
    if (quantises) {
      quantise({pairsOf(e, rope), [&](const Lane &lane) {
                  auto [a, b] = pairAt(e, rope, lane);
                  auto [first, second] = rotatedAt(a, b);
                  return SmallVector<std::pair<Value, Lane>>{{first, a}, {second, b}};
                }});
      return;
    }
    forPairs(e, rope, [&](const Lane &a, const Lane &b) {
      SmallVector<Lane> low = index, high = index;
      low.back() = a, high.back() = b;
      auto [first, second] = rotatedAt(a, b);
      store(first, low);
      store(second, high);
    });
  }

  KernelFrame &frame;
  Emitter &e;
};

} // namespace

void emitHeads(KernelFrame &frame) { HeadsEmitter(frame).run(); }

} // namespace ciuic::codegen
