// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The CUDA driver as one table of functions, found in libcuda.so.1 when a device is opened: the
// same build runs where there is no driver, and needs no CUDA header. Types and numbers are those
// of cuda.h (CUDA 12.0 and later); names carry the version suffix of the ABI that is called. A test
// copies the table and puts its own functions in.
#pragma once

#include "runtime/base/Status.h"

#include <cstddef>
#include <cstdint>
#include <memory>

namespace ciuic::device::cuda {

using Result = int;
using DeviceHandle = int;
using DeviceAddress = uint64_t;
using ContextHandle = struct ContextTag *;
using ModuleHandle = struct ModuleTag *;
using FunctionHandle = struct FunctionTag *;
using StreamHandle = struct StreamTag *;
using EventHandle = struct EventTag *;
using GraphHandle = struct GraphTag *;
using GraphExecHandle = struct GraphExecTag *;
using HostFunction = void (*)(void *);
/// CUDA_MEMCPY2D.
struct Copy2D {
  size_t fromX = 0, fromY = 0;
  unsigned fromType = 0;
  const void *fromHost = nullptr;
  DeviceAddress fromDevice = 0;
  void *fromArray = nullptr;
  size_t fromPitch = 0, toX = 0, toY = 0;
  unsigned toType = 0;
  void *toHost = nullptr;
  DeviceAddress toDevice = 0;
  void *toArray = nullptr;
  size_t toPitch = 0, width = 0, height = 0;
};
inline constexpr unsigned kMemoryHost = 1, kMemoryDevice = 2; // Copy2D's types
struct Uuid {
  unsigned char bytes[16];
};

namespace result {
inline constexpr Result success = 0, outOfMemory = 2, noDevice = 100, invalidImage = 200,
                        noBinaryForGpu = 209, invalidPtx = 218, unsupportedPtxVersion = 222,
                        invalidSource = 300, notFound = 500, systemDriverMismatch = 803,
                        compatNotSupported = 804;
} // namespace result

namespace attribute {
inline constexpr int multiprocessors = 16, capabilityMajor = 75, capabilityMinor = 76,
                     hostPointersAreDevicePointers = 91, maxSharedPerBlock = 97;
} // namespace attribute
struct LaunchAttribute {
  int id;
  int padding;
  int value;
  char rest[60];
};
struct LaunchConfig {
  unsigned gridX, gridY, gridZ, blockX, blockY, blockZ, sharedBytes;
  StreamHandle stream;
  LaunchAttribute *attributes;
  unsigned attributeCount;
};
static_assert(sizeof(LaunchAttribute) == 72 && sizeof(LaunchConfig) == 56);
inline constexpr int kLaunchCooperative = 2, kLaunchProgrammaticSerialization = 6;
inline constexpr int kFunctionShared = 1, kFunctionMaxDynamicShared = 8, kFunctionClusterWidth = 11;
inline constexpr int kJitErrorLog = 5, kJitErrorLogBytes = 6;
inline constexpr unsigned kStreamNonBlocking = 1, kEventDefault = 0, kEventDisableTiming = 2;
inline constexpr unsigned kRegisterPortable = 1, kRegisterDeviceMap = 2;
inline constexpr int kCaptureRelaxed = 2;
inline constexpr int kLeastDriver = 12000; // the version of CUDA that a driver is for, × 1000

// F(member, name in the library, arguments)
#define CIUIC_CUDA_DRIVER(F)                                                                       \
  F(init, "cuInit", (unsigned flags))                                                              \
  F(driverGetVersion, "cuDriverGetVersion", (int *version))                                        \
  F(getErrorName, "cuGetErrorName", (Result error, const char **text))                             \
  F(getErrorString, "cuGetErrorString", (Result error, const char **text))                         \
  F(deviceGetCount, "cuDeviceGetCount", (int *count))                                              \
  F(deviceGet, "cuDeviceGet", (DeviceHandle * device, int ordinal))                                \
  F(deviceGetName, "cuDeviceGetName", (char *name, int bytes, DeviceHandle device))                \
  F(deviceGetUuid, "cuDeviceGetUuid_v2", (Uuid * uuid, DeviceHandle device))                       \
  F(deviceTotalMem, "cuDeviceTotalMem_v2", (size_t *bytes, DeviceHandle device))                   \
  F(deviceGetAttribute, "cuDeviceGetAttribute", (int *value, int attribute, DeviceHandle device))  \
  F(primaryCtxRetain, "cuDevicePrimaryCtxRetain", (ContextHandle * context, DeviceHandle device))  \
  F(primaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", (DeviceHandle device))                      \
  F(ctxPushCurrent, "cuCtxPushCurrent_v2", (ContextHandle context))                                \
  F(ctxPopCurrent, "cuCtxPopCurrent_v2", (ContextHandle * context))                                \
  F(memGetInfo, "cuMemGetInfo_v2", (size_t *free, size_t *total))                                  \
  F(memAlloc, "cuMemAlloc_v2", (DeviceAddress * address, size_t bytes))                            \
  F(memFree, "cuMemFree_v2", (DeviceAddress address))                                              \
  F(memAllocHost, "cuMemAllocHost_v2", (void **address, size_t bytes))                             \
  F(memFreeHost, "cuMemFreeHost", (void *address))                                                 \
  F(memHostRegister, "cuMemHostRegister_v2", (void *address, size_t bytes, unsigned flags))        \
  F(memHostUnregister, "cuMemHostUnregister", (void *address))                                     \
  F(memHostGetDevicePointer, "cuMemHostGetDevicePointer_v2",                                       \
    (DeviceAddress * device, void *host, unsigned flags))                                          \
  F(memcpyHtoDAsync, "cuMemcpyHtoDAsync_v2",                                                       \
    (DeviceAddress to, const void *from, size_t bytes, StreamHandle stream))                       \
  F(memcpyDtoHAsync, "cuMemcpyDtoHAsync_v2",                                                       \
    (void *to, DeviceAddress from, size_t bytes, StreamHandle stream))                             \
  F(memcpy2DAsync, "cuMemcpy2DAsync_v2", (const Copy2D *copy, StreamHandle stream))                \
  F(memsetD8Async, "cuMemsetD8Async",                                                              \
    (DeviceAddress to, unsigned char value, size_t bytes, StreamHandle stream))                    \
  F(moduleLoadDataEx, "cuModuleLoadDataEx",                                                        \
    (ModuleHandle * module, const void *image, unsigned options, int *names, void **values))       \
  F(moduleUnload, "cuModuleUnload", (ModuleHandle module))                                         \
  F(moduleGetFunction, "cuModuleGetFunction",                                                      \
    (FunctionHandle * function, ModuleHandle module, const char *name))                            \
  F(funcSetAttribute, "cuFuncSetAttribute", (FunctionHandle function, int attribute, int value))   \
  F(funcGetAttribute, "cuFuncGetAttribute", (int *value, int attribute, FunctionHandle function))  \
  F(occupancy, "cuOccupancyMaxActiveBlocksPerMultiprocessor",                                      \
    (int *blocks, FunctionHandle function, int threads, size_t shared))                            \
  F(launchKernel, "cuLaunchKernel",                                                                \
    (FunctionHandle function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX,     \
     unsigned blockY, unsigned blockZ, unsigned shared, StreamHandle stream, void **arguments,     \
     void **extra))                                                                                \
  F(launchKernelEx, "cuLaunchKernelEx",                                                            \
    (const LaunchConfig *config, FunctionHandle function, void **arguments, void **extra))         \
  F(launchHostFunc, "cuLaunchHostFunc",                                                            \
    (StreamHandle stream, HostFunction function, void *argument))                                  \
  F(streamCreate, "cuStreamCreate", (StreamHandle * stream, unsigned flags))                       \
  F(streamDestroy, "cuStreamDestroy_v2", (StreamHandle stream))                                    \
  F(streamSynchronize, "cuStreamSynchronize", (StreamHandle stream))                               \
  F(streamWaitEvent, "cuStreamWaitEvent",                                                          \
    (StreamHandle stream, EventHandle event, unsigned flags))                                      \
  F(streamBeginCapture, "cuStreamBeginCapture_v2", (StreamHandle stream, int mode))                \
  F(streamEndCapture, "cuStreamEndCapture", (StreamHandle stream, GraphHandle * graph))            \
  F(eventCreate, "cuEventCreate", (EventHandle * event, unsigned flags))                           \
  F(eventDestroy, "cuEventDestroy_v2", (EventHandle event))                                        \
  F(eventRecord, "cuEventRecord", (EventHandle event, StreamHandle stream))                        \
  F(eventSynchronize, "cuEventSynchronize", (EventHandle event))                                   \
  F(eventElapsedTime, "cuEventElapsedTime",                                                        \
    (float *milliseconds, EventHandle begin, EventHandle end))                                     \
  F(graphDestroy, "cuGraphDestroy", (GraphHandle graph))                                           \
  F(graphInstantiate, "cuGraphInstantiateWithFlags",                                               \
    (GraphExecHandle * executable, GraphHandle graph, unsigned long long flags))                   \
  F(graphUpload, "cuGraphUpload", (GraphExecHandle executable, StreamHandle stream))               \
  F(graphLaunch, "cuGraphLaunch", (GraphExecHandle executable, StreamHandle stream))               \
  F(graphExecDestroy, "cuGraphExecDestroy", (GraphExecHandle executable))

// Newer than kLeastDriver: null where the driver lacks them.
#define CIUIC_CUDA_DRIVER_OPTIONAL(F)                                                              \
  F(funcLoad, "cuFuncLoad", (FunctionHandle function))                                             \
  F(funcGetParamInfo, "cuFuncGetParamInfo",                                                        \
    (FunctionHandle function, size_t index, size_t *offset, size_t *bytes))

struct Driver {
#define F(member, name, arguments) Result(*member) arguments = nullptr;
  CIUIC_CUDA_DRIVER(F)
  CIUIC_CUDA_DRIVER_OPTIONAL(F)
#undef F
  std::shared_ptr<void> library; // keeps the code of the functions
};

/// Opens the driver and initialises it. Codes: device.no-driver, device.old-driver, device.none.
Status openDriver(Driver *out);
/// "CUDA_ERROR_X (text)".
std::string errorText(const Driver &driver, Result error);
/// True for errors after which the driver answers no call of this process any more.
bool losesDevice(Result error);

} // namespace ciuic::device::cuda
