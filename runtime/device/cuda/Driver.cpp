// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/device/cuda/Driver.h"

#include <dlfcn.h>

namespace ciuic::device::cuda {

static Status noDriver(const char *why) {
  return failure(StatusClass::Environment, "device.no-driver",
                 "no NVIDIA driver here (%s): install one, or compile the program with --target "
                 "host and run it on device 'host'",
                 why);
}

static Status oldDriver(const std::string &what) {
  return failure(StatusClass::Environment, "device.old-driver",
                 "the NVIDIA driver %s: update it to one for CUDA %d.0 or newer", what.c_str(),
                 kLeastDriver / 1000);
}

Status openDriver(Driver *out) {
  void *handle = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char *why = ::dlerror();
    return noDriver(why ? why : "libcuda.so.1 cannot be opened");
  }
  // Never closed: the driver's own threads and exit handlers outlive every device.
  out->library = std::shared_ptr<void>(handle, [](void *) {});
  const char *missing = nullptr;
#define F(member, name, arguments)                                                                 \
  out->member = reinterpret_cast<Result(*) arguments>(::dlsym(handle, name));                      \
  missing = out->member || missing ? missing : name;
  CIUIC_CUDA_DRIVER(F)
#undef F
  if (missing) {
    return oldDriver(std::string("has no ") + missing);
  }
#define F(member, name, arguments)                                                                 \
  out->member = reinterpret_cast<Result(*) arguments>(::dlsym(handle, name));
  CIUIC_CUDA_DRIVER_OPTIONAL(F)
#undef F
  int version = 0;
  if (out->driverGetVersion(&version) == result::success && version < kLeastDriver) {
    return oldDriver(formatText("is for CUDA %d.%d", version / 1000, version % 1000 / 10));
  }
  switch (Result error = out->init(0)) {
  case result::success:
    return Status::ok();
  case result::noDevice:
    return failure(StatusClass::Environment, "device.none",
                   "the NVIDIA driver sees no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES");
  case result::systemDriverMismatch:
  case result::compatNotSupported:
    return oldDriver("and its kernel module do not fit together (" + errorText(*out, error) + ")");
  default:
    return noDriver(errorText(*out, error).c_str());
  }
}

std::string errorText(const Driver &driver, Result error) {
  const char *name = nullptr, *text = nullptr;
  if (!driver.getErrorName || driver.getErrorName(error, &name) != result::success || !name) {
    return formatText("error %d", error);
  }
  (void)driver.getErrorString(error, &text);
  return formatText("%s: %s", name, text ? text : "no description");
}

bool losesDevice(Result error) {
  switch (error) {
  case 46:  // devices unavailable
  case 214: // uncorrectable ECC error
  case 220: // uncorrectable NVLink error
  case 226: // contained error
  case 700: // illegal address
  case 702: // launch timeout
  case 710: // assertion
  case 714: // hardware stack error
  case 715: // illegal instruction
  case 716: // misaligned address
  case 717: // invalid address space
  case 718: // invalid program counter
  case 719: // launch failed
  case 721: // tensor memory leak
  case 999: // unknown
    return true;
  default:
    return false;
  }
}

} // namespace ciuic::device::cuda
