// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Quantised rows, one value after the other: the twin of what code generation makes for
// graph.quantise_rows and graph.dequantise_rows.
#pragma once

#include "kernels/QuantisedRows.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace ciuic::kernels::reference {

/// Rows of `width` values as bytes.
inline std::vector<char> quantiseRows(const std::vector<float> &values, int64_t width) {
  const int64_t rows = width > 0 ? static_cast<int64_t>(values.size()) / width : 0;
  std::vector<char> bytes(static_cast<size_t>(rows * quantisedRowBytes(width)), 0);
  for (int64_t r = 0; r < rows; ++r) {
    const float *row = values.data() + r * width;
    float most = 0;
    for (int64_t c = 0; c < width; ++c) {
      most = std::isnan(row[c]) ? row[c] : std::fmax(most, std::fabs(row[c]));
    }
    char *to = bytes.data() + r * quantisedRowBytes(width);
    for (int64_t c = 0; c < width; ++c) {
      const double step = static_cast<double>(most) / 127;
      to[c] = most > 0 ? static_cast<char>(std::nearbyint(row[c] / step)) : char(0);
    }
    const float scale = most / 127;
    std::memcpy(to + rowScaleAt(width), &scale, sizeof scale);
  }
  return bytes;
}

/// What they stand for.
inline std::vector<float> valuesOfRows(const std::vector<char> &bytes, int64_t width) {
  const int64_t size = quantisedRowBytes(width), rows = static_cast<int64_t>(bytes.size()) / size;
  std::vector<float> values;
  for (int64_t r = 0; r < rows; ++r) {
    float scale;
    std::memcpy(&scale, bytes.data() + r * size + rowScaleAt(width), sizeof scale);
    for (int64_t c = 0; c < width; ++c) {
      values.push_back(static_cast<float>(static_cast<signed char>(bytes[r * size + c])) * scale);
    }
  }
  return values;
}

} // namespace ciuic::kernels::reference
