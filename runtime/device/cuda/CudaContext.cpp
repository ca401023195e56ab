// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/device/cuda/CudaContext.h"

#include "runtime/device/CommandCheck.h"
#include "runtime/device/cuda/CudaPass.h"

#include <algorithm>
#include <cstring>

namespace ciuic::device::cuda {

CudaContext::CudaContext(std::shared_ptr<DeviceState> state, const ContextOptions &given)
    : options(given) {
  parts.state = std::move(state);
}

Status CudaContext::open() {
  if (options.linkGbps > 0) {
    return failure(StatusClass::Usage, "device.link",
                   "the link of a GPU has the rate it has: a link rate is for device 'host'");
  }
  CIUIC_TRY(parts.state->retain(&parts.context));
  Current current(*parts.state, parts.context);
  for (StreamHandle &stream : parts.streams) {
    CIUIC_CUDA(*parts.state, streamCreate, &stream, kStreamNonBlocking);
  }
  return Status::ok();
}

CudaContext::~CudaContext() {
  DeviceState &state = *parts.state;
  if (!parts.context) {
    return;
  }
  state.arenaBytes.fetch_sub(parts.arenaBytes);
  if (!state.alive().isOk()) {
    return;
  }
  Current current(state, parts.context);
  const Driver &driver = state.driver;
  for (StreamHandle stream : parts.streams) {
    Result error = stream ? driver.streamSynchronize(stream) : result::success;
    if (error != result::success && losesDevice(error)) {
      (void)state.fail(error, "streamSynchronize");
      return;
    }
  }
  parts.blas.reset();
  parts.dnn.reset();
  parts.ring.release();
  for (ModuleHandle module : modules) {
    (void)driver.moduleUnload(module);
  }
  for (Half &h : halves) {
    if (h.sent) {
      (void)driver.eventDestroy(h.sent);
    }
    if (h.data) {
      (void)driver.memFreeHost(h.data);
    }
  }
  if (parts.dims) {
    (void)driver.memFreeHost(parts.dims);
  }
  if (parts.pinnedBytes > 0) {
    (void)driver.memHostUnregister(hostMap.data());
  }
  if (parts.arena) {
    (void)driver.memFree(parts.arena);
  }
  for (StreamHandle stream : parts.streams) {
    if (stream) {
      (void)driver.streamDestroy(stream);
    }
  }
}

// ---- memory -----------------------------------------------------------------------------------

Status CudaContext::reserve(int64_t arenaBytes, int64_t hostBytes) {
  DeviceState &state = *parts.state;
  CIUIC_TRY(state.alive());
  if (reserved) {
    return failure(StatusClass::Internal, "device.reserved", "the tiers are reserved already");
  }
  if (arenaBytes < 0 || hostBytes < 0) {
    return failure(StatusClass::Internal, "device.reserved", "a tier of negative size");
  }
  reserved = true;
  Current current(state, parts.context);
  if (arenaBytes > 0) {
    Result error = state.driver.memAlloc(&parts.arena, static_cast<size_t>(arenaBytes));
    if (error == result::outOfMemory) {
      size_t free = 0, total = 0;
      (void)state.driver.memGetInfo(&free, &total);
      return failure(StatusClass::Environment, "device.memory",
                     "the arena of %lld bytes does not fit: '%s' has %zu of %zu bytes free; end "
                     "what else uses it, or compile with a smaller --vram",
                     static_cast<long long>(arenaBytes), state.name.c_str(), free, total);
    }
    if (error != result::success) {
      return state.fail(error, "memAlloc");
    }
    parts.arenaBytes = arenaBytes;
    state.arenaBytes.fetch_add(arenaBytes);
    CIUIC_CUDA(state, memsetD8Async, parts.arena, 0, static_cast<size_t>(arenaBytes),
               parts.compute());
  }
  void *memory = nullptr;
  CIUIC_CUDA(state, memAllocHost, &memory, Resources::kMostDims * sizeof(int64_t));
  parts.dims = static_cast<int64_t *>(memory);
  for (Half &h : halves) {
    CIUIC_CUDA(state, memAllocHost, &memory, static_cast<size_t>(kHalfBytes));
    h.data = static_cast<char *>(memory);
    CIUIC_CUDA(state, eventCreate, &h.sent, kEventDisableTiming);
  }
  CIUIC_TRY(hostMap.create(hostBytes, "ciuic-host"));
  parts.host = hostMap.data();
  parts.hostBytes = hostBytes;
  CIUIC_TRY(pinHostTier());
  CIUIC_CUDA(state, streamSynchronize, parts.compute());
  parts.heldChanged = true;
  return Status::ok();
}

/// Pins the whole host tier, or as long a beginning of it as the system lets; the rest goes through
/// the ring.
Status CudaContext::pinHostTier() {
  DeviceState &state = *parts.state;
  constexpr int64_t kLeast = 2 << 20;
  if (parts.hostBytes == 0) {
    return Status::ok();
  }
  int64_t bytes = std::min(hostMap.size(), options.pinnedLimit & ~(kLeast - 1));
  while (bytes > 0) {
    Result error = state.driver.memHostRegister(hostMap.data(), static_cast<size_t>(bytes),
                                                kRegisterPortable | kRegisterDeviceMap);
    if (error == result::success) {
      break;
    }
    if (losesDevice(error)) {
      return state.fail(error, "memHostRegister");
    }
    bytes = bytes / 2 & ~(kLeast - 1);
  }
  parts.pinnedBytes = std::min(bytes, parts.hostBytes);
  if (bytes > 0) {
    CIUIC_CUDA(state, memHostGetDevicePointer, &parts.hostOnDevice, hostMap.data(), 0);
  }
  return parts.pinnedBytes < parts.hostBytes ? parts.ring.open(state) : Status::ok();
}

/// What the disk holds goes through the ring: its buffers are pinned.
Status CudaContext::attachDisk(DiskTier *disk, int64_t diskBytes) {
  CIUIC_TRY(parts.state->alive());
  Current current(*parts.state, parts.context);
  parts.disk = disk;
  parts.diskBytes = diskBytes;
  return parts.ring.isOpen() ? Status::ok() : parts.ring.open(*parts.state);
}

int64_t CudaContext::restBytes() const {
  if (parts.heldChanged) {
    int64_t held = parts.state->processBytes(false);
    rest = held < 0 ? -1 : std::max<int64_t>(0, held - parts.state->arenaBytes.load());
    parts.heldChanged = false;
  }
  return rest;
}

Status CudaContext::switchHalf() {
  DeviceState &state = *parts.state;
  Half &full = halves[static_cast<size_t>(half)];
  CIUIC_CUDA(state, eventRecord, full.sent, parts.compute());
  full.pending = true;
  half = 1 - half;
  Half &next = halves[static_cast<size_t>(half)];
  if (next.pending) {
    CIUIC_CUDA(state, eventSynchronize, next.sent);
    next.pending = false;
  }
  next.used = 0;
  return Status::ok();
}

Status CudaContext::write(int64_t offset, const void *data, int64_t bytes) {
  DeviceState &state = *parts.state;
  CIUIC_TRY(state.alive());
  CIUIC_TRY(checkArenaRange(offset, bytes, parts.arenaBytes, "a write"));
  Current current(state, parts.context);
  const char *from = static_cast<const char *>(data);
  for (int64_t at = 0; at < bytes;) {
    if (halves[static_cast<size_t>(half)].used == kHalfBytes) {
      CIUIC_TRY(switchHalf());
    }
    Half &h = halves[static_cast<size_t>(half)];
    int64_t take = std::min(bytes - at, kHalfBytes - h.used);
    std::memcpy(h.data + h.used, from + at, static_cast<size_t>(take));
    CIUIC_CUDA(state, memcpyHtoDAsync, parts.arena + static_cast<DeviceAddress>(offset + at),
               h.data + h.used, static_cast<size_t>(take), parts.compute());
    h.used += take;
    at += take;
  }
  return Status::ok();
}

Status CudaContext::read(int64_t offset, void *data, int64_t bytes) {
  DeviceState &state = *parts.state;
  CIUIC_TRY(state.alive());
  CIUIC_TRY(checkArenaRange(offset, bytes, parts.arenaBytes, "a read"));
  Current current(state, parts.context);
  char *to = static_cast<char *>(data);
  // While one half is copied out, the other is filled: the stream is in order, so what writes left
  // in the halves has been sent before it is overwritten.
  int64_t pieces = (bytes + kHalfBytes - 1) / kHalfBytes;
  for (int64_t piece = 0; piece <= pieces && pieces > 0; ++piece) {
    if (piece < pieces) {
      Half &h = halves[static_cast<size_t>(piece & 1)];
      int64_t at = piece * kHalfBytes, take = std::min(kHalfBytes, bytes - at);
      CIUIC_CUDA(state, memcpyDtoHAsync, h.data,
                 parts.arena + static_cast<DeviceAddress>(offset + at), static_cast<size_t>(take),
                 parts.compute());
      CIUIC_CUDA(state, eventRecord, h.sent, parts.compute());
    }
    if (piece > 0) {
      Half &h = halves[static_cast<size_t>((piece - 1) & 1)];
      int64_t at = (piece - 1) * kHalfBytes, take = std::min(kHalfBytes, bytes - at);
      CIUIC_CUDA(state, eventSynchronize, h.sent);
      std::memcpy(to + at, h.data, static_cast<size_t>(take));
    }
  }
  if (pieces > 0) {
    for (Half &h : halves) {
      h.used = 0;
      h.pending = false;
    }
  }
  return Status::ok();
}

// ---- kernels ----------------------------------------------------------------------------------

Status CudaContext::loadLibrary(std::string_view bytes, uint32_t *out) {
  DeviceState &state = *parts.state;
  CIUIC_TRY(state.alive());
  Current current(state, parts.context);
  std::string image(bytes); // PTX must end in a NUL
  char log[4096] = {};
  int names[] = {kJitErrorLog, kJitErrorLogBytes};
  void *values[] = {log, reinterpret_cast<void *>(sizeof log - 1)};
  ModuleHandle module = nullptr;
  Result error = state.driver.moduleLoadDataEx(&module, image.c_str(), 2, names, values);
  switch (error) {
  case result::success:
    break;
  case result::unsupportedPtxVersion:
    return failure(StatusClass::Unsupported, "device.old-driver",
                   "the kernels are PTX that is newer than the driver: update the driver, or "
                   "compile the program for sm_%d%d, so that it has machine code",
                   state.major, state.minor);
  case result::noBinaryForGpu:
    return failure(StatusClass::Unsupported, "device.variant",
                   "the kernels are not for '%s': compile the program for sm_%d%d",
                   state.name.c_str(), state.major, state.minor);
  case result::invalidImage:
  case result::invalidPtx:
  case result::invalidSource:
    return failure(StatusClass::Environment, "device.library",
                   "the kernels cannot be loaded: %s%s%s", errorText(state.driver, error).c_str(),
                   log[0] ? ": " : "", log);
  default:
    return state.fail(error, "moduleLoadDataEx");
  }
  modules.push_back(module);
  *out = static_cast<uint32_t>(modules.size() - 1);
  parts.heldChanged = true;
  return Status::ok();
}

/// How many blocks of a kernel whose blocks wait for each other can run at once: a launch of more
/// would never end. A cluster is started whole by the device itself.
Status CudaContext::findResidency(Kernel &kernel) {
  DeviceState &state = *parts.state;
  const KernelInfo &info = kernel.info;
  int width = 0, blocks = 0;
  CIUIC_CUDA(state, funcGetAttribute, &width, kFunctionClusterWidth, kernel.function);
  if (width > 1) {
    return Status::ok();
  }
  CIUIC_CUDA(state, occupancy, &blocks, kernel.function, static_cast<int>(info.blockThreads),
             info.sharedBytes);
  const int64_t together = info.together, all = int64_t(blocks) * state.multiprocessors;
  kernel.mostBlocks =
      static_cast<unsigned>(std::min<int64_t>(info.maxGrid, all) / together * together);
  if (kernel.mostBlocks == 0) {
    return failure(StatusClass::Unsupported, "device.residency",
                   "kernel '%s' has %lld blocks that wait for each other, and '%s' runs %lld of "
                   "them at once: use a whole device, or compile the program for its profile",
                   info.symbol.c_str(), static_cast<long long>(together), state.name.c_str(),
                   static_cast<long long>(all));
  }
  return Status::ok();
}

Status CudaContext::findKernel(uint32_t library, const KernelInfo &info, uint32_t *out) {
  DeviceState &state = *parts.state;
  CIUIC_TRY(state.alive());
  Current current(state, parts.context);
  Kernel kernel;
  kernel.info = info;
  if (library == kNoLibrary) {
    if (!format::isVendorCall(info.symbol)) {
      return failure(StatusClass::Unsupported, "device.symbol",
                     "this runtime makes no vendor call '%s'", info.symbol.c_str());
    }
    if (info.symbol == format::kCublasLtMatmul && !parts.blas) {
      CIUIC_TRY(CublasLt::open(&parts.blas));
    }
    if (info.symbol == format::kCudnnConv && !parts.dnn) {
      CIUIC_TRY(Cudnn::open(&parts.dnn));
    }
  } else {
    if (library >= modules.size()) {
      return failure(StatusClass::Internal, "device.library", "no library %u", library);
    }
    Result error =
        state.driver.moduleGetFunction(&kernel.function, modules[library], info.symbol.c_str());
    if (error == result::notFound) {
      return failure(StatusClass::Environment, "device.symbol", "the kernels have no function '%s'",
                     info.symbol.c_str());
    }
    if (error != result::success) {
      return state.fail(error, "moduleGetFunction");
    }
    uint32_t &shared = kernel.info.sharedBytes;
    if (info.leastShared > 0) {
      int own = 0;
      CIUIC_CUDA(state, funcGetAttribute, &own, kFunctionShared, kernel.function);
      const auto most = static_cast<uint32_t>(std::max(state.maxShared - own, 0));
      shared = std::max(info.leastShared, std::min(shared, most));
    }
    if (info.blockThreads == 0 || info.maxGrid == 0 ||
        static_cast<int64_t>(shared) > state.maxShared) {
      return failure(StatusClass::Unsupported, "device.kernel",
                     "kernel '%s' wants blocks of %u threads and %u bytes, %u of them; a block of "
                     "'%s' has at most %d bytes: compile the program for its profile",
                     info.symbol.c_str(), info.blockThreads, shared, info.maxGrid,
                     state.name.c_str(), state.maxShared);
    }
    // The code's own arrays count too: together more than 48 KiB have to be asked for.
    if (shared > 0) {
      CIUIC_CUDA(state, funcSetAttribute, kernel.function, kFunctionMaxDynamicShared,
                 static_cast<int>(shared));
    }
    if (info.together > 0) {
      CIUIC_TRY(findResidency(kernel));
    }
    // Code is loaded now rather than by the first launch: its memory counts, and a capture is no
    // place for it.
    if (state.driver.funcLoad) {
      CIUIC_CUDA(state, funcLoad, kernel.function);
    }
  }
  parts.kernels.push_back(std::move(kernel));
  *out = static_cast<uint32_t>(parts.kernels.size() - 1);
  parts.heldChanged = true;
  return Status::ok();
}

// ---- passes -----------------------------------------------------------------------------------

Status CudaContext::prepare(std::vector<Command> commands, int64_t dimsOffset,
                            std::unique_ptr<Pass> *out) {
  CIUIC_TRY(parts.state->alive());
  Current current(*parts.state, parts.context);
  auto pass = std::make_unique<CudaPass>(parts, dimsOffset);
  CIUIC_TRY(pass->prepare(std::move(commands)));
  *out = std::move(pass);
  return Status::ok();
}

Status CudaContext::run(Pass &pass, const RunValues &values, RunCounters *out) {
  CIUIC_TRY(parts.state->alive());
  Current current(*parts.state, parts.context);
  return static_cast<CudaPass &>(pass).run(values, out);
}

} // namespace ciuic::device::cuda
