// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Swaps are added greedily: at the step where most bytes are alive, the largest buffer that this
// step and its neighbours do not touch leaves until shortly before its next use. Variants are kept
// at falling heights.

#include "passes/Solver/ActivationPlan.h"

#include <algorithm>

namespace ciuic::solver {

namespace {

constexpr int kMostVariants = 8;

int64_t scratchBuffer(int step) { return -1 - step; }

EntryActivations wholeLives(const Entry &entry) {
  EntryActivations result;
  for (size_t b = 0; b < entry.buffers.size(); ++b) {
    const Activation &buffer = entry.buffers[b];
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

} // namespace

int64_t leastActivationBytes(const Entry &entry) {
  EntryActivations all = wholeLives(entry);
  swapDownTo(entry, 0, 0, all);
  return peakOf(liveBytes(entry, all));
}

std::vector<ActivationVariant> activationVariants(const OffloadProblem &problem,
                                                  const OffloadOptions &options) {
  std::vector<ActivationVariant> variants;
  ActivationVariant plain;
  std::vector<int64_t> least;
  int64_t peak = 0;
  int64_t floor = 0;
  for (const Entry &entry : problem.entries) {
    EntryActivations activations = wholeLives(entry);
    pack(problem, options.packing, activations);
    plain.height = std::max(plain.height, activations.height);
    peak = std::max(peak, peakOf(liveBytes(entry, activations)));
    plain.entries.push_back(std::move(activations));
    floor = std::max(floor, options.spill ? leastActivationBytes(entry) : peak);
  }
  variants.push_back(plain);
  PackingOptions quick = options.packing; // there are many variants, and most are never used
  quick.orderSearchWork /= 16;
  quick.branchAndBoundWork /= 16;
  for (int i = 1; i <= kMostVariants && floor < peak; ++i) {
    int64_t limit = peak - (peak - floor) / kMostVariants * i;
    limit = i == kMostVariants ? floor : limit;
    ActivationVariant variant;
    for (size_t e = 0; e < problem.entries.size(); ++e) {
      EntryActivations activations = plain.entries[e];
      // Copies that run beside other steps where that reaches the limit, else ones that steps wait
      // for.
      for (int slack : {8, 2, 0}) {
        activations = plain.entries[e];
        swapDownTo(problem.entries[e], limit, slack, activations);
        if (peakOf(liveBytes(problem.entries[e], activations)) <= limit) {
          break;
        }
      }
      if (!activations.swaps.empty()) {
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

void addActivations(const EntryActivations &activations, int64_t base, EntryPlan &plan) {
  plan.activationBytes = activations.height;
  plan.segments = activations.segments;
  for (Segment &segment : plan.segments) {
    segment.offset += base;
  }
  if (activations.swaps.empty()) {
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
  std::stable_sort(plan.copies.begin(), plan.copies.end(), [](const Copy &a, const Copy &b) {
    return std::pair(a.after, a.before) < std::pair(b.after, b.before);
  });
}

} // namespace ciuic::solver
