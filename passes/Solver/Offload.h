// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which weights stay in the arena and which pass through slots, when each copy runs, and where
// every byte lies: one problem over all entries that share weights. Plain structs in, plain structs
// out. docs/solver-model.md has the model.
//
//   check(problem) -> solveOffload(problem) -> validate(problem, plan)     (solveOffload runs all
//   three)
//
// The arena is [persistent][resident units][slots][activations]. A streamed unit passes through a
// slot: a range of the slots' region that is as long as the unit, and free again once the last
// launch that reads it is done. Sizes are bytes, times are
// microseconds. All indices are positions in the vectors of the problem or the plan. Nothing here
// keeps state: all functions are thread-safe.
#pragma once

#include "passes/Solver/Packing.h"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace ciuic::solver {

/// The step in which the nearest feasible budget and an infeasible one are told apart.
inline constexpr int64_t kBudgetGranule = 64 * 1024;

/// How a step reads a weight.
enum class Access : uint8_t {
  Whole,  // needs all of it at one address
  Tiles,  // can run as a sequence of launches, each over a contiguous run of tiles
  Gather, // reads a few rows; may take them from the host tier when the weight is not resident in
          // one piece
  Pieces  // runs as one launch a tile in every plan: what it computes of a run of tiles depends on
          // where the run ends
};

/// Whether the bytes that one launch reads may be a part of the weight.
inline bool isByTiles(Access access) { return access == Access::Tiles || access == Access::Pieces; }

struct Use {
  int weight = 0;
  Access access = Access::Whole;
  int64_t gatherBytes = 0; // Gather only: bytes of the rows read, at the bounds
  bool operator==(const Use &) const = default;
};

struct Weight {
  std::string name;
  int64_t bytes = 0;
  /// Bytes of the smallest piece that may stream alone; pieces are contiguous and the last may be
  /// short. Equal to `bytes` when the weight cannot be divided. A weight is divided only if no use
  /// is Whole.
  int64_t tileBytes = 0;
  bool operator==(const Weight &) const = default;
};

struct Step {
  std::string name;
  double microseconds = 0;
  double hide =
      1; // rate at which the step advances while a copy runs beside it: 1 hides all, 0 nothing
  int64_t scratchBytes = 0; // alive during this step alone
  std::vector<Use> uses;    // at most one use by tiles
  bool operator==(const Step &) const = default;
};

struct Activation {
  std::string name;
  int64_t bytes = 0;        // at the bounds
  int begin = 0, end = 0;   // held during steps [begin, end)
  std::vector<int> touches; // steps that read or write it, ascending; empty: it may not leave the
                            // arena meanwhile
  /// More than 0 for an output that its first step alone touches and that may leave the arena in
  /// tiles while it is made: the bytes that one tile of the weight which that step reads in tiles
  /// makes. The last may be short, as the weight's.
  int64_t tileBytes = 0;
  bool operator==(const Activation &) const = default;
};

struct Entry {
  std::string name;
  double frequency = 1; // weight of a pass of this entry in the objective
  std::vector<Step> steps;
  std::vector<Activation> buffers;
  bool operator==(const Entry &) const = default;
};

struct RatePoint {
  int64_t bytes = 0;
  double gigabytesPerSecond = 0; // 10^9 bytes per second, for one copy of `bytes`
  bool operator==(const RatePoint &) const = default;
};

/// One direction of the link. Between two points the rate is interpolated over log(bytes).
struct Link {
  double latencyMicroseconds = 0; // added to each copy
  std::vector<RatePoint> rates;   // ascending by bytes, at least one
  bool operator==(const Link &) const = default;
};

struct OffloadProblem {
  std::vector<Weight> weights;
  std::vector<Entry> entries;
  int64_t persistentBytes = 0;   // states, dims blocks: at the start of the arena
  std::optional<int64_t> budget; // arena bytes; none: unbounded
  Link toDevice, toHost;
  /// The most bytes of streamed weights that stay in host memory; the other weights are read from
  /// the disk each time they are copied. Units with a weight that some step gathers from stay in
  /// any case and do not count. None: unbounded.
  std::optional<int64_t> hostMemory;
  double diskGigabytesPerSecond = 0; // with hostMemory: more than 0
  double launchMicroseconds = 0;     // for every launch beyond the first of a step
  int64_t alignment = 64;            // of buffers, and of weights within a unit; a power of two
  int64_t regionAlignment = 4096;    // of the arena's regions and of each slot; a power of two
  bool operator==(const OffloadProblem &) const = default;
};

/// Bytes [begin, end) of a weight, at `offset` in a unit.
struct Piece {
  int weight = 0;
  int64_t begin = 0, end = 0;
  int64_t offset = 0;
  bool operator==(const Piece &) const = default;
};

/// Weights that are moved together by one copy: one contiguous slab of the host tier. Each byte of
/// a weight that some step uses lies in exactly one unit. Units are in order of use, those of one
/// weight consecutive and in its order.
struct Unit {
  std::vector<Piece> pieces;
  int64_t bytes = 0;
  int64_t residentOffset = -1; // arena offset; -1: the unit is streamed, or its weight hostGathered
  bool onDisk = false;         // of a streamed unit: its weights are not in host memory
  bool operator==(const Unit &) const = default;
};

/// Where a launch finds (part of) a weight. Arena address = offset for unit -1 (a run of resident
/// units), else slot + `offset`.
struct Operand {
  int weight = 0;
  int64_t begin = 0, end = 0; // bytes of the weight
  int unit = -1;              // the streamed unit; -1: resident
  int64_t slot = -1;          // arena offset of the streamed unit
  int64_t offset = 0;
  bool hostGather = false; // rows come from the host tier; unit, slot and offset mean nothing
  bool operator==(const Operand &) const = default;
};

/// One kernel launch: a step, or the part of it over one run of tiles.
struct Launch {
  int step = 0;
  std::vector<Operand> operands; // one a use of the step, in its order
  double microseconds = 0;       // its predicted time without copies beside it
  int tile = -1; // the segment that holds what it makes of an output that leaves in tiles
  bool operator==(const Launch &) const = default;
};

/// TileOut: what launch `after` made of an output leaves for the output's place in the host tier.
enum class CopyKind : uint8_t { LoadUnit, SwapOut, SwapIn, TileOut };

/// The direction of a copy: true from the device to the host.
inline bool leaves(CopyKind kind) { return kind == CopyKind::SwapOut || kind == CopyKind::TileOut; }

/// `after`: the copy may start when this launch of the same pass is done (-1: at the start of the
/// pass). `before`: this launch waits for the copy; a value v >= launches.size() means launch v -
/// launches.size() of the next pass, for which the copy leaves its unit in the slot (the same entry
/// must run next, else see initialSlots).
struct Copy {
  CopyKind kind = CopyKind::LoadUnit;
  int unit = -1;     // LoadUnit
  int64_t slot = -1; // LoadUnit: arena offset
  int segment = -1;  // SwapOut, TileOut: the one that leaves. SwapIn: the one that returns.
  int after = -1, before = 0;
  int64_t bytes = 0;
  bool fromDisk = false; // LoadUnit
  bool operator==(const Copy &) const = default;
};

/// A streamed unit and where it is.
struct Slot {
  int unit = 0;
  int64_t offset = 0; // in the arena
  bool operator==(const Slot &) const = default;
};

/// An activation, or the part of its life between two swaps, at one place of the arena; or one of
/// the places through which an output leaves in tiles.
struct Segment {
  int buffer = 0; // -1 - step: scratch of that step
  int begin = 0, end = 0;
  int64_t bytes = 0;
  int64_t offset = 0; // in the arena
  bool tile = false;
  bool operator==(const Segment &) const = default;
};

struct EntryPlan {
  std::vector<Launch> launches;
  std::vector<Copy> copies;       // LoadUnit and SwapIn share the stream to the device, SwapOut and
                                  // TileOut the other; issue order
  std::vector<Slot> initialSlots; // held when a pass starts, and again when it ends
  std::vector<Segment> segments;
  int64_t activationBytes = 0; // height of its packing
  int64_t copiedToDevice = 0,
          copiedToHost = 0;         // a pass, host-gathered rows included
  double computeMicroseconds = 0;   // all steps, no copy in the way
  double predictedMicroseconds = 0; // a pass
  double stallMicroseconds = 0;     // of it, waiting for copies
  double lowerBoundMicroseconds = 0;
  double gap = 0; // (predicted - bound) / bound
  bool operator==(const EntryPlan &) const = default;
};

struct OffloadPlan {
  std::string policy; // what chose it, for the report
  std::vector<Unit> units;
  std::vector<bool>
      hostGathered; // by weight: it never comes to the device, every use gathers from the host tier
  std::vector<EntryPlan> entries;
  int64_t persistentOffset = 0, residentOffset = 0, slotsOffset = 0, activationOffset = 0;
  int64_t slotsBytes = 0;                       // of the slots' region
  int64_t residentBytes = 0, streamedBytes = 0; // of weights
  int64_t arenaBytes = 0;                       // the peak
  int64_t needBytes = 0;                        // arena of the all-resident plan
  /// Sum over entries of frequency * (predicted + the copies, after the pass, of outputs that could
  /// have left in tiles).
  double objective = 0;
  bool operator==(const OffloadPlan &) const = default;
};

/// The answer when nothing fits.
struct Infeasible {
  struct Live {
    std::string name;
    int64_t bytes = 0;
  };
  int entry = 0, step = 0; // where the smallest plan needs most
  std::string entryName, stepName;
  int64_t bytesOver = 0;
  std::vector<Live> alive;   // at that step, largest first
  int64_t nearestBudget = 0; // least feasible budget that is a multiple of kBudgetGranule
};

struct OffloadOptions {
  int residencyLevels = 128; // resident capacities tried per slot size
  bool streaming = true;     // false: the all-resident plan only
  bool spill = true;         // swap activations out where weights alone do not reach the budget
  PackingOptions packing;
};

/// What is wrong with the problem; nothing if it can be solved. Bounds of all fields are checked
/// here.
std::optional<std::string> check(const OffloadProblem &problem);

/// The best plan within the budget, or why there is none. The string is what check() or validate()
/// says. More budget never predicts a worse objective: the plans compared do not depend on the
/// budget, which only admits them.
std::variant<OffloadPlan, Infeasible, std::string> solveOffload(const OffloadProblem &problem,
                                                                const OffloadOptions &options = {});

/// What is wrong with the plan; nothing if it is valid. Checks addresses, happens-before over
/// repeated and alternating passes, coverage of weights by launches, and all sums; knows nothing of
/// how plans are found.
std::optional<std::string> validate(const OffloadProblem &problem, const OffloadPlan &plan);

/// When the launches and copies of one pass run, in microseconds from its start.
struct Timeline {
  struct Span {
    double begin = 0, end = 0;
  };
  double pass = 0;            // the pass takes this long
  std::vector<Span> launches; // by EntryPlan::launches
  std::vector<Span> copies;   // by EntryPlan::copies
};

/// The simulation behind the prediction, for reports.
Timeline timelineOf(const OffloadProblem &problem, const Entry &entry, const EntryPlan &plan);

/// Microseconds of one copy.
double copyMicroseconds(const Link &link, int64_t bytes);
/// The same of a planned one. What comes from the disk is read ahead of its copy, so that the
/// slower of both counts.
double copyMicroseconds(const OffloadProblem &problem, const Copy &copy);

} // namespace ciuic::solver
