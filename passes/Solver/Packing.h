// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Offsets for buffers with known live ranges, so that buffers alive at the same time never overlap
// and the highest byte is as low as can be found. Live ranges are half-open intervals of an
// abstract clock (here: step indices).
//
// The problem is NP-hard. What is done: several orders of first fit, an order search that moves
// critical buffers forward, then a depth-first search over canonical packings with a bounded number
// of nodes. Effort is counted in steps and never in seconds, so the same problem gives the same
// offsets everywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ciuic::solver {

struct Buffer {
  std::string name;
  int64_t bytes = 0;
  int64_t alignment = 64; // a power of two
  int64_t begin = 0;      // first instant at which the bytes are held
  int64_t end = 0;        // first instant at which they are free again
  bool operator==(const Buffer &) const = default;
};

struct PackingProblem {
  std::vector<Buffer> buffers;
  std::optional<int64_t> capacity; // bytes; a search stops as soon as it is met
  bool operator==(const PackingProblem &) const = default;
};

struct PackingSolution {
  std::vector<int64_t> offsets; // one a buffer, in the problem's order
  int64_t height = 0;           // bytes that the packing takes
  int64_t lowerBound = 0;       // peak of the bytes alive at one instant: no packing is lower
  std::string method;           // which algorithm found it
  bool fits = true;             // false: capacity is given and height exceeds it
};

struct PackingOptions {
  bool orderSearch = true;
  bool branchAndBound = true;
  int64_t orderSearchWork = 20'000'000;    // pairs of buffers looked at
  int64_t branchAndBoundWork = 30'000'000; // the same, over all capacities tried
};

/// What is wrong with the problem, naming the buffer; nothing if it can be solved.
std::optional<std::string> check(const PackingProblem &problem);

/// The peak of live bytes, each rounded up to the smallest alignment of the problem.
int64_t peakLive(const PackingProblem &problem);

/// Solves a checked problem. Always returns a valid packing; `fits` says whether it is within the
/// capacity.
PackingSolution solve(const PackingProblem &problem, const PackingOptions &options = {});

/// What is wrong with the solution; nothing if it is valid. Knows nothing of how solutions are
/// found.
std::optional<std::string> validate(const PackingProblem &problem, const PackingSolution &solution);

} // namespace ciuic::solver
