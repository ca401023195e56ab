// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Loads the library kernels of a variant from the shared object the build links for tests, and runs
// one over all its units in chunks, in an order and a split that the caller picks, with poisoned
// scratch.
#pragma once
#include "kernels/host/Abi.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace ciuic::kernels::test {

inline bool cpuHas(const std::string &variant) {
  if (variant == "v4") {
    return __builtin_cpu_supports("x86-64-v4");
  }
  return __builtin_cpu_supports("x86-64-v3");
}

class HostLibrary {
public:
  explicit HostLibrary(const std::string &variant) {
    const std::string path = std::string(CIUIC_HOST_LIBRARY_DIR) + "/libhost-" + variant + ".so";
    handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      ADD_FAILURE() << dlerror();
      return;
    }
    lookup = reinterpret_cast<ciuic_library_kernel (*)(const char *)>(
        dlsym(handle, "ciuic_test_kernel"));
  }
  ~HostLibrary() {
    if (handle) {
      dlclose(handle);
    }
  }
  HostLibrary(const HostLibrary &) = delete;
  HostLibrary &operator=(const HostLibrary &) = delete;

  ciuic_library_kernel operator[](const char *name) const {
    return lookup ? lookup(name) : nullptr;
  }

private:
  void *handle = nullptr;
  ciuic_library_kernel (*lookup)(const char *) = nullptr;
};

// A suite that runs once a variant, "v3" and "v4", where this CPU does.
class HostLibraryTest : public testing::TestWithParam<std::string> {
protected:
  void SetUp() override {
    if (!cpuHas(GetParam())) {
      GTEST_SKIP() << "this CPU does not run x86-64-" << GetParam();
    }
    library = std::make_unique<HostLibrary>(GetParam());
  }
  std::unique_ptr<HostLibrary> library;
};

// 64-byte aligned floats (or bytes) between guard zones that must stay untouched.
template <typename T>
class Guarded {
public:
  explicit Guarded(size_t count) : count(count) {
    const size_t bytes = (count * sizeof(T) + 2 * kGuard + 63) / 64 * 64;
    memory.reset(static_cast<unsigned char *>(std::aligned_alloc(64, bytes)));
    std::memset(memory.get(), 0xA5, bytes);
    total = bytes;
  }
  T *data() { return reinterpret_cast<T *>(memory.get() + kGuard); }
  const T *data() const { return reinterpret_cast<const T *>(memory.get() + kGuard); }
  T &operator[](size_t i) { return data()[i]; }
  size_t size() const { return count; }
  char *bytes() { return reinterpret_cast<char *>(data()); }
  bool intact() const {
    for (size_t i = 0; i < kGuard; ++i) {
      if (memory.get()[i] != 0xA5) {
        return false;
      }
    }
    for (size_t i = kGuard + count * sizeof(T); i < total; ++i) {
      if (memory.get()[i] != 0xA5) {
        return false;
      }
    }
    return true;
  }

private:
  struct Free {
    void operator()(unsigned char *p) const { std::free(p); }
  };
  static constexpr size_t kGuard = 256;
  size_t count, total = 0;
  std::unique_ptr<unsigned char, Free> memory;
};

// Runs units [0, units) in chunks of `chunk`, last chunk first: a result must not depend on either.
inline void runUnits(ciuic_library_kernel kernel, const int64_t *args, ciuic_epilogue epilogue,
                     const std::vector<char *> &ptrs, const std::vector<int64_t> &params,
                     int64_t units, int64_t scratchBytes, int64_t chunk = 3,
                     const int64_t *dims = nullptr) {
  ASSERT_NE(kernel, nullptr);
  Guarded<unsigned char> scratch(static_cast<size_t>(scratchBytes));
  for (int64_t begin = (units - 1) / chunk * chunk; begin >= 0 && units > 0; begin -= chunk) {
    std::memset(scratch.data(), 0xFF, scratch.size()); // NaN everywhere
    kernel(args, epilogue, ptrs.data(), dims, params.data(), begin,
           begin + chunk < units ? begin + chunk : units, scratch.bytes());
  }
  EXPECT_TRUE(scratch.intact());
}

inline std::vector<float> normals(size_t count, unsigned seed, float scale = 1) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(count);
  for (float &v : values) {
    v = normal(engine);
  }
  return values;
}

inline double relativeError(const std::vector<double> &truth, const float *got) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    error += (truth[i] - got[i]) * (truth[i] - got[i]);
    norm += truth[i] * truth[i];
  }
  return norm > 0 ? std::sqrt(error / norm) : std::sqrt(error);
}

} // namespace ciuic::kernels::test
