// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// An entry for each function of windows, batch products and gathers.
#include "kernels/cuda/BatchMatmul.cu"
#include "kernels/cuda/Conv.cu"
#include "kernels/cuda/ConvDepthwise.cu"
#include "kernels/cuda/Gather.cu"
#include "kernels/cuda/Pool.cu"
#include "test/kernels/cuda/TestEpilogue.h"

CIUIC_TEST_WINDOWS(CIUIC_ENTRY)
CIUIC_TEST_GATHERS(CIUIC_ENTRY)
