// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which streamed weights stay on the disk: as few bytes as must, spread evenly over the order of
// use, since the disk is slower than the link and reads ahead by little. What is moved by one copy
// lies in one tier. A table that rows are gathered from is in memory in any case, and does not
// count.

#include "passes/Solver/OffloadParts.h"

#include <algorithm>

namespace ciuic::solver {

void placeOnDisk(const OffloadProblem &problem, UnitSet &set) {
  if (!problem.hostMemory) {
    return;
  }
  std::vector<bool> gathered(problem.weights.size(), false);
  for (const Entry &entry : problem.entries) {
    for (const Step &step : entry.steps) {
      for (const Use &use : step.uses) {
        gathered[use.weight] = gathered[use.weight] || use.access == Access::Gather;
      }
    }
  }
  // 1. Groups that go together: the weights of a unit, or the units of a weight.
  struct Group {
    std::vector<int> units;
    int64_t bytes = 0;
    bool stays = false, onDisk = false;
  };
  std::vector<Group> groups;
  std::vector<int> groupOf(problem.weights.size(), -1);
  int64_t total = 0;
  for (size_t u = 0; u < set.units.size(); ++u) {
    if (set.units[u].residentOffset >= 0 || set.roles[u] == UnitRole::Gathered) {
      continue;
    }
    int group = -1;
    for (const Piece &piece : set.units[u].pieces) {
      group = std::max(group, groupOf[piece.weight]);
    }
    if (group < 0) {
      group = static_cast<int>(groups.size());
      groups.emplace_back();
    }
    groups[group].units.push_back(static_cast<int>(u));
    for (const Piece &piece : set.units[u].pieces) {
      if (groupOf[piece.weight] < 0) {
        groupOf[piece.weight] = group;
        groups[group].bytes += problem.weights[piece.weight].bytes;
        groups[group].stays |= gathered[piece.weight];
      }
    }
  }
  for (const Group &group : groups) {
    total += group.stays ? 0 : group.bytes;
  }
  // 2. Every so many bytes one goes; then, in order, what is still too much.
  const int64_t excess = total - *problem.hostMemory;
  if (excess <= 0) {
    return;
  }
  const double share = static_cast<double>(excess) / static_cast<double>(total);
  double due = 0;
  int64_t kept = total;
  for (Group &group : groups) {
    if (group.stays) {
      continue;
    }
    due += share * static_cast<double>(group.bytes);
    if (due >= static_cast<double>(group.bytes) / 2) {
      group.onDisk = true;
      due -= static_cast<double>(group.bytes);
      kept -= group.bytes;
    }
  }
  for (Group &group : groups) {
    if (kept > *problem.hostMemory && !group.onDisk && !group.stays) {
      group.onDisk = true;
      kept -= group.bytes;
    }
  }
  for (const Group &group : groups) {
    for (int u : group.units) {
      set.units[u].onDisk = group.onDisk;
    }
  }
}

} // namespace ciuic::solver
