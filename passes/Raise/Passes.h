// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The passes of the Raise stage: what exporters decompose becomes one op again. Programs are right
// without any of them but ciuic-raise-append, which is where states come from.
#pragma once

#include "ir/Graph/Graph.h"

#include "mlir/Pass/Pass.h"

namespace ciuic {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "passes/Raise/Passes.h.inc"
} // namespace ciuic
