// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Weights from where the model stores them into the program file, through a bounded buffer.
#pragma once

#include "codegen/Program/ProgramBuilder.h"

namespace ciuic::format {
class ProgramWriter;
struct ProgramT;
} // namespace ciuic::format

namespace ciuic::codegen {

/// Packs and appends all weights of the module in order and fills in their places, and the error
/// that each format cost.
mlir::LogicalResult packWeights(mlir::ModuleOp module, format::ProgramWriter &writer,
                                format::ProgramT &program, const ReadFile &read,
                                const Progress &progress, unsigned threads);

} // namespace ciuic::codegen
