// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One session's part of the host device: two mappings, the kernels, the compute pool and two copy
// engines.
#pragma once

#include "runtime/device/Device.h"
#include "runtime/device/host/KernelLibrary.h"
#include "runtime/device/host/Link.h"
#include "runtime/device/host/Mapping.h"
#include "runtime/device/host/ThreadPool.h"

#include <array>
#include <deque>

namespace ciuic::device {

class HostPass;

class HostContext final : public Context {
public:
  explicit HostContext(const ContextOptions &options) : link(options.linkGbps) {}
  ~HostContext() override;
  Status start(int threads) { return pool.start(threads); }

  Status reserve(int64_t arenaBytes, int64_t hostBytes) override;
  Status attachDisk(DiskTier *tier, int64_t bytes) override;
  int64_t deviceBytes() const override { return arenaMap.size(); }
  int64_t restBytes() const override { return -1; }
  bool timesCost() const override { return false; }
  int64_t unpinnedBytes() const override { return 0; }
  char *hostTier() override { return hostMap.data(); }
  char *arena() override { return arenaMap.data(); }
  Status loadLibrary(std::string_view bytes, uint32_t *out) override;
  Status findKernel(uint32_t library, const KernelInfo &kernel, uint32_t *out) override;
  uint32_t addKernel(HostKernel kernel, int64_t scratchBytes);
  Status prepare(std::vector<Command> commands, int64_t dimsOffset,
                 std::unique_ptr<Pass> *out) override;
  void beginRun() override { link.beginRun(); }
  Status write(int64_t arenaOffset, const void *data, int64_t bytes) override;
  Status read(int64_t arenaOffset, void *data, int64_t bytes) override;
  Status run(Pass &pass, const RunValues &values, RunCounters *out) override;

private:
  struct Kernel {
    HostKernel function;
    int64_t scratchBytes;
  };
  struct Engine {
    std::thread thread;
    std::atomic<uint32_t> passes{0}; // passes begun
  };

  Status growScratch();
  Status startEngine(Stream stream);
  void engineLoop(Stream stream);
  void walk(Stream stream);
  void awaitCount(int self, int other, uint32_t count);
  void complete(int self);
  void execute(size_t index, Stream stream);
  void uploadFromDisk(const Command &command, char *to, int64_t bytes);
  void gather(size_t index, int worker);
  bool cancelled() const {
    return diskFailed.load(std::memory_order_relaxed) ||
           (values->cancel && values->cancel->load(std::memory_order_relaxed));
  }
  char *scratchOf(int worker) const { return scratchMap.data() + worker * scratchStride; }

  Link link;
  Mapping arenaMap, hostMap, scratchMap;
  int64_t arenaBytes = 0, hostBytes = 0, diskBytes = 0, scratchStride = 0;
  DiskTier *disk = nullptr;
  std::deque<KernelLibrary> libraries;
  std::vector<Kernel> kernels;
  ThreadPool pool;
  std::array<Engine, kStreams> engines; // of the two copy streams
  std::atomic<bool> stopping{false};

  // Of the run in progress; written before `passes` is raised.
  HostPass *pass = nullptr;
  const RunValues *values = nullptr;
  std::array<std::atomic<uint32_t>, kStreams> done = {}; // commands completed in each stream
  // wanted[a][b]: stream a sleeps until b has completed so many commands; 0: it does not sleep.
  std::array<std::array<std::atomic<uint32_t>, kStreams>, kStreams> wanted = {};
  std::array<std::atomic<int64_t>, 2> moved = {}; // bytes to and from the arena
  int64_t fromDisk = 0;                           // of these
  std::atomic<bool> diskFailed{false};
  int64_t stallNs = 0;
};

} // namespace ciuic::device
