// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Launches and copies of one entry for a given residency. Streamed units go through the slots'
// region in order of use, each to the place that is free the earliest: with room for two, one is
// read while the other fills, and many small units may be on their way at once. What a pass finds
// in the region it leaves there again, so that every pass starts from the same slots and the first
// units of the next pass load while the tail of this one runs.

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

/// The launches of one step; operands know their unit, not yet their slot. `mostTiles`: the most
/// that one launch may take of the weight that is read in tiles; 0: no limit.
void launchStep(const OffloadProblem &problem, const Step &step, int index, const UnitSet &set,
                int64_t mostTiles, EntryPlan &plan) {
  Launch launch;
  launch.step = index;
  launch.microseconds = step.microseconds;
  int tiled = -1;
  bool inPieces = false;
  std::vector<Operand> runs;
  for (const Use &use : step.uses) {
    int64_t bytes = problem.weights[use.weight].bytes;
    std::optional<Operand> whole = inOnePiece(set, use.weight, bytes);
    if (use.access == Access::Gather && (!whole || whole->unit >= 0)) {
      whole = Operand{use.weight, 0, bytes, -1, -1, 0, true};
      launch.microseconds += copyMicroseconds(problem.toDevice, use.gatherBytes);
      plan.copiedToDevice += use.gatherBytes;
    }
    int64_t tiles = use.access == Access::Pieces && bytes > 0 ? 1 : mostTiles;
    if (!whole || (tiles > 0 && isByTiles(use.access))) {
      tiled = static_cast<int>(launch.operands.size());
      inPieces = use.access == Access::Pieces;
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
  // Only the first launch gathers rows; all share the time of the kernel by bytes. That of a kernel
  // in pieces has its launches in it.
  double rows = launch.microseconds - step.microseconds;
  double bytes = static_cast<double>(problem.weights[launch.operands[tiled].weight].bytes);
  for (size_t r = 0; r < runs.size(); ++r) {
    Launch part = launch;
    part.operands[tiled] = runs[r];
    part.microseconds =
        step.microseconds * static_cast<double>(runs[r].end - runs[r].begin) / bytes +
        (r == 0     ? rows
         : inPieces ? 0
                    : problem.launchMicroseconds);
    plan.launches.push_back(std::move(part));
  }
}

/// What lies where in the slots' region while the launches go by. Extents cover the region.
class Region {
public:
  Region(const SlotRegion &region, int64_t alignment)
      : bytes(region.bytes), alignment(alignment), extents{{0, region.bytes, -1, -1}} {}

  struct Place {
    int64_t begin = -1; // -1: there is none
    int lastUse = -1;   // by the units that make room; -1: nothing was there
  };

  /// Where `size` bytes are free the earliest, the units in use aside.
  Place find(int64_t size, const std::vector<int> &inUse) const {
    size = roundUpTo(size, alignment);
    Place best;
    auto consider = [&](int64_t begin) {
      if (begin < 0 || begin + size > bytes) {
        return;
      }
      int lastUse = -1;
      for (size_t i = at(begin); i < extents.size() && extents[i].begin < begin + size; ++i) {
        lastUse = std::max(lastUse, extents[i].lastUse);
        if ((best.begin >= 0 && lastUse >= best.lastUse) ||
            std::find(inUse.begin(), inUse.end(), extents[i].unit) != inUse.end()) {
          return;
        }
      }
      best = {begin, lastUse};
    };
    for (const Extent &extent : extents) {
      consider(extent.begin);
      consider(extent.end - size);
    }
    return best;
  }

  /// The launch after which [begin, begin + size) is free.
  int lastUse(int64_t begin, int64_t size) const {
    int latest = -1;
    for (size_t i = at(begin); i < extents.size() && extents[i].begin < begin + size; ++i) {
      latest = std::max(latest, extents[i].lastUse);
    }
    return latest;
  }

  /// Puts a unit there. What it covers in part is gone; the rest is free when it would have been.
  void put(int unit, int64_t begin, int64_t size, int launch) {
    int64_t end = begin + roundUpTo(size, alignment);
    std::vector<Extent> kept;
    for (const Extent &e : extents) {
      if (e.end <= begin || e.begin >= end) {
        kept.push_back(e);
        continue;
      }
      if (e.begin < begin) {
        kept.push_back({e.begin, begin, -1, e.lastUse});
      }
      if (e.end > end) {
        kept.push_back({end, e.end, -1, e.lastUse});
      }
    }
    Extent fresh = {begin, end, unit, launch};
    kept.insert(
        std::upper_bound(kept.begin(), kept.end(), fresh,
                         [](const Extent &a, const Extent &b) { return a.begin < b.begin; }),
        fresh);
    extents = std::move(kept);
  }

  /// Where a unit lies, and that a launch reads it; -1: nowhere.
  int64_t use(int unit, int launch) {
    for (Extent &extent : extents) {
      if (extent.unit == unit) {
        extent.lastUse = std::max(extent.lastUse, launch);
        return extent.begin;
      }
    }
    return -1;
  }

private:
  struct Extent {
    int64_t begin = 0, end = 0;
    int unit = -1;
    int lastUse = -1;
  };

  /// The extent that holds a byte.
  size_t at(int64_t byte) const {
    return std::upper_bound(extents.begin(), extents.end(), byte,
                            [](int64_t b, const Extent &e) { return b < e.end; }) -
           extents.begin();
  }

  int64_t bytes, alignment;
  std::vector<Extent> extents;
};

} // namespace

int64_t outputBytesOf(const Activation &buffer, const Weight &weight, int64_t begin, int64_t end) {
  int64_t last = end == weight.bytes ? buffer.bytes : end / weight.tileBytes * buffer.tileBytes;
  return last - begin / weight.tileBytes * buffer.tileBytes;
}

bool scheduleEntry(const OffloadProblem &problem, const Entry &entry, const UnitSet &set,
                   const SlotRegion &slots, const std::vector<TiledOutput> &outputs,
                   EntryPlan &plan) {
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

  Region region(slots, problem.regionAlignment);
  std::vector<int> firstUse; // by initial slot
  int64_t initialBytes = 0;
  std::vector<int> needed;
  int count = static_cast<int>(plan.launches.size());
  for (int l = 0; l < count; ++l) {
    needed.clear();
    for (const Operand &operand : plan.launches[l].operands) {
      if (operand.unit >= 0 &&
          std::find(needed.begin(), needed.end(), operand.unit) == needed.end()) {
        needed.push_back(operand.unit);
      }
    }
    for (int unit : needed) {
      if (region.use(unit, l) >= 0) {
        continue;
      }
      int64_t bytes = set.units[unit].bytes;
      Region::Place place = region.find(bytes, needed);
      if (place.begin < 0) {
        return false;
      }
      int64_t held = roundUpTo(bytes, problem.regionAlignment);
      if (place.lastUse < 0 && initialBytes + held <= slots.initialBytes) {
        plan.initialSlots.push_back({unit, slots.offset + place.begin});
        firstUse.push_back(l);
        initialBytes += held;
      } else {
        plan.copies.push_back({CopyKind::LoadUnit, unit, slots.offset + place.begin, -1,
                               place.lastUse, l, bytes, set.units[unit].onDisk});
      }
      region.put(unit, place.begin, bytes, l);
    }
    for (Operand &operand : plan.launches[l].operands) {
      if (operand.unit >= 0) {
        operand.slot = slots.offset + region.use(operand.unit, l);
      }
    }
  }
  for (size_t i = 0; i < plan.initialSlots.size(); ++i) {
    auto [unit, offset] = plan.initialSlots[i];
    int64_t begin = offset - slots.offset;
    if (region.use(unit, -1) == begin) {
      continue;
    }
    int64_t bytes = set.units[unit].bytes;
    plan.copies.push_back({CopyKind::LoadUnit, unit, offset, -1, region.lastUse(begin, bytes),
                           count + firstUse[i], bytes, set.units[unit].onDisk});
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
