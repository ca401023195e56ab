// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One run: choose the entry, move inputs, fill the slots if need be, run the pass, move outputs,
// advance the states.
#include "runtime/exec/Session.h"

#include "runtime/base/Checked.h"
#include "runtime/format/Expr.h"
#include "runtime/format/Validate.h"
#include "runtime/format/program_generated.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <system_error>

namespace ciuic {

using namespace format;

static int64_t nowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Session::~Session() {
  cancel();
  {
    std::lock_guard lock(mutex);
    closing = true;
  }
  changed.notify_all();
  if (runner.joinable()) {
    runner.join();
  }
}

int64_t Session::deviceBytes() const {
  int64_t rest = context->restBytes();
  return context->deviceBytes() + (rest < 0 ? program().reserve_bytes : rest);
}

Status Session::checkIdle() {
  std::lock_guard lock(mutex);
  return busy ? failure(StatusClass::Busy, "busy", "a run is in progress; wait for it first")
              : Status::ok();
}

// ---- binding --------------------------------------------------------------------------------

template <class Map>
static std::string namesOf(const Map &map) {
  std::string text;
  for (const auto &[name, value] : map) {
    text += (text.empty() ? "" : ", ") + name;
  }
  return text.empty() ? "none" : text;
}

Status Session::bindInput(const std::string &name, DType dtype, std::span<const int64_t> dims,
                          const void *data) {
  CIUIC_TRY(checkIdle());
  auto it = inputs.find(name);
  if (it == inputs.end()) {
    return failure(StatusClass::Usage, "usage.input", "the program has no input '%s'; it has: %s",
                   name.c_str(), namesOf(inputs).c_str());
  }
  std::optional<int64_t> bytes = elementBytes(static_cast<uint8_t>(dtype));
  for (int64_t d : dims) {
    bytes = bytes && d >= 0 ? checkedMul(*bytes, d) : std::nullopt;
  }
  if (!bytes || dims.size() > 32 || (*bytes > 0 && !data)) {
    return failure(StatusClass::Usage, "usage.input",
                   "input '%s': a negative dim, more than 32 of them, or no data", name.c_str());
  }
  it->second.bound = true;
  it->second.dtype = dtype;
  it->second.dims.assign(dims.begin(), dims.end());
  it->second.data = data;
  return Status::ok();
}

Status Session::bindOutput(const std::string &name, void *data, int64_t capacity) {
  CIUIC_TRY(checkIdle());
  auto it = outputs.find(name);
  if (it == outputs.end()) {
    return failure(StatusClass::Usage, "usage.output", "the program has no output '%s'; it has: %s",
                   name.c_str(), namesOf(outputs).c_str());
  }
  if (capacity < 0) {
    return failure(StatusClass::Usage, "usage.output", "output '%s': a negative capacity",
                   name.c_str());
  }
  it->second = {data, capacity};
  return Status::ok();
}

// ---- choosing an entry ----------------------------------------------------------------------

Status Session::choose(std::string_view name, PreparedEntry **out) {
  Status first;
  std::string reasons;
  PreparedEntry *best = nullptr;
  bool found = false;
  for (PreparedEntry &e : entries) {
    if (!name.empty() && e.entry->name != name) {
      continue;
    }
    found = true;
    if (best && boundsProduct(*e.entry) >= boundsProduct(*best->entry)) {
      continue;
    }
    Status s = bindSymbols(program(), *e.entry,
                           std::span<const BoundInput *const>(e.inputs.data(), e.inputs.size()),
                           stateLengths, e.symbols);
    if (s.isOk()) {
      best = &e;
      continue;
    }
    reasons += (reasons.empty() ? "" : "; ") + s.message();
    // An entry whose bounds hold but whose dims contradict each other says more than one that is
    // too small.
    if (first.isOk() || (first.code() == "shape.bound" && s.code() != "shape.bound")) {
      first = std::move(s);
    }
  }
  if (best) {
    *out = best;
    return Status::ok();
  }
  if (!found) {
    std::string names;
    for (const PreparedEntry &e : entries) {
      names += (names.empty() ? "" : ", ") + e.entry->name;
    }
    return failure(StatusClass::Usage, "usage.entry", "no entry '%s'; the program has: %s",
                   std::string(name).c_str(), names.c_str());
  }
  return Status(first.cls(), first.code(),
                name.empty() && entries.size() > 1 ? "no entry fits: " + reasons : reasons);
}

Status Session::selectEntry(uint32_t *out) {
  CIUIC_TRY(checkIdle());
  PreparedEntry *e = nullptr;
  CIUIC_TRY(choose("", &e));
  *out = static_cast<uint32_t>(e - entries.data());
  return Status::ok();
}

// ---- running --------------------------------------------------------------------------------

Status Session::begin() {
  std::lock_guard lock(mutex);
  if (busy) {
    return failure(StatusClass::Busy, "busy", "a session runs one pass at a time; wait for it");
  }
  busy = true;
  cancelFlag.store(false);
  return Status::ok();
}

Status Session::run(std::string_view entry) {
  CIUIC_TRY(begin());
  Status status = executeCaught(entry);
  std::lock_guard lock(mutex);
  busy = false;
  return status;
}

Status Session::runAsync(std::string_view entry) {
  CIUIC_TRY(begin());
  if (!runner.joinable()) {
    try {
      runner = std::thread([this] {
        std::unique_lock lock(mutex);
        for (;;) {
          changed.wait(lock, [this] { return asyncPending || closing; });
          if (!asyncPending) {
            return;
          }
          asyncPending = false;
          std::string name = asyncEntry;
          lock.unlock();
          Status status = executeCaught(name);
          lock.lock();
          asyncStatus = std::move(status);
          asyncDone = true;
          changed.notify_all();
        }
      });
    } catch (const std::system_error &error) {
      std::lock_guard lock(mutex);
      busy = false;
      return failure(StatusClass::Environment, "device.threads", "cannot start a thread: %s",
                     error.what());
    }
  }
  {
    std::lock_guard lock(mutex);
    asyncEntry = entry;
    asyncDone = false;
    asyncPending = true;
  }
  changed.notify_all();
  return Status::ok();
}

Status Session::wait() {
  std::unique_lock lock(mutex);
  if (!asyncPending && !asyncDone && !(busy && runner.joinable())) {
    return failure(StatusClass::Usage, "usage.wait", "no asynchronous run to wait for");
  }
  changed.wait(lock, [this] { return asyncDone; });
  asyncDone = false;
  busy = false;
  return std::move(asyncStatus);
}

void Session::cancel() {
  std::lock_guard lock(mutex);
  if (busy) {
    cancelFlag.store(true);
  }
}

Status Session::cancelledStatus() const {
  return failure(StatusClass::Cancelled, "cancelled", "the run was cancelled");
}

/// A run that throws, for want of memory, must not leave the session busy or end its thread.
Status Session::executeCaught(std::string_view name) {
  try {
    return execute(name);
  } catch (const std::exception &e) {
    bool noMemory = dynamic_cast<const std::bad_alloc *>(&e);
    return failure(noMemory ? StatusClass::Environment : StatusClass::Internal,
                   noMemory ? "memory.host" : "internal", "the run ended early: %s", e.what());
  }
}

Status Session::execute(std::string_view name) {
  runStartNs = nowNs();
  PreparedEntry *e = nullptr;
  CIUIC_TRY(choose(name, &e));
  for (const auto &use : e->entry->states) {
    CIUIC_TRY(checkState(use->state));
  }
  CIUIC_TRY(evaluateShapes(*e));
  // From here on the pass touches the device: until it has ended well, what slots and states hold
  // is unknown.
  lastEntry = nullptr;
  times.clear();
  lastStats = {};
  lastStats.entry = static_cast<uint32_t>(e - entries.data());
  lastStats.peakDeviceBytes = deviceBytes();
  lastStats.unpinnedBytes = context->unpinnedBytes();
  for (const auto &use : e->entry->states) {
    stateBroken[use->state] = program().states[use->state]->grow_axis < 0;
  }
  Status status = executeEntry(*e);
  lastStats.peakDeviceBytes = std::max(lastStats.peakDeviceBytes, deviceBytes());
  CIUIC_TRY(std::move(status));
  for (const auto &use : e->entry->states) {
    stateBroken[use->state] = false;
    stateLengths[use->state] = *evaluate(*use->after, e->symbols); // bounded by bindSymbols
  }
  lastEntry = e;
  lastSymbols = e->symbols; // choosing the next entry overwrites those
  times.assign(e->times.begin(), e->times.end());
  lastStats.latencyMs = static_cast<double>(nowNs() - runStartNs) / 1e6;
  return Status::ok();
}

static Status portBytes(const PortT &port, std::span<const int64_t> symbols, int64_t *out) {
  std::optional<int64_t> bytes = elementBytes(static_cast<uint8_t>(port.dtype));
  for (const auto &dim : port.dims) {
    auto value = evaluate(*dim, symbols);
    bytes = bytes && value && *value >= 0 ? checkedMul(*bytes, *value) : std::nullopt;
  }
  if (!bytes || *bytes > port.bytes) {
    return failure(StatusClass::Internal, "shape.port", "'%s' outgrows its place",
                   port.name.c_str());
  }
  *out = *bytes;
  return Status::ok();
}

Status Session::moveInputs(PreparedEntry &e) {
  for (size_t i = 0; i < e.inputs.size(); ++i) {
    const PortT &port = *e.entry->inputs[i];
    int64_t bytes = 0;
    CIUIC_TRY(portBytes(port, e.symbols, &bytes));
    if (bytes == 0) {
      continue;
    }
    if (port.tier == Tier::Host) {
      std::memcpy(context->hostTier() + port.offset, e.inputs[i]->data, static_cast<size_t>(bytes));
    } else {
      CIUIC_TRY(context->write(port.offset, e.inputs[i]->data, bytes));
      lastStats.h2dBytes += bytes;
    }
  }
  return Status::ok();
}

Status Session::moveOutputs(PreparedEntry &e) {
  for (size_t i = 0; i < e.outputs.size(); ++i) {
    const PortT &port = *e.entry->outputs[i];
    const BoundOutput &out = *e.outputs[i];
    int64_t bytes = 0;
    CIUIC_TRY(portBytes(port, e.symbols, &bytes));
    if (!out.data || bytes == 0) {
      continue;
    }
    if (port.tier == Tier::Host) {
      std::memcpy(out.data, context->hostTier() + port.offset, static_cast<size_t>(bytes));
    } else {
      CIUIC_TRY(context->read(port.offset, out.data, bytes));
      lastStats.d2hBytes += bytes;
    }
  }
  return Status::ok();
}

void Session::count(const device::RunCounters &counters) {
  lastStats.h2dBytes += counters.h2dBytes;
  lastStats.d2hBytes += counters.d2hBytes;
  lastStats.diskBytes += counters.diskBytes;
  bool measured = counters.stallNs >= 0 && lastStats.stallMs >= 0;
  lastStats.stallMs =
      measured ? lastStats.stallMs + static_cast<double>(counters.stallNs) / 1e6 : -1;
}

/// What the steps are told of the shapes of this run. What can be refused is refused here, before
/// anything moves.
Status Session::evaluateShapes(PreparedEntry &e) {
  for (size_t i = 0; i < e.outputs.size(); ++i) {
    int64_t bytes = 0;
    CIUIC_TRY(portBytes(*e.entry->outputs[i], e.symbols, &bytes));
    if (e.outputs[i]->data && e.outputs[i]->capacity < bytes) {
      return failure(StatusClass::Usage, "usage.capacity",
                     "output '%s' has %lld bytes, the buffer bound to it %lld",
                     e.entry->outputs[i]->name.c_str(), static_cast<long long>(bytes),
                     static_cast<long long>(e.outputs[i]->capacity));
    }
  }
  for (size_t i = 0; i < e.amounts.size(); ++i) {
    if (const ExprT *expr = e.amountExprs[i]) {
      auto value = evaluate(*expr, e.symbols);
      if (!value || *value < 0) {
        return failure(StatusClass::Internal, "shape.amount", "step '%s' has no amount of work",
                       e.entry->steps[i]->name.c_str());
      }
      e.amounts[i] = *value;
    }
  }
  for (size_t i = 0; i < e.shapes.size(); ++i) {
    auto value = evaluate(*e.shapeExprs[i], e.symbols);
    if (!value || *value < 0) {
      return failure(StatusClass::Internal, "shape.extent", "a vendor call of '%s' has no extent",
                     e.entry->name.c_str());
    }
    e.shapes[i] = *value;
  }
  return Status::ok();
}

Status Session::executeEntry(PreparedEntry &e) {
  context->beginRun();
  device::RunCounters counters;
  bool slotsAreFull = e.keepsSlots && slotsHold == e.slotGroup;
  slotsHold = -1;
  if (!e.prologueAmounts.empty() && !slotsAreFull) {
    device::RunValues values;
    values.amounts = e.prologueAmounts;
    values.cancel = &cancelFlag;
    values.times = e.prologueTimes;
    CIUIC_TRY(context->run(*e.prologue, values, &counters));
    lastStats.prologue = true;
    count(counters);
  }
  CIUIC_TRY(moveInputs(e));
  CIUIC_TRY(context->run(*e.pass,
                         {.amounts = e.amounts,
                          .shapes = e.shapes,
                          .dims = e.symbols,
                          .cancel = &cancelFlag,
                          .times = e.times},
                         &counters));
  count(counters);
  if (cancelFlag.load()) {
    return cancelledStatus();
  }
  CIUIC_TRY(moveOutputs(e));
  slotsHold = e.keepsSlots ? e.slotGroup : -1;
  return Status::ok();
}

Status Session::outputDims(const std::string &name, std::vector<int64_t> &dims) const {
  if (!lastEntry) {
    return failure(StatusClass::Usage, "usage.no-run", "no run has ended well yet");
  }
  for (const auto &port : lastEntry->entry->outputs) {
    if (port->name == name) {
      dims.clear();
      for (const auto &dim : port->dims) {
        dims.push_back(evaluate(*dim, lastSymbols).value_or(0));
      }
      return Status::ok();
    }
  }
  return failure(StatusClass::Usage, "usage.output", "entry '%s' has no output '%s'",
                 lastEntry->entry->name.c_str(), name.c_str());
}

TraceEvent Session::traceEvent(size_t index) const {
  auto micros = [&](int64_t ns) { return static_cast<double>(ns - runStartNs) / 1e3; };
  return {lastEntry->entry->steps[index].get(), micros(times[index].beginNs),
          micros(times[index].endNs), lastEntry->predictedStart[index]};
}

} // namespace ciuic
