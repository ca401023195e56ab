// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Makes the hidden library kernels reachable for tests and benchmarks: linked with an embedded
// object into one shared object per variant, exactly as a program's .so is.
#include "kernels/host/Abi.h"

extern "C" __attribute__((visibility("default"))) ciuic_library_kernel
ciuic_test_kernel(const char *name) {
  struct Entry {
    const char *name;
    ciuic_library_kernel kernel;
  };
  static const Entry entries[] = {
#define CIUIC_ENTRY(NAME) {#NAME, NAME},
      CIUIC_HOST_KERNELS(CIUIC_ENTRY)
#undef CIUIC_ENTRY
  };
  for (const Entry &entry : entries) {
    const char *a = entry.name, *b = name;
    while (*a && *a == *b) {
      ++a, ++b;
    }
    if (*a == *b) {
      return entry.kernel;
    }
  }
  return nullptr;
}
