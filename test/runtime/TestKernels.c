// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/* Kernels of the runtime's tests, in the host kernel ABI; compiled to a shared object that the
   tests put into their programs. */
#include <stdint.h>

#define KERNEL(name)                                                                               \
  __attribute__((visibility("default"))) void name(char *const *ptrs, const int64_t *dims,         \
                                                   const int64_t *params, int64_t begin,           \
                                                   int64_t end, char *scratch)

/* out[i] = a[i] + b[i]; one unit an element. */
KERNEL(test_add) {
  const float *a = (const float *)ptrs[0], *b = (const float *)ptrs[1];
  float *out = (float *)ptrs[2];
  for (int64_t i = begin; i < end; ++i) {
    out[i] = a[i] + b[i];
  }
}

/* out[i] = a[i] * params[0]. */
KERNEL(test_scale) {
  const float *a = (const float *)ptrs[0];
  float *out = (float *)ptrs[1];
  for (int64_t i = begin; i < end; ++i) {
    out[i] = a[i] * (float)params[0];
  }
}

/* state[past + i] = x[i]; dims = {seq, past}; one unit an element of x. */
KERNEL(test_append) {
  const float *x = (const float *)ptrs[0];
  float *state = (float *)ptrs[1];
  for (int64_t i = begin; i < end; ++i) {
    state[dims[1] + i] = x[i];
  }
}

/* out[0] = sum of state[0 .. past + seq); one unit. */
KERNEL(test_sum) {
  const float *state = (const float *)ptrs[0];
  float *out = (float *)ptrs[1];
  float total = 0;
  for (int64_t i = 0; i < dims[0] + dims[1]; ++i) {
    total += state[i];
  }
  for (int64_t i = begin; i < end; ++i) {
    out[i] = total;
  }
}

/* Row gather: table, ids i64 and out rows of params[0] floats; one unit a row. */
KERNEL(test_gather) {
  const float *table = (const float *)ptrs[0];
  const int64_t *ids = (const int64_t *)ptrs[1];
  float *out = (float *)ptrs[2];
  for (int64_t r = begin; r < end; ++r) {
    for (int64_t j = 0; j < params[0]; ++j) {
      out[r * params[0] + j] = table[ids[r] * params[0] + j];
    }
  }
}

/* Each unit fills its scratch, spins params[0] rounds, and checks that nobody else wrote to it. */
KERNEL(test_scratch) {
  float *out = (float *)ptrs[0];
  volatile int64_t *mine = (volatile int64_t *)scratch;
  for (int64_t u = begin; u < end; ++u) {
    float good = 1;
    for (int64_t i = 0; i < 64; ++i) {
      mine[i] = u * 64 + i;
    }
    for (int64_t r = 0; r < params[0]; ++r) {
      for (int64_t i = 0; i < 64; ++i) {
        if (mine[i] != u * 64 + i) {
          good = 0;
        }
      }
    }
    out[u] = good;
  }
}
