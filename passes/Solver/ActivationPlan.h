// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Activations of all entries packed into the region that they share, with and without swaps to the
// host tier and outputs that leave in tiles.
#pragma once

#include "passes/Solver/OffloadParts.h"

namespace ciuic::solver {

/// A buffer leaves the arena between two steps that touch it. In steps, which scheduling turns into
/// launches.
struct Swap {
  int outSegment = 0, inSegment = 0;
  int outAfter = 0, outBefore = 0; // the copy out runs between these steps
  int inAfter = 0, inBefore = 0;   // and the copy back between these
};

struct EntryActivations {
  std::vector<Segment> segments; // offsets from the start of the activation region
  std::vector<Swap> swaps;
  std::vector<TiledOutput> outputs; // that leave in tiles; the others are among the segments
  int64_t height = 0;
};

struct ActivationVariant {
  std::vector<EntryActivations> entries;
  int64_t height = 0; // of the highest entry
};

/// Packings of ever less height and, for that, outputs in tiles and ever more swaps. The first has
/// neither; the last holds at each step little more than what the step touches.
std::vector<ActivationVariant> activationVariants(const OffloadProblem &problem,
                                                  const OffloadOptions &options);

/// A bound below the bytes that activations take at their worst step in any plan.
int64_t leastActivationBytes(const OffloadProblem &problem, const Entry &entry);

/// Places the segments at `base` and turns swaps and tiles into copies of the plan, whose launches
/// are made.
void addActivations(const OffloadProblem &problem, const Entry &entry,
                    const EntryActivations &activations, int64_t base, EntryPlan &plan);

} // namespace ciuic::solver
