// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// From a program file to memory that is ready to run: budget, kernels, weights, passes.
#include "runtime/exec/Session.h"

#include "runtime/format/Expr.h"
#include "runtime/format/program_generated.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <tuple>

namespace ciuic {

using namespace format;

Status Session::create(std::shared_ptr<ProgramFile> file, device::Device &device,
                       const SessionOptions &options, std::unique_ptr<Session> *out) {
  std::unique_ptr<Session> session(new Session());
  session->file = std::move(file);
  CIUIC_TRY(session->load(device, options));
  *out = std::move(session);
  return Status::ok();
}

static std::string sizeText(int64_t bytes) {
  double mib = static_cast<double>(bytes) / (1 << 20);
  return formatText("%lldK (%.4g %s)", static_cast<long long>((bytes + 1023) / 1024),
                    mib < 1024 ? mib : mib / 1024, mib < 1024 ? "MiB" : "GiB");
}

Status Session::load(device::Device &device, const SessionOptions &options) {
  const ProgramT &p = program();
  device::DeviceInfo info = device.info();
  if (p.device_kind != info.kind) {
    return failure(StatusClass::Unsupported, "device.kind",
                   "the program is for device '%s', not '%s': compile it with --target %s",
                   p.device_kind.c_str(), info.kind.c_str(), info.kind.c_str());
  }
  int64_t need = p.arena_bytes + p.reserve_bytes; // checked by rule P1
  budget = options.budgetBytes > 0 ? options.budgetBytes : p.budget_bytes;
  if (budget < need) {
    return failure(StatusClass::Infeasible, "budget.below-plan",
                   "the program was planned for %s, the budget is %s: compile it with a smaller "
                   "--vram; nearest budget that fits: %s",
                   sizeText(need).c_str(), sizeText(budget).c_str(), sizeText(need).c_str())
        .withNearestBudget(need);
  }
  CIUIC_TRY(device.createContext({.threads = options.threads,
                                  .linkGbps = options.linkGbps,
                                  .pinnedLimit = options.pinnedLimit},
                                 &context));
  traced = options.trace || !context->timesCost();
  CIUIC_TRY(loadKernels(device));
  CIUIC_TRY(context->reserve(p.arena_bytes, p.host_bytes));
  CIUIC_TRY(openDisk(options));
  CIUIC_TRY(loadWeights());
  stateLengths.assign(p.states.size(), 0);
  stateBroken.assign(p.states.size(), false);
  for (const auto &entry : p.entries) {
    for (const auto &port : entry->inputs) {
      inputs[port->name];
    }
    for (const auto &port : entry->outputs) {
      outputs[port->name];
    }
  }
  entries.reserve(p.entries.size());
  for (const auto &entry : p.entries) {
    CIUIC_TRY(prepareEntry(*entry));
  }
  size_t most = 0;
  for (const PreparedEntry &e : entries) {
    most = std::max(most, e.times.size());
  }
  times.reserve(most);
  return checkHeld();
}

/// The promise of a budget holds for what the device really gave away, not for what was planned.
Status Session::checkHeld() const {
  int64_t rest = context->restBytes(), arena = context->deviceBytes();
  if (rest < 0 || arena + rest <= budget) {
    return Status::ok();
  }
  return failure(StatusClass::Infeasible, "budget.reserve",
                 "context, kernels and libraries take %s of the device beside the arena's %s; the "
                 "program was planned with a reserve of %s in a budget of %s: compile it with "
                 "--reserve %lldK; nearest budget that fits: %s",
                 sizeText(rest).c_str(), sizeText(arena).c_str(),
                 sizeText(program().reserve_bytes).c_str(), sizeText(budget).c_str(),
                 static_cast<long long>((rest + 1023) / 1024), sizeText(arena + rest).c_str())
      .withNearestBudget(arena + rest);
}

Status Session::loadKernels(device::Device &device) {
  const ProgramT &p = program();
  std::map<uint32_t, uint32_t> libraries;
  for (const auto &kernel : p.kernels) {
    device::KernelInfo kernelInfo = {
        kernel->symbol,   kernel->scratch_bytes, kernel->block_threads, kernel->shared_bytes,
        kernel->max_grid, kernel->overlaps,      kernel->least_shared,  kernel->together};
    uint32_t id = 0;
    if (kernel->blobs.empty()) {
      CIUIC_TRY(context->findKernel(device::kNoLibrary, kernelInfo, &id));
      kernels.push_back(id);
      continue;
    }
    int best = -1;
    uint32_t chosen = 0;
    std::string offered;
    for (uint32_t blob : kernel->blobs) {
      int rank = device.variantRank(p.blobs[blob]->variant);
      offered += (offered.empty() ? "" : ", ") + p.blobs[blob]->variant;
      if (rank > best) {
        best = rank;
        chosen = blob;
      }
    }
    if (best < 0) {
      return failure(StatusClass::Unsupported, "device.variant",
                     "kernel '%s' is there for %s; %s runs none of them: compile the program for "
                     "%s",
                     kernel->name.c_str(), offered.c_str(), device.info().name.c_str(),
                     device.info().variant.c_str());
    }
    // PTX for chips before 9.0 does not wait by itself for the kernel before it, whatever it runs
    // on.
    const std::string &variant = p.blobs[chosen]->variant;
    kernelInfo.overlaps = kernelInfo.overlaps && (variant.compare(0, 8, "compute_") != 0 ||
                                                  std::atoi(variant.c_str() + 8) >= 90);
    auto [it, fresh] = libraries.try_emplace(chosen, 0);
    if (fresh) {
      const std::vector<char> &bytes = file->blob(chosen);
      CIUIC_TRY(context->loadLibrary({bytes.data(), bytes.size()}, &it->second));
    }
    CIUIC_TRY(context->findKernel(it->second, kernelInfo, &id));
    kernels.push_back(id);
  }
  return Status::ok();
}

Status Session::openDisk(const SessionOptions &options) {
  if (program().disk_bytes == 0) {
    return Status::ok();
  }
  auto opened = ProgramDisk::create(
      *file,
      {.direct = !options.bufferedDisk, .uring = !options.bufferedDisk, .gbps = options.diskGbps});
  CIUIC_TRY(opened.takeStatus());
  disk = std::move(opened.value());
  return context->attachDisk(disk.get(), program().disk_bytes);
}

namespace {

/// Bytes of the weight section that have a place in memory.
struct LoadTarget {
  int64_t offset, bytes; // of the file's section
  char *memory;          // null: in an arena that only the device addresses
  int64_t arena;
};

} // namespace

/// Every weight to its places, in the order of the file, several reads at once. Loading is not
/// paced as the link is.
Status Session::loadWeights() {
  std::vector<LoadTarget> targets;
  auto toArena = [&](int64_t offset, int64_t bytes, int64_t arena) {
    char *memory = context->arena() ? context->arena() + arena : nullptr;
    targets.push_back({offset, bytes, memory, arena});
  };
  for (const auto &w : program().weights) {
    if (w->mode == WeightMode::Resident) {
      toArena(w->file_offset, w->bytes, w->arena_offset);
      continue;
    }
    if (!w->on_disk) {
      targets.push_back({w->file_offset, w->bytes, context->hostTier() + w->host_offset, 0});
    }
    for (const format::ResidentRange &r : w->resident) {
      toArena(w->file_offset + r.begin(), r.bytes(), r.arena_offset());
    }
  }
  std::sort(targets.begin(), targets.end(), [](const LoadTarget &a, const LoadTarget &b) {
    return std::tie(a.offset, a.bytes) < std::tie(b.offset, b.bytes);
  });
  // 1. What has to be read: runs that all targets lie in, with no gap of a page or more.
  constexpr int64_t kLargestGap = 64 << 10;
  ReadAhead::List list;
  std::vector<int64_t> starts; // of the requests' wanted parts, in the section
  for (size_t i = 0; i < targets.size();) {
    int64_t begin = targets[i].offset, end = begin;
    for (; i < targets.size() && targets[i].offset <= end + kLargestGap; ++i) {
      end = std::max(end, targets[i].offset + targets[i].bytes);
    }
    size_t first = list.size();
    file->appendWeights(list, begin, end - begin);
    for (int64_t at = begin; first < list.size(); at += list[first++].take) {
      starts.push_back(at);
    }
  }
  if (list.empty()) {
    return Status::ok();
  }
  // 2. Each piece to the targets that it is part of. The page cache helps who loads again.
  int requests = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 2u, 8u));
  auto reader = file->readAhead({.requests = requests, .direct = false, .uring = false});
  CIUIC_TRY(reader.takeStatus());
  reader.value()->begin(list, false);
  size_t done = 0; // targets that end before what is read
  for (size_t i = 0; i < list.size(); ++i) {
    std::span<const char> data;
    CIUIC_TRY(reader.value()->next(&data));
    const int64_t begin = starts[i], end = begin + list[i].take;
    while (done < targets.size() && targets[done].offset + targets[done].bytes <= begin) {
      ++done;
    }
    for (size_t t = done; t < targets.size() && targets[t].offset < end; ++t) {
      const LoadTarget &target = targets[t];
      const int64_t from = std::max(begin, target.offset);
      const int64_t to = std::min(end, target.offset + target.bytes);
      if (from >= to) {
        continue;
      }
      const char *bytes = data.data() + (from - begin);
      if (target.memory) {
        std::memcpy(target.memory + (from - target.offset), bytes, static_cast<size_t>(to - from));
      } else {
        CIUIC_TRY(context->write(target.arena + (from - target.offset), bytes, to - from));
      }
    }
    reader.value()->release();
  }
  return Status::ok();
}

static_assert(device::kDiskOffsets == format::kDiskOffsets);

static device::Command copyCommand(const CopyT &c) {
  device::Command command;
  command.kind = device::CommandKind::Upload;
  command.stream = device::Stream::H2D;
  command.args = {{c.arena_offset, c.bytes}};
  command.hostOffset = c.host_offset;
  return command;
}

/// Starts of the steps by the plan's own times: each as early as its stream and its waits allow.
static std::vector<double> predictStarts(const EntryT &entry) {
  std::vector<double> starts;
  double streamEnd[device::kStreams] = {};
  for (const auto &step : entry.steps) {
    double &end = streamEnd[static_cast<int>(step->stream)];
    double start = std::max(end, step->predicted_start_us);
    for (uint32_t w : step->waits) {
      start = std::max(start, starts[w] + entry.steps[w]->predicted_us);
    }
    starts.push_back(start);
    end = start + step->predicted_us;
  }
  return starts;
}

/// Rule E12 makes wrapped copies restore the slots; without any, they hold if no step writes there.
static bool keepsSlots(const EntryT &entry) {
  std::vector<std::pair<int64_t, int64_t>> written;
  for (const auto &step : entry.steps) {
    if (step->wrap) {
      return true;
    }
    if (const LaunchT *l = step->body.AsLaunch()) {
      for (const Arg &arg : l->args) {
        if (arg.access() != Access::Read) {
          written.emplace_back(arg.offset(), arg.bytes());
        }
      }
    } else if (const CopyT *c = step->body.AsCopy()) {
      written.emplace_back(c->arena_offset, c->bytes);
    } else if (const CopyBackT *c = step->body.AsCopyBack()) {
      written.emplace_back(c->arena_offset, c->bytes);
    } else if (const HostGatherT *g = step->body.AsHostGather()) {
      written.emplace_back(g->arena_offset, g->bytes);
    } else if (const FillT *f = step->body.AsFill()) {
      written.emplace_back(f->arena_offset, f->bytes);
    }
  }
  for (const auto &c : entry.prologue) {
    for (auto [offset, bytes] : written) {
      if (offset < c->arena_offset + c->bytes && c->arena_offset < offset + bytes) {
        return false;
      }
    }
  }
  return true;
}

/// A step as the device takes it. `expr`, where there is one, gives its amount of work or bytes
/// from the shapes of a run; else it is `amount`.
struct StepCommand {
  device::Command command;
  const ExprT *expr = nullptr;
  int64_t amount = 0;
};

/// `upper` gives the upper bound of an expression of the entry's symbols.
template <class Upper>
static StepCommand commandOf(const StepT &step, const ProgramT &program,
                             const std::vector<uint32_t> &kernels, Upper upper) {
  StepCommand made;
  device::Command &c = made.command;
  if (const LaunchT *l = step.body.AsLaunch()) {
    c.kind = device::CommandKind::Launch;
    c.kernel = kernels[l->kernel];
    for (const Arg &arg : l->args) {
      c.args.push_back({arg.offset(), arg.bytes()});
    }
    c.params = l->params;
    made.expr = l->grid.get();
    c.maxAmount = upper(*made.expr);
    for (const auto &extent : l->shape) {
      c.maxShape.push_back(upper(*extent));
    }
  } else if (const CopyT *copy = step.body.AsCopy()) {
    c = copyCommand(*copy);
    made.amount = copy->bytes;
  } else if (const CopyBackT *back = step.body.AsCopyBack()) {
    c.kind = device::CommandKind::Upload;
    c.args = {{back->arena_offset, back->bytes}};
    c.hostOffset = back->host_offset;
    made.expr = back->extent.get();
    made.amount = back->bytes;
  } else if (const CopyOutT *down = step.body.AsCopyOut()) {
    c.kind = device::CommandKind::Download;
    c.args = {{down->arena_offset, down->bytes}};
    c.hostOffset = down->host_offset;
    c.rowBytes = down->row_bytes;
    c.hostPitch = down->host_pitch;
    made.expr = down->row_bytes > 0 ? down->rows.get() : down->extent.get();
    made.amount = down->bytes;
  } else if (const HostGatherT *g = step.body.AsHostGather()) {
    c.kind = device::CommandKind::Gather;
    c.kernel = kernels[g->kernel];
    c.params = g->params;
    c.args = {{g->ids_offset, g->ids_bytes}, {g->arena_offset, g->bytes}};
    c.hostOffset = g->ids_host_offset;
    c.stagingOffset = g->staging_host_offset;
    c.tableOffset = program.weights[g->weight]->host_offset;
    c.tableBytes = program.weights[g->weight]->bytes;
    c.rowBytes = g->row_bytes;
    made.expr = g->rows.get();
    c.maxAmount = upper(*made.expr);
  } else if (const FillT *f = step.body.AsFill()) {
    c.kind = device::CommandKind::Fill;
    c.args = {{f->arena_offset, f->bytes}};
    c.fill = f->value;
    made.amount = f->bytes;
  }
  c.stream = static_cast<device::Stream>(step.stream);
  c.waits = step.waits;
  return made;
}

/// The first prepared entry whose prologue loads what this one's does, or the entry itself; -1: it
/// has no prologue.
int Session::slotGroupOf(const EntryT &entry) const {
  if (entry.prologue.empty()) {
    return -1;
  }
  auto loads = [](const EntryT &x) {
    std::vector<std::tuple<int64_t, int64_t, int64_t>> list;
    for (const auto &c : x.prologue) {
      list.emplace_back(c->arena_offset, c->host_offset, c->bytes);
    }
    std::sort(list.begin(), list.end());
    return list;
  };
  size_t i = 0;
  while (i < entries.size() && loads(*entries[i].entry) != loads(entry)) {
    ++i;
  }
  return static_cast<int>(i);
}

Status Session::prepareEntry(const EntryT &entry) {
  PreparedEntry e;
  e.entry = &entry;
  std::vector<Interval> ranges;
  for (const auto &symbol : entry.symbols) {
    ranges.push_back({symbol->lower, symbol->upper});
  }
  auto upper = [&](const ExprT &expr) {
    return bounds(expr, ranges).value_or(Interval{0, INT64_MAX}).upper; // a count, by rule E3
  };
  std::vector<device::Command> commands;
  for (const auto &step : entry.steps) {
    StepCommand made = commandOf(*step, program(), kernels, upper);
    if (const LaunchT *l = step->body.AsLaunch()) {
      for (const auto &extent : l->shape) {
        e.shapeExprs.push_back(extent.get());
      }
    }
    e.amountExprs.push_back(made.expr);
    e.amounts.push_back(made.amount);
    commands.push_back(std::move(made.command));
  }
  CIUIC_TRY(context->prepare(std::move(commands), entry.dims_offset, &e.pass));
  commands.clear();
  for (const auto &copy : entry.prologue) {
    commands.push_back(copyCommand(*copy));
    e.prologueAmounts.push_back(copy->bytes);
  }
  CIUIC_TRY(context->prepare(std::move(commands), entry.dims_offset, &e.prologue));
  e.shapes.resize(e.shapeExprs.size());
  e.times.resize(traced ? entry.steps.size() : 0);
  e.prologueTimes.resize(traced ? entry.prologue.size() : 0);
  e.predictedStart = predictStarts(entry);
  e.keepsSlots = keepsSlots(entry);
  e.slotGroup = slotGroupOf(entry);
  e.symbols.reserve(entry.symbols.size());
  lastSymbols.reserve(std::max(lastSymbols.capacity(), entry.symbols.size()));
  for (const auto &port : entry.inputs) {
    e.inputs.push_back(&inputs[port->name]);
  }
  for (const auto &port : entry.outputs) {
    e.outputs.push_back(&outputs[port->name]);
  }
  entries.push_back(std::move(e));
  return Status::ok();
}

} // namespace ciuic
