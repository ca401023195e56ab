// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Copies of host memory that could not be pinned: pieces go through a ring of small pinned buffers.
// A stream of its own runs the memcpys as host functions, events tie them to the copies by the
// device, and both sides work at once. What is enqueued may be captured into a graph.
#pragma once

#include "runtime/device/Device.h"
#include "runtime/device/cuda/DeviceState.h"

#include <array>
#include <deque>

namespace ciuic::device::cuda {

/// One memcpy that a host function does, or one of rows side by side to places that are `pitch`
/// apart, or bytes that it takes from the disk; lives as long as the work, or the graph, that names
/// it.
struct HostCopy {
  void *to;
  const void *from;
  size_t bytes;
  size_t rows = 1, pitch = 0;
  DiskTier *disk = nullptr;
  int64_t hostOffset = 0; // on the disk
};

class StagingRing {
public:
  ~StagingRing();
  /// Takes the buffers, in the current context.
  Status open(DeviceState &deviceState);
  bool isOpen() const { return stage != nullptr; }

  /// Starts a pass: all buffers are free, and the ring's stream follows `event`.
  Status begin(EventHandle event);
  /// Memcpys from here on come after `event`. Whoever uploads calls it for each event that the
  /// upload waits for: its source may be a spill.
  Status follow(EventHandle event);
  /// Makes `stream` wait for everything enqueued since begin().
  Status end(StreamHandle stream);
  Status upload(StreamHandle stream, DeviceAddress to, const char *from, int64_t bytes,
                std::deque<HostCopy> &copies);
  /// From the disk tier, whose failures are told by its status.
  Status upload(StreamHandle stream, DeviceAddress to, DiskTier *disk, int64_t hostOffset,
                int64_t bytes, std::deque<HostCopy> &copies);
  Status download(StreamHandle stream, char *to, DeviceAddress from, int64_t bytes,
                  std::deque<HostCopy> &copies);
  /// Rows of `rowBytes`, side by side in `from`, to places that are `pitch` apart.
  Status downloadRows(StreamHandle stream, char *to, int64_t pitch, DeviceAddress from,
                      int64_t rowBytes, int64_t rows, std::deque<HostCopy> &copies);
  /// Waits until the memcpys that were enqueued, and not captured, are done.
  Status synchronize();
  void release();

private:
  static constexpr int kSlots = 4;
  static constexpr int64_t kSlotBytes = 4 << 20;
  struct Slot {
    char *data = nullptr;
    EventHandle filled = nullptr, drained = nullptr;
    bool used = false;
  };
  Status send(StreamHandle stream, DeviceAddress to, HostCopy copy, std::deque<HostCopy> &copies);
  Status fetch(StreamHandle stream, DeviceAddress from, int64_t bytes, HostCopy copy,
               std::deque<HostCopy> &copies);
  Slot &next() { return slots[static_cast<size_t>(turn++ % kSlots)]; }
  DeviceState *state = nullptr;
  StreamHandle stage = nullptr;
  EventHandle last = nullptr;
  std::array<Slot, kSlots> slots;
  int turn = 0;
};

} // namespace ciuic::device::cuda
