// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The last of several blocks to finish their parts of a result: it puts them together, in their
// order, so that no result depends on which block that is.
#pragma once
#include "kernels/cuda/Device.h"

namespace ciuic::cuda {

/// Counts a block of `parts` whose part lies in global memory; true in the last one, to which all
/// parts are visible. The counter is zero again then. Uses the first word of shared memory, which
/// is free before and after.
CIUIC_DEVICE bool isLast(unsigned *done, int64_t group, int64_t parts) {
  int *flag = reinterpret_cast<int *>(ciuic_shared);
  fenceGlobal();
  barrier();
  if (threadIndex() == 0) {
    const bool last = atomicAddWord(&done[group], 1) + 1 == static_cast<unsigned>(parts);
    if (last) {
      done[group] = 0;
    }
    *flag = last;
    fenceGlobal();
  }
  barrier();
  const bool last = *flag != 0;
  barrier();
  return last;
}

} // namespace ciuic::cuda
