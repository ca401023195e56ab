// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One panel ([K][16] floats) to and from its stored form.
#pragma once
#include "kernels/pack/Pack.h"

namespace ciuic::kernels {

// `out` has panelBytesOf(layout, format, K) bytes. With `decoded`, also the values that a kernel
// will see. Int4 formats take their `scales`, [groups][16], where there are any.
void encodePanel(WeightLayout layout, WeightFormat format, int64_t K, const float *panel,
                 std::byte *out, float *decoded, const float *scales = nullptr);
void decodePanel(WeightLayout layout, WeightFormat format, int64_t K, const std::byte *in,
                 float *panel);
int64_t panelBytesOf(WeightLayout layout, WeightFormat format, int64_t K);

} // namespace ciuic::kernels
