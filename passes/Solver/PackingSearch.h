// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Depth-first search over canonical packings: the exact half of the packing solver.
#pragma once

#include "passes/Solver/Packing.h"

namespace ciuic::solver {

/// Looks for packings lower than `height`, down to `target`. Sizes must be multiples of the
/// smallest alignment. `work` is the number of buffer visits allowed, and is used up. True:
/// `offsets` and `height` are a better packing.
bool searchPackings(const std::vector<Buffer> &buffers, int64_t target, int64_t &work,
                    std::vector<int64_t> &offsets, int64_t &height);

} // namespace ciuic::solver
