// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A program on a device: memory, weights, states and the passes of all entries. The plan decides
// what happens in a run; a session chooses the entry, moves inputs and outputs, and keeps the
// states' lengths and what the slots hold.
#pragma once

#include "runtime/base/Status.h"
#include "runtime/device/Device.h"
#include "runtime/exec/EntryMatch.h"
#include "runtime/exec/ProgramDisk.h"
#include "runtime/format/ProgramFile.h"

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace ciuic {

struct SessionOptions {
  int64_t budgetBytes = 0; // 0: the program's own
  int threads = 0;
  double linkGbps = 0;
  int64_t pinnedLimit = INT64_MAX;
  bool trace = false;        // wants a trace even where it slows the runs down
  double diskGbps = 0;       // 10^9 bytes/s from the disk at most; 0: no limit
  bool bufferedDisk = false; // reads through the page cache, by threads
};

struct RunStats {
  uint32_t entry = 0;
  double latencyMs = 0; // from the copy of the first input to that of the last output
  double stallMs = 0;   // -1: the device did not measure it
  int64_t h2dBytes = 0, d2hBytes = 0, diskBytes = 0;
  int64_t peakDeviceBytes = 0;
  int64_t unpinnedBytes = 0; // of the host tier
  bool prologue = false;
};

struct TraceEvent {
  const format::StepT *step;
  double beginUs, endUs; // since the start of the run
  double predictedBeginUs;
};

class Session {
public:
  static Status create(std::shared_ptr<format::ProgramFile> file, device::Device &device,
                       const SessionOptions &options, std::unique_ptr<Session> *out);
  ~Session();

  // Not while a run is in progress (code "busy").
  Status bindInput(const std::string &name, format::DType dtype, std::span<const int64_t> dims,
                   const void *data);
  Status bindOutput(const std::string &name, void *data, int64_t capacity);
  /// Runs the named entry, or, for an empty name, the admissible one with the smallest bounds.
  Status run(std::string_view entry);
  Status runAsync(std::string_view entry);
  Status wait();
  /// Thread-safe; without a run in progress it does nothing.
  void cancel();

  /// Fails with code "busy" during a run: what follows describes the last one.
  Status checkIdle();
  /// The entry that run("") would choose now.
  Status selectEntry(uint32_t *out);
  const RunStats &stats() const { return lastStats; }
  /// Shape of an output in the last run.
  Status outputDims(const std::string &name, std::vector<int64_t> &dims) const;
  size_t traceSize() const { return times.size(); }
  TraceEvent traceEvent(size_t index) const;

  /// How the disk tier is read; null: the program has none.
  const char *diskMode() const { return disk ? disk->mode().c_str() : nullptr; }
  int64_t budgetBytes() const { return budget; }
  /// Arena and rest: as the system sees them, or with the program's reserve for the rest.
  int64_t deviceBytes() const;
  const format::ProgramT &program() const { return file->program(); }

  Status stateLength(uint32_t state, int64_t *out);
  Status stateReset(uint32_t state);
  /// Contiguous values at the present length.
  Status stateRead(uint32_t state, void *data, int64_t bytes);
  Status stateWrite(uint32_t state, const void *data, int64_t bytes, int64_t length);
  /// Bytes of the contiguous values at a length.
  Status stateBytes(uint32_t state, int64_t length, int64_t *out) const;

private:
  struct BoundOutput {
    void *data = nullptr;
    int64_t capacity = 0;
  };
  struct PreparedEntry {
    const format::EntryT *entry;
    std::unique_ptr<device::Pass> pass, prologue;
    std::vector<const format::ExprT *> amountExprs; // null: the fixed amount
    std::vector<const format::ExprT *> shapeExprs;  // of all vendor calls
    std::vector<int64_t> amounts, shapes, prologueAmounts;
    std::vector<device::CommandTime> times, prologueTimes; // empty without a trace
    std::vector<BoundInput *> inputs;
    std::vector<BoundOutput *> outputs;
    std::vector<int64_t> symbols;
    std::vector<double> predictedStart; // microseconds, one a step
    int slotGroup = -1;                 // entries with the same prologue share it; -1: no prologue
    bool keepsSlots = false;            // after a pass the slots hold what the prologue loads
  };

  Session() = default;
  Status load(device::Device &device, const SessionOptions &options);
  Status loadKernels(device::Device &device);
  Status openDisk(const SessionOptions &options);
  Status loadWeights();
  Status prepareEntry(const format::EntryT &entry);
  int slotGroupOf(const format::EntryT &entry) const;
  Status checkHeld() const;
  Status begin();
  Status choose(std::string_view name, PreparedEntry **out);
  Status execute(std::string_view name);
  Status executeCaught(std::string_view name);
  Status evaluateShapes(PreparedEntry &e);
  Status executeEntry(PreparedEntry &e);
  Status moveInputs(PreparedEntry &e);
  Status moveOutputs(PreparedEntry &e);
  Status transferState(uint32_t state, char *data, int64_t length, bool read);
  Status checkState(uint32_t state);
  Status cancelledStatus() const;
  void count(const device::RunCounters &counters);

  std::shared_ptr<format::ProgramFile> file;
  std::unique_ptr<ProgramDisk> disk; // the context reads it
  std::unique_ptr<device::Context> context;
  int64_t budget = 0;
  bool traced = false;
  std::vector<uint32_t> kernels; // of the context, by index in the program
  std::vector<PreparedEntry> entries;
  std::map<std::string, BoundInput> inputs;
  std::map<std::string, BoundOutput> outputs;
  std::vector<int64_t> stateLengths;
  std::vector<bool> stateBroken; // replaced as a whole by a run that did not end well
  int slotsHold = -1;            // slot group that the last pass left behind
  RunStats lastStats;
  PreparedEntry *lastEntry = nullptr; // of the last run, if it ended well, and its symbols
  std::vector<int64_t> lastSymbols;
  std::vector<device::CommandTime> times;
  int64_t runStartNs = 0;

  std::mutex mutex;
  std::condition_variable changed;
  bool busy = false, asyncPending = false, asyncDone = false, closing = false;
  std::string asyncEntry;
  Status asyncStatus;
  std::atomic<bool> cancelFlag{false};
  std::thread runner;
};

} // namespace ciuic
