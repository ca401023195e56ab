// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The host's constants. Weights are read cold, from a chain of copies larger than any cache, and
// everything runs on the pool that programs run on, so that rates include what dividing work costs.
// Layers are those of common models: a rate of a class is the sum of their operations over the sum
// of their times.
#include "kernels/host/Catalog.h"
#include "kernels/pack/Pack.h"
#include "runtime/device/host/HostDevice.h"
#include "runtime/device/host/Link.h"
#include "tools/ciuic-bench/Calibration.h"
#include "tools/ciuic-bench/HostMachine.h"
#include "tools/ciuic-bench/Rounded.h"
#include "tools/ciuic-bench/Silu.h"
#include "tools/ciuic-bench/Variants.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <thread>

namespace ciuic::bench {
namespace {

using kernels::WeightFormat;

constexpr int64_t coldBytes = int64_t{192} << 20, copiedBytes = int64_t{16} << 20,
                  hostBytes = int64_t{128} << 20;
constexpr int launches = 200;

struct Layer {
  int64_t height, width, channels, outputs, kernel, stride;
};

class HostCalibration {
public:
  HostCalibration(const CalibrationOptions &options, const HostKernels &library)
      : options(options), library(library), cold(coldBytes) {}

  std::variant<cost::Profile, std::string> run() {
    const int threads =
        options.threads ? options.threads : std::max(1u, std::thread::hardware_concurrency());
    if (Status status = machine.start(threads); !status.isOk()) {
      return "[environment.threads] " + std::string(status.message());
    }
    cost::Profile profile;
    profile.device = "host";
    profile.name = !options.name.empty() ? options.name
                                         : std::string("host-") + library.variant + "-" +
                                               std::to_string(threads) + "-threads";
    stage("memory");
    profile.memoryGigabytes = rounded(readRate());
    stage("launches");
    Status status = openDevice();
    status = status.isOk() ? measureLaunch(profile) : std::move(status);
    stage("copies");
    status = status.isOk() ? measureLink(device::CommandKind::Upload, profile.toDevice)
                           : std::move(status);
    status = status.isOk() ? measureLink(device::CommandKind::Download, profile.toHost)
                           : std::move(status);
    if (!status.isOk()) {
      return "[environment.device] " + std::string(status.message());
    }
    stage("products");
    profile.matmul[0] = products(library.f32, WeightFormat::F32);
    profile.matmul[1] = products(library.f16, WeightFormat::F16);
    profile.matmul[2] = products(library.bf16, WeightFormat::BF16);
    profile.matmul[3] = products(library.int8, WeightFormat::I8);
    profile.matmul[4] = products(library.int4, WeightFormat::I4G64);
    profile.matmul[5] = {{1, rounded(productRate(library.int4Rounded, WeightFormat::I4G64, 1))}};
    stage("convolutions");
    profile.convolutionGigaflops = profile.convolutionF32Gigaflops = rounded(convolutions());
    stage("attention");
    profile.attentionGigaflops = rounded(attention());
    stage("elementwise work");
    profile.elementwiseGigaflops = rounded(elementwise());
    stage("work beside copies");
    const LibraryLaunch compute = product(library.f32, WeightFormat::F32, 128, 1024, 1024);
    profile.hideCompute = hide([&](int) { machine.launch(compute); });
    profile.hideMemory = hide([&](int i) { readPart(i); });
    return profile;
  }

private:
  void stage(const char *what) {
    if (options.onStage) {
      options.onStage(what);
    }
  }

  /// Memory that lives until the calibration ends, or is handed out again.
  char *take(int64_t bytes) {
    held.emplace_back(bytes);
    return held.back().data();
  }

  /// One sixteenth of the cold memory, the next one at each call.
  void readPart(int i) {
    constexpr int64_t part = coldBytes / 16, block = 64 << 10;
    const char *from = cold.data() + i % 16 * part;
    auto work = [&](int64_t begin, int64_t end) {
      uint64_t sum[8] = {};
      for (int64_t at = begin * block; at < end * block; at += 64) {
        __builtin_prefetch(from + at + 4096);
        uint64_t line[8];
        std::memcpy(line, from + at, 64);
        for (int j = 0; j < 8; ++j) {
          sum[j] += line[j];
        }
      }
      for (uint64_t s : sum) {
        sink.fetch_xor(s, std::memory_order_relaxed);
      }
    };
    machine.forUnits(part / block, work);
  }

  double readRate() {
    return static_cast<double>(coldBytes) / 16 /
           bestOf(options.seconds, [&](int i) { readPart(i); }) * 1e-9;
  }

  /// A context of the host device with a kernel that does nothing, and room to copy.
  Status openDevice() {
    CIUIC_TRY(device::createDevice("host", &host));
    device::ContextOptions contextOptions;
    contextOptions.threads = machine.threads();
    CIUIC_TRY(host->createContext(contextOptions, &context));
    CIUIC_TRY(context->reserve(copiedBytes + 4096, hostBytes));
    std::memset(context->hostTier(), 1, hostBytes);
    nothing = device::addHostKernel(
        *context, [](char *const *, const int64_t *, const int64_t *, int64_t, int64_t, char *) {},
        64);
    return Status::ok();
  }

  /// Seconds of a pass of these commands, each of `amount` units or bytes.
  Status timePass(std::vector<device::Command> commands, int64_t amount, double *out) {
    std::vector<int64_t> amounts(commands.size(), amount), dims(1);
    std::unique_ptr<device::Pass> pass;
    CIUIC_TRY(context->prepare(std::move(commands), copiedBytes, &pass));
    Status status = Status::ok();
    device::RunValues values;
    values.amounts = amounts;
    values.dims = dims;
    *out = bestOf(options.seconds, [&](int) {
      device::RunCounters counters;
      context->beginRun();
      status = status.isOk() ? context->run(*pass, values, &counters) : std::move(status);
    });
    return status;
  }

  /// A pass of many launches of a unit for each share that the pool deals out.
  Status measureLaunch(cost::Profile &profile) {
    device::Command launch;
    launch.kernel = nothing;
    launch.args = {{0, 64}};
    double seconds = 0;
    CIUIC_TRY(
        timePass(std::vector<device::Command>(launches, launch), machine.threads() * 8, &seconds));
    profile.launchMicroseconds = rounded(seconds / launches * 1e6);
    return Status::ok();
  }

  /// Latency is the time of a pass that copies a page; rates are those of larger copies one behind
  /// the other, from places that no cache holds.
  Status measureLink(device::CommandKind kind, solver::Link &out) {
    device::Command copy;
    copy.kind = kind;
    copy.stream = kind == device::CommandKind::Upload ? device::Stream::H2D : device::Stream::D2H;
    copy.args = {{0, 4096}};
    double latency = 0;
    CIUIC_TRY(timePass({copy}, 4096, &latency));
    out.latencyMicroseconds = rounded(latency * 1e6);
    for (int64_t bytes : {int64_t{64} << 10, int64_t{1} << 20, int64_t{16} << 20}) {
      copy.args = {{0, bytes}};
      std::vector<device::Command> many;
      for (int64_t at = 0; at + bytes <= hostBytes && many.size() < 64; at += bytes) {
        copy.hostOffset = at;
        many.push_back(copy);
      }
      const double total = static_cast<double>(bytes) * static_cast<double>(many.size());
      double seconds = 0;
      CIUIC_TRY(timePass(std::move(many), bytes, &seconds));
      out.rates.push_back(
          {bytes, rounded(total / std::max(seconds - latency, seconds / 2) * 1e-9)});
    }
    return Status::ok();
  }

  LibraryLaunch product(ciuic_library_kernel kernel, WeightFormat format, int64_t rows, int64_t K,
                        int64_t N) {
    const kernels::PackSpec spec{.format = format, .columns = N, .channels = K};
    LibraryLaunch launch{kernel, {rows, N, K, K, N}, {0, kernels::panelCount(spec)}, {}, 0, 0};
    launch.units = kernels::matmulUnits(launch.args.data(), launch.params.data());
    launch.scratchBytes = kernels::matmulScratch(launch.args.data());
    launch.ptrs = {take(rows * K * 4), cold.data(), take(rows * N * 4)};
    return launch;
  }

  /// 10^9 operations a second over the shapes of a small language model's blocks.
  double productRate(ciuic_library_kernel kernel, WeightFormat format, int64_t rows) {
    double operations = 0, seconds = 0;
    for (auto [K, N] : {std::pair<int64_t, int64_t>{576, 1536}, {1536, 576}, {1024, 1024}}) {
      held.clear();
      const kernels::PackSpec spec{.format = format, .columns = N, .channels = K};
      const int64_t bytes = kernels::packedBytes(spec), copies = coldBytes / bytes;
      LibraryLaunch launch = product(kernel, format, rows, K, N);
      seconds += bestOf(options.seconds, [&](int i) {
        launch.ptrs[1] = cold.data() + i % copies * bytes;
        machine.launch(launch);
      });
      operations += 2.0 * static_cast<double>(rows * K) * static_cast<double>(N);
    }
    return operations / seconds * 1e-9;
  }

  std::vector<cost::MatmulRate> products(ciuic_library_kernel kernel, WeightFormat format) {
    std::vector<cost::MatmulRate> rates;
    for (int64_t rows : {1, 2, 8, 32, 128}) {
      rates.push_back({rows, rounded(productRate(kernel, format, rows))});
    }
    return rates;
  }

  double convolutions() {
    // The kinds of layers of a residual network, each stage's sizes.
    constexpr Layer layers[] = {
        {224, 224, 3, 64, 7, 2},   {56, 56, 64, 64, 1, 1},    {56, 56, 64, 64, 3, 1},
        {56, 56, 64, 256, 1, 1},   {56, 56, 256, 128, 1, 1},  {28, 28, 128, 128, 3, 1},
        {28, 28, 128, 512, 1, 1},  {28, 28, 512, 256, 1, 1},  {14, 14, 256, 256, 3, 1},
        {14, 14, 256, 1024, 1, 1}, {14, 14, 1024, 512, 1, 1}, {7, 7, 512, 512, 3, 1},
        {7, 7, 512, 2048, 1, 1},   {56, 56, 128, 128, 3, 2},  {14, 14, 512, 512, 3, 2}};
    double operations = 0, seconds = 0;
    for (const Layer &l : layers) {
      held.clear();
      LibraryLaunch launch = convolution(l, operations);
      const int64_t bytes = 4 * l.channels * l.kernel * l.kernel * ((l.outputs + 15) / 16 * 16);
      const int64_t copies = coldBytes / bytes;
      seconds += bestOf(options.seconds, [&](int i) {
        launch.ptrs[1] = cold.data() + i % copies * bytes;
        machine.launch(launch);
      });
    }
    return operations / seconds * 1e-9;
  }

  LibraryLaunch convolution(const Layer &l, double &operations) {
    const int64_t pad = l.kernel / 2, taps = l.kernel * l.kernel;
    const int64_t outH = (l.height + 2 * pad - l.kernel) / l.stride + 1;
    const int64_t outW = (l.width + 2 * pad - l.kernel) / l.stride + 1;
    operations +=
        2.0 * static_cast<double>(outH * outW * l.outputs) * static_cast<double>(l.channels * taps);
    if (l.kernel == 1 && l.stride == 1) {
      return product(library.f32, WeightFormat::F32, outH * outW, l.channels, l.outputs);
    }
    using namespace kernels;
    const PackSpec spec{.columns = l.outputs, .channels = l.channels, .taps = taps};
    std::vector<int64_t> a(kConvArgs, 1);
    a[kConvInH] = l.height, a[kConvInW] = l.width, a[kConvInC] = l.channels;
    a[kConvOutH] = outH, a[kConvOutW] = outW, a[kConvOutC] = a[kConvLdc] = l.outputs;
    a[kConvKernelH] = a[kConvKernelW] = l.kernel, a[kConvStrideH] = a[kConvStrideW] = l.stride;
    a[kConvPadTop] = a[kConvPadLeft] = pad;
    a[kConvUnitRows] = convUnitRows(outH, outW);
    LibraryLaunch launch{library.conv, a, {0, panelCount(spec)}, {}, 0, convScratch(a.data())};
    launch.units = convUnits(a.data(), launch.params.data());
    launch.ptrs = {take(l.height * l.width * l.channels * 4), cold.data(),
                   take(outH * outW * l.outputs * 4)};
    return launch;
  }

  /// Heads, queries, keys and width of an encoder's, a prompt's and a long prompt's attention.
  double attention() {
    using namespace kernels;
    double operations = 0, seconds = 0;
    for (auto [heads, queries, keys, width] :
         {std::array<int64_t, 4>{12, 128, 128, 32}, {9, 256, 256, 64}, {9, 256, 1024, 64}}) {
      held.clear();
      std::vector<int64_t> a(kAttentionArgs);
      a[kAttnBatch] = 1, a[kAttnHeads] = a[kAttnKvHeads] = heads;
      a[kAttnQueries] = queries, a[kAttnKeys] = keys, a[kAttnWidth] = a[kAttnValueWidth] = width;
      const float scale = 0.125f;
      std::memcpy(&a[kAttnScale], &scale, sizeof scale);
      a[kAttnQHead] = queries * width, a[kAttnQSeq] = width;
      a[kAttnKHead] = a[kAttnVHead] = keys * width, a[kAttnKSeq] = a[kAttnVSeq] = width;
      a[kAttnOutHead] = width, a[kAttnOutSeq] = heads * width;
      LibraryLaunch launch{library.attention,         a, {}, {}, attentionUnits(a.data()),
                           attentionScratch(a.data())};
      const int64_t q = heads * queries * width * 4, k = heads * keys * width * 4;
      launch.ptrs = {take(q), take(k), take(k), nullptr, take(q)};
      seconds += bestOf(options.seconds, [&](int) { machine.launch(launch); });
      operations += 4.0 * static_cast<double>(heads * queries) * static_cast<double>(keys * width);
    }
    return operations / seconds * 1e-9;
  }

  double elementwise() {
    constexpr int64_t count = 256 * 1536, block = 1024;
    held.clear();
    const float *x = reinterpret_cast<const float *>(take(count * 4));
    float *y = reinterpret_cast<float *>(take(count * 4));
    auto work = [&](int64_t begin, int64_t end) {
      silu(x + begin * block, y + begin * block, (end - begin) * block);
    };
    const double seconds =
        bestOf(options.seconds, [&](int) { machine.forUnits(count / block, work); });
    return static_cast<double>(count) * kSiluOperations / seconds * 1e-9;
  }

  /// The rate at which `work` advances beside a copy, of its rate alone.
  template <typename Work>
  double hide(Work work) {
    const double alone = bestOf(options.seconds, work);
    std::atomic<bool> stop{false};
    std::thread copier([&] {
      Buffer to(int64_t{16} << 20);
      device::Link link(0);
      for (int64_t at = 0; !stop.load(std::memory_order_relaxed);
           at = (at + (16 << 20)) % coldBytes) {
        link.copy(to.data(), cold.data() + at, 16 << 20, &stop);
      }
    });
    const double beside = bestOf(options.seconds, work);
    stop = true;
    copier.join();
    return rounded(std::min(1.0, alone / beside));
  }

  const CalibrationOptions &options;
  const HostKernels &library;
  HostMachine machine;
  Buffer cold;
  std::vector<Buffer> held;
  std::atomic<uint64_t> sink{0};
  std::unique_ptr<device::Device> host;
  std::unique_ptr<device::Context> context;
  uint32_t nothing = 0;
};

} // namespace

std::variant<cost::Profile, std::string> calibrateHost(const CalibrationOptions &options) {
  const HostKernels *library = hostKernels();
  if (!library) {
    return std::string(
        "[environment.cpu] this CPU does not run x86-64-v3, which host programs need");
  }
  try {
    return HostCalibration(options, *library).run();
  } catch (const std::bad_alloc &) {
    return std::string("[environment.memory] the host is out of memory");
  }
}

} // namespace ciuic::bench
