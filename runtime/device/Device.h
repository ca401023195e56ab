// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the runtime asks of a device. A Device makes Contexts; a Context has one arena, one host
// tier, kernels, and passes: lists of commands prepared once and run many times. A pass is the unit
// because a GPU captures it as one graph and the host walks it with three threads; nothing above
// knows which. All offsets are in the arena or in the host tier. Everything a run needs is acquired
// by reserve, loadLibrary, findKernel and prepare: run() allocates nothing.
// The conformance suite in test/conformance holds for every implementation.
#pragma once

#include "runtime/base/Status.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ciuic::device {

enum class Stream : uint8_t { Compute = 0, H2D = 1, D2H = 2 };
inline constexpr int kStreams = 3;

struct DeviceInfo {
  std::string kind; // "host", "cuda"
  std::string name;
  std::string variant; // kernels of which variant suit it best: "x86-64-v3", "sm_90"
  int64_t totalBytes = 0;
  int64_t freeBytes = 0;
  int64_t processBytes = -1; // what this process holds of it, as the system sees it; -1: unknown
};

struct ContextOptions {
  int threads = 0;     // of the host device's compute stream; 0: all CPUs
  double linkGbps = 0; // 10^9 bytes/s that cross the tiers, both directions together; 0: no limit.
                       // Of the host device: other links have the rate they have.
  int64_t pinnedLimit = INT64_MAX; // cuda: the most bytes of the host tier to pin; the rest is
                                   // copied through a ring of pinned buffers
};

/// What a program says of a kernel.
struct KernelInfo {
  std::string symbol;
  int64_t scratchBytes = 0;                                // host: of a worker
  uint32_t blockThreads = 0, sharedBytes = 0, maxGrid = 0; // cuda
  bool overlaps = false; // cuda: it may start while the kernel before it ends, and waits by itself
  uint32_t leastShared = 0; // cuda: as much of sharedBytes as it makes do with; 0: all of it
  uint32_t together = 0; // cuda: without clusters, all blocks of a launch, a multiple of this, have
                         // to run at once; 0: they need not
};
/// Stands for a library where `symbol` names a call of a vendor's library.
inline constexpr uint32_t kNoLibrary = UINT32_MAX;

struct ArenaRange {
  int64_t offset, bytes;
};

enum class CommandKind : uint8_t { Launch, Upload, Download, Gather, Fill };

/// One step of a pass. What a run decides (units, rows, bytes) comes with RunValues::amounts.
struct Command {
  CommandKind kind = CommandKind::Launch;
  Stream stream = Stream::Compute;
  std::vector<uint32_t> waits; // earlier commands of the pass
  // Launch: args and amount units. Gather: args[0] = ids, args[1] = destination; amount rows, and
  // the kernel gets table, ids and staging.
  uint32_t kernel = 0;
  std::vector<ArenaRange> args;
  std::vector<int64_t> params;
  int64_t maxAmount = INT64_MAX; // Launch and Gather: the most units or rows of any run
  std::vector<int64_t> maxShape; // vendor calls: the extents at the bounds
  // Upload and Download: amount bytes between host and args[0]. Fill: amount bytes of args[0].
  // Download with rowBytes: amount rows, side by side in args[0], hostPitch apart in the host tier.
  int64_t hostOffset = 0, hostPitch = 0;
  uint8_t fill = 0;
  // Gather: ids come down to hostOffset, rows of rowBytes are made at stagingOffset. A GPU needs
  // neither place: its kernel gets table, ids and destination.
  int64_t tableOffset = 0, tableBytes = 0, stagingOffset = 0, rowBytes = 0;
};

/// Host offsets from here on are on the disk (format::kDiskOffsets).
inline constexpr int64_t kDiskOffsets = int64_t{1} << 46;

/// Bytes of a file that are read as they are copied. One thread at a time calls it.
class DiskTier {
public:
  virtual ~DiskTier() = default;
  /// The uploads that a pass will take from it, in order; the list's number.
  virtual uint32_t addList(std::span<const ArenaRange> hostRanges) = 0;
  /// A pass starts that takes this list.
  virtual void begin(uint32_t list) = 0;
  /// The next bytes of the list: `sink` gets all of them, piece by piece. The first failure is that
  /// of every later call until the next begin.
  virtual Status take(int64_t hostOffset, int64_t bytes, void *user,
                      void (*sink)(void *user, int64_t at, const char *data, int64_t bytes)) = 0;
  /// The first failure since the last begin.
  virtual Status status() const = 0;
};

struct CommandTime {
  int64_t beginNs = 0, endNs = 0; // CLOCK_MONOTONIC
};

struct RunValues {
  std::span<const int64_t> amounts; // one a command
  std::span<const int64_t> shapes;  // the extents of all vendor calls, as many as their maxShape
  std::span<const int64_t> dims;    // written to the pass's dims block before the first command
  const std::atomic<bool> *cancel = nullptr;
  std::span<CommandTime> times; // one a command, or empty: not wanted
};

struct RunCounters {
  int64_t h2dBytes = 0, d2hBytes = 0;
  int64_t diskBytes = 0; // of h2dBytes
  int64_t stallNs = 0;   // the compute stream waited for copies; -1: not measured
};

class Pass {
public:
  virtual ~Pass() = default;
};

/// Thread-compatible: one call at a time, but cancel may be set by anyone.
class Context {
public:
  virtual ~Context() = default;

  /// Acquires both tiers, zeroed; once. The arena has exactly this size.
  virtual Status reserve(int64_t arenaBytes, int64_t hostBytes) = 0;
  /// Uploads from host offsets in [kDiskOffsets, kDiskOffsets + diskBytes) take from `disk`, which
  /// must outlive the context; before passes are prepared.
  virtual Status attachDisk(DiskTier *disk, int64_t diskBytes) = 0;
  /// Bytes of the arena, as the system sees them.
  virtual int64_t deviceBytes() const = 0;
  /// What else the process holds of the device now (context, modules, libraries), as the system
  /// sees it; -1 where a program's reserve stands for it unmeasured.
  virtual int64_t restBytes() const = 0;
  /// True when times cost a run something, so that only who wants them should ask.
  virtual bool timesCost() const = 0;
  /// Bytes of the host tier that the system did not pin: they cross the link at a fraction of its
  /// rate.
  virtual int64_t unpinnedBytes() const = 0;
  virtual char *hostTier() = 0;
  /// The arena, where the host can address it; null elsewhere.
  virtual char *arena() = 0;

  virtual Status loadLibrary(std::string_view bytes, uint32_t *out) = 0;
  virtual Status findKernel(uint32_t library, const KernelInfo &kernel, uint32_t *out) = 0;

  /// Checks every range (code "device.outside-arena") and every wait, and makes the pass runnable.
  virtual Status prepare(std::vector<Command> commands, int64_t dimsOffset,
                         std::unique_ptr<Pass> *out) = 0;
  /// Starts the accounting of one run: copies from here on are paced from now.
  virtual void beginRun() = 0;
  /// Moves caller's memory across the link, now; for inputs, outputs and states.
  virtual Status write(int64_t arenaOffset, const void *data, int64_t bytes) = 0;
  virtual Status read(int64_t arenaOffset, void *data, int64_t bytes) = 0;
  /// Runs the pass and returns when all its streams are empty. On cancel the rest is skipped.
  virtual Status run(Pass &pass, const RunValues &values, RunCounters *out) = 0;
};

/// Thread-safe.
class Device {
public:
  virtual ~Device() = default;
  virtual DeviceInfo info() const = 0;
  /// How good kernels of a variant are on this machine; negative: they do not run.
  virtual int variantRank(std::string_view variant) const = 0;
  virtual Status createContext(const ContextOptions &options, std::unique_ptr<Context> *out) = 0;
};

/// "host", "cuda", "cuda:N". Other names are an error that lists what this build has.
Status createDevice(const std::string &name, std::unique_ptr<Device> *out);

} // namespace ciuic::device
