// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/device/cuda/DeviceState.h"

#include <algorithm>

namespace ciuic::device::cuda {

DeviceState::~DeviceState() {
  if (primary && !lost.load()) {
    (void)driver.primaryCtxRelease(handle);
  }
}

static std::string uuidText(const char *prefix, const Uuid &uuid) {
  std::string text = prefix;
  for (int i = 0; i < 16; ++i) {
    text += formatText(i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", uuid.bytes[i]);
  }
  return text;
}

Status DeviceState::open(std::unique_ptr<MemoryMonitor> (*openMonitor)(const std::string &uuid)) {
  int count = 0;
  CIUIC_CUDA(*this, deviceGetCount, &count);
  if (ordinal >= count) {
    return failure(StatusClass::Environment, "device.none",
                   "no device 'cuda:%d': this machine has %d, counted from 0%s", ordinal, count,
                   count == 0 ? " (check nvidia-smi and CUDA_VISIBLE_DEVICES)" : "");
  }
  CIUIC_CUDA(*this, deviceGet, &handle, ordinal);
  char text[256] = {};
  CIUIC_CUDA(*this, deviceGetName, text, static_cast<int>(sizeof text) - 1, handle);
  name = text;
  CIUIC_CUDA(*this, deviceGetAttribute, &major, attribute::capabilityMajor, handle);
  CIUIC_CUDA(*this, deviceGetAttribute, &minor, attribute::capabilityMinor, handle);
  CIUIC_CUDA(*this, deviceGetAttribute, &maxShared, attribute::maxSharedPerBlock, handle);
  CIUIC_CUDA(*this, deviceGetAttribute, &multiprocessors, attribute::multiprocessors, handle);
  size_t total = 0;
  CIUIC_CUDA(*this, deviceTotalMem, &total, handle);
  totalBytes = static_cast<int64_t>(total);
  Uuid uuid = {};
  CIUIC_CUDA(*this, deviceGetUuid, &uuid, handle);
  for (const char *prefix : {"GPU-", "MIG-"}) {
    if (!monitor) {
      monitor = openMonitor(uuidText(prefix, uuid));
    }
  }
  if (auto now = memory()) {
    freeAtOpening = now->free;
  }
  return Status::ok();
}

Status DeviceState::retain(ContextHandle *out) {
  CIUIC_TRY(alive());
  std::lock_guard lock(mutex);
  if (!primary) {
    if (Result error = driver.primaryCtxRetain(&primary, handle)) {
      primary = nullptr;
      return failure(StatusClass::Environment, "device.context",
                     "no CUDA context on '%s': %s; other processes may hold the device or its "
                     "memory",
                     name.c_str(), errorText(driver, error).c_str());
    }
  }
  *out = primary;
  return Status::ok();
}

Status DeviceState::alive() const {
  if (!lost.load()) {
    return Status::ok();
  }
  std::lock_guard lock(mutex);
  return Status(lostClass, "device.lost", lostText);
}

Status DeviceState::fail(Result error, const char *call) {
  std::string text = errorText(driver, error);
  if (losesDevice(error)) {
    {
      std::lock_guard lock(mutex);
      if (!lost.load()) {
        lostClass = StatusClass::Environment;
        lostText = formatText("'%s' is lost to this process since %s failed (%s): end the process "
                              "and start it again",
                              name.c_str(), call, text.c_str());
        lost.store(true);
      }
    }
    return alive();
  }
  if (error == result::outOfMemory) {
    return failure(StatusClass::Environment, "device.memory",
                   "the device has no memory left (%s: %s): other processes hold it, or the budget "
                   "is larger than what is free",
                   call, text.c_str());
  }
  return failure(StatusClass::Environment, "device.cuda", "%s failed: %s", call, text.c_str());
}

std::optional<MemoryFigures> DeviceState::memory() {
  return monitor ? monitor->memory() : std::nullopt;
}

int64_t DeviceState::processBytes(bool larger) {
  auto listed = monitor ? monitor->processBytes() : std::nullopt;
  if (listed && !larger) {
    return *listed;
  }
  auto now = memory();
  int64_t fall = now && freeAtOpening >= 0 ? std::max<int64_t>(0, freeAtOpening - now->free) : -1;
  return listed ? std::max(*listed, fall) : fall;
}

} // namespace ciuic::device::cuda
