// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How a library function of kernels/cuda wants to be launched. A family of functions states it in a
// function of its own beside this one; `launchOf` finds it by name.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace ciuic::kernels {

struct CudaLaunch {
  int64_t threads = 256;
  int64_t sharedBytes = 0; ///< Dynamic shared memory; static memory is not counted here.
  int64_t grid = 1;        ///< Blocks. Results do not depend on it.
};

/// `args` at the upper bounds of the entry's symbols, `params` as the step's; `capability` of the
/// target (90, …). Nothing for a function that does not exist.
std::optional<CudaLaunch> cudaLaunchOf(std::string_view function, std::span<const int64_t> args,
                                       std::span<const int64_t> params, int capability);

} // namespace ciuic::kernels
