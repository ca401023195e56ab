// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Types and numbers are those of cudnn_graph.h, version 9.
#include "runtime/device/cuda/Cudnn.h"

#include <array>
#include <dlfcn.h>

namespace ciuic::device::cuda {

namespace {
constexpr int kConvolution = 1, kEngine = 2, kEngineConfig = 3, kHeuristic = 4, kExecutionPlan = 5,
              kConvForward = 10, kPointwiseOperation = 13, kOperationGraph = 15, kVariantPack = 16,
              kTensor = 17, kPointwise = 0; // descriptors
constexpr int kTypeHandle = 0, kTypeDataType = 1, kTypeBool = 2, kTypeInt64 = 3, kTypeFloat = 4,
              kTypePointer = 6, kTypeConvMode = 7, kTypeHeurMode = 8, kTypeNumericalNote = 11,
              kTypePointwiseMode = 14, kTypeDescriptor = 15,
              kTypeBehaviorNote = 19; // of attributes
constexpr int kFloat = 0, kHalf = 2, kBFloat16 = 9, kCrossCorrelation = 1, kAdd = 0;
constexpr int kHeurModeFallback = 2, kHeurModeA = 3;
constexpr int kNoteTensorCore = 0, kNoteStrictNan = 9, kNoteRuntimeCompilation = 0;
constexpr size_t kMostPlans = 1024;
constexpr int64_t kMostEngines = 32;
} // namespace

// F(member, name in the library, arguments); all give a cudnnStatus_t.
#define CIUIC_CUDNN(F)                                                                             \
  F(create, "cudnnCreate", (void **handle))                                                        \
  F(destroy, "cudnnDestroy", (void *handle))                                                       \
  F(setStream, "cudnnSetStream", (void *handle, StreamHandle stream))                              \
  F(createDescriptor, "cudnnBackendCreateDescriptor", (int type, void **descriptor))               \
  F(destroyDescriptor, "cudnnBackendDestroyDescriptor", (void *descriptor))                        \
  F(finalize, "cudnnBackendFinalize", (void *descriptor))                                          \
  F(set, "cudnnBackendSetAttribute",                                                               \
    (void *descriptor, int name, int type, int64_t count, const void *values))                     \
  F(get, "cudnnBackendGetAttribute",                                                               \
    (void *descriptor, int name, int type, int64_t wanted, int64_t *count, void *values))          \
  F(execute, "cudnnBackendExecute", (void *handle, void *plan, void *variantPack))

struct Cudnn::Api {
#define F(member, name, arguments) int(*member) arguments = nullptr;
  CIUIC_CUDNN(F)
#undef F
};

Cudnn::Cudnn() : api(std::make_unique<Api>()) {}

Cudnn::~Cudnn() {
  for (auto &[key, plan] : plans) {
    destroyPlan(plan);
  }
  if (handle) {
    (void)api->destroy(handle);
  }
}

void Cudnn::destroyPlan(Plan &plan) {
  for (auto it = plan.owned.rbegin(); it != plan.owned.rend(); ++it) {
    (void)api->destroyDescriptor(*it);
  }
  plan.owned.clear();
}

static Status dnnFailure(const char *call, int error) {
  return failure(StatusClass::Environment, "device.cudnn", "%s failed with status %d of cuDNN",
                 call, error);
}
#define TRY_DNN(function, ...)                                                                     \
  do {                                                                                             \
    if (int error = api.function(__VA_ARGS__))                                                     \
      return dnnFailure(#function, error);                                                         \
  } while (false)

Status Cudnn::open(std::unique_ptr<Cudnn> *out) {
  void *library = openVendorLibrary({"libcudnn.so.9"}, "cudnn");
  if (!library) {
    return failure(StatusClass::Environment, "device.no-cudnn",
                   "the program calls cuDNN, and libcudnn.so.9 is not found: install it (pip "
                   "install nvidia-cudnn-cu13) and name its folder in CIUIC_CUDA_LIBS");
  }
  std::unique_ptr<Cudnn> made(new Cudnn());
  Api &api = *made->api;
  const char *missing = nullptr;
#define F(member, name, arguments)                                                                 \
  api.member = reinterpret_cast<int(*) arguments>(::dlsym(library, name));                         \
  missing = api.member || missing ? missing : name;
  CIUIC_CUDNN(F)
#undef F
  if (missing) {
    return failure(StatusClass::Environment, "device.no-cudnn",
                   "the cuDNN found here has no %s: install version 9", missing);
  }
  if (int error = api.create(&made->handle)) {
    made->handle = nullptr;
    return dnnFailure("cudnnCreate", error);
  }
  *out = std::move(made);
  return Status::ok();
}

static int dataType(format::DType type) {
  return type == format::DType::F16 ? kHalf : type == format::DType::BF16 ? kBFloat16 : kFloat;
}

/// Makes descriptors; the first failure is kept, and what follows it does nothing.
class Cudnn::Builder {
public:
  Builder(const Api &api, Plan &plan) : api(api), plan(plan) {}

  Descriptor make(int type) {
    Descriptor made = nullptr;
    if (step("cudnnBackendCreateDescriptor", [&] { return api.createDescriptor(type, &made); })) {
      plan.owned.push_back(made);
    }
    return made;
  }
  void set(Descriptor d, int name, int type, int64_t count, const void *values) {
    step("cudnnBackendSetAttribute", [&] { return api.set(d, name, type, count, values); });
  }
  template <class T>
  void set(Descriptor d, int name, int type, const T &value) {
    set(d, name, type, 1, static_cast<const void *>(&value));
  }
  void finalize(Descriptor d) {
    step("cudnnBackendFinalize", [&] { return api.finalize(d); });
  }
  /// A tensor of `dims` in the order of cuDNN (batch, channels, spatial) that lies channels last.
  Descriptor tensor(int64_t id, int type, const std::vector<int64_t> &dims,
                    bool isVirtual = false) {
    std::vector<int64_t> strides(dims.size());
    strides[1] = 1;
    int64_t stride = dims[1];
    for (size_t i = dims.size() - 1; i >= 2; --i) {
      strides[i] = stride;
      stride *= dims[i];
    }
    strides[0] = stride;
    Descriptor t = make(kTensor);
    auto rank = static_cast<int64_t>(dims.size());
    int64_t alignment = 16;
    set(t, 901, kTypeDataType, type);
    set(t, 902, kTypeInt64, rank, dims.data());
    set(t, 903, kTypeInt64, rank, strides.data());
    set(t, 906, kTypeInt64, id);
    set(t, 900, kTypeInt64, alignment);
    set(t, 907, kTypeBool, isVirtual);
    finalize(t);
    return t;
  }
  Descriptor add(Descriptor x, Descriptor b, Descriptor y) {
    Descriptor how = make(kPointwise);
    set(how, 0, kTypePointwiseMode, kAdd);
    set(how, 1, kTypeDataType, kFloat);
    finalize(how);
    Descriptor operation = make(kPointwiseOperation);
    set(operation, 750, kTypeDescriptor, how);
    set(operation, 751, kTypeDescriptor, x);
    set(operation, 752, kTypeDescriptor, b);
    set(operation, 753, kTypeDescriptor, y);
    finalize(operation);
    return operation;
  }
  Status status() const { return error ? dnnFailure(failed, error) : Status::ok(); }

private:
  template <class Call>
  bool step(const char *name, Call call) {
    if (error == 0) {
      error = call();
      failed = name;
    }
    return error == 0;
  }
  const Api &api;
  Plan &plan;
  int error = 0;
  const char *failed = "";
};

enum TensorId : int64_t { kX = 1, kW = 2, kBias = 3, kResidual = 4, kY = 5, kSum = 6, kSum2 = 7 };

Status Cudnn::makePlan(const format::ConvCall &call, const format::ConvShape &s,
                       int64_t workspaceBytes, Plan *out) {
  Builder b(*api, *out);
  int type = dataType(call.type);
  // One spatial dim is two, the first of extent 1: not every engine knows rank 1.
  int lead = call.rank == 1 ? 1 : 0;
  auto dims = [&](int64_t first, int64_t second, const int64_t *spatial) {
    std::vector<int64_t> d = {first, second};
    d.insert(d.end(), static_cast<size_t>(lead), 1);
    d.insert(d.end(), spatial, spatial + call.rank);
    return d;
  };
  auto window = [&](const int64_t *values, int64_t filler) {
    std::vector<int64_t> d(static_cast<size_t>(lead), filler);
    d.insert(d.end(), values, values + call.rank);
    return d;
  };
  const int64_t ones[3] = {1, 1, 1};
  int adds = int(call.bias) + int(call.residual);
  Descriptor x = b.tensor(kX, type, dims(s.n, s.c, s.in));
  Descriptor w = b.tensor(kW, type, dims(s.oc, s.c / call.groups, call.kernel));
  Descriptor y = b.tensor(kY, type, dims(s.n, s.oc, s.out));
  Descriptor sum = adds > 0 ? b.tensor(kSum, kFloat, dims(s.n, s.oc, s.out), true) : y;
  Descriptor how = b.make(kConvolution);
  int64_t spatial = call.rank + lead;
  b.set(how, 100, kTypeDataType, kFloat);
  b.set(how, 101, kTypeConvMode, kCrossCorrelation);
  b.set(how, 102, kTypeInt64, spatial, window(call.dilations, 1).data());
  b.set(how, 103, kTypeInt64, spatial, window(call.strides, 1).data());
  b.set(how, 104, kTypeInt64, spatial, window(call.after, 0).data());
  b.set(how, 105, kTypeInt64, spatial, window(call.before, 0).data());
  b.set(how, 106, kTypeInt64, spatial);
  b.finalize(how);
  Descriptor operation = b.make(kConvForward);
  float one = 1, zero = 0;
  b.set(operation, 700, kTypeFloat, one);
  b.set(operation, 701, kTypeFloat, zero);
  b.set(operation, 702, kTypeDescriptor, how);
  b.set(operation, 703, kTypeDescriptor, w);
  b.set(operation, 704, kTypeDescriptor, x);
  b.set(operation, 705, kTypeDescriptor, sum);
  b.finalize(operation);
  std::vector<Descriptor> operations = {operation};
  if (call.residual) {
    Descriptor z = b.tensor(kResidual, type, dims(s.n, s.oc, s.out));
    Descriptor next = call.bias ? b.tensor(kSum2, kFloat, dims(s.n, s.oc, s.out), true) : y;
    operations.push_back(b.add(sum, z, next));
    sum = next;
  }
  if (call.bias) {
    Descriptor bias = b.tensor(kBias, type, dims(1, s.oc, ones));
    operations.push_back(b.add(sum, bias, y));
  }
  Descriptor graph = b.make(kOperationGraph);
  b.set(graph, 801, kTypeDescriptor, static_cast<int64_t>(operations.size()),
        static_cast<const void *>(operations.data()));
  b.set(graph, 800, kTypeHandle, handle);
  b.finalize(graph);
  CIUIC_TRY(b.status());

  // An engine that is compiled at run time costs seconds, and comes last: some fusions have no
  // other.
  struct Search {
    int mode;
    bool compiles;
  };
  for (auto [mode, compiles] :
       {Search{kHeurModeA, false}, Search{kHeurModeFallback, false}, Search{kHeurModeA, true}}) {
    Plan trial; // of descriptors that may fail without harm
    Builder t(*api, trial);
    Descriptor heuristic = t.make(kHeuristic);
    t.set(heuristic, 201, kTypeDescriptor, graph);
    t.set(heuristic, 200, kTypeHeurMode, mode);
    t.finalize(heuristic);
    std::vector<Descriptor> configs(kMostEngines);
    for (Descriptor &config : configs) {
      config = t.make(kEngineConfig);
    }
    int64_t count = 0;
    bool listed = t.status().isOk() && api->get(heuristic, 202, kTypeDescriptor, kMostEngines,
                                                &count, static_cast<void *>(configs.data())) == 0;
    for (int64_t i = 0; listed && i < count; ++i) {
      if (!isExact(configs[static_cast<size_t>(i)], call.type, compiles)) {
        continue;
      }
      Plan made;
      Builder p(*api, made);
      Descriptor plan = p.make(kExecutionPlan);
      p.set(plan, 401, kTypeDescriptor, configs[static_cast<size_t>(i)]);
      p.set(plan, 400, kTypeHandle, handle);
      p.finalize(plan);
      int64_t bytes = 0, got = 0;
      if (p.status().isOk() && api->get(plan, 402, kTypeInt64, 1, &got, &bytes) == 0 &&
          bytes <= workspaceBytes) {
        out->plan = plan;
        out->owned.insert(out->owned.end(), trial.owned.begin(), trial.owned.end());
        out->owned.insert(out->owned.end(), made.owned.begin(), made.owned.end());
        return Status::ok();
      }
      destroyPlan(made);
    }
    destroyPlan(trial);
  }
  return failure(StatusClass::Environment, "device.cudnn",
                 "cuDNN has no plan for a convolution of %lld x %lld channels to %lld with %lld "
                 "bytes of workspace",
                 static_cast<long long>(s.n), static_cast<long long>(s.c),
                 static_cast<long long>(s.oc), static_cast<long long>(workspaceBytes));
}

/// No down-converted inputs, reduced sums, transforms or atomics; f32 not on tensor cores, which
/// would be TF32.
bool Cudnn::isExact(Descriptor config, format::DType type, bool compiles) {
  Descriptor engine = nullptr;
  if (api->createDescriptor(kEngine, &engine) != 0) {
    return false;
  }
  std::array<int, 16> notes = {};
  int64_t count = 0;
  bool exact =
      api->get(config, 300, kTypeDescriptor, 1, &count, static_cast<void *>(&engine)) == 0 &&
      api->get(engine, 1303, kTypeNumericalNote, static_cast<int64_t>(notes.size()), &count,
               notes.data()) == 0;
  for (int64_t i = 0; exact && i < count; ++i) {
    int note = notes[static_cast<size_t>(i)];
    exact = note == kNoteStrictNan || (note == kNoteTensorCore && type != format::DType::F32);
  }
  exact = exact && api->get(engine, 1305, kTypeBehaviorNote, static_cast<int64_t>(notes.size()),
                            &count, notes.data()) == 0;
  for (int64_t i = 0; exact && i < count; ++i) {
    exact = compiles || notes[static_cast<size_t>(i)] != kNoteRuntimeCompilation;
  }
  (void)api->destroyDescriptor(engine);
  return exact;
}

Status Cudnn::conv(const format::ConvCall &call, const format::ConvShape &shape,
                   std::span<const DeviceAddress> pointers, const VendorWorkspace &workspace,
                   StreamHandle stream) {
  const Api &f = *api;
  if (!format::convFits(call, shape)) {
    return failure(StatusClass::Environment, "device.amount",
                   "a convolution is refused: its result has other extents than its window makes");
  }
  int64_t elements = shape.n * shape.oc;
  for (int64_t extent : shape.out) {
    elements = extent == 0 ? 0 : elements;
  }
  if (elements == 0) {
    return Status::ok();
  }
  std::vector<int64_t> key = {static_cast<int64_t>(call.type),
                              call.rank,
                              call.bias,
                              call.residual,
                              call.groups,
                              workspace.bytes,
                              shape.n,
                              shape.c,
                              shape.oc};
  for (const int64_t *list :
       {call.kernel, call.strides, call.before, call.after, call.dilations, shape.in, shape.out}) {
    key.insert(key.end(), list, list + call.rank);
  }
  auto known = plans.find(key);
  if (known == plans.end()) {
    if (plans.size() >= kMostPlans) {
      for (auto &[old, plan] : plans) {
        destroyPlan(plan);
      }
      plans.clear(); // the same heuristic gives the same answer again
    }
    Plan plan;
    if (Status status = makePlan(call, shape, workspace.bytes, &plan); !status.isOk()) {
      destroyPlan(plan);
      return status;
    }
    known = plans.emplace(std::move(key), std::move(plan)).first;
  }
  std::vector<int64_t> ids = {kX, kW};
  if (call.bias) {
    ids.push_back(kBias);
  }
  if (call.residual) {
    ids.push_back(kResidual);
  }
  ids.push_back(kY);
  Plan pack;
  Builder b(f, pack);
  Descriptor variant = b.make(kVariantPack);
  b.set(variant, 1000, kTypeInt64, static_cast<int64_t>(ids.size()), ids.data());
  b.set(variant, 1001, kTypePointer, static_cast<int64_t>(ids.size()), pointers.data());
  b.set(variant, 1003, kTypePointer, workspace.address);
  b.finalize(variant);
  Status status = b.status();
  if (int error = status.isOk() ? f.setStream(handle, stream) : 0) {
    status = dnnFailure("cudnnSetStream", error);
  }
  if (int error = status.isOk() ? f.execute(handle, known->second.plan, variant) : 0) {
    status = dnnFailure("cudnnBackendExecute", error);
  }
  destroyPlan(pack);
  return status;
}

} // namespace ciuic::device::cuda
