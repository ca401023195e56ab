// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reading the problem off the IR. A step is a launch; an activation lives from the first launch
// that touches it to the last (an input from the start, an output to the end). See BuildProblem.h.
#include "passes/Offload/BuildProblem.h"

#include "ir/Graph/Weights.h"
#include "kernels/host/Abi.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace mlir;
using namespace ciuic::mem;

namespace ciuic {
namespace {

constexpr int64_t bufferAlignment = 64;

std::string nameOf(Operation *op, StringRef otherwise) {
  auto name = dyn_cast<NameLoc>(op->getLoc());
  return name ? name.getName().str() : otherwise.str();
}

solver::Use useOf(LaunchOp launch, unsigned read, GetWeightOp weight, int index) {
  solver::Use use;
  use.weight = index;
  if (launch.getTiled() && static_cast<unsigned>(*launch.getTiled()) == read) {
    use.access = launch.getPiecewise() ? solver::Access::Pieces : solver::Access::Tiles;
  } else if (launch.getGatherRows() && read == 0) {
    use.access = solver::Access::Gather;
    auto symbols = launch->getParentOfType<EntryOp>().getSymbols().getAsRange<graph::SymbolAttr>();
    SmallVector<int64_t> upper;
    for (graph::SymbolAttr symbol : symbols) {
      upper.push_back(symbol.getUpper());
    }
    int64_t rows = graph::evaluate(launch.getGatherRows()->getResult(0), upper).value_or(0);
    use.gatherBytes = rows * static_cast<int64_t>(launch.getRowBytes().value_or(0));
  }
  return use;
}

/// Bytes of an output that one tile of its launch's weight makes, where it may leave the arena by
/// columns: the launch alone touches it, and writes nothing else. 0: it may not.
int64_t tileBytesOf(LaunchOp launch, AllocOp output) {
  if (!launch.getTiled() || !launch.getColumnRows() || launch.getWrites().size() != 1 ||
      launch.getWrites()[0] != output.getBuffer()) {
    return 0;
  }
  SmallVector<int64_t> upper;
  for (auto symbol :
       launch->getParentOfType<EntryOp>().getSymbols().getAsRange<graph::SymbolAttr>()) {
    upper.push_back(symbol.getUpper());
  }
  auto rows = graph::evaluate(launch.getColumnRows()->getResult(0), upper);
  auto read = launch.getReads()[*launch.getTiled()].getDefiningOp<GetWeightOp>();
  if (!rows || !read) {
    return 0;
  }
  auto weight = SymbolTable::lookupNearestSymbolFrom<WeightOp>(launch, read.getWeightAttr());
  kernels::PackSpec spec = packSpecOf(cast<graph::PackingAttr>(*weight.getPacking()));
  int64_t rowBytes = *launch.getColumnBytes();
  int64_t columns =
      static_cast<int64_t>(weight.getTileBytes()) / kernels::panelBytes(spec) * kernels::kPanel;
  bool whole = *rows * rowBytes != output.getBuffer().getType().getBytes();
  return whole || columns >= spec.columns ? 0 : *rows * (rowBytes / spec.columns * columns);
}

cost::Work workOf(LaunchOp launch) {
  DictionaryAttr cost = launch.getCost();
  StringRef kind = cost.getAs<StringAttr>("class"), format = cost.getAs<StringAttr>("format");
  cost::Work work;
  work.kind = kind == "matmul"       ? cost::WorkClass::Matmul
              : kind == "conv"       ? cost::WorkClass::Convolution
              : kind == "attention"  ? cost::WorkClass::Attention
              : kind == "group_norm" ? cost::WorkClass::GroupNorm
              : kind == "map"        ? cost::WorkClass::Elementwise
                                     : cost::WorkClass::Move;
  work.format = format == "f16"                ? cost::WeightFormat::F16
                : format == "bf16"             ? cost::WeightFormat::BF16
                : format == "int8"             ? cost::WeightFormat::I8
                : format.ends_with("_rounded") ? cost::WeightFormat::I4Rounded
                : format.starts_with("int4")   ? cost::WeightFormat::I4
                                               : cost::WeightFormat::F32;
  work.flops = cost.getAs<FloatAttr>("flops").getValueAsDouble();
  work.bytes = static_cast<double>(cost.getAs<IntegerAttr>("bytes").getInt());
  work.rows = cost.getAs<IntegerAttr>("rows").getInt();
  return work;
}

void viewEntry(EntryOp entry, const llvm::StringMap<int> &weights, const cost::Profile &profile,
               ModuleView &view) {
  solver::Entry result;
  result.name = entry.getSymName().str();
  std::vector<LaunchOp> launches;
  std::vector<Value> buffers;
  llvm::DenseMap<Value, int> indexOf;
  auto addBuffer = [&](Value value, StringRef name, int begin) {
    indexOf[value] = buffers.size();
    buffers.push_back(value);
    result.buffers.push_back(
        {name.str(), cast<BufferType>(value.getType()).getBytes(), begin, begin + 1, {}});
  };
  SmallVector<int> outputs;
  for (Operation &op : entry.getBody().front()) {
    if (auto input = dyn_cast<InputOp>(op)) {
      addBuffer(input.getBuffer(), input.getName(), 0);
    } else if (auto alloc = dyn_cast<AllocOp>(op)) {
      addBuffer(alloc.getBuffer(), alloc.getName(), launches.size());
    } else if (auto output = dyn_cast<OutputOp>(op)) {
      outputs.push_back(indexOf.lookup(output.getBuffer()));
      result.buffers[outputs.back()].name = output.getName().str();
    } else if (auto launch = dyn_cast<LaunchOp>(op)) {
      int step = launches.size();
      launches.push_back(launch);
      cost::Prediction prediction = cost::predict(profile, workOf(launch));
      solver::Step s;
      s.name = nameOf(launch, launch.getKernel());
      s.microseconds = prediction.microseconds;
      s.hide = prediction.hide;
      if (launch.getPiecewise()) {
        auto read = launch.getReads()[*launch.getTiled()].getDefiningOp<GetWeightOp>();
        auto weight = SymbolTable::lookupNearestSymbolFrom<WeightOp>(launch, read.getWeightAttr());
        s.microseconds +=
            profile.launchMicroseconds *
            static_cast<double>(llvm::divideCeil(weight.getBytes(), weight.getTileBytes()) - 1);
      }
      auto touch = [&](Value value) {
        auto it = indexOf.find(value);
        if (it == indexOf.end()) {
          return;
        }
        solver::Activation &buffer = result.buffers[it->second];
        buffer.end = step + 1;
        if (buffer.touches.empty() || buffer.touches.back() != step) {
          buffer.touches.push_back(step);
        }
      };
      for (auto [i, read] : llvm::enumerate(launch.getReads())) {
        if (auto weight = read.getDefiningOp<GetWeightOp>()) {
          solver::Use use = useOf(launch, i, weight, weights.lookup(weight.getWeight()));
          if (llvm::none_of(s.uses,
                            [&](const solver::Use &other) { return other.weight == use.weight; })) {
            s.uses.push_back(use);
          }
        } else {
          touch(read);
        }
      }
      llvm::for_each(launch.getWrites(), touch);
      result.steps.push_back(std::move(s));
    }
  }
  for (int output : outputs) {
    solver::Activation &buffer = result.buffers[output];
    auto alloc = buffers[output].getDefiningOp<AllocOp>();
    // Touched by the launch that makes it and handed out once.
    if (alloc && buffer.touches == std::vector<int>{buffer.begin} &&
        llvm::count(outputs, output) == 1) {
      buffer.tileBytes = tileBytesOf(launches[buffer.begin], alloc);
    }
    buffer.end = launches.size();
    buffer.touches.clear(); // the caller reads it after the pass: it stays, or leaves in tiles
  }
  for (auto [i, value] : llvm::enumerate(buffers)) {
    if (value.getDefiningOp<InputOp>()) {
      result.buffers[i].touches.clear(); // bound before the pass
    }
  }
  // Entries count alike, each by how much slower than its own compute it gets: a pass of prefill
  // takes as long as many of decode, and how often each runs is not known here.
  double total = 0;
  for (const solver::Step &step : result.steps) {
    total += step.microseconds;
  }
  result.frequency = total > 0 ? 1e6 / total : 1;
  view.problem.entries.push_back(std::move(result));
  view.entries.push_back(entry);
  view.launches.push_back(std::move(launches));
  view.buffers.push_back(std::move(buffers));
}

} // namespace

std::variant<cost::Profile, std::string> loadProfile(StringRef nameOrPath) {
  if (auto text = cost::builtinProfile(nameOrPath)) {
    return cost::parseProfile(*text);
  }
  auto file = llvm::MemoryBuffer::getFile(nameOrPath);
  if (!file) {
    std::string known;
    for (std::string_view name : cost::builtinProfileNames()) {
      known += (known.empty() ? "" : ", ") + std::string(name);
    }
    return "--profile " + nameOrPath.str() + ": no such profile or file (" +
           file.getError().message() + "); known profiles: " + known;
  }
  auto profile = cost::parseProfile((*file)->getBuffer());
  if (auto *error = std::get_if<std::string>(&profile)) {
    return "--profile " + nameOrPath.str() + ": " + *error;
  }
  return profile;
}

ModuleView viewOf(ModuleOp module, const cost::Profile &profile, std::optional<int64_t> budget) {
  ModuleView view;
  llvm::StringMap<int> weights;
  for (auto weight : module.getOps<WeightOp>()) {
    weights[weight.getSymName()] = view.weights.size();
    view.weights.push_back(weight);
    view.problem.weights.push_back({weight.getName().str(), static_cast<int64_t>(weight.getBytes()),
                                    static_cast<int64_t>(weight.getTileBytes())});
  }
  int64_t persistent = 0;
  for (auto state : module.getOps<StateOp>()) {
    auto type = cast<RankedTensorType>(state.getType());
    view.states.push_back({state, persistent});
    persistent = llvm::alignTo(persistent + type.getNumElements() *
                                                graph::elementBytes(type.getElementType()),
                               bufferAlignment);
  }
  for (auto entry : module.getOps<EntryOp>()) {
    viewEntry(entry, weights, profile, view);
    view.dimsOffsets.push_back(persistent);
    persistent = llvm::alignTo(persistent + 8 * std::max<int64_t>(1, entry.getSymbols().size()),
                               bufferAlignment);
  }
  view.problem.persistentBytes = persistent;
  view.problem.budget = budget;
  view.problem.toDevice = profile.toDevice;
  view.problem.toHost = profile.toHost;
  if (auto memory = module->getAttrOfType<IntegerAttr>("mem.host_memory")) {
    view.problem.hostMemory = memory.getInt();
    view.problem.diskGigabytesPerSecond = profile.diskGigabytes;
  }
  view.problem.launchMicroseconds = profile.launchMicroseconds;
  view.problem.alignment = bufferAlignment;
  return view;
}

} // namespace ciuic
