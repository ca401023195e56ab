// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Outputs that may leave in tiles come first: they cross the link once in any case. Swaps are then
// added greedily: at the step where most bytes are alive, the largest buffer that this step and its
// neighbours do not touch leaves until shortly before its next use. Variants are kept at falling
// heights.

#include "passes/Solver/ActivationPlan.h"

#include <algorithm>

namespace ciuic::solver {

namespace {

constexpr int kMostVariants = 8;
constexpr int64_t kLargestTile = 4 << 20, kSmallestTile = 64 << 10;

int64_t scratchBuffer(int step) { return -1 - step; }

/// How an output leaves: over at most `tiles` tiles a launch, through `places` places. No tiles: it
/// stays.
struct Tiling {
  int64_t tiles = 0;
  int places = 0;
};

/// Ways to tile an output, of ever less room: two places, so that one empties while the other
/// fills, each as large as copies are fast with; in the end one place for one tile. All take less
/// than the output itself.
std::vector<Tiling> tilingsOf(const OffloadProblem &problem, const Entry &entry,
                              const Activation &buffer) {
  std::vector<Tiling> tilings;
  if (buffer.tileBytes <= 0) {
    return tilings;
  }
  const std::vector<Use> &uses = entry.steps[buffer.begin].uses;
  auto use = std::find_if(uses.begin(), uses.end(),
                          [](const Use &u) { return u.access == Access::Tiles; });
  const Weight &weight = problem.weights[use->weight];
  int64_t count = (weight.bytes + weight.tileBytes - 1) / weight.tileBytes;
  auto add = [&](Tiling tiling) {
    int64_t room = tiling.places * tiling.tiles * buffer.tileBytes;
    bool less =
        tilings.empty() || room < tilings.back().places * tilings.back().tiles * buffer.tileBytes;
    if (tiling.tiles < count && room < buffer.bytes && less) {
      tilings.push_back(tiling);
    }
  };
  for (int64_t bytes = kLargestTile; bytes >= kSmallestTile; bytes /= 4) {
    add({std::max<int64_t>(1, bytes / buffer.tileBytes), 2});
  }
  add({1, 2});
  add({1, 1});
  return tilings;
}

/// Every value in the arena from its first step to its last, but for the outputs that are tiled
/// (by buffer).
EntryActivations wholeLives(const Entry &entry, const std::vector<Tiling> &tilings) {
  EntryActivations result;
  for (size_t b = 0; b < entry.buffers.size(); ++b) {
    const Activation &buffer = entry.buffers[b];
    if (tilings[b].tiles > 0) {
      TiledOutput output{static_cast<int>(b), tilings[b].tiles, {}};
      // With two places the last copies run beside the next step.
      int end = std::min(buffer.begin + tilings[b].places, buffer.end);
      for (int i = 0; i < tilings[b].places; ++i) {
        output.ring.push_back(static_cast<int>(result.segments.size()));
        result.segments.push_back(
            {static_cast<int>(b), buffer.begin, end, tilings[b].tiles * buffer.tileBytes, 0, true});
      }
      result.outputs.push_back(std::move(output));
      continue;
    }
    result.segments.push_back({static_cast<int>(b), buffer.begin, buffer.end, buffer.bytes, 0});
  }
  for (size_t s = 0; s < entry.steps.size(); ++s) {
    int step = static_cast<int>(s);
    if (entry.steps[s].scratchBytes > 0) {
      result.segments.push_back(
          {static_cast<int>(scratchBuffer(step)), step, step + 1, entry.steps[s].scratchBytes, 0});
    }
  }
  return result;
}

void pack(const OffloadProblem &problem, const PackingOptions &options,
          EntryActivations &activations) {
  PackingProblem packing;
  for (const Segment &segment : activations.segments) {
    packing.buffers.push_back({"", segment.bytes, problem.alignment, segment.begin, segment.end});
  }
  PackingSolution solution = solve(packing, options);
  for (size_t i = 0; i < activations.segments.size(); ++i) {
    activations.segments[i].offset = solution.offsets[i];
  }
  activations.height = solution.height;
}

/// Bytes alive at each step.
std::vector<int64_t> liveBytes(const Entry &entry, const EntryActivations &activations) {
  std::vector<int64_t> live(entry.steps.size() + 1, 0);
  for (const Segment &segment : activations.segments) {
    live[segment.begin] += segment.bytes;
    live[segment.end] -= segment.bytes;
  }
  for (size_t s = 1; s < live.size(); ++s) {
    live[s] += live[s - 1];
  }
  live.pop_back();
  return live;
}

/// Cuts the largest segment that step `at` leaves alone, with `slack` steps for each copy to run
/// beside. False: there is none.
bool swapAt(const Entry &entry, int at, int slack, EntryActivations &activations) {
  int chosen = -1;
  int chosenLast = 0;
  int chosenNext = 0;
  for (size_t i = 0; i < activations.segments.size(); ++i) {
    const Segment &segment = activations.segments[i];
    if (segment.buffer < 0 || segment.begin > at || segment.end <= at) {
      continue;
    }
    const std::vector<int> &touches = entry.buffers[segment.buffer].touches;
    auto next = std::upper_bound(touches.begin(), touches.end(), at);
    if (next == touches.begin() || next == touches.end() || *next >= segment.end) {
      continue;
    }
    int last = *(next - 1);
    if (last + slack >= at || last < segment.begin || *next - 1 - slack <= at ||
        (chosen >= 0 && segment.bytes <= activations.segments[chosen].bytes)) {
      continue;
    }
    chosen = static_cast<int>(i);
    chosenLast = last;
    chosenNext = *next;
  }
  if (chosen < 0) {
    return false;
  }
  Segment back = activations.segments[chosen];
  activations.segments[chosen].end = chosenLast + 1 + slack;
  // The way back starts when its first step is done, and so is every copy out of what lay there
  // before: that step has waited for them. Hence the place is taken one step early.
  back.begin = chosenNext - 1 - slack;
  // Swaps that name the segment that was cut as their way back keep it; one that takes it away
  // takes the second part.
  int backIndex = static_cast<int>(activations.segments.size());
  for (Swap &swap : activations.swaps) {
    swap.outSegment = swap.outSegment == chosen ? backIndex : swap.outSegment;
  }
  activations.segments.push_back(back);
  activations.swaps.push_back(
      {chosen, backIndex, chosenLast, chosenLast + 1 + slack, chosenNext - 1 - slack, chosenNext});
  return true;
}

int64_t peakOf(const std::vector<int64_t> &live) {
  return live.empty() ? 0 : *std::max_element(live.begin(), live.end());
}

/// Swaps until no step holds more than `limit`, or nothing is left to swap at the worst step.
void swapDownTo(const Entry &entry, int64_t limit, int slack, EntryActivations &activations) {
  for (;;) {
    std::vector<int64_t> live = liveBytes(entry, activations);
    auto worst = std::max_element(live.begin(), live.end());
    if (worst == live.end() || *worst <= limit ||
        !swapAt(entry, static_cast<int>(worst - live.begin()), slack, activations)) {
      return;
    }
  }
}

/// Lives with outputs tiled where steps that hold them need more than `limit`, as little as reaches
/// it.
EntryActivations livesWithin(const OffloadProblem &problem, const Entry &entry, int64_t limit) {
  std::vector<Tiling> chosen(entry.buffers.size());
  EntryActivations lives = wholeLives(entry, chosen);
  for (size_t b = 0; b < entry.buffers.size(); ++b) {
    const Activation &buffer = entry.buffers[b];
    for (Tiling tiling : tilingsOf(problem, entry, buffer)) {
      std::vector<int64_t> live = liveBytes(entry, lives);
      if (*std::max_element(live.begin() + buffer.begin, live.begin() + buffer.end) <= limit) {
        break;
      }
      chosen[b] = tiling;
      lives = wholeLives(entry, chosen);
    }
  }
  return lives;
}

int64_t leastActivationBytes(const OffloadProblem &problem, const Entry &entry, bool swaps) {
  EntryActivations all = livesWithin(problem, entry, 0);
  if (swaps) {
    swapDownTo(entry, 0, 0, all);
  }
  return peakOf(liveBytes(entry, all));
}

} // namespace

int64_t leastActivationBytes(const OffloadProblem &problem, const Entry &entry) {
  return leastActivationBytes(problem, entry, true);
}

std::vector<ActivationVariant> activationVariants(const OffloadProblem &problem,
                                                  const OffloadOptions &options) {
  std::vector<ActivationVariant> variants;
  ActivationVariant plain;
  int64_t peak = 0;  // with everything in the arena
  int64_t tiled = 0; // with tiled outputs, nothing swapped
  int64_t floor = 0;
  for (const Entry &entry : problem.entries) {
    EntryActivations activations = wholeLives(entry, std::vector<Tiling>(entry.buffers.size()));
    pack(problem, options.packing, activations);
    plain.height = std::max(plain.height, activations.height);
    int64_t whole = peakOf(liveBytes(entry, activations));
    peak = std::max(peak, whole);
    plain.entries.push_back(std::move(activations));
    tiled = std::max(tiled, leastActivationBytes(problem, entry, false));
    floor = std::max(floor, leastActivationBytes(problem, entry, options.spill));
  }
  variants.push_back(plain);
  PackingOptions quick = options.packing; // there are many variants, and most are never used
  quick.orderSearchWork /= 16;
  quick.branchAndBoundWork /= 16;
  std::vector<int64_t> limits;
  for (int64_t over = (peak - tiled) / 4; over > 0; over /= 4) { // the sizes of tiles fall by fours
    limits.push_back(tiled + over);
  }
  if (tiled < peak) {
    limits.push_back(tiled);
  }
  for (int i = 1; i <= kMostVariants && floor < tiled; ++i) {
    limits.push_back(i == kMostVariants ? floor : tiled - (tiled - floor) / kMostVariants * i);
  }
  for (int64_t limit : limits) {
    ActivationVariant variant;
    for (size_t e = 0; e < problem.entries.size(); ++e) {
      const EntryActivations within = livesWithin(problem, problem.entries[e], limit);
      EntryActivations activations;
      // Copies that run beside other steps where that reaches the limit, else ones that steps wait
      // for.
      for (int slack : {8, 2, 0}) {
        activations = within;
        swapDownTo(problem.entries[e], limit, slack, activations);
        if (peakOf(liveBytes(problem.entries[e], activations)) <= limit) {
          break;
        }
      }
      if (activations.swaps.empty() && activations.outputs.empty()) {
        activations = plain.entries[e];
      } else {
        pack(problem, quick, activations);
      }
      variant.height = std::max(variant.height, activations.height);
      variant.entries.push_back(std::move(activations));
    }
    if (variant.height < variants.back().height) {
      variants.push_back(std::move(variant));
    }
  }
  return variants;
}

void addActivations(const OffloadProblem &problem, const Entry &entry,
                    const EntryActivations &activations, int64_t base, EntryPlan &plan) {
  plan.activationBytes = activations.height;
  plan.segments = activations.segments;
  for (Segment &segment : plan.segments) {
    segment.offset += base;
  }
  if (activations.swaps.empty() && activations.outputs.empty()) {
    return;
  }
  auto firstOf = [&](int step) {
    return static_cast<int>(std::partition_point(plan.launches.begin(), plan.launches.end(),
                                                 [&](const Launch &l) { return l.step < step; }) -
                            plan.launches.begin());
  };
  for (const Swap &swap : activations.swaps) {
    int64_t bytes = activations.segments[swap.outSegment].bytes;
    plan.copies.push_back({CopyKind::SwapOut, -1, -1, swap.outSegment,
                           firstOf(swap.outAfter + 1) - 1, firstOf(swap.outBefore), bytes});
    plan.copies.push_back({CopyKind::SwapIn, -1, -1, swap.inSegment, firstOf(swap.inAfter + 1) - 1,
                           firstOf(swap.inBefore), bytes});
    plan.copiedToHost += bytes;
    plan.copiedToDevice += bytes;
  }
  for (const TiledOutput &output : activations.outputs) {
    const Activation &buffer = entry.buffers[output.buffer];
    int first = firstOf(buffer.begin), end = firstOf(buffer.begin + 1);
    int places = static_cast<int>(output.ring.size());
    for (int l = first; l < end; ++l) {
      Launch &launch = plan.launches[l];
      launch.tile = output.ring[(l - first) % places];
      // Before the next launch that takes the place, or the first step that others may have it in.
      int before = l + places < end ? l + places : firstOf(plan.segments[launch.tile].end);
      const std::vector<Use> &uses = entry.steps[buffer.begin].uses;
      size_t use = 0;
      while (uses[use].access != Access::Tiles) {
        ++use;
      }
      const Operand &run = launch.operands[use];
      int64_t bytes = outputBytesOf(buffer, problem.weights[run.weight], run.begin, run.end);
      plan.copies.push_back({CopyKind::TileOut, -1, -1, launch.tile, l, before, bytes});
      plan.copiedToHost += bytes;
    }
  }
  std::stable_sort(plan.copies.begin(), plan.copies.end(), [](const Copy &a, const Copy &b) {
    return std::pair(a.after, a.before) < std::pair(b.after, b.before);
  });
}

} // namespace ciuic::solver
