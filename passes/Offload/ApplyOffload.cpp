// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The solver's plan, written into the module. Each entry is rebuilt in the order of the plan's
// launches: copies are issued right after the launch they may start behind, awaits stand right
// before the launch that needs them, and every device buffer gets its arena offset. Decides nothing
// itself.
#include "passes/Offload/BuildProblem.h"
#include "passes/Offload/Passes.h"

#include "ir/Diagnostics.h"
#include "ir/Graph/LibraryCall.h"
#include "passes/Lower/Tiling.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace ciuic::mem;

namespace ciuic {
#define GEN_PASS_DEF_APPLYOFFLOAD
#include "passes/Offload/Passes.h.inc"
} // namespace ciuic

namespace {

/// Rebuilds one entry after the plan.
class EntryRewrite {
public:
  EntryRewrite(ciuic::ModuleView &view, const ciuic::solver::OffloadPlan &plan, unsigned index,
               SymbolTable &kernels)
      : view(view), plan(plan), entryPlan(plan.entries[index]), index(index),
        old(view.entries[index]), kernels(kernels), b(old->getContext()) {}

  void run() {
    Block *from = &old.getBody().front();
    Block *to = new Block();
    old.getBody().push_back(to);
    b.setInsertionPointToStart(to);
    for (Operation &op : *from) {
      if (isa<InputOp, GetStateOp>(op)) {
        Operation *clone = b.clone(op, mapping);
        if (auto input = dyn_cast<InputOp>(clone)) {
          input.setOffset(segmentOf(bufferIndex(op.getResult(0)), 0).offset);
        }
      }
    }
    issueCopies(-1);
    for (size_t i = 0; i < entryPlan.launches.size(); ++i) {
      emitLaunch(i);
      issueCopies(i);
    }
    for (Operation &op : *from) {
      if (isa<OutputOp>(op)) {
        b.clone(op, mapping);
      }
    }
    from->dropAllDefinedValueUses();
    from->erase();
    int64_t dims = plan.persistentOffset + view.dimsOffsets[index];
    old.setDimsOffset(dims);
    SmallVector<int64_t> initialUnits, initialSlots;
    for (const ciuic::solver::Slot &slot : entryPlan.initialSlots) {
      initialUnits.push_back(slot.unit);
      initialSlots.push_back(slot.offset);
    }
    old.setInitialUnits(initialUnits);
    old.setInitialSlots(initialSlots);
    auto f64 = [&](double v) -> Attribute { return b.getF64FloatAttr(v); };
    auto i64 = [&](int64_t v) -> Attribute { return b.getI64IntegerAttr(v); };
    old.setPredictionAttr(b.getDictionaryAttr(
        {b.getNamedAttr("activation_bytes", i64(entryPlan.activationBytes)),
         b.getNamedAttr("compute_us", f64(entryPlan.computeMicroseconds)),
         b.getNamedAttr("copied_d2h", i64(entryPlan.copiedToHost)),
         b.getNamedAttr("copied_h2d", i64(entryPlan.copiedToDevice)),
         b.getNamedAttr("gap", f64(entryPlan.gap)),
         b.getNamedAttr("lower_bound_us", f64(entryPlan.lowerBoundMicroseconds)),
         b.getNamedAttr("predicted_us", f64(entryPlan.predictedMicroseconds)),
         b.getNamedAttr("stall_us", f64(entryPlan.stallMicroseconds))}));
  }

private:
  int bufferIndex(Value value) {
    return llvm::find(view.buffers[index], value) - view.buffers[index].begin();
  }

  /// The segment in which a buffer is at a step.
  const ciuic::solver::Segment &segmentOf(int buffer, int step) {
    for (const auto &segment : entryPlan.segments) {
      if (segment.buffer == buffer && step >= segment.begin && step < segment.end) {
        return segment;
      }
    }
    // A buffer without launches (an unused input) has its only segment.
    return *llvm::find_if(entryPlan.segments, [&](const auto &s) { return s.buffer == buffer; });
  }

  void issueCopies(int after) {
    for (auto [i, copy] : llvm::enumerate(entryPlan.copies)) {
      if (copy.after != after) {
        continue;
      }
      double us = ciuic::solver::copyMicroseconds(view.problem, copy);
      auto token = TokenType::get(b.getContext());
      if (copy.kind == ciuic::solver::CopyKind::LoadUnit) {
        bool wrap = copy.before >= static_cast<int>(entryPlan.launches.size());
        tokens[i] = PrefetchOp::create(b, old.getLoc(), token, unitName(copy.unit),
                                       b.getI64IntegerAttr(copy.slot),
                                       wrap ? b.getUnitAttr() : UnitAttr(), b.getF64FloatAttr(us));
      } else if (copy.kind == ciuic::solver::CopyKind::TileOut) {
        tokens[i] = drain(copy, us);
      } else {
        const auto &segment = entryPlan.segments[copy.segment];
        Value buffer = bufferAt(segment);
        auto host = b.getI64IntegerAttr(hostOffsetOf(segment.buffer));
        tokens[i] =
            copy.kind == ciuic::solver::CopyKind::SwapOut
                ? EvictOp::create(b, old.getLoc(), token, buffer, host, b.getF64FloatAttr(us))
                      .getToken()
                : RestoreOp::create(b, old.getLoc(), token, buffer, host, b.getF64FloatAttr(us))
                      .getToken();
      }
    }
  }

  /// The copy of what the launch before it made of an output.
  Value drain(const ciuic::solver::Copy &copy, double us) {
    const auto &planned = entryPlan.launches[copy.after];
    const auto &segment = entryPlan.segments[copy.segment];
    LaunchOp launch = view.launches[index][planned.step];
    SmallVector<int64_t> params = *tileParams(launch, planned);
    int64_t pitch = *launch.getColumnBytes();
    int64_t element = pitch / launch.getParams()[3]; // a whole launch's rows are whole rows apart
    return DrainOp::create(b, launch.getLoc(), TokenType::get(b.getContext()), tileAt(segment),
                           hostOutput(segment.buffer), launch.getColumnRowsAttr(),
                           b.getI64IntegerAttr(params[3] * element),
                           b.getI64IntegerAttr(params[2] * element), b.getI64IntegerAttr(pitch),
                           b.getF64FloatAttr(us));
  }

  /// Params of a launch over tiles; none if it has no weight in tiles.
  std::optional<SmallVector<int64_t>> tileParams(LaunchOp launch,
                                                 const ciuic::solver::Launch &planned) {
    if (!launch.getTiled()) {
      return std::nullopt;
    }
    auto read = launch.getReads()[*launch.getTiled()].getDefiningOp<GetWeightOp>();
    for (const auto &operand : planned.operands) {
      if (view.weights[operand.weight].getSymName() == read.getWeight()) {
        auto packing = cast<ciuic::graph::PackingAttr>(*view.weights[operand.weight].getPacking());
        return ciuic::tileParamsOf(packing, operand.begin, operand.end, planned.tile >= 0);
      }
    }
    llvm_unreachable("a plan has an operand for each weight that a step reads");
  }

  const std::string &nameOfBuffer(int buffer) {
    return view.problem.entries[index].buffers[buffer].name;
  }

  /// The place of an output that leaves in tiles, in the host tier.
  Value hostOutput(int buffer) {
    Value source = view.buffers[index][buffer];
    Value &value = hostOutputs[buffer];
    if (!value) {
      auto alloc = source.getDefiningOp<AllocOp>();
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(b.getInsertionBlock());
      value = AllocOp::create(
          b, alloc.getLoc(),
          BufferType::get(b.getContext(), Tier::host, alloc.getBuffer().getType().getBytes()),
          b.getStringAttr(nameOfBuffer(buffer)), IntegerAttr(), UnitAttr());
      mapping.map(source, value);
    }
    return value;
  }

  /// A place in the arena through which an output leaves.
  Value tileAt(const ciuic::solver::Segment &segment) {
    Value &value = segmentBuffers[&segment];
    if (!value) {
      auto alloc = view.buffers[index][segment.buffer].getDefiningOp<AllocOp>();
      value = AllocOp::create(b, alloc.getLoc(),
                              BufferType::get(b.getContext(), Tier::device, segment.bytes),
                              b.getStringAttr(nameOfBuffer(segment.buffer) + " tile"),
                              b.getI64IntegerAttr(segment.offset), UnitAttr());
    }
    return value;
  }

  FlatSymbolRefAttr unitName(int unit) {
    return FlatSymbolRefAttr::get(b.getContext(), "u" + std::to_string(unit));
  }

  /// Swapped activations lie one after the other in the host tier, behind the weights (placed by
  /// ciuic-lower-to-plan).
  int64_t hostOffsetOf(int buffer) {
    auto [it, fresh] = hostOffsets.try_emplace(buffer, hostCursor);
    if (fresh) {
      hostCursor += llvm::alignTo(view.problem.entries[index].buffers[buffer].bytes, 64);
    }
    return it->second;
  }

  /// The buffer value of a segment, allocated when it is first named.
  Value bufferAt(const ciuic::solver::Segment &segment) {
    Value source = view.buffers[index][segment.buffer];
    if (source.getDefiningOp<InputOp>()) {
      return mapping.lookup(source);
    }
    Value &value = segmentBuffers[&segment];
    if (!value) {
      auto alloc = source.getDefiningOp<AllocOp>();
      value = AllocOp::create(b, alloc.getLoc(), alloc.getBuffer().getType(), alloc.getNameAttr(),
                              b.getI64IntegerAttr(segment.offset), alloc.getWorkspaceAttr());
      mapping.map(source, value);
    }
    return value;
  }

  void emitLaunch(int i) {
    const auto &planned = entryPlan.launches[i];
    LaunchOp launch = view.launches[index][planned.step];
    SmallVector<Value> waits;
    for (auto [c, copy] : llvm::enumerate(entryPlan.copies)) {
      if (copy.before == i) {
        waits.push_back(tokens[c]);
      }
    }
    SmallVector<Value> reads, writes;
    SmallVector<int64_t> params(launch.getParams());
    bool onHost = false;
    AffineMap grid = launch.getGrid();
    for (auto [k, read] : llvm::enumerate(launch.getReads())) {
      auto weight = read.getDefiningOp<GetWeightOp>();
      if (!weight) {
        reads.push_back(currentBuffer(read, planned.step));
        continue;
      }
      const ciuic::solver::Operand *operand = nullptr;
      for (const auto &candidate : planned.operands) {
        if (view.weights[candidate.weight].getSymName() == weight.getWeight()) {
          operand = &candidate;
        }
      }
      onHost |= operand->hostGather;
      int64_t bytes = operand->end - operand->begin;
      auto tier = operand->hostGather ? Tier::host : Tier::device;
      int64_t offset = operand->unit < 0 ? operand->offset : operand->slot + operand->offset;
      reads.push_back(GetWeightOp::create(
          b, weight.getLoc(), BufferType::get(b.getContext(), tier, bytes), weight.getWeightAttr(),
          b.getI64IntegerAttr(operand->begin), b.getI64IntegerAttr(operand->end),
          operand->hostGather ? IntegerAttr() : b.getI64IntegerAttr(offset),
          operand->unit < 0 ? IntegerAttr() : b.getI64IntegerAttr(operand->slot)));
      if (launch.getTiled() && *launch.getTiled() == k) {
        // CUDA's kernels take the panels alone; of a vendor's call they are the last params.
        SmallVector<int64_t> range = *tileParams(launch, planned);
        range.truncate(launch.getPiecewise() ? 2 : params.size());
        llvm::copy(range, params.end() - range.size());
        auto kernel = kernels.lookup<ciuic::graph::KernelOp>(launch.getKernel());
        grid = AffineMap::get(0, grid.getNumSymbols(),
                              ciuic::graph::unitsOf(**ciuic::graph::libraryCallOf(kernel), params));
      }
    }
    for (Value write : launch.getWrites()) {
      writes.push_back(planned.tile >= 0 ? tileAt(entryPlan.segments[planned.tile])
                                         : currentBuffer(write, planned.step));
    }
    if (!waits.empty()) {
      AwaitOp::create(b, launch.getLoc(), waits);
    }
    auto copy = cast<LaunchOp>(b.clone(*launch, mapping));
    copy.getReadsMutable().assign(reads);
    copy.getWritesMutable().assign(writes);
    copy.setParams(params);
    copy.setGrid(grid);
    copy.setMicroseconds(APFloat(planned.microseconds));
    copy.setOnHost(onHost);
  }

  Value currentBuffer(Value value, int step) {
    int buffer = bufferIndex(value);
    return buffer < static_cast<int>(view.buffers[index].size()) ? bufferAt(segmentOf(buffer, step))
                                                                 : mapping.lookup(value);
  }

  ciuic::ModuleView &view;
  const ciuic::solver::OffloadPlan &plan;
  const ciuic::solver::EntryPlan &entryPlan;
  unsigned index;
  EntryOp old;
  SymbolTable &kernels;
  OpBuilder b;
  IRMapping mapping;
  llvm::DenseMap<size_t, Value> tokens;
  llvm::DenseMap<const ciuic::solver::Segment *, Value> segmentBuffers;
  llvm::DenseMap<int, int64_t> hostOffsets;
  llvm::DenseMap<int, Value> hostOutputs;
  int64_t hostCursor = 0;
};

struct ApplyOffloadPass : ciuic::impl::ApplyOffloadBase<ApplyOffloadPass> {
  using Base::Base;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto loaded = ciuic::loadProfile(profile);
    if (auto *error = std::get_if<std::string>(&loaded)) {
      module.emitError("[usage.profile] ") << *error;
      return signalPassFailure();
    }
    auto budget = module->getAttrOfType<IntegerAttr>("mem.budget");
    ciuic::ModuleView view = ciuic::viewOf(module, std::get<ciuic::cost::Profile>(loaded),
                                           budget ? std::optional(budget.getInt()) : std::nullopt);
    auto solved = ciuic::solver::solveOffload(view.problem);
    if (auto *error = std::get_if<std::string>(&solved)) {
      module.emitError("[internal.offload-problem] offload problem: ") << *error;
      return signalPassFailure();
    }
    if (auto *infeasible = std::get_if<ciuic::solver::Infeasible>(&solved)) {
      report(*infeasible, budget.getInt());
      return signalPassFailure();
    }
    apply(view, std::get<ciuic::solver::OffloadPlan>(solved));
  }

  void report(const ciuic::solver::Infeasible &problem, int64_t budget) {
    ModuleOp module = getOperation();
    int64_t reserve = 0;
    if (auto attribute = module->getAttrOfType<IntegerAttr>("mem.reserve")) {
      reserve = attribute.getInt();
    }
    int64_t nearest = problem.nearestBudget + reserve;
    // A plan that keeps everything pins nothing, so the device's software takes less beside it.
    if (auto resident = module->getAttrOfType<IntegerAttr>("mem.resident_budget")) {
      nearest = std::min(nearest, resident.getInt());
    }
    module->setAttr("mem.nearest_budget",
                    IntegerAttr::get(IntegerType::get(&getContext(), 64), nearest));
    int64_t over = std::min(problem.bytesOver, nearest - budget - reserve);
    std::string alive;
    for (size_t i = 0; i < std::min<size_t>(problem.alive.size(), 6); ++i) {
      alive += "\n  " + ciuic::sizeText(problem.alive[i].bytes) + "  " + problem.alive[i].name;
    }
    if (problem.alive.size() > 6) {
      alive += "\n  and " + std::to_string(problem.alive.size() - 6) + " more";
    }
    module.emitError("[infeasible.budget] the budget is too small: entry '")
        << problem.entryName << "' needs " << ciuic::sizeText(budget + over + reserve)
        << " at step " << problem.step << " (" << problem.stepName << "), budget is "
        << ciuic::sizeText(budget + reserve) << " (" << over
        << " bytes over); nearest budget that fits: " << nearest / 1024 << "K ("
        << ciuic::sizeText(nearest) << ")\nalive at that step:" << alive;
  }

  void apply(ciuic::ModuleView &view, const ciuic::solver::OffloadPlan &plan) {
    ModuleOp module = getOperation();
    OpBuilder b(&getContext());
    SymbolTable kernels(module);
    for (auto &[state, offset] : view.states) {
      state.setOffset(plan.persistentOffset + offset);
    }
    b.setInsertionPoint(view.entries.front());
    std::vector<bool> streamed(view.weights.size()), resident(view.weights.size());
    for (auto [i, unit] : llvm::enumerate(plan.units)) {
      SmallVector<Attribute> weights;
      SmallVector<int64_t> begin, end, at;
      for (const auto &piece : unit.pieces) {
        weights.push_back(FlatSymbolRefAttr::get(view.weights[piece.weight].getSymNameAttr()));
        begin.push_back(piece.begin);
        end.push_back(piece.end);
        at.push_back(piece.offset);
        (unit.residentOffset < 0 ? streamed : resident)[piece.weight] = true;
      }
      UnitOp::create(b, module.getLoc(), "u" + std::to_string(i), b.getArrayAttr(weights), begin,
                     end, at, unit.bytes,
                     unit.residentOffset < 0 ? IntegerAttr()
                                             : b.getI64IntegerAttr(unit.residentOffset),
                     unit.onDisk ? b.getUnitAttr() : UnitAttr());
    }
    for (auto [i, weight] : llvm::enumerate(view.weights)) {
      weight.setMode(plan.hostGathered[i] ? WeightMode::gathered
                     : streamed[i]        ? WeightMode::streamed
                                          : WeightMode::resident);
    }
    for (unsigned e = 0; e < view.entries.size(); ++e) {
      EntryRewrite(view, plan, e, kernels).run();
    }
    auto i64 = [&](int64_t v) -> Attribute { return b.getI64IntegerAttr(v); };
    module->setAttr(
        "mem.plan",
        b.getDictionaryAttr(
            {b.getNamedAttr("arena_bytes",
                            i64(llvm::alignTo(plan.arenaBytes, ciuic::solver::kBudgetGranule))),
             b.getNamedAttr("need_bytes", i64(plan.needBytes)),
             b.getNamedAttr("policy", b.getStringAttr(plan.policy)),
             b.getNamedAttr("resident_bytes", i64(plan.residentBytes)),
             b.getNamedAttr("slots_bytes", i64(plan.slotsBytes)),
             b.getNamedAttr("slots_offset", i64(plan.slotsOffset)),
             b.getNamedAttr("streamed_bytes", i64(plan.streamedBytes))}));
  }
};

} // namespace
