// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See CudaMachine.h.
#include "tools/ciuic-bench/CudaMachine.h"

#include "tools/ciuic-bench/HostMachine.h"
#include "tools/ciuic-bench/ProbeModules.h"

#include <algorithm>
#include <cstring>

namespace ciuic::bench {

using namespace device::cuda;

CudaMachine::~CudaMachine() {
  lt.reset();
  conv.reset();
  if (!current || !state->alive().isOk()) {
    return;
  }
  for (DeviceAddress address : held) {
    (void)state->driver.memFree(address);
  }
  for (char *memory : pinned) {
    (void)state->driver.memFreeHost(memory);
  }
  for (ModuleHandle module : modules) {
    if (module) {
      (void)state->driver.moduleUnload(module);
    }
  }
  for (EventHandle event : events) {
    if (event) {
      (void)state->driver.eventDestroy(event);
    }
  }
  for (StreamHandle stream : streams) {
    if (stream) {
      (void)state->driver.streamDestroy(stream);
    }
  }
}

Status CudaMachine::open(int ordinal) {
  Driver driver;
  CIUIC_TRY(openDriver(&driver));
  state = std::make_shared<DeviceState>(std::move(driver), ordinal);
  CIUIC_TRY(state->open(openNvml));
  ContextHandle context = nullptr;
  CIUIC_TRY(state->retain(&context));
  current = std::make_unique<Current>(*state, context);
  for (StreamHandle &stream : streams) {
    CIUIC_CUDA(*state, streamCreate, &stream, kStreamNonBlocking);
  }
  for (EventHandle &event : events) {
    CIUIC_CUDA(*state, eventCreate, &event, kEventDefault);
  }
  return Status::ok();
}

std::string CudaMachine::architecture() const {
  return formatText("sm_%d%d", state->major, state->minor);
}

Status CudaMachine::openProducts() { return CublasLt::open(&lt); }
Status CudaMachine::openConvolutions() { return Cudnn::open(&conv); }

Status CudaMachine::take(int64_t bytes, DeviceAddress *out) {
  CIUIC_CUDA(*state, memAlloc, out, static_cast<size_t>(bytes));
  held.push_back(*out);
  taken += bytes;
  // Random signs and mantissas: what is multiplied decides how much power products take, and so how
  // fast they run.
  constexpr size_t most = size_t{16} << 20;
  std::vector<uint16_t> noise(std::min(most, static_cast<size_t>(bytes)) / 2);
  uint64_t random = 88172645463325252u;
  for (uint16_t &value : noise) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    value = static_cast<uint16_t>((random >> 20 & 0x87ff) | 0x2800);
  }
  for (int64_t at = 0; at < bytes;) {
    const int64_t part = std::min<int64_t>(bytes - at, static_cast<int64_t>(noise.size() * 2));
    CIUIC_CUDA(*state, memcpyHtoDAsync, *out + static_cast<DeviceAddress>(at), noise.data(),
               static_cast<size_t>(part), streams[0]);
    CIUIC_CUDA(*state, streamSynchronize, streams[0]);
    at += std::max<int64_t>(part, 1);
  }
  return Status::ok();
}

Status CudaMachine::takePinned(int64_t bytes, char **out) {
  void *memory = nullptr;
  CIUIC_CUDA(*state, memAllocHost, &memory, static_cast<size_t>(bytes));
  *out = static_cast<char *>(memory);
  pinned.push_back(*out);
  std::memset(*out, 0x3A, static_cast<size_t>(bytes));
  return Status::ok();
}

Status CudaMachine::find(int family, const std::string &entry, int64_t sharedBytes,
                         FunctionHandle *out) {
  ModuleHandle &module = modules[family];
  if (!module) {
    const std::string text(probeModule(state->major == 9 && state->minor == 0 ? "90a" : "80",
                                       family)); // ends with a zero
    CIUIC_CUDA(*state, moduleLoadDataEx, &module, text.c_str(), 0, nullptr, nullptr);
  }
  CIUIC_CUDA(*state, moduleGetFunction, out, module, entry.c_str());
  if (sharedBytes > 0) {
    CIUIC_CUDA(*state, funcSetAttribute, *out, kFunctionMaxDynamicShared,
               static_cast<int>(sharedBytes));
  }
  return Status::ok();
}

Status CudaMachine::launch(const ProbeLaunch &launch, void **arguments) {
  LaunchAttribute attribute = {};
  attribute.id = kLaunchProgrammaticSerialization;
  attribute.value = 1;
  const bool early = launch.overlaps && state->major >= 9;
  LaunchConfig config = {static_cast<unsigned>(launch.grid),
                         1,
                         1,
                         static_cast<unsigned>(launch.threads),
                         1,
                         1,
                         static_cast<unsigned>(launch.sharedBytes),
                         streams[0],
                         &attribute,
                         early ? 1u : 0u};
  CIUIC_CUDA(*state, launchKernelEx, &config, launch.function, arguments, nullptr);
  return Status::ok();
}

Status CudaMachine::upload(DeviceAddress to, const char *from, int64_t bytes, bool second) {
  CIUIC_CUDA(*state, memcpyHtoDAsync, to, from, static_cast<size_t>(bytes), streams[second]);
  return Status::ok();
}

Status CudaMachine::download(char *to, DeviceAddress from, int64_t bytes, bool second) {
  CIUIC_CUDA(*state, memcpyDtoHAsync, to, from, static_cast<size_t>(bytes), streams[second]);
  return Status::ok();
}

Status CudaMachine::capture(const Work &work, GraphExecHandle *out) {
  CIUIC_TRY(work()); // what libraries load on first use is none of the graph's business
  CIUIC_CUDA(*state, streamSynchronize, streams[0]);
  CIUIC_CUDA(*state, streamBeginCapture, streams[0], kCaptureRelaxed);
  Status issued = work();
  GraphHandle graph = nullptr;
  const Result ended = state->driver.streamEndCapture(streams[0], &graph);
  if (issued.isOk() && ended != result::success) {
    issued = state->fail(ended, "streamEndCapture");
  }
  if (issued.isOk()) {
    if (const Result made = state->driver.graphInstantiate(out, graph, 0)) {
      issued = state->fail(made, "graphInstantiate");
    }
  }
  if (graph && state->alive().isOk()) {
    (void)state->driver.graphDestroy(graph);
  }
  CIUIC_TRY(std::move(issued));
  CIUIC_CUDA(*state, graphUpload, *out, streams[0]);
  return Status::ok();
}

Status CudaMachine::time(const Work &work, double seconds, Times *out, const Work &beside) {
  struct Executable {
    const DeviceState &state;
    GraphExecHandle handle = nullptr;
    ~Executable() {
      if (handle && state.alive().isOk()) {
        (void)state.driver.graphExecDestroy(handle);
      }
    }
  } graph{*state};
  CIUIC_TRY(capture(work, &graph.handle));
  const double begin = now();
  std::vector<double> times;
  for (int i = 0; i < 6 || (now() - begin < seconds && i < 10000); ++i) {
    if (beside) {
      CIUIC_TRY(beside());
    }
    CIUIC_CUDA(*state, eventRecord, events[0], streams[0]);
    CIUIC_CUDA(*state, graphLaunch, graph.handle, streams[0]);
    CIUIC_CUDA(*state, eventRecord, events[1], streams[0]);
    CIUIC_CUDA(*state, eventSynchronize, events[1]);
    float ms = 0;
    CIUIC_CUDA(*state, eventElapsedTime, &ms, events[0], events[1]);
    if (i > 0) {
      times.push_back(ms * 1e-3);
    }
    CIUIC_CUDA(*state, streamSynchronize, streams[1]);
  }
  std::sort(times.begin(), times.end());
  *out = {times[times.size() / 2], times[0]};
  return Status::ok();
}

int64_t CudaMachine::rest() {
  const int64_t process = state->processBytes(true);
  return process < 0 ? -1 : process - taken;
}

} // namespace ciuic::bench
