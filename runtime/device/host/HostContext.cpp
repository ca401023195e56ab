// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A pass is walked by three threads, one a stream: the caller computes, two engines copy. A command
// waits for counts of completed commands in the other streams. A cancelled run walks on without
// doing the work, so that nobody waits for ever.
#include "runtime/device/host/HostContext.h"

#include "runtime/device/CommandCheck.h"
#include "runtime/device/host/Wait.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <sys/prctl.h>
#include <system_error>

namespace ciuic::device {

class HostPass final : public Pass {
public:
  std::vector<Command> commands;
  int64_t dimsOffset = 0;
  std::array<std::vector<uint32_t>, kStreams> order; // commands of each stream
  std::vector<std::array<uint32_t, kStreams>> needs; // completed commands a command needs
  std::vector<char *> pointers;                      // of all commands, one after the other
  std::vector<uint32_t> firstPointer;
  std::optional<uint32_t> diskList; // what its uploads take from the disk
};

HostContext::~HostContext() {
  stopping.store(true);
  for (Engine &e : engines) {
    if (e.thread.joinable()) {
      e.passes.fetch_add(1);
      e.passes.notify_all();
      e.thread.join();
    }
  }
}

Status HostContext::reserve(int64_t arena, int64_t host) {
  if (arenaMap.data() || hostMap.data()) {
    return failure(StatusClass::Internal, "device.reserved", "the tiers are reserved already");
  }
  CIUIC_TRY(arenaMap.create(arena, "ciuic-arena"));
  CIUIC_TRY(hostMap.create(host, "ciuic-host"));
  arenaBytes = arena;
  hostBytes = host;
  return Status::ok();
}

Status HostContext::attachDisk(DiskTier *tier, int64_t bytes) {
  disk = tier;
  diskBytes = bytes;
  return Status::ok();
}

Status HostContext::loadLibrary(std::string_view bytes, uint32_t *out) {
  libraries.emplace_back();
  if (Status s = libraries.back().load(bytes); !s.isOk()) {
    libraries.pop_back();
    return s;
  }
  *out = static_cast<uint32_t>(libraries.size() - 1);
  return Status::ok();
}

Status HostContext::findKernel(uint32_t library, const KernelInfo &kernel, uint32_t *out) {
  if (library >= libraries.size()) {
    return failure(StatusClass::Internal, "device.library", "no library %u", library);
  }
  HostKernel function = nullptr;
  CIUIC_TRY(libraries[library].find(kernel.symbol, &function));
  *out = addKernel(function, kernel.scratchBytes);
  return Status::ok();
}

uint32_t HostContext::addKernel(HostKernel kernel, int64_t scratchBytes) {
  kernels.push_back({kernel, scratchBytes});
  return static_cast<uint32_t>(kernels.size() - 1);
}

Status HostContext::growScratch() {
  int64_t most = 0;
  for (const Kernel &k : kernels) {
    most = std::max(most, k.scratchBytes);
  }
  // Workers write to their own cache lines; two more scratches belong to the copy engines.
  int64_t stride = (most + 63) & ~int64_t(63);
  if (stride <= scratchStride) {
    return Status::ok();
  }
  scratchStride = stride;
  return scratchMap.create(stride * (pool.threads() + 2), "ciuic-scratch");
}

Status HostContext::prepare(std::vector<Command> commands, int64_t dimsOffset,
                            std::unique_ptr<Pass> *out) {
  auto made = std::make_unique<HostPass>();
  CIUIC_TRY(checkArenaRange(dimsOffset, 0, arenaBytes, "the dims block"));
  made->dimsOffset = dimsOffset;
  std::vector<uint32_t> ordinal;
  std::vector<ArenaRange> diskRanges;
  for (size_t i = 0; i < commands.size(); ++i) {
    const Command &c = commands[i];
    CIUIC_TRY(checkCommand(c, i, {arenaBytes, hostBytes, kernels.size(), true, diskBytes}));
    if (c.kind == CommandKind::Upload && c.hostOffset >= kDiskOffsets && c.args[0].bytes > 0) {
      diskRanges.push_back({c.hostOffset, c.args[0].bytes});
    }
    auto &order = made->order[static_cast<int>(c.stream)];
    ordinal.push_back(static_cast<uint32_t>(order.size()));
    order.push_back(static_cast<uint32_t>(i));
    std::array<uint32_t, kStreams> needs = {};
    for (uint32_t w : c.waits) {
      uint32_t &n = needs[static_cast<int>(commands[w].stream)];
      n = std::max(n, ordinal[w] + 1);
    }
    made->needs.push_back(needs);
    made->firstPointer.push_back(static_cast<uint32_t>(made->pointers.size()));
    for (const ArenaRange &r : c.args) {
      made->pointers.push_back(arenaMap.data() + r.offset);
    }
    if (c.stream != Stream::Compute) {
      CIUIC_TRY(startEngine(c.stream));
    }
  }
  made->commands = std::move(commands);
  if (!diskRanges.empty()) {
    made->diskList = disk->addList(diskRanges);
  }
  CIUIC_TRY(growScratch());
  *out = std::move(made);
  return Status::ok();
}

Status HostContext::write(int64_t offset, const void *data, int64_t bytes) {
  CIUIC_TRY(checkArenaRange(offset, bytes, arenaBytes, "a write"));
  link.copy(arenaMap.data() + offset, data, bytes, nullptr);
  return Status::ok();
}

Status HostContext::read(int64_t offset, void *data, int64_t bytes) {
  CIUIC_TRY(checkArenaRange(offset, bytes, arenaBytes, "a read"));
  link.copy(data, arenaMap.data() + offset, bytes, nullptr);
  return Status::ok();
}

Status HostContext::startEngine(Stream stream) {
  Engine &e = engines[static_cast<int>(stream)];
  if (e.thread.joinable()) {
    return Status::ok();
  }
  try {
    e.thread = std::thread([this, stream] { engineLoop(stream); });
  } catch (const std::system_error &error) {
    return failure(StatusClass::Environment, "device.threads", "cannot start a copy engine: %s",
                   error.what());
  }
  return Status::ok();
}

void HostContext::engineLoop(Stream stream) {
  ::prctl(PR_SET_TIMERSLACK, 1000ul); // ns; paced copies sleep often and briefly
  Engine &e = engines[static_cast<int>(stream)];
  for (uint32_t seen = 0;; ++seen) {
    waitFor(e.passes, [&](uint32_t n) { return n != seen; });
    if (stopping.load()) {
      return;
    }
    walk(stream);
  }
}

void HostContext::walk(Stream stream) {
  int self = static_cast<int>(stream);
  for (uint32_t index : pass->order[self]) {
    const auto &needs = pass->needs[index];
    for (int other = 0; other < kStreams; ++other) {
      if (other != self && done[other].load(std::memory_order_acquire) < needs[other]) {
        int64_t begin = nowNs();
        awaitCount(self, other, needs[other]);
        if (stream == Stream::Compute) {
          stallNs += nowNs() - begin;
        }
      }
    }
    if (!values->times.empty()) {
      values->times[index].beginNs = nowNs();
    }
    if (!cancelled()) {
      execute(index, stream);
    }
    if (!values->times.empty()) {
      values->times[index].endNs = nowNs();
    }
    complete(self);
  }
}

// Waking a thread costs a system call, and most commands are awaited by nobody: a sleeper says what
// it waits for. Either it sees the count or the other side sees its wish; both are sequentially
// consistent.
void HostContext::awaitCount(int self, int other, uint32_t count) {
  wanted[self][other].store(count);
  waitFor(done[other], [&](uint32_t n) { return n >= count; });
  wanted[self][other].store(0);
}

void HostContext::complete(int self) {
  uint32_t count = done[self].fetch_add(1) + 1;
  for (int waiter = 0; waiter < kStreams; ++waiter) {
    uint32_t wish = wanted[waiter][self].load();
    if (wish != 0 && count >= wish) {
      done[self].notify_all();
      return;
    }
  }
}

void HostContext::execute(size_t index, Stream stream) {
  const Command &c = pass->commands[index];
  char *const *pointers = pass->pointers.data() + pass->firstPointer[index];
  int64_t amount = values->amounts[index];
  const auto *dims = reinterpret_cast<const int64_t *>(arenaMap.data() + pass->dimsOffset);
  switch (c.kind) {
  case CommandKind::Launch:
    pool.run({kernels[c.kernel].function, pointers, dims, c.params.data(), amount, scratchOf(0),
              scratchStride});
    break;
  case CommandKind::Upload:
    if (c.hostOffset >= kDiskOffsets && amount > 0) {
      uploadFromDisk(c, pointers[0], amount);
      break;
    }
    link.copy(pointers[0], hostMap.data() + c.hostOffset, amount, values->cancel);
    moved[0].fetch_add(amount, std::memory_order_relaxed);
    break;
  case CommandKind::Download:
    if (c.rowBytes > 0) {
      link.copyRows(hostMap.data() + c.hostOffset, c.hostPitch, pointers[0], c.rowBytes, amount,
                    values->cancel);
      amount *= c.rowBytes;
    } else {
      link.copy(hostMap.data() + c.hostOffset, pointers[0], amount, values->cancel);
    }
    moved[1].fetch_add(amount, std::memory_order_relaxed);
    break;
  case CommandKind::Gather:
    gather(index, stream == Stream::Compute ? 0 : pool.threads() + static_cast<int>(stream) - 1);
    break;
  case CommandKind::Fill:
    std::memset(pointers[0], c.fill, static_cast<size_t>(amount));
    break;
  }
}

/// Only the engine of uploads gets here.
void HostContext::uploadFromDisk(const Command &c, char *to, int64_t bytes) {
  struct Target {
    HostContext *context;
    char *to;
  } target = {this, to};
  Status taken = disk->take(
      c.hostOffset, bytes, &target, [](void *user, int64_t at, const char *data, int64_t count) {
        auto *t = static_cast<Target *>(user);
        t->context->link.copy(t->to + at, data, count, t->context->values->cancel);
      });
  if (!taken.isOk()) {
    diskFailed.store(true);
    return;
  }
  fromDisk += bytes;
  moved[0].fetch_add(bytes, std::memory_order_relaxed);
}

void HostContext::gather(size_t index, int worker) {
  const Command &c = pass->commands[index];
  char *const *arena = pass->pointers.data() + pass->firstPointer[index];
  int64_t rows = values->amounts[index];
  char *ids = hostMap.data() + c.hostOffset, *staging = hostMap.data() + c.stagingOffset;
  char *pointers[3] = {hostMap.data() + c.tableOffset, ids, staging};
  link.copy(ids, arena[0], c.args[0].bytes, values->cancel);
  moved[1].fetch_add(c.args[0].bytes, std::memory_order_relaxed);
  const auto *dims = reinterpret_cast<const int64_t *>(arenaMap.data() + pass->dimsOffset);
  if (rows > 0) {
    kernels[c.kernel].function(pointers, dims, c.params.data(), 0, rows, scratchOf(worker));
  }
  link.copy(arena[1], staging, rows * c.rowBytes, values->cancel);
  moved[0].fetch_add(rows * c.rowBytes, std::memory_order_relaxed);
}

Status HostContext::run(Pass &base, const RunValues &runValues, RunCounters *out) {
  auto &hostPass = static_cast<HostPass &>(base);
  CIUIC_TRY(checkAmounts(hostPass.commands, runValues));
  CIUIC_TRY(checkArenaRange(hostPass.dimsOffset, static_cast<int64_t>(runValues.dims.size()) * 8,
                            arenaBytes, "the dims block"));
  if (!runValues.dims.empty()) {
    std::memcpy(arenaMap.data() + hostPass.dimsOffset, runValues.dims.data(),
                runValues.dims.size_bytes());
  }
  pass = &hostPass;
  values = &runValues;
  stallNs = 0;
  for (auto &counter : done) {
    counter.store(0);
  }
  moved[0].store(0);
  moved[1].store(0);
  fromDisk = 0;
  diskFailed.store(false);
  if (hostPass.diskList) {
    disk->begin(*hostPass.diskList);
  }
  for (Stream stream : {Stream::H2D, Stream::D2H}) {
    if (!hostPass.order[static_cast<int>(stream)].empty()) {
      engines[static_cast<int>(stream)].passes.fetch_add(1);
      engines[static_cast<int>(stream)].passes.notify_all();
    }
  }
  walk(Stream::Compute);
  int64_t begin = nowNs();
  for (Stream stream : {Stream::H2D, Stream::D2H}) {
    int i = static_cast<int>(stream);
    awaitCount(static_cast<int>(Stream::Compute), i,
               static_cast<uint32_t>(hostPass.order[i].size()));
  }
  out->stallNs = stallNs + (nowNs() - begin);
  out->h2dBytes = moved[0].load();
  out->d2hBytes = moved[1].load();
  out->diskBytes = fromDisk;
  return diskFailed.load() ? disk->status() : Status::ok();
}

} // namespace ciuic::device
