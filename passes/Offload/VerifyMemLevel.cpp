// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The check that seals the mem level: see Passes.td for the rules (V1)–(V4). It trusts neither the
// lowering nor the solver: what it looks at is the IR alone.
#include "passes/Offload/Passes.h"

using namespace mlir;
using namespace ciuic::mem;

namespace ciuic {
#define GEN_PASS_DEF_VERIFYMEMLEVEL
#include "passes/Offload/Passes.h.inc"
} // namespace ciuic

namespace {

/// The arena offset of a device buffer, if it has one.
std::optional<int64_t> offsetOf(Value buffer, SymbolTable &symbols) {
  Operation *op = buffer.getDefiningOp();
  auto attribute = op->getAttrOfType<IntegerAttr>("offset");
  if (auto state = dyn_cast<GetStateOp>(op)) {
    auto symbol = symbols.lookup<StateOp>(state.getState());
    attribute = symbol ? symbol.getOffsetAttr() : IntegerAttr();
  }
  return attribute ? std::optional(attribute.getInt()) : std::nullopt;
}

struct VerifyMemLevelPass : ciuic::impl::VerifyMemLevelBase<VerifyMemLevelPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SymbolTable symbols(module);
    auto plan = module->getAttrOfType<DictionaryAttr>("mem.plan");
    std::optional<int64_t> arena;
    if (plan) {
      arena = plan.getAs<IntegerAttr>("arena_bytes").getInt();
      auto budget = module->getAttrOfType<IntegerAttr>("mem.budget");
      if (budget && *arena > budget.getInt()) {
        module.emitError("[internal.mem-level] (V3) the arena of ")
            << *arena << " bytes exceeds the budget of " << budget.getInt();
        return signalPassFailure();
      }
    }
    for (Operation &op : *module.getBody()) {
      if (!isa<MemDialect>(op.getDialect()) && !isa<ciuic::graph::KernelOp>(op)) {
        op.emitError("[internal.mem-level] (V1) does not belong to the mem level");
        return signalPassFailure();
      }
    }
    for (auto entry : module.getOps<EntryOp>()) {
      if (failed(checkEntry(entry, symbols, arena))) {
        return signalPassFailure();
      }
    }
  }

  static LogicalResult checkEntry(EntryOp entry, SymbolTable &symbols,
                                  std::optional<int64_t> arena) {
    llvm::SmallPtrSet<Value, 16> freed;
    for (Operation &op : entry.getBody().front()) {
      for (Value operand : op.getOperands()) {
        if (freed.contains(operand)) {
          return op.emitError("[internal.mem-level] (V4) uses a buffer after it was freed");
        }
      }
      if (auto free = dyn_cast<FreeOp>(op)) {
        freed.insert(free.getBuffer());
      }
      if (auto launch = dyn_cast<LaunchOp>(op)) {
        auto kernel = symbols.lookup<ciuic::graph::KernelOp>(launch.getKernel());
        size_t writes = launch.getWrites().size();
        auto last = writes ? launch.getWrites().back().getDefiningOp<AllocOp>() : AllocOp();
        writes -= last && last.getWorkspace();
        if (!kernel || kernel.getFunctionType().getNumInputs() != launch.getReads().size() ||
            kernel.getFunctionType().getNumResults() != writes) {
          return launch.emitError("[internal.mem-level] (V2) needs a kernel with as many arguments "
                                  "and results: ")
                 << launch.getKernel();
        }
      }
      for (Value result : op.getResults()) {
        auto type = dyn_cast<BufferType>(result.getType());
        if (!arena || !type || type.getTier() != Tier::device) {
          continue;
        }
        std::optional<int64_t> offset = offsetOf(result, symbols);
        if (!offset || *offset < 0 || *offset > *arena - type.getBytes()) {
          return op.emitError("[internal.mem-level] (V3) a device buffer must lie in the arena of ")
                 << *arena << " bytes";
        }
      }
    }
    return success();
  }
};

} // namespace
