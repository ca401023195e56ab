// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See Compression.h. Weights of an all-resident plan lie side by side, so that its arena falls with
// their bytes almost one for one; what padding changes is found by planning again.
#include "tools/ciuicc/Compression.h"

#include "passes/Offload/BuildProblem.h"

#include "llvm/Support/MathExtras.h"

#include <map>

using namespace mlir;

namespace ciuic::tool {
namespace {

/// Plans tried; each takes off what the last was over.
constexpr int attempts = 8;

/// The least arena that keeps all weights and swaps nothing; outputs may leave in tiles.
int64_t residentArena(solver::OffloadProblem problem) {
  solver::OffloadOptions options;
  options.streaming = options.spill = false;
  problem.budget = 0;
  auto solved = solver::solveOffload(problem, options);
  if (auto *infeasible = std::get_if<solver::Infeasible>(&solved)) {
    return infeasible->bytesOver;
  }
  auto *plan = std::get_if<solver::OffloadPlan>(&solved);
  return plan ? plan->arenaBytes : -1;
}

/// Gives a weight other bytes, in about as many tiles, and the outputs that it makes as many.
void resize(solver::OffloadProblem &problem, int w, int64_t bytes) {
  solver::Weight &weight = problem.weights[w];
  int64_t count = llvm::divideCeil(weight.bytes, weight.tileBytes);
  weight.bytes = bytes;
  weight.tileBytes = std::min(bytes, static_cast<int64_t>(llvm::alignTo(
                                         llvm::divideCeil(bytes, count), problem.alignment)));
  count = llvm::divideCeil(weight.bytes, weight.tileBytes);
  for (solver::Entry &entry : problem.entries) {
    for (solver::Activation &buffer : entry.buffers) {
      bool made = buffer.tileBytes > 0 &&
                  llvm::any_of(entry.steps[buffer.begin].uses, [&](const solver::Use &use) {
                    return use.weight == w && use.access == solver::Access::Tiles;
                  });
      if (made) {
        int64_t tile = llvm::divideCeil(buffer.bytes, count);
        buffer.tileBytes =
            static_cast<int64_t>(llvm::divideCeil(buffer.bytes, tile)) == count ? tile : 0;
      }
    }
  }
}

} // namespace

LogicalResult chooseFormats(const CompressionInput &input, const cost::Profile &profile) {
  ModuleOp graph = input.graph;
  Location loc = graph.getLoc();
  auto proposals = compress::proposeFormats(input.graph, input.policy, input.read, input.threads);
  if (failed(proposals)) {
    return failure();
  }
  // 1. Which of the plan's weights each proposal is.
  ModuleView view = viewOf(input.exact, profile, std::nullopt);
  std::map<std::pair<int64_t, int64_t>, std::vector<size_t>> places;
  for (auto [i, weight] : llvm::enumerate(view.weights)) {
    if (weight.getFile() && weight.getPacking()) {
      places[{static_cast<int64_t>(*weight.getFile()),
              static_cast<int64_t>(*weight.getFileOffset())}]
          .push_back(i);
    }
  }
  int64_t exactBytes = 0;
  std::vector<std::vector<size_t>> weights;
  for (const compress::WeightProposal &proposal : *proposals) {
    graph::WeightOp op = proposal.site.ops.front();
    weights.push_back(places[{op.getFile(), op.getOffset()}]);
    for (size_t w : weights.back()) {
      exactBytes += view.problem.weights[w].bytes;
    }
  }
  int64_t arena = residentArena(view.problem);
  if (arena < 0) {
    return emitError(loc,
                     "[internal.need] the plan that keeps everything in memory does not exist");
  }
  // 2. Choose for the bytes that are left, plan, and take off what was over.
  int64_t available = std::max<int64_t>(0, input.arenaBytes - (arena - exactBytes));
  solver::FormatChoice choice;
  bool settled = false;
  for (int attempt = 0; attempt < attempts && !settled; ++attempt) {
    solver::FormatProblem problem = compress::problemOf(*proposals, input.policy, available);
    if (auto wrong = solver::check(problem)) {
      return emitError(loc, "[internal.formats] ") << *wrong;
    }
    choice = solver::chooseFormats(problem);
    if (auto wrong = solver::validate(problem, choice)) {
      return emitError(loc, "[internal.formats] ") << *wrong;
    }
    if (!choice.fits) {
      break;
    }
    if (problem.goal == solver::FormatProblem::Goal::LeastBytes) {
      settled = true; // no choice is smaller
      break;
    }
    for (auto [i, proposal] : llvm::enumerate(*proposals)) {
      for (size_t w : weights[i]) {
        resize(view.problem, static_cast<int>(w), proposal.candidates[choice.option[i]].bytes);
      }
    }
    arena = residentArena(view.problem);
    settled = arena >= 0 && arena <= input.arenaBytes;
    available = std::min(available, choice.bytes) - (arena - input.arenaBytes);
  }
  if (!settled) {
    choice = compress::chooseForStreaming(*proposals, input.policy);
  }
  compress::recordFormats(input.graph, *proposals, choice.option);
  return success();
}

} // namespace ciuic::tool
