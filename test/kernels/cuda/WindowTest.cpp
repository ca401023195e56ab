// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Convolutions, pools, batch products and gathers against their float64 twins, on a GPU: WindowTest
// MODULE [all|quick|tiny [FAMILY]], the module of WindowKernels.cu; FAMILY is images, panels,
// batches or gathers. Odd, empty, strided, dilated, grouped, transposed and misaligned shapes, and
// tiles of panels.
#include "kernels/pack/Pack.h"
#include "kernels/reference/Conv.h"
#include "test/kernels/cuda/Suite.h"

#include <span>

using namespace ciuic;
using namespace ciuic::kernels;
using namespace ciuic::test;

namespace {

const std::string kTypes[] = {"f16", "bf16", "f32"};
constexpr double kTolerance = 4e-6;

/// Inputs that every type holds exactly, so that one truth serves all.
std::vector<float> exactNormals(size_t count, unsigned seed) {
  std::vector<float> values = normals(count, seed);
  encode(values, "bf16");
  return values;
}

struct Image {
  int64_t n, h, w, c, oc, kh, kw, sh, sw, pt, pl, dh, dw, groups;
  int64_t moreH = 0, moreW = 0; // output extents beyond what the window gives
};

const Image kImages[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1},
    {1, 5, 5, 3, 7, 3, 3, 1, 1, 1, 1, 1, 1, 1},
    {2, 9, 11, 8, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1},
    {1, 12, 10, 16, 33, 3, 3, 2, 2, 1, 1, 1, 1, 1},
    {1, 13, 13, 24, 20, 5, 3, 2, 1, 2, 1, 1, 2, 1},
    {2, 8, 8, 32, 48, 3, 3, 1, 1, 1, 1, 1, 1, 4},
    {1, 7, 9, 12, 12, 3, 3, 1, 1, 1, 1, 1, 1, 3},
    {1, 16, 16, 64, 130, 3, 3, 1, 1, 1, 1, 1, 1, 1},
    {1, 1, 50, 16, 24, 1, 5, 1, 2, 0, 2, 1, 3, 1},
    {1, 10, 10, 6, 10, 4, 4, 3, 2, 1, 0, 2, 1, 2},
    {0, 5, 5, 8, 8, 3, 3, 1, 1, 1, 1, 1, 1, 1},
    {3, 6, 5, 40, 8, 2, 2, 2, 2, 0, 0, 1, 1, 1},
    {1, 9, 9, 16, 64, 3, 3, 1, 1, 1, 1, 4, 3, 1},
    {1, 8, 8, 64, 64, 3, 3, 4, 4, 1, 1, 1, 1, 2},
    {1, 20, 20, 16, 80, 3, 3, 1, 1, 0, 0, 1, 1, 1, 2, 3},
    {1, 100, 130, 8, 256, 3, 3, 1, 1, 1, 1, 1, 1, 1}, // enough tiles for large ones
};

TestCall callOf(const Image &i, bool transposed) {
  const int64_t spanH = (i.kh - 1) * i.dh + 1, spanW = (i.kw - 1) * i.dw + 1;
  const int64_t oh =
      transposed ? (i.h - 1) * i.sh + spanH - 2 * i.pt : (i.h + 2 * i.pt - spanH) / i.sh + 1;
  const int64_t ow =
      transposed ? (i.w - 1) * i.sw + spanW - 2 * i.pl : (i.w + 2 * i.pl - spanW) / i.sw + 1;
  TestCall call = {};
  const int64_t args[] = {i.n,  i.h,  i.w,  i.c,  oh + i.moreH, ow + i.moreW, i.oc,     i.kh, i.kw,
                          i.sh, i.sw, i.pt, i.pl, i.dh,         i.dw,         i.groups, 1,    i.oc};
  static_assert(sizeof args == kConvArgs * sizeof(int64_t));
  std::memcpy(call.args, args, sizeof args);
  return call;
}

/// A filter as ONNX stores it in layout Rows16, of any type: f32 values in the packed order.
std::vector<float> packFilter(const std::vector<float> &filter, const PackSpec &spec,
                              WeightSource source) {
  source.read = [&](int64_t offset, std::span<std::byte> bytes) {
    std::memcpy(bytes.data(), reinterpret_cast<const char *>(filter.data()) + offset, bytes.size());
    return true;
  };
  std::vector<float> packed(static_cast<size_t>(packedBytes(spec)) / 4);
  const std::string problem =
      packPanels(spec, source, 0, panelCount(spec), std::as_writable_bytes(std::span(packed)));
  if (!problem.empty()) {
    std::printf("packing: %s\n", problem.c_str());
    std::exit(1);
  }
  return packed;
}

void checkTypes(Suite &suite, const std::string &family, const TestCall &base, int64_t rows,
                int64_t columns, const std::vector<double> &want, std::vector<float> input,
                std::vector<float> filter, const std::string &shape) {
  for (const std::string &type : kTypes) {
    TestCall call = base;
    const int64_t size = static_cast<int64_t>(bytesOf(type));
    const std::vector<char> in = encode(input, type), weights = encode(filter, type);
    Buffer a(in.data(), in.size()), b(weights.data(), weights.size());
    call.ptrs[0] = a.get(), call.ptrs[1] = b.get();
    const bool tiles = family == "conv" || family == "conv_transpose";
    const cuda::Block block = tiles ? cuda::convBlock(call.args, size) : cuda::kPoolBlock;
    const std::string name = family + "_" + type, what = name + shape;
    CUfunction f = suite.driver.function(suite.module, "test_" + name, block.sharedBytes);
    suite.compare(want, suite.run(f, call, rows, columns, rows * columns / 128 + 1, block, what),
                  kTolerance, what);
  }
}

void checkImages(Suite &suite, Effort effort) {
  for (const Image &i : kImages) {
    const int64_t products = i.n * i.h * i.w * i.c * i.oc * i.kh * i.kw / i.groups;
    if ((effort == Effort::Quick && i.h * i.w > 2000) ||
        (effort == Effort::Tiny && products > 600000)) {
      continue;
    }
    const std::string shape = " " + std::to_string(i.h) + "x" + std::to_string(i.w) + "x" +
                              std::to_string(i.c) + " to " + std::to_string(i.oc) + " kernel " +
                              std::to_string(i.kh) + "x" + std::to_string(i.kw) + " groups " +
                              std::to_string(i.groups);
    const std::vector<float> input = exactNormals(static_cast<size_t>(i.n * i.h * i.w * i.c), 1);
    const std::vector<float> filter =
        exactNormals(static_cast<size_t>(i.oc * i.c / i.groups * i.kh * i.kw), 2);
    const PackSpec spec = {.columns = i.oc / i.groups,
                           .channels = i.c / i.groups,
                           .taps = i.kh * i.kw,
                           .groups = i.groups,
                           .layout = WeightLayout::Rows16};
    for (bool transposed : {false, true}) {
      TestCall call = callOf(i, transposed);
      const int64_t *a = call.args;
      call.params[1] = panelCount(spec);
      checkTypes(
          suite, transposed ? "conv_transpose" : "conv", call, i.n * a[kConvOutH] * a[kConvOutW],
          i.oc,
          transposed ? reference::convTranspose(a, input.data(), filter.data())
                     : reference::conv(a, input.data(), filter.data()),
          input,
          packFilter(filter, spec, transposed ? sourceOfConvTranspose(spec) : sourceOfConv(spec)),
          shape);
    }
    Image depthwise = i;
    depthwise.oc = depthwise.groups = i.c;
    TestCall call = callOf(depthwise, false);
    const int64_t *a = call.args;
    const int64_t pixels = i.n * a[kConvOutH] * a[kConvOutW];
    const std::vector<float> own = exactNormals(static_cast<size_t>(i.c * i.kh * i.kw), 3);
    const std::vector<double> want = reference::conv(a, input.data(), own.data());
    const PackSpec one = {
        .columns = i.c, .channels = 1, .taps = i.kh * i.kw, .layout = WeightLayout::Rows16};
    call.args[kConvGroups] = 1;
    call.params[1] = panelCount(one);
    checkTypes(suite, "conv_depthwise", call, pixels, i.c, want, input,
               packFilter(own, one, sourceOfDepthwise(one)), shape);
    for (int mode = 0; mode < 3 && i.moreH == 0; ++mode) { // maximum, average, with the padding
      TestCall pool = {};
      const int64_t args[] = {i.n,  i.h,  i.w,       i.c,       a[kConvOutH], a[kConvOutW], i.kh,
                              i.kw, i.sh, i.sw,      i.pt,      i.pl,         i.pt,         i.pl,
                              i.dh, i.dw, mode == 0, mode == 2, i.c};
      static_assert(sizeof args == kPoolArgs * sizeof(int64_t));
      std::memcpy(pool.args, args, sizeof args);
      checkTypes(suite, "pool", pool, pixels, i.c, reference::pool(args, input.data()), input, {},
                 shape);
    }
  }
}

/// Any run of panels alone gives the columns of the whole.
void checkPanels(Suite &suite, Effort) {
  const Image i = {1, 16, 16, 64, 130, 3, 3, 1, 1, 1, 1, 1, 1, 1};
  TestCall call = callOf(i, false);
  std::vector<float> input = normals(static_cast<size_t>(i.h * i.w * i.c), 5);
  std::vector<float> filter = normals(static_cast<size_t>(144 * 9 * i.c), 6);
  const std::vector<char> in = encode(input, "f16"), weights = encode(filter, "f16");
  Buffer a(in.data(), in.size()), b(weights.data(), weights.size());
  const cuda::Block block = cuda::convBlock(call.args, 2);
  CUfunction f = suite.driver.function(suite.module, "test_conv_f16", block.sharedBytes);
  Buffer counts(nullptr, 256 * 130 * 4), whole(nullptr, 256 * 130 * 4),
      parts(nullptr, 256 * 130 * 4);
  counts.fill(0);
  call.dims[0] = 130, call.dims[1] = 256 * 130;
  call.ptrs[0] = a.get(), call.ptrs[6] = counts.get();
  for (int64_t tile : {9, 2}) {
    call.ptrs[7] = tile == 9 ? whole.get() : parts.get();
    for (int64_t first = 0; first < 9; first += tile) {
      call.params[0] = first, call.params[1] = std::min<int64_t>(9, first + tile);
      call.ptrs[1] = b.get() + first * 16 * 9 * i.c * 2;
      void *params[] = {&call};
      suite.driver.launch(f, 5, block.threads, block.sharedBytes, params);
    }
  }
  suite.driver.wait();
  std::vector<float> one(256 * 130), two(256 * 130);
  whole.read(one.data());
  parts.read(two.data());
  ++suite.checks;
  if (std::memcmp(one.data(), two.data(), one.size() * 4)) {
    suite.fail("conv_f16: bits depend on the tile");
  }
}

void checkBatches(Suite &suite, Effort effort) {
  struct Product {
    int64_t b1, b2, m, n, k, pad;
    bool shared; // one B for all batches
  };
  const Product products[] = {{1, 1, 1, 1, 1, 0, false},      {1, 1, 1, 1, 0, 0, false},
                              {1, 2, 0, 5, 7, 0, false},      {2, 3, 64, 64, 64, 0, false},
                              {1, 2, 65, 70, 33, 0, true},    {1, 3, 200, 136, 264, 8, false},
                              {3, 1, 17, 200, 100, 3, true},  {1, 1, 130, 8, 1000, 0, false},
                              {2, 16, 200, 264, 72, 0, false}};
  for (const Product &p : products) {
    if (effort != Effort::All && p.b1 * p.b2 * p.m * p.n * p.k > 500000) {
      continue;
    }
    for (int lying = 0; lying < 8; ++lying) { // A, B transposed; misaligned
      const bool ta = lying & 1, tb = lying & 2;
      const int64_t aRow = ta ? 1 : p.k + p.pad, aK = ta ? p.m + p.pad : 1;
      const int64_t bK = tb ? 1 : p.n + p.pad, bColumn = tb ? p.k + p.pad : 1;
      const int64_t aSize = (ta ? p.k * aK : p.m * aRow) + p.pad, batches = p.b1 * p.b2;
      const int64_t bSize = (tb ? p.n * bColumn : p.k * bK) + p.pad;
      const std::vector<float> A = exactNormals(static_cast<size_t>(batches * aSize), 7);
      const std::vector<float> B =
          exactNormals(static_cast<size_t>((p.shared ? 1 : batches) * bSize), 8);
      TestCall call = {};
      const int64_t args[] = {1,
                              p.b1,
                              p.b2,
                              p.m,
                              p.n,
                              p.k,
                              0,
                              p.b2 * aSize,
                              aSize,
                              aRow,
                              aK,
                              0,
                              p.shared ? 0 : p.b2 * bSize,
                              p.shared ? 0 : bSize,
                              bK,
                              bColumn,
                              p.n};
      static_assert(sizeof args == kBatchMatmulArgs * sizeof(int64_t));
      std::memcpy(call.args, args, sizeof args);
      std::vector<double> want(static_cast<size_t>(batches * p.m * p.n));
      for (int64_t i = 0; i < static_cast<int64_t>(want.size()); ++i) {
        const int64_t n = i % p.n, m = i / p.n % p.m, batch = i / p.n / p.m;
        for (int64_t k = 0; k < p.k; ++k) {
          want[static_cast<size_t>(i)] +=
              static_cast<double>(A[static_cast<size_t>(batch * aSize + m * aRow + k * aK)]) *
              B[static_cast<size_t>((p.shared ? 0 : batch * bSize) + k * bK + n * bColumn)];
        }
      }
      for (const std::string &type : kTypes) {
        std::vector<float> valuesA = A, valuesB = B;
        const std::vector<char> bytesA = encode(valuesA, type), bytesB = encode(valuesB, type);
        const size_t offset = lying & 4 ? bytesOf(type) : 0;
        Buffer a(bytesA.data(), bytesA.size(), offset), b(bytesB.data(), bytesB.size(), offset);
        call.ptrs[0] = a.get(), call.ptrs[1] = b.get();
        const int64_t size = static_cast<int64_t>(bytesOf(type)),
                      tile = cuda::batchMatmulTile(call.args, size);
        const cuda::Block block = cuda::batchMatmulBlock(call.args, size);
        const std::string what = "batch_matmul_" + type + " " + std::to_string(p.m) + "x" +
                                 std::to_string(p.n) + "x" + std::to_string(p.k) + " lying " +
                                 std::to_string(lying);
        CUfunction f =
            suite.driver.function(suite.module, "test_batch_matmul_" + type, block.sharedBytes);
        suite.compare(want,
                      suite.run(f, call, batches * p.m, p.n,
                                batches * ((p.m + tile - 1) / tile) * ((p.n + tile - 1) / tile),
                                block, what),
                      kTolerance, what);
      }
    }
  }
}

void checkGathers(Suite &suite, Effort) {
  for (WeightFormat format :
       {WeightFormat::F32, WeightFormat::F16, WeightFormat::BF16, WeightFormat::I8,
        WeightFormat::I4G32, WeightFormat::I4G64, WeightFormat::I4G128}) {
    for (auto [N, K] :
         {std::pair<int64_t, int64_t>{100, 64}, {37, 130}, {16, 7}, {1000, 300}, {5, 1}}) {
      const std::vector<float> values = normals(static_cast<size_t>(N * K), 9);
      WeightSource source = sourceOfColumns(K);
      source.read = [&](int64_t offset, std::span<std::byte> bytes) {
        std::memcpy(bytes.data(), reinterpret_cast<const char *>(values.data()) + offset,
                    bytes.size());
        return true;
      };
      const PackSpec spec = {
          .format = format, .columns = N, .channels = K, .layout = WeightLayout::Rows16};
      std::vector<std::byte> packed(static_cast<size_t>(packedBytes(spec)));
      if (std::string problem = packPanels(spec, source, 0, panelCount(spec), packed);
          !problem.empty()) {
        suite.fail("packing: " + problem);
        continue;
      }
      std::vector<float> table(static_cast<size_t>(panelCount(spec) * K * 16));
      unpackPanels(spec, packed, 0, panelCount(spec), table.data());
      const std::vector<int64_t> ids = {0, N - 1, -1, -N, N / 2, N, -N - 1, 3 % N, 1 % N};
      std::vector<double> want;
      for (int64_t id : ids) {
        const int64_t row = id < 0 ? id + N : id;
        for (int64_t k = 0; k < K; ++k) {
          want.push_back(row < 0 || row >= N
                             ? NAN
                             : table[static_cast<size_t>((row / 16 * K + k) * 16 + row % 16)]);
        }
      }
      for (bool wide : {false, true}) {
        const std::vector<int32_t> narrow(ids.begin(), ids.end());
        Buffer tableBytes(packed.data(), packed.size());
        Buffer idBytes(wide ? static_cast<const void *>(ids.data()) : narrow.data(),
                       ids.size() * (wide ? 8 : 4));
        TestCall call = {};
        call.args[kGatherCount] = static_cast<int64_t>(ids.size());
        call.args[kGatherRows] = N, call.args[kGatherWidth] = call.args[kGatherLdc] = K;
        call.args[kGatherWideIds] = wide;
        call.params[1] = panelCount(spec);
        call.ptrs[0] = tableBytes.get(), call.ptrs[1] = idBytes.get();
        const std::string name = "gather_" + std::string(kernels::name(format));
        const std::string what = name + " " + std::to_string(N) + "x" + std::to_string(K);
        suite.compare(want,
                      suite.run(suite.driver.function(suite.module, "test_" + name, 0), call,
                                static_cast<int64_t>(ids.size()), K, 4, cuda::kGatherBlock, what),
                      1e-7, what);
      }
    }
  }
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 2) {
    std::printf("usage: WindowTest MODULE [all|quick|tiny [FAMILY]]\n");
    return 2;
  }
  const Effort effort = effortOf(argc > 2 ? argv[2] : "all");
  constexpr std::pair<const char *, void (*)(Suite &, Effort)> kFamilies[] = {
      {"images", checkImages},
      {"panels", checkPanels},
      {"batches", checkBatches},
      {"gathers", checkGathers}};
  Suite suite;
  suite.module = suite.driver.load(argv[1]);
  for (auto [name, run] : kFamilies) {
    if (argc < 4 || std::strcmp(argv[3], name) == 0) {
      run(suite, effort);
      suite.progress(name);
    }
  }
  return suite.finish("windows, batch products, gathers");
}
