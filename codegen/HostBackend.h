// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Kernels of the graph dialect to machine code of the host: one shared object per instruction-set
// variant, holding every kernel as an exported function with the host kernel ABI and nothing
// undefined.
#pragma once

#include "ir/Graph/Graph.h"

#include <vector>

namespace ciuic::codegen {

struct HostOptions {
  /// Threads that compile kernels; the result does not depend on it.
  unsigned threads = 1;
  /// Also the variant for AVX-512 machines.
  bool v4 = true;
};

/// The program's code for the host. `v4` is empty where it was not asked for.
struct HostCode {
  std::vector<char> v3, v4;
};

/// Compiles and links the kernels of one module. Threads work in contexts of their own, so the
/// module's needs neither threading nor the dialects of code generation. Errors are reported at the
/// kernel they belong to.
mlir::FailureOr<HostCode> compileHostKernels(llvm::ArrayRef<graph::KernelOp> kernels,
                                             const HostOptions &options);

/// The dialects and conversion interfaces that generating and lowering kernels needs.
void registerCodegen(mlir::DialectRegistry &registry);

} // namespace ciuic::codegen
