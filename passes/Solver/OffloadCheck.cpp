// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What an offload problem must satisfy before anything is computed from it. Past this point sums of
// sizes cannot overflow and indices are in range.

#include "passes/Solver/Offload.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace ciuic::solver {

namespace {

constexpr int64_t kMostBytes = int64_t{1} << 50;
constexpr size_t kMostItems = 1'000'000;

bool isAmount(double value) { return std::isfinite(value) && value >= 0 && value <= 1e15; }

bool isAlignment(int64_t value) {
  return value >= 1 && value <= (int64_t{1} << 30) &&
         std::has_single_bit(static_cast<uint64_t>(value));
}

std::optional<std::string> checkLink(const char *name, const Link &link) {
  if (!isAmount(link.latencyMicroseconds)) {
    return std::string("link ") + name + ": bad latency";
  }
  if (link.rates.empty()) {
    return std::string("link ") + name + ": no rate";
  }
  for (size_t i = 0; i < link.rates.size(); ++i) {
    const RatePoint &point = link.rates[i];
    if (point.bytes <= 0 || !isAmount(point.gigabytesPerSecond) ||
        point.gigabytesPerSecond < 1e-6) {
      return std::string("link ") + name + ": bytes and rate of each point must be positive";
    }
    if (i > 0 && point.bytes <= link.rates[i - 1].bytes) {
      return std::string("link ") + name + ": points must ascend by bytes";
    }
  }
  return std::nullopt;
}

std::optional<std::string> checkStep(const OffloadProblem &problem, const Step &step) {
  std::string where = "step \"" + step.name + "\": ";
  if (!isAmount(step.microseconds)) {
    return where + "bad time";
  }
  if (!(step.hide >= 0 && step.hide <= 1)) {
    return where + "the hide rate must lie in 0..1";
  }
  if (step.scratchBytes < 0 || step.scratchBytes > kMostBytes) {
    return where + "bad scratch size";
  }
  int tiled = 0;
  std::vector<int> seen;
  for (const Use &use : step.uses) {
    if (use.weight < 0 || static_cast<size_t>(use.weight) >= problem.weights.size()) {
      return where + "uses weight " + std::to_string(use.weight) + ", which does not exist";
    }
    if (use.gatherBytes < 0 || use.gatherBytes > kMostBytes) {
      return where + "bad gather size";
    }
    tiled += isByTiles(use.access);
    seen.push_back(use.weight);
  }
  std::sort(seen.begin(), seen.end());
  if (std::adjacent_find(seen.begin(), seen.end()) != seen.end()) {
    return where + "uses a weight twice";
  }
  if (tiled > 1) {
    return where + "at most one weight may be read in tiles";
  }
  return std::nullopt;
}

/// An output that may leave in tiles is as many tiles as the weight that its step reads in tiles.
std::optional<std::string> checkTiled(const OffloadProblem &problem, const Entry &entry,
                                      const Activation &buffer) {
  if (!buffer.touches.empty() || buffer.end != static_cast<int>(entry.steps.size())) {
    return "what leaves in tiles is an output that stays to the end";
  }
  const std::vector<Use> &uses = entry.steps[buffer.begin].uses;
  auto use = std::find_if(uses.begin(), uses.end(),
                          [](const Use &u) { return u.access == Access::Tiles; });
  if (use == uses.end()) {
    return "its first step reads no weight in tiles";
  }
  const Weight &weight = problem.weights[use->weight];
  if (weight.bytes == 0 || buffer.tileBytes < 0 || buffer.tileBytes > buffer.bytes) {
    return "a tile must lie in 1..bytes";
  }
  int64_t count = (weight.bytes + weight.tileBytes - 1) / weight.tileBytes;
  // Tiles that are whole but for the last: count - 1 of them are less than the output.
  if ((buffer.bytes + buffer.tileBytes - 1) / buffer.tileBytes != count) {
    return "it must have as many tiles as the weight";
  }
  return std::nullopt;
}

std::optional<std::string> checkEntry(const OffloadProblem &problem, const Entry &entry,
                                      int64_t &total) {
  std::string where = "entry \"" + entry.name + "\": ";
  if (!isAmount(entry.frequency)) {
    return where + "bad frequency";
  }
  if (entry.steps.empty()) {
    return where + "no steps";
  }
  if (entry.steps.size() > kMostItems || entry.buffers.size() > kMostItems) {
    return where + "more than 1000000 steps or buffers";
  }
  for (const Step &step : entry.steps) {
    if (std::optional<std::string> wrong = checkStep(problem, step)) {
      return where + *wrong;
    }
    total += step.scratchBytes;
    if (total > kMostBytes) {
      return where + "more than 2^50 bytes";
    }
  }
  std::vector<int> tiledBy(entry.steps.size(), 0);
  for (const Activation &buffer : entry.buffers) {
    std::string name = where + "buffer \"" + buffer.name + "\": ";
    if (buffer.bytes < 0 || buffer.bytes > kMostBytes) {
      return name + "bad size";
    }
    total += buffer.bytes;
    if (total > kMostBytes) {
      return name + "more than 2^50 bytes up to here";
    }
    if (buffer.begin < 0 || buffer.begin >= buffer.end ||
        static_cast<size_t>(buffer.end) > entry.steps.size()) {
      return name + "its life must be a range of steps";
    }
    if (buffer.tileBytes != 0) {
      if (std::optional<std::string> wrong = checkTiled(problem, entry, buffer)) {
        return name + *wrong;
      }
      if (tiledBy[buffer.begin]++ > 0) {
        return name + "its step makes two outputs in tiles";
      }
    }
    for (size_t i = 0; i < buffer.touches.size(); ++i) {
      int touch = buffer.touches[i];
      if (touch < buffer.begin || touch >= buffer.end ||
          (i > 0 && touch <= buffer.touches[i - 1])) {
        return name + "touches must ascend within its life";
      }
    }
  }
  return std::nullopt;
}

} // namespace

std::optional<std::string> check(const OffloadProblem &problem) {
  if (!isAlignment(problem.alignment) || !isAlignment(problem.regionAlignment) ||
      problem.regionAlignment < problem.alignment) {
    return "alignments must be powers of two up to 2^30, that of regions no less than that of "
           "buffers";
  }
  if (problem.weights.size() > kMostItems || problem.entries.size() > 1000) {
    return "more than 1000000 weights or 1000 entries";
  }
  if (problem.entries.empty()) {
    return "no entries";
  }
  if (problem.persistentBytes < 0 || problem.persistentBytes > kMostBytes) {
    return "bad persistent size";
  }
  if (problem.budget && *problem.budget < 0) {
    return "the budget is negative";
  }
  if (problem.hostMemory && (*problem.hostMemory < 0 || !isAmount(problem.diskGigabytesPerSecond) ||
                             problem.diskGigabytesPerSecond <= 0)) {
    return "host memory is negative, or the disk has no rate";
  }
  if (!isAmount(problem.launchMicroseconds)) {
    return "bad launch time";
  }
  int64_t total = problem.persistentBytes;
  for (const Weight &weight : problem.weights) {
    std::string where = "weight \"" + weight.name + "\": ";
    if (weight.bytes < 0 || weight.bytes > kMostBytes) {
      return where + "bad size";
    }
    if (weight.tileBytes < std::min<int64_t>(weight.bytes, 1) || weight.tileBytes > weight.bytes) {
      return where + "a tile must lie in 1..bytes";
    }
    if (weight.tileBytes < weight.bytes && weight.tileBytes % problem.alignment != 0) {
      return where + "tiles must be a multiple of the alignment, " +
             std::to_string(problem.alignment);
    }
    total += weight.bytes;
    if (total > kMostBytes) {
      return where + "more than 2^50 bytes up to here";
    }
  }
  if (std::optional<std::string> wrong = checkLink("to the device", problem.toDevice)) {
    return wrong;
  }
  if (std::optional<std::string> wrong = checkLink("to the host", problem.toHost)) {
    return wrong;
  }
  for (const Entry &entry : problem.entries) {
    if (std::optional<std::string> wrong = checkEntry(problem, entry, total)) {
      return wrong;
    }
  }
  return std::nullopt;
}

} // namespace ciuic::solver
