// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products with packed weights against float64, on a GPU: ProductTest FAMILY MODULE [quick
// [FORMAT]], where MODULE is GemvKernels.cu or MatmulKernels.cu compiled, FAMILY gemv or matmul.
// Odd, padded and misaligned shapes; every element handed over once; the same bits with any grid
// and tile, and with any number of rows that splits K alike. gemv also in pairs of panels, behind a
// norm, and both.
#include "kernels/cuda/Catalog.h"
#include "kernels/pack/HalfFloat.h"
#include "kernels/pack/Pack.h"
#include "test/kernels/cuda/Driver.h"
#include "test/kernels/cuda/Products.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <span>

using namespace ciuic;
using namespace ciuic::kernels;

namespace {

struct Weight {
  int64_t N, K, panelBytes;
  std::vector<std::byte> packed;
  std::vector<float> values; // as multiplied, [panel][K][16]
};

Weight makeWeight(WeightFormat format, int64_t N, int64_t K) {
  std::mt19937 engine(static_cast<unsigned>(N * 31 + K));
  std::normal_distribution<float> normal(0, 0.05f);
  std::vector<float> stored(static_cast<size_t>(N * K));
  for (float &v : stored) {
    v = normal(engine);
  }
  WeightSource source = sourceOfColumns(K);
  source.read = [&](int64_t offset, std::span<std::byte> bytes) {
    std::memcpy(bytes.data(), reinterpret_cast<const char *>(stored.data()) + offset, bytes.size());
    return true;
  };
  const PackSpec spec = {
      .format = format, .columns = N, .channels = K, .layout = WeightLayout::Rows16};
  Weight w{N, K, panelBytes(spec), std::vector<std::byte>(static_cast<size_t>(packedBytes(spec))),
           std::vector<float>(static_cast<size_t>(panelCount(spec) * K * 16))};
  if (std::string problem = packPanels(spec, source, 0, panelCount(spec), w.packed);
      !problem.empty()) {
    std::printf("packing: %s\n", problem.c_str());
    std::exit(1);
  }
  unpackPanels(spec, w.packed, 0, panelCount(spec), w.values.data());
  return w;
}

/// Activations as the kernel reads them and as the values they are.
struct Rows {
  std::vector<char> bytes;
  std::vector<double> values; // [M][K]
};

/// One value as the kernel reads it, and as it is then.
double store(const std::string &type, float x, char *to) {
  if (type == "f32") {
    std::memcpy(to, &x, 4);
    return x;
  }
  const uint16_t bits = type == "f16" ? floatToHalf(x) : floatToBfloat(x);
  std::memcpy(to, &bits, 2);
  return type == "f16" ? halfToFloat(bits) : bfloatToFloat(bits);
}

Rows makeRows(const std::string &type, int64_t M, int64_t K, int64_t lda) {
  std::mt19937 engine(static_cast<unsigned>(K));
  std::normal_distribution<float> normal(0, 1);
  const size_t size = type == "f32" ? 4 : 2;
  // What lies between rows, and behind them, is no number.
  Rows rows{std::vector<char>(static_cast<size_t>(M * lda) * size, static_cast<char>(0xff)),
            std::vector<double>(static_cast<size_t>(M * K))};
  for (int64_t m = 0; m < M; ++m) {
    for (int64_t k = 0; k < K; ++k) {
      const float x = normal(engine);
      char *to = rows.bytes.data() + static_cast<size_t>(m * lda + k) * size;
      double &value = rows.values[static_cast<size_t>(m * K + k)];
      value = store(type, x, to);
    }
  }
  return rows;
}

constexpr float kEpsilon = 1e-5f;

/// Scales of a norm.
Rows makeScales(const std::string &type, int64_t K) {
  Rows scales{std::vector<char>(static_cast<size_t>(K) * 4), {}};
  const size_t size = type == "f32" ? 4 : 2;
  for (int64_t k = 0; k < K; ++k) {
    scales.values.push_back(store(type, 0.5f + static_cast<float>(k * 37 % 101) / 64,
                                  scales.bytes.data() + static_cast<size_t>(k) * size));
  }
  return scales;
}

/// Rows as the kernel multiplies them behind a norm.
void normalise(const std::string &type, std::vector<double> &rows,
               const std::vector<double> &scale) {
  const size_t K = scale.size();
  for (size_t m = 0; m < rows.size() / K; ++m) {
    double sum = 0;
    for (size_t k = 0; k < K; ++k) {
      sum += rows[m * K + k] * rows[m * K + k];
    }
    const double factor = 1 / std::sqrt(sum / static_cast<double>(K) + kEpsilon);
    for (size_t k = 0; k < K; ++k) {
      char bytes[4];
      double &x = rows[m * K + k];
      x = store(type, static_cast<float>(x * factor * scale[k]), bytes);
    }
  }
}

struct Mode {
  bool pairs = false, norm = false;
  std::string name() const { return std::string(pairs ? " pairs" : "") + (norm ? " norm" : ""); }
};

struct Suite {
  test::Driver driver;
  CUmodule module;
  int64_t checks = 0, failures = 0;
  double worst = 0;
  cuda::Block block = {};
  double tolerance = 0;
  bool gemv = false;

  void fail(const std::string &what) {
    if (++failures <= 20) {
      std::printf("FAIL %s\n", what.c_str());
    }
  }

  std::vector<float> run(CUfunction f, ProductCall call, const Weight &w,
                         const test::Buffer &weights, int64_t M, int64_t tile, int64_t grid,
                         const std::string &what) {
    const int64_t ldc = w.N + 3, panels = (w.N + 15) / 16;
    const size_t bytes = static_cast<size_t>(M * ldc) * 4;
    test::Buffer out(nullptr, bytes), counts(nullptr, bytes),
        workspace(nullptr, static_cast<size_t>(gemv ? 0 : matmulWorkspace(M, w.N, w.K)));
    out.fill(0xff);
    counts.fill(0);
    call.args[kMatmulM] = M;
    call.dims[0] = ldc;
    if (!gemv) {
      call.ptrs[2] = workspace.get();
    }
    call.ptrs[3] = out.get();
    call.ptrs[4] = counts.get();
    for (int64_t first = 0; first < panels; first += tile) {
      call.params[0] = first;
      call.params[1] = std::min(panels, first + tile);
      call.ptrs[1] = weights.get() + first * w.panelBytes;
      void *params[] = {&call};
      driver.launch(f, grid, block.threads, block.sharedBytes, params, true);
    }
    driver.wait();
    std::vector<float> values(bytes / 4);
    std::vector<unsigned> times(bytes / 4);
    out.read(values.data());
    counts.read(times.data());
    for (size_t i = 0; i < times.size(); ++i) {
      if (times[i] != (static_cast<int64_t>(i) % ldc < w.N ? 1 : 0)) {
        fail(what + ": element " + std::to_string(i) + " handed over " + std::to_string(times[i]) +
             " times");
        break;
      }
    }
    return values;
  }

  void check(CUfunction f, const std::string &type, const std::string &format, const Weight &w,
             int64_t lda, size_t offset, std::span<const int64_t> rowCounts, Mode mode = {}) {
    const int64_t rowsAtMost = rowCounts.back(), panels = (w.N + 15) / 16, ldc = w.N + 3;
    Rows rows = makeRows(type, rowsAtMost, w.K, lda);
    const Rows scales = makeScales(type, w.K);
    test::Buffer a(rows.bytes.data(), rows.bytes.size(), offset),
        weights(w.packed.data(), w.packed.size()),
        scale(scales.bytes.data(), scales.bytes.size(), offset);
    if (mode.norm) {
      normalise(type, rows.values, scales.values);
    }
    ProductCall call = {};
    call.args[kMatmulN] = w.N;
    call.args[kMatmulK] = w.K;
    call.args[kMatmulLda] = lda;
    call.args[kMatmulLdc] = ldc;
    call.args[cuda::kGemvPairs] = mode.pairs;
    call.args[cuda::kGemvNorm] = mode.norm;
    call.args[cuda::kGemvEpsilon] = std::bit_cast<int32_t>(kEpsilon);
    call.ptrs[0] = a.get();
    call.ptrs[2] = scale.get();
    std::map<int64_t, std::vector<float>> bySplits;
    for (int64_t i = static_cast<int64_t>(rowCounts.size()) - 1; i >= 0; --i) {
      const int64_t M = rowCounts[static_cast<size_t>(i)];
      const std::string what = type + " x " + format + " M " + std::to_string(M) + " N " +
                               std::to_string(w.N) + " K " + std::to_string(w.K) + " lda " +
                               std::to_string(lda) + " offset " + std::to_string(offset) +
                               mode.name();
      const std::vector<float> got = run(f, call, w, weights, M, panels, 264, what);
      ++checks;
      double error2 = 0, norm2 = 0;
      for (int64_t m = 0; m < M; ++m) {
        for (int64_t n0 = 0; n0 < w.N; n0 += 16) {
          double want[16] = {};
          const float *panel = w.values.data() + n0 * w.K;
          for (int64_t k = 0; k < w.K; ++k) {
            const double x = rows.values[static_cast<size_t>(m * w.K + k)];
            for (int64_t c = 0; c < 16; ++c) {
              want[c] += x * static_cast<double>(panel[k * 16 + c]);
            }
          }
          for (int64_t c = 0; c < std::min<int64_t>(16, w.N - n0); ++c) {
            const double d =
                static_cast<double>(got[static_cast<size_t>(m * ldc + n0 + c)]) - want[c];
            error2 += d * d;
            norm2 += want[c] * want[c];
          }
        }
      }
      const double error = norm2 > 0 ? std::sqrt(error2 / norm2) : std::sqrt(error2);
      worst = std::max(worst, error);
      // Behind a norm a factor's last bit may round a value the other way.
      const double flips = !mode.norm ? 0 : type == "f16" ? 6e-5 : type == "bf16" ? 5e-4 : 2e-6;
      if (!(error < tolerance + flips)) {
        fail(what + ": relative error " + std::to_string(error));
      }
      // Few panels (or pairs) a launch, on one block or two: the same bits.
      const int64_t few = std::max<int64_t>(1, panels / 32) * (mode.pairs ? 2 : 1);
      if (std::memcmp(run(f, call, w, weights, M, few, 1, what + " small tiles").data(), got.data(),
                      got.size() * 4) ||
          std::memcmp(run(f, call, w, weights, M, 3 * few, 2, what + " tiles").data(), got.data(),
                      got.size() * 4)) {
        fail(what + ": bits depend on the tile or the grid");
      }
      std::vector<float> &all = bySplits[gemv ? 1 : matmulSplits(M, w.N, w.K)];
      if (all.empty()) {
        all = got;
      } else if (std::memcmp(all.data(), got.data(), got.size() * 4)) {
        fail(what + ": bits depend on the number of rows");
      }
    }
  }
};

} // namespace

int main(int argc, char **argv) {
  const std::string family = argc > 2 ? argv[1] : "";
  if (family != "gemv" && family != "matmul") {
    std::printf("usage: ProductTest gemv|matmul MODULE [quick [FORMAT]]\n");
    return 2;
  }
  const bool quick = argc > 3, gemv = family == "gemv";
  using Functions = std::vector<std::pair<const char *, const char *>>;
#define CIUIC_PAIR(A, W) {#A, #W},
  const Functions functions = gemv ? Functions{CIUIC_GEMV_FUNCTIONS(CIUIC_PAIR)}
                                   : Functions{CIUIC_MATMUL_FUNCTIONS(CIUIC_PAIR)};
#undef CIUIC_PAIR
  std::vector<std::pair<int64_t, int64_t>> shapes = {{1, 1},  {17, 33},  {40, 130},
                                                     {5, 31}, {48, 576}, {100, 1000}};
  std::vector<int64_t> counts =
      gemv ? std::vector<int64_t>{1, 2, 3, 8, 9, 16} : std::vector<int64_t>{1, 17, 33, 64, 65, 150};
  if (quick) { // under a sanitizer
    shapes = {{17, 33}, {40, 1100}, {20, 2120}, {64, 1032}};
    counts = gemv ? std::vector<int64_t>{1, 9} : std::vector<int64_t>{17, 70};
    if (!gemv) {
      shapes.push_back({16400, 72});
      counts.push_back(129);
    }
  } else if (gemv) {
    shapes.insert(
        shapes.end(),
        {{33, 4096}, {16, 11008}, {64, 64}, {96, 2056}, {352, 4096}, {4500, 320}, {20, 8190}});
  } else {
    // The last two have large tiles at 150 rows.
    shapes.insert(shapes.end(), {{33, 4096}, {2100, 2056}, {1000, 320}, {8300, 198}, {8500, 328}});
  }
  Suite suite;
  suite.module = suite.driver.load(argv[2]);
  suite.gemv = gemv;
  suite.block = gemv ? cuda::kGemvBlock : cuda::kMatmulBlock;
  // f32 sums as tensor cores make them, rounding towards zero: longer chains where one warp adds
  // all of K.
  suite.tolerance = gemv ? 4e-6 : 3e-5;
  std::map<std::string, std::vector<Weight>> weights;
  double worst = 0;
  for (auto [type, format] : functions) {
    if (argc > 4 && std::strcmp(argv[4], format) != 0) {
      continue;
    }
    suite.worst = 0;
    CUfunction f = suite.driver.function(suite.module, "test_" + family + "_" + type + "_" + format,
                                         suite.block.sharedBytes);
    std::vector<Weight> &ofFormat = weights[format];
    if (ofFormat.empty()) {
      for (auto [N, K] : shapes) {
        ofFormat.push_back(makeWeight(*formatOfName(format), N, K));
      }
    }
    for (const Weight &w : ofFormat) {
      suite.check(f, type, format, w, w.K, 0, counts);
      if (w.N * w.K < 200000) { // rows that no vector is aligned to
        const size_t element = std::string(type) == "f32" ? 4 : 2;
        suite.check(f, type, format, w, w.K + 3, element, counts);
      }
    }
    // The fused forms.
    for (const Weight &w : ofFormat) {
      const int64_t parts = std::strcmp(type, "f32") == 0 ? 3 : 1;
      std::vector<int64_t> staged;
      for (int64_t M : counts) {
        if (cuda::gemvStagedBytes(M, w.K, parts) <= cuda::kGemvStaged) {
          staged.push_back(M);
        }
      }
      const size_t element = std::strcmp(type, "f32") == 0 ? 4 : 2;
      for (bool pairs : {false, true}) {
        for (bool norm : {false, true}) {
          if (!gemv || (!pairs && !norm) || (pairs && w.N % 32 != 0) || (norm && staged.empty())) {
            continue;
          }
          suite.check(f, type, format, w, w.K, 0, norm ? staged : counts, {pairs, norm});
          if (norm && w.N * w.K < 200000) {
            suite.check(f, type, format, w, w.K + 3, element, staged, {pairs, norm});
          }
        }
      }
    }
    std::printf("%-5s x %-9s worst relative error %.1e\n", type, format, suite.worst);
    worst = std::max(worst, suite.worst);
  }
  std::printf("%lld products, %lld failures, worst relative error %.1e, on %s\n",
              static_cast<long long>(suite.checks), static_cast<long long>(suite.failures), worst,
              suite.driver.name.c_str());
  return suite.failures != 0;
}
