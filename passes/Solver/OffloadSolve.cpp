// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The search: a fixed family of plans (unit size x room for slots x residency policy x bytes kept
// resident x what a pass finds in the slots x activation variant), which depends on the problem
// without its budget. The budget only admits members of the family, hence
//  - feasibility is monotone, and the nearest feasible budget is the least arena of the family;
//  - the least objective never grows with the budget, which admits a superset.
// Among the admitted plans within kTolerance of the least objective, the one is taken that does
// best over a slow link. Members are judged by simulation; those whose lower bound is no better
// than the best so far are not simulated, which changes no answer. An exact solver would join here:
// as one more producer of residencies for tryResidency().

#include "passes/Solver/ActivationPlan.h"
#include "passes/Solver/OffloadParts.h"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <numeric>
#include <tuple>

namespace ciuic::solver {

namespace {

constexpr double kTolerance = 0.01;
/// Of all steps' time, what those of a brief unit may take.
constexpr double kLongestUnit = 1.0 / 48;
/// What a pass has to get faster by for slots that are not all filled when it starts: entries that
/// find the same units may alternate without loading them again.
constexpr double kLeastGain = 0.005;
/// Room for slots, in largest units.
constexpr double kRooms[] = {4, 3, 2, 1};

double fastestRate(const Link &link) {
  double rate = 0;
  for (const RatePoint &point : link.rates) {
    rate = std::max(rate, point.gigabytesPerSecond);
  }
  return rate;
}

/// The weights that an entry needs on the device at some time of a pass.
std::vector<bool> neededOnDevice(const OffloadProblem &problem, const Entry &entry) {
  std::vector<bool> needed(problem.weights.size(), false);
  for (const Step &step : entry.steps) {
    for (const Use &use : step.uses) {
      needed[use.weight] = needed[use.weight] || use.access != Access::Gather;
    }
  }
  return needed;
}

class Searcher {
public:
  Searcher(const OffloadProblem &problem, const OffloadOptions &options)
      : problem(problem), options(options),
        budget(problem.budget.value_or(std::numeric_limits<int64_t>::max())) {
    for (const Weight &weight : problem.weights) {
      weightBytes += static_cast<double>(weight.bytes);
    }
    for (const Entry &entry : problem.entries) {
      computeBound.push_back(0);
      std::map<double, double, std::greater<>> byHide;
      for (const Step &step : entry.steps) {
        computeBound.back() += step.microseconds;
        byHide[step.hide] += step.microseconds;
      }
      hides.emplace_back(byHide.begin(), byHide.end());
      onDevice.push_back(neededOnDevice(problem, entry));
    }
  }

  void run() {
    variants = activationVariants(problem, options);
    tryAllResident();
    if (!options.streaming || needBytes <= budget) {
      return; // nothing is faster than no copies
    }
    std::vector<int64_t> sizes = slotCandidates(problem);
    double longestUnit =
        std::accumulate(computeBound.begin(), computeBound.end(), 0.0) * kLongestUnit;
    for (size_t v = 0; v < variants.size(); ++v) {
      for (int64_t slotBytes : sizes) {
        UnitSet full = makeUnits(problem, slotBytes);
        size_t count = full.units.size();
        trySlotSize(full, static_cast<int>(v));
        if (v == 0) {
          UnitSet brief = makeUnits(problem, slotBytes, longestUnit);
          if (brief.units.size() != count) {
            trySlotSize(brief, 0);
          }
        }
      }
    }
  }

  /// Of the plans nearly as fast as the fastest, the one that spreads its copies best; nullopt if
  /// none fits.
  std::optional<OffloadPlan> take() {
    if (front.empty()) {
      return std::nullopt;
    }
    auto key = [](const Member &m) { return std::tuple(m.paced, m.copied, m.plan.arenaBytes); };
    return std::move(
        std::min_element(front.begin(), front.end(), [&](const Member &a, const Member &b) {
          return key(a) < key(b);
        })->plan);
  }

  int64_t leastArena = std::numeric_limits<int64_t>::max();
  int leastVariant = 0;
  std::vector<bool> leastResident; // by weight: resident, or part of it, in the least plan
  int64_t needBytes = 0;
  std::vector<ActivationVariant> variants; // the first keeps all activations where they are

private:
  struct Member {
    OffloadPlan plan;
    double paced = 0;
    int64_t copied = 0;
  };

  /// Keeps the members within the tolerance of the fastest that no other beats in both times.
  void admit(Member member) {
    best = front.empty() ? member.plan.objective : std::min(best, member.plan.objective);
    auto key = [](const Member &m) {
      return std::tuple(m.plan.objective, m.paced, m.copied, m.plan.arenaBytes);
    };
    auto beats = [&](const Member &a, const Member &b) {
      return a.plan.objective <= b.plan.objective && a.paced <= b.paced && key(a) <= key(b);
    };
    for (const Member &other : front) {
      if (beats(other, member)) {
        return;
      }
    }
    std::erase_if(front, [&](const Member &other) {
      return beats(member, other) || other.plan.objective > mostUseful();
    });
    front.push_back(std::move(member));
  }

  /// The objective over a link so slow that copies take three quarters of compute: whether copies
  /// are spread evenly over the compute that hides them, which a fast link does not show. Copying
  /// all weights counts a tenth of compute on top, as the slow link here is slower the less there
  /// is to copy.
  double pacedTime(const OffloadPlan &plan, int variant) const {
    double sum = 0;
    for (size_t e = 0; e < problem.entries.size(); ++e) {
      const EntryPlan &entry = plan.entries[e];
      double copies = 0;
      int64_t bytes = entry.copiedToDevice + entry.copiedToHost;
      for (const Copy &copy : entry.copies) {
        bool output = copy.kind == CopyKind::TileOut; // crosses any link, at its own pace
        bytes -= output ? copy.bytes : 0;
        copies += output ? 0
                         : copyMicroseconds(leaves(copy.kind) ? problem.toHost : problem.toDevice,
                                            copy.bytes);
      }
      double scale = copies > 0 ? std::max(1.0, entry.computeMicroseconds * 0.75 / copies) : 1;
      double share = static_cast<double>(bytes) / weightBytes;
      sum += problem.entries[e].frequency *
             (simulate(problem, problem.entries[e], entry, scale).time + afterwards(e, variant) +
              0.1 * share * entry.computeMicroseconds);
    }
    return sum;
  }

  /// Outputs that could leave in tiles and do not leave after the pass, when nothing hides them.
  double afterwards(size_t e, int variant) const {
    double microseconds = 0;
    for (const Activation &buffer : problem.entries[e].buffers) {
      microseconds += buffer.tileBytes > 0 ? copyMicroseconds(problem.toHost, buffer.bytes) : 0;
    }
    for (const TiledOutput &output : variants[variant].entries[e].outputs) {
      int64_t bytes = problem.entries[e].buffers[output.buffer].bytes;
      microseconds -= copyMicroseconds(problem.toHost, bytes);
    }
    return microseconds;
  }

  void tryAllResident() {
    UnitSet set = makeUnits(problem, std::numeric_limits<int64_t>::max() / 4);
    std::vector<bool> resident(set.units.size(), true);
    for (size_t v = 0; v < variants.size(); ++v) {
      int64_t arena = tryResidency(set, resident, 0, static_cast<int>(v), "all resident");
      needBytes = v == 0 ? arena : needBytes;
      if (needBytes <= budget) {
        return; // nothing has to leave
      }
    }
  }

  void trySlotSize(const UnitSet &set, int variant) {
    int64_t optional = 0, count = 0, largest = 0;
    std::vector<int64_t> read(problem.entries.size(), 0); // by entry, of these units
    for (size_t u = 0; u < set.units.size(); ++u) {
      if (set.roles[u] != UnitRole::Optional) {
        continue;
      }
      int64_t bytes = roundUpTo(set.units[u].bytes, problem.alignment);
      optional += bytes;
      largest = std::max(largest, bytes);
      ++count;
      for (size_t e = 0; e < read.size(); ++e) {
        read[e] += reads(e, set.units[u]) ? set.units[u].bytes : 0;
      }
    }
    // Variants that swap are for small budgets, and thousands of units need no fine steps: a
    // coarser family will do.
    int64_t levels = variant == 0 && count <= 1024 ? options.residencyLevels : 12;
    levels = std::max<int64_t>(std::min(levels, 2 * count), 1);
    for (Policy policy : {Policy::Strided, Policy::Paced, Policy::Prefix}) {
      std::array<std::vector<bool>, std::size(kRooms)> before; // what was tried last
      for (int64_t level = levels; level >= 0; --level) {
        int64_t capacity = optional / levels * level + optional % levels * level / levels;
        std::vector<bool> resident;
        for (size_t r = 0; r < before.size(); ++r) {
          auto ahead = static_cast<int64_t>(kRooms[r] * static_cast<double>(largest));
          if (isHopeless(read, capacity, largest, ahead, variant)) {
            continue;
          }
          if (resident.empty() || policy == Policy::Paced) {
            resident = chooseResident(set, policy, capacity, problem.alignment, ahead);
          }
          if (resident != before[r]) {
            const char *name = keepsOptional(set, resident) ? policyName(policy) : "minimal memory";
            tryResidency(set, resident, kRooms[r], variant, name);
            before[r] = resident;
          }
        }
      }
    }
  }

  static bool keepsOptional(const UnitSet &set, const std::vector<bool> &resident) {
    bool keeps = false;
    for (size_t u = 0; u < resident.size(); ++u) {
      keeps |= resident[u] && set.roles[u] == UnitRole::Optional;
    }
    return keeps;
  }

  /// Whether no member that keeps about `capacity` bytes of a set's units can count any more: it
  /// is not admitted, as what stays of the capacity is less than a unit, or not fast enough.
  bool isHopeless(const std::vector<int64_t> &read, int64_t capacity, int64_t largest,
                  int64_t slotsBytes, int variant) const {
    if (front.empty()) {
      return false;
    }
    std::vector<int64_t> streamed;
    for (int64_t bytes : read) {
      streamed.push_back(bytes - capacity - roundUpTo(slotsBytes, problem.regionAlignment));
    }
    return capacity - largest + variants[variant].height > budget || bound(streamed) > mostUseful();
  }

  double mostUseful() const { return best * (1 + kTolerance); }

  /// Judges one member of the family, with `room` for slots in largest streamed units; returns its
  /// arena.
  int64_t tryResidency(const UnitSet &set, const std::vector<bool> &resident, double room,
                       int variant, const char *policy) {
    OffloadPlan plan;
    int64_t largest = 0;
    int64_t streamed = 0;
    int64_t at = roundUpTo(problem.persistentBytes, problem.regionAlignment);
    plan.residentOffset = at;
    for (size_t u = 0; u < set.units.size(); ++u) {
      if (resident[u]) {
        plan.residentBytes += set.units[u].bytes;
        at = roundUpTo(at, problem.alignment) + set.units[u].bytes;
      } else if (set.roles[u] != UnitRole::Gathered) {
        largest = std::max(largest, set.units[u].bytes);
        streamed += roundUpTo(set.units[u].bytes, problem.regionAlignment);
        plan.streamedBytes += set.units[u].bytes;
      }
    }
    auto wanted = static_cast<int64_t>(room * static_cast<double>(largest));
    plan.slotsOffset = roundUpTo(at, problem.regionAlignment);
    plan.slotsBytes = std::min(roundUpTo(wanted, problem.regionAlignment), streamed);
    plan.activationOffset = at = plan.slotsOffset + plan.slotsBytes;
    plan.arenaBytes = at + variants[variant].height;
    bool admitted = plan.arenaBytes <= budget;
    if (admitted ? !front.empty() && bound(set, resident, plan) > mostUseful()
                 : !front.empty() || plan.arenaBytes >= leastArena) {
      return plan.arenaBytes;
    }

    UnitSet placed = set;
    int64_t offset = plan.residentOffset;
    for (size_t u = 0; u < placed.units.size(); ++u) {
      if (resident[u]) {
        offset = roundUpTo(offset, problem.alignment);
        placed.units[u].residentOffset = offset;
        offset += placed.units[u].bytes;
      }
    }
    placeOnDisk(problem, placed);
    for (size_t e = 0; e < problem.entries.size(); ++e) {
      plan.entries.emplace_back();
      if (!scheduleEntry(problem, problem.entries[e], placed,
                         {plan.slotsOffset, plan.slotsBytes, plan.slotsBytes},
                         variants[variant].entries[e].outputs, plan.entries.back())) {
        return plan.arenaBytes;
      }
    }
    if (plan.arenaBytes < leastArena) {
      leastArena = plan.arenaBytes;
      leastVariant = variant;
      leastResident.assign(problem.weights.size(), false);
      for (size_t u = 0; u < set.units.size(); ++u) {
        for (const Piece &piece : set.units[u].pieces) {
          leastResident[piece.weight] = leastResident[piece.weight] || resident[u];
        }
      }
    }
    if (!admitted) {
      return plan.arenaBytes;
    }
    Member member;
    for (size_t e = 0; e < problem.entries.size(); ++e) {
      EntryPlan &entry = plan.entries[e];
      predict(e, placed, variant, plan, entry);
      plan.objective +=
          problem.entries[e].frequency * (entry.predictedMicroseconds + afterwards(e, variant));
      member.copied += entry.copiedToDevice + entry.copiedToHost;
    }
    int64_t arena = plan.arenaBytes;
    if (front.empty() || plan.objective <= mostUseful()) {
      member.paced = pacedTime(plan, variant);
      plan.policy = policy;
      plan.units = std::move(placed.units);
      plan.hostGathered.assign(problem.weights.size(), false);
      for (size_t u = 0; u < plan.units.size(); ++u) {
        if (set.roles[u] == UnitRole::Gathered && !resident[u]) {
          plan.hostGathered[plan.units[u].pieces.front().weight] = true;
        }
      }
      member.plan = std::move(plan);
      admit(std::move(member));
    }
    return arena;
  }

  /// Completes the schedule of an entry and simulates it: with all slots filled when a pass starts,
  /// so that its first launches wait for no copy; and with fewer, by what the link could have
  /// copied while the launches kept it waiting for a slot. The better one stays.
  void predict(size_t e, const UnitSet &placed, int variant, const OffloadPlan &plan,
               EntryPlan &entry) const {
    auto complete = [&](EntryPlan &schedule) {
      addActivations(problem, problem.entries[e], variants[variant].entries[e],
                     plan.activationOffset, schedule);
      Pass pass = simulate(problem, problem.entries[e], schedule);
      schedule.predictedMicroseconds = pass.time;
      schedule.stallMicroseconds = pass.stall;
      return pass.rest;
    };
    double rest = complete(entry);
    if (entry.initialSlots.empty() || rest < kLeastGain * entry.predictedMicroseconds) {
      return;
    }
    double most = entry.predictedMicroseconds * (1 - kLeastGain);
    for (double share : {0.5, 1.0}) {
      auto late = static_cast<int64_t>(share * rest * fastestRate(problem.toDevice) * 1e3);
      EntryPlan other;
      scheduleEntry(
          problem, problem.entries[e], placed,
          {plan.slotsOffset, plan.slotsBytes, std::max<int64_t>(0, plan.slotsBytes - late)},
          variants[variant].entries[e].outputs, other);
      complete(other);
      if (other.predictedMicroseconds < std::min(most, entry.predictedMicroseconds)) {
        entry = std::move(other);
      }
    }
  }

  /// By how much copies of `link` microseconds slow the steps down at the least: they run beside
  /// those that mind them the least.
  double slowdown(size_t e, double link) const {
    double loss = 0;
    for (auto [hide, microseconds] : hides[e]) {
      double beside = hide > 0 ? std::min(link, microseconds / hide) : link;
      loss += beside * (1 - hide);
      link -= beside;
    }
    return loss;
  }

  bool reads(size_t e, const Unit &unit) const {
    return std::any_of(unit.pieces.begin(), unit.pieces.end(),
                       [&](const Piece &piece) { return onDevice[e][piece.weight]; });
  }

  /// No simulation can be better where these bytes are copied in a pass, by entry: compute is never
  /// faster, and a copy beside compute slows it.
  double bound(const std::vector<int64_t> &copied) const {
    double objective = 0;
    double peak = fastestRate(problem.toDevice) * 1e3;
    for (size_t e = 0; e < problem.entries.size(); ++e) {
      double link = copied[e] > 0 ? static_cast<double>(copied[e]) / peak : 0;
      objective +=
          problem.entries[e].frequency * std::max(link, computeBound[e] + slowdown(e, link));
    }
    return objective * (1 - 1e-9);
  }

  double bound(const UnitSet &set, const std::vector<bool> &resident,
               const OffloadPlan &plan) const {
    std::vector<int64_t> copied(problem.entries.size(), -plan.slotsBytes);
    for (size_t e = 0; e < problem.entries.size(); ++e) {
      for (size_t u = 0; u < set.units.size(); ++u) {
        copied[e] += !resident[u] && reads(e, set.units[u]) ? set.units[u].bytes : 0;
      }
    }
    return bound(copied);
  }

  const OffloadProblem &problem;
  const OffloadOptions &options;
  int64_t budget;
  std::vector<Member> front;
  double best = 0; // least objective of the front
  double weightBytes = 1;
  std::vector<double> computeBound;
  std::vector<std::vector<std::pair<double, double>>> hides; // by entry, the highest hide first
  std::vector<std::vector<bool>> onDevice;
};

/// The most that tables which rows are gathered from, and what shares a unit with them, keep in
/// memory beside what may be there.
int64_t gatheredBytes(const OffloadProblem &problem, const OffloadPlan &plan) {
  int64_t unitBytes = 0;
  for (const Unit &unit : plan.units) {
    unitBytes = std::max(unitBytes, unit.bytes);
  }

  std::vector<bool> gathered(problem.weights.size(), false);
  for (const Entry &entry : problem.entries) {
    for (const Step &step : entry.steps) {
      for (const Use &use : step.uses) {
        gathered[use.weight] = gathered[use.weight] || use.access == Access::Gather;
      }
    }
  }
  int64_t bytes = 0;
  for (size_t w = 0; w < gathered.size(); ++w) {
    bytes += gathered[w] ? problem.weights[w].bytes + unitBytes : 0;
  }
  return bytes;
}

/// What no plan within the budget can beat: all compute, and the link time of the bytes that cannot
/// stay. At the instant of peak use the arena holds at most budget - persistent - live bytes of
/// weights; a pass needs the others too.
void boundEntries(const OffloadProblem &problem, OffloadPlan &plan) {
  for (size_t e = 0; e < problem.entries.size(); ++e) {
    const Entry &entry = problem.entries[e];
    EntryPlan &entryPlan = plan.entries[e];
    int64_t streamed = 0;
    if (problem.budget) {
      std::vector<bool> needed = neededOnDevice(problem, entry);
      for (size_t w = 0; w < needed.size(); ++w) {
        streamed += needed[w] ? problem.weights[w].bytes : 0;
      }
      streamed -= *problem.budget - problem.persistentBytes - leastActivationBytes(problem, entry);
    }
    double link =
        streamed > 0 ? static_cast<double>(streamed) / (fastestRate(problem.toDevice) * 1e3) : 0;
    double bound = std::max(entryPlan.computeMicroseconds, link);
    if (problem.hostMemory) {
      int64_t inMemory = *problem.hostMemory + gatheredBytes(problem, plan);
      bound = std::max(bound, static_cast<double>(std::max<int64_t>(0, streamed - inMemory)) /
                                  (problem.diskGigabytesPerSecond * 1e3));
    }
    entryPlan.lowerBoundMicroseconds = bound;
    entryPlan.gap = bound > 0 ? (entryPlan.predictedMicroseconds - bound) / bound : 0;
  }
}

Infeasible explain(const OffloadProblem &problem, const Searcher &searcher) {
  Infeasible answer;
  answer.nearestBudget = roundUpTo(searcher.leastArena, kBudgetGranule);
  answer.bytesOver = searcher.leastArena - *problem.budget;
  const ActivationVariant &variant = searcher.variants[searcher.leastVariant];
  std::vector<Infeasible::Live> alive;
  int64_t most = -1;
  for (size_t e = 0; e < problem.entries.size(); ++e) {
    const Entry &entry = problem.entries[e];
    for (size_t s = 0; s < entry.steps.size(); ++s) {
      std::vector<Infeasible::Live> here;
      int64_t sum = 0;
      for (const Segment &segment : variant.entries[e].segments) {
        int step = static_cast<int>(s);
        if (segment.begin <= step && step < segment.end && segment.bytes > 0) {
          here.push_back({segment.buffer < 0 ? "scratch of " + entry.steps[s].name
                          : segment.tile     ? "a tile of " + entry.buffers[segment.buffer].name
                                             : entry.buffers[segment.buffer].name,
                          segment.bytes});
          sum += segment.bytes;
        }
      }
      std::vector<bool> listed(problem.weights.size(), false);
      for (const Use &use : entry.steps[s].uses) {
        const Weight &weight = problem.weights[use.weight];
        if (use.access != Access::Gather) {
          bool part = isByTiles(use.access) && !searcher.leastResident[use.weight];
          int64_t bytes = part ? weight.tileBytes : weight.bytes;
          here.push_back({weight.name, bytes});
          sum += bytes;
          listed[use.weight] = true;
        }
      }
      for (size_t w = 0; w < listed.size(); ++w) { // what is resident even in the least plan
        if (searcher.leastResident[w] && !listed[w]) {
          here.push_back({problem.weights[w].name, problem.weights[w].bytes});
          sum += problem.weights[w].bytes;
        }
      }
      if (sum > most) {
        most = sum;
        alive = std::move(here);
        answer.entry = static_cast<int>(e);
        answer.step = static_cast<int>(s);
      }
    }
  }
  if (problem.persistentBytes > 0) {
    alive.push_back({"states and dims", problem.persistentBytes});
  }
  std::stable_sort(
      alive.begin(), alive.end(),
      [](const Infeasible::Live &a, const Infeasible::Live &b) { return a.bytes > b.bytes; });
  answer.alive = std::move(alive);
  answer.entryName = problem.entries[answer.entry].name;
  answer.stepName = problem.entries[answer.entry].steps[answer.step].name;
  return answer;
}

} // namespace

std::variant<OffloadPlan, Infeasible, std::string> solveOffload(const OffloadProblem &problem,
                                                                const OffloadOptions &options) {
  if (std::optional<std::string> wrong = check(problem)) {
    return "offload problem: " + *wrong;
  }
  Searcher searcher(problem, options);
  searcher.run();
  std::optional<OffloadPlan> found = searcher.take();
  if (!found) {
    return explain(problem, searcher);
  }
  OffloadPlan &plan = *found;
  plan.needBytes = searcher.needBytes;
  boundEntries(problem, plan);
  if (std::optional<std::string> wrong = validate(problem, plan)) {
    return "offload plan (" + plan.policy + "): " + *wrong;
  }
  return std::move(plan);
}

} // namespace ciuic::solver
