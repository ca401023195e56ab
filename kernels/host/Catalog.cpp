// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Units and scratch of the library kernels.
#include "kernels/host/Catalog.h"

namespace ciuic::kernels {
namespace {
int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
} // namespace

int64_t matmulUnits(const int64_t *args, const int64_t *params) {
  return ceilDiv(args[kMatmulM], kMatmulRows) * ceilDiv(params[1] - params[0], kMatmulPanels);
}

int64_t matmulScratch(const int64_t *) {
  return kMatmulRows * kMatmulPanels * kPanel * static_cast<int64_t>(sizeof(float));
}

} // namespace ciuic::kernels
