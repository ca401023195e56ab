// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Placed entries become flat steps. Waits are derived here from what each op touches, in program
// order: a copy waits for the last launch that read what it overwrites, a launch for the copies it
// awaits. The runtime's loader proves the result free of races again, knowing nothing of this pass.
#include "ir/Graph/LibraryCall.h"
#include "passes/Lower/Passes.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
namespace mem = ciuic::mem;
namespace plan = ciuic::plan;
namespace graph = ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_LOWERTOPLAN
#include "passes/Lower/Passes.h.inc"
} // namespace ciuic

namespace {

constexpr int64_t alignment = 64;

/// Where each weight lies in the host tier and which of its bytes are in the arena for good.
struct WeightPlaces {
  llvm::StringMap<int64_t> hostOffset; ///< −1: no copy in the host tier
  int64_t weightBytes = 0;             ///< of the host tier; entries have the rest in turn
  int64_t hostBytes = 0;
};

class EntryFlattening {
public:
  EntryFlattening(mem::EntryOp entry, ModuleOp module, WeightPlaces &places)
      : entry(entry), module(module), places(places), symbols(module), b(entry) {}

  void run() {
    flat = plan::EntryOp::create(
        b, entry.getLoc(), entry.getSymNameAttr(), entry.getSymbols(), entry.getConstraintsAttr(),
        b.getI64IntegerAttr(*entry.getDimsOffset()), entry.getPredictionAttr());
    b.createBlock(&flat.getBody());
    spillBase = llvm::alignTo(places.weightBytes, alignment);
    for (auto alloc : entry.getBody().front().getOps<mem::AllocOp>()) {
      if (alloc.getBuffer().getType().getTier() == mem::Tier::host) {
        hostPlace[alloc.getBuffer()] = spillBase;
        spillBase = hostEnd = llvm::alignTo(spillBase + bytesOf(alloc.getBuffer()), alignment);
      }
    }
    prologue();
    for (Operation &op : entry.getBody().front()) {
      llvm::TypeSwitch<Operation *>(&op)
          .Case<mem::InputOp>([&](auto input) {
            port(input.getName(), input.getType(), input.getBuffer(), *input.getOffset(), false,
                 false);
          })
          .Case<mem::OutputOp>([&](auto output) {
            auto host = hostPlace.find(output.getBuffer());
            bool onHost = host != hostPlace.end();
            port(output.getName(), output.getType(), output.getBuffer(),
                 onHost ? host->second : offsetOf(output.getBuffer()), true, onHost);
          })
          .Case<mem::GetStateOp>([&](auto state) {
            plan::StateUseOp::create(b, state.getLoc(), state.getStateAttr(), state.getBeforeAttr(),
                                     state.getAfterAttr());
          })
          .Case<mem::AwaitOp>([&](auto await) {
            for (Value token : await.getTokens()) {
              pendingWaits.push_back(stepsOfToken.lookup(token));
            }
          })
          .Case<mem::PrefetchOp>([&](auto prefetch) { copyUnit(prefetch); })
          .Case<mem::EvictOp>([&](auto evict) {
            spill(evict.getBuffer(), evict.getHostOffset(), evict.getToken(),
                  evict.getMicroseconds(), false);
          })
          .Case<mem::RestoreOp>([&](auto r) {
            spill(r.getBuffer(), r.getHostOffset(), r.getToken(), r.getMicroseconds(), true);
          })
          .Case<mem::DrainOp>([&](auto drain) { this->drain(drain); })
          .Case<mem::LaunchOp>([&](auto launch) { this->launch(launch); });
    }
    buffers();
    places.hostBytes = std::max(places.hostBytes, hostEnd);
  }

private:
  int64_t offsetOf(Value buffer) {
    Operation *op = buffer.getDefiningOp();
    if (auto alloc = dyn_cast<mem::AllocOp>(op)) {
      return *alloc.getOffset();
    }
    if (auto input = dyn_cast<mem::InputOp>(op)) {
      return *input.getOffset();
    }
    if (auto state = dyn_cast<mem::GetStateOp>(op)) {
      return *symbols.lookup<mem::StateOp>(state.getState()).getOffset();
    }
    return *cast<mem::GetWeightOp>(op).getOffset();
  }
  static int64_t bytesOf(Value buffer) {
    return cast<mem::BufferType>(buffer.getType()).getBytes();
  }

  void port(StringRef name, Type type, Value buffer, int64_t offset, bool output, bool onHost) {
    plan::PortOp::create(b, entry.getLoc(), b.getStringAttr(name), TypeAttr::get(type),
                         b.getI64IntegerAttr(offset), b.getI64IntegerAttr(bytesOf(buffer)),
                         output ? b.getUnitAttr() : UnitAttr(),
                         onHost ? b.getUnitAttr() : UnitAttr());
  }

  /// What the slots must hold when a pass starts.
  void prologue() {
    for (auto [unit, offset] :
         llvm::zip_equal(entry.getInitialUnits().value_or(ArrayRef<int64_t>()),
                         entry.getInitialSlots().value_or(ArrayRef<int64_t>()))) {
      copyPieces(symbols.lookup<mem::UnitOp>("u" + std::to_string(unit)), offset, false, true, {},
                 0);
    }
  }

  /// One copy step per piece of a unit; returns the last step's number.
  int64_t copyPieces(mem::UnitOp unit, int64_t arena, bool wrap, bool isPrologue,
                     ArrayRef<int64_t> waits, double us) {
    for (auto [i, weight] : llvm::enumerate(unit.getWeights().getAsRange<FlatSymbolRefAttr>())) {
      int64_t begin = unit.getBegin()[i], bytes = unit.getEnd()[i] - begin;
      plan::CopyOp::create(b, entry.getLoc(), weight, b.getI64IntegerAttr(0),
                           b.getI64IntegerAttr(places.hostOffset.lookup(weight.getValue()) + begin),
                           b.getI64IntegerAttr(arena + unit.getAt()[i]), b.getI64IntegerAttr(bytes),
                           wrap ? b.getUnitAttr() : UnitAttr(),
                           isPrologue ? b.getUnitAttr() : UnitAttr(),
                           b.getDenseI64ArrayAttr(i == 0 ? waits : ArrayRef<int64_t>()),
                           b.getF64FloatAttr(us * static_cast<double>(bytes) /
                                             std::max<int64_t>(1, unit.getBytes())));
      steps += !isPrologue;
    }
    return steps - 1;
  }

  void copyUnit(mem::PrefetchOp prefetch) {
    auto unit = symbols.lookup<mem::UnitOp>(prefetch.getUnit());
    // The last launch that read what the copy overwrites.
    int64_t reader = -1;
    for (const auto &[range, step] : slotReaders) {
      bool overlaps = range.first < prefetch.getOffset() + static_cast<int64_t>(unit.getBytes()) &&
                      prefetch.getOffset() < range.second;
      reader = overlaps ? std::max(reader, step) : reader;
    }
    SmallVector<int64_t> waits;
    if (reader >= 0) {
      waits.push_back(reader);
    }
    int64_t last = copyPieces(unit, prefetch.getOffset(), prefetch.getWrap(), false, waits,
                              prefetch.getMicroseconds().convertToDouble());
    stepsOfToken[prefetch.getToken()] = last;
  }

  void spill(Value buffer, int64_t hostOffset, Value token, const APFloat &us, bool restore) {
    SmallVector<int64_t> waits;
    if (lastLaunch >= 0) {
      waits.push_back(lastLaunch);
    }
    int64_t host = spillBase + hostOffset;
    if (restore) {
      waits.push_back(spillStep.lookup(host));
    }
    // A place that was just evicted from waits for that copy too, which the launch in between has
    // awaited.
    plan::SpillOp::create(b, entry.getLoc(), b.getI64IntegerAttr(offsetOf(buffer)),
                          b.getI64IntegerAttr(host), b.getI64IntegerAttr(bytesOf(buffer)),
                          restore ? b.getUnitAttr() : UnitAttr(), b.getDenseI64ArrayAttr(waits),
                          b.getF64FloatAttr(us.convertToDouble()));
    touch(buffer, steps);
    if (!restore) {
      spillStep[host] = steps;
    }
    stepsOfToken[token] = steps++;
    hostEnd = std::max(hostEnd, host + bytesOf(buffer));
  }

  /// Columns of an output leave once the launch before has made them.
  void drain(mem::DrainOp op) {
    int64_t host = hostPlace.lookup(op.getOutput()) + op.getColumn();
    auto alloc = op.getOutput().getDefiningOp<mem::AllocOp>();
    int64_t rows = bytesOf(op.getOutput()) / op.getPitch();
    plan::DrainOp::create(b, op.getLoc(), alloc.getNameAttr(),
                          b.getI64IntegerAttr(offsetOf(op.getTile())),
                          b.getI64IntegerAttr(rows * op.getRowBytes()), b.getI64IntegerAttr(host),
                          op.getRowBytesAttr(), op.getPitchAttr(), op.getRowsAttr(),
                          b.getDenseI64ArrayAttr({lastLaunch}), op.getMicrosecondsAttr());
    touch(op.getTile(), steps);
    stepsOfToken[op.getToken()] = steps++;
  }

  void launch(mem::LaunchOp launch) {
    llvm::SetVector<int64_t> waits(llvm::from_range, pendingWaits);
    pendingWaits.clear();
    double us = launch.getMicroseconds() ? launch.getMicroseconds()->convertToDouble() : 0;
    for (Value buffer : llvm::concat<Value>(llvm::to_vector(launch.getReads()),
                                            llvm::to_vector(launch.getWrites()))) {
      touch(buffer, steps);
    }
    if (launch.getOnHost()) {
      hostGather(launch, waits.takeVector(), us);
    } else {
      SmallVector<Attribute> args;
      auto add = [&](Value buffer, bool write) {
        args.push_back(
            plan::RangeAttr::get(b.getContext(), offsetOf(buffer), bytesOf(buffer), write));
      };
      llvm::for_each(launch.getReads(), [&](Value v) { add(v, false); });
      llvm::for_each(launch.getWrites(), [&](Value v) { add(v, true); });
      for (Value read : launch.getReads()) {
        auto weight = read.getDefiningOp<mem::GetWeightOp>();
        if (weight && weight.getSlot()) {
          slotReaders[{offsetOf(read), offsetOf(read) + bytesOf(read)}] = steps;
        }
      }
      plan::LaunchOp::create(b, launch.getLoc(), launch.getKernelAttr(), b.getArrayAttr(args),
                             launch.getParamsAttr(), launch.getGridAttr(),
                             b.getDenseI64ArrayAttr(waits.getArrayRef()), b.getF64FloatAttr(us),
                             shapeOf(launch));
    }
    lastLaunch = steps++;
  }

  /// The extents of a vendor's call, which it cannot read from the dims block.
  AffineMapAttr shapeOf(mem::LaunchOp launch) {
    if (!graph::isForCuda(module)) {
      return {};
    }
    auto kernel = symbols.lookup<graph::KernelOp>(launch.getKernel());
    auto call = *graph::libraryCallOf(kernel); // the kernel's geometry came from it
    return call && call->vendor ? AffineMapAttr::get(AffineMap::get(0, entry.getSymbols().size(),
                                                                    call->args, b.getContext()))
                                : AffineMapAttr();
  }

  /// ids go down, rows are gathered there and come up: staging areas lie behind everything else in
  /// the host tier. A GPU reads the rows where they lie.
  void hostGather(mem::LaunchOp launch, ArrayRef<int64_t> waits, double us) {
    Value ids = launch.getReads()[1], result = launch.getWrites()[0];
    int64_t idsHost = -1, staging = -1;
    if (!graph::isForCuda(module)) {
      idsHost = llvm::alignTo(std::max(hostEnd, spillBase), alignment);
      staging = llvm::alignTo(idsHost + bytesOf(ids), alignment);
      hostEnd = staging + bytesOf(result);
    }
    auto weight = launch.getReads()[0].getDefiningOp<mem::GetWeightOp>();
    plan::GatherOp::create(b, launch.getLoc(), launch.getKernelAttr(), weight.getWeightAttr(),
                           b.getI64IntegerAttr(offsetOf(ids)), b.getI64IntegerAttr(bytesOf(ids)),
                           b.getI64IntegerAttr(idsHost), b.getI64IntegerAttr(staging),
                           b.getI64IntegerAttr(offsetOf(result)),
                           b.getI64IntegerAttr(bytesOf(result)), launch.getGatherRowsAttr(),
                           b.getI64IntegerAttr(*launch.getRowBytes()), launch.getParamsAttr(),
                           b.getDenseI64ArrayAttr(waits), b.getF64FloatAttr(us));
  }

  void touch(Value buffer, int64_t step) {
    if (buffer.getDefiningOp<mem::AllocOp>() || buffer.getDefiningOp<mem::InputOp>()) {
      auto [it, fresh] = lives.try_emplace(buffer, std::pair(step, step));
      it->second.second = step;
    }
  }

  /// The arena ranges and the steps between which each is held.
  void buffers() {
    int64_t end = std::max<int64_t>(0, steps - 1);
    auto emit = [&](StringRef name, StringRef kind, int64_t offset, int64_t bytes, int64_t first,
                    int64_t last) {
      plan::BufferOp::create(b, entry.getLoc(), b.getStringAttr(name), b.getStringAttr(kind),
                             b.getI64IntegerAttr(offset), b.getI64IntegerAttr(bytes),
                             b.getI64IntegerAttr(first), b.getI64IntegerAttr(last));
    };
    llvm::SmallPtrSet<Value, 8> outputs;
    for (auto output : entry.getBody().front().getOps<mem::OutputOp>()) {
      outputs.insert(output.getBuffer());
    }
    for (auto input : entry.getBody().front().getOps<mem::InputOp>()) {
      auto it = lives.find(input.getBuffer());
      emit(input.getName(), "input", *input.getOffset(), bytesOf(input.getBuffer()), 0,
           it == lives.end() ? 0 : it->second.second);
    }
    for (auto &[buffer, life] : lives) {
      if (auto alloc = buffer.getDefiningOp<mem::AllocOp>()) {
        bool output = outputs.contains(buffer);
        emit(alloc.getName(),
             output                 ? "output"
             : alloc.getWorkspace() ? "scratch"
                                    : "activation",
             *alloc.getOffset(), bytesOf(buffer), life.first, output ? end : life.second);
      }
    }
    auto slots = module->getAttrOfType<DictionaryAttr>("mem.plan");
    if (int64_t bytes = slots.getAs<IntegerAttr>("slots_bytes").getInt()) {
      emit("slots", "slot", slots.getAs<IntegerAttr>("slots_offset").getInt(), bytes, 0, end);
    }
    emit("dims", "dims", *entry.getDimsOffset(),
         8 * std::max<int64_t>(1, entry.getSymbols().size()), 0, end);
  }

  mem::EntryOp entry;
  ModuleOp module;
  WeightPlaces &places;
  SymbolTable symbols;
  OpBuilder b;
  plan::EntryOp flat;
  int64_t steps = 0, lastLaunch = -1, spillBase = 0, hostEnd = 0;
  SmallVector<int64_t> pendingWaits;
  llvm::DenseMap<Value, int64_t> stepsOfToken;
  /// The last launch that read each range of the slots.
  llvm::MapVector<std::pair<int64_t, int64_t>, int64_t> slotReaders;
  llvm::DenseMap<Value, int64_t> hostPlace;   ///< of outputs in the host tier
  llvm::DenseMap<int64_t, int64_t> spillStep; ///< the copy out of each host place
  llvm::MapVector<Value, std::pair<int64_t, int64_t>> lives;
};

struct LowerToPlanPass : ciuic::impl::LowerToPlanBase<LowerToPlanPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    WeightPlaces places;
    lowerWeights(module, places);
    places.weightBytes = places.hostBytes;
    OpBuilder b(&getContext());
    for (auto state : llvm::to_vector(module.getOps<mem::StateOp>())) {
      b.setInsertionPoint(state);
      // The mem symbol stays until the entries have been read.
      plan::StateOp::create(b, state.getLoc(), b.getStringAttr("plan." + state.getSymName()),
                            state.getTypeAttr(), state.getAxisAttr(), state.getInputAttr(),
                            state.getOutputAttr(), state.getOffsetAttr());
    }
    for (auto entry : llvm::to_vector(module.getOps<mem::EntryOp>())) {
      EntryFlattening(entry, module, places).run();
      entry.erase();
    }
    for (Operation &op : llvm::make_early_inc_range(*module.getBody())) {
      if (isa<mem::WeightOp, mem::StateOp, mem::UnitOp>(op)) {
        op.erase();
      }
    }
    for (auto weight : module.getOps<plan::WeightOp>()) {
      weight.setSymName(weight.getSymName().drop_front(5));
    }
    for (auto state : module.getOps<plan::StateOp>()) {
      state.setSymName(state.getSymName().drop_front(5));
    }
    module->setAttr("plan.host_bytes", b.getI64IntegerAttr(llvm::alignTo(places.hostBytes, 4096)));
    module->setAttr("plan.summary", module->getAttr("mem.plan"));
    module->removeAttr("mem.plan");
  }

  /// Weights that stream or are gathered have all their bytes in the host tier; resident ranges
  /// have arena offsets.
  void lowerWeights(ModuleOp module, WeightPlaces &places) {
    OpBuilder b(&getContext());
    llvm::StringMap<SmallVector<int64_t>> resident; // begin, end, arena offset
    llvm::StringSet<> streamed, gathered, onDisk;
    int64_t diskBytes = 0;
    for (auto unit : module.getOps<mem::UnitOp>()) {
      for (auto [i, weight] : llvm::enumerate(unit.getWeights().getAsRange<FlatSymbolRefAttr>())) {
        if (!unit.getOffset()) {
          streamed.insert(weight.getValue());
          if (unit.getDisk()) {
            onDisk.insert(weight.getValue());
          }
          continue;
        }
        auto &ranges = resident[weight.getValue()];
        int64_t begin = unit.getBegin()[i], end = unit.getEnd()[i],
                at = *unit.getOffset() + unit.getAt()[i];
        if (!ranges.empty() && ranges[ranges.size() - 2] == begin &&
            ranges.back() + (begin - ranges[ranges.size() - 3]) == at) {
          ranges[ranges.size() - 2] = end; // continues the run
        } else {
          ranges.append({begin, end, at});
        }
      }
    }
    module.walk([&](mem::GetWeightOp get) {
      if (cast<mem::BufferType>(get.getBuffer().getType()).getTier() == mem::Tier::host) {
        gathered.insert(get.getWeight());
      }
    });
    for (auto weight : llvm::to_vector(module.getOps<mem::WeightOp>())) {
      StringRef name = weight.getSymName();
      bool onHost = streamed.contains(name) || gathered.contains(name);
      int64_t host = -1;
      if (onDisk.contains(name)) {
        host = plan::kDiskOffsets + llvm::alignTo(diskBytes, alignment);
        diskBytes = host - plan::kDiskOffsets + weight.getBytes();
      } else if (onHost) {
        host = llvm::alignTo(places.hostBytes, alignment);
        places.hostBytes = host + weight.getBytes();
      }
      places.hostOffset[name] = host;
      b.setInsertionPoint(weight);
      auto ranges = resident.lookup(name);
      bool whole = ranges.size() == 3 && ranges[0] == 0 &&
                   ranges[1] == static_cast<int64_t>(weight.getBytes());
      plan::WeightOp::create(
          b, weight.getLoc(), b.getStringAttr("plan." + name), weight.getNameAttr(),
          weight.getTypeAttr(), weight.getFormatAttr(), weight.getLayoutAttr(),
          weight.getBytesAttr(), weight.getTileBytesAttr(), weight.getPackingAttr(),
          weight.getValueAttr(), weight.getFileAttr(), weight.getFileOffsetAttr(),
          weight.getFileBytesAttr(), b.getI64IntegerAttr(host),
          b.getI64IntegerAttr(whole && !onHost ? ranges[2] : -1),
          onHost && !ranges.empty() ? b.getDenseI64ArrayAttr(ranges) : DenseI64ArrayAttr(),
          weight.getRelativeErrorAttr(), weight.getActivationErrorAttr(),
          weight.getPredictedLossAttr(), weight.getBlocksAttr(), weight.getPartsAttr(),
          weight.getInterleavedAttr());
    }
    if (diskBytes > 0) {
      module->setAttr("plan.disk_bytes", b.getI64IntegerAttr(diskBytes));
    }
  }
};

} // namespace
