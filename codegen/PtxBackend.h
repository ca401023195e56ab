// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Kernels of the graph dialect to PTX, from the same templates as the host's.
#pragma once

#include "ir/Graph/Graph.h"

#include <string>

namespace ciuic::codegen {

/// The PTX of one kernel for `chip` (sm_90, …): an entry point of the kernel's name that takes the
/// addresses of the operands, of the results and of the dims block, for blocks of 256 threads and
/// any grid. Templates that call the host library have none. Errors are reported at the kernel.
mlir::FailureOr<std::string> emitPtx(graph::KernelOp kernel, llvm::StringRef chip);

} // namespace ciuic::codegen
