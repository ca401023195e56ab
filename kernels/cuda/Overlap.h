// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Programmatic dependent launch: a kernel may begin while the one before it in the stream ends. It
// takes effect only where the runtime sets CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION on
// the launch (compute capability 9.0), which it may for a kernel whose library function calls both
// of these; else they do nothing.
//
// Before `waitForActivations` a function may read only what no kernel of the pass writes: its
// weights, args, dims. What copies write is safe where the copy's event is waited for in front of
// the launch. Every function that calls `launchDependents` must wait too, so that a kernel's end
// implies the end of all before it.
#pragma once
#include "kernels/cuda/Device.h"

namespace ciuic::cuda {

/// Lets the next kernel of the stream begin once every block of this one got here.
CIUIC_DEVICE void launchDependents() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/// Until the kernels before this one have finished and their results are visible.
CIUIC_DEVICE void waitForActivations() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

} // namespace ciuic::cuda
