// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A small generator with a fixed stream on every machine (splitmix64, Steele et al. 2014). The
// standard library's distributions differ between implementations; a plan must not.
#pragma once

#include <cstdint>

namespace ciuic::solver {

class Random {
public:
  explicit Random(uint64_t seed) : state(seed) {}

  uint64_t next() {
    uint64_t z = (state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

  /// A number below `bound`, which must be positive.
  uint64_t below(uint64_t bound) { return next() % bound; }

private:
  uint64_t state;
};

} // namespace ciuic::solver
