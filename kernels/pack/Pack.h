// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Weights in the layouts the kernels read. A weight is B[K, N] as a product needs it: N columns
// (outputs), K values to sum over. It is packed in panels of sixteen columns; a panel is
// self-contained (scales included), so that any run of panels can be packed, moved and multiplied
// by itself. Columns beyond N are zero.
//
// Panel16, for the host:
// - F32, F16, BF16: [K][16].
// - I8: f32 scale[16], then int8 [ceil(K/4)][16][4]; value = q · scale, one scale a column.
// - I4G32, I4G64, I4G128: f16 scale[16] per group of so many values, padded to 64 bytes, then
//   uint32 [ceil(K/8)][16]; value = (nibble − 8) · scale of its group. Byte b of a word holds
//   k + b low and k + 4 + b high. The last group may be short; nibbles beyond K are 8 (zero).
//
// Rows16, for CUDA, holds the same values and scales in another order:
// - F32, F16, BF16: [16][K]. A run of panels is a row-major [N, K] matrix.
// - I8, I4G*: scales, then quants in the order of tensor core fragments (Rows16.h); quants beyond K
//   are zero.
//
// Convolutions order K as (tap, channel), channel fastest. With groups, each group's columns start
// a new panel. Depthwise filters are one group with a column per channel and one channel: B[taps,
// channels].
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ciuic::kernels {

enum class WeightFormat : uint8_t { F32, F16, BF16, I8, I4G32, I4G64, I4G128 };
enum class WeightLayout : uint8_t { Panel16, Rows16 };
enum class ElementType : uint8_t { F32, F16, BF16 };

std::string_view name(WeightFormat format); // "f32", "f16", "bf16", "int8", "int4g32", …
std::optional<WeightFormat> formatOfName(std::string_view name);
std::string_view name(WeightLayout layout); // "panel16", "rows16"
std::optional<WeightLayout> layoutOfName(std::string_view name);
int64_t groupSize(WeightFormat format); // 0 where there are no groups

struct PackSpec {
  WeightFormat format = WeightFormat::F32;
  int64_t columns = 0;  // per group
  int64_t channels = 0; // per group; K = taps · channels
  int64_t taps = 1;
  int64_t groups = 1;
  WeightLayout layout = WeightLayout::Panel16;

  int64_t depth() const { return taps * channels; }
};

// Empty if the sizes are sane (positive or zero, all products within 2^62), else what is wrong.
std::string check(const PackSpec &spec);
int64_t panelCount(const PackSpec &spec);
int64_t panelBytes(const PackSpec &spec);
int64_t packedBytes(const PackSpec &spec);
double bitsPerWeight(const PackSpec &spec); // padding and scales included

// Where element (group g, column n, tap t, channel c) lies in the file: element number
// g·groupStride + n·columnStride + t·tapStride + c·channelStride of `type`, little endian.
struct WeightSource {
  ElementType type = ElementType::F32;
  int64_t columnStride = 0, channelStride = 0, tapStride = 0, groupStride = 0;
  // Reads `bytes` bytes at byte `offset` of the weight; false is an error that the reader keeps to
  // itself.
  std::function<bool(int64_t offset, std::span<std::byte> bytes)> read;
  // For int4 formats: the scales of `count` columns from `column` on, [count][groups], where they
  // are given and not to be looked for.
  std::function<bool(int64_t column, int64_t count, float *scales)> scales = {};
};

WeightSource sourceOfColumns(int64_t K);         // stored [N, K]: Linear, transB, embeddings
WeightSource sourceOfRows(int64_t N);            // stored [K, N]: MatMul
WeightSource sourceOfConv(const PackSpec &spec); // stored [G·N, C, taps…]
WeightSource sourceOfConvTranspose(const PackSpec &spec); // stored [G·C, N, taps…]
WeightSource sourceOfDepthwise(const PackSpec &spec); // stored [N, 1, taps…]; spec.channels == 1

// ‖W − Ŵ‖² and ‖W‖² of what was packed; adds up over ranges.
struct PackError {
  double error2 = 0, norm2 = 0;
  double relative() const; // sqrt(error2 / norm2), 0 for a weight of zeros
};

// Packs panels [first, end) to `out`, of exactly (end − first) · panelBytes. Reads through a buffer
// of at most a few MiB plus one panel. Quantised formats choose each group's scale by least squared
// error over a fixed set of candidates, the same on every machine, unless the source gives them.
// Values that are not finite are refused by every format but F32. Returns an error text or empty.
std::string packPanels(const PackSpec &spec, const WeightSource &source, int64_t first, int64_t end,
                       std::span<std::byte> out, PackError *error = nullptr);

// The error of a format without keeping the bytes, over every `stride`-th panel.
std::string measurePanels(const PackSpec &spec, const WeightSource &source, int64_t stride,
                          PackError &error);

// The inverse: values of panels [first, end) as f32 [end − first][K][16].
void unpackPanels(const PackSpec &spec, std::span<const std::byte> packed, int64_t first,
                  int64_t end, float *out);

} // namespace ciuic::kernels
