// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sizes on command lines, read alike by every tool.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ciuic::tool {

/// A positive, finite number at the start of `text`, which becomes what follows it.
inline std::optional<double> takePositive(std::string_view &text) {
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number) || number <= 0) {
    return std::nullopt;
  }
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

/// Bytes of "4096", "512M" or "1.5G": a number, or one of K, M, G or T in powers of 1024, in either
/// case, rounded down. None for other texts, for less than a byte and for more than 2^53 bytes,
/// beyond which a double is not exact.
inline std::optional<int64_t> parseByteSize(std::string_view text) {
  std::optional<double> number = takePositive(text);
  if (!number || text.size() > 1) {
    return std::nullopt;
  }
  constexpr std::string_view kUnits = "KMGTkmgt";
  double bytes = *number;
  if (!text.empty()) {
    size_t unit = kUnits.find(text[0]);
    if (unit == std::string_view::npos) {
      return std::nullopt;
    }
    bytes = std::ldexp(bytes, static_cast<int>(10 * (unit % 4 + 1)));
  }
  if (bytes < 1 || bytes > std::ldexp(1.0, 53)) {
    return std::nullopt;
  }
  return static_cast<int64_t>(bytes);
}

} // namespace ciuic::tool
