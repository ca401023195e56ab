// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A list of commands on three streams. A run captures it, copies included, as one CUDA graph and
// replays that as long as nothing changes that a kernel cannot read from the dims block: the bytes
// of copies and fills and the extents of vendor calls. A few graphs are kept, the least recently
// used one goes first; the one at the bounds is made by prepare(), so that what cannot be captured,
// and what the graph takes of the device, shows before the first run. A run that wants times is not
// a graph: events stand around each command.
#pragma once

#include "runtime/device/cuda/CudaContext.h"

#include <list>
#include <optional>

namespace ciuic::device::cuda {

class CudaPass final : public Pass {
public:
  /// `context` must outlive the pass.
  CudaPass(Resources &context, int64_t dimsOffset) : parts(context), dimsOffset(dimsOffset) {}
  ~CudaPass() override;
  // Both need the context to be current.
  Status prepare(std::vector<Command> given);
  Status run(const RunValues &values, RunCounters *out);

private:
  static constexpr size_t kMostGraphs = 16;
  static constexpr int64_t kMostPitch = INT32_MAX; // of a two-dimensional copy, in bytes
  struct Amounts {
    std::span<const int64_t> amounts, shapes;
  };
  struct Prepared {
    std::vector<uint32_t> waits;   // for one command of another stream each; nothing redundant
    EventHandle done = nullptr;    // where another stream waits for it
    std::vector<uint64_t> values;  // of the kernel's arguments
    std::vector<void *> arguments; // addresses of these
    unsigned grid = 0;
    bool overlaps = false; // starts while the kernel before it ends
    bool isCall = false;   // of a vendor's library
    size_t firstExtent = 0;
  };
  struct Graph {
    std::vector<int64_t> key;
    GraphExecHandle executable = nullptr;
    std::deque<HostCopy> copies;
  };
  struct Timing {
    EventHandle begin = nullptr, end = nullptr;
  };

  bool comesFromDisk(const Command &c) const {
    return c.kind == CommandKind::Upload && c.hostOffset >= kDiskOffsets && c.args[0].bytes > 0;
  }
  Status prepareCommand(size_t index);
  void simplifyWaits();
  void markOverlaps();
  std::span<const int64_t> extentsOf(size_t index, std::span<const int64_t> shapes) const {
    return shapes.subspan(prepared[index].firstExtent, commands[index].maxShape.size());
  }
  Status checkCall(size_t index, std::span<const int64_t> shapes) const;
  Status issue(const Amounts &amounts, bool timed, std::deque<HostCopy> &copies);
  int64_t joinUploads(size_t index, const Amounts &amounts, std::vector<bool> &covered) const;
  Status execute(size_t index, int64_t amount, const Amounts &amounts, StreamHandle stream,
                 std::deque<HostCopy> &copies);
  Status downloadRows(const Command &command, int64_t rows, DeviceAddress from, StreamHandle stream,
                      std::deque<HostCopy> &copies);
  Status launchCall(size_t index, std::span<const int64_t> shapes, StreamHandle stream);
  Status capture(const Amounts &amounts, Graph &out);
  Status findGraph(const Amounts &amounts, Graph **out);
  Status runTimed(const RunValues &values, RunCounters *out);
  void destroyGraph(Graph &graph);

  Resources &parts;
  const int64_t dimsOffset;
  std::vector<Command> commands;
  std::vector<Prepared> prepared;
  std::array<bool, kStreams> uses = {};
  bool staged = false;              // copies memory that is not pinned
  std::optional<uint32_t> diskList; // what its uploads take from the disk
  EventHandle fork = nullptr;
  std::array<EventHandle, kStreams> joins = {};
  std::list<Graph> graphs; // the most recently used first
  std::vector<int64_t> key;
  std::vector<Timing> timings;
};

} // namespace ciuic::device::cuda
