// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What tests of library functions share: values of a type as bytes and as the numbers they are,
// launches with two grids, comparison with float64.
#pragma once
#include "kernels/cuda/Catalog.h"
#include "kernels/pack/HalfFloat.h"
#include "test/kernels/cuda/Driver.h"
#include "test/kernels/cuda/LibraryCalls.h"

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace ciuic::test {

inline size_t bytesOf(const std::string &type) { return type == "f32" ? 4 : 2; }

inline std::vector<float> normals(size_t count, unsigned seed, float by = 1) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0, by);
  std::vector<float> values(count);
  for (float &v : values) {
    v = normal(engine);
  }
  return values;
}

/// Rounds the values to the type, in place, and gives them as the kernel reads them.
inline std::vector<char> encode(std::vector<float> &values, const std::string &type) {
  const size_t size = bytesOf(type);
  std::vector<char> bytes(values.size() * size);
  for (size_t i = 0; i < values.size(); ++i) {
    if (size == 4) {
      std::memcpy(&bytes[i * 4], &values[i], 4);
      continue;
    }
    const uint16_t bits = type == "f16"           ? kernels::floatToHalf(values[i])
                          : std::isnan(values[i]) ? uint16_t(0x7fc0)
                                                  : kernels::floatToBfloat(values[i]);
    std::memcpy(&bytes[i * 2], &bits, 2);
    values[i] = type == "f16" ? kernels::halfToFloat(bits) : kernels::bfloatToFloat(bits);
  }
  return bytes;
}

/// ‖got − want‖ / ‖want‖ over numbers; infinite where one is no number and the other is.
inline double relativeError(const std::vector<double> &want, const std::vector<float> &got) {
  double error2 = 0, norm2 = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    if (std::isnan(want[i]) != std::isnan(got[i])) {
      return INFINITY;
    }
    if (!std::isnan(want[i])) {
      const double d = got[i] - want[i];
      error2 += d * d;
      norm2 += want[i] * want[i];
    }
  }
  return norm2 > 0 ? std::sqrt(error2 / norm2) : std::sqrt(error2);
}

/// How much of a test runs: all of it, what memcheck finishes in seconds, what racecheck does.
enum class Effort { All, Quick, Tiny };

inline Effort effortOf(const std::string &word) {
  if (word != "all" && word != "quick" && word != "tiny") {
    std::printf("'%s' is neither all, quick nor tiny\n", word.c_str());
    std::exit(2);
  }
  return word == "all" ? Effort::All : word == "quick" ? Effort::Quick : Effort::Tiny;
}

class Suite {
public:
  Driver driver;
  CUmodule module = nullptr; ///< Where all functions are in one.
  int checks = 0, failures = 0;

  void fail(const std::string &what) {
    if (++failures <= 20) {
      std::printf("FAIL %s\n", what.c_str());
    }
  }

  /// Launches `units` blocks, then few ones: the same bits, every element handed over once.
  std::vector<float> run(CUfunction f, TestCall call, int64_t rows, int64_t columns, int64_t units,
                         const kernels::cuda::Block &block, const std::string &what) {
    const size_t count = static_cast<size_t>(rows * columns);
    std::vector<float> values[2];
    for (int64_t grid :
         {std::max<int64_t>(1, units), std::max<int64_t>(1, std::min<int64_t>(7, units / 3))}) {
      Buffer out(nullptr, count * 4), counts(nullptr, count * 4 + 4);
      out.fill(0xff);
      counts.fill(0);
      call.ptrs[6] = counts.get();
      call.ptrs[7] = out.get();
      call.dims[0] = columns;
      call.dims[1] = static_cast<int64_t>(count);
      void *params[] = {&call};
      driver.launch(f, grid, block.threads, block.sharedBytes, params);
      driver.wait();
      std::vector<float> &got = values[values[0].empty() ? 0 : 1];
      got.resize(count);
      std::vector<unsigned> times(count + 1);
      out.read(got.data());
      counts.read(times.data());
      for (size_t i = 0; i <= count; ++i) {
        if (times[i] != (i < count ? 1u : 0u)) {
          fail(what + ": element " + std::to_string(i) + " handed over " +
               std::to_string(times[i]) + " times");
          break;
        }
      }
      if (count == 0) {
        return got;
      }
    }
    if (std::memcmp(values[0].data(), values[1].data(), count * 4)) {
      fail(what + ": bits depend on the grid");
    }
    return values[0];
  }

  void compare(const std::vector<double> &want, const std::vector<float> &got, double tolerance,
               const std::string &what) {
    ++checks;
    const double error = relativeError(want, got);
    if (!(error <= tolerance)) {
      fail(what + ": relative error " + std::to_string(error));
    }
  }

  /// For who has to end a slow run: how far it was.
  void progress(const std::string &part) const {
    std::printf("%s: %d checks so far, %d failures\n", part.c_str(), checks, failures);
    std::fflush(stdout);
  }

  int finish(const char *name) const {
    std::printf("%s on %s: %d checks, %d failures\n", name, driver.name.c_str(), checks, failures);
    return failures != 0;
  }
};

} // namespace ciuic::test
