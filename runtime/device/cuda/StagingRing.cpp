// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/device/cuda/StagingRing.h"

#include <algorithm>
#include <cstring>

namespace ciuic::device::cuda {

static void doCopy(void *argument) {
  const auto *copy = static_cast<const HostCopy *>(argument);
  if (copy->disk) {
    (void)copy->disk->take(copy->hostOffset, static_cast<int64_t>(copy->bytes), copy->to,
                           [](void *to, int64_t at, const char *data, int64_t bytes) {
                             std::memcpy(static_cast<char *>(to) + at, data,
                                         static_cast<size_t>(bytes));
                           });
    return;
  }
  for (size_t row = 0; row < copy->rows; ++row) {
    std::memcpy(static_cast<char *>(copy->to) + row * copy->pitch,
                static_cast<const char *>(copy->from) + row * copy->bytes, copy->bytes);
  }
}

StagingRing::~StagingRing() { release(); }

Status StagingRing::open(DeviceState &deviceState) {
  state = &deviceState;
  CIUIC_CUDA(*state, streamCreate, &stage, kStreamNonBlocking);
  CIUIC_CUDA(*state, eventCreate, &last, kEventDisableTiming);
  for (Slot &slot : slots) {
    void *data = nullptr;
    CIUIC_CUDA(*state, memAllocHost, &data, static_cast<size_t>(kSlotBytes));
    slot.data = static_cast<char *>(data);
    CIUIC_CUDA(*state, eventCreate, &slot.filled, kEventDisableTiming);
    CIUIC_CUDA(*state, eventCreate, &slot.drained, kEventDisableTiming);
  }
  return Status::ok();
}

void StagingRing::release() {
  if (!state || !state->alive().isOk()) {
    return;
  }
  for (Slot &slot : slots) {
    for (EventHandle event : {slot.filled, slot.drained}) {
      if (event) {
        (void)state->driver.eventDestroy(event);
      }
    }
    if (slot.data) {
      (void)state->driver.memFreeHost(slot.data);
    }
    slot = {};
  }
  if (last) {
    (void)state->driver.eventDestroy(last);
  }
  if (stage) {
    (void)state->driver.streamDestroy(stage);
  }
  last = nullptr;
  stage = nullptr;
}

Status StagingRing::begin(EventHandle event) {
  turn = 0;
  for (Slot &slot : slots) {
    slot.used = false;
  }
  return follow(event);
}

Status StagingRing::follow(EventHandle event) {
  CIUIC_CUDA(*state, streamWaitEvent, stage, event, 0);
  return Status::ok();
}

Status StagingRing::end(StreamHandle stream) {
  CIUIC_CUDA(*state, eventRecord, last, stage);
  CIUIC_CUDA(*state, streamWaitEvent, stream, last, 0);
  return Status::ok();
}

Status StagingRing::synchronize() {
  CIUIC_CUDA(*state, streamSynchronize, stage);
  return Status::ok();
}

/// Has `copy` fill the next slot, and sends it.
Status StagingRing::send(StreamHandle stream, DeviceAddress to, HostCopy copy,
                         std::deque<HostCopy> &copies) {
  Slot &slot = next();
  if (slot.used) {
    CIUIC_CUDA(*state, streamWaitEvent, stage, slot.drained, 0);
  }
  copy.to = slot.data;
  copies.push_back(copy);
  CIUIC_CUDA(*state, launchHostFunc, stage, doCopy, &copies.back());
  CIUIC_CUDA(*state, eventRecord, slot.filled, stage);
  CIUIC_CUDA(*state, streamWaitEvent, stream, slot.filled, 0);
  CIUIC_CUDA(*state, memcpyHtoDAsync, to, slot.data, copy.bytes, stream);
  CIUIC_CUDA(*state, eventRecord, slot.drained, stream);
  slot.used = true;
  return Status::ok();
}

Status StagingRing::upload(StreamHandle stream, DeviceAddress to, const char *from, int64_t bytes,
                           std::deque<HostCopy> &copies) {
  for (int64_t at = 0; at < bytes; at += kSlotBytes) {
    auto take = static_cast<size_t>(std::min(kSlotBytes, bytes - at));
    CIUIC_TRY(
        send(stream, to + static_cast<DeviceAddress>(at), {nullptr, from + at, take}, copies));
  }
  return Status::ok();
}

Status StagingRing::upload(StreamHandle stream, DeviceAddress to, DiskTier *disk,
                           int64_t hostOffset, int64_t bytes, std::deque<HostCopy> &copies) {
  for (int64_t at = 0; at < bytes; at += kSlotBytes) {
    HostCopy copy = {nullptr, nullptr, static_cast<size_t>(std::min(kSlotBytes, bytes - at))};
    copy.disk = disk;
    copy.hostOffset = hostOffset + at;
    CIUIC_TRY(send(stream, to + static_cast<DeviceAddress>(at), copy, copies));
  }
  return Status::ok();
}

/// Brings bytes into the next slot and has `copy` take them from there.
Status StagingRing::fetch(StreamHandle stream, DeviceAddress from, int64_t bytes, HostCopy copy,
                          std::deque<HostCopy> &copies) {
  Slot &slot = next();
  if (slot.used) {
    CIUIC_CUDA(*state, streamWaitEvent, stream, slot.drained, 0);
  }
  CIUIC_CUDA(*state, memcpyDtoHAsync, slot.data, from, static_cast<size_t>(bytes), stream);
  CIUIC_CUDA(*state, eventRecord, slot.filled, stream);
  CIUIC_CUDA(*state, streamWaitEvent, stage, slot.filled, 0);
  copy.from = slot.data;
  copies.push_back(copy);
  CIUIC_CUDA(*state, launchHostFunc, stage, doCopy, &copies.back());
  CIUIC_CUDA(*state, eventRecord, slot.drained, stage);
  slot.used = true;
  return Status::ok();
}

Status StagingRing::download(StreamHandle stream, char *to, DeviceAddress from, int64_t bytes,
                             std::deque<HostCopy> &copies) {
  return downloadRows(stream, to, bytes, from, bytes, 1, copies);
}

Status StagingRing::downloadRows(StreamHandle stream, char *to, int64_t pitch, DeviceAddress from,
                                 int64_t rowBytes, int64_t rows, std::deque<HostCopy> &copies) {
  int64_t most = kSlotBytes / rowBytes; // rows a slot; 0: a row takes several
  for (int64_t row = 0; row < rows; row += std::max<int64_t>(most, 1)) {
    DeviceAddress first = from + static_cast<DeviceAddress>(row * rowBytes);
    if (most > 0) {
      int64_t take = std::min(most, rows - row);
      CIUIC_TRY(fetch(stream, first, take * rowBytes,
                      {to + row * pitch, nullptr, static_cast<size_t>(rowBytes),
                       static_cast<size_t>(take), static_cast<size_t>(pitch)},
                      copies));
      continue;
    }
    for (int64_t at = 0; at < rowBytes; at += kSlotBytes) {
      int64_t take = std::min(kSlotBytes, rowBytes - at);
      CIUIC_TRY(fetch(stream, first + static_cast<DeviceAddress>(at), take,
                      {to + row * pitch + at, nullptr, static_cast<size_t>(take)}, copies));
    }
  }
  // Whoever waits for the copy waits for the bytes to be where they belong.
  CIUIC_CUDA(*state, eventRecord, last, stage);
  CIUIC_CUDA(*state, streamWaitEvent, stream, last, 0);
  return Status::ok();
}

} // namespace ciuic::device::cuda
