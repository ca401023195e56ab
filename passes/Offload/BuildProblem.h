// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The solver's view of a module at the mem level.
#pragma once

#include "ir/Mem/Mem.h"
#include "passes/Cost/Profile.h"
#include "passes/Solver/Offload.h"

namespace ciuic {

/// What the solver's indices mean.
struct ModuleView {
  solver::OffloadProblem problem;
  std::vector<mem::WeightOp> weights;               ///< by problem.weights
  std::vector<mem::EntryOp> entries;                ///< by problem.entries
  std::vector<std::vector<mem::LaunchOp>> launches; ///< by entry, by problem step
  std::vector<std::vector<mlir::Value>> buffers;    ///< by entry, by problem buffer
  /// The persistent region: offsets from its start.
  std::vector<std::pair<mem::StateOp, int64_t>> states;
  std::vector<int64_t> dimsOffsets; ///< by entry
};

/// A profile that the project brings, by name, or one in a JSON file; the string says what is
/// wrong.
std::variant<cost::Profile, std::string> loadProfile(llvm::StringRef nameOrPath);

/// Budget is arena bytes; none: unbounded. Times are the profile's.
ModuleView viewOf(mlir::ModuleOp module, const cost::Profile &profile,
                  std::optional<int64_t> budget);

} // namespace ciuic
