// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Types and numbers are those of cublasLt.h, versions 12 and 13.
#include "runtime/device/cuda/CublasLt.h"

#include <algorithm>
#include <dlfcn.h>

namespace ciuic::device::cuda {

namespace {
struct Opaque;
using Descriptor = Opaque *;
struct Heuristic {
  uint64_t algorithm[8];
  size_t workspaceBytes;
  int state;
  float waves;
  int reserved[4];
};
constexpr int kCompute32F = 68, kScale32F = 0;
constexpr int kTransA = 3, kTransB = 4, kEpilogue = 7, kBiasPointer = 8;
constexpr int kEpilogueValueBias = 4, kOperationTransposed = 1;
constexpr int kBatchCount = 5, kBatchStride = 6;
constexpr int kMaxWorkspace = 1, kReductionMask = 3, kAlignmentA = 5, kAlignmentD = 8;
constexpr uint32_t kReduceInComputeType = 2;
constexpr size_t kMostAlgorithms = 4096;
constexpr int kNotSupported = 15;
} // namespace

// F(member, name in the library, arguments); all give a cublasStatus_t.
#define CIUIC_CUBLASLT(F)                                                                          \
  F(create, "cublasLtCreate", (void **handle))                                                     \
  F(destroy, "cublasLtDestroy", (void *handle))                                                    \
  F(descCreate, "cublasLtMatmulDescCreate", (Descriptor * desc, int compute, int scale))           \
  F(descDestroy, "cublasLtMatmulDescDestroy", (Descriptor desc))                                   \
  F(descSet, "cublasLtMatmulDescSetAttribute",                                                     \
    (Descriptor desc, int attribute, const void *value, size_t bytes))                             \
  F(layoutCreate, "cublasLtMatrixLayoutCreate",                                                    \
    (Descriptor * layout, int type, uint64_t rows, uint64_t columns, int64_t ld))                  \
  F(layoutDestroy, "cublasLtMatrixLayoutDestroy", (Descriptor layout))                             \
  F(layoutSet, "cublasLtMatrixLayoutSetAttribute",                                                 \
    (Descriptor layout, int attribute, const void *value, size_t bytes))                           \
  F(preferenceCreate, "cublasLtMatmulPreferenceCreate", (Descriptor * preference))                 \
  F(preferenceDestroy, "cublasLtMatmulPreferenceDestroy", (Descriptor preference))                 \
  F(preferenceSet, "cublasLtMatmulPreferenceSetAttribute",                                         \
    (Descriptor preference, int attribute, const void *value, size_t bytes))                       \
  F(heuristic, "cublasLtMatmulAlgoGetHeuristic",                                                   \
    (void *handle, Descriptor desc, Descriptor a, Descriptor b, Descriptor c, Descriptor d,        \
     Descriptor preference, int wanted, Heuristic *results, int *found))                           \
  F(run, "cublasLtMatmul",                                                                         \
    (void *handle, Descriptor desc, const void *alpha, DeviceAddress a, Descriptor aLayout,        \
     DeviceAddress b, Descriptor bLayout, const void *beta, DeviceAddress c, Descriptor cLayout,   \
     DeviceAddress d, Descriptor dLayout, const void *algorithm, DeviceAddress workspace,          \
     size_t workspaceBytes, StreamHandle stream))

struct CublasLt::Api {
#define F(member, name, arguments) int(*member) arguments = nullptr;
  CIUIC_CUBLASLT(F)
#undef F
};

CublasLt::CublasLt() : api(std::make_unique<Api>()) {}

CublasLt::~CublasLt() {
  if (handle) {
    (void)api->destroy(handle);
  }
}

static Status blasFailure(const char *call, int error) {
  return failure(StatusClass::Environment, "device.cublaslt", "%s failed with status %d of cuBLAS",
                 call, error);
}

Status CublasLt::open(std::unique_ptr<CublasLt> *out) {
  void *library = openVendorLibrary({"libcublasLt.so.13", "libcublasLt.so.12"}, "cublas");
  if (!library) {
    return failure(StatusClass::Environment, "device.no-cublaslt",
                   "the program calls cuBLASLt, and libcublasLt.so.13 or .12 is not found: install "
                   "it (pip install nvidia-cublas) and name its folder in CIUIC_CUDA_LIBS");
  }
  std::unique_ptr<CublasLt> made(new CublasLt());
  Api &api = *made->api;
  const char *missing = nullptr;
#define F(member, name, arguments)                                                                 \
  api.member = reinterpret_cast<int(*) arguments>(::dlsym(library, name));                         \
  missing = api.member || missing ? missing : name;
  CIUIC_CUBLASLT(F)
#undef F
  if (missing) {
    return failure(StatusClass::Environment, "device.no-cublaslt",
                   "the cuBLASLt found here has no %s: install version 12 or 13", missing);
  }
  if (int error = api.create(&made->handle)) {
    made->handle = nullptr;
    return blasFailure("cublasLtCreate", error);
  }
  *out = std::move(made);
  return Status::ok();
}

static int dataType(format::DType type) {
  switch (type) {
  case format::DType::F16:
    return 2;
  case format::DType::BF16:
    return 14;
  default:
    return 0;
  }
}

#define TRY_BLAS(function, ...)                                                                    \
  do {                                                                                             \
    if (int error = f.function(__VA_ARGS__))                                                       \
      return blasFailure(#function, error);                                                        \
  } while (false)

/// A product as the library sees it: D^T = B^T A^T, so its A is our B, and rows are our columns.
struct CublasLt::Product {
  explicit Product(const Api &f) : f(f) {}
  Product(const Product &) = delete;
  Product &operator=(const Product &) = delete;
  ~Product() {
    if (desc) {
      (void)f.descDestroy(desc);
    }
    for (Descriptor layout : {a, b, d}) {
      if (layout) {
        (void)f.layoutDestroy(layout);
      }
    }
    if (preference) {
      (void)f.preferenceDestroy(preference);
    }
  }

  Status layout(Descriptor *out, format::DType type, int64_t rows, int64_t cols, int64_t ld,
                int64_t stride, int64_t batch) const {
    TRY_BLAS(layoutCreate, out, dataType(type), static_cast<uint64_t>(rows),
             static_cast<uint64_t>(cols), ld);
    if (batch > 1) {
      auto count = static_cast<int32_t>(batch);
      TRY_BLAS(layoutSet, *out, kBatchCount, &count, sizeof count);
      TRY_BLAS(layoutSet, *out, kBatchStride, &stride, sizeof stride);
    }
    return Status::ok();
  }

  Status describe(const format::MatmulCall &call, const format::MatmulShape &shape, int64_t columns,
                  DeviceAddress bias) {
    TRY_BLAS(descCreate, &desc, kCompute32F, kScale32F);
    int32_t transposed = kOperationTransposed;
    if (call.transB) {
      TRY_BLAS(descSet, desc, kTransA, &transposed, sizeof transposed);
    }
    if (call.transA) {
      TRY_BLAS(descSet, desc, kTransB, &transposed, sizeof transposed);
    }
    if (call.bias) {
      uint32_t epilogue = kEpilogueValueBias;
      TRY_BLAS(descSet, desc, kEpilogue, &epilogue, sizeof epilogue);
      TRY_BLAS(descSet, desc, kBiasPointer, &bias, sizeof bias);
    }
    CIUIC_TRY(layout(&a, call.typeB, call.transB ? shape.k : columns,
                     call.transB ? columns : shape.k, shape.ldb, shape.strideB, shape.batch));
    CIUIC_TRY(layout(&b, call.typeA, call.transA ? shape.m : shape.k,
                     call.transA ? shape.k : shape.m, shape.lda, shape.strideA, shape.batch));
    return layout(&d, call.typeD, columns, shape.m, shape.ldc, shape.strideC, shape.batch);
  }

  /// The library's heuristic, best first, at most `results.size()`.
  Status heuristic(void *handle, int64_t workspaceBytes, std::vector<Heuristic> &results) {
    TRY_BLAS(preferenceCreate, &preference);
    auto most = static_cast<uint64_t>(workspaceBytes);
    TRY_BLAS(preferenceSet, preference, kMaxWorkspace, &most, sizeof most);
    TRY_BLAS(preferenceSet, preference, kReductionMask, &kReduceInComputeType,
             sizeof kReduceInComputeType);
    uint32_t alignment = 16;
    for (int which = kAlignmentA; which <= kAlignmentD; ++which) {
      TRY_BLAS(preferenceSet, preference, which, &alignment, sizeof alignment);
    }
    int found = 0;
    int error = f.heuristic(handle, desc, a, b, d, d, preference, static_cast<int>(results.size()),
                            results.data(), &found);
    results.resize(static_cast<size_t>(error == 0 ? std::max(found, 0) : 0));
    std::erase_if(results, [](const Heuristic &h) { return h.state != 0; });
    return error == 0 || error == kNotSupported
               ? Status::ok()
               : blasFailure("cublasLtMatmulAlgoGetHeuristic", error);
  }

  const Api &f;
  Descriptor desc = nullptr, a = nullptr, b = nullptr, d = nullptr, preference = nullptr;
};

static int64_t firstColumn(const format::MatmulCall &call, const format::MatmulShape &shape) {
  return call.panels ? std::min(call.firstPanel * format::kPanelColumns, shape.n) : 0;
}

static int64_t columnsOf(const format::MatmulCall &call, const format::MatmulShape &shape) {
  const int64_t end =
      call.panels ? std::min(call.endPanel * format::kPanelColumns, shape.n) : shape.n;
  return end - firstColumn(call, shape);
}

static CublasLt::Algorithm algorithmOf(const Heuristic &found) {
  CublasLt::Algorithm algorithm;
  std::copy(std::begin(found.algorithm), std::end(found.algorithm), algorithm.data);
  algorithm.workspaceBytes = found.workspaceBytes;
  return algorithm;
}

Status CublasLt::candidates(const format::MatmulCall &call, const format::MatmulShape &shape,
                            int64_t workspaceBytes, int most, std::vector<Algorithm> *out) {
  Product product(*api);
  CIUIC_TRY(product.describe(call, shape, columnsOf(call, shape), 0));
  std::vector<Heuristic> found(static_cast<size_t>(most));
  CIUIC_TRY(product.heuristic(handle, workspaceBytes, found));
  out->clear();
  for (const Heuristic &one : found) {
    out->push_back(algorithmOf(one));
  }
  return Status::ok();
}

Status CublasLt::matmul(const format::MatmulCall &call, const format::MatmulShape &shape,
                        std::span<const DeviceAddress> pointers, const VendorWorkspace &workspace,
                        StreamHandle stream, const Algorithm *chosen) {
  const Api &f = *api;
  const int64_t begin = firstColumn(call, shape), columns = columnsOf(call, shape);
  if (shape.batch == 0 || shape.m == 0 || columns <= 0) {
    return Status::ok();
  }
  auto shift = static_cast<DeviceAddress>(begin * (call.typeD == format::DType::F32 ? 4 : 2));
  size_t next = 2;
  DeviceAddress a = pointers[0], b = pointers[1];
  DeviceAddress bias = call.bias ? pointers[next++] + shift : 0;
  DeviceAddress residual = call.residual ? pointers[next++] + shift : 0;
  DeviceAddress d = pointers[next] + shift;
  Product own(f);
  CIUIC_TRY(own.describe(call, shape, columns, bias));

  if (!chosen) {
    const int64_t choice = shape.m == call.choiceRows ? call.choice : 0;
    std::vector<int64_t> key = {static_cast<int64_t>(call.typeA),
                                static_cast<int64_t>(call.typeD),
                                call.transA,
                                call.transB,
                                call.bias,
                                call.residual,
                                choice,
                                columns,
                                workspace.bytes,
                                shape.batch,
                                shape.m,
                                shape.k,
                                shape.lda,
                                shape.ldb,
                                shape.ldc,
                                shape.strideA,
                                shape.strideB,
                                shape.strideC};
    auto known = algorithms.find(key);
    if (known == algorithms.end()) {
      std::vector<Heuristic> best(static_cast<size_t>(choice) + 1);
      CIUIC_TRY(own.heuristic(handle, workspace.bytes, best));
      if (best.empty()) {
        return failure(StatusClass::Environment, "device.cublaslt",
                       "cuBLASLt has no algorithm for a product of %lld x %lld x %lld (batch %lld) "
                       "with %lld bytes of workspace",
                       static_cast<long long>(shape.m), static_cast<long long>(columns),
                       static_cast<long long>(shape.k), static_cast<long long>(shape.batch),
                       static_cast<long long>(workspace.bytes));
      }
      if (algorithms.size() >= kMostAlgorithms) {
        algorithms.clear(); // the same heuristic gives the same answer again
      }
      known = algorithms.emplace(std::move(key), algorithmOf(best.back())).first;
    }
    chosen = &known->second;
  }
  float one = 1, beta = call.residual ? 1.0f : 0.0f;
  DeviceAddress c = call.residual ? residual : d;
  TRY_BLAS(run, handle, own.desc, &one, b, own.a, a, own.b, &beta, c, own.d, d, own.d, chosen->data,
           workspace.address, chosen->workspaceBytes, stream);
#undef TRY_BLAS
  return Status::ok();
}

} // namespace ciuic::device::cuda
