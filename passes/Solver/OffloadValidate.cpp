// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The independent validator. It replays the plan's words literally: who may write which bytes
// between which launches. Nothing is shared with the code that makes plans.
//
// Time is counted in launches. In a run of passes of one entry, launch l of pass p is instant p*N +
// l. A copy with (after, before) may touch its place at any moment between the end of launch
// `after` and the start of launch `before`; a launch may read a place only if every copy into it is
// wholly before or wholly after that launch. Alternating entries need no replay of their own: a
// pass starts with the slots in its initialSlots, whoever loaded them, and three passes of the same
// entry show that it also leaves them so.

#include "passes/Solver/Offload.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace ciuic::solver {

namespace {

using Wrong = std::optional<std::string>;

std::string number(int64_t value) { return std::to_string(value); }

struct Range {
  int64_t begin = 0, end = 0;
  std::string name;
};

Wrong disjoint(std::vector<Range> ranges) {
  std::erase_if(ranges, [](const Range &r) { return r.begin == r.end; });
  std::sort(ranges.begin(), ranges.end(),
            [](const Range &a, const Range &b) { return a.begin < b.begin; });
  for (size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].begin < ranges[i - 1].end) {
      return ranges[i - 1].name + " and " + ranges[i].name + " overlap";
    }
  }
  return std::nullopt;
}

/// Every byte of each weight that is used lies in one unit; units do not overlap themselves.
Wrong validateUnits(const OffloadProblem &problem, const OffloadPlan &plan) {
  if (plan.hostGathered.size() != problem.weights.size()) {
    return "hostGathered has the wrong length";
  }
  std::vector<bool> used(problem.weights.size(), false);
  for (const Entry &entry : problem.entries) {
    for (const Step &step : entry.steps) {
      for (const Use &use : step.uses) {
        used[use.weight] = true;
        if (plan.hostGathered[use.weight] && use.access != Access::Gather) {
          return "weight \"" + problem.weights[use.weight].name +
                 "\" stays in the host tier, but step \"" + step.name + "\" needs it on the device";
        }
      }
    }
  }
  std::vector<std::vector<Range>> held(problem.weights.size());
  for (size_t u = 0; u < plan.units.size(); ++u) {
    const Unit &unit = plan.units[u];
    std::vector<Range> inside;
    for (const Piece &piece : unit.pieces) {
      if (piece.weight < 0 || static_cast<size_t>(piece.weight) >= problem.weights.size() ||
          piece.begin < 0 || piece.begin > piece.end ||
          piece.end > problem.weights[piece.weight].bytes) {
        return "unit " + number(u) + " holds bytes that do not exist";
      }
      if (piece.offset < 0 || piece.offset % problem.alignment != 0 ||
          piece.offset + (piece.end - piece.begin) > unit.bytes) {
        return "unit " + number(u) + " has a piece outside of it or misaligned";
      }
      inside.push_back(
          {piece.offset, piece.offset + piece.end - piece.begin, "pieces of unit " + number(u)});
      held[piece.weight].push_back({piece.begin, piece.end, problem.weights[piece.weight].name});
    }
    if (Wrong wrong = disjoint(inside)) {
      return wrong;
    }
  }
  for (size_t w = 0; w < held.size(); ++w) {
    if (!used[w]) {
      continue;
    }
    int64_t bytes = 0;
    for (const Range &range : held[w]) {
      bytes += range.end - range.begin;
    }
    if (Wrong wrong = disjoint(held[w])) {
      return "weight \"" + problem.weights[w].name + "\" lies in two units: " + *wrong;
    }
    if (bytes != problem.weights[w].bytes) {
      return "units hold " + number(bytes) + " of " + number(problem.weights[w].bytes) +
             " bytes of weight \"" + problem.weights[w].name + "\"";
    }
  }
  return std::nullopt;
}

/// Streamed weights are on the disk as a whole or not at all, and those that are not fit host
/// memory; copies come from where the unit is.
Wrong validateTiers(const OffloadProblem &problem, const OffloadPlan &plan) {
  std::vector<bool> gathered(problem.weights.size(), false);
  for (const Entry &entry : problem.entries) {
    for (const Step &step : entry.steps) {
      for (const Use &use : step.uses) {
        gathered[use.weight] = gathered[use.weight] || use.access == Access::Gather;
      }
    }
  }
  std::vector<bool> stays(plan.units.size(), false);
  for (size_t u = 0; u < plan.units.size(); ++u) {
    for (const Piece &piece : plan.units[u].pieces) {
      stays[u] = stays[u] || gathered[piece.weight];
    }
  }
  std::vector<int> tier(problem.weights.size(), -1); // 0: memory, 1: disk
  int64_t inMemory = 0;
  for (size_t u = 0; u < plan.units.size(); ++u) {
    const Unit &unit = plan.units[u];
    for (const Piece &piece : unit.pieces) {
      if (unit.residentOffset >= 0 || plan.hostGathered[piece.weight]) {
        if (unit.onDisk) {
          return "unit " + number(u) + " is on the disk and not streamed";
        }
        continue;
      }
      if (tier[piece.weight] < 0) {
        tier[piece.weight] = unit.onDisk;
        inMemory += unit.onDisk || stays[u] ? 0 : problem.weights[piece.weight].bytes;
      }
      if (unit.onDisk && gathered[piece.weight]) {
        return "weight \"" + problem.weights[piece.weight].name +
               "\" is on the disk, and rows are gathered from it";
      }
      if (tier[piece.weight] != static_cast<int>(unit.onDisk)) {
        return "weight \"" + problem.weights[piece.weight].name + "\" is on the disk in part";
      }
    }
    if (unit.onDisk && !problem.hostMemory) {
      return "unit " + number(u) + " is on the disk although host memory has no bound";
    }
  }
  if (problem.hostMemory && inMemory > *problem.hostMemory) {
    return "host memory holds " + number(inMemory) + " bytes of streamed weights, at most " +
           number(*problem.hostMemory) + " are allowed";
  }
  for (const EntryPlan &entry : plan.entries) {
    for (const Copy &copy : entry.copies) {
      bool load = copy.kind == CopyKind::LoadUnit && copy.unit >= 0 &&
                  static_cast<size_t>(copy.unit) < plan.units.size();
      if (copy.fromDisk != (load && plan.units[copy.unit].onDisk)) {
        return "a copy comes from another tier than its unit is in";
      }
    }
  }
  return std::nullopt;
}

Wrong validateRegions(const OffloadProblem &problem, const OffloadPlan &plan) {
  std::vector<Range> regions;
  regions.push_back({plan.persistentOffset, plan.persistentOffset + problem.persistentBytes,
                     "the persistent region"});
  for (size_t u = 0; u < plan.units.size(); ++u) {
    const Unit &unit = plan.units[u];
    if (unit.residentOffset >= 0) {
      if (unit.residentOffset % problem.alignment != 0) {
        return "unit " + number(u) + " is misaligned";
      }
      regions.push_back(
          {unit.residentOffset, unit.residentOffset + unit.bytes, "unit " + number(u)});
    }
  }
  regions.push_back(
      {plan.slotsOffset, plan.slotsOffset + plan.slotsBytes, "the region of the slots"});
  int64_t height = 0;
  for (const EntryPlan &entry : plan.entries) {
    for (const Segment &segment : entry.segments) {
      if (segment.offset < plan.activationOffset) {
        return "an activation lies before the activation region";
      }
      height = std::max(height, segment.offset + segment.bytes - plan.activationOffset);
    }
  }
  regions.push_back(
      {plan.activationOffset, plan.activationOffset + height, "the activation region"});
  int64_t end = 0;
  for (const Range &region : regions) {
    if (region.begin < 0) {
      return region.name + " has a negative offset";
    }
    end = std::max(end, region.end);
  }
  if (end > plan.arenaBytes) {
    return "the arena has " + number(plan.arenaBytes) + " bytes, but " + number(end) + " are used";
  }
  if (problem.budget && plan.arenaBytes > *problem.budget) {
    return "the arena has " + number(plan.arenaBytes) + " bytes, the budget is " +
           number(*problem.budget);
  }
  return disjoint(regions);
}

/// Each step runs over all bytes of its weights, in order of the steps; operands point where the
/// bytes are.
Wrong validateLaunches(const OffloadProblem &problem, const Entry &entry, const OffloadPlan &plan,
                       const EntryPlan &entryPlan) {
  std::vector<std::vector<std::pair<int, Piece>>> pieces(
      problem.weights.size()); // (unit, piece) by weight
  for (size_t u = 0; u < plan.units.size(); ++u) {
    for (const Piece &piece : plan.units[u].pieces) {
      pieces[piece.weight].emplace_back(static_cast<int>(u), piece);
    }
  }
  size_t l = 0;
  for (size_t s = 0; s < entry.steps.size(); ++s) {
    const Step &step = entry.steps[s];
    std::string where = "step \"" + step.name + "\": ";
    std::vector<int64_t> covered(step.uses.size(), 0);
    size_t first = l;
    for (; l < entryPlan.launches.size() && entryPlan.launches[l].step == static_cast<int>(s);
         ++l) {
      const Launch &launch = entryPlan.launches[l];
      if (launch.operands.size() != step.uses.size()) {
        return where + "a launch has not one operand a use";
      }
      for (size_t i = 0; i < step.uses.size(); ++i) {
        const Operand &operand = launch.operands[i];
        const Use &use = step.uses[i];
        const Weight &weight = problem.weights[use.weight];
        if (operand.weight != use.weight) {
          return where + "an operand names another weight";
        }
        bool all = operand.begin == 0 && operand.end == weight.bytes;
        if (isByTiles(use.access)) {
          if (operand.begin != (all ? 0 : covered[i]) ||
              operand.end <= operand.begin - (weight.bytes == 0) ||
              (operand.begin % std::max<int64_t>(weight.tileBytes, 1)) != 0 ||
              operand.end > weight.bytes) {
            return where + "tiles of \"" + weight.name + "\" are not in order";
          }
          covered[i] = operand.end;
          if (use.access == Access::Pieces && weight.bytes > 0 &&
              operand.end != std::min(operand.begin + weight.tileBytes, weight.bytes)) {
            return where + "a launch reads more or less than one tile of \"" + weight.name + "\"";
          }
        } else if (!all) {
          return where + "weight \"" + weight.name + "\" is cut";
        }
        if (operand.hostGather) {
          if (use.access != Access::Gather) {
            return where + "weight \"" + weight.name + "\" cannot be gathered";
          }
          continue;
        }
        // The bytes must lie, one after the other, where the operand says.
        int64_t found = 0;
        for (const auto &[u, piece] : pieces[operand.weight]) {
          const Unit &unit = plan.units[u];
          int64_t begin = std::max(piece.begin, operand.begin);
          int64_t end = std::min(piece.end, operand.end);
          if (begin >= end) {
            continue;
          }
          int64_t at = piece.offset + begin - piece.begin;
          bool resident = operand.unit < 0;
          if (resident ? unit.residentOffset < 0 : operand.unit != u) {
            return where + "bytes of \"" + weight.name + "\" are not in the unit named";
          }
          at += resident ? unit.residentOffset : 0;
          if (at != operand.offset + begin - operand.begin) {
            return where + "bytes of \"" + weight.name + "\" are not at the offset named";
          }
          found += end - begin;
        }
        if (found != operand.end - operand.begin) {
          return where + "bytes of \"" + weight.name + "\" are missing";
        }
      }
    }
    if (first == l) {
      return where + "has no launch";
    }
    for (size_t i = 0; i < step.uses.size(); ++i) {
      if (isByTiles(step.uses[i].access) &&
          covered[i] != problem.weights[step.uses[i].weight].bytes) {
        return where + "tiles are left out";
      }
    }
    bool cut = l - first > 1;
    for (size_t i = 0; cut && i < step.uses.size(); ++i) {
      const Operand &operand = entryPlan.launches[first].operands[i];
      cut =
          !(isByTiles(step.uses[i].access) && operand.end < problem.weights[operand.weight].bytes);
    }
    if (cut) {
      return where + "is launched twice over the same bytes";
    }
  }
  return l == entryPlan.launches.size() ? Wrong() : "launches are not in order of the steps";
}

/// A unit comes to a place of the slots' region, at some time between two launches.
struct Load {
  int64_t after, before; // counted over passes
  Slot slot;
  int64_t end; // of the slot

  bool overlaps(const Load &other) const {
    return slot.offset < other.end && other.slot.offset < end;
  }
};

Wrong validateSlot(const OffloadProblem &problem, const OffloadPlan &plan, const Slot &slot) {
  if (slot.unit < 0 || static_cast<size_t>(slot.unit) >= plan.units.size()) {
    return "a slot holds a unit that does not exist";
  }
  std::string where = "the slot of unit " + number(slot.unit) + " ";
  if (plan.units[slot.unit].residentOffset >= 0) {
    return where + "is of no use: the unit is resident";
  }
  if (slot.offset < plan.slotsOffset ||
      slot.offset + plan.units[slot.unit].bytes > plan.slotsOffset + plan.slotsBytes) {
    return where + "is not in the region of the slots";
  }
  return slot.offset % problem.alignment != 0 ? where + "is misaligned" : Wrong();
}

/// Replays three passes: what lies in each slot at each launch, whatever the copies' exact times.
Wrong validateSlots(const OffloadProblem &problem, const OffloadPlan &plan,
                    const EntryPlan &entry) {
  int64_t count = static_cast<int64_t>(entry.launches.size());
  std::vector<Load> loads;
  std::vector<Range> initial;
  auto load = [&](int64_t after, int64_t before, const Slot &slot) {
    loads.push_back({after, before, slot, slot.offset + plan.units[slot.unit].bytes});
  };
  for (const Slot &slot : entry.initialSlots) {
    if (Wrong wrong = validateSlot(problem, plan, slot)) {
      return wrong;
    }
    load(-1, 0, slot);
    initial.push_back({slot.offset, loads.back().end, "initial unit " + number(slot.unit)});
  }
  if (Wrong wrong = disjoint(initial)) {
    return wrong;
  }
  for (int64_t pass = 0; pass < 3; ++pass) {
    for (const Copy &copy : entry.copies) {
      if (copy.kind != CopyKind::LoadUnit) {
        continue;
      }
      Slot slot = {copy.unit, copy.slot};
      if (Wrong wrong = validateSlot(problem, plan, slot)) {
        return wrong;
      }
      if (copy.bytes != plan.units[copy.unit].bytes) {
        return "a copy of unit " + number(copy.unit) + " has the wrong size";
      }
      load(pass * count + copy.after, pass * count + copy.before, slot);
    }
  }
  std::stable_sort(loads.begin() + static_cast<int64_t>(initial.size()), loads.end(),
                   [](const Load &a, const Load &b) { return a.after < b.after; });
  for (size_t i = 0; i < loads.size(); ++i) {
    for (size_t k = i + 1; k < loads.size(); ++k) {
      if (loads[k].after < loads[i].before && loads[k].overlaps(loads[i])) {
        return "units " + number(loads[i].slot.unit) + " and " + number(loads[k].slot.unit) +
               " may be copied over each other";
      }
    }
  }
  for (int64_t pass = 0; pass < 3; ++pass) {
    for (int64_t l = 0; l < count; ++l) {
      int64_t now = pass * count + l;
      for (const Operand &operand : entry.launches[l].operands) {
        if (operand.unit < 0) {
          continue;
        }
        Slot slot = {operand.unit, operand.slot};
        if (Wrong wrong = validateSlot(problem, plan, slot)) {
          return wrong;
        }
        Load wanted = {now, now, slot, slot.offset + plan.units[slot.unit].bytes};
        const Load *last = nullptr; // overlapping loads are in order
        for (const Load &other : loads) {
          if (!other.overlaps(wanted)) {
            continue;
          }
          if (other.before <= now) {
            last = &other;
          } else if (other.after < now) {
            return "launch " + number(l) + ": a copy may be overwriting unit " +
                   number(operand.unit);
          }
        }
        if (!last || !(last->slot == slot)) {
          return "launch " + number(l) + ": unit " + number(operand.unit) + " is not in its slot";
        }
      }
    }
    // Another entry may run here: the slots must go back to what the pass started from.
    for (size_t i = 0; i < initial.size(); ++i) {
      const Load *last = nullptr;
      for (const Load &other : loads) {
        if (other.after < (pass + 1) * count && other.overlaps(loads[i])) {
          last = &other;
        }
      }
      if (!last || !(last->slot == loads[i].slot)) {
        return "unit " + number(loads[i].slot.unit) +
               " is in its slot when a pass starts, but not when it ends";
      }
    }
  }
  return std::nullopt;
}

/// Copies in one stream run in order; none may wait for a launch that waits for it.
Wrong validateOrder(const EntryPlan &entry) {
  int count = static_cast<int>(entry.launches.size());
  int latest[2] = {-1, -1};
  for (const Copy &copy : entry.copies) {
    if (copy.after < -1 || copy.after >= count || copy.before < 0 || copy.before >= 2 * count) {
      return "a copy names a launch that does not exist";
    }
    int &waits = latest[leaves(copy.kind) ? 1 : 0];
    waits = std::max(waits, copy.after);
    if (waits >= copy.before) {
      return "a copy waits for launch " + number(waits) + ", and launch " + number(copy.before) +
             " for the copy";
    }
  }
  return std::nullopt;
}

/// An output that leaves in tiles: each launch of its step makes the bytes of one run of the
/// weight's tiles in one place of the ring, and one copy takes them away before the place is used
/// again.
Wrong validateTiles(const OffloadProblem &problem, const Entry &entry, const EntryPlan &entryPlan,
                    int b, const std::vector<int> &ring) {
  const Activation &buffer = entry.buffers[b];
  int step = buffer.begin;
  if (buffer.tileBytes <= 0) {
    return "it may not leave in tiles";
  }
  for (int s : ring) {
    const Segment &segment = entryPlan.segments[s];
    if (!segment.tile || segment.begin != step || segment.end > buffer.end) {
      return "a tile's place is not held from the output's step on";
    }
  }
  int count = static_cast<int>(entryPlan.launches.size());
  std::map<int, int> owed; // by launch: the place from which a copy takes what it made
  int64_t sum = 0;
  for (const Copy &copy : entryPlan.copies) {
    if (copy.kind != CopyKind::TileOut ||
        std::find(ring.begin(), ring.end(), copy.segment) == ring.end()) {
      continue;
    }
    const Segment &segment = entryPlan.segments[copy.segment];
    const Launch &launch = entryPlan.launches[copy.after < 0 ? 0 : copy.after];
    if (copy.after < 0 || launch.step != step || launch.tile != copy.segment) {
      return "a tile leaves behind a launch that does not make it";
    }
    // Tiles before the run, and up to its end, counted in the output.
    int64_t begin = 0, end = 0;
    for (size_t u = 0; u < launch.operands.size(); ++u) {
      if (entry.steps[step].uses[u].access == Access::Tiles) {
        const Operand &run = launch.operands[u];
        const Weight &weight = problem.weights[run.weight];
        begin = run.begin / weight.tileBytes * buffer.tileBytes;
        end =
            run.end == weight.bytes ? buffer.bytes : run.end / weight.tileBytes * buffer.tileBytes;
      }
    }
    if (copy.bytes != end - begin || copy.bytes > segment.bytes) {
      return "a tile has the wrong size";
    }
    int next = copy.after + 1;
    while (next < count && entryPlan.launches[next].tile != copy.segment &&
           entryPlan.launches[next].step < segment.end) {
      ++next;
    }
    if (copy.before > next) {
      return "a tile leaves while its place may be written again";
    }
    if (!owed.emplace(copy.after, copy.segment).second) {
      return "a tile leaves twice";
    }
    sum += copy.bytes;
  }
  for (int l = 0; l < count; ++l) {
    const Launch &launch = entryPlan.launches[l];
    bool mine = std::find(ring.begin(), ring.end(), launch.tile) != ring.end();
    if (mine != (launch.step == step) || (mine && !owed.count(l))) {
      return "launch " + number(l) + " makes no tile that leaves";
    }
  }
  return sum == buffer.bytes ? Wrong() : "its tiles are not all of it";
}

/// Each buffer is in the arena whenever a step touches it; what leaves comes back; places do not
/// overlap in time.
Wrong validateActivations(const OffloadProblem &problem, const Entry &entry,
                          const EntryPlan &entryPlan) {
  auto firstLaunch = [&](int step) {
    int l = 0;
    while (l < static_cast<int>(entryPlan.launches.size()) && entryPlan.launches[l].step < step) {
      ++l;
    }
    return l;
  };
  PackingProblem packing;
  PackingSolution places;
  std::vector<std::vector<int>> parts(entry.buffers.size());
  std::vector<int64_t> scratch(entry.steps.size(), 0);
  for (size_t i = 0; i < entryPlan.segments.size(); ++i) {
    const Segment &segment = entryPlan.segments[i];
    if (segment.begin < 0 || segment.begin >= segment.end ||
        segment.end > static_cast<int>(entry.steps.size())) {
      return "a segment has no life";
    }
    if (segment.buffer >= 0) {
      if (static_cast<size_t>(segment.buffer) >= entry.buffers.size() ||
          (segment.tile ? segment.bytes <= 0
                        : segment.bytes != entry.buffers[segment.buffer].bytes)) {
        return "a segment is not the buffer that it names";
      }
      parts[segment.buffer].push_back(static_cast<int>(i));
    } else {
      int step = -1 - segment.buffer;
      if (step != segment.begin || segment.end != step + 1) {
        return "scratch is not alive in its step";
      }
      scratch[step] += segment.bytes;
    }
    packing.buffers.push_back(
        {"segment " + number(i), segment.bytes, problem.alignment, segment.begin, segment.end});
    places.offsets.push_back(segment.offset);
    places.height = std::max(places.height, segment.offset + segment.bytes);
  }
  if (Wrong wrong = validate(packing, places)) {
    return wrong;
  }
  for (size_t s = 0; s < entry.steps.size(); ++s) {
    if (scratch[s] != entry.steps[s].scratchBytes) {
      return "scratch of step \"" + entry.steps[s].name + "\" is missing";
    }
  }
  std::map<int, const Copy *> out;
  std::map<int, const Copy *> in;
  for (const Copy &copy : entryPlan.copies) {
    if (copy.kind == CopyKind::LoadUnit || copy.kind == CopyKind::TileOut) {
      continue;
    }
    bool leaves = copy.kind == CopyKind::SwapOut;
    if (copy.segment < 0 || static_cast<size_t>(copy.segment) >= entryPlan.segments.size() ||
        entryPlan.segments[copy.segment].tile ||
        copy.bytes != entryPlan.segments[copy.segment].bytes ||
        copy.before >= static_cast<int>(entryPlan.launches.size()) ||
        !(leaves ? out : in).emplace(copy.segment, &copy).second) {
      return "a swap names no segment, the wrong size, or one twice";
    }
  }
  size_t swaps = 0;
  for (size_t b = 0; b < entry.buffers.size(); ++b) {
    const Activation &buffer = entry.buffers[b];
    std::string where = "buffer \"" + buffer.name + "\": ";
    std::vector<int> &mine = parts[b];
    bool tiled =
        std::any_of(mine.begin(), mine.end(), [&](int s) { return entryPlan.segments[s].tile; });
    if (tiled) {
      if (Wrong wrong = validateTiles(problem, entry, entryPlan, static_cast<int>(b), mine)) {
        return where + *wrong;
      }
      continue;
    }
    std::sort(mine.begin(), mine.end(), [&](int x, int y) {
      return entryPlan.segments[x].begin < entryPlan.segments[y].begin;
    });
    if (mine.empty() || entryPlan.segments[mine.front()].begin != buffer.begin ||
        entryPlan.segments[mine.back()].end != buffer.end) {
      return where + "its segments do not span its life";
    }
    if (mine.size() > 1 && buffer.touches.empty()) {
      return where + "it may not leave the arena";
    }
    for (size_t i = 0; i + 1 < mine.size(); ++i) {
      const Segment &from = entryPlan.segments[mine[i]];
      const Segment &to = entryPlan.segments[mine[i + 1]];
      auto leave = out.find(mine[i]);
      auto back = in.find(mine[i + 1]);
      if (leave == out.end() || back == in.end()) {
        return where + "a swap is missing";
      }
      swaps += 2;
      int lastTouch = -1;
      int nextTouch = buffer.end;
      for (int touch : buffer.touches) {
        if (touch < from.end) {
          lastTouch = std::max(lastTouch, touch);
        } else if (touch < to.begin) {
          return where + "step " + number(touch) + " touches it while it is away";
        } else {
          nextTouch = std::min(nextTouch, touch);
        }
      }
      // Out after the last touch and before the place is given to others; back once the place is
      // its own, and after the last copy out of that place, for which launch to.begin has waited;
      // before the next touch.
      if (leave->second->after < firstLaunch(lastTouch + 1) - 1 ||
          leave->second->before > firstLaunch(from.end) ||
          back->second->after < firstLaunch(to.begin + 1) - 1 ||
          back->second->before > firstLaunch(nextTouch) ||
          back->second->after < leave->second->before) {
        return where + "a swap runs at the wrong time";
      }
    }
  }
  for (const Launch &launch : entryPlan.launches) {
    if (launch.tile >= 0 && (static_cast<size_t>(launch.tile) >= entryPlan.segments.size() ||
                             !entryPlan.segments[launch.tile].tile)) {
      return "a launch makes a tile nowhere";
    }
  }
  for (const Copy &copy : entryPlan.copies) {
    if (copy.kind == CopyKind::TileOut &&
        (copy.segment < 0 || static_cast<size_t>(copy.segment) >= entryPlan.segments.size() ||
         !entryPlan.segments[copy.segment].tile)) {
      return "a tile leaves from nowhere";
    }
  }
  return swaps == out.size() + in.size() ? Wrong() : "a swap moves nothing";
}

} // namespace

std::optional<std::string> validate(const OffloadProblem &problem, const OffloadPlan &plan) {
  if (Wrong wrong = validateUnits(problem, plan)) {
    return wrong;
  }
  if (plan.entries.size() != problem.entries.size()) {
    return "the plan has not one part an entry";
  }
  if (Wrong wrong = validateTiers(problem, plan)) {
    return wrong;
  }
  if (Wrong wrong = validateRegions(problem, plan)) {
    return wrong;
  }
  for (size_t e = 0; e < plan.entries.size(); ++e) {
    const Entry &entry = problem.entries[e];
    const EntryPlan &entryPlan = plan.entries[e];
    Wrong wrong = validateLaunches(problem, entry, plan, entryPlan);
    wrong = wrong ? wrong : validateSlots(problem, plan, entryPlan);
    wrong = wrong ? wrong : validateOrder(entryPlan);
    wrong = wrong ? wrong : validateActivations(problem, entry, entryPlan);
    if (wrong) {
      return "entry \"" + entry.name + "\": " + *wrong;
    }
    int64_t toDevice = 0, toHost = 0;
    for (const Copy &copy : entryPlan.copies) {
      toDevice += leaves(copy.kind) ? 0 : copy.bytes;
      toHost += leaves(copy.kind) ? copy.bytes : 0;
    }
    if (toDevice > entryPlan.copiedToDevice || toHost != entryPlan.copiedToHost ||
        !std::isfinite(entryPlan.predictedMicroseconds) ||
        entryPlan.predictedMicroseconds < entryPlan.computeMicroseconds * (1 - 1e-9)) {
      return "entry \"" + entry.name + "\": the prediction contradicts the plan";
    }
  }
  return std::nullopt;
}

} // namespace ciuic::solver
