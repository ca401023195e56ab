// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One self-contained HTML page that shows a plan: address over time with every buffer, unit, slot,
// copy and stall. Reads the solver's problem and plan; decides nothing and knows no IR.
#pragma once

#include "passes/Solver/Offload.h"

#include <string>
#include <vector>

namespace ciuic::tool {

/// What the plan itself does not know.
struct ReportInfo {
  std::string model, quality, profile;
  int64_t budgetBytes = 0, reserveBytes = 0; // of the whole process
  struct Format {
    std::string weight, format;
    int64_t bytes = 0;
    double relativeError = 0;
  };
  std::vector<Format> formats; // by weight; empty: the page has no such table
};

/// The page. Same input, same bytes. Needs no file and no network to be viewed.
std::string htmlReport(const solver::OffloadProblem &problem, const solver::OffloadPlan &plan,
                       const ReportInfo &info);

} // namespace ciuic::tool
