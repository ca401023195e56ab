// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tools/ciuic-run/Elements.h"

#include <cstring>

namespace ciuic::run {
namespace {

/// splitmix64: small, and the same on every machine.
struct Random {
  uint64_t state;
  uint64_t next() {
    uint64_t z = (state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  float uniform() { return static_cast<float>(next() >> 40) / 8388608.0f - 1.0f; }
};

uint16_t toBf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

} // namespace

void fillRandom(ciuic_dtype dtype, std::vector<char> &data, uint64_t seed) {
  Random random{seed};
  size_t size = ciuic_dtype_bytes(dtype);
  auto put = [&](size_t at, auto value) { std::memcpy(data.data() + at, &value, sizeof value); };
  for (size_t at = 0; at + size <= data.size(); at += size) {
    switch (dtype) {
    case CIUIC_F32:
      put(at, random.uniform());
      break;
    case CIUIC_F64:
      put(at, static_cast<double>(random.uniform()));
      break;
    case CIUIC_F16:
      put(at, static_cast<_Float16>(random.uniform()));
      break;
    case CIUIC_BF16:
      put(at, toBf16(random.uniform()));
      break;
    default:
      data[at] = static_cast<char>(random.next() >> 63);
      break; // little-endian 0 or 1
    }
  }
}

double elementAsDouble(ciuic_dtype dtype, const char *p) {
  auto as = [&](auto sample) {
    std::memcpy(&sample, p, sizeof sample);
    return static_cast<double>(sample);
  };
  switch (dtype) {
  case CIUIC_F32:
    return as(float());
  case CIUIC_F64:
    return as(double());
  case CIUIC_F16:
    return as(_Float16());
  case CIUIC_BF16: {
    uint16_t half;
    std::memcpy(&half, p, 2);
    uint32_t bits = static_cast<uint32_t>(half) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  }
  case CIUIC_I64:
    return as(int64_t());
  case CIUIC_I32:
    return as(int32_t());
  case CIUIC_I16:
    return as(int16_t());
  case CIUIC_I8:
    return as(int8_t());
  case CIUIC_U64:
    return as(uint64_t());
  case CIUIC_U32:
    return as(uint32_t());
  case CIUIC_U16:
    return as(uint16_t());
  case CIUIC_U8:
  case CIUIC_BOOL:
    return as(uint8_t());
  }
  return 0;
}

} // namespace ciuic::run
