// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products with, and rows gathered from, weights of every packed format: against the float64 twin
// over the values the packer says it stored, and rounded activations against the same rounding
// written out.
#include "kernels/host/Catalog.h"
#include "kernels/pack/Pack.h"
#include "kernels/reference/Matmul.h"
#include "test/kernels/HostLibrary.h"

using namespace ciuic::kernels;
using namespace ciuic::kernels::test;

namespace {

const WeightFormat kFormats[] = {WeightFormat::F32,   WeightFormat::F16,   WeightFormat::BF16,
                                 WeightFormat::I8,    WeightFormat::I4G32, WeightFormat::I4G64,
                                 WeightFormat::I4G128};

struct Weight {
  PackSpec spec;
  std::vector<std::byte> bytes;
  std::vector<float> values; // [K, N], what the bytes stand for
};

Weight makeWeight(WeightFormat format, int64_t N, int64_t K, unsigned seed) {
  Weight w{{.format = format, .columns = N, .channels = K}, {}, {}};
  const auto stored = normals(static_cast<size_t>(N * K), seed, 0.1f);
  WeightSource source = sourceOfColumns(K);
  source.read = [&](int64_t offset, std::span<std::byte> out) {
    std::memcpy(out.data(), reinterpret_cast<const char *>(stored.data()) + offset, out.size());
    return true;
  };
  w.bytes.resize(static_cast<size_t>(packedBytes(w.spec)));
  EXPECT_EQ(packPanels(w.spec, source, 0, panelCount(w.spec), w.bytes), "");
  std::vector<float> panels(static_cast<size_t>(panelCount(w.spec) * K * 16));
  unpackPanels(w.spec, w.bytes, 0, panelCount(w.spec), panels.data());
  w.values.resize(static_cast<size_t>(K * N));
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t k = 0; k < K; ++k) {
      w.values[static_cast<size_t>(k * N + n)] =
          panels[static_cast<size_t>((n / 16 * K + k) * 16 + n % 16)];
    }
  }
  return w;
}

std::vector<float> multiply(ciuic_library_kernel kernel, const Weight &w, int64_t M,
                            std::vector<float> &a, int64_t cut = -1, int64_t chunk = 3) {
  const int64_t N = w.spec.columns, K = w.spec.channels;
  Guarded<float> out(static_cast<size_t>(M * N));
  const int64_t args[kMatmulArgs] = {M, N, K, K, N};
  const int64_t ends[] = {0, cut < 0 ? panelCount(w.spec) : cut, panelCount(w.spec)};
  for (int tile = 0; tile < 2; ++tile) { // one tile, or two cut at a panel
    const std::vector<int64_t> params = {ends[tile], ends[tile + 1]};
    // A copy of exactly the tile: reading beyond it is an error that a sanitizer sees.
    Guarded<std::byte> bytes(static_cast<size_t>((params[1] - params[0]) * panelBytes(w.spec)));
    std::copy_n(w.bytes.data() + params[0] * panelBytes(w.spec), bytes.size(), bytes.data());
    runUnits(kernel, args, nullptr,
             {reinterpret_cast<char *>(a.data()), bytes.bytes(), out.bytes()}, params,
             matmulUnits(args, params.data()), matmulScratch(args), chunk);
  }
  EXPECT_TRUE(out.intact());
  return {out.data(), out.data() + M * N};
}

std::string kernelName(const char *op, WeightFormat format, const char *suffix = "") {
  return std::string("ciuic_") + op + "_" + std::string(name(format)) + suffix;
}

class FormatsTest : public HostLibraryTest {};

const int64_t kShapes[][3] = {{1, 1, 1},     {1, 64, 576}, {1, 100, 4},   {1, 77, 301},
                              {1, 16, 0},    {2, 33, 129}, {3, 16, 256},  {17, 130, 577},
                              {50, 48, 260}, {5, 20, 0},   {1, 16, 20003}};

TEST_P(FormatsTest, MatmulAgreesWithTheReference) {
  for (WeightFormat format : kFormats) {
    for (const auto &[M, N, K] : kShapes) {
      const Weight w = makeWeight(format, N, K, 1);
      auto a = normals(static_cast<size_t>(M * K), 2);
      const auto kernel = (*library)[kernelName("matmul", format).c_str()];
      const auto got = multiply(kernel, w, M, a);
      const auto truth = reference::matmul(M, N, K, a.data(), K, w.values.data());
      // Rounding errors of a sum in order grow with the square root of its length.
      EXPECT_LT(relativeError(truth, got.data()), K > 1000 ? 5e-6 : 1e-6)
          << name(format) << " " << M << "x" << N << "x" << K;
      const auto tiled = multiply(kernel, w, M, a, panelCount(w.spec) / 3, 1);
      EXPECT_EQ(0, std::memcmp(got.data(), tiled.data(), got.size() * 4)) << name(format);
    }
  }
}

// The rounding of the row, written out in float64.
std::vector<float> roundedRow(const std::vector<float> &a, int64_t group) {
  std::vector<float> result(a.size());
  for (size_t from = 0; from < a.size(); from += static_cast<size_t>(group)) {
    const size_t to = std::min(a.size(), from + static_cast<size_t>(group));
    float largest = 0;
    for (size_t k = from; k < to; ++k) {
      largest = std::max(largest, std::fabs(a[k]));
    }
    for (size_t k = from; k < to; ++k) {
      result[k] = static_cast<float>(std::nearbyint(a[k] * (127.0f / largest)) * (largest / 127.0));
    }
  }
  return result;
}

TEST_P(FormatsTest, RoundedActivations) {
  for (WeightFormat format : {WeightFormat::I4G32, WeightFormat::I4G64, WeightFormat::I4G128}) {
    const auto kernel = (*library)[kernelName("matmul", format, "_rounded").c_str()];
    for (auto [N, K] : {std::pair<int64_t, int64_t>{64, 576}, {33, 77}, {130, 1000}, {16, 8}}) {
      const Weight w = makeWeight(format, N, K, 3);
      auto a = normals(static_cast<size_t>(K), 4);
      const auto got = multiply(kernel, w, 1, a);
      const auto rounded = roundedRow(a, groupSize(format));
      const auto same = reference::matmul(1, N, K, rounded.data(), K, w.values.data());
      EXPECT_LT(relativeError(same, got.data()), 1e-6) << name(format) << " " << N << "x" << K;
      const auto exact = reference::matmul(1, N, K, a.data(), K, w.values.data());
      EXPECT_LT(relativeError(exact, got.data()), 1.5e-2);
      EXPECT_GT(relativeError(exact, got.data()), 1e-4); // it does round
      const auto tiled = multiply(kernel, w, 1, a, panelCount(w.spec) / 2, 1);
      EXPECT_EQ(0, std::memcmp(got.data(), tiled.data(), got.size() * 4));
    }
    // The extremes: all weights at −8 or 7, all activations at the end of their range.
    Weight w = makeWeight(format, 16, 256, 5);
    auto *words = w.bytes.data() + panelBytes(w.spec) - 256 / 8 * 64;
    for (int value : {0x00, 0xFF}) {
      std::memset(words, value, 256 / 8 * 64);
      std::vector<float> panel(256 * 16);
      unpackPanels(w.spec, w.bytes, 0, 1, panel.data());
      std::vector<float> a(256, -3.0f);
      const auto got = multiply(kernel, w, 1, a);
      EXPECT_LT(
          relativeError(reference::matmul(1, 16, 256, a.data(), 256, panel.data()), got.data()),
          1e-6);
    }
  }
}

TEST_P(FormatsTest, RoundingKeepsZerosAndNaN) {
  const Weight w = makeWeight(WeightFormat::I4G32, 16, 64, 6);
  const auto kernel = (*library)["ciuic_matmul_int4g32_rounded"];
  std::vector<float> a(64, 0.0f);
  for (float x : multiply(kernel, w, 1, a)) {
    EXPECT_EQ(x, 0.0f);
  }
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    a[40] = bad;
    for (float x : multiply(kernel, w, 1, a)) {
      EXPECT_TRUE(std::isnan(x));
    }
  }
}

template <typename Id>
void gatherRows(const HostLibrary &library, WeightFormat format, const std::vector<Id> &ids,
                int64_t cut) {
  const int64_t N = 70, K = 45;
  const Weight w = makeWeight(format, N, K, 7);
  const auto count = static_cast<int64_t>(ids.size());
  Guarded<float> out(ids.size() * K);
  const int64_t args[kGatherArgs] = {count, N, K, sizeof(Id) == 8, K};
  const int64_t ends[] = {0, cut, panelCount(w.spec)};
  for (int tile = 0; tile < 2; ++tile) {
    const std::vector<int64_t> params = {ends[tile], ends[tile + 1]};
    Guarded<std::byte> bytes(static_cast<size_t>((params[1] - params[0]) * panelBytes(w.spec)));
    std::copy_n(w.bytes.data() + params[0] * panelBytes(w.spec), bytes.size(), bytes.data());
    runUnits(library[kernelName("gather", format).c_str()], args, nullptr,
             {bytes.bytes(), reinterpret_cast<char *>(const_cast<Id *>(ids.data())), out.bytes()},
             params, gatherUnits(args), gatherScratch(args));
  }
  for (int64_t i = 0; i < count; ++i) {
    int64_t id = ids[static_cast<size_t>(i)];
    id = id < 0 ? id + N : id;
    for (int64_t k = 0; k < K; ++k) {
      const float got = out[static_cast<size_t>(i * K + k)];
      if (id < 0 || id >= N) {
        EXPECT_TRUE(std::isnan(got));
      } else {
        EXPECT_EQ(got, w.values[static_cast<size_t>(k * N + id)]) << name(format) << " row " << id;
      }
    }
  }
  EXPECT_TRUE(out.intact());
}

TEST_P(FormatsTest, GatherRows) {
  for (WeightFormat format : kFormats) {
    for (int64_t cut : {0, 2, 5}) {
      gatherRows<int64_t>(*library, format, {0, 69, 15, 16, 31, -1, -70, 70, -71, int64_t(1) << 40},
                          cut);
      gatherRows<int32_t>(*library, format, {3, -3, 64, 1 << 30}, cut);
    }
    gatherRows<int64_t>(*library, format, {}, 1);
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, FormatsTest, testing::Values("v3", "v4"),
                         [](const auto &info) { return info.param; });

TEST(FormatVariants, AgreeBitForBit) {
  if (!cpuHas("v4")) {
    GTEST_SKIP() << "this CPU does not run x86-64-v4";
  }
  HostLibrary narrow("v3"), wide("v4");
  for (WeightFormat format : kFormats) {
    for (const char *suffix : {"", "_rounded"}) {
      const std::string kernel = kernelName("matmul", format, suffix);
      if (*suffix && groupSize(format) == 0) {
        continue;
      }
      for (const auto &[M, N, K] : kShapes) {
        const Weight w = makeWeight(format, N, K, 8);
        auto a = normals(static_cast<size_t>(M * K), 9);
        const auto x = multiply(narrow[kernel.c_str()], w, M, a);
        const auto y = multiply(wide[kernel.c_str()], w, M, a);
        EXPECT_EQ(0, std::memcmp(x.data(), y.data(), x.size() * 4))
            << kernel << " " << M << "x" << N << "x" << K;
      }
    }
  }
}

} // namespace
