// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Units and scratch of the library kernels.
#include "kernels/host/Catalog.h"
#include "kernels/host/Blocking.h"

#include <algorithm>

namespace ciuic::kernels {
namespace {
constexpr int64_t kFloat = 4;
int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
} // namespace

int64_t matmulUnits(const int64_t *args, const int64_t *params) {
  return ceilDiv(args[kMatmulM], kMatmulRows) * ceilDiv(params[1] - params[0], kMatmulPanels);
}

// Sums, then a block of decoded weights or a single row prepared: K floats filled up to a register
// and one for each group of 32; a row rounded to bytes takes less.
int64_t matmulScratch(const int64_t *args) {
  const int64_t decoded = kDepthBlock * kMatmulPanels * kPanel,
                row = ceilDiv(args[kMatmulK], 32) * 33;
  return (kMatmulRows * kMatmulPanels * kPanel + std::max(decoded, row)) * kFloat;
}

int64_t gatherUnits(const int64_t *args) { return args[kGatherCount]; }
int64_t gatherScratch(const int64_t *args) { return ceilDiv(args[kGatherWidth], 16) * 64; }

int64_t batchMatmulUnits(const int64_t *args) {
  return args[kBatchB0] * args[kBatchB1] * args[kBatchB2] * ceilDiv(args[kBatchM], kMatmulRows) *
         ceilDiv(args[kBatchN], kMatmulPanels * kPanel);
}

int64_t batchMatmulScratch(const int64_t *) {
  return (kMatmulRows + kDepthBlock) * kMatmulPanels * kPanel * kFloat;
}

int64_t attentionUnits(const int64_t *args) {
  return args[kAttnBatch] * args[kAttnHeads] * ceilDiv(args[kAttnQueries], kAttentionRows);
}

int64_t attentionScratch(const int64_t *args) {
  const int64_t width = args[kAttnWidth], value = ceilDiv(args[kAttnValueWidth], kPanel) * kPanel;
  const int64_t queries = width * kAttentionRows, scores = kAttentionKeys * kAttentionRows;
  return (queries + scores + kAttentionRows * value + kAttentionKeys * value + 3 * kAttentionRows) *
         kFloat;
}

// And a block of keys made of quantised rows.
int64_t attentionRowsScratch(const int64_t *args) {
  return attentionScratch(args) +
         kAttentionKeys * ceilDiv(args[kAttnWidth], kPanel) * kPanel * kFloat;
}

int64_t convUnitRows(int64_t outH, int64_t outW) {
  return std::max<int64_t>(1, std::min(outH, kConvPixels / std::max<int64_t>(1, outW)));
}

int64_t convUnits(const int64_t *args, const int64_t *params) {
  return args[kConvBatch] * ceilDiv(args[kConvOutH], args[kConvUnitRows]) *
         ceilDiv(args[kConvOutW], kConvPixels) *
         ceilDiv(params[1] - params[0], args[kConvGroups] == 1 ? kConvPanels : 1);
}

// Sums, and a padded copy of the input that a unit reads.
int64_t convScratch(const int64_t *args) {
  const int64_t rows = args[kConvUnitRows], pixels = std::min(kConvPixels, args[kConvOutW]);
  const int64_t high =
      (rows - 1) * args[kConvStrideH] + (args[kConvKernelH] - 1) * args[kConvDilationH] + 1;
  const int64_t wide =
      (pixels - 1) * args[kConvStrideW] + (args[kConvKernelW] - 1) * args[kConvDilationW] + 1;
  const int64_t channels = args[kConvInC] / args[kConvGroups];
  return (rows * kConvPixels * kConvPanels * kPanel +
          std::max<int64_t>(0, high * wide) * channels) *
         kFloat;
}

int64_t convTransposeUnits(const int64_t *args, const int64_t *params) {
  return args[kConvBatch] * args[kConvOutH] * ceilDiv(args[kConvOutW], kConvPixels) *
         ceilDiv(params[1] - params[0], args[kConvGroups] == 1 ? kConvPanels : 1);
}

int64_t convTransposeScratch(const int64_t *) {
  return kConvPixels * kConvPanels * kPanel * kFloat;
}

int64_t depthwiseScratch(const int64_t *args) {
  return args[kConvUnitRows] * kConvPixels * kConvPanels * kPanel * kFloat;
}

int64_t poolUnits(const int64_t *args) { return args[kPoolBatch] * args[kPoolOutH]; }

int64_t poolScratch(const int64_t *args) { return ceilDiv(args[kPoolC], kPanel) * kPanel * kFloat; }

} // namespace ciuic::kernels
