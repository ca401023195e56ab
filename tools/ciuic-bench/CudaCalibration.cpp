// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A GPU's constants. Work is timed as programs run it, captured as a graph of many launches, over
// weights that no cache holds; a rate excludes what the launch of a kernel costs, which predictions
// add. Products of more than sixteen rows are the vendor's, within the workspace that programs give
// them; at extents that models often have, the fastest of its algorithms is noted where it is not
// the first.
#include "kernels/VendorCalls.h"
#include "kernels/cuda/Catalog.h"
#include "kernels/pack/Pack.h"
#include "tools/ciuic-bench/Calibration.h"
#include "tools/ciuic-bench/CudaMachine.h"
#include "tools/ciuic-bench/ProbeShapes.h"
#include "tools/ciuic-bench/Rounded.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace ciuic::bench {
namespace {

using format::DType, kernels::WeightFormat;
using namespace kernels::cuda;

constexpr int64_t poolBytes = int64_t{2} << 30, pinnedBytes = int64_t{256} << 20,
                  workspaceBytes = int64_t{32} << 20, granule = int64_t{16} << 20;
constexpr int64_t piece = int64_t{2} << 20; // in which the driver gives memory away
constexpr int64_t roundUp(int64_t bytes) { return (bytes + piece - 1) / piece * piece; }
constexpr int64_t productRows[] = {17, 64, 128, 512, 2048};
constexpr int candidates = 8;

struct Shape {
  int64_t K, N;
};
/// Products of a language model's blocks, side by side ones joined.
constexpr Shape productShapes[] = {{4096, 4096}, {4096, 12288}, {4096, 22016}, {11008, 4096}};

/// Products by a weight whose algorithm is chosen: rows, and the weight; with nothing behind them,
/// and with what stands behind them in such models (bits of kernels::VendorEpilogue).
struct Choice {
  Shape weight;
  std::array<int64_t, 3> rows; // 0: no more
  int64_t epilogue;
};
constexpr Choice choices[] = {
    // A language model of 4096 channels: prompts of 512, 2048 and 4 × 2048 tokens.
    {{4096, 4096}, {512, 2048, 8192}, kernels::kVendorResidual},
    {{4096, 11008}, {512, 2048, 8192}, 0},
    {{4096, 12288}, {512, 2048, 8192}, 0},
    {{4096, 22016}, {512, 2048, 8192}, 0},
    {{11008, 4096}, {512, 2048, 8192}, kernels::kVendorResidual},
    // The blocks of diffusion models' steps, of two pictures.
    {{320, 320}, {8192, 0, 0}, kernels::kVendorBias | kernels::kVendorResidual},
    {{320, 2560}, {8192, 0, 0}, kernels::kVendorBias},
    {{1280, 320}, {8192, 0, 0}, kernels::kVendorBias | kernels::kVendorResidual},
    {{640, 640}, {2048, 8192, 0}, kernels::kVendorBias | kernels::kVendorResidual},
    {{640, 5120}, {2048, 8192, 0}, kernels::kVendorBias},
    {{2560, 640}, {2048, 8192, 0}, kernels::kVendorBias | kernels::kVendorResidual},
    {{1280, 1280}, {512, 2048, 0}, kernels::kVendorBias | kernels::kVendorResidual},
    {{1280, 10240}, {512, 2048, 0}, kernels::kVendorBias},
    {{5120, 1280}, {512, 2048, 0}, kernels::kVendorBias | kernels::kVendorResidual}};
/// A choice must be this much faster than the library's first.
constexpr double worth = 0.97;

struct Layer {
  int64_t batch, side, channels, outputs, kernel, stride;
};
/// Of a diffusion model's step and of a residual network.
constexpr Layer layers[] = {{2, 64, 320, 320, 3, 1},   {2, 32, 640, 640, 3, 1},
                            {2, 16, 1280, 1280, 3, 1}, {2, 64, 320, 320, 3, 2},
                            {2, 32, 1280, 640, 3, 1},  {8, 56, 64, 64, 3, 1},
                            {8, 28, 128, 128, 3, 1},   {8, 14, 256, 1024, 1, 1}};

class CudaCalibration {
public:
  explicit CudaCalibration(const CalibrationOptions &options) : options(options) {}

  Status run(int ordinal, cost::Profile &profile) {
    CIUIC_TRY(machine.open(ordinal));
    profile.device = "cuda";
    profile.architecture = machine.architecture();
    profile.cards = {machine.name()};
    profile.name = options.name.empty() ? machine.name() : options.name;
    CIUIC_TRY(machine.openProducts());
    const int64_t without = machine.rest();
    CIUIC_TRY(machine.openConvolutions());
    const int64_t withConvolutions = machine.rest();
    CIUIC_TRY(machine.take(poolBytes, &pool));
    CIUIC_TRY(machine.take(poolBytes, &results));
    CIUIC_TRY(machine.take(workspaceBytes, &workspace));
    CIUIC_TRY(machine.takePinned(pinnedBytes, &host));
    stage("launches");
    CIUIC_TRY(measureLaunch(profile));
    stage("copies");
    CIUIC_TRY(measureLinks(profile));
    stage("memory");
    CIUIC_TRY(measureMemory(profile));
    stage("products");
    CIUIC_TRY(measureProducts(profile));
    stage("algorithms");
    CIUIC_TRY(chooseAlgorithms(profile));
    stage("convolutions");
    CIUIC_TRY(measureConvolutions(profile));
    stage("attention");
    CIUIC_TRY(measureAttention(profile));
    stage("elementwise work");
    CIUIC_TRY(measureElementwise(profile));
    stage("work beside copies");
    CIUIC_TRY(measureHiding(profile));
    const int64_t rest = machine.rest();
    if (rest < 0) {
      return failure(StatusClass::Environment, "environment.memory",
                     "the driver does not say what a process takes of the device: no reserve");
    }
    const int64_t convolutions = roundUp(std::max<int64_t>(0, withConvolutions - without));
    say(formatText("context, code and libraries take %.1f MiB, %.1f of them for convolutions",
                   double(rest) / (1 << 20), double(convolutions) / (1 << 20)));
    profile.reserveBytes = roundUp(rest - convolutions) + piece; // the arena ends inside one
    profile.reserveConvolutionBytes = convolutions;
    profile.reservePinnedShare = 8.0 / 4096; // a page table's entry for each page
    return Status::ok();
  }

private:
  void stage(const char *what) const {
    if (options.onStage) {
      options.onStage(what);
    }
  }
  void say(const std::string &text) const {
    if (options.onDetail) {
      options.onDetail(text.c_str());
    }
  }

  Status time(const CudaMachine::Work &work, double *out,
              const CudaMachine::Work &beside = nullptr) {
    Times times;
    CIUIC_TRY(machine.time(work, options.seconds, &times, beside));
    *out = times.median; // power and clocks are part of it
    return Status::ok();
  }

  /// Launches, one behind the other, of a kernel that has next to nothing to do: what remains is
  /// that each begins when the one before it has ended.
  Status measureLaunch(cost::Profile &profile) {
    constexpr int launches = 512;
    ProbeLaunch little;
    CIUIC_TRY(machine.find(0, "probe_copy", 0, &little.function));
    little.grid = machine.multiprocessors();
    double seconds = 0;
    CIUIC_TRY(time(
        [&] {
          for (int i = 0; i < launches; ++i) {
            CIUIC_TRY(copyMemory(little, little.grid * little.threads));
          }
          return Status::ok();
        },
        &seconds));
    launchSeconds = seconds / launches;
    profile.launchMicroseconds = rounded(launchSeconds * 1e6);
    return Status::ok();
  }

  /// Copies one behind the other: what a small one takes is the latency, and rates are those of the
  /// time beyond it.
  Status measureLinks(cost::Profile &profile) {
    for (const bool up : {true, false}) {
      solver::Link &link = up ? profile.toDevice : profile.toHost;
      double latency = 0;
      for (int64_t bytes :
           {int64_t{4} << 10, int64_t{64} << 10, int64_t{256} << 10, int64_t{1} << 20,
            int64_t{4} << 20, int64_t{16} << 20, int64_t{64} << 20}) {
        const int64_t count = std::clamp<int64_t>(pinnedBytes / bytes, 1, 64);
        Times times;
        CIUIC_TRY(
            machine.time([&] { return copies(up, bytes, count, false); }, options.seconds, &times));
        const double each = times.least / static_cast<double>(count); // of what nothing disturbs
        if (bytes == 4096) {
          latency = each;
          link.latencyMicroseconds = rounded(latency * 1e6);
          continue;
        }
        const double moving = std::max(each - latency, each / 2);
        link.rates.push_back({bytes, rounded(static_cast<double>(bytes) / moving * 1e-9)});
      }
    }
    double up = 0, down = 0;
    const auto half = [&](bool upwards) {
      return [&, upwards] { return copies(upwards, granule, 8, false, false); };
    };
    CIUIC_TRY(time(half(true), &up, [&] { return copies(false, granule, 16, true, true); }));
    CIUIC_TRY(time(half(false), &down, [&] { return copies(true, granule, 16, true, true); }));
    say(formatText("both directions at once: %.3g GB/s to the device, %.3g GB/s to the host",
                   8 * double(granule) / up * 1e-9, 8 * double(granule) / down * 1e-9));
    return Status::ok();
  }

  /// `second`: on the second stream; `high`: in the upper halves of both memories.
  Status copies(bool up, int64_t bytes, int64_t count, bool second, bool high = false) {
    const int64_t room = pinnedBytes / 2, places = std::max<int64_t>(1, room / bytes);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = (high ? room : 0) + i % places * bytes;
      const DeviceAddress there = results + static_cast<DeviceAddress>(at);
      CIUIC_TRY(up ? machine.upload(there, host + at, bytes, second)
                   : machine.download(host + at, there, bytes, second));
    }
    return Status::ok();
  }

  /// What kernels reach that are bound by memory: a copy, and products of one row by 16-bit
  /// weights.
  Status measureMemory(cost::Profile &profile) {
    ProbeLaunch copy;
    CIUIC_TRY(machine.find(0, "probe_copy", 0, &copy.function));
    copy.grid = machine.multiprocessors() * 4, copy.threads = 512;
    double seconds = 0;
    int64_t count = poolBytes / 4 / 16;
    CIUIC_TRY(time([&] { return copyMemory(copy, count); }, &seconds));
    const double moved = 2.0 * static_cast<double>(count) * 16;
    say(formatText("a copy in memory: %.4g GB/s, read and written", moved / seconds * 1e-9));
    double bytes = 0, product = 0;
    CIUIC_TRY(gemv("f16_f16_1", WeightFormat::F16, 1, &product, &bytes));
    say(formatText("products of one row: %.4g GB/s", bytes / product * 1e-9));
    profile.memoryGigabytes = rounded((moved + bytes) / (seconds + product) * 1e-9);
    return Status::ok();
  }

  Status copyMemory(const ProbeLaunch &copy, int64_t count) {
    DeviceAddress to = pool + static_cast<DeviceAddress>(poolBytes / 2);
    void *arguments[] = {&pool, &to, &count};
    return machine.launch(copy, arguments);
  }

  static int64_t weightBytes(WeightFormat weight) {
    return kernels::packedBytes({.format = weight,
                                 .columns = kProbeN,
                                 .channels = kProbeK,
                                 .layout = kernels::WeightLayout::Rows16});
  }

  /// Seconds of one product, its launch left out, and the bytes it reads and writes.
  Status gemv(const std::string &name, WeightFormat weight, int64_t rows, double *out,
              double *bytesOut = nullptr) {
    ProbeLaunch product{nullptr, kGemvBlock.maxGrid, kGemvBlock.threads, kGemvBlock.sharedBytes,
                        kGemvBlock.overlaps};
    CIUIC_TRY(machine.find(1, "probe_gemv_" + name, product.sharedBytes, &product.function));
    product.grid = std::min(product.grid, kProbeN / 16);
    const int64_t bytes = weightBytes(weight), copies = std::min<int64_t>(poolBytes / bytes, 16);
    CIUIC_TRY(time(
        [&] {
          for (int64_t i = 0; i < copies; ++i) {
            DeviceAddress weights = pool + static_cast<DeviceAddress>(i * bytes);
            DeviceAddress to = results + static_cast<DeviceAddress>(granule);
            void *arguments[] = {&results, &weights, &to};
            CIUIC_TRY(machine.launch(product, arguments));
          }
          return Status::ok();
        },
        out));
    *out = withoutLaunch(*out / static_cast<double>(copies));
    if (bytesOut) {
      *bytesOut = static_cast<double>(bytes + 2 * rows * (kProbeK + kProbeN));
    }
    return Status::ok();
  }

  double withoutLaunch(double seconds) const {
    return std::max(seconds - launchSeconds, seconds / 2);
  }

  static double operations(int64_t rows, int64_t K, int64_t N) {
    return 2.0 * static_cast<double>(rows * K) * static_cast<double>(N);
  }

  Status measureProducts(cost::Profile &profile) {
    struct Family {
      const char *name;
      WeightFormat format;
    };
    for (const auto &[slot, family] :
         {std::pair{0, Family{"f32_f32", WeightFormat::F32}},
          std::pair{1, Family{"f16_f16", WeightFormat::F16}},
          std::pair{3, Family{"f16_int8", WeightFormat::I8}},
          std::pair{4, Family{"f16_int4g128", WeightFormat::I4G128}}}) {
      for (int64_t rows : {1, 4, 16}) {
        double seconds = 0;
        CIUIC_TRY(gemv(std::string(family.name) + "_" + std::to_string(rows), family.format, rows,
                       &seconds));
        profile.matmul[static_cast<size_t>(slot)].push_back(
            {rows, rounded(operations(rows, kProbeK, kProbeN) / seconds * 1e-9)});
      }
    }
    profile.matmul[2] = profile.matmul[1]; // bf16: the same bytes by the same kernels
    for (int64_t rows : productRows) {
      for (const auto &[slot, type] :
           {std::pair{0, DType::F32}, std::pair{1, DType::F16}, std::pair{2, DType::BF16}}) {
        double rate = 0;
        CIUIC_TRY(vendorRate(type, rows, &rate));
        profile.matmul[static_cast<size_t>(slot)].push_back({rows, rounded(rate)});
      }
      for (const auto &[slot, name, weight] :
           {std::tuple{3, "f16_int8", WeightFormat::I8},
            std::tuple{4, "f16_int4g128", WeightFormat::I4G128}}) {
        double rate = 0;
        CIUIC_TRY(quantisedRate(name, weight, rows, &rate));
        profile.matmul[static_cast<size_t>(slot)].push_back({rows, rounded(rate)});
      }
    }
    profile.matmul[5] = profile.matmul[4]; // a row is not rounded here
    return Status::ok();
  }

  Status quantisedRate(const std::string &name, WeightFormat weight, int64_t rows, double *out) {
    ProbeLaunch product{nullptr, 0, kMatmulBlock.threads, kMatmulBlock.sharedBytes,
                        kMatmulBlock.overlaps};
    CIUIC_TRY(machine.find(2, "probe_matmul_" + name, product.sharedBytes, &product.function));
    product.grid = std::min(kMatmulBlock.maxGrid,
                            kernels::matmulUnits(rows, kProbeN, kProbeK, kProbeN / 16, 2));
    const int64_t bytes = weightBytes(weight), copies = 8;
    double seconds = 0;
    CIUIC_TRY(time(
        [&] {
          for (int64_t i = 0; i < copies; ++i) {
            DeviceAddress weights = pool + static_cast<DeviceAddress>(i * bytes);
            DeviceAddress to = results + static_cast<DeviceAddress>(poolBytes / 2),
                          parts = to + static_cast<DeviceAddress>(poolBytes / 4);
            int64_t m = rows;
            void *arguments[] = {&results, &weights, &parts, &to, &m};
            CIUIC_TRY(machine.launch(product, arguments));
          }
          return Status::ok();
        },
        &seconds));
    *out = operations(rows, kProbeK, kProbeN) /
           withoutLaunch(seconds / static_cast<double>(copies)) * 1e-9;
    return Status::ok();
  }

  /// Which of the library's heuristics is fastest, where it is not the first. Both are timed once
  /// more before the first is given up.
  Status chooseAlgorithms(cost::Profile &profile) {
    for (const auto &[type, format] : {std::pair{DType::F16, cost::WeightFormat::F16},
                                       std::pair{DType::BF16, cost::WeightFormat::BF16}}) {
      for (const Choice &c : choices) {
        for (int64_t rows : c.rows) {
          CIUIC_TRY(chooseAlgorithm(type, format, c.weight, rows, 0, profile));
          if (c.epilogue != 0) {
            CIUIC_TRY(chooseAlgorithm(type, format, c.weight, rows, c.epilogue, profile));
          }
        }
      }
    }
    return Status::ok();
  }

  Status chooseAlgorithm(DType type, cost::WeightFormat format, const Shape &s, int64_t rows,
                         int64_t epilogue, cost::Profile &profile) {
    if (rows == 0) {
      return Status::ok();
    }
    const format::MatmulShape shape{1, rows, s.N, s.K, s.K, s.K, s.N, 0, 0, 0};
    format::MatmulCall call{};
    call.typeA = call.typeB = call.typeD = type;
    call.transB = true;
    call.bias = (epilogue & kernels::kVendorBias) != 0;
    call.residual = (epilogue & kernels::kVendorResidual) != 0;
    std::vector<device::cuda::CublasLt::Algorithm> found;
    CIUIC_TRY(machine.blas()->candidates(call, shape, kernels::vendorWorkspace(rows * s.N),
                                         candidates, &found));
    double first = 0, best = 1e30;
    size_t which = 0;
    for (size_t i = 0; i < found.size(); ++i) {
      double seconds = 0;
      CIUIC_TRY(product(call, shape, &found[i], &seconds));
      first = i == 0 ? seconds : first;
      which = seconds < best ? i : which;
      best = std::min(best, seconds);
    }
    if (which == 0 || best > worth * first) {
      return Status::ok();
    }
    double bestAgain = 0, firstAgain = 0;
    CIUIC_TRY(product(call, shape, &found[which], &bestAgain));
    CIUIC_TRY(product(call, shape, &found[0], &firstAgain));
    if (bestAgain > worth * firstAgain) {
      return Status::ok();
    }
    say(formatText("%s %lld x %lld x %lld, epilogue %lld: number %zu of %zu takes %.3g of the "
                   "first's time",
                   type == DType::F16 ? "f16" : "bf16", static_cast<long long>(rows),
                   static_cast<long long>(s.N), static_cast<long long>(s.K),
                   static_cast<long long>(epilogue), which + 1, found.size(),
                   bestAgain / firstAgain));
    profile.algorithms.push_back({format, epilogue, rows, s.N, s.K, static_cast<int64_t>(which)});
    return Status::ok();
  }

  /// 10^9 operations a second of the vendor's products, over the shapes.
  Status vendorRate(DType type, int64_t rows, double *out) {
    double total = 0, taken = 0;
    for (const Shape &s : productShapes) {
      const format::MatmulShape shape{1, rows, s.N, s.K, s.K, s.K, s.N, 0, 0, 0};
      format::MatmulCall call{};
      call.typeA = call.typeB = call.typeD = type;
      call.transB = true;
      double seconds = 0;
      CIUIC_TRY(product(call, shape, nullptr, &seconds));
      total += operations(rows, s.K, s.N);
      taken += seconds;
    }
    *out = total / taken * 1e-9;
    return Status::ok();
  }

  /// Seconds of one product, its launch left out.
  Status product(const format::MatmulCall &call, const format::MatmulShape &shape,
                 const device::cuda::CublasLt::Algorithm *algorithm, double *out) {
    const int64_t size = call.typeA == DType::F32 ? 4 : 2, bytes = shape.n * shape.k * size;
    const int64_t copies = std::clamp<int64_t>(poolBytes / bytes, 1, 6);
    const DeviceAddress quarter = static_cast<DeviceAddress>(poolBytes / 4);
    const device::cuda::VendorWorkspace space{workspace,
                                              kernels::vendorWorkspace(shape.m * shape.n)};
    Times times;
    CIUIC_TRY(machine.time(
        [&] {
          for (int64_t i = 0; i < copies; ++i) {
            std::vector<DeviceAddress> pointers = {results,
                                                   pool + static_cast<DeviceAddress>(i * bytes)};
            if (call.bias) {
              pointers.push_back(results + quarter + quarter / 2);
            }
            if (call.residual) {
              pointers.push_back(results + quarter);
            }
            pointers.push_back(results + 2 * quarter);
            CIUIC_TRY(
                machine.blas()->matmul(call, shape, pointers, space, machine.stream(), algorithm));
          }
          return Status::ok();
        },
        options.seconds / 4, &times));
    *out = withoutLaunch(times.median / static_cast<double>(copies));
    return Status::ok();
  }

  Status measureConvolutions(cost::Profile &profile) {
    for (const DType type : {DType::F32, DType::F16}) {
      double total = 0, taken = 0;
      for (const Layer &l : layers) {
        double seconds = 0;
        CIUIC_TRY(convolution(type, l, &total, &seconds));
        taken += seconds;
      }
      const double rate = total / taken * 1e-9;
      say(formatText("convolutions in %s: %.4g TFLOP/s", type == DType::F32 ? "f32" : "f16",
                     rate * 1e-3));
      (type == DType::F32 ? profile.convolutionF32Gigaflops : profile.convolutionGigaflops) =
          rounded(rate);
    }
    return Status::ok();
  }

  Status convolution(DType type, const Layer &l, double *operationsOut, double *out) {
    const int64_t pad = l.kernel / 2, after = (l.side + 2 * pad - l.kernel) / l.stride + 1;
    format::ConvCall call = {};
    call.type = type, call.rank = 2, call.groups = 1;
    format::ConvShape shape = {};
    shape.n = l.batch, shape.c = l.channels, shape.oc = l.outputs;
    shape.in[2] = shape.out[2] = 1;
    for (int i = 0; i < 2; ++i) {
      call.kernel[i] = l.kernel, call.strides[i] = l.stride, call.dilations[i] = 1;
      call.before[i] = call.after[i] = pad;
      shape.in[i] = l.side, shape.out[i] = after;
    }
    const int64_t size = type == DType::F32 ? 4 : 2;
    const int64_t bytes = l.kernel * l.kernel * l.channels * ((l.outputs + 15) / 16 * 16) * size;
    constexpr int64_t copies = 6;
    const device::cuda::VendorWorkspace space{workspace, workspaceBytes};
    const DeviceAddress to = results + static_cast<DeviceAddress>(poolBytes / 2);
    CIUIC_TRY(time(
        [&] {
          for (int64_t i = 0; i < copies; ++i) {
            const DeviceAddress pointers[] = {results, pool + static_cast<DeviceAddress>(i * bytes),
                                              to};
            CIUIC_TRY(machine.dnn()->conv(call, shape, pointers, space, machine.stream()));
          }
          return Status::ok();
        },
        out));
    *out = withoutLaunch(*out / copies);
    *operationsOut += 2.0 * static_cast<double>(l.batch * after * after * l.outputs) *
                      static_cast<double>(l.channels * l.kernel * l.kernel);
    return Status::ok();
  }

  /// A prompt's attention; what a causal mask hides is not counted.
  Status measureAttention(cost::Profile &profile) {
    int64_t args[kernels::kAttentionArgs] = {};
    args[kernels::kAttnWidth] = args[kernels::kAttnValueWidth] = kProbeWidth;
    const Block block = attentionBlock(args, 2);
    const int64_t tile = attentionTileRows(args, 2);
    ProbeLaunch attention{nullptr, kProbeHeads * ((kProbeTokens + tile - 1) / tile), block.threads,
                          block.sharedBytes, false};
    CIUIC_TRY(machine.find(3, "probe_attention", block.sharedBytes, &attention.function));
    constexpr int64_t bytes = kProbeHeads * kProbeWidth * kProbeTokens * 2, copies = 8;
    double seconds = 0;
    CIUIC_TRY(time(
        [&] {
          for (int64_t i = 0; i < copies; ++i) {
            DeviceAddress q = pool + static_cast<DeviceAddress>(i * 3 * bytes), k = q + bytes,
                          v = k + bytes, out = results;
            void *arguments[] = {&q, &k, &v, &out};
            CIUIC_TRY(machine.launch(attention, arguments));
          }
          return Status::ok();
        },
        &seconds));
    const double pairs = static_cast<double>(kProbeTokens) * (kProbeTokens + 1) / 2;
    profile.attentionGigaflops =
        rounded(4.0 * static_cast<double>(kProbeHeads * kProbeWidth) * pairs /
                withoutLaunch(seconds / static_cast<double>(copies)) * 1e-9);
    return Status::ok();
  }

  Status measureElementwise(cost::Profile &profile) {
    ProbeLaunch work;
    CIUIC_TRY(machine.find(0, "probe_silu", 0, &work.function));
    int64_t count = int64_t{1} << 24;
    work.grid = count / work.threads;
    double seconds = 0;
    CIUIC_TRY(time(
        [&] {
          void *arguments[] = {&results, &count};
          return machine.launch(work, arguments);
        },
        &seconds));
    profile.elementwiseGigaflops = rounded(static_cast<double>(count) * kProbeRepeats *
                                           kProbeOperations / withoutLaunch(seconds) * 1e-9);
    return Status::ok();
  }

  /// The rates at which a product, and a copy in memory, advance while the link is busy.
  Status measureHiding(cost::Profile &profile) {
    // Longer than what runs beside them, which is long enough to meet the card's power limit.
    const auto link = [&] { return copies(true, granule, 192, true, true); };
    constexpr int64_t side = 8192;
    const format::MatmulShape shape{1, side, side, side, side, side, side, 0, 0, 0};
    format::MatmulCall call{};
    call.typeA = call.typeB = call.typeD = DType::F16;
    call.transB = true;
    const device::cuda::VendorWorkspace space{workspace, workspaceBytes};
    const DeviceAddress to = results + static_cast<DeviceAddress>(poolBytes / 2);
    const auto products = [&] {
      const DeviceAddress pointers[] = {pool, pool + poolBytes / 4, to, workspace};
      for (int i = 0; i < 32; ++i) {
        CIUIC_TRY(machine.blas()->matmul(call, shape, pointers, space, machine.stream()));
      }
      return Status::ok();
    };
    ProbeLaunch copy;
    CIUIC_TRY(machine.find(0, "probe_copy", 0, &copy.function));
    copy.grid = machine.multiprocessors() * 4, copy.threads = 512;
    const auto moves = [&] {
      for (int i = 0; i < 96; ++i) {
        CIUIC_TRY(copyMemory(copy, poolBytes / 4 / 16));
      }
      return Status::ok();
    };
    double alone = 0, beside = 0;
    CIUIC_TRY(time(products, &alone));
    CIUIC_TRY(time(products, &beside, link));
    profile.hideCompute = rounded(std::min(1.0, alone / beside));
    CIUIC_TRY(time(moves, &alone));
    CIUIC_TRY(time(moves, &beside, link));
    profile.hideMemory = rounded(std::min(1.0, alone / beside));
    return Status::ok();
  }

  const CalibrationOptions &options;
  CudaMachine machine;
  DeviceAddress pool = 0, results = 0, workspace = 0;
  char *host = nullptr;
  double launchSeconds = 0;
};

} // namespace

std::variant<cost::Profile, std::string> calibrateCuda(const CalibrationOptions &options) {
  const std::string_view name = options.device;
  int ordinal = 0;
  if (name != "cuda") {
    const auto [end, error] = std::from_chars(name.data() + 5, name.data() + name.size(), ordinal);
    if (name.size() < 6 || error != std::errc() || end != name.data() + name.size() ||
        ordinal < 0) {
      return "[usage.device] --device " + options.device + ": the form is cuda or cuda:N";
    }
  }
  cost::Profile profile;
  CudaCalibration calibration(options);
  if (Status status = calibration.run(ordinal, profile); !status.isOk()) {
    return "[" + std::string(status.code()) + "] " + std::string(status.message());
  }
  return profile;
}

} // namespace ciuic::bench
