// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The hash is compiled in, so that no program of ours needs a shared library for it.
#define XXH_INLINE_ALL
#include "runtime/base/Hash.h"

#include <new>
#include <xxhash.h>

namespace ciuic {

uint64_t hashBytes(const void *data, size_t bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(data, bytes, seed);
}

StreamHash::StreamHash() : state(XXH3_createState()) {
  if (!state) {
    throw std::bad_alloc();
  }
  XXH3_64bits_reset(static_cast<XXH3_state_t *>(state));
}
StreamHash::~StreamHash() { XXH3_freeState(static_cast<XXH3_state_t *>(state)); }
void StreamHash::update(const void *data, size_t bytes) {
  XXH3_64bits_update(static_cast<XXH3_state_t *>(state), data, bytes);
}
uint64_t StreamHash::digest() const {
  return XXH3_64bits_digest(static_cast<const XXH3_state_t *>(state));
}

} // namespace ciuic
