// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Links relocatable objects into one shared object with LLVM's linker, in this process.
#pragma once

#include "mlir/Support/LLVM.h"

#include <string>
#include <vector>

namespace ciuic::codegen {

/// Links `objects` in their order; `exports` are the only symbols visible outside, anything
/// undefined is an error. Returns the bytes, or fails with `error` saying why. Not to be called
/// from two threads at once.
mlir::FailureOr<std::vector<char>> linkShared(llvm::ArrayRef<llvm::StringRef> objects,
                                              llvm::ArrayRef<std::string> exports,
                                              std::string &error);

} // namespace ciuic::codegen
