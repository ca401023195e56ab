// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The elementwise work that is timed: x · sigmoid(x), in the vectors and with the exponential that
// generated kernels use. Compiled for x86-64-v3, which is checked before it is called.
#include "tools/ciuic-bench/Silu.h"

#include "kernels/host/Exp.h"
#include "kernels/host/Vector.h"

namespace ciuic::bench {

void silu(const float *x, float *y, int64_t count) {
  using namespace ciuic::kernels;
  for (int64_t i = 0; i + 16 <= count; i += 16) {
    const v16f v = load(x + i), e = expNegative(v > splat(0.0f) ? -v : v);
    const v16f s = splat(1.0f) / (splat(1.0f) + e);
    store(y + i, v * (v > splat(0.0f) ? s : e * s));
  }
}

} // namespace ciuic::bench
