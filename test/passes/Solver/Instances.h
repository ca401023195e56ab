// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Offload problems for tests: a small transformer with a tied vocabulary, and seeded random ones.
#pragma once

#include "passes/Solver/Offload.h"

namespace ciuic::solver::test {

/// `layers` layers of four matmuls and two norms, an embedding tied to the last projection, entries
/// prefill and decode.
OffloadProblem transformer(int layers);

/// One step: a weight of 64 tiles of 16 KiB makes an output of 64 tiles of 64 KiB, 4 MiB.
OffloadProblem projection();

/// Anything that check() accepts: shared weights, undivided ones, gathers, scratch, swappable
/// buffers, outputs that may leave in tiles, one to three entries.
OffloadProblem randomProblem(uint64_t seed);

} // namespace ciuic::solver::test
