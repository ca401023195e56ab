// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products of two activations against the float64 twin: every orientation, broadcast batches, odd
// shapes.
#include "kernels/host/Catalog.h"
#include "kernels/reference/Matmul.h"
#include "test/kernels/HostLibrary.h"

using namespace ciuic::kernels;
using namespace ciuic::kernels::test;

namespace {

class BatchMatmulTest : public HostLibraryTest {};

// Batches [2, 1, 3]; A is broadcast over the first, B over the last.
TEST_P(BatchMatmulTest, AgreesWithTheReference) {
  const int64_t shapes[][3] = {{1, 1, 1},   {1, 64, 33},   {3, 48, 20},  {7, 128, 16}, {5, 17, 300},
                               {12, 30, 0}, {50, 65, 513}, {48, 64, 64}, {100, 16, 40}};
  for (const auto &[M, N, K] : shapes) {
    for (int kind = 0; kind < 4; ++kind) {
      const bool transA = kind & 1, transB = kind & 2;
      const int64_t sizeA = M * K, sizeB = K * N;
      auto a = normals(static_cast<size_t>(3 * sizeA + 1), 1);
      auto b = normals(static_cast<size_t>(2 * sizeB + 1), 2);
      std::vector<int64_t> args(kBatchMatmulArgs);
      args[kBatchB0] = 2, args[kBatchB1] = 1, args[kBatchB2] = 3;
      args[kBatchM] = M, args[kBatchN] = N, args[kBatchK] = K;
      args[kBatchA2] = sizeA, args[kBatchARow] = transA ? 1 : K, args[kBatchAK] = transA ? M : 1;
      args[kBatchW0] = sizeB, args[kBatchWK] = transB ? 1 : N, args[kBatchWCol] = transB ? K : 1;
      args[kBatchLdc] = N;
      Guarded<float> out(static_cast<size_t>(6 * M * N));
      runUnits(
          (*library)["ciuic_batch_matmul"], args.data(), nullptr,
          {reinterpret_cast<char *>(a.data()), reinterpret_cast<char *>(b.data()), out.bytes()}, {},
          batchMatmulUnits(args.data()), batchMatmulScratch(args.data()));
      std::vector<double> truth;
      for (int64_t i0 = 0; i0 < 2; ++i0) {
        for (int64_t i2 = 0; i2 < 3; ++i2) {
          std::vector<float> left(static_cast<size_t>(sizeA)), right(static_cast<size_t>(sizeB));
          for (int64_t m = 0; m < M; ++m) {
            for (int64_t k = 0; k < K; ++k) {
              left[static_cast<size_t>(m * K + k)] =
                  a[static_cast<size_t>(i2 * sizeA + (transA ? k * M + m : m * K + k))];
            }
          }
          for (int64_t k = 0; k < K; ++k) {
            for (int64_t n = 0; n < N; ++n) {
              right[static_cast<size_t>(k * N + n)] =
                  b[static_cast<size_t>(i0 * sizeB + (transB ? n * K + k : k * N + n))];
            }
          }
          const auto c = reference::matmul(M, N, K, left.data(), K, right.data());
          truth.insert(truth.end(), c.begin(), c.end());
        }
      }
      EXPECT_LT(relativeError(truth, out.data()), 1e-6)
          << M << "x" << N << "x" << K << " kind " << kind;
      EXPECT_TRUE(out.intact());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, BatchMatmulTest, testing::Values("v3", "v4"),
                         [](const auto &info) { return info.param; });

} // namespace
