// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which format each weight is stored in: a knapsack with one choice per weight. Losses add up over
// weights (docs/performance.md says how well), bytes do too, so an item's options are points in a
// plane and the answer is a walk along their lower hulls.
#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace ciuic::solver {

struct FormatOption {
  int64_t bytes = 0; // stored, padding and scales included
  double loss = 0;   // predicted, finite and not negative
};

struct FormatItem {
  std::vector<FormatOption> options; // at least one
  bool block = false;                // counts towards the limits on block bytes
};

struct FormatProblem {
  enum class Goal {
    LeastLoss, // subject to bytes
    LeastBytes // subject to loss; byte limits are not looked at
  };
  std::vector<FormatItem> items;
  Goal goal = Goal::LeastLoss;
  int64_t totalBytes = std::numeric_limits<int64_t>::max();    // of all items, at most
  int64_t blockBytesMax = std::numeric_limits<int64_t>::max(); // of block items, at most
  int64_t blockBytesMin =
      0; // of block items, at least, where options allow; it goes before totalBytes
  double totalLoss = std::numeric_limits<double>::infinity();
};

struct FormatChoice {
  std::vector<int> option; // by item
  int64_t bytes = 0, blockBytes = 0;
  double loss = 0;
  // No choice within the limits that bind has less of what is minimised (loss or bytes).
  double bound = 0;
  bool fits = true; // false: the limits cannot be met; the choice exceeds them by the least
};

// What is wrong with the problem; nothing if it can be solved.
std::optional<std::string> check(const FormatProblem &problem);

// Greedy along the hulls (Sinha and Zoltners 1979: the linear relaxation's optimum but for one
// item), then exchanges of pairs until none helps. Within one step of one item of the bound; exact
// where capacity is met. The same answer on every machine: ties go to the first item.
FormatChoice chooseFormats(const FormatProblem &problem);

// What is wrong with a choice: sums, limits, bound. Knows nothing of how choices are found.
std::optional<std::string> validate(const FormatProblem &problem, const FormatChoice &choice);

} // namespace ciuic::solver
