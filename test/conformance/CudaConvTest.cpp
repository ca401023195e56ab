// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Convolutions by cuDNN against float64, and their rate at the extents of a diffusion model.
// Skipped where there is no GPU, unless CIUIC_REQUIRE_DEVICES is set.
#include "test/conformance/CudaFixture.h"
#include "test/conformance/Halves.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <gtest/gtest.h>
#include <random>

using namespace ciuic;
using namespace ciuic::device;
using namespace ciuic::test;

namespace {

double millisecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
      .count();
}

class CudaConv : public CudaFixture {
protected:
  void open(int64_t arena) {
    check(device->createContext({}, &context));
    check(context->reserve(arena, 0));
    check(context->findKernel(kNoLibrary, {"cudnn.conv", 0, 0, 0, 0}, &call));
  }
  /// Places a tensor behind the last one.
  ArenaRange place(const std::vector<char> &bytes) {
    ArenaRange range = {at, static_cast<int64_t>(bytes.size())};
    check(context->write(range.offset, bytes.data(), range.bytes));
    at = (at + range.bytes + 255) / 256 * 256;
    return range;
  }

  uint32_t call = 0;
  int64_t at = 4096;
};

struct Window {
  int64_t type, epilogue, groups, n, c, oc;
  std::vector<int64_t> in, kernel, strides, before, after, dilations;
};

std::vector<Window> windows(int64_t type) {
  std::vector<Window> list;
  using V = std::vector<int64_t>;
  for (int64_t epilogue : {0, 1, 2, 3}) {
    if (type == kF32 && epilogue == 2) {
      continue; // there is no such call
    }
    list.push_back(
        {type, epilogue, 1, 2, 16, 32, {13, 10}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}});
  }
  const V one = {1, 1}, none = {0, 0};
  list.push_back({type, 1, 1, 1, 64, 48, {9, 9}, one, one, none, none, one});
  list.push_back({type, 0, 1, 1, 8, 24, {17, 15}, {3, 3}, {2, 2}, none, one, one});
  list.push_back({type, 0, 1, 1, 8, 16, {14, 14}, {3, 3}, one, {2, 2}, {2, 2}, {2, 2}});
  list.push_back({type, 0, 1, 1, 4, 320, {16, 16}, {3, 3}, one, one, one, one});
  list.push_back({type, 0, 1, 1, 3, 16, {20, 20}, {7, 7}, {2, 2}, {3, 3}, {3, 3}, one});
  list.push_back({type, 0, 4, 1, 32, 64, {8, 8}, {3, 3}, one, one, one, one});
  list.push_back({type, 0, 1, 2, 16, 16, {40}, {5}, {1}, {2}, {2}, {1}});
  const V one3 = {1, 1, 1};
  list.push_back({type, 0, 1, 1, 16, 16, {6, 7, 8}, {3, 3, 3}, one3, one3, one3, one3});
  list.push_back({type, 0, 1, 0, 16, 32, {8, 8}, {3, 3}, one, one, one, one});
  return list;
}

/// Extents with unused dims in front of nothing: rank 1 and 2 are rank 3 of extent 1 behind.
struct Extents {
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, kernel[3] = {1, 1, 1}, stride[3] = {1, 1, 1},
          before[3] = {}, dilation[3] = {1, 1, 1};
  explicit Extents(const Window &w) {
    for (size_t i = 0; i < w.in.size(); ++i) {
      in[i] = w.in[i];
      kernel[i] = w.kernel[i];
      stride[i] = w.strides[i];
      before[i] = w.before[i];
      dilation[i] = w.dilations[i];
      out[i] =
          (in[i] + w.before[i] + w.after[i] - dilation[i] * (kernel[i] - 1) - 1) / stride[i] + 1;
    }
  }
  int64_t pixelsOut() const { return out[0] * out[1] * out[2]; }
  int64_t pixelsIn() const { return in[0] * in[1] * in[2]; }
  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
};

TEST_F(CudaConv, EqualsFloat64) {
  constexpr int64_t kWork = 32 << 20;
  open(96 << 20);
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  double worst[4] = {};
  for (int64_t type : {kF32, kF16, kBF16}) {
    for (const Window &p : windows(type)) {
      Extents e(p);
      size_t rank = p.in.size();
      SCOPED_TRACE(testing::Message()
                   << "type " << p.type << " epilogue " << p.epilogue << " groups " << p.groups
                   << " " << p.n << "x" << p.c << "->" << p.oc << " rank " << rank << " kernel "
                   << p.kernel[0] << " stride " << p.strides[0] << " dilation " << p.dilations[0]);
      int64_t cg = p.c / p.groups, og = p.oc / p.groups, es = type == kF32 ? 4 : 2;
      auto fill = [&](int64_t count) {
        std::vector<float> v(static_cast<size_t>(count));
        for (float &x : v) {
          x = roundTo(normal(random), type);
        }
        return v;
      };
      auto x = fill(p.n * e.pixelsIn() * p.c), w = fill(p.oc * e.taps() * cg);
      auto bias = fill(p.oc), residual = fill(p.n * e.pixelsOut() * p.oc);
      at = 4096;
      Command c;
      c.kernel = call;
      c.args = {place(pack(x, type)), place(pack(w, type))};
      if (p.epilogue & 1) {
        c.args.push_back(place(pack(bias, type)));
      }
      if (p.epilogue & 2) {
        c.args.push_back(place(pack(residual, type)));
      }
      ArenaRange y = place(pack(std::vector<float>(residual.size(), 777.0f), type));
      c.args.push_back(y);
      c.args.push_back({at, kWork});
      c.params = {type, static_cast<int64_t>(rank), p.epilogue, p.groups};
      for (const auto *part : {&p.kernel, &p.strides, &p.before, &p.after, &p.dilations}) {
        c.params.insert(c.params.end(), part->begin(), part->end());
      }
      c.maxShape = {p.n, p.c, p.oc};
      c.maxShape.insert(c.maxShape.end(), e.in, e.in + rank);
      c.maxShape.insert(c.maxShape.end(), e.out, e.out + rank);
      std::unique_ptr<Pass> pass;
      auto begin = std::chrono::steady_clock::now();
      Status prepared = context->prepare({c}, 0, &pass);
      if (!prepared.isOk()) {
        ADD_FAILURE() << prepared.message();
        continue;
      }
      if (double ms = millisecondsSince(begin); ms > 300) {
        std::printf("prepared in %.0f ms: type %d epilogue %d rank %zu groups %d\n", ms,
                    static_cast<int>(type), static_cast<int>(p.epilogue), rank,
                    static_cast<int>(p.groups));
      }
      int64_t amount = 1;
      RunValues values;
      values.amounts = {&amount, 1};
      values.shapes = c.maxShape;
      RunCounters counters;
      check(context->run(*pass, values, &counters));
      std::vector<char> got(static_cast<size_t>(y.bytes)), again(got.size());
      check(context->read(y.offset, got.data(), y.bytes));
      double error = 0, norm = 0;
      for (int64_t index = 0; index < p.n * e.pixelsOut() * p.oc; ++index) {
        int64_t oc = index % p.oc, pixel = index / p.oc % e.pixelsOut();
        int64_t n = index / p.oc / e.pixelsOut();
        int64_t o[3] = {pixel / (e.out[1] * e.out[2]), pixel / e.out[2] % e.out[1],
                        pixel % e.out[2]};
        double sum = 0;
        for (int64_t tap = 0; tap < e.taps(); ++tap) {
          int64_t t[3] = {tap / (e.kernel[1] * e.kernel[2]), tap / e.kernel[2] % e.kernel[1],
                          tap % e.kernel[2]};
          int64_t from = n;
          bool inside = true;
          for (int d = 0; d < 3; ++d) {
            int64_t i = o[d] * e.stride[d] + t[d] * e.dilation[d] - e.before[d];
            inside = inside && i >= 0 && i < e.in[d];
            from = from * e.in[d] + i;
          }
          for (int64_t ch = 0; inside && ch < cg; ++ch) {
            sum += static_cast<double>(x[static_cast<size_t>(from * p.c + oc / og * cg + ch)]) *
                   w[static_cast<size_t>((oc * e.taps() + tap) * cg + ch)];
          }
        }
        sum += p.epilogue & 1 ? bias[static_cast<size_t>(oc)] : 0;
        sum += p.epilogue & 2 ? residual[static_cast<size_t>(index)] : 0;
        double value = unpack(&got[static_cast<size_t>(index * es)], type);
        error += (value - sum) * (value - sum);
        norm += sum * sum;
      }
      double relative = norm > 0 ? std::sqrt(error / norm) : 0;
      worst[type] = std::max(worst[type], relative);
      EXPECT_LT(relative, type == kF32 ? 2e-6 : type == kF16 ? 1e-3 : 6e-3);
      check(context->run(*pass, values, &counters));
      check(context->read(y.offset, again.data(), y.bytes));
      EXPECT_EQ(got, again);
    }
  }
  std::printf("worst relative error: f32 %.2e, f16 %.2e, bf16 %.2e; the process holds %lld MiB\n",
              worst[kF32], worst[kF16], worst[kBF16],
              static_cast<long long>(device->info().processBytes >> 20));
}

TEST_F(CudaConv, AreTimed) {
  constexpr int kRepeats = 20;
  open(int64_t(1) << 30);
  struct Timed {
    int64_t c, oc, size, kernel;
  };
  for (Timed t : {Timed{320, 320, 64, 3}, Timed{640, 640, 32, 3}, Timed{1280, 1280, 16, 3},
                  Timed{2560, 1280, 16, 3}, Timed{320, 640, 32, 1}}) {
    for (int64_t epilogue : {0, 1, 3}) {
      int64_t n = 2, pixels = n * t.size * t.size;
      at = 1 << 20;
      Command c;
      c.kernel = call;
      auto values = [&](int64_t count) {
        std::vector<float> v(static_cast<size_t>(count));
        for (size_t i = 0; i < v.size(); ++i) {
          v[i] = static_cast<float>(i * 7919 % 1000) / 500 - 1;
        }
        c.args.push_back(place(pack(v, kF16)));
      };
      values(pixels * t.c);
      values(t.oc * t.kernel * t.kernel * t.c);
      if (epilogue & 1) {
        values(t.oc);
      }
      if (epilogue & 2) {
        values(pixels * t.oc);
      }
      values(pixels * t.oc);
      c.args.push_back({at, 32 << 20});
      int64_t pad = t.kernel / 2;
      c.params = {kF16, 2, epilogue, 1, t.kernel, t.kernel, 1, 1, pad, pad, pad, pad, 1, 1};
      c.maxShape = {n, t.c, t.oc, t.size, t.size, t.size, t.size};
      std::vector<int64_t> amounts(kRepeats, 1), shapes;
      for (int i = 0; i < kRepeats; ++i) {
        shapes.insert(shapes.end(), c.maxShape.begin(), c.maxShape.end());
      }
      std::unique_ptr<Pass> pass;
      Status s = context->prepare(std::vector<Command>(kRepeats, c), 0, &pass);
      if (!s.isOk()) {
        ADD_FAILURE() << s.message();
        continue;
      }
      RunValues run;
      run.amounts = amounts;
      run.shapes = shapes;
      RunCounters counters;
      std::vector<double> us;
      for (int i = 0; i < 10; ++i) {
        auto begin = std::chrono::steady_clock::now();
        check(context->run(*pass, run, &counters));
        us.push_back(millisecondsSince(begin) * 1e3 / kRepeats);
      }
      std::sort(us.begin(), us.end());
      double flops = 2.0 * static_cast<double>(pixels * t.oc * t.kernel * t.kernel * t.c);
      std::printf("%lldx%lld, %lld to %lld channels, kernel %lld, epilogue %lld: %.1f us, %.0f "
                  "TFLOP/s\n",
                  static_cast<long long>(t.size), static_cast<long long>(t.size),
                  static_cast<long long>(t.c), static_cast<long long>(t.oc),
                  static_cast<long long>(t.kernel), static_cast<long long>(epilogue), us[5],
                  flops / us[5] / 1e6);
      EXPECT_GT(flops / us[5] / 1e6, 5) << "tensor cores do better by far";
    }
  }
}

} // namespace
