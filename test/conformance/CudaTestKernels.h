// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The kernels of test/runtime/TestKernels.c as PTX text, and a few that only a GPU needs. Each ends
// its arguments with the place of its number of units in the dims block.
#pragma once

#include <string>

namespace ciuic::test {

std::string cudaTestKernels();

} // namespace ciuic::test
