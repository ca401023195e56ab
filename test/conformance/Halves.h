// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// f32, f16 and bf16 for tests: floats that the type holds, and their bytes. Types are numbered as
// in the program format.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

namespace ciuic::test {

inline constexpr int64_t kF32 = 1, kF16 = 2, kBF16 = 3;

inline float roundTo(float v, int64_t type) {
  uint32_t bits;
  if (type == kF32) {
    return v;
  }
  if (type == kF16) {
    return static_cast<float>(static_cast<_Float16>(v));
  }
  std::memcpy(&bits, &v, 4);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
  std::memcpy(&v, &bits, 4);
  return v;
}
inline std::vector<char> pack(const std::vector<float> &v, int64_t type) {
  std::vector<char> out(v.size() * (type == kF32 ? 4 : 2));
  for (size_t i = 0; i < v.size(); ++i) {
    if (type == kF32) {
      std::memcpy(&out[i * 4], &v[i], 4);
    } else if (type == kF16) {
      auto h = static_cast<_Float16>(v[i]);
      std::memcpy(&out[i * 2], &h, 2);
    } else {
      float r = roundTo(v[i], kBF16);
      std::memcpy(&out[i * 2], reinterpret_cast<char *>(&r) + 2, 2);
    }
  }
  return out;
}
inline float unpack(const char *at, int64_t type) {
  float v = 0;
  if (type == kF32) {
    std::memcpy(&v, at, 4);
  } else if (type == kF16) {
    _Float16 h;
    std::memcpy(&h, at, 2);
    v = static_cast<float>(h);
  } else {
    std::memcpy(reinterpret_cast<char *>(&v) + 2, at, 2);
  }
  return v;
}

} // namespace ciuic::test
