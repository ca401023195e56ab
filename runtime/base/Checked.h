// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Checked int64 arithmetic for sizes that come from a file or from a caller: every function says
// whether the result is right, none of them wraps.
#pragma once

#include <cstdint>
#include <optional>

namespace ciuic {

inline std::optional<int64_t> checkedAdd(int64_t a, int64_t b) {
  int64_t r;
  return __builtin_add_overflow(a, b, &r) ? std::nullopt : std::optional(r);
}
inline std::optional<int64_t> checkedSub(int64_t a, int64_t b) {
  int64_t r;
  return __builtin_sub_overflow(a, b, &r) ? std::nullopt : std::optional(r);
}
inline std::optional<int64_t> checkedMul(int64_t a, int64_t b) {
  int64_t r;
  return __builtin_mul_overflow(a, b, &r) ? std::nullopt : std::optional(r);
}
/// True when [offset, offset + bytes) lies in [0, size).
inline bool rangeInside(int64_t offset, int64_t bytes, int64_t size) {
  return offset >= 0 && bytes >= 0 && bytes <= size && offset <= size - bytes;
}
/// Rounds up to a power of two; nothing when the result would not fit.
inline std::optional<int64_t> checkedAlignUp(int64_t value, int64_t alignment) {
  auto sum = checkedAdd(value, alignment - 1);
  return sum ? std::optional(*sum & ~(alignment - 1)) : std::nullopt;
}
inline bool isPowerOfTwo(int64_t v) { return v > 0 && (v & (v - 1)) == 0; }

} // namespace ciuic
