// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "test/conformance/FakeDriver.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <vector>

namespace ciuic::test {
namespace {

using namespace device::cuda;

struct Node {
  std::function<void()> work;
  std::vector<size_t> after; // nodes of the same list
};
struct NodeList {
  std::vector<Node> nodes;
};
using Frontier = std::set<size_t>; // what comes next must come after these

struct Stream {
  Frontier frontier;
  NodeList *capturing = nullptr;
};
struct Event {
  Frontier frontier;
  NodeList *list = nullptr; // of the nodes; null: of what was done at once
  int64_t ns = 0;
};

struct Machine {
  FakeGpu *gpu = nullptr;
  NodeList pending;
  std::vector<Stream *> streams;
  std::map<DeviceAddress, size_t> allocations;
  std::mt19937 random{1};
  std::map<void *, void (*)(void *)> owned; // what the runtime leaves behind when a device is lost

  template <class T>
  T *own(T *object) {
    owned[object] = [](void *p) { delete static_cast<T *>(p); };
    return object;
  }
  void *ownBytes(void *data) {
    owned[data] = std::free;
    return data;
  }
  void drop(void *object) {
    auto it = owned.find(object);
    it->second(object);
    owned.erase(it);
  }
  ~Machine() { clear(); }
  void clear() {
    for (auto [object, free] : owned) {
      free(object);
    }
    owned.clear();
  }
};
Machine machine;

// ---- order ------------------------------------------------------------------------------------

void runNodes(const NodeList &list) {
  std::vector<size_t> missing(list.nodes.size());
  std::vector<std::vector<size_t>> next(list.nodes.size());
  std::vector<size_t> ready;
  for (size_t i = 0; i < list.nodes.size(); ++i) {
    missing[i] = list.nodes[i].after.size();
    for (size_t a : list.nodes[i].after) {
      next[a].push_back(i);
    }
    if (missing[i] == 0) {
      ready.push_back(i);
    }
  }
  while (!ready.empty()) {
    size_t pick = machine.random() % ready.size();
    size_t i = ready[pick];
    ready.erase(ready.begin() + static_cast<std::ptrdiff_t>(pick));
    list.nodes[i].work();
    for (size_t n : next[i]) {
      if (--missing[n] == 0) {
        ready.push_back(n);
      }
    }
  }
}

void drain() {
  runNodes(machine.pending);
  machine.pending.nodes.clear();
  for (Stream *s : machine.streams) {
    if (!s->capturing) {
      s->frontier.clear();
    }
  }
}

NodeList &listOf(Stream &s) { return s.capturing ? *s.capturing : machine.pending; }

void enqueue(StreamHandle handle, std::function<void()> work) {
  Stream &s = *reinterpret_cast<Stream *>(handle);
  NodeList &list = listOf(s);
  list.nodes.push_back({std::move(work), {s.frontier.begin(), s.frontier.end()}});
  s.frontier = {list.nodes.size() - 1};
}

Result streamWaitEvent(StreamHandle handle, EventHandle eventHandle, unsigned) {
  Stream &s = *reinterpret_cast<Stream *>(handle);
  Event &e = *reinterpret_cast<Event *>(eventHandle);
  if (!e.list) {
    return result::success; // recorded by nobody, or done
  }
  if (e.list != &machine.pending) {
    if (!s.capturing) {
      s.capturing = e.list; // the stream joins the capture
      s.frontier.clear();
    }
    if (s.capturing != e.list) {
      return 906; // an event of another capture
    }
  } else if (s.capturing) {
    return 905; // what is not captured cannot be waited for in a capture
  }
  s.frontier.insert(e.frontier.begin(), e.frontier.end());
  return result::success;
}

Result eventRecord(EventHandle eventHandle, StreamHandle handle) {
  Stream &s = *reinterpret_cast<Stream *>(handle);
  Event &e = *reinterpret_cast<Event *>(eventHandle);
  enqueue(handle, [&e, captured = s.capturing != nullptr] {
    if (!captured) {
      e.ns = std::chrono::steady_clock::now().time_since_epoch().count();
    }
  });
  e.frontier = s.frontier;
  e.list = &listOf(s);
  return result::success;
}

Result streamBeginCapture(StreamHandle handle, int) {
  drain();
  Stream &s = *reinterpret_cast<Stream *>(handle);
  s.capturing = machine.own(new NodeList());
  s.frontier.clear();
  return result::success;
}

Result streamEndCapture(StreamHandle handle, GraphHandle *graph) {
  Stream &s = *reinterpret_cast<Stream *>(handle);
  NodeList *list = s.capturing;
  // Every node must lead to the end: a stream that was not joined is an error.
  std::vector<size_t> todo(s.frontier.begin(), s.frontier.end());
  std::set<size_t> reached(s.frontier);
  while (!todo.empty()) {
    size_t i = todo.back();
    todo.pop_back();
    for (size_t a : list->nodes[i].after) {
      if (reached.insert(a).second) {
        todo.push_back(a);
      }
    }
  }
  bool joined = reached.size() == list->nodes.size();
  for (Stream *other : machine.streams) {
    if (other->capturing == list) {
      other->capturing = nullptr;
      other->frontier.clear();
    }
  }
  if (!joined) {
    machine.drop(list);
    *graph = nullptr;
    return 904;
  }
  *graph = reinterpret_cast<GraphHandle>(list);
  return result::success;
}

// ---- kernels ----------------------------------------------------------------------------------

float *floats(uint64_t address) { return reinterpret_cast<float *>(address); }

struct FakeKernel {
  const char *name;
  size_t pointers, params;
  void (*unit)(const uint64_t *pointers, const int64_t *dims, const uint64_t *params, int64_t unit);
};
const FakeKernel kKernels[] = {
    {"test_add", 3, 1,
     [](const uint64_t *p, const int64_t *, const uint64_t *, int64_t i) {
       floats(p[2])[i] = floats(p[0])[i] + floats(p[1])[i];
     }},
    {"test_scale", 2, 2,
     [](const uint64_t *p, const int64_t *, const uint64_t *v, int64_t i) {
       floats(p[1])[i] = floats(p[0])[i] * static_cast<float>(static_cast<int64_t>(v[0]));
     }},
    {"test_append", 2, 1,
     [](const uint64_t *p, const int64_t *dims, const uint64_t *, int64_t i) {
       floats(p[1])[dims[1] + i] = floats(p[0])[i];
     }},
    {"test_gather", 3, 2,
     [](const uint64_t *p, const int64_t *, const uint64_t *v, int64_t i) {
       auto n = static_cast<size_t>(v[0]);
       int64_t id = reinterpret_cast<const int64_t *>(p[1])[i];
       std::memcpy(floats(p[2]) + i * static_cast<int64_t>(n),
                   floats(p[0]) + id * static_cast<int64_t>(n), n * 4);
     }},
};

Result moduleLoadDataEx(ModuleHandle *module, const void *image, unsigned, int *, void **) {
  if (std::strncmp(static_cast<const char *>(image), ".version", 8) != 0) {
    return result::invalidImage;
  }
  *module = reinterpret_cast<ModuleHandle>(&machine);
  return result::success;
}

Result moduleGetFunction(FunctionHandle *function, ModuleHandle, const char *name) {
  for (const FakeKernel &kernel : kKernels) {
    if (std::string(kernel.name) == name) {
      *function = reinterpret_cast<FunctionHandle>(const_cast<FakeKernel *>(&kernel));
      return result::success;
    }
  }
  return result::notFound;
}

Result launchKernel(FunctionHandle function, unsigned gridX, unsigned, unsigned, unsigned blockX,
                    unsigned, unsigned, unsigned, StreamHandle stream, void **arguments, void **) {
  if (gridX == 0 || blockX == 0) {
    return 1;
  }
  ++machine.gpu->launches;
  const auto &kernel = *reinterpret_cast<const FakeKernel *>(function);
  std::vector<uint64_t> values;
  for (size_t i = 0; i < kernel.pointers + 1 + kernel.params; ++i) {
    values.push_back(*static_cast<uint64_t *>(arguments[i]));
  }
  enqueue(stream, [&kernel, values] {
    const auto *dims = reinterpret_cast<const int64_t *>(values[kernel.pointers]);
    for (int64_t i = 0; i < dims[values.back()]; ++i) {
      kernel.unit(values.data(), dims, values.data() + kernel.pointers + 1, i);
    }
  });
  return result::success;
}

Result funcGetParamInfo(FunctionHandle function, size_t index, size_t *offset, size_t *bytes) {
  const auto &kernel = *reinterpret_cast<const FakeKernel *>(function);
  *offset = index * 8;
  *bytes = 8;
  return index < kernel.pointers + 1 + kernel.params ? result::success : 1;
}

// ---- memory -----------------------------------------------------------------------------------

Result memAlloc(DeviceAddress *address, size_t bytes) {
  FakeGpu &gpu = *machine.gpu;
  if (static_cast<int64_t>(bytes) > gpu.memory - gpu.held) {
    return result::outOfMemory;
  }
  void *data = machine.ownBytes(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
  std::memset(data, 0xcd, bytes); // nobody may rely on zeros
  *address = reinterpret_cast<DeviceAddress>(data);
  machine.allocations[*address] = bytes;
  gpu.held += static_cast<int64_t>(bytes);
  return result::success;
}
Result memFree(DeviceAddress address) {
  auto it = machine.allocations.find(address);
  machine.gpu->held -= static_cast<int64_t>(it->second);
  machine.allocations.erase(it);
  machine.drop(reinterpret_cast<void *>(address));
  return result::success;
}
Result memAllocHost(void **address, size_t bytes) {
  *address = machine.ownBytes(std::malloc(bytes));
  return result::success;
}
Result memFreeHost(void *address) {
  machine.drop(address);
  return result::success;
}
Result memHostRegister(void *, size_t bytes, unsigned) {
  if (static_cast<int64_t>(bytes) > machine.gpu->pinnable) {
    return 1;
  }
  return result::success;
}
Result copyAsync(void *to, const void *from, size_t bytes, StreamHandle stream) {
  enqueue(stream, [=] { std::memcpy(to, from, bytes); });
  return result::success;
}

template <class T, class Handle>
Result create(Handle *out) {
  auto *made = machine.own(new T());
  *out = reinterpret_cast<Handle>(made);
  return result::success;
}
template <class T, class Handle>
Result destroy(Handle handle) {
  machine.drop(handle);
  return result::success;
}

class Monitor final : public MemoryMonitor {
public:
  std::optional<MemoryFigures> memory() override {
    return MemoryFigures{machine.gpu->memory, machine.gpu->memory - machine.gpu->held};
  }
  std::optional<int64_t> processBytes() override { return std::nullopt; }
};

} // namespace

std::unique_ptr<MemoryMonitor> fakeMonitor(const std::string &) {
  return std::make_unique<Monitor>();
}

Driver fakeDriver(FakeGpu &gpu) {
  machine.clear();
  machine.gpu = &gpu;
  machine.pending.nodes.clear();
  machine.streams.clear();
  machine.allocations.clear();
  Driver d;
  d.init = [](unsigned) -> Result { return 0; };
  d.driverGetVersion = [](int *v) -> Result { return *v = 13000, 0; };
  d.getErrorName = [](Result, const char **text) -> Result { return *text = "CUDA_ERROR", 0; };
  d.getErrorString = [](Result, const char **text) -> Result { return *text = "injected", 0; };
  d.deviceGetCount = [](int *count) -> Result { return *count = 1, 0; };
  d.deviceGet = [](DeviceHandle *h, int ordinal) -> Result { return *h = ordinal, 0; };
  d.deviceGetName = [](char *name, int bytes, DeviceHandle) -> Result {
    std::strncpy(name, "fake", static_cast<size_t>(bytes));
    return result::success;
  };
  d.deviceGetUuid = [](Uuid *uuid, DeviceHandle) -> Result {
    *uuid = {};
    return result::success;
  };
  d.deviceTotalMem = [](size_t *bytes, DeviceHandle) -> Result {
    *bytes = static_cast<size_t>(machine.gpu->memory);
    return result::success;
  };
  d.deviceGetAttribute = [](int *value, int which, DeviceHandle) -> Result {
    *value = which == attribute::capabilityMajor     ? 9
             : which == attribute::maxSharedPerBlock ? 232448
             : which == attribute::multiprocessors   ? machine.gpu->multiprocessors
                                                     : 0;
    return result::success;
  };
  d.primaryCtxRetain = [](ContextHandle *context, DeviceHandle) -> Result {
    *context = reinterpret_cast<ContextHandle>(&machine);
    return 0;
  };
  d.primaryCtxRelease = [](DeviceHandle) -> Result { return result::success; };
  d.ctxPushCurrent = [](ContextHandle) -> Result { return 0; };
  d.ctxPopCurrent = [](ContextHandle *context) -> Result { return *context = nullptr, 0; };
  d.memGetInfo = [](size_t *free, size_t *total) -> Result {
    *total = static_cast<size_t>(machine.gpu->memory);
    *free = static_cast<size_t>(machine.gpu->memory - machine.gpu->held);
    return 0;
  };
  d.memAlloc = memAlloc;
  d.memFree = memFree;
  d.memAllocHost = memAllocHost;
  d.memFreeHost = memFreeHost;
  d.memHostRegister = memHostRegister;
  d.memHostUnregister = [](void *) -> Result { return result::success; };
  d.memHostGetDevicePointer = [](DeviceAddress *device, void *host, unsigned) -> Result {
    *device = reinterpret_cast<DeviceAddress>(host);
    return result::success;
  };
  d.memcpyHtoDAsync = [](DeviceAddress to, const void *from, size_t bytes,
                         StreamHandle stream) -> Result {
    return copyAsync(reinterpret_cast<void *>(to), from, bytes, stream);
  };
  d.memcpyDtoHAsync = [](void *to, DeviceAddress from, size_t bytes,
                         StreamHandle stream) -> Result {
    return copyAsync(to, reinterpret_cast<const void *>(from), bytes, stream);
  };
  d.memcpy2DAsync = [](const Copy2D *given, StreamHandle stream) -> Result {
    Copy2D copy = *given;
    if (copy.fromType != kMemoryDevice || copy.toType != kMemoryHost ||
        copy.fromPitch < copy.width || copy.toPitch < copy.width) {
      return 1; // invalid value
    }
    enqueue(stream, [=] {
      for (size_t row = 0; row < copy.height; ++row) {
        std::memcpy(static_cast<char *>(copy.toHost) + row * copy.toPitch,
                    reinterpret_cast<const char *>(copy.fromDevice) + row * copy.fromPitch,
                    copy.width);
      }
    });
    return 0;
  };
  d.memsetD8Async = [](DeviceAddress to, unsigned char value, size_t bytes,
                       StreamHandle stream) -> Result {
    enqueue(stream, [=] { std::memset(reinterpret_cast<void *>(to), value, bytes); });
    return 0;
  };
  d.moduleLoadDataEx = moduleLoadDataEx;
  d.moduleUnload = [](ModuleHandle) -> Result { return result::success; };
  d.moduleGetFunction = moduleGetFunction;
  d.funcSetAttribute = [](FunctionHandle, int, int) -> Result { return result::success; };
  d.funcGetAttribute = [](int *value, int which, FunctionHandle) -> Result {
    *value = which == kFunctionClusterWidth ? machine.gpu->clusterWidth
             : which == kFunctionShared     ? machine.gpu->ownShared
                                            : 0;
    return result::success;
  };
  d.occupancy = [](int *blocks, FunctionHandle, int, size_t) -> Result {
    *blocks = machine.gpu->resident;
    return result::success;
  };
  d.launchKernel = launchKernel;
  d.launchKernelEx = [](const LaunchConfig *c, FunctionHandle function, void **arguments,
                        void **extra) -> Result {
    FakeGpu &gpu = *machine.gpu;
    if (c->attributes->id == kLaunchCooperative) {
      ++gpu.cooperative;
      gpu.mostTogether = std::max<int64_t>(gpu.mostTogether, c->gridX);
    } else { // as if it waited at once
      ++gpu.early;
    }
    return launchKernel(function, c->gridX, c->gridY, c->gridZ, c->blockX, c->blockY, c->blockZ,
                        c->sharedBytes, c->stream, arguments, extra);
  };
  d.launchHostFunc = [](StreamHandle stream, HostFunction function, void *argument) -> Result {
    enqueue(stream, [=] { function(argument); });
    return 0;
  };
  d.streamCreate = [](StreamHandle *stream, unsigned) -> Result {
    Result made = create<Stream>(stream);
    if (made == 0) {
      machine.streams.push_back(reinterpret_cast<Stream *>(*stream));
    }
    return made;
  };
  d.streamDestroy = [](StreamHandle stream) -> Result {
    std::erase(machine.streams, reinterpret_cast<Stream *>(stream));
    return destroy<Stream>(stream);
  };
  d.streamSynchronize = [](StreamHandle) -> Result {
    drain();
    return result::success;
  };
  d.streamWaitEvent = streamWaitEvent;
  d.streamBeginCapture = streamBeginCapture;
  d.streamEndCapture = streamEndCapture;
  d.eventCreate = [](EventHandle *event, unsigned) -> Result { return create<Event>(event); };
  d.eventDestroy = [](EventHandle event) -> Result { return destroy<Event>(event); };
  d.eventRecord = eventRecord;
  d.eventSynchronize = [](EventHandle) -> Result {
    drain();
    return result::success;
  };
  d.eventElapsedTime = [](float *ms, EventHandle begin, EventHandle end) -> Result {
    *ms = static_cast<float>(static_cast<double>(reinterpret_cast<Event *>(end)->ns -
                                                 reinterpret_cast<Event *>(begin)->ns) /
                             1e6);
    return result::success;
  };
  d.graphDestroy = [](GraphHandle graph) -> Result { return destroy<NodeList>(graph); };
  d.graphInstantiate = [](GraphExecHandle *out, GraphHandle graph, unsigned long long) -> Result {
    Result made = create<NodeList>(out);
    if (made == 0) {
      *reinterpret_cast<NodeList *>(*out) = *reinterpret_cast<NodeList *>(graph);
      ++machine.gpu->instantiated;
    }
    return made;
  };
  d.graphUpload = [](GraphExecHandle, StreamHandle) -> Result { return result::success; };
  d.graphLaunch = [](GraphExecHandle graph, StreamHandle stream) -> Result {
    enqueue(stream, [graph] { runNodes(*reinterpret_cast<NodeList *>(graph)); });
    return 0;
  };
  d.graphExecDestroy = [](GraphExecHandle graph) -> Result { return destroy<NodeList>(graph); };
  d.funcGetParamInfo = funcGetParamInfo;
  return d;
}

} // namespace ciuic::test
