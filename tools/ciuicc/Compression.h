// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The step between the graph and its plan in which weights get their formats.
#pragma once

#include "ir/Mem/Mem.h"
#include "passes/Compress/Formats.h"
#include "passes/Cost/Profile.h"

namespace ciuic::tool {

struct CompressionInput {
  mlir::ModuleOp graph; ///< layouts selected; gets `graph.formats`
  mlir::ModuleOp exact; ///< the same module at the mem level, as the model stores its weights
  compress::FormatPolicy policy;
  ReadFile read;
  int64_t arenaBytes = 0; ///< what an execution may take
  unsigned threads = 1;
};

/// Proposes, and chooses with the bytes that the all-resident plan leaves to these weights. Where
/// no choice makes everything fit, the policy's smallest is taken and the rest streams.
mlir::LogicalResult chooseFormats(const CompressionInput &input, const cost::Profile &profile);

} // namespace ciuic::tool
