// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The passes of this folder, and their registration for ciuic-opt.
#pragma once
#include "ir/Graph/Graph.h"
#include "passes/Legalize/Legalize.h"

#include "mlir/Pass/Pass.h"

namespace ciuic::legalize {
#define GEN_PASS_DECL
#include "passes/Legalize/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "passes/Legalize/Passes.h.inc"
} // namespace ciuic::legalize
