// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Launches and copies of one entry for a given residency. Streamed units go through the slots in
// order of use, each into the slot whose content was used longest ago: with two slots one is read
// while the other fills. After its last use in a pass, a slot is refilled with what it held at the
// start, so that every pass starts from the same slots and the first units of the next pass load
// while the tail of this one runs.

#include "passes/Solver/OffloadParts.h"

#include <algorithm>

namespace ciuic::solver {

namespace {

/// The operand for a weight that lies in one unit, or in resident units side by side; nullopt if it
/// does not.
std::optional<Operand> inOnePiece(const UnitSet &set, int weight, int64_t bytes) {
  const std::vector<int> &units = set.unitsOfWeight[weight];
  auto pieceOf = [&](int u) {
    return *std::find_if(set.units[u].pieces.begin(), set.units[u].pieces.end(),
                         [&](const Piece &p) { return p.weight == weight; });
  };
  if (units.empty()) {
    return std::nullopt;
  }
  Piece first = pieceOf(units.front());
  const Unit &unit = set.units[units.front()];
  if (units.size() == 1 && unit.residentOffset < 0) {
    return Operand{weight, 0, bytes, units.front(), -1, first.offset, false};
  }
  for (int u : units) {
    Piece piece = pieceOf(u);
    if (set.units[u].residentOffset < 0 || set.units[u].residentOffset + piece.offset !=
                                               unit.residentOffset + first.offset + piece.begin) {
      return std::nullopt;
    }
  }
  return Operand{weight, 0, bytes, -1, -1, unit.residentOffset + first.offset, false};
}

/// The runs over which a step launches, for the weight it may read in tiles.
std::vector<Operand> runsOf(const UnitSet &set, int weight) {
  std::vector<Operand> runs;
  for (int u : set.unitsOfWeight[weight]) {
    const Unit &unit = set.units[u];
    for (const Piece &piece : unit.pieces) {
      if (piece.weight != weight) {
        continue;
      }
      if (unit.residentOffset < 0) {
        runs.push_back({weight, piece.begin, piece.end, u, -1, piece.offset, false});
        continue;
      }
      int64_t offset = unit.residentOffset + piece.offset;
      if (!runs.empty() && runs.back().unit < 0 && runs.back().end == piece.begin &&
          runs.back().offset + (runs.back().end - runs.back().begin) == offset) {
        runs.back().end = piece.end;
      } else {
        runs.push_back({weight, piece.begin, piece.end, -1, -1, offset, false});
      }
    }
  }
  return runs;
}

/// Runs cut evenly into ones of at most `tiles` tiles.
std::vector<Operand> cut(const std::vector<Operand> &runs, int64_t tileBytes, int64_t tiles) {
  std::vector<Operand> parts;
  for (const Operand &run : runs) {
    int64_t count = (run.end - run.begin + tileBytes - 1) / tileBytes;
    int64_t pieces = std::max<int64_t>(1, (count + tiles - 1) / tiles);
    for (int64_t i = 0; i < pieces; ++i) {
      Operand part = run;
      part.begin = run.begin + count * i / pieces * tileBytes;
      part.end = std::min(run.end, run.begin + count * (i + 1) / pieces * tileBytes);
      part.offset += part.begin - run.begin;
      parts.push_back(part);
    }
  }
  return parts;
}

/// The launches of one step; operands know their unit, not yet their slot. `tiles`: the most that
/// one launch may take of the weight that is read in tiles; 0: no limit.
void launchStep(const OffloadProblem &problem, const Step &step, int index, const UnitSet &set,
                int64_t tiles, EntryPlan &plan) {
  Launch launch;
  launch.step = index;
  launch.microseconds = step.microseconds;
  int tiled = -1;
  std::vector<Operand> runs;
  for (const Use &use : step.uses) {
    int64_t bytes = problem.weights[use.weight].bytes;
    std::optional<Operand> whole = inOnePiece(set, use.weight, bytes);
    if (use.access == Access::Gather && (!whole || whole->unit >= 0)) {
      whole = Operand{use.weight, 0, bytes, -1, -1, 0, true};
      launch.microseconds += copyMicroseconds(problem.toDevice, use.gatherBytes);
      plan.copiedToDevice += use.gatherBytes;
    }
    if (!whole || (tiles > 0 && use.access == Access::Tiles)) {
      tiled = static_cast<int>(launch.operands.size());
      runs = whole ? std::vector<Operand>{*whole} : runsOf(set, use.weight);
      if (tiles > 0) {
        runs = cut(runs, problem.weights[use.weight].tileBytes, tiles);
      }
      whole = runs.front();
    }
    launch.operands.push_back(*whole);
  }
  if (tiled < 0) {
    plan.launches.push_back(std::move(launch));
    return;
  }
  // Only the first launch gathers rows; all share the time of the kernel by bytes.
  double rows = launch.microseconds - step.microseconds;
  double bytes = static_cast<double>(problem.weights[launch.operands[tiled].weight].bytes);
  for (size_t r = 0; r < runs.size(); ++r) {
    Launch part = launch;
    part.operands[tiled] = runs[r];
    part.microseconds =
        step.microseconds * static_cast<double>(runs[r].end - runs[r].begin) / bytes +
        (r == 0 ? rows : problem.launchMicroseconds);
    plan.launches.push_back(std::move(part));
  }
}

} // namespace

int64_t outputBytesOf(const Activation &buffer, const Weight &weight, int64_t begin, int64_t end) {
  int64_t last = end == weight.bytes ? buffer.bytes : end / weight.tileBytes * buffer.tileBytes;
  return last - begin / weight.tileBytes * buffer.tileBytes;
}

bool scheduleEntry(const OffloadProblem &problem, const Entry &entry, const UnitSet &set, int slots,
                   const std::vector<TiledOutput> &outputs, EntryPlan &plan) {
  std::vector<int64_t> tiles(entry.steps.size(), 0);
  for (const TiledOutput &output : outputs) {
    tiles[entry.buffers[output.buffer].begin] = output.tiles;
  }
  for (size_t s = 0; s < entry.steps.size(); ++s) {
    launchStep(problem, entry.steps[s], static_cast<int>(s), set, tiles[s], plan);
  }
  plan.computeMicroseconds = 0;
  for (const Step &step : entry.steps) {
    plan.computeMicroseconds += step.microseconds;
  }

  std::vector<int> content(slots, -1);
  std::vector<int> lastUse(slots, -1);
  std::vector<int> firstUse(slots, -1); // of the initial content
  plan.initialSlots.assign(slots, -1);
  std::vector<int> needed;
  for (size_t l = 0; l < plan.launches.size(); ++l) {
    Launch &launch = plan.launches[l];
    int at = static_cast<int>(l);
    needed.clear();
    for (const Operand &operand : launch.operands) {
      if (operand.unit >= 0 &&
          std::find(needed.begin(), needed.end(), operand.unit) == needed.end()) {
        needed.push_back(operand.unit);
      }
    }
    if (needed.size() > static_cast<size_t>(slots)) {
      return false;
    }
    for (int unit : needed) {
      if (std::find(content.begin(), content.end(), unit) != content.end()) {
        continue;
      }
      int victim = -1;
      for (int s = 0; s < slots; ++s) {
        bool busy = std::find(needed.begin(), needed.end(), content[s]) != needed.end();
        if (!busy && (victim < 0 || lastUse[s] < lastUse[victim])) {
          victim = s;
        }
      }
      if (content[victim] < 0) {
        plan.initialSlots[victim] = unit;
        firstUse[victim] = at;
      } else {
        plan.copies.push_back({CopyKind::LoadUnit, unit, victim, -1, lastUse[victim], at,
                               set.units[unit].bytes, set.units[unit].onDisk});
      }
      content[victim] = unit;
      lastUse[victim] = at;
    }
    for (Operand &operand : launch.operands) {
      if (operand.unit >= 0) {
        operand.slot = static_cast<int>(std::find(content.begin(), content.end(), operand.unit) -
                                        content.begin());
        lastUse[operand.slot] = at;
      }
    }
  }
  for (int s = 0; s < slots; ++s) {
    if (content[s] != plan.initialSlots[s]) {
      int unit = plan.initialSlots[s];
      plan.copies.push_back({CopyKind::LoadUnit, unit, s, -1, lastUse[s],
                             static_cast<int>(plan.launches.size()) + firstUse[s],
                             set.units[unit].bytes, set.units[unit].onDisk});
    }
  }
  // In order of release: a copy waits in the stream only for copies that could start no later, so
  // none of them can wait, in turn, for a launch that waits for this copy.
  std::stable_sort(plan.copies.begin(), plan.copies.end(), [](const Copy &a, const Copy &b) {
    return std::pair(a.after, a.before) < std::pair(b.after, b.before);
  });
  for (const Copy &copy : plan.copies) {
    plan.copiedToDevice += copy.bytes;
  }
  return true;
}

} // namespace ciuic::solver
