// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One session's part of a GPU: an arena by one allocation, a host tier that is pinned as far as the
// system allows, three streams, kernels, and the products of cuBLASLt. Writes and reads go through
// a pinned bounce buffer in the order of the compute stream, so that a run sees what was written
// before it without a wait in between.
#pragma once

#include "runtime/device/Device.h"
#include "runtime/device/cuda/CublasLt.h"
#include "runtime/device/cuda/Cudnn.h"
#include "runtime/device/cuda/DeviceState.h"
#include "runtime/device/cuda/StagingRing.h"
#include "runtime/device/host/Mapping.h"

#include <array>

namespace ciuic::device::cuda {

struct Kernel {
  FunctionHandle function = nullptr; // null: the vendor call
  KernelInfo info;                   // with the shared memory that it gets here
  unsigned mostBlocks = 0;           // of a launch, all of which run at once; 0: they need not
};

/// What a pass needs of its context.
struct Resources {
  std::shared_ptr<DeviceState> state;
  ContextHandle context = nullptr;
  std::array<StreamHandle, kStreams> streams = {};
  DeviceAddress arena = 0;
  int64_t arenaBytes = 0;
  char *host = nullptr;
  DeviceAddress hostOnDevice = 0; // of the pinned part
  int64_t hostBytes = 0, pinnedBytes = 0, diskBytes = 0;
  DiskTier *disk = nullptr;
  int64_t *dims = nullptr; // pinned, kMostDims of them
  std::vector<Kernel> kernels;
  std::unique_ptr<CublasLt> blas;
  std::unique_ptr<Cudnn> dnn;
  StagingRing ring;
  mutable bool heldChanged = true; // what the process holds should be asked anew
  static constexpr size_t kMostDims = 4096;

  StreamHandle compute() const { return streams[static_cast<int>(Stream::Compute)]; }
};

class CudaContext final : public Context {
public:
  CudaContext(std::shared_ptr<DeviceState> state, const ContextOptions &options);
  ~CudaContext() override;
  Status open();

  Status reserve(int64_t arenaBytes, int64_t hostBytes) override;
  Status attachDisk(DiskTier *disk, int64_t diskBytes) override;
  int64_t deviceBytes() const override { return parts.arenaBytes; }
  int64_t restBytes() const override;
  bool timesCost() const override { return true; }
  int64_t unpinnedBytes() const override { return parts.hostBytes - parts.pinnedBytes; }
  char *hostTier() override { return hostMap.data(); }
  char *arena() override { return nullptr; }
  Status loadLibrary(std::string_view bytes, uint32_t *out) override;
  Status findKernel(uint32_t library, const KernelInfo &kernel, uint32_t *out) override;
  Status prepare(std::vector<Command> commands, int64_t dimsOffset,
                 std::unique_ptr<Pass> *out) override;
  void beginRun() override {}
  Status write(int64_t arenaOffset, const void *data, int64_t bytes) override;
  Status read(int64_t arenaOffset, void *data, int64_t bytes) override;
  Status run(Pass &pass, const RunValues &values, RunCounters *out) override;

private:
  Status findResidency(Kernel &kernel);
  static constexpr int64_t kHalfBytes = 4 << 20;
  struct Half {
    char *data = nullptr;
    EventHandle sent = nullptr;
    int64_t used = 0;
    bool pending = false;
  };
  Status pinHostTier();
  Status switchHalf();

  Resources parts;
  const ContextOptions options;
  Mapping hostMap;
  bool reserved = false;
  std::vector<ModuleHandle> modules;
  std::array<Half, 2> halves;
  int half = 0;
  mutable int64_t rest = -1;
};

} // namespace ciuic::device::cuda
