// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The pieces that the offload solver is made of: units, residency policies, slot schedules, the
// simulator. Private to this folder and to its tests; callers include Offload.h.
#pragma once

#include "passes/Solver/Offload.h"

#include <limits>

namespace ciuic::solver {

inline int64_t roundUpTo(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// What may become of a unit.
enum class UnitRole : uint8_t {
  Optional, // resident or streamed
  Pinned,   // resident in every plan: larger than a slot, or small and needed all over the model
  Gathered  // resident, or left in the host tier and gathered there
};

/// All weights cut into units no larger than a slot.
struct UnitSet {
  std::vector<Unit> units;
  std::vector<UnitRole> roles;
  std::vector<std::vector<int>> unitsOfWeight; // ascending by the bytes they hold
  std::vector<double> microseconds; // by unit: frequency-weighted time of the steps it serves, and
                                    // since the unit before
};

/// Cuts the weights, in order of first use, into units of at most `slotBytes`, none of which serves
/// steps of much more than `mostMicroseconds` together: where layers are slow for their weights, a
/// full unit holds its slot too long.
UnitSet makeUnits(const OffloadProblem &problem, int64_t slotBytes,
                  double mostMicroseconds = std::numeric_limits<double>::infinity());

/// Slot sizes worth trying, ascending.
std::vector<int64_t> slotCandidates(const OffloadProblem &problem);

enum class Policy : uint8_t { Strided, Prefix, Paced };
const char *policyName(Policy policy);

/// Chooses optional units to keep resident, of at most `capacity` bytes together, where copies may
/// run ahead of compute by `ahead` bytes. By unit; pinned units are true.
std::vector<bool> chooseResident(const UnitSet &set, Policy policy, int64_t capacity,
                                 int64_t alignment, int64_t ahead);

/// Marks streamed units, in order of use and evenly spread, until the weights of the others fit
/// host memory; units with a table that is gathered from stay. A weight that is not whole in one
/// unit is marked as a whole.
void placeOnDisk(const OffloadProblem &problem, UnitSet &set);

/// An output that leaves in tiles: its step launches over at most `tiles` tiles of its weight at
/// once.
struct TiledOutput {
  int buffer = 0;
  int64_t tiles = 0;
  std::vector<int> ring; // segments that hold what a launch makes, in turn
};

/// Bytes of an output that bytes [begin, end) of the weight its step reads in tiles make.
int64_t outputBytesOf(const Activation &buffer, const Weight &weight, int64_t begin, int64_t end);

/// The slots' region of the arena, and the most bytes of it that hold units when a pass starts.
struct SlotRegion {
  int64_t offset = 0, bytes = 0;
  int64_t initialBytes = 0;
};

/// Fills launches, copies of units, initialSlots and compute time of one entry. Resident units have
/// their offsets. False: a launch needs more streamed units at once than the region holds.
bool scheduleEntry(const OffloadProblem &problem, const Entry &entry, const UnitSet &set,
                   const SlotRegion &region, const std::vector<TiledOutput> &outputs,
                   EntryPlan &plan);

/// One pass, in microseconds.
struct Pass {
  double time = 0, stall = 0;
  double rest = 0; // of its first half, without a copy to the device
};

/// Predicts a pass that finds its initialSlots: one compute stream, one copy stream a direction. It
/// ends with its last launch or copy, for a run returns no earlier. Every copy but those of outputs
/// takes `copyScale` times what the link says.
Pass simulate(const OffloadProblem &problem, const Entry &entry, const EntryPlan &plan,
              double copyScale = 1);

} // namespace ciuic::solver
