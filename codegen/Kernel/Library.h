// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Kernels around a function of the host library: arguments and an epilogue are generated, the loops
// are the library's.
#pragma once

#include "codegen/Kernel/Generator.h"
#include "ir/Graph/LibraryCall.h"

namespace ciuic::codegen {

/// Emits the call of the library function that computes the body's structured op, with the maps
/// after it as epilogue.
void emitLibraryCall(KernelFrame &frame, const graph::LibraryCall &call, mlir::ModuleOp module);

} // namespace ciuic::codegen
