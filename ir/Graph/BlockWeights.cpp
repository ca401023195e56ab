// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See BlockWeights.h.
#include "ir/Graph/BlockWeights.h"

#include "kernels/pack/HalfFloat.h"

#include <cmath>
#include <cstring>
#include <vector>

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
namespace {

float floatAt(const char *p, Type element) {
  if (element.isF32()) {
    float f;
    std::memcpy(&f, p, 4);
    return f;
  }
  uint16_t bits;
  std::memcpy(&bits, p, 2);
  return element.isF16() ? kernels::halfToFloat(bits) : kernels::bfloatToFloat(bits);
}

void putFloat(char *p, float value, Type element) {
  if (element.isF32()) {
    std::memcpy(p, &value, 4);
    return;
  }
  uint16_t bits = element.isF16() ? kernels::floatToHalf(value) : kernels::floatToBfloat(value);
  std::memcpy(p, &bits, 2);
}

/// Integer number `i` of a run of packed ones.
int64_t integerAt(ArrayRef<char> bytes, int64_t i, int64_t bits) {
  int64_t bit = i * bits;
  unsigned byte = static_cast<uint8_t>(bytes[bit / 8]);
  return byte >> (bit % 8) & ((1u << bits) - 1);
}

Type elementOf(Attribute parameter) {
  auto stored = dyn_cast<StoredAttr>(parameter);
  return getElementTypeOrSelf(stored ? stored.getType()
                                     : cast<DenseElementsAttr>(parameter).getType());
}

/// Bytes [offset, …) of scales or zeros.
bool readParameter(Attribute parameter, int64_t offset, MutableArrayRef<char> out,
                   const ReadFile &read, std::string &error) {
  if (auto stored = dyn_cast<StoredAttr>(parameter)) {
    return read(stored.getFile(), stored.getOffset() + offset, out, error);
  }
  auto dense = cast<DenseElementsAttr>(parameter);
  ArrayRef<char> raw = dense.getRawData();
  for (auto [i, byte] : llvm::enumerate(out)) {
    size_t at = static_cast<size_t>(offset) + i;
    byte = raw[dense.isSplat() ? at % raw.size() : std::min(at, raw.size() - 1)];
  }
  return true;
}

/// The scales or zeros of part number `part`, where a merged weight has some for each.
Attribute parameterOf(Attribute parameter, int64_t part) {
  auto each = dyn_cast_or_null<ArrayAttr>(parameter);
  return each ? each[part] : parameter;
}

/// Part number `part` of a merged weight, as a weight of its own.
StoredWeight partOf(const StoredWeight &weight, int64_t part) {
  StoredWeight own;
  own.file = weight.merged.parts[part * 3];
  own.offset = weight.merged.parts[part * 3 + 1];
  own.type = weight.type;
  if (BlocksAttr b = weight.blocks) {
    own.type = RankedTensorType::get({weight.merged.columnsOf(part), weight.merged.depth},
                                     weight.type.getElementType());
    own.blocks = BlocksAttr::get(b.getContext(), b.getBits(), b.getSize(), b.getDepth(),
                                 b.getPart(), parameterOf(b.getScales(), part),
                                 parameterOf(b.getZeros(), part), b.getFormat());
  }
  return own;
}

/// The rows of a weight in blocks, one decoded at a time.
class Rows {
public:
  Rows(const StoredWeight &weight, const ReadFile &read)
      : weight(weight), blocks(weight.blocks), read(read), bits(blocks.getBits()),
        size(blocks.getSize()), depth(blocks.getDepth()), count((depth + size - 1) / size) {}

  bool decode(int64_t row, MutableArrayRef<float> out, std::string &error) {
    scales.resize(count);
    if (!readFloats(blocks.getScales(), row, scales, error) || !readZeros(row, error)) {
      return false;
    }
    const auto middle = static_cast<float>(int64_t(1) << (bits - 1));
    if (blocks.getPart() == "shifts") {
      for (int64_t b = 0; b < count; ++b) {
        out[b] = (middle - zeros[b]) * scales[b];
      }
      return true;
    }
    const bool centred = blocks.getPart() == "centred" || !blocks.getZeros();
    const int64_t rowBytes = count * (size * bits / 8);
    integers.resize(rowBytes);
    if (!read(weight.file, weight.offset + row * rowBytes, integers, error)) {
      return false;
    }
    for (int64_t k = 0; k < depth; ++k) {
      const int64_t b = k / size;
      const auto q = static_cast<float>(integerAt(integers, k, bits));
      out[k] = (q - (centred ? middle : zeros[b])) * scales[b];
    }
    return true;
  }

  bool readFloats(Attribute parameter, int64_t row, MutableArrayRef<float> out,
                  std::string &error) {
    Type element = elementOf(parameter);
    const int64_t width = element.getIntOrFloatBitWidth() / 8;
    bytes.resize(count * width);
    if (!readParameter(parameter, row * count * width, bytes, read, error)) {
      return false;
    }
    for (int64_t b = 0; b < count; ++b) {
      out[b] = floatAt(bytes.data() + b * width, element);
    }
    return true;
  }

  int64_t blockCount() const { return count; }

private:
  bool readZeros(int64_t row, std::string &error) {
    Attribute parameter = blocks.getZeros();
    if (!parameter || blocks.getPart() == "centred") {
      return true;
    }
    zeros.resize(count);
    if (isa<FloatType>(elementOf(parameter))) {
      return readFloats(parameter, row, zeros, error);
    }
    const int64_t rowBytes = (count * bits + 7) / 8;
    bytes.resize(rowBytes);
    if (!readParameter(parameter, row * rowBytes, bytes, read, error)) {
      return false;
    }
    for (int64_t b = 0; b < count; ++b) {
      zeros[b] = static_cast<float>(integerAt(bytes, b, bits));
    }
    return true;
  }

  const StoredWeight &weight;
  BlocksAttr blocks;
  const ReadFile &read;
  int64_t bits, size, depth, count;
  std::vector<float> scales, zeros;
  std::vector<char> integers, bytes;
};

} // namespace

bool readWeight(const StoredWeight &weight, int64_t offset, MutableArrayRef<char> out,
                const ReadFile &read, std::string &error) {
  if (!weight.merged.parts.empty()) {
    return graph::readMerged(weight.merged, offset, out,
                             [&](int64_t part, int64_t at, MutableArrayRef<char> piece) {
                               return readWeight(partOf(weight, part), at, piece, read, error);
                             });
  }
  if (!weight.blocks) {
    return read(weight.file, weight.offset + offset, out, error);
  }
  Type element = weight.type.getElementType();
  const int64_t width = element.getIntOrFloatBitWidth() / 8, columns = weight.type.getDimSize(1);
  Rows rows(weight, read);
  std::vector<float> values(columns);
  std::vector<char> bytes(columns * width);
  for (size_t done = 0; done < out.size();) {
    const int64_t at = offset + static_cast<int64_t>(done), rowBytes = columns * width;
    if (!rows.decode(at / rowBytes, values, error)) {
      return false;
    }
    for (int64_t k = 0; k < columns; ++k) {
      putFloat(bytes.data() + k * width, values[k], element);
    }
    const int64_t from = at % rowBytes;
    const size_t part = std::min(out.size() - done, static_cast<size_t>(rowBytes - from));
    std::memcpy(out.data() + done, bytes.data() + from, part);
    done += part;
  }
  return true;
}

bool readScales(const StoredWeight &weight, int64_t group, int64_t first, int64_t count, float *out,
                const ReadFile &read, std::string &error) {
  if (!weight.merged.parts.empty()) {
    const int64_t groups = (weight.blocks.getDepth() + group - 1) / group;
    for (int64_t r = 0; r < count;) {
      const graph::MergedWeight::Run run = weight.merged.runAt(first + r);
      const int64_t own = std::min(run.count, count - r);
      if (!readScales(partOf(weight, run.part), group, run.column, own, out + r * groups, read,
                      error)) {
        return false;
      }
      r += own;
    }
    return true;
  }
  Rows rows(weight, read);
  const int64_t size = weight.blocks.getSize();
  const int64_t groups = (weight.blocks.getDepth() + group - 1) / group;
  std::vector<float> scales(rows.blockCount());
  for (int64_t r = 0; r < count; ++r) {
    if (!rows.readFloats(weight.blocks.getScales(), first + r, scales, error)) {
      return false;
    }
    for (int64_t g = 0; g < groups; ++g) {
      out[r * groups + g] = scales[g * group / size];
    }
  }
  return true;
}

StringRef int4FormatOf(int64_t bits, int64_t size) {
  if (bits != 4 || size < 32) {
    return "";
  }
  return size == 32 ? "int4g32" : size == 64 ? "int4g64" : "int4g128";
}

bool areHalves(ArrayRef<char> scales, Type element) {
  const size_t width = element.getIntOrFloatBitWidth() / 8;
  for (size_t i = 0; i + width <= scales.size(); i += width) {
    const float s = floatAt(scales.data() + i, element);
    if (!std::isfinite(s) || kernels::halfToFloat(kernels::floatToHalf(s)) != s) {
      return false;
    }
  }
  return true;
}

} // namespace ciuic
