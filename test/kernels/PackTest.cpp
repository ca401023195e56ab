// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Packers: what is unpacked is what was packed (or the nearest the format has), for every stored
// order of a weight, packed whole or by ranges; errors reported are the errors made.
#include "kernels/pack/Pack.h"
#include "kernels/pack/HalfFloat.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <vector>

using namespace ciuic::kernels;

namespace {

const WeightFormat kFormats[] = {WeightFormat::F32,   WeightFormat::F16,   WeightFormat::BF16,
                                 WeightFormat::I8,    WeightFormat::I4G32, WeightFormat::I4G64,
                                 WeightFormat::I4G128};

const WeightLayout kLayouts[] = {WeightLayout::Panel16, WeightLayout::Rows16};

struct Stored {
  std::vector<float> values;
  WeightSource source;
  int64_t reads = 0, largest = 0;
};

void attach(Stored &stored) {
  stored.source.read = [&stored](int64_t offset, std::span<std::byte> bytes) {
    const auto size = static_cast<int64_t>(stored.values.size() * 4);
    if (offset < 0 || offset + static_cast<int64_t>(bytes.size()) > size) {
      return false;
    }
    ++stored.reads;
    stored.largest = std::max(stored.largest, static_cast<int64_t>(bytes.size()));
    std::memcpy(bytes.data(), reinterpret_cast<const char *>(stored.values.data()) + offset,
                bytes.size());
    return true;
  };
}

std::vector<float> normals(int64_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0, 0.05f);
  std::vector<float> values(static_cast<size_t>(count));
  for (float &v : values) {
    v = normal(engine);
  }
  return values;
}

// The value the source holds, straight from the definition of its strides.
float truth(const Stored &s, int64_t g, int64_t n, int64_t t, int64_t c) {
  const WeightSource &w = s.source;
  return s.values[static_cast<size_t>(g * w.groupStride + n * w.columnStride + t * w.tapStride +
                                      c * w.channelStride)];
}

double allowed(WeightFormat format) {
  switch (format) {
  case WeightFormat::F32:
    return 0;
  case WeightFormat::F16:
    return 0x1p-11;
  case WeightFormat::BF16:
    return 0x1p-8;
  case WeightFormat::I8:
    return 1e-2;
  default:
    return 0.11; // uniform noise of a group's step: about 0.08 to 0.1 for normal weights
  }
}

void roundTripIn(PackSpec spec, Stored &stored) {
  attach(stored);
  for (WeightFormat format : kFormats) {
    spec.format = format;
    ASSERT_EQ(check(spec), "");
    std::vector<std::byte> packed(static_cast<size_t>(packedBytes(spec)), std::byte{0x5A});
    PackError error;
    ASSERT_EQ(packPanels(spec, stored.source, 0, panelCount(spec), packed, &error), "");
    std::vector<float> values(static_cast<size_t>(panelCount(spec) * spec.depth() * 16));
    unpackPanels(spec, packed, 0, panelCount(spec), values.data());
    const int64_t perGroup = (spec.columns + 15) / 16;
    double error2 = 0, norm2 = 0, padding = 0;
    for (int64_t p = 0; p < panelCount(spec); ++p) {
      for (int64_t k = 0; k < spec.depth(); ++k) {
        for (int64_t lane = 0; lane < 16; ++lane) {
          const double got = values[static_cast<size_t>((p * spec.depth() + k) * 16 + lane)];
          const int64_t n = p % perGroup * 16 + lane;
          if (n >= spec.columns) {
            padding += std::fabs(got);
            continue;
          }
          const double want = truth(stored, p / perGroup, n, k / spec.channels, k % spec.channels);
          error2 += (got - want) * (got - want);
          norm2 += want * want;
        }
      }
    }
    EXPECT_EQ(padding, 0) << name(spec.layout) << " " << name(format);
    EXPECT_LE(std::sqrt(error2), allowed(format) * std::sqrt(norm2))
        << name(spec.layout) << " " << name(format);
    EXPECT_NEAR(error.error2, error2, 1e-9 * norm2) << name(spec.layout) << " " << name(format);
    EXPECT_NEAR(error.norm2, norm2, 1e-9 * norm2) << name(spec.layout) << " " << name(format);
    // The same bytes in ranges.
    std::vector<std::byte> ranges(packed.size());
    const int64_t bytes = panelBytes(spec);
    for (int64_t p = 0; p < panelCount(spec);) {
      const int64_t end = std::min(panelCount(spec), p + 1 + p % 3);
      ASSERT_EQ(packPanels(spec, stored.source, p, end,
                           std::span(ranges).subspan(static_cast<size_t>(p * bytes),
                                                     static_cast<size_t>((end - p) * bytes))),
                "");
      p = end;
    }
    EXPECT_EQ(packed, ranges) << name(spec.layout) << " " << name(format);
  }
}

void roundTrip(PackSpec spec, Stored &stored) {
  for (WeightLayout layout : kLayouts) {
    spec.layout = layout;
    roundTripIn(spec, stored);
  }
}

TEST(Pack, ColumnsTogether) {
  for (auto [N, K] : {std::pair<int64_t, int64_t>{1, 1}, {33, 7}, {48, 576}, {100, 130}}) {
    Stored s{normals(N * K, 1), sourceOfColumns(K)};
    roundTrip({.columns = N, .channels = K}, s);
  }
}

TEST(Pack, RowsTogether) {
  for (auto [N, K] : {std::pair<int64_t, int64_t>{1, 5}, {33, 1}, {70, 200}, {16, 31}}) {
    Stored s{normals(N * K, 2), sourceOfRows(N)};
    roundTrip({.columns = N, .channels = K}, s);
  }
}

TEST(Pack, Convolutions) {
  PackSpec spec = {.columns = 20, .channels = 3, .taps = 9};
  Stored plain{normals(20 * 27, 3), sourceOfConv(spec)};
  roundTrip(spec, plain);
  spec = {.columns = 5, .channels = 4, .taps = 6, .groups = 3};
  Stored grouped{normals(5 * 4 * 6 * 3, 4), sourceOfConv(spec)};
  roundTrip(spec, grouped);
  Stored transposed{normals(5 * 4 * 6 * 3, 5), sourceOfConvTranspose(spec)};
  roundTrip(spec, transposed);
  spec = {.columns = 37, .channels = 1, .taps = 25};
  Stored depthwise{normals(37 * 25, 6), sourceOfDepthwise(spec)};
  roundTrip(spec, depthwise);
}

TEST(Pack, EmptyWeights) {
  for (WeightLayout layout : kLayouts) {
    for (WeightFormat format : kFormats) {
      PackSpec spec = {.format = format, .columns = 0, .channels = 8, .layout = layout};
      EXPECT_EQ(packedBytes(spec), 0);
      Stored s{{}, sourceOfColumns(8)};
      attach(s);
      EXPECT_EQ(packPanels(spec, s.source, 0, 0, {}), "");
      spec = {.format = format, .columns = 16, .channels = 0, .layout = layout};
      std::vector<std::byte> bytes(static_cast<size_t>(packedBytes(spec)));
      EXPECT_EQ(packPanels(spec, s.source, 0, 1, bytes), "");
    }
  }
}

TEST(Pack, ReadsThroughABoundedBuffer) {
  const int64_t N = 4096, K = 1024; // 16 MiB
  Stored rows{normals(N * K, 7), sourceOfRows(N)};
  attach(rows);
  PackSpec spec = {.columns = N, .channels = K};
  std::vector<std::byte> packed(static_cast<size_t>(packedBytes(spec)));
  ASSERT_EQ(packPanels(spec, rows.source, 0, panelCount(spec), packed), "");
  EXPECT_LE(rows.largest, int64_t(4) << 20);
}

TEST(Pack, FailuresAreReported) {
  PackSpec spec = {.columns = 16, .channels = 8};
  Stored s{normals(16 * 8 - 1, 8), sourceOfColumns(8)}; // one value short
  attach(s);
  std::vector<std::byte> bytes(static_cast<size_t>(packedBytes(spec)));
  EXPECT_NE(packPanels(spec, s.source, 0, 1, bytes), "");
  EXPECT_NE(packPanels(spec, s.source, 0, 2, bytes), "");
  EXPECT_NE(packPanels(spec, s.source, 0, 1, std::span(bytes).first(bytes.size() - 1)), "");
  s.values.assign(16 * 8, 1.0f);
  s.values[77] = std::nanf("");
  EXPECT_EQ(packPanels(spec, s.source, 0, 1, bytes), ""); // f32 keeps what it is given
  spec.format = WeightFormat::I8;
  bytes.resize(static_cast<size_t>(packedBytes(spec)));
  EXPECT_NE(packPanels(spec, s.source, 0, 1, bytes), "");
  EXPECT_NE(check({.columns = int64_t(1) << 40, .channels = int64_t(1) << 40}), "");
  EXPECT_NE(check({.columns = -1, .channels = 1}), "");
}

TEST(Pack, SixteenBitSourcesAreExact) {
  const int64_t N = 16, K = 3;
  std::vector<uint16_t> half, brain;
  for (int64_t i = 0; i < N * K; ++i) {
    half.push_back(floatToHalf(0.37f * static_cast<float>(i - 20)));
    brain.push_back(floatToBfloat(1.9f * static_cast<float>(i - 11)));
  }
  for (ElementType type : {ElementType::F16, ElementType::BF16}) {
    const auto &bits = type == ElementType::F16 ? half : brain;
    WeightSource source = sourceOfColumns(K);
    source.type = type;
    source.read = [&](int64_t offset, std::span<std::byte> out) {
      std::memcpy(out.data(), reinterpret_cast<const char *>(bits.data()) + offset, out.size());
      return true;
    };
    const bool isHalf = type == ElementType::F16;
    PackSpec spec = {
        .format = isHalf ? WeightFormat::F16 : WeightFormat::BF16, .columns = N, .channels = K};
    std::vector<std::byte> packed(static_cast<size_t>(packedBytes(spec)));
    ASSERT_EQ(packPanels(spec, source, 0, 1, packed), "");
    std::vector<float> values(static_cast<size_t>(K * 16));
    unpackPanels(spec, packed, 0, 1, values.data());
    for (int64_t n = 0; n < N; ++n) {
      for (int64_t k = 0; k < K; ++k) {
        const uint16_t b = bits[static_cast<size_t>(n * K + k)];
        EXPECT_EQ(values[static_cast<size_t>(k * 16 + n)],
                  isHalf ? halfToFloat(b) : bfloatToFloat(b));
      }
    }
  }
}

// Both layouts hold the same values and report the same error.
TEST(Pack, LayoutsHoldTheSameValues) {
  const int64_t N = 40, K = 333;
  Stored s{normals(N * K, 11), sourceOfColumns(K)};
  attach(s);
  for (WeightFormat format : kFormats) {
    std::vector<float> values[2];
    PackError errors[2];
    for (int i : {0, 1}) {
      const PackSpec spec = {.format = format, .columns = N, .channels = K, .layout = kLayouts[i]};
      std::vector<std::byte> packed(static_cast<size_t>(packedBytes(spec)));
      ASSERT_EQ(packPanels(spec, s.source, 0, panelCount(spec), packed, &errors[i]), "");
      values[i].resize(static_cast<size_t>(panelCount(spec) * K * 16));
      unpackPanels(spec, packed, 0, panelCount(spec), values[i].data());
    }
    EXPECT_EQ(values[0], values[1]) << name(format);
    EXPECT_EQ(errors[0].error2, errors[1].error2) << name(format);
  }
}

// Rows16 read by the tensor cores' definition of a fragment (PTX, m16n8k16): the register a[r + 2p]
// of lane 4g + t is the pair (column g + 8r, its k of pair p), whichever k that is as long as the
// other operand has it in the same place: 32h + 8t + 4i + 2p here.
TEST(Pack, Rows16IsInFragmentOrder) {
  const int64_t K = 192;
  Stored s{normals(16 * K, 12), sourceOfColumns(K)};
  attach(s);
  for (WeightFormat format : {WeightFormat::I8, WeightFormat::I4G32, WeightFormat::I4G64,
                              WeightFormat::I4G128, WeightFormat::F16}) {
    const PackSpec spec = {
        .format = format, .columns = 16, .channels = K, .layout = WeightLayout::Rows16};
    std::vector<std::byte> packed(static_cast<size_t>(packedBytes(spec)));
    ASSERT_EQ(packPanels(spec, s.source, 0, 1, packed), "");
    std::vector<float> values(static_cast<size_t>(K * 16));
    unpackPanels(spec, packed, 0, 1, values.data());
    auto bits = [&](int64_t offset, auto type) {
      std::memcpy(&type, packed.data() + offset, sizeof type);
      return type;
    };
    const int64_t group = groupSize(format);
    const int64_t scaleBytes = 256 / std::max<int64_t>(group, 1) * 32; // one span of 256
    for (int64_t half = 0; half < K / 32; ++half) {
      for (int64_t lane = 0; lane < 32; ++lane) {
        for (int64_t i = 0; i < 8; ++i) {
          for (int64_t r = 0; r < 2; ++r) {
            const int64_t k = 32 * half + lane % 4 * 8 + i, column = lane / 4 + 8 * r;
            float got = 0;
            if (format == WeightFormat::F16) {
              got = halfToFloat(bits((column * K + k) * 2, uint16_t()));
            } else if (format == WeightFormat::I8) {
              const auto word = bits(128 + half * 512 + lane * 16 + i / 2 * 4, uint32_t());
              got = (static_cast<float>(word >> (16 * r + 8 * (i % 2)) & 255) - 128) *
                    bits(column * 4, float());
            } else {
              const int64_t quants = (scaleBytes + 127) / 128 * 128;
              const auto word =
                  bits(quants + half / 2 * 512 + lane * 16 + half % 2 * 8 + i / 4 * 4, uint32_t());
              const int64_t fragment = r + i % 4 / 2 * 2;
              const int64_t at = (column % 8 * (256 / group) + k / group) * 4 + r * 2;
              got = (static_cast<float>(word >> (4 * fragment + 16 * (i % 2)) & 15) - 8) *
                    halfToFloat(bits(at, uint16_t()));
            }
            EXPECT_EQ(got, values[static_cast<size_t>(k * 16 + column)])
                << name(format) << " k " << k << " column " << column;
          }
        }
      }
    }
  }
}

// Weights that lie on a group's grid come back exactly: the search finds the scale that made them.
TEST(Pack, GridWeightsAreExactInInt4) {
  const int64_t N = 16, K = 64;
  std::mt19937 engine(9);
  Stored s{std::vector<float>(static_cast<size_t>(N * K)), sourceOfColumns(K)};
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t k = 0; k < K; ++k) {
      const int q = k % 32 == 5 ? -8 : static_cast<int>(engine() % 16) - 8;
      const float scale = 0x1p-6f * static_cast<float>(1 + (n + k / 32) % 5);
      s.values[static_cast<size_t>(n * K + k)] = static_cast<float>(q) * scale;
    }
  }
  attach(s);
  PackSpec spec = {.format = WeightFormat::I4G32, .columns = N, .channels = K};
  PackError error;
  ASSERT_EQ(measurePanels(spec, s.source, 1, error), "");
  EXPECT_EQ(error.error2, 0);
  EXPECT_GT(error.norm2, 0);
}

// Constant groups, groups of zeros, and values that a half cannot hold.
// Scales that a source gives are kept, also where a search would find others: a group whose values
// are few multiples of its scale has no extreme to tell it by.
TEST(Pack, GivenScalesAreKept) {
  const int64_t K = 150, N = 37;
  for (WeightFormat format : {WeightFormat::I4G32, WeightFormat::I4G64, WeightFormat::I4G128}) {
    for (WeightLayout layout : kLayouts) {
      const int64_t group = groupSize(format), groups = (K + group - 1) / group;
      std::mt19937 engine(5);
      std::vector<float> scales(static_cast<size_t>(N * groups));
      for (float &s : scales) { // halves of either sign, and none
        s = static_cast<float>(static_cast<int>(engine() % 64) - 32) * 0.015625f;
      }
      Stored stored;
      stored.source = sourceOfColumns(K);
      for (int64_t n = 0; n < N; ++n) {
        for (int64_t k = 0; k < K; ++k) {
          stored.values.push_back(static_cast<float>(static_cast<int>(engine() % 7) - 3) *
                                  scales[static_cast<size_t>(n * groups + k / group)]);
        }
      }
      attach(stored);
      stored.source.scales = [&](int64_t column, int64_t count, float *out) {
        std::copy_n(scales.begin() + column * groups, count * groups, out);
        return true;
      };
      PackSpec spec;
      spec.format = format;
      spec.layout = layout;
      spec.columns = N;
      spec.channels = K;
      std::vector<std::byte> packed(static_cast<size_t>(packedBytes(spec)));
      PackError error;
      ASSERT_EQ(packPanels(spec, stored.source, 0, panelCount(spec), packed, &error), "");
      EXPECT_EQ(error.error2, 0);
      std::vector<float> found(static_cast<size_t>(panelCount(spec) * K * 16));
      unpackPanels(spec, packed, 0, panelCount(spec), found.data());
      for (int64_t n = 0; n < N; ++n) {
        for (int64_t k = 0; k < K; ++k) {
          ASSERT_EQ(found[static_cast<size_t>((n / 16 * K + k) * 16 + n % 16)],
                    stored.values[static_cast<size_t>(n * K + k)]);
        }
      }
      stored.source.scales = [](int64_t, int64_t, float *) { return false; };
      EXPECT_NE(packPanels(spec, stored.source, 0, panelCount(spec), packed), "");
    }
  }
}

TEST(Pack, DegenerateGroups) {
  const int64_t K = 64;
  for (float value : {0.0f, 1.0f, -0.375f, 1e-30f, 1e30f}) {
    Stored s{std::vector<float>(static_cast<size_t>(16 * K), value), sourceOfColumns(K)};
    attach(s);
    for (WeightFormat format : kFormats) {
      PackSpec spec = {.format = format, .columns = 16, .channels = K};
      std::vector<std::byte> packed(static_cast<size_t>(packedBytes(spec)));
      PackError error;
      ASSERT_EQ(packPanels(spec, s.source, 0, 1, packed, &error), "");
      std::vector<float> values(static_cast<size_t>(K * 16));
      unpackPanels(spec, packed, 0, 1, values.data());
      if (value == 0 || value == 1 || value == -0.375f) {
        EXPECT_NEAR(values[5], value, std::fabs(value) * 1e-6) << name(format);
      } else if (format != WeightFormat::F16) {
        EXPECT_TRUE(std::isfinite(values[5])) << name(format) << " of " << value;
      }
    }
  }
}

// Of a group's errors those on large weights count most. The search beats the extreme divided by 8
// in that measure, and smaller groups beat larger ones.
TEST(Pack, SearchLowersTheError) {
  const int64_t N = 64, K = 1024;
  Stored s{normals(N * K, 10), sourceOfColumns(K)};
  attach(s);
  double last = 0;
  for (WeightFormat format : {WeightFormat::I4G32, WeightFormat::I4G64, WeightFormat::I4G128}) {
    const PackSpec spec = {.format = format, .columns = N, .channels = K};
    std::vector<std::byte> packed(static_cast<size_t>(packedBytes(spec)));
    PackError error;
    ASSERT_EQ(packPanels(spec, s.source, 0, panelCount(spec), packed, &error), "");
    EXPECT_GT(error.relative(), last);
    last = error.relative();
    std::vector<float> values(static_cast<size_t>(N * K));
    unpackPanels(spec, packed, 0, panelCount(spec), values.data());
    double plain = 0, searched = 0;
    for (int64_t n = 0; n < N; ++n) {
      for (int64_t g = 0; g < K; g += groupSize(format)) {
        const float *w = s.values.data() + n * K + g;
        float extreme = 0;
        double square = 0;
        for (int64_t k = 0; k < groupSize(format); ++k) {
          extreme = std::fabs(w[k]) > std::fabs(extreme) ? w[k] : extreme;
          square += static_cast<double>(w[k]) * w[k] / static_cast<double>(groupSize(format));
        }
        const double scale = extreme / -8.0;
        for (int64_t k = 0; k < groupSize(format); ++k) {
          const double weight = square + static_cast<double>(w[k]) * w[k];
          const double d = w[k] - std::min(7.0, std::nearbyint(w[k] / scale)) * scale;
          const double e = w[k] - values[static_cast<size_t>((n / 16 * K + g + k) * 16 + n % 16)];
          plain += weight * d * d;
          searched += weight * e * e;
        }
      }
    }
    EXPECT_LT(searched, 0.97 * plain) << name(format);
  }
  EXPECT_NEAR(bitsPerWeight({.format = WeightFormat::I4G64, .columns = N, .channels = K}), 4.25,
              1e-9);
}

TEST(HalfFloat, EveryHalfComesBack) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const auto half = static_cast<uint16_t>(h);
    const float f = halfToFloat(half);
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(halfToFloat(floatToHalf(f))));
      continue;
    }
    EXPECT_EQ(floatToHalf(f), half);
    // The value itself, from the definition.
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const double magnitude = exponent == 31  ? INFINITY
                             : exponent == 0 ? std::ldexp(fraction, -24)
                                             : std::ldexp(1024 + fraction, exponent - 25);
    EXPECT_EQ(static_cast<double>(f), half & 0x8000 ? -magnitude : magnitude);
  }
}

TEST(HalfFloat, RoundsToNearestEven) {
  for (uint32_t h = 0; h < 0x7bff; ++h) { // between neighbours: below, at and above the middle
    const double low = halfToFloat(static_cast<uint16_t>(h));
    const double high = halfToFloat(static_cast<uint16_t>(h + 1));
    const auto middle = static_cast<float>((low + high) / 2);
    EXPECT_EQ(floatToHalf(middle), (h & 1) ? h + 1 : h);
    EXPECT_EQ(floatToHalf(std::nextafter(middle, 0.0f)), h);
    EXPECT_EQ(floatToHalf(std::nextafter(middle, INFINITY)), h + 1);
  }
  EXPECT_EQ(floatToHalf(65519.0f), 0x7bff);
  EXPECT_EQ(floatToHalf(65520.0f), 0x7c00);
  EXPECT_EQ(floatToBfloat(1.00390625f), 0x3f80); // tie to even
  EXPECT_EQ(floatToBfloat(1.01171875f), 0x3f82);
}

} // namespace
