// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Matmul with packed f32 weights against its float64 twin, over odd, large and empty shapes, both
// variants.
#include "kernels/reference/Matmul.h"
#include "kernels/host/Catalog.h"
#include "test/kernels/HostLibrary.h"

using namespace ciuic::kernels;
using namespace ciuic::kernels::test;

namespace {

std::vector<float> packPanels(int64_t K, int64_t N, const std::vector<float> &b) {
  const int64_t panels = (N + kPanel - 1) / kPanel;
  std::vector<float> packed(static_cast<size_t>(panels * K * kPanel));
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t k = 0; k < K; ++k) {
      packed[static_cast<size_t>(((n / kPanel) * K + k) * kPanel + n % kPanel)] =
          b[static_cast<size_t>(k * N + n)];
    }
  }
  return packed;
}

void addBiasAndTransposeStore(const float *acc, int64_t ld, int64_t row, int64_t rows, int64_t col,
                              int64_t cols, char *const *ptrs, const int64_t *dims) {
  const float *bias = reinterpret_cast<const float *>(ptrs[2]);
  float *out = reinterpret_cast<float *>(ptrs[3]);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      out[(col + c) * dims[0] + row + r] = acc[r * ld + c] + bias[col + c];
    }
  }
}

struct Shape {
  int64_t M, N, K;
};

class MatmulTest : public HostLibraryTest {};

const Shape kShapes[] = {{1, 1, 1},    {1, 16, 7},    {1, 64, 576},   {1, 1000, 300}, {2, 33, 5},
                         {3, 80, 64},  {4, 100, 257}, {5, 17, 600},   {6, 64, 64},    {7, 48, 513},
                         {11, 31, 33}, {12, 96, 256}, {13, 65, 130},  {47, 50, 20},   {48, 64, 512},
                         {49, 70, 3},  {97, 130, 40}, {128, 384, 384}};

TEST_P(MatmulTest, AgreesWithTheReference) {
  for (const Shape &s : kShapes) {
    const int64_t lda = s.K + 3;
    const auto a = normals(static_cast<size_t>(s.M * lda), 1);
    const auto b = normals(static_cast<size_t>(s.K * s.N), 2);
    auto packed = packPanels(s.K, s.N, b);
    Guarded<float> weights(packed.size()), input(a.size()), out(static_cast<size_t>(s.M * s.N));
    std::copy(packed.begin(), packed.end(), weights.data());
    std::copy(a.begin(), a.end(), input.data());
    const int64_t args[kMatmulArgs] = {s.M, s.N, s.K, lda, s.N};
    const std::vector<int64_t> params = {0, (s.N + kPanel - 1) / kPanel};
    runUnits((*library)["ciuic_matmul_f32"], args, nullptr,
             {input.bytes(), weights.bytes(), out.bytes()}, params,
             matmulUnits(args, params.data()), matmulScratch(args));
    const auto truth = reference::matmul(s.M, s.N, s.K, a.data(), lda, b.data());
    EXPECT_LT(relativeError(truth, out.data()), 1e-6) << s.M << "x" << s.N << "x" << s.K;
    EXPECT_TRUE(out.intact());
  }
}

TEST_P(MatmulTest, EmptyExtents) {
  Guarded<float> out(6);
  std::fill(out.data(), out.data() + 6, 5.0f);
  const int64_t noRows[kMatmulArgs] = {0, 16, 4, 4, 16};
  const std::vector<int64_t> params = {0, 1};
  EXPECT_EQ(matmulUnits(noRows, params.data()), 0);
  // A sum over nothing is zero, not what scratch held.
  const int64_t noDepth[kMatmulArgs] = {2, 3, 0, 0, 3};
  float none[16] = {};
  char *empty = reinterpret_cast<char *>(none);
  runUnits((*library)["ciuic_matmul_f32"], noDepth, nullptr, {empty, empty, out.bytes()}, params,
           matmulUnits(noDepth, params.data()), matmulScratch(noDepth));
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(out[i], 0.0f);
  }
}

// The same bits for any tile a panel comes in, any split of units, and a row alone or among others.
TEST_P(MatmulTest, BitsDependOnNothingButTheRow) {
  const Shape s = {53, 200, 700};
  auto a = normals(static_cast<size_t>(s.M * s.K), 3);
  auto packed = packPanels(s.K, s.N, normals(static_cast<size_t>(s.K * s.N), 4));
  const int64_t panels = (s.N + kPanel - 1) / kPanel;
  std::vector<float> whole(static_cast<size_t>(s.M * s.N)), tiled(whole.size()),
      alone(whole.size());
  auto run = [&](int64_t M, float *input, std::vector<float> &out, float *at, int64_t first,
                 int64_t end, int64_t chunk) {
    const int64_t args[kMatmulArgs] = {M, s.N, s.K, s.K, s.N};
    const std::vector<int64_t> params = {first, end};
    runUnits((*library)["ciuic_matmul_f32"], args, nullptr,
             {reinterpret_cast<char *>(input),
              reinterpret_cast<char *>(packed.data() + first * s.K * kPanel),
              reinterpret_cast<char *>(at)},
             params, matmulUnits(args, params.data()), matmulScratch(args), chunk);
  };
  run(s.M, a.data(), whole, whole.data(), 0, panels, 100);
  const int64_t cuts[] = {0, 1, 4, 5, 11, panels};
  for (int i = 0; i + 1 < 6; ++i) {
    run(s.M, a.data(), tiled, tiled.data(), cuts[i], cuts[i + 1], 1);
  }
  for (int64_t m = 0; m < s.M; ++m) {
    run(1, a.data() + m * s.K, alone, alone.data() + m * s.N, 0, panels, 2);
  }
  EXPECT_EQ(0, std::memcmp(whole.data(), tiled.data(), whole.size() * 4));
  EXPECT_EQ(0, std::memcmp(whole.data(), alone.data(), whole.size() * 4));
}

TEST_P(MatmulTest, EpilogueSeesEveryElementOnce) {
  const Shape s = {50, 70, 90};
  auto a = normals(static_cast<size_t>(s.M * s.K), 5), bias = normals(static_cast<size_t>(s.N), 7);
  const auto b = normals(static_cast<size_t>(s.K * s.N), 6);
  auto packed = packPanels(s.K, s.N, b);
  Guarded<float> out(static_cast<size_t>(s.M * s.N));
  const int64_t args[kMatmulArgs] = {s.M, s.N, s.K, s.K, 0};
  const std::vector<int64_t> params = {0, (s.N + kPanel - 1) / kPanel};
  const int64_t dims[] = {s.M};
  runUnits((*library)["ciuic_matmul_f32"], args, addBiasAndTransposeStore,
           {reinterpret_cast<char *>(a.data()), reinterpret_cast<char *>(packed.data()),
            reinterpret_cast<char *>(bias.data()), out.bytes()},
           params, matmulUnits(args, params.data()), matmulScratch(args), 1, dims);
  const auto product = reference::matmul(s.M, s.N, s.K, a.data(), s.K, b.data());
  std::vector<double> truth(product.size());
  for (int64_t m = 0; m < s.M; ++m) {
    for (int64_t n = 0; n < s.N; ++n) {
      truth[static_cast<size_t>(n * s.M + m)] =
          product[static_cast<size_t>(m * s.N + n)] + bias[static_cast<size_t>(n)];
    }
  }
  EXPECT_LT(relativeError(truth, out.data()), 1e-6);
  EXPECT_TRUE(out.intact());
}

INSTANTIATE_TEST_SUITE_P(Variants, MatmulTest, testing::Values("v3", "v4"),
                         [](const auto &info) { return info.param; });

TEST(MatmulVariants, AgreeBitForBit) {
  if (!cpuHas("v4")) {
    GTEST_SKIP() << "this CPU does not run x86-64-v4";
  }
  const Shape s = {61, 130, 900};
  auto a = normals(static_cast<size_t>(s.M * s.K), 8);
  auto packed = packPanels(s.K, s.N, normals(static_cast<size_t>(s.K * s.N), 9));
  std::vector<float> outs[2];
  const char *names[2] = {"v3", "v4"};
  for (int i = 0; i < 2; ++i) {
    HostLibrary library(names[i]);
    outs[i].resize(static_cast<size_t>(s.M * s.N));
    const int64_t args[kMatmulArgs] = {s.M, s.N, s.K, s.K, s.N};
    const std::vector<int64_t> params = {0, (s.N + kPanel - 1) / kPanel};
    runUnits(library["ciuic_matmul_f32"], args, nullptr,
             {reinterpret_cast<char *>(a.data()), reinterpret_cast<char *>(packed.data()),
              reinterpret_cast<char *>(outs[i].data())},
             params, matmulUnits(args, params.data()), matmulScratch(args));
  }
  EXPECT_EQ(0, std::memcmp(outs[0].data(), outs[1].data(), outs[0].size() * 4));
}

} // namespace
