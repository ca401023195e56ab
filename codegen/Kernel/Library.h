// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Kernels around a function of the device's library: arguments and an epilogue are generated, the
// loops are the library's.
#pragma once

#include "codegen/Kernel/Generator.h"
#include "ir/Graph/LibraryCall.h"

namespace ciuic::codegen {

/// Emits the call of the library function that computes the body's structured op, with the maps
/// after it as epilogue.
void emitLibraryCall(KernelFrame &frame, const graph::LibraryCall &call, mlir::ModuleOp module);

/// The same on a GPU, where `params` are arguments of the kernel; `frame.pointers` are operands,
/// results, and the workspace if there is one.
void emitLibraryCallOnGpu(KernelFrame &frame, const graph::LibraryCall &call,
                          mlir::ValueRange params, mlir::ModuleOp module);

} // namespace ciuic::codegen
