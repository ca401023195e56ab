// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The little of the CUDA driver that tests and measurements of kernels use: a context, a module,
// buffers, launches. Any error ends the program with its name.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cuda.h>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#define CIUIC_CU(call)                                                                             \
  do {                                                                                             \
    const CUresult result_ = (call);                                                               \
    if (result_ != CUDA_SUCCESS) {                                                                 \
      const char *text_ = nullptr;                                                                 \
      cuGetErrorString(result_, &text_);                                                           \
      std::printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call, text_ ? text_ : "?");              \
      std::exit(1);                                                                                \
    }                                                                                              \
  } while (0)

namespace ciuic::test {

struct Driver {
  CUdevice device = 0;
  CUcontext context = nullptr;
  CUstream stream = nullptr;
  std::string name;
  int multiprocessors = 0;

  Driver() {
    CIUIC_CU(cuInit(0));
    CIUIC_CU(cuDeviceGet(&device, 0));
    CIUIC_CU(cuDevicePrimaryCtxRetain(&context, device));
    CIUIC_CU(cuCtxSetCurrent(context));
    CIUIC_CU(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    char text[128];
    CIUIC_CU(cuDeviceGetName(text, sizeof text, device));
    name = text;
    CIUIC_CU(
        cuDeviceGetAttribute(&multiprocessors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device));
  }

  CUmodule load(const char *path) const {
    std::ifstream file(path, std::ios::binary);
    const std::string image{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (image.empty()) {
      std::printf("cannot read %s\n", path);
      std::exit(1);
    }
    CUmodule module = nullptr;
    CIUIC_CU(cuModuleLoadData(&module, image.c_str()));
    return module;
  }

  CUfunction function(CUmodule module, const std::string &entry, int64_t sharedBytes) const {
    CUfunction f = nullptr;
    CIUIC_CU(cuModuleGetFunction(&f, module, entry.c_str()));
    CIUIC_CU(cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                static_cast<int>(sharedBytes)));
    return f;
  }

  /// With `overlap`, the kernel may start before the one in front of it has finished.
  void launch(CUfunction f, int64_t grid, int64_t threads, int64_t sharedBytes, void **params,
              bool overlap = false) const {
    CUlaunchConfig config = {};
    config.gridDimX = static_cast<unsigned>(grid);
    config.gridDimY = config.gridDimZ = 1;
    config.blockDimX = static_cast<unsigned>(threads);
    config.blockDimY = config.blockDimZ = 1;
    config.sharedMemBytes = static_cast<unsigned>(sharedBytes);
    config.hStream = stream;
    CUlaunchAttribute attribute = {};
    attribute.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    attribute.value.programmaticStreamSerializationAllowed = 1;
    config.attrs = &attribute;
    config.numAttrs = overlap ? 1 : 0;
    CIUIC_CU(cuLaunchKernelEx(&config, f, params, nullptr));
  }

  void wait() const { CIUIC_CU(cuStreamSynchronize(stream)); }
};

/// Device memory with an offset from its 256-byte alignment.
class Buffer {
public:
  Buffer(const void *data, size_t bytes, size_t offset = 0) : bytes(bytes), offset(offset) {
    CIUIC_CU(cuMemAlloc(&base, bytes + offset + 16));
    if (data && bytes) {
      CIUIC_CU(cuMemcpyHtoD(base + offset, data, bytes));
    }
  }
  Buffer(const Buffer &) = delete;
  ~Buffer() { cuMemFree(base); }
  char *get() const { return reinterpret_cast<char *>(base + offset); }
  /// Done when it returns: launches are in a stream that does not wait for it.
  void fill(unsigned char byte) const {
    CIUIC_CU(cuMemsetD8(base, byte, bytes + offset + 16));
    CIUIC_CU(cuCtxSynchronize());
  }
  void read(void *to) const {
    if (bytes) {
      CIUIC_CU(cuMemcpyDtoH(to, base + offset, bytes));
    }
  }

private:
  CUdeviceptr base = 0;
  size_t bytes, offset;
};

} // namespace ciuic::test
