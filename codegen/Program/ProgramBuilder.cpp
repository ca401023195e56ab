// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Metadata of a program: see ProgramBuilder.h. The weights are written by WeightPacking.cpp.
#include "codegen/Program/ProgramBuilder.h"

#include "codegen/Program/WeightPacking.h"
#include "ir/Graph/CudaLibrary.h"
#include "runtime/format/Expr.h"
#include "runtime/format/Layout.h"
#include "runtime/format/ProgramWriter.h"
#include "runtime/format/program_generated.h"

#include "llvm/ADT/StringMap.h"

using namespace mlir;
namespace format = ciuic::format;
namespace plan = ciuic::plan;
namespace graph = ciuic::graph;

namespace ciuic::codegen {
namespace {

static_assert(plan::kDiskOffsets == format::kDiskOffsets);

format::DType dtypeOf(Type type) {
  if (type.isF32()) {
    return format::DType::F32;
  }
  if (type.isF16()) {
    return format::DType::F16;
  }
  if (type.isBF16()) {
    return format::DType::BF16;
  }
  if (type.isF64()) {
    return format::DType::F64;
  }
  bool isUnsigned = type.isUnsignedInteger();
  switch (type.getIntOrFloatBitWidth()) {
  case 1:
    return format::DType::Bool;
  case 8:
    return isUnsigned ? format::DType::U8 : format::DType::I8;
  case 16:
    return isUnsigned ? format::DType::U16 : format::DType::I16;
  case 32:
    return isUnsigned ? format::DType::U32 : format::DType::I32;
  default:
    return isUnsigned ? format::DType::U64 : format::DType::I64;
  }
}

void appendPostfix(AffineExpr e, std::vector<format::ExprOp> &ops) {
  if (auto constant = dyn_cast<AffineConstantExpr>(e)) {
    ops.push_back({format::ExprCode::Const, constant.getValue()});
    return;
  }
  if (auto symbol = dyn_cast<AffineSymbolExpr>(e)) {
    ops.push_back({format::ExprCode::Sym, static_cast<int64_t>(symbol.getPosition())});
    return;
  }
  auto binary = cast<AffineBinaryOpExpr>(e);
  appendPostfix(binary.getLHS(), ops);
  appendPostfix(binary.getRHS(), ops);
  format::ExprCode code = e.getKind() == AffineExprKind::Add        ? format::ExprCode::Add
                          : e.getKind() == AffineExprKind::Mul      ? format::ExprCode::Mul
                          : e.getKind() == AffineExprKind::FloorDiv ? format::ExprCode::FloorDiv
                          : e.getKind() == AffineExprKind::CeilDiv  ? format::ExprCode::CeilDiv
                                                                    : format::ExprCode::Mod;
  ops.push_back({code, 0});
}

std::unique_ptr<format::ExprT> exprOf(AffineExpr e) {
  auto expr = std::make_unique<format::ExprT>();
  appendPostfix(e, expr->ops);
  return expr;
}

std::string nameOf(Operation *op, StringRef otherwise) {
  auto name = dyn_cast<NameLoc>(op->getLoc());
  return name && !name.getName().empty() ? name.getName().str() : otherwise.str();
}

class Builder {
public:
  Builder(ModuleOp module, const ProgramInfo &info) : module(module), info(info) {}

  FailureOr<format::ProgramT> run() {
    program.device_kind = info.deviceKind;
    program.target = info.target;
    program.producer = info.producer;
    program.model_hash = info.modelHash;
    program.profile_name = info.profileName;
    program.profile_hash = info.profileHash;
    program.quality = info.quality;
    program.budget_bytes = info.budgetBytes;
    program.reserve_bytes = info.reserveBytes;
    program.arena_bytes = summary("arena_bytes");
    program.host_bytes = module->getAttrOfType<IntegerAttr>("plan.host_bytes").getInt();
    if (auto disk = module->getAttrOfType<IntegerAttr>("plan.disk_bytes")) {
      program.disk_bytes = disk.getInt();
    }
    for (auto kernel : module.getOps<graph::KernelOp>()) {
      if (failed(addKernel(kernel))) {
        return mlir::failure();
      }
    }
    for (auto weight : module.getOps<plan::WeightOp>()) {
      addWeight(weight);
    }
    for (auto state : module.getOps<plan::StateOp>()) {
      addState(state);
    }
    for (auto entry : module.getOps<plan::EntryOp>()) {
      if (failed(addEntry(entry))) {
        return mlir::failure();
      }
    }
    return std::move(program);
  }

private:
  int64_t summary(StringRef name) {
    return module->getAttrOfType<DictionaryAttr>("plan.summary").getAs<IntegerAttr>(name).getInt();
  }

  LogicalResult addKernel(graph::KernelOp kernel) {
    auto call = graph::libraryCallOf(kernel);
    if (failed(call)) {
      return mlir::failure();
    }
    auto row = std::make_unique<format::KernelT>();
    row->name = row->symbol = kernel.getSymName().str();
    row->scratch_bytes = kernel.getScratch();
    row->arg_count =
        kernel.getFunctionType().getNumInputs() + kernel.getFunctionType().getNumResults();
    if (*call) {
      row->arg_count += graph::workspaceOf(**call) > 0;
      if ((*call)->vendor) {
        row->symbol = (*call)->function;
      }
    }
    auto size = info.launches.find(row->name);
    if (size != info.launches.end()) {
      row->block_threads = size->second.threads;
      row->shared_bytes = size->second.sharedBytes;
      row->max_grid = size->second.maxGrid;
      row->overlaps = size->second.overlaps;
      row->least_shared = size->second.leastShared;
      row->together = size->second.together;
    }
    kernels[kernel.getSymName()] = program.kernels.size();
    program.kernels.push_back(std::move(row));
    return success();
  }

  void addWeight(plan::WeightOp weight) {
    auto type = cast<RankedTensorType>(weight.getType());
    auto row = std::make_unique<format::WeightT>();
    row->name = weight.getName().str();
    row->format = weight.getFormat().str();
    row->layout = weight.getLayout().str();
    row->dtype = dtypeOf(type.getElementType());
    row->dims.assign(type.getShape().begin(), type.getShape().end());
    row->bytes = weight.getBytes();
    row->tile_bytes = weight.getTileBytes();
    row->host_offset = static_cast<int64_t>(weight.getHostOffset());
    row->arena_offset = static_cast<int64_t>(weight.getArenaOffset());
    row->on_disk = row->host_offset >= plan::kDiskOffsets;
    row->mode = row->host_offset < 0 ? format::WeightMode::Resident : format::WeightMode::HostOnly;
    if (auto ranges = weight.getResident()) {
      for (size_t i = 0; i + 2 < ranges->size(); i += 3) {
        row->resident.push_back({(*ranges)[i], (*ranges)[i + 1] - (*ranges)[i], (*ranges)[i + 2]});
      }
    }
    weights[weight.getSymName()] = program.weights.size();
    if (weight.getPacking()) {
      auto formatRow = std::make_unique<format::FormatRowT>();
      formatRow->weight = row->name;
      formatRow->format = row->format;
      formatRow->bytes = row->bytes;
      formatRow->relative_error =
          weight.getRelativeError() ? weight.getRelativeError()->convertToDouble() : 0;
      formatRow->activation_error =
          weight.getActivationError() ? weight.getActivationError()->convertToDouble() : 0;
      formatRow->predicted_loss =
          weight.getPredictedLoss() ? weight.getPredictedLoss()->convertToDouble() : 0;
      program.formats.push_back(std::move(formatRow));
    }
    program.weights.push_back(std::move(row));
  }

  void addState(plan::StateOp state) {
    auto type = cast<RankedTensorType>(state.getType());
    auto row = std::make_unique<format::StateT>();
    row->name = state.getInput().str();
    row->dtype = dtypeOf(type.getElementType());
    row->dims.assign(type.getShape().begin(), type.getShape().end());
    row->grow_axis = state.getAxis();
    row->arena_offset = state.getOffset();
    row->bytes = type.getNumElements() * graph::elementBytes(type.getElementType());
    row->input = state.getInput().str();
    row->output = state.getOutput().str();
    states[state.getSymName()] = program.states.size();
    program.states.push_back(std::move(row));
  }

  LogicalResult addEntry(plan::EntryOp op) {
    auto entry = std::make_unique<format::EntryT>();
    entry->name = op.getSymName().str();
    entry->dims_offset = op.getDimsOffset();
    auto number = [&](StringRef name) {
      return op.getPrediction().getAs<FloatAttr>(name).getValueAsDouble();
    };
    entry->predicted_ms = number("predicted_us") / 1000;
    entry->lower_bound_ms = number("lower_bound_us") / 1000;
    entry->gap = number("gap");
    for (Operation &child : op.getBody().front()) {
      llvm::TypeSwitch<Operation *>(&child)
          .Case<plan::PortOp>([&](auto port) { addPort(*entry, port); })
          .Case<plan::StateUseOp>([&](auto use) {
            auto row = std::make_unique<format::StateUseT>();
            row->state = states.lookup(use.getState());
            row->before = exprOf(use.getBefore().getResult(0));
            row->after = exprOf(use.getAfter().getResult(0));
            entry->states.push_back(std::move(row));
          })
          .Case<plan::BufferOp>([&](auto buffer) { addBuffer(*entry, buffer); })
          .Case<plan::CopyOp>([&](auto copy) { addCopy(*entry, copy); })
          .Case<plan::LaunchOp, plan::SpillOp, plan::DrainOp, plan::GatherOp>(
              [&](auto step) { addStep(*entry, step); });
    }
    for (Attribute constraint : op.getConstraints().value_or(ArrayAttr::get(op.getContext(), {}))) {
      auto row = std::make_unique<format::ConstraintT>();
      row->value = exprOf(cast<AffineMapAttr>(constraint).getValue().getResult(0));
      entry->constraints.push_back(std::move(row));
    }
    if (failed(addSymbols(*entry, op))) {
      return mlir::failure();
    }
    for (auto &constraint : entry->constraints) {
      constraint->text = format::exprText(*constraint->value, entry->symbols) + " == 0";
    }
    entry->peak_bytes = peakOf(*entry);
    program.entries.push_back(std::move(entry));
    return success();
  }

  /// A symbol is read off the first input (or state) whose dim is that symbol alone.
  LogicalResult addSymbols(format::EntryT &entry, plan::EntryOp op) {
    for (auto [i, symbol] : llvm::enumerate(op.getSymbols().getAsRange<graph::SymbolAttr>())) {
      auto row = std::make_unique<format::SymbolT>();
      row->name = symbol.getName().str();
      row->lower = symbol.getLower();
      row->upper = symbol.getUpper();
      bool found = false;
      for (size_t p = 0; p < entry.inputs.size() && !found; ++p) {
        for (size_t axis = 0; axis < entry.inputs[p]->dims.size() && !found; ++axis) {
          if (format::asSymbol(*entry.inputs[p]->dims[axis]) == static_cast<uint32_t>(i)) {
            row->source = format::SymbolSource::Input;
            row->index = p;
            row->axis = axis;
            found = true;
          }
        }
      }
      for (size_t s = 0; s < entry.states.size() && !found; ++s) {
        if (format::asSymbol(*entry.states[s]->before) == static_cast<uint32_t>(i)) {
          row->source = format::SymbolSource::State;
          row->index = entry.states[s]->state;
          found = true;
        }
      }
      if (!found) {
        return op.emitError("[unsupported.unbound-dim] entry '")
               << op.getSymName() << "': no input has dim '" << symbol.getName()
               << "' on its own, so a run cannot tell its value; fix it with --entry "
               << op.getSymName() << ":" << symbol.getName() << "=N";
      }
      entry.symbols.push_back(std::move(row));
    }
    return success();
  }

  void addPort(format::EntryT &entry, plan::PortOp port) {
    auto type = cast<RankedTensorType>(port.getType());
    auto row = std::make_unique<format::PortT>();
    row->name = port.getName().str();
    row->dtype = dtypeOf(type.getElementType());
    for (AffineExpr dim : graph::dimsOf(type)) {
      row->dims.push_back(exprOf(dim));
    }
    row->offset = port.getOffset();
    row->bytes = port.getBytes();
    row->tier = port.getHost() ? format::Tier::Host : format::Tier::Device;
    (port.getOutput() ? entry.outputs : entry.inputs).push_back(std::move(row));
  }

  void addBuffer(format::EntryT &entry, plan::BufferOp buffer) {
    auto row = std::make_unique<format::BufferT>();
    StringRef kind = buffer.getKind();
    row->name = buffer.getName().str();
    row->kind = kind == "input"     ? format::BufferKind::Input
                : kind == "output"  ? format::BufferKind::Output
                : kind == "slot"    ? format::BufferKind::Slot
                : kind == "dims"    ? format::BufferKind::Dims
                : kind == "scratch" ? format::BufferKind::Scratch
                                    : format::BufferKind::Activation;
    row->offset = buffer.getOffset();
    row->bytes = buffer.getBytes();
    row->first_step = buffer.getFirstStep();
    row->last_step = buffer.getLastStep();
    entry.buffers.push_back(std::move(row));
  }

  template <class Op>
  std::unique_ptr<format::StepT> newStep(Op op, format::Stream stream, const std::string &name) {
    auto step = std::make_unique<format::StepT>();
    step->stream = stream;
    step->waits.assign(op.getWaits().begin(), op.getWaits().end());
    step->name = name;
    step->predicted_us = op.getMicroseconds().convertToDouble();
    return step;
  }

  void addCopy(format::EntryT &entry, plan::CopyOp op) {
    format::CopyT copy;
    copy.weight = weights.lookup(op.getWeight());
    copy.tile = op.getTile();
    copy.host_offset = op.getHostOffset();
    copy.arena_offset = op.getArenaOffset();
    copy.bytes = op.getBytes();
    program.weights[copy.weight]->mode = format::WeightMode::Streamed;
    if (op.getPrologue()) {
      entry.prologue.push_back(std::make_unique<format::CopyT>(copy));
      return;
    }
    auto step = newStep(op, format::Stream::H2D, "copy " + program.weights[copy.weight]->name);
    step->wrap = op.getWrap();
    step->body.Set(std::move(copy));
    entry.steps.push_back(std::move(step));
  }

  void addStep(format::EntryT &entry, plan::LaunchOp op) {
    format::LaunchT launch;
    launch.kernel = kernels.lookup(op.getKernel());
    for (auto range : op.getArgs().getAsRange<plan::RangeAttr>()) {
      launch.args.push_back({range.getOffset(), range.getBytes(),
                             range.getWrite() ? format::Access::Write : format::Access::Read});
    }
    launch.params.assign(op.getParams().begin(), op.getParams().end());
    auto size = info.launches.find(op.getKernel().str());
    bool fixed = size != info.launches.end() && size->second.fixedGrid;
    launch.grid = exprOf(fixed ? getAffineConstantExpr(size->second.maxGrid, op.getContext())
                               : op.getGrid().getResult(0));
    if (op.getShape()) {
      for (AffineExpr extent : op.getShape()->getResults()) {
        launch.shape.push_back(exprOf(extent));
      }
    }
    auto step = newStep(op, format::Stream::Compute, nameOf(op, op.getKernel()));
    step->body.Set(std::move(launch));
    entry.steps.push_back(std::move(step));
  }

  void addStep(format::EntryT &entry, plan::SpillOp op) {
    auto step = newStep(op, op.getRestore() ? format::Stream::H2D : format::Stream::D2H,
                        op.getRestore() ? "restore" : "spill");
    if (op.getRestore()) {
      format::CopyBackT back;
      back.arena_offset = op.getArenaOffset();
      back.host_offset = op.getHostOffset();
      back.bytes = op.getBytes();
      step->body.Set(std::move(back));
    } else {
      format::CopyOutT out;
      out.arena_offset = op.getArenaOffset();
      out.host_offset = op.getHostOffset();
      out.bytes = op.getBytes();
      step->body.Set(std::move(out));
    }
    entry.steps.push_back(std::move(step));
  }

  void addStep(format::EntryT &entry, plan::DrainOp op) {
    format::CopyOutT out;
    out.arena_offset = op.getArenaOffset();
    out.host_offset = op.getHostOffset();
    out.bytes = op.getBytes();
    out.rows = exprOf(op.getRows().getResult(0));
    out.row_bytes = op.getRowBytes();
    out.host_pitch = op.getPitch();
    auto step = newStep(op, format::Stream::D2H, "tile of " + op.getName().str());
    step->body.Set(std::move(out));
    entry.steps.push_back(std::move(step));
  }

  void addStep(format::EntryT &entry, plan::GatherOp op) {
    format::HostGatherT gather;
    gather.kernel = kernels.lookup(op.getKernel());
    gather.params.assign(op.getParams().begin(), op.getParams().end());
    gather.weight = weights.lookup(op.getWeight());
    gather.ids_offset = op.getIdsOffset();
    gather.ids_bytes = op.getIdsBytes();
    gather.ids_host_offset = op.getIdsHostOffset();
    gather.staging_host_offset = op.getStagingHostOffset();
    gather.arena_offset = op.getArenaOffset();
    gather.bytes = op.getBytes();
    gather.rows = exprOf(op.getRows().getResult(0));
    gather.row_bytes = op.getRowBytes();
    auto step = newStep(op, format::Stream::Compute, nameOf(op, op.getKernel()));
    step->body.Set(std::move(gather));
    entry.steps.push_back(std::move(step));
  }

  /// The highest address that anything with bytes ends at: what rule P7 recomputes.
  int64_t peakOf(const format::EntryT &entry) {
    int64_t peak = 0;
    auto extend = [&](int64_t offset, int64_t bytes) {
      peak = bytes > 0 ? std::max(peak, offset + bytes) : peak;
    };
    for (const auto &b : entry.buffers) {
      extend(b->offset, b->bytes);
    }
    for (const auto &w : program.weights) {
      if (w->mode == format::WeightMode::Resident) {
        extend(w->arena_offset, w->bytes);
      }
      for (const auto &range : w->resident) {
        extend(range.arena_offset(), range.bytes());
      }
    }
    for (const auto &s : program.states) {
      extend(s->arena_offset, s->bytes);
    }
    return peak;
  }

  ModuleOp module;
  const ProgramInfo &info;
  format::ProgramT program;
  llvm::StringMap<uint32_t> kernels, weights, states;
};

} // namespace

static bool isCode(const format::KernelT &kernel, const ProgramInfo &info) {
  return info.deviceKind != "cuda" || info.launches.contains(kernel.name);
}

LogicalResult writeProgram(ModuleOp module, const std::string &path, const ProgramInfo &info,
                           std::span<const KernelLibrary> libraries, const ReadFile &read,
                           const Progress &progress) {
  auto fail = [&](Status status) {
    return module.emitError("[environment.write-program] ") << status.message();
  };
  auto program = Builder(module, info).run();
  if (failed(program)) {
    return mlir::failure();
  }
  auto created = format::ProgramWriter::create(path);
  if (!created.isOk()) {
    return fail(created.takeStatus());
  }
  auto writer = std::move(created.value());
  for (const KernelLibrary &library : libraries) {
    uint32_t blob = writer->addKernelBlob(library.bytes, library.variant);
    for (auto &kernel : program->kernels) {
      if (!isCode(*kernel, info)) {
        continue; // a call of the vendor's library
      }
      kernel->blobs.push_back(blob);
    }
  }
  if (failed(packWeights(module, *writer, *program, read, progress, info.threads))) {
    return mlir::failure();
  }
  if (Status status = writer->finish(*program); !status.isOk()) {
    return fail(std::move(status));
  }
  return success();
}

} // namespace ciuic::codegen
