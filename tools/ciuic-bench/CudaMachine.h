// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A GPU to be measured: memory, kernels of Probe.cu, vendor calls, and times of work captured as a
// graph, as programs run.
#pragma once

#include "runtime/device/cuda/CublasLt.h"
#include "runtime/device/cuda/Cudnn.h"
#include "runtime/device/cuda/DeviceState.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ciuic::bench {

using device::cuda::DeviceAddress;

/// A kernel and how programs launch it.
struct ProbeLaunch {
  device::cuda::FunctionHandle function = nullptr;
  int64_t grid = 1, threads = 256, sharedBytes = 0;
  bool overlaps = false; // it may start while the kernel before it ends
};

struct Times {
  double median = 0, least = 0; // seconds
};

/// One device at a time; its context is the thread's own while this lives.
class CudaMachine {
public:
  CudaMachine() = default;
  CudaMachine(const CudaMachine &) = delete;
  CudaMachine &operator=(const CudaMachine &) = delete;
  ~CudaMachine();

  Status open(int ordinal);
  const std::string &name() const { return state->name; }
  std::string architecture() const;
  int multiprocessors() const { return state->multiprocessors; }

  /// Device memory that lives as long as this, filled with small finite numbers of any format.
  Status take(int64_t bytes, DeviceAddress *out);
  /// The same of the host, pinned.
  Status takePinned(int64_t bytes, char **out);

  /// A kernel of a family of Probe.cu.
  Status find(int family, const std::string &entry, int64_t sharedBytes,
              device::cuda::FunctionHandle *out);
  Status launch(const ProbeLaunch &launch, void **arguments);
  Status upload(DeviceAddress to, const char *from, int64_t bytes, bool second = false);
  Status download(char *to, DeviceAddress from, int64_t bytes, bool second = false);

  /// Work that is enqueued: on the stream of compute, and on a second one.
  using Work = std::function<Status()>;
  /// Seconds of replays of `work` as a graph; `beside`, if any, runs at the same time on
  /// the second stream, longer than the work does, and is not measured.
  Status time(const Work &work, double seconds, Times *out, const Work &beside = nullptr);

  /// What this process holds of the device beside what it took, as the system sees it; -1 unknown.
  int64_t rest();

  device::cuda::CublasLt *blas() { return lt.get(); }
  device::cuda::Cudnn *dnn() { return conv.get(); }
  Status openProducts();
  Status openConvolutions();
  device::cuda::StreamHandle stream() const { return streams[0]; }

private:
  Status capture(const Work &work, device::cuda::GraphExecHandle *out);

  std::shared_ptr<device::cuda::DeviceState> state;
  std::unique_ptr<device::cuda::Current> current;
  device::cuda::StreamHandle streams[2] = {};
  device::cuda::EventHandle events[2] = {};
  device::cuda::ModuleHandle modules[4] = {};
  std::vector<DeviceAddress> held;
  std::vector<char *> pinned;
  std::unique_ptr<device::cuda::CublasLt> lt;
  std::unique_ptr<device::cuda::Cudnn> conv;
  int64_t taken = 0;
};

} // namespace ciuic::bench
