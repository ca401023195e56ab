// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What stands between a layer's products and its attention becomes one kernel. A piece ends in an
// append to a state, or in a rope that no append takes; it reaches back through views and the rope
// of an append to whatever a kernel computed. Views are copied into the fusion, so that others may
// go on reading them; a rope moves, so it must have one reader.
#include "passes/Fuse/Passes.h"

#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_JOINHEADS
#include "passes/Fuse/Passes.h.inc"
} // namespace ciuic

namespace {

/// A view that keeps the last dim where it is, so that a head's elements stay side by side.
bool isView(Operation *op) {
  if (auto transpose = dyn_cast_or_null<TransposeOp>(op)) {
    return transpose.getPermutation().back() + 1 ==
           static_cast<int64_t>(transpose.getPermutation().size());
  }
  if (auto slice = dyn_cast_or_null<SliceOp>(op)) {
    return slice.getSteps().back() == 1 &&
           sameDim(dimsOf(slice.getInput()).back(), dimsOf(slice.getResult()).back());
  }
  auto reshape = dyn_cast_or_null<ReshapeOp>(op);
  return reshape && !dimsOf(reshape.getInput()).empty() && !dimsOf(reshape.getResult()).empty() &&
         sameDim(dimsOf(reshape.getInput()).back(), dimsOf(reshape.getResult()).back());
}

/// What `value` is, looking through views.
Value behindViews(Value value) {
  while (isView(value.getDefiningOp())) {
    value = value.getDefiningOp()->getOperand(0);
  }
  return value;
}

class Joining {
public:
  explicit Joining(AttentionOp attention)
      : attention(attention), function(attention->getParentOfType<func::FuncOp>()) {}

  void run() {
    for (Value operand : {attention.getQuery(), attention.getKey(), attention.getValue()}) {
      // Values made of a state's quantised rows are as good as the state.
      auto values = operand.getDefiningOp<DequantiseRowsOp>();
      Operation *end = behindViews(values ? values.getInput() : operand).getDefiningOp();
      auto append = dyn_cast_or_null<AppendOp>(end);
      if ((append && isState(append.getPast())) || isa_and_nonnull<RopeOp>(end)) {
        ends.insert(end);
      }
    }
    // Rotations of a prompt that nothing appends are large, and kernels of their own.
    if (ends.size() < 2 || llvm::none_of(ends, llvm::IsaPred<AppendOp>)) {
      return;
    }
    for (Operation *end : ends) {
      if (auto append = dyn_cast<AppendOp>(end)) {
        Value fresh = append.getFresh();
        if (auto rows = fresh.getDefiningOp<QuantiseRowsOp>()) { // for this append alone
          body.insert(rows);
          fresh = rows.getInput();
        }
        reach(fresh);
      } else {
        reach(cast<RopeOp>(end).getInput(), /*rotated=*/true);
      }
    }
    body.insert(ends.begin(), ends.end());
    if (canStand()) {
      build();
    }
  }

private:
  bool isState(Value value) {
    auto argument = dyn_cast<BlockArgument>(value);
    return argument && argument.getOwner() == &function.getBody().front() &&
           function.getArgAttr(argument.getArgNumber(), "graph.state");
  }

  /// Takes the views that lead to `value`, and one rope among them.
  void reach(Value value, bool rotated = false) {
    while (Operation *op = value.getDefiningOp()) {
      auto rope = dyn_cast<RopeOp>(op);
      bool takes = rope && !rotated && rope->hasOneUse() && !ends.contains(op);
      if (!takes && !isView(op)) {
        return;
      }
      rotated |= takes;
      body.insert(op);
      value = op->getOperand(0);
    }
  }

  /// Whether everything can be computed where the last end stands.
  bool canStand() {
    last = ends.front();
    for (Operation *end : ends) {
      last = last->isBeforeInBlock(end) ? end : last;
    }
    return llvm::all_of(ends, [&](Operation *end) {
      return llvm::all_of(end->getUsers(), [&](Operation *user) {
        return body.contains(user) || user == last ||
               (user->getBlock() == last->getBlock() && last->isBeforeInBlock(user));
      });
    });
  }

  void build() {
    SmallVector<Operation *> ordered(body.begin(), body.end());
    llvm::sort(ordered, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
    SmallVector<Value> inputs;
    for (Operation *op : ordered) {
      for (Value operand : op->getOperands()) {
        if (!body.contains(operand.getDefiningOp()) && !llvm::is_contained(inputs, operand)) {
          inputs.push_back(operand);
        }
      }
    }
    SmallVector<Value> results =
        llvm::map_to_vector(ends, [](Operation *end) { return Value(end->getResult(0)); });
    OpBuilder b(last);
    b.setInsertionPointAfter(last);
    Location loc = ends.front()->getLoc();
    auto fusion = FusionOp::create(b, loc, ValueRange(results).getTypes(), Template::heads, inputs);
    Block *block = new Block();
    fusion.getBody().push_back(block);
    block->addArguments(ValueRange(inputs).getTypes(), SmallVector<Location>(inputs.size(), loc));
    OpBuilder inner = OpBuilder::atBlockEnd(block);
    IRMapping mapping;
    mapping.map(inputs, block->getArguments());
    for (Operation *op : ordered) {
      inner.clone(*op, mapping);
    }
    YieldOp::create(inner, loc,
                    llvm::map_to_vector(results, [&](Value v) { return mapping.lookup(v); }));
    for (auto [old, made] : llvm::zip(results, fusion.getResults())) {
      old.replaceAllUsesWith(made);
    }
    for (Operation *op : llvm::reverse(ordered)) {
      if (op->use_empty()) {
        op->erase();
      }
    }
  }

  AttentionOp attention;
  func::FuncOp function;
  llvm::SetVector<Operation *> ends, body;
  Operation *last = nullptr;
};

struct JoinHeadsPass : ciuic::impl::JoinHeadsBase<JoinHeadsPass> {
  void runOnOperation() override {
    if (!isForCuda(getOperation())) {
      return;
    }
    for (auto attention : llvm::to_vector(getOperation().getOps<AttentionOp>())) {
      Joining(attention).run();
    }
  }
};

} // namespace
