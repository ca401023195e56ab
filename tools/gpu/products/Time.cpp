// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Times products over weights that no cache holds: Time GEMV_MODULE [MATMUL_MODULE [all]]. A
// captured graph of one launch per weight, its replays timed; bandwidth in stored bytes against
// that of a kernel that only reads. `all` tries several grids.
#include "kernels/cuda/Catalog.h"
#include "kernels/pack/Pack.h"
#include "test/kernels/cuda/Driver.h"
#include "tools/gpu/products/Shapes.h"

#include <algorithm>
#include <cstring>

using namespace ciuic;
using namespace ciuic::kernels;

namespace {

struct Times {
  double least, median, p90;
};

struct Bench {
  test::Driver driver;
  CUevent begin = nullptr, end = nullptr;

  Bench() {
    CIUIC_CU(cuEventCreate(&begin, 0));
    CIUIC_CU(cuEventCreate(&end, 0));
  }

  // Milliseconds of `launches`, captured and replayed.
  template <typename F>
  Times replay(F launches, int repeats = 15) {
    CUgraph graph = nullptr;
    CUgraphExec exec = nullptr;
    CIUIC_CU(cuStreamBeginCapture(driver.stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    launches();
    CIUIC_CU(cuStreamEndCapture(driver.stream, &graph));
    CIUIC_CU(cuGraphInstantiate(&exec, graph, 0));
    for (int i = 0; i < 2; ++i) {
      CIUIC_CU(cuGraphLaunch(exec, driver.stream));
    }
    std::vector<float> ms;
    for (int i = 0; i < repeats; ++i) {
      CIUIC_CU(cuEventRecord(begin, driver.stream));
      CIUIC_CU(cuGraphLaunch(exec, driver.stream));
      CIUIC_CU(cuEventRecord(end, driver.stream));
      CIUIC_CU(cuEventSynchronize(end));
      ms.push_back(0);
      CIUIC_CU(cuEventElapsedTime(&ms.back(), begin, end));
    }
    CIUIC_CU(cuGraphExecDestroy(exec));
    CIUIC_CU(cuGraphDestroy(graph));
    std::sort(ms.begin(), ms.end());
    return {ms[0], ms[ms.size() / 2], ms[ms.size() * 9 / 10]};
  }
};

struct Shape {
  const char *entry, *activations, *format;
  int64_t M, K, N;
};
constexpr Shape kShapes[] = {
#define CIUIC_SHAPE(A, W, M, K, N) {"time_gemv_" #A "_" #W "_" #M "_" #K "_" #N, #A, #W, M, K, N},
    CIUIC_TIMED_GEMV(CIUIC_SHAPE)
#undef CIUIC_SHAPE
#define CIUIC_SHAPE(A, W, M, K, N, pairs)                                                          \
  {"time_fused_" #A "_" #W "_" #M "_" #K "_" #N, #A, #W, M, K, N},
        CIUIC_TIMED_FUSED(CIUIC_SHAPE)
#undef CIUIC_SHAPE
};

struct Product {
  const char *entry, *activations, *format;
  int64_t K, N;
};
constexpr Product kProducts[] = {
#define CIUIC_PRODUCT(A, W, K, N) {"time_matmul_" #A "_" #W "_" #K "_" #N, #A, #W, K, N},
    CIUIC_TIMED_MATMUL(CIUIC_PRODUCT)
#undef CIUIC_PRODUCT
};

void timeProducts(Bench &bench, CUmodule module, char *a, char *weights, char *workspace,
                  char *out) {
  for (const Product &p : kProducts) {
    CUfunction f = bench.driver.function(module, p.entry, cuda::kMatmulBlock.sharedBytes);
    const PackSpec spec = {.format = *formatOfName(p.format),
                           .columns = p.N,
                           .channels = p.K,
                           .layout = WeightLayout::Rows16};
    const int64_t bytes = (packedBytes(spec) + 255) / 256 * 256;
    for (int64_t M : {17, 32, 64, 128, 256, 512, 1024, 2048}) {
      const Times t = bench.replay([&] {
        for (int64_t i = 0; i < 8; ++i) {
          char *w = weights + i * bytes;
          void *params[] = {&a, &w, &workspace, &out, &M};
          const int64_t units = matmulUnits(M, p.N, p.K, panelCount(spec), 2);
          bench.driver.launch(f, std::min(units, cuda::kMatmulBlock.maxGrid),
                              cuda::kMatmulBlock.threads, cuda::kMatmulBlock.sharedBytes, params);
        }
      });
      const double us = t.median * 1e3 / 8;
      std::printf("%-4s x %-8s M %4lld K %5lld N %5lld %8.2f us, %4.0f TFLOP/s, %5.0f GB/s\n",
                  p.activations, p.format, static_cast<long long>(M), static_cast<long long>(p.K),
                  static_cast<long long>(p.N), us, 2e-6 * static_cast<double>(M * p.K * p.N) / us,
                  static_cast<double>(packedBytes(spec)) / us / 1e3);
    }
  }
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 2) {
    std::printf("usage: Time GEMV_MODULE [MATMUL_MODULE [all]]\n");
    return 2;
  }
  const bool all = argc > 3;
  Bench bench;
  CUmodule module = bench.driver.load(argv[1]);
  const size_t poolBytes = size_t(3) << 30;
  // Random weights: no exponent above one half, so that sums stay numbers.
  std::vector<uint32_t> noise(size_t(1) << 24);
  uint64_t state = 88172645463325252ull;
  for (uint32_t &v : noise) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    v = static_cast<uint32_t>(state) & 0xb7ffb7ff;
  }
  test::Buffer pool(nullptr, poolBytes), a(noise.data(), size_t(48) << 20),
      out(nullptr, size_t(128) << 20);
  for (size_t at = 0; at < poolBytes; at += noise.size() * 4) {
    CIUIC_CU(cuMemcpyHtoD(reinterpret_cast<CUdeviceptr>(pool.get()) + at, noise.data(),
                          noise.size() * 4));
  }
  CUfunction read = bench.driver.function(module, "time_read", 0);
  double rate = 0; // bytes per ms
  for (int64_t grid : {4, 8, 16, 32}) {
    char *from = pool.get(), *to = out.get();
    int64_t count = poolBytes / 16;
    void *params[] = {&from, &count, &to};
    const Times t = bench.replay(
        [&] { bench.driver.launch(read, grid * bench.driver.multiprocessors, 512, 0, params); });
    rate = std::max(rate, poolBytes / t.median);
  }
  std::printf("%s, read only %.0f GB/s\n", bench.driver.name.c_str(), rate / 1e6);
  for (const Shape &s : kShapes) {
    const PackSpec spec = {.format = *formatOfName(s.format),
                           .columns = s.N,
                           .channels = s.K,
                           .layout = WeightLayout::Rows16};
    const int64_t bytes = packedBytes(spec), parts = std::strcmp(s.activations, "f32") == 0 ? 3 : 1;
    const int64_t weights =
        std::min<int64_t>(64, static_cast<int64_t>(poolBytes) / ((bytes + 255) / 256 * 256));
    const int64_t whole = cuda::gemvStagedBytes(s.M, s.K, parts);
    const int64_t staged = whole <= cuda::kGemvStaged ? whole : 0;
    CUfunction f = bench.driver.function(module, s.entry, cuda::kGemvSums + staged);
    std::string line;
    double best = 1e9, standard[2] = {};
    for (int64_t grid :
         all ? std::vector<int64_t>{132, 264, 396, 528, 1056} : std::vector<int64_t>{264}) {
      for (bool overlap : {false, true}) {
        const Times t = bench.replay([&] {
          for (int64_t i = 0; i < weights; ++i) {
            char *from = a.get(), *w = pool.get() + i * ((bytes + 255) / 256 * 256),
                 *to = out.get();
            void *params[] = {&from, &w, &to};
            bench.driver.launch(f, std::min(grid, panelCount(spec)), 256, cuda::kGemvSums + staged,
                                params, overlap);
          }
        });
        const double us = t.median * 1e3 / static_cast<double>(weights);
        best = std::min(best, us);
        if (grid == 264) {
          standard[overlap] = us;
        }
        char text[64];
        std::snprintf(text, sizeof text, " %.2f", us);
        line += text;
      }
    }
    const double floor = static_cast<double>(bytes) / rate * 1e3;
    std::printf("%-5s %-4s x %-8s M %2lld K %5lld N %5lld  floor %6.2f us; plain %6.2f (%3.0f %%), "
                "overlapped %6.2f (%3.0f %%)",
                std::strncmp(s.entry, "time_fused", 10) ? "" : "norm", s.activations, s.format,
                static_cast<long long>(s.M), static_cast<long long>(s.K),
                static_cast<long long>(s.N), floor, standard[0], 100 * floor / standard[0],
                standard[1], 100 * floor / standard[1]);
    if (all) {
      std::printf("; grids%s best %.0f %%", line.c_str(), 100 * floor / best);
    }
    std::printf("\n");
  }
  if (argc > 2) {
    timeProducts(bench, bench.driver.load(argv[2]), a.get(), pool.get(),
                 out.get() + (size_t(112) << 20), out.get());
  }
  return 0;
}
