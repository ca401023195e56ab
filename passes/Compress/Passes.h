// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The passes of the Compress stage.
#pragma once

#include "ir/Graph/Graph.h"

#include "mlir/Pass/Pass.h"

namespace ciuic {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "passes/Compress/Passes.h.inc"
} // namespace ciuic
