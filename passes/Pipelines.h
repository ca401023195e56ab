// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The order of passes, level by level.
#pragma once

#include "mlir/Pass/PassManager.h"

#include <string>
#include <vector>

namespace ciuic {

struct PipelineOptions {
  bool raise = true;                    ///< recognise what exporters decompose
  bool fuse = true;                     ///< several ops per kernel
  std::string profile = "host-generic"; ///< a name or a JSON file
  bool state = true;                    ///< outputs that continue inputs stay in the session
  std::vector<std::string> states =
      {}; ///< INPUT=OUTPUT: continue each other though the graph does not show it
  bool quantiseStates = false; ///< caches of keys and values as int8
};

/// Legalized functions → fusions with layouts chosen (the end of the graph level).
void buildGraphPipeline(mlir::OpPassManager &manager, const PipelineOptions &options);

/// Formats that were chosen (`graph.formats`) → weights stored in them.
void buildFormatPipeline(mlir::OpPassManager &manager);

/// Fusions → kernels and buffers with lifetimes.
void buildMemPipeline(mlir::OpPassManager &manager);

/// Buffers → placed under the module's `mem.budget`.
void buildOffloadPipeline(mlir::OpPassManager &manager, const PipelineOptions &options);

/// Placed buffers → steps.
void buildPlanPipeline(mlir::OpPassManager &manager);

} // namespace ciuic
