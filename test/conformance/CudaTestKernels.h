// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The kernels of test/runtime/TestKernels.c as PTX text, and a few that only a GPU needs. Each ends
// its arguments with the place of its number of units in the dims block.
#pragma once

#include <string>

namespace ciuic::test {

std::string cudaTestKernels();
/// test_chain: lets the next kernel begin, waits for the one before, then out[i] = in[i] + 1. For
/// compute capability 9.0.
std::string cudaOverlapKernels();

} // namespace ciuic::test
