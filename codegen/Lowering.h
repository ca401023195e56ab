// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// From generated functions to LLVM IR: the conversions, for the host and for a GPU.
#pragma once

#include "codegen/Kernel/Emitter.h"

#include "mlir/IR/BuiltinOps.h"

#include <memory>

namespace llvm {
class LLVMContext;
class Module;
} // namespace llvm

namespace ciuic::codegen {

/// Lowers a module with one generated kernel and translates it. Null on failure, with diagnostics
/// emitted.
std::unique_ptr<llvm::Module> lowerToLLVM(mlir::ModuleOp module, Device device,
                                          llvm::LLVMContext &context);

} // namespace ciuic::codegen
