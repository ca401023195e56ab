// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Streams a weight from its source into panels. Two orders of reading cover every stored form:
// where a column's values lie together (Linear, convolution), sixteen columns are read at a time;
// where a row of columns lies together (MatMul, transposed convolution), rows of as many panels as
// fit the buffer. What is stored as its layout wants it is read in place.
#include "kernels/pack/Pack.h"
#include "kernels/pack/HalfFloat.h"
#include "kernels/pack/Quantise.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace ciuic::kernels {
namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kBuffer = int64_t(4) << 20;

constexpr std::array<std::string_view, 2> kLayoutNames = {"panel16", "rows16"};
constexpr std::array<std::string_view, 7> kNames = {"f32",     "f16",     "bf16",    "int8",
                                                    "int4g32", "int4g64", "int4g128"};

int64_t elementBytes(ElementType type) { return type == ElementType::F32 ? 4 : 2; }

int64_t panelsPerGroup(const PackSpec &spec) { return (spec.columns + kLanes - 1) / kLanes; }

float elementAt(ElementType type, const std::byte *p) {
  if (type == ElementType::F32) {
    float f;
    std::memcpy(&f, p, 4);
    return f;
  }
  uint16_t bits;
  std::memcpy(&bits, p, 2);
  return type == ElementType::F16 ? halfToFloat(bits) : bfloatToFloat(bits);
}

// Panels [first, end) of one group as f32 [end − first][K][16].
class PanelReader {
public:
  PanelReader(const PackSpec &spec, const WeightSource &source) : spec(spec), source(source) {
    // The extent of one column if its values lie together, which they do when columns are the
    // slowest index.
    const int64_t span =
        (spec.taps - 1) * source.tapStride + (spec.channels - 1) * source.channelStride + 1;
    columnsTogether = source.columnStride >= span;
    columnSpan = spec.depth() > 0 ? span : 0;
  }

  // How many panels to ask for at a time.
  int64_t batch() const {
    const int64_t bytes = std::max<int64_t>(1, spec.depth() * kLanes * 4);
    return std::max<int64_t>(1, kBuffer / bytes);
  }

  std::string read(int64_t group, int64_t first, int64_t end, float *out) {
    const int64_t K = spec.depth();
    std::fill(out, out + (end - first) * K * kLanes, 0.0f);
    if (K == 0) {
      return {};
    }
    const int64_t column = first * kLanes, columns = std::min(spec.columns, end * kLanes) - column;
    const int64_t base = group * source.groupStride + column * source.columnStride;
    if (columnsTogether) {
      for (int64_t n = 0; n < columns; ++n) {
        if (!fetch(base + n * source.columnStride, columnSpan)) {
          return failure();
        }
        scatter(n, 1, 0, spec.channels, out);
      }
    } else {
      const int64_t span =
          (columns - 1) * source.columnStride + (spec.taps - 1) * source.tapStride + 1;
      for (int64_t c = 0; c < spec.channels; ++c) {
        if (!fetch(base + c * source.channelStride, span)) {
          return failure();
        }
        scatter(0, columns, c, c + 1, out);
      }
    }
    return finite || spec.format == WeightFormat::F32
               ? std::string()
               : std::string("the weight holds a value that is not finite");
  }

private:
  bool fetch(int64_t element, int64_t count) {
    const int64_t size = elementBytes(source.type);
    bytes.resize(static_cast<size_t>(count * size));
    return source.read(element * size, bytes);
  }

  static std::string failure() { return "cannot read the weight's bytes"; }

  void scatter(int64_t n0, int64_t columns, int64_t c0, int64_t c1, float *out) {
    const int64_t size = elementBytes(source.type), K = spec.depth();
    for (int64_t n = 0; n < columns; ++n) {
      const int64_t column = n0 + n;
      float *to = out + column / kLanes * K * kLanes + column % kLanes;
      for (int64_t c = c0; c < c1; ++c) {
        for (int64_t t = 0; t < spec.taps; ++t) {
          const int64_t at =
              n * source.columnStride + (c - c0) * source.channelStride + t * source.tapStride;
          const float value = elementAt(source.type, bytes.data() + at * size);
          finite &= std::fabs(value) <= std::numeric_limits<float>::max();
          to[(t * spec.channels + c) * kLanes] = value;
        }
      }
    }
  }

  const PackSpec &spec;
  const WeightSource &source;
  bool columnsTogether = false, finite = true;
  int64_t columnSpan = 0;
  std::vector<std::byte> bytes;
};

void addError(PackError &sum, const float *panel, const float *decoded, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const double d = static_cast<double>(panel[i]) - decoded[i];
    sum.error2 += d * d;
    sum.norm2 += static_cast<double>(panel[i]) * panel[i];
  }
}

// Whether panels are the stored bytes: columns one after the other, in the format's own type.
bool isStoredAsPacked(const PackSpec &spec, const WeightSource &source) {
  const bool sameType = (spec.format == WeightFormat::F32 && source.type == ElementType::F32) ||
                        (spec.format == WeightFormat::F16 && source.type == ElementType::F16) ||
                        (spec.format == WeightFormat::BF16 && source.type == ElementType::BF16);
  return sameType && spec.layout == WeightLayout::Rows16 && spec.taps == 1 &&
         source.channelStride == 1 && source.columnStride == spec.channels;
}

// Infinities and NaNs of halves have all bits of the exponent set.
bool isFinite(std::span<const std::byte> halves, uint16_t exponent) {
  bool finite = true;
  for (size_t i = 0; i + 1 < halves.size(); i += 2) {
    uint16_t bits;
    std::memcpy(&bits, halves.data() + i, 2);
    finite &= (bits & exponent) != exponent;
  }
  return finite;
}

std::string copyRange(const PackSpec &spec, const WeightSource &source, int64_t first, int64_t end,
                      std::byte *out) {
  const int64_t perGroup = panelsPerGroup(spec), bytes = panelBytes(spec);
  const int64_t size = elementBytes(source.type), columnBytes = spec.depth() * size;
  for (int64_t p = first; p < end;) {
    const int64_t group = p / perGroup, local = p % perGroup;
    const int64_t count = std::min(end - p, perGroup - local), column = local * kLanes;
    const int64_t columns = std::min(spec.columns, (local + count) * kLanes) - column;
    std::span<std::byte> to(out + (p - first) * bytes, static_cast<size_t>(columns * columnBytes));
    if (!to.empty() && !source.read(group * source.groupStride * size + column * columnBytes, to)) {
      return "cannot read the weight's bytes";
    }
    std::fill(to.data() + to.size(), out + (p - first + count) * bytes, std::byte());
    if (spec.format != WeightFormat::F32 &&
        !isFinite(to, spec.format == WeightFormat::F16 ? 0x7c00 : 0x7f80)) {
      return "the weight holds a value that is not finite";
    }
    p += count;
  }
  return {};
}

// The scales that a source gives for a panel, in the panel's order; columns beyond the last have 0.
class GivenScales {
public:
  GivenScales(const PackSpec &spec, const WeightSource &source) : spec(spec), source(source) {
    const int64_t size = groupSize(spec.format);
    groups = size != 0 && source.scales ? (spec.depth() + size - 1) / size : 0;
  }

  bool of(int64_t panel, const float *&out) {
    if (groups == 0) {
      return true;
    }
    const int64_t column = panel * kLanes, count = std::min(kLanes, spec.columns - column);
    stored.resize(static_cast<size_t>(count * groups));
    turned.assign(static_cast<size_t>(groups * kLanes), 0);
    if (!source.scales(column, count, stored.data())) {
      return false;
    }
    for (int64_t c = 0; c < count; ++c) {
      for (int64_t g = 0; g < groups; ++g) {
        turned[g * kLanes + c] = stored[c * groups + g];
      }
    }
    out = turned.data();
    return true;
  }

private:
  const PackSpec &spec;
  const WeightSource &source;
  int64_t groups = 0;
  std::vector<float> stored, turned;
};

std::string encodeRange(const PackSpec &spec, const WeightSource &source, int64_t first,
                        int64_t end, std::byte *out, PackError *error) {
  if (out && !error && isStoredAsPacked(spec, source)) {
    return copyRange(spec, source, first, end, out);
  }
  const int64_t K = spec.depth(), perGroup = panelsPerGroup(spec), bytes = panelBytes(spec);
  PanelReader reader(spec, source);
  std::vector<float> values, decoded(static_cast<size_t>(error ? K * kLanes : 0));
  std::vector<std::byte> sink(static_cast<size_t>(out ? 0 : bytes));
  GivenScales given(spec, source);
  for (int64_t p = first; p < end;) {
    const int64_t group = p / perGroup, local = p % perGroup;
    const int64_t count = std::min({reader.batch(), end - p, perGroup - local});
    values.resize(static_cast<size_t>(count * K * kLanes));
    if (std::string problem = reader.read(group, local, local + count, values.data());
        !problem.empty()) {
      return problem;
    }
    for (int64_t i = 0; i < count; ++i) {
      const float *panel = values.data() + i * K * kLanes;
      std::byte *to = out ? out + (p + i - first) * bytes : sink.data();
      const float *scales = nullptr;
      if (!given.of(p + i, scales)) {
        return "cannot read the weight's bytes";
      }
      encodePanel(spec.layout, spec.format, K, panel, to, error ? decoded.data() : nullptr, scales);
      if (error) {
        addError(*error, panel, decoded.data(), K * kLanes);
      }
    }
    p += count;
  }
  return {};
}

std::string checkAll(const PackSpec &spec, const WeightSource &source, int64_t first, int64_t end) {
  if (std::string problem = check(spec); !problem.empty()) {
    return problem;
  }
  if (first < 0 || first > end || end > panelCount(spec)) {
    return "panels outside the weight";
  }
  if (!source.read || source.columnStride < 0 || source.channelStride < 0 || source.tapStride < 0 ||
      source.groupStride < 0) {
    return "the weight's source is incomplete";
  }
  return {};
}

} // namespace

std::string_view name(WeightFormat format) { return kNames[static_cast<size_t>(format)]; }

std::optional<WeightFormat> formatOfName(std::string_view text) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == text) {
      return static_cast<WeightFormat>(i);
    }
  }
  return std::nullopt;
}

std::string_view name(WeightLayout layout) { return kLayoutNames[static_cast<size_t>(layout)]; }

std::optional<WeightLayout> layoutOfName(std::string_view text) {
  for (size_t i = 0; i < kLayoutNames.size(); ++i) {
    if (kLayoutNames[i] == text) {
      return static_cast<WeightLayout>(i);
    }
  }
  return std::nullopt;
}

int64_t groupSize(WeightFormat format) {
  switch (format) {
  case WeightFormat::I4G32:
    return 32;
  case WeightFormat::I4G64:
    return 64;
  case WeightFormat::I4G128:
    return 128;
  default:
    return 0;
  }
}

std::string check(const PackSpec &spec) {
  if (spec.columns < 0 || spec.channels < 0 || spec.taps < 0 || spec.groups < 0) {
    return "negative extent of a weight";
  }
  // Padded to panels, with scales: at most 640 bytes a K value and panel.
  int64_t total = 640;
  const int64_t columns = std::min(spec.columns, int64_t(1) << 62) / kLanes + 1;
  for (int64_t factor : {spec.channels, spec.taps, spec.groups, columns}) {
    if (__builtin_mul_overflow(total, std::max<int64_t>(1, factor), &total) || total > int64_t(1)
                                                                                           << 62) {
      return "a weight beyond 2^62 bytes";
    }
  }
  return {};
}

int64_t panelCount(const PackSpec &spec) { return spec.groups * panelsPerGroup(spec); }
int64_t panelBytes(const PackSpec &spec) {
  return panelBytesOf(spec.layout, spec.format, spec.depth());
}
int64_t packedBytes(const PackSpec &spec) { return panelCount(spec) * panelBytes(spec); }

double bitsPerWeight(const PackSpec &spec) {
  const double weights = static_cast<double>(spec.columns) * static_cast<double>(spec.depth()) *
                         static_cast<double>(spec.groups);
  return weights > 0 ? 8.0 * static_cast<double>(packedBytes(spec)) / weights : 0;
}

WeightSource sourceOfColumns(int64_t K) {
  WeightSource s;
  s.columnStride = K;
  s.channelStride = 1;
  return s;
}

WeightSource sourceOfRows(int64_t N) {
  WeightSource s;
  s.columnStride = 1;
  s.channelStride = N;
  return s;
}

WeightSource sourceOfConv(const PackSpec &spec) {
  WeightSource s;
  s.tapStride = 1;
  s.channelStride = spec.taps;
  s.columnStride = spec.taps * spec.channels;
  s.groupStride = spec.columns * s.columnStride;
  return s;
}

WeightSource sourceOfConvTranspose(const PackSpec &spec) {
  WeightSource s;
  s.tapStride = 1;
  s.columnStride = spec.taps;
  s.channelStride = spec.taps * spec.columns;
  s.groupStride = spec.channels * s.channelStride;
  return s;
}

WeightSource sourceOfDepthwise(const PackSpec &spec) {
  WeightSource s;
  s.tapStride = 1;
  s.columnStride = spec.taps;
  return s;
}

double PackError::relative() const { return norm2 > 0 ? std::sqrt(error2 / norm2) : 0; }

std::string packPanels(const PackSpec &spec, const WeightSource &source, int64_t first, int64_t end,
                       std::span<std::byte> out, PackError *error) {
  if (std::string problem = checkAll(spec, source, first, end); !problem.empty()) {
    return problem;
  }
  if (static_cast<int64_t>(out.size()) != (end - first) * panelBytes(spec)) {
    return "the destination has the wrong size";
  }
  return encodeRange(spec, source, first, end, out.data(), error);
}

std::string measurePanels(const PackSpec &spec, const WeightSource &source, int64_t stride,
                          PackError &error) {
  const int64_t count = panelCount(spec);
  if (std::string problem = checkAll(spec, source, 0, count); !problem.empty()) {
    return problem;
  }
  stride = std::max<int64_t>(1, stride);
  for (int64_t p = 0; p < count; p += stride) {
    const int64_t end = stride == 1 ? count : p + 1;
    if (std::string problem = encodeRange(spec, source, p, end, nullptr, &error);
        !problem.empty()) {
      return problem;
    }
    if (stride == 1) {
      break;
    }
  }
  return {};
}

void unpackPanels(const PackSpec &spec, std::span<const std::byte> packed, int64_t first,
                  int64_t end, float *out) {
  const int64_t bytes = panelBytes(spec), values = spec.depth() * kLanes;
  for (int64_t p = first; p < end; ++p) {
    decodePanel(spec.layout, spec.format, spec.depth(), packed.data() + p * bytes,
                out + (p - first) * values);
  }
}

} // namespace ciuic::kernels
