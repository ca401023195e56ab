// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The check that seals the plan level: see Passes.td for the rules (V1)–(V4).
#include "passes/Lower/Passes.h"

using namespace mlir;
using namespace ciuic::plan;

namespace ciuic {
#define GEN_PASS_DEF_VERIFYPLANLEVEL
#include "passes/Lower/Passes.h.inc"
} // namespace ciuic

namespace {

struct VerifyPlanLevelPass : ciuic::impl::VerifyPlanLevelBase<VerifyPlanLevelPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto summary = module->getAttrOfType<DictionaryAttr>("plan.summary");
    if (!summary) {
      module.emitError("[internal.plan-level] (V1) has no plan.summary");
      return signalPassFailure();
    }
    arena = summary.getAs<IntegerAttr>("arena_bytes").getInt();
    SymbolTable symbols(module);
    for (Operation &op : *module.getBody()) {
      if (!isa<PlanDialect>(op.getDialect()) && !isa<ciuic::graph::KernelOp>(op)) {
        op.emitError("[internal.plan-level] (V1) does not belong to the plan level");
        return signalPassFailure();
      }
    }
    for (auto entry : module.getOps<EntryOp>()) {
      int64_t step = 0;
      for (Operation &op : entry.getBody().front()) {
        if (failed(check(op, symbols, step))) {
          return signalPassFailure();
        }
      }
    }
  }

private:
  LogicalResult inside(Operation &op, int64_t offset, int64_t bytes) {
    return offset >= 0 && bytes >= 0 && offset <= arena - bytes
               ? success()
               : op.emitError("[internal.plan-level] (V3) bytes ")
                     << offset << " to " << offset + bytes << " leave the arena of " << arena;
  }

  template <class Op>
  LogicalResult known(Operation &op, SymbolTable &symbols, StringRef name) {
    return symbols.lookup<Op>(name)
               ? success()
               : op.emitError("[internal.plan-level] (V4) unknown name: ") << name;
  }

  /// `step` counts the steps before this op.
  LogicalResult check(Operation &op, SymbolTable &symbols, int64_t &step) {
    auto checkWaits = [&](ArrayRef<int64_t> waits) -> LogicalResult {
      bool earlier = llvm::all_of(waits, [&](int64_t w) { return w >= 0 && w < step; });
      ++step;
      return earlier
                 ? success()
                 : op.emitError(
                       "[internal.plan-level] (V2) waits for a step that does not come before it");
    };
    return llvm::TypeSwitch<Operation *, LogicalResult>(&op)
        .Case<PortOp>([&](PortOp o) {
          return o.getHost() ? success() : inside(op, o.getOffset(), o.getBytes());
        })
        .Case<BufferOp>([&](BufferOp o) { return inside(op, o.getOffset(), o.getBytes()); })
        .Case<StateUseOp>([&](StateUseOp o) { return known<StateOp>(op, symbols, o.getState()); })
        .Case<LaunchOp>([&](LaunchOp o) {
          for (auto range : o.getArgs().getAsRange<RangeAttr>()) {
            if (failed(inside(op, range.getOffset(), range.getBytes()))) {
              return failure();
            }
          }
          return success(succeeded(known<ciuic::graph::KernelOp>(op, symbols, o.getKernel())) &&
                         succeeded(checkWaits(o.getWaits())));
        })
        .Case<CopyOp>([&](CopyOp o) {
          LogicalResult waits = o.getPrologue() ? success() : checkWaits(o.getWaits());
          return success(succeeded(waits) &&
                         succeeded(inside(op, o.getArenaOffset(), o.getBytes())) &&
                         succeeded(known<WeightOp>(op, symbols, o.getWeight())));
        })
        .Case<SpillOp, DrainOp>([&](auto o) {
          return success(succeeded(checkWaits(o.getWaits())) &&
                         succeeded(inside(op, o.getArenaOffset(), o.getBytes())));
        })
        .Case<GatherOp>([&](GatherOp o) {
          return success(succeeded(checkWaits(o.getWaits())) &&
                         succeeded(inside(op, o.getArenaOffset(), o.getBytes())) &&
                         succeeded(known<ciuic::graph::KernelOp>(op, symbols, o.getKernel())) &&
                         succeeded(known<WeightOp>(op, symbols, o.getWeight())));
        })
        .Default([](Operation *) { return success(); });
  }

  int64_t arena = 0;
};

} // namespace
