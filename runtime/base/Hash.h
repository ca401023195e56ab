// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// XXH3-64, the one hash of program files and outputs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ciuic {
uint64_t hashBytes(const void *data, size_t bytes, uint64_t seed = 0);

/// The same hash over bytes that come in pieces.
class StreamHash {
public:
  StreamHash();
  ~StreamHash();
  StreamHash(const StreamHash &) = delete;
  StreamHash &operator=(const StreamHash &) = delete;
  void update(const void *data, size_t bytes);
  uint64_t digest() const;

private:
  void *state;
};
} // namespace ciuic
