// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Cuts weights into units. A unit is filled with the weights of consecutive steps until the slot is
// full; the weights of one step are kept together, because a step whose weights lie in two units
// holds two slots. Weights larger than a slot become a unit a run of tiles. Weights that several
// steps share are units of their own, so that a later step does not drag their first neighbours
// along.

#include "passes/Solver/OffloadParts.h"

#include <algorithm>
#include <cmath>

namespace ciuic::solver {

namespace {

/// Shared weights up to this size are kept resident: reloading them costs more latency than they
/// take room.
constexpr int64_t kSmallBytes = 64 * 1024;

struct Traits {
  bool used = false;
  bool whole = false;
  bool tiled = false;
  int steps = 0; // most steps of one entry that need the weight on the device

  bool divisible(const Weight &weight) const {
    return tiled && !whole && weight.tileBytes < weight.bytes;
  }
  bool gatherOnly() const { return used && !whole && !tiled; }
};

std::vector<Traits> traitsOf(const OffloadProblem &problem) {
  std::vector<Traits> traits(problem.weights.size());
  for (const Entry &entry : problem.entries) {
    std::vector<int> steps(problem.weights.size(), 0);
    for (const Step &step : entry.steps) {
      for (const Use &use : step.uses) {
        Traits &t = traits[use.weight];
        t.used = true;
        t.whole |= use.access == Access::Whole;
        t.tiled |= isByTiles(use.access);
        steps[use.weight] += use.access != Access::Gather;
        t.steps = std::max(t.steps, steps[use.weight]);
      }
    }
  }
  return traits;
}

class Cutter {
public:
  Cutter(const OffloadProblem &problem, int64_t slotBytes, double mostMicroseconds)
      : problem(problem), slotBytes(slotBytes), mostMicroseconds(mostMicroseconds),
        traits(traitsOf(problem)), seen(problem.weights.size(), false) {
    set.unitsOfWeight.resize(problem.weights.size());
  }

  UnitSet run() {
    for (const Entry &entry : problem.entries) {
      for (const Step &step : entry.steps) {
        addStep(step);
      }
    }
    close();
    price();
    return std::move(set);
  }

private:
  void addStep(const Step &step) {
    if (openMicroseconds >= mostMicroseconds) {
      close();
    }
    openMicroseconds += open.bytes > 0 ? step.microseconds : 0;
    std::vector<int> fresh;
    bool large = false;
    int64_t together = 0;
    for (const Use &use : step.uses) {
      const Weight &weight = problem.weights[use.weight];
      const Traits &t = traits[use.weight];
      large |= t.divisible(weight) && weight.bytes > slotBytes;
      if (seen[use.weight]) {
        continue;
      }
      seen[use.weight] = true;
      fresh.push_back(use.weight);
      together = roundUpTo(together, problem.alignment) + weight.bytes;
    }
    if (open.bytes > 0 && roundUpTo(open.bytes, problem.alignment) + together > slotBytes) {
      close();
    }
    for (int w : fresh) {
      const Weight &weight = problem.weights[w];
      const Traits &t = traits[w];
      if (t.gatherOnly()) {
        alone(w, UnitRole::Gathered);
      } else if (weight.bytes <= kSmallBytes && (t.steps > 1 || (large && !t.tiled))) {
        alone(w, UnitRole::Pinned);
      } else if (weight.bytes > slotBytes) {
        if (t.divisible(weight) && weight.tileBytes <= slotBytes) {
          divide(w);
        } else {
          alone(w, UnitRole::Pinned);
        }
      } else if (t.steps > 1) {
        alone(w, UnitRole::Optional);
      } else {
        append(w);
      }
    }
  }

  void append(int w) {
    int64_t offset = roundUpTo(open.bytes, problem.alignment);
    if (offset + problem.weights[w].bytes > slotBytes) {
      close();
      offset = 0;
    }
    open.pieces.push_back({w, 0, problem.weights[w].bytes, offset});
    open.bytes = offset + problem.weights[w].bytes;
  }

  void alone(int w, UnitRole role) {
    Unit unit;
    unit.pieces.push_back({w, 0, problem.weights[w].bytes, 0});
    unit.bytes = problem.weights[w].bytes;
    // A weight of no use to the order of its neighbours does not split the unit that is being
    // filled.
    if (role == UnitRole::Optional) {
      close();
    }
    push(std::move(unit), role);
  }

  void divide(int w) {
    close();
    const Weight &weight = problem.weights[w];
    int64_t tiles = (weight.bytes + weight.tileBytes - 1) / weight.tileBytes;
    int64_t most = slotBytes / weight.tileBytes;
    int64_t runs = (tiles + most - 1) / most;
    // Runs of the same length: the last copy is then no shorter than the launch that hides it.
    for (int64_t r = 0; r < runs; ++r) {
      int64_t begin = tiles * r / runs * weight.tileBytes;
      int64_t end = std::min(tiles * (r + 1) / runs * weight.tileBytes, weight.bytes);
      Unit unit;
      unit.pieces.push_back({w, begin, end, 0});
      unit.bytes = end - begin;
      push(std::move(unit), UnitRole::Optional);
    }
  }

  void close() {
    if (!open.pieces.empty()) {
      push(std::move(open), UnitRole::Optional);
      open = Unit{};
      openMicroseconds = 0;
    }
  }

  void push(Unit unit, UnitRole role) {
    for (const Piece &piece : unit.pieces) {
      set.unitsOfWeight[piece.weight].push_back(static_cast<int>(set.units.size()));
    }
    set.units.push_back(std::move(unit));
    set.roles.push_back(role);
  }

  /// Shares the time of each step out to the units it reads; steps without weights count for the
  /// unit that follows.
  void price() {
    set.microseconds.assign(set.units.size(), 0);
    for (const Entry &entry : problem.entries) {
      double since = 0;
      int latest = -1;
      for (const Step &step : entry.steps) {
        since += step.microseconds * entry.frequency;
        int64_t bytes = 0;
        for (const Use &use : step.uses) {
          for (int u : set.unitsOfWeight[use.weight]) {
            bytes += use.access != Access::Gather ? set.units[u].bytes : 0;
          }
        }
        if (bytes == 0) {
          continue;
        }
        for (const Use &use : step.uses) {
          for (int u : set.unitsOfWeight[use.weight]) {
            if (use.access != Access::Gather) {
              set.microseconds[u] += since * set.units[u].bytes / bytes;
              latest = u;
            }
          }
        }
        since = 0;
      }
      if (latest >= 0) {
        set.microseconds[latest] += since;
      }
    }
  }

  const OffloadProblem &problem;
  int64_t slotBytes;
  double mostMicroseconds;
  std::vector<Traits> traits;
  std::vector<bool> seen;
  Unit open;
  double openMicroseconds = 0; // of the steps after the first that the open unit serves
  UnitSet set;
};

} // namespace

UnitSet makeUnits(const OffloadProblem &problem, int64_t slotBytes, double mostMicroseconds) {
  return Cutter(problem, slotBytes, mostMicroseconds).run();
}

std::vector<int64_t> slotCandidates(const OffloadProblem &problem) {
  constexpr size_t kDistinct = 16;
  std::vector<Traits> traits = traitsOf(problem);
  int64_t total = 0;
  std::vector<int64_t> exact; // sizes at which some step's weights just fit
  for (const Entry &entry : problem.entries) {
    for (const Step &step : entry.steps) {
      int64_t together = 0;
      for (const Use &use : step.uses) {
        const Weight &weight = problem.weights[use.weight];
        if (use.access == Access::Gather) {
          continue;
        }
        bool divisible = traits[use.weight].divisible(weight);
        exact.push_back(divisible ? weight.tileBytes : weight.bytes);
        together = roundUpTo(together, problem.alignment) + weight.bytes;
      }
      exact.push_back(together);
    }
  }
  for (size_t w = 0; w < problem.weights.size(); ++w) {
    total += traits[w].used && !traits[w].gatherOnly() ? problem.weights[w].bytes : 0;
  }
  std::sort(exact.begin(), exact.end());
  exact.erase(std::unique(exact.begin(), exact.end()), exact.end());
  std::erase(exact, 0);
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < exact.size(); ++i) {
    // All of a few, else evenly chosen ones, with both ends.
    size_t picks = std::min(exact.size(), kDistinct);
    size_t slot = exact.size() <= 1 ? 0 : i * (picks - 1) / (exact.size() - 1);
    if (exact.size() <= kDistinct || i == 0 || slot != (i - 1) * (picks - 1) / (exact.size() - 1)) {
      sizes.push_back(roundUpTo(exact[i], problem.regionAlignment));
    }
  }
  double smallest = std::max<double>(64 * 1024, static_cast<double>(total) / 512);
  for (double size = smallest; size < static_cast<double>(total) / 2; size *= std::sqrt(2.0)) {
    sizes.push_back(roundUpTo(static_cast<int64_t>(size), problem.regionAlignment));
  }
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  return sizes;
}

} // namespace ciuic::solver
