// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// exp of sixteen lanes for softmax: arguments are at most 0 (or NaN, which comes back). Range
// reduction by Cody and Waite, a polynomial of degree 6 on [−ln2/2, ln2/2]; relative error below
// 2^-22. Below −87 the result is 0.
#pragma once
#include "kernels/host/Vector.h"

namespace ciuic::kernels {

CIUIC_INLINE v16f expNegative(v16f x) {
  const v16i tiny = x < splat(-87.0f);
  const v16f clamped = max(x, splat(-87.0f)); // picks −87 for NaN as well; put back at the end
  const v16f shift = splat(12582912.0f);      // 1.5 · 2^23: adding it rounds to an integer
  const v16f shifted = fma(clamped, splat(1.44269504088896341f), shift);
  const v16f n = shifted - shift;
  v16f r = fma(n, splat(-0.693145751953125f), clamped);
  r = fma(n, splat(-1.42860677e-6f), r);
  v16f p = splat(1.0f / 720);
  p = fma(p, r, splat(1.0f / 120));
  p = fma(p, r, splat(1.0f / 24));
  p = fma(p, r, splat(1.0f / 6));
  p = fma(p, r, splat(0.5f));
  p = fma(p, r, splat(1.0f));
  p = fma(p, r, splat(1.0f));
  const v16i exponent = (reinterpret_cast<v16i>(shifted) - reinterpret_cast<v16i>(shift)) << 23;
  v16f y = reinterpret_cast<v16f>(reinterpret_cast<v16i>(p) + exponent);
  y = tiny ? v16f{} : y;
  return x == x ? y : x;
}

} // namespace ciuic::kernels
