// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Times the host library kernels, one line of standard input a case, one line of JSON each out:
//     matmul FORMAT M N K | conv H W C OC KERNEL STRIDE | depthwise H W C KERNEL STRIDE |
//     attention HEADS KV_HEADS QUERIES KEYS WIDTH | read MIB
// FORMAT is a weight format, or an int4 one with `_rounded`. With one row, weights stand in a chain
// of copies larger than any cache, so that the rate is that of memory. `us` is the median over
// chains, `best_gbps` the rate of the best single launch, which a busy machine disturbs least.
// Units are dealt to threads in equal runs; threads spin between runs. Driven by host-kernels.py,
// which puts onnxruntime's time beside.
#include "kernels/host/Catalog.h"
#include "kernels/pack/Pack.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <functional>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <vector>

using namespace ciuic::kernels;

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

using Buffer = std::unique_ptr<char, void (*)(void *)>;

// Huge pages, filled with a small pattern: finite as f32, and as packed weights of any format.
Buffer allocate(int64_t bytes) {
  const size_t size = (static_cast<size_t>(bytes) / (2 << 20) + 1) * (2 << 20);
  Buffer buffer(static_cast<char *>(std::aligned_alloc(2 << 20, size)), std::free);
  madvise(buffer.get(), size, MADV_HUGEPAGE);
  std::memset(buffer.get(), 0x3A, size);
  return buffer;
}

class Pool {
public:
  explicit Pool(int count) : count(count) {
    for (int i = 1; i < count; ++i) {
      threads.emplace_back([this, i] {
        for (int seen = 0;;) {
          while (generation.load(std::memory_order_acquire) == seen) {
          }
          ++seen;
          if (!work) {
            return;
          }
          (*work)(i);
          done.fetch_add(1, std::memory_order_release);
        }
      });
    }
  }
  ~Pool() {
    work = nullptr;
    generation.fetch_add(1, std::memory_order_release);
    for (auto &thread : threads) {
      thread.join();
    }
  }
  void run(const std::function<void(int)> &task) {
    work = &task;
    done = 0;
    generation.fetch_add(1, std::memory_order_release);
    task(0);
    while (done.load(std::memory_order_acquire) < count - 1) {
    }
  }
  const int count;

private:
  const std::function<void(int)> *work = nullptr;
  std::atomic<int> generation{0}, done{0};
  std::vector<std::thread> threads;
};

// Seconds of the median run, over at least ten runs and a quarter of a second.
double median(const std::function<void()> &run) {
  run();
  std::vector<double> times;
  for (double total = 0; times.size() < 10 || (total < 0.25 && times.size() < 2000);) {
    const double start = now();
    run();
    times.push_back(now() - start);
    total += times.back();
  }
  std::nth_element(times.begin(), times.begin() + static_cast<long>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

constexpr int64_t kParts = 16; // of a plain read

struct Launch {
  ciuic_library_kernel kernel;
  std::vector<int64_t> args, params;
  std::vector<std::vector<char *>> ptrs; // one set per copy of the weights
  int64_t units, scratch;
};

// Seconds of a launch: in the median chain, and the best.
struct Times {
  double median, best;
};

Times timeLaunch(Pool &pool, const Launch &l) {
  std::vector<Buffer> scratch;
  for (int i = 0; i < pool.count; ++i) {
    scratch.push_back(allocate(l.scratch));
  }
  size_t copy = 0;
  const std::function<void(int)> task = [&](int id) {
    l.kernel(l.args.data(), nullptr, l.ptrs[copy].data(), nullptr, l.params.data(),
             l.units * id / pool.count, l.units * (id + 1) / pool.count,
             scratch[static_cast<size_t>(id)].get());
  };
  double best = 1e30;
  const double all = median([&] {
    for (copy = 0; copy < l.ptrs.size(); ++copy) {
      const double start = now();
      pool.run(task);
      best = std::min(best, now() - start);
    }
  });
  return {all / static_cast<double>(l.ptrs.size()), best};
}

class Bench {
public:
  Bench(void *library, int threads) : pool(threads) {
    lookup = reinterpret_cast<ciuic_library_kernel (*)(const char *)>(
        dlsym(library, "ciuic_test_kernel"));
  }

  bool run(const std::string &line) {
    std::istringstream in(line);
    std::string op, format;
    in >> op;
    if (op == "matmul") {
      in >> format;
    }
    std::vector<int64_t> n;
    for (int64_t x; in >> x;) {
      n.push_back(x);
    }
    double flops = 0, bytes = 0;
    Times seconds = {};
    if (op == "matmul" && n.size() == 3) {
      seconds = matmul(format, n[0], n[1], n[2], flops, bytes);
    } else if (op == "conv" && n.size() == 6) {
      seconds = conv(n, flops, bytes);
    } else if (op == "depthwise" && n.size() == 5) {
      seconds = conv({n[0], n[1], n[2], 0, n[3], n[4]}, flops, bytes);
    } else if (op == "attention" && n.size() == 5) {
      seconds = attention(n, flops, bytes);
    } else if (op == "read" && n.size() == 1) {
      bytes = static_cast<double>(n[0] << 20);
      seconds = read(n[0] << 20);
    }
    if (seconds.median <= 0) {
      std::cerr << "cannot run: " << line << "\n";
      return false;
    }
    std::printf(
        "{\"case\": \"%s\", \"us\": %.2f, \"gflops\": %.1f, \"gbps\": %.2f, \"best_gbps\": %.2f}\n",
        line.c_str(), seconds.median * 1e6, flops / seconds.median * 1e-9,
        bytes / seconds.median * 1e-9, bytes / seconds.best * 1e-9);
    std::fflush(stdout);
    return true;
  }

private:
  Times matmul(const std::string &name, int64_t M, int64_t N, int64_t K, double &flops,
               double &bytes) {
    const auto format = formatOfName(name.substr(0, name.find('_')));
    const auto kernel = lookup(("ciuic_matmul_" + name).c_str());
    if (!format || !kernel) {
      return {};
    }
    const PackSpec spec = {.format = *format, .columns = N, .channels = K};
    const int64_t packed = packedBytes(spec);
    const int64_t copies = M == 1 ? std::max<int64_t>(1, (int64_t(192) << 20) / packed) : 1;
    Buffer a = allocate(M * K * 4), b = allocate(packed * copies), c = allocate(M * N * 4);
    Launch l = {kernel, {M, N, K, K, N}, {0, panelCount(spec)}, {}, 0, 0};
    for (int64_t i = 0; i < copies; ++i) {
      l.ptrs.push_back({a.get(), b.get() + i * packed, c.get()});
    }
    l.units = matmulUnits(l.args.data(), l.params.data());
    l.scratch = matmulScratch(l.args.data());
    flops = 2.0 * static_cast<double>(M * N) * static_cast<double>(K);
    bytes = static_cast<double>(packed);
    return timeLaunch(pool, l);
  }

  // Depthwise where the number of output channels is 0.
  Times conv(const std::vector<int64_t> &n, double &flops, double &bytes) {
    const bool depthwise = n[3] == 0;
    const int64_t H = n[0], W = n[1], C = n[2], OC = depthwise ? C : n[3], kernel = n[4];
    const int64_t pad = kernel / 2, stride = n[5];
    const PackSpec spec = {.columns = OC, .channels = depthwise ? 1 : C, .taps = kernel * kernel};
    std::vector<int64_t> a(kConvArgs, 1);
    a[kConvInH] = H, a[kConvInW] = W, a[kConvInC] = C, a[kConvOutC] = OC, a[kConvLdc] = OC;
    a[kConvKernelH] = a[kConvKernelW] = kernel, a[kConvStrideH] = a[kConvStrideW] = stride;
    a[kConvPadTop] = a[kConvPadLeft] = pad;
    const int64_t OH = a[kConvOutH] = (H + 2 * pad - kernel) / stride + 1;
    const int64_t OW = a[kConvOutW] = (W + 2 * pad - kernel) / stride + 1;
    a[kConvUnitRows] = convUnitRows(OH, OW);
    Buffer in = allocate(H * W * C * 4), filter = allocate(packedBytes(spec));
    Buffer out = allocate(OH * OW * OC * 4);
    Launch l = {lookup("ciuic_conv"), a, {0, panelCount(spec)}, {}, 0, 0};
    l.ptrs = {{in.get(), filter.get(), out.get()}};
    l.units = convUnits(a.data(), l.params.data());
    l.scratch = convScratch(a.data());
    if (depthwise) {
      l.kernel = lookup("ciuic_conv_depthwise");
      l.scratch = depthwiseScratch(a.data());
    } else if (kernel == 1 && stride == 1) {
      l.kernel = lookup("ciuic_matmul_f32");
      l.args = {H * W, OC, C, C, OC};
      l.units = matmulUnits(l.args.data(), l.params.data());
      l.scratch = matmulScratch(l.args.data());
    }
    flops = 2.0 * static_cast<double>(OH * OW * OC) * static_cast<double>(spec.depth());
    bytes = 4.0 * static_cast<double>(H * W * C + OH * OW * OC) +
            static_cast<double>(packedBytes(spec));
    return timeLaunch(pool, l);
  }

  Times attention(const std::vector<int64_t> &n, double &flops, double &bytes) {
    const int64_t heads = n[0], kv = n[1], queries = n[2], keys = n[3], width = n[4];
    std::vector<int64_t> a(kAttentionArgs);
    a[kAttnBatch] = 1, a[kAttnHeads] = heads, a[kAttnKvHeads] = kv;
    a[kAttnQueries] = queries, a[kAttnKeys] = keys;
    a[kAttnWidth] = a[kAttnValueWidth] = width;
    const float scale = 0.125f;
    std::memcpy(&a[kAttnScale], &scale, 4);
    a[kAttnQHead] = queries * width, a[kAttnQSeq] = width;
    a[kAttnKHead] = a[kAttnVHead] = keys * width, a[kAttnKSeq] = a[kAttnVSeq] = width;
    a[kAttnOutHead] = width, a[kAttnOutSeq] = heads * width;
    Buffer q = allocate(heads * queries * width * 4), k = allocate(kv * keys * width * 4);
    Buffer v = allocate(kv * keys * width * 4), out = allocate(heads * queries * width * 4);
    Launch l = {lookup("ciuic_attention"), a, {}, {}, attentionUnits(a.data()),
                attentionScratch(a.data())};
    l.ptrs = {{q.get(), k.get(), v.get(), nullptr, out.get()}};
    flops = 4.0 * static_cast<double>(heads * queries) * static_cast<double>(keys * width);
    bytes = 8.0 * static_cast<double>(kv * keys * width);
    return timeLaunch(pool, l);
  }

  // Plain reading: sums of 64-bit words in many chains, in sixteen parts as launches are.
  Times read(int64_t bytes) {
    Buffer buffer = allocate(bytes);
    std::vector<uint64_t> sums(static_cast<size_t>(pool.count) * 64);
    int64_t part = 0;
    const std::function<void(int)> task = [&](int id) {
      const int64_t words = bytes / 8 / kParts / pool.count / 64 * 64;
      const auto *from =
          reinterpret_cast<const uint64_t *>(buffer.get()) + (part * pool.count + id) * words;
      uint64_t sum[64] = {};
      for (int64_t i = 0; i < words; i += 64) {
        for (int64_t j = 0; j < 64; j += 8) {
          __builtin_prefetch(from + i + j + 256);
        }
        for (int64_t j = 0; j < 64; ++j) {
          sum[j] += from[i + j];
        }
      }
      for (uint64_t s : sum) {
        sums[static_cast<size_t>(id) * 64] += s;
      }
    };
    double best = 1e30;
    const double seconds = median([&] {
      for (part = 0; part < kParts; ++part) {
        const double start = now();
        pool.run(task);
        best = std::min(best, now() - start);
      }
    });
    return sums[0] ? Times{seconds, best * kParts} : Times{};
  }

  Pool pool;
  ciuic_library_kernel (*lookup)(const char *);
};

} // namespace

int main(int argc, char **argv) {
  if (argc != 3) {
    std::cerr << "usage: host-kernels LIBRARY THREADS < cases\n";
    return 2;
  }
  void *library = dlopen(argv[1], RTLD_NOW);
  if (!library) {
    std::cerr << dlerror() << "\n";
    return 2;
  }
  Bench bench(library, std::max(1, std::atoi(argv[2])));
  bool good = true;
  for (std::string line; std::getline(std::cin, line);) {
    good &= line.empty() || bench.run(line);
  }
  return good ? 0 : 1;
}
