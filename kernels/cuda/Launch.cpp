// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Launch shapes of the library functions: see Launch.h.
#include "kernels/cuda/Launch.h"
#include "kernels/host/Abi.h"

#include <algorithm>

namespace ciuic::kernels {
namespace {

/// Blocks that keep any chip busy; functions walk their units with the grid's stride.
constexpr int64_t kWholeDevice = 132 * 8;

CudaLaunch identityLaunch(std::span<const int64_t> args) {
  int64_t count = args[kMatmulM] * args[kMatmulN];
  return {256, 0, std::clamp<int64_t>((count + 255) / 256, 1, kWholeDevice)};
}

} // namespace

std::optional<CudaLaunch> cudaLaunchOf(std::string_view function, std::span<const int64_t> args,
                                       std::span<const int64_t> params, int capability) {
  if (function.starts_with("ciuic_cuda_identity_")) {
    return identityLaunch(args);
  }
  return std::nullopt;
}

} // namespace ciuic::kernels
