// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Convolutions of every kind and pools against their float64 twins: strides, padding, dilation,
// groups, odd channels.
#include "kernels/reference/Conv.h"
#include "kernels/host/Catalog.h"
#include "kernels/pack/Pack.h"
#include "test/kernels/HostLibrary.h"

using namespace ciuic::kernels;
using namespace ciuic::kernels::test;

namespace {

struct Case {
  int64_t batch, H, W, C, OC, KH, KW, stride, pad, dilation, groups;
};

std::vector<int64_t> convArgs(const Case &c) {
  std::vector<int64_t> a(kConvArgs);
  a[kConvBatch] = c.batch, a[kConvInH] = c.H, a[kConvInW] = c.W, a[kConvInC] = c.C;
  a[kConvOutC] = c.OC, a[kConvKernelH] = c.KH, a[kConvKernelW] = c.KW;
  a[kConvStrideH] = a[kConvStrideW] = c.stride;
  a[kConvPadTop] = c.KH > 1 ? c.pad : 0, a[kConvPadLeft] = c.pad;
  a[kConvDilationH] = a[kConvDilationW] = c.dilation, a[kConvGroups] = c.groups;
  a[kConvOutH] = (c.H + 2 * a[kConvPadTop] - (c.KH - 1) * c.dilation - 1) / c.stride + 1;
  a[kConvOutW] = (c.W + 2 * c.pad - (c.KW - 1) * c.dilation - 1) / c.stride + 1;
  a[kConvUnitRows] = convUnitRows(a[kConvOutH], a[kConvOutW]);
  a[kConvLdc] = c.OC;
  return a;
}

std::vector<std::byte> packFilter(const PackSpec &spec, WeightSource source,
                                  const std::vector<float> &filter) {
  source.read = [&](int64_t offset, std::span<std::byte> out) {
    std::memcpy(out.data(), reinterpret_cast<const char *>(filter.data()) + offset, out.size());
    return true;
  };
  std::vector<std::byte> packed(static_cast<size_t>(packedBytes(spec)));
  EXPECT_EQ(packPanels(spec, source, 0, panelCount(spec), packed), "");
  return packed;
}

// Runs a convolution whole and in two tiles of panels; both must give the same bits.
std::vector<float> runConv(ciuic_library_kernel kernel, const std::vector<int64_t> &args,
                           const std::vector<float> &input, const PackSpec &spec,
                           const std::vector<std::byte> &packed,
                           int64_t (*units)(const int64_t *, const int64_t *), int64_t scratch) {
  const size_t outputs =
      static_cast<size_t>(args[kConvBatch] * args[kConvOutH] * args[kConvOutW] * args[kConvOutC]);
  // Exactly the input, so that a read beyond it meets the guard's bytes, which are not numbers of
  // this size.
  Guarded<float> in(input.size()), whole(outputs), tiled(outputs);
  std::copy(input.begin(), input.end(), in.data());
  const int64_t cuts[2][3] = {{0, panelCount(spec), panelCount(spec)},
                              {0, panelCount(spec) / 2, panelCount(spec)}};
  for (int pass = 0; pass < 2; ++pass) {
    for (int tile = 0; tile < 2; ++tile) {
      const std::vector<int64_t> params = {cuts[pass][tile], cuts[pass][tile + 1]};
      Guarded<std::byte> weights(static_cast<size_t>((params[1] - params[0]) * panelBytes(spec)));
      std::copy_n(packed.data() + params[0] * panelBytes(spec), weights.size(), weights.data());
      runUnits(kernel, args.data(), nullptr,
               {in.bytes(), weights.bytes(), pass ? tiled.bytes() : whole.bytes()}, params,
               units(args.data(), params.data()), scratch, pass ? 1 : 4);
    }
  }
  EXPECT_TRUE(whole.intact());
  EXPECT_EQ(0, std::memcmp(whole.data(), tiled.data(), outputs * 4));
  return {whole.data(), whole.data() + outputs};
}

class ConvTest : public HostLibraryTest {};

const Case kConvs[] = {
    {1, 5, 5, 3, 4, 3, 3, 1, 1, 1, 1},    {2, 13, 17, 16, 32, 3, 3, 1, 1, 1, 1},
    {1, 30, 31, 3, 64, 7, 7, 2, 3, 1, 1}, {1, 14, 14, 70, 50, 1, 1, 2, 0, 1, 1},
    {1, 12, 9, 8, 24, 3, 5, 1, 2, 2, 1},  {1, 9, 100, 6, 17, 3, 3, 1, 0, 1, 1},
    {2, 1, 50, 12, 20, 1, 5, 1, 2, 1, 1}, {1, 8, 8, 12, 18, 3, 3, 1, 1, 1, 3},
    {1, 7, 7, 40, 80, 3, 3, 2, 1, 1, 2},  {1, 7, 7, 300, 33, 3, 3, 1, 1, 1, 1},
    {1, 4, 56, 32, 16, 2, 2, 2, 0, 1, 1}, {1, 3, 3, 5, 5, 3, 3, 1, 4, 1, 1},
};

TEST_P(ConvTest, Direct) {
  for (const Case &c : kConvs) {
    const auto args = convArgs(c);
    const auto input = normals(static_cast<size_t>(c.batch * c.H * c.W * c.C), 1);
    const auto filter = normals(static_cast<size_t>(c.OC * c.C / c.groups * c.KH * c.KW), 2);
    const PackSpec spec = {.columns = c.OC / c.groups,
                           .channels = c.C / c.groups,
                           .taps = c.KH * c.KW,
                           .groups = c.groups};
    const auto got =
        runConv((*library)["ciuic_conv"], args, input, spec,
                packFilter(spec, sourceOfConv(spec), filter), convUnits, convScratch(args.data()));
    EXPECT_LT(relativeError(reference::conv(args.data(), input.data(), filter.data()), got.data()),
              1e-6)
        << c.H << "x" << c.W << "x" << c.C << " kernel " << c.KH << "x" << c.KW;
  }
}

TEST_P(ConvTest, Depthwise) {
  const Case cases[] = {
      {1, 9, 11, 16, 16, 3, 3, 1, 1, 1, 16},   {2, 20, 20, 70, 70, 3, 3, 2, 1, 1, 70},
      {1, 15, 60, 33, 33, 5, 5, 1, 2, 1, 33},  {1, 10, 10, 130, 130, 3, 3, 1, 2, 2, 130},
      {1, 1, 40, 24, 24, 1, 31, 1, 15, 1, 24}, {1, 2, 2, 3, 3, 3, 3, 1, 1, 1, 3}};
  for (const Case &c : cases) {
    auto args = convArgs(c);
    const auto input = normals(static_cast<size_t>(c.batch * c.H * c.W * c.C), 3);
    const auto filter = normals(static_cast<size_t>(c.C * c.KH * c.KW), 4);
    const auto truth = reference::conv(args.data(), input.data(), filter.data());
    args[kConvGroups] = 1;
    const PackSpec spec = {.columns = c.C, .channels = 1, .taps = c.KH * c.KW};
    const auto got = runConv((*library)["ciuic_conv_depthwise"], args, input, spec,
                             packFilter(spec, sourceOfDepthwise(spec), filter), convUnits,
                             depthwiseScratch(args.data()));
    EXPECT_LT(relativeError(truth, got.data()), 1e-6) << c.H << "x" << c.W << "x" << c.C;
  }
}

TEST_P(ConvTest, Transposed) {
  const Case cases[] = {{1, 5, 6, 8, 12, 2, 2, 2, 0, 1, 1},   {2, 7, 9, 20, 33, 3, 3, 2, 1, 1, 1},
                        {1, 4, 30, 16, 70, 4, 4, 2, 1, 1, 1}, {1, 6, 6, 12, 18, 3, 3, 1, 1, 2, 3},
                        {1, 3, 20, 5, 7, 3, 3, 3, 0, 1, 1},   {1, 4, 4, 6, 4, 3, 2, 5, 1, 3, 2}};
  for (const Case &c : cases) {
    auto args = convArgs(c);
    args[kConvOutH] = (c.H - 1) * c.stride - 2 * c.pad + (c.KH - 1) * c.dilation + 1;
    args[kConvOutW] = (c.W - 1) * c.stride - 2 * c.pad + (c.KW - 1) * c.dilation + 2;
    const auto input = normals(static_cast<size_t>(c.batch * c.H * c.W * c.C), 5);
    const auto filter = normals(static_cast<size_t>(c.C * c.OC / c.groups * c.KH * c.KW), 6);
    const PackSpec spec = {.columns = c.OC / c.groups,
                           .channels = c.C / c.groups,
                           .taps = c.KH * c.KW,
                           .groups = c.groups};
    const auto got = runConv((*library)["ciuic_conv_transpose"], args, input, spec,
                             packFilter(spec, sourceOfConvTranspose(spec), filter),
                             convTransposeUnits, convTransposeScratch(args.data()));
    EXPECT_LT(relativeError(reference::convTranspose(args.data(), input.data(), filter.data()),
                            got.data()),
              1e-6)
        << c.H << "x" << c.W << "x" << c.C << " stride " << c.stride;
  }
}

TEST_P(ConvTest, Pools) {
  struct PoolCase {
    int64_t H, W, C, K, stride, pad, extra, dilation;
  };
  const PoolCase cases[] = {{12, 13, 16, 3, 2, 1, 0, 1},
                            {7, 7, 20, 7, 1, 0, 0, 1},
                            {9, 9, 1, 2, 2, 0, 1, 1},
                            {10, 8, 33, 3, 1, 1, 0, 2},
                            {5, 5, 64, 3, 2, 1, 1, 1}};
  for (const PoolCase &c : cases) {
    for (int kind = 0; kind < 3; ++kind) {
      std::vector<int64_t> a(kPoolArgs);
      a[kPoolBatch] = 2, a[kPoolInH] = c.H, a[kPoolInW] = c.W, a[kPoolC] = c.C;
      a[kPoolKernelH] = a[kPoolKernelW] = c.K, a[kPoolStrideH] = a[kPoolStrideW] = c.stride;
      a[kPoolPadTop] = a[kPoolPadLeft] = c.pad;
      a[kPoolPadBottom] = a[kPoolPadRight] = c.pad;
      a[kPoolDilationH] = a[kPoolDilationW] = c.dilation;
      // `extra`: rounded up, so the last window may leave even the padded input.
      a[kPoolOutH] = (c.H + 2 * c.pad - (c.K - 1) * c.dilation - 1 + c.extra) / c.stride + 1;
      a[kPoolOutW] = (c.W + 2 * c.pad - (c.K - 1) * c.dilation - 1 + c.extra) / c.stride + 1;
      a[kPoolMax] = kind == 0, a[kPoolCountPadding] = kind == 2, a[kPoolLdc] = c.C;
      auto input = normals(static_cast<size_t>(2 * c.H * c.W * c.C), 7);
      Guarded<float> out(static_cast<size_t>(2 * a[kPoolOutH] * a[kPoolOutW] * c.C));
      runUnits((*library)["ciuic_pool"], a.data(), nullptr,
               {reinterpret_cast<char *>(input.data()), out.bytes()}, {}, poolUnits(a.data()),
               poolScratch(a.data()));
      EXPECT_LT(relativeError(reference::pool(a.data(), input.data()), out.data()), 1e-6)
          << c.H << "x" << c.W << "x" << c.C << " kind " << kind;
      EXPECT_TRUE(out.intact());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, ConvTest, testing::Values("v3", "v4"),
                         [](const auto &info) { return info.param; });

TEST(ConvVariants, AgreeBitForBit) {
  if (!cpuHas("v4")) {
    GTEST_SKIP() << "this CPU does not run x86-64-v4";
  }
  HostLibrary narrow("v3"), wide("v4");
  for (const Case &c : kConvs) {
    const auto args = convArgs(c);
    const auto input = normals(static_cast<size_t>(c.batch * c.H * c.W * c.C), 8);
    const auto filter = normals(static_cast<size_t>(c.OC * c.C / c.groups * c.KH * c.KW), 9);
    const PackSpec spec = {.columns = c.OC / c.groups,
                           .channels = c.C / c.groups,
                           .taps = c.KH * c.KW,
                           .groups = c.groups};
    const auto packed = packFilter(spec, sourceOfConv(spec), filter);
    const auto x = runConv(narrow["ciuic_conv"], args, input, spec, packed, convUnits,
                           convScratch(args.data()));
    const auto y =
        runConv(wide["ciuic_conv"], args, input, spec, packed, convUnits, convScratch(args.data()));
    EXPECT_EQ(0, std::memcmp(x.data(), y.data(), x.size() * 4));
  }
}

} // namespace
