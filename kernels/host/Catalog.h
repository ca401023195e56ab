// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the compiler must know of a library kernel besides its signature: how many units a launch
// has and how many scratch bytes a worker needs. Units depend on symbols at run time, so the
// compiler turns the same formulas into expressions of the entry; these functions are their
// definition for constants, and what tests hold them against.
#pragma once
#include "kernels/host/Abi.h"

namespace ciuic::kernels {

// `args` are the kernel's arguments in the order of its enum, `params` the step's constants. Bounds
// of symbols in `args` give bounds of the results: both functions grow with every extent.
int64_t matmulUnits(const int64_t *args, const int64_t *params);
int64_t matmulScratch(const int64_t *args); // of any format
int64_t gatherUnits(const int64_t *args);
int64_t gatherScratch(const int64_t *args);
int64_t batchMatmulUnits(const int64_t *args);
int64_t batchMatmulScratch(const int64_t *args);
int64_t attentionUnits(const int64_t *args);
int64_t attentionScratch(const int64_t *args);
int64_t attentionRowsScratch(const int64_t *args);

// Output rows per unit for bounds of the output extents: as many as make up kConvPixels.
int64_t convUnitRows(int64_t outH, int64_t outW);
int64_t convUnits(const int64_t *args,
                  const int64_t *params); // also depthwise, with groups given as 1
int64_t convScratch(const int64_t *args);
int64_t convTransposeUnits(const int64_t *args, const int64_t *params);
int64_t convTransposeScratch(const int64_t *args);
int64_t depthwiseScratch(const int64_t *args);
int64_t poolUnits(const int64_t *args);
int64_t poolScratch(const int64_t *args);

} // namespace ciuic::kernels
