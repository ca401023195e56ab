// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Offload: the contract of budgets (feasible or not, never worse with more), the shape of good
// plans, and determinism. solveOffload() validates each plan itself; MutationTest.cpp shows that
// the validator sees faults.

#include "test/passes/Solver/Instances.h"

#include "passes/Solver/OffloadParts.h"

#include <gtest/gtest.h>

#include <algorithm>

using namespace ciuic::solver;
using namespace ciuic::solver::test;

namespace {

OffloadPlan planOf(const OffloadProblem &problem) {
  auto answer = solveOffload(problem);
  if (std::string *wrong = std::get_if<std::string>(&answer)) {
    ADD_FAILURE() << *wrong;
    return {};
  }
  if (!std::holds_alternative<OffloadPlan>(answer)) {
    ADD_FAILURE() << "infeasible; nearest " << std::get<Infeasible>(answer).nearestBudget;
    return {};
  }
  return std::get<OffloadPlan>(std::move(answer));
}

int64_t nearestBudget(OffloadProblem problem) {
  problem.budget = 0;
  auto answer = solveOffload(problem);
  if (Infeasible *infeasible = std::get_if<Infeasible>(&answer)) {
    return infeasible->nearestBudget;
  }
  ADD_FAILURE() << (std::holds_alternative<OffloadPlan>(answer) ? "fits in nothing"
                                                                : std::get<std::string>(answer));
  return 0;
}

} // namespace

TEST(Offload, WithoutABudgetEverythingIsResident) {
  OffloadPlan plan = planOf(transformer(4));
  EXPECT_EQ(plan.policy, "all resident");
  EXPECT_EQ(plan.streamedBytes, 0);
  EXPECT_EQ(plan.arenaBytes, plan.needBytes);
  for (const EntryPlan &entry : plan.entries) {
    EXPECT_EQ(entry.copiedToDevice, 0);
    EXPECT_DOUBLE_EQ(entry.predictedMicroseconds, entry.computeMicroseconds);
    EXPECT_DOUBLE_EQ(entry.gap, 0);
  }
}

TEST(Offload, TheNeedItselfIsEnough) {
  OffloadProblem problem = transformer(4);
  problem.budget = planOf(problem).needBytes;
  EXPECT_EQ(planOf(problem).streamedBytes, 0);
  problem.budget = *problem.budget - 1;
  EXPECT_LT(planOf(problem).arenaBytes, *problem.budget + 1);
}

TEST(Offload, HalfTheNeedStreamsAboutHalf) {
  OffloadProblem problem = transformer(12);
  int64_t need = planOf(problem).needBytes;
  problem.budget = need / 2;
  OffloadPlan plan = planOf(problem);
  EXPECT_LE(plan.arenaBytes, need / 2);
  EXPECT_GT(plan.arenaBytes, need * 45 / 100); // the budget is used
  EXPECT_GT(plan.slotsBytes, 0);
  for (const EntryPlan &entry : plan.entries) {
    EXPECT_GE(entry.predictedMicroseconds, entry.lowerBoundMicroseconds * (1 - 1e-9));
    // Both entries have more compute than copies here: copies must hide but for the hide rate.
    EXPECT_LT(entry.gap, 0.35) << entry.predictedMicroseconds;
  }
}

// The vocabulary projection is half of these weights; it streams in runs of tiles that cover it
// once, in order.
TEST(Offload, AWeightLargerThanASlotStreamsInTiles) {
  OffloadProblem problem = transformer(4);
  problem.budget = planOf(problem).needBytes / 4;
  OffloadPlan plan = planOf(problem);
  ASSERT_LT(plan.slotsBytes, problem.weights[0].bytes);
  int64_t at = 0;
  int runs = 0;
  for (const Launch &launch : plan.entries[1].launches) {
    if (launch.step + 1 == static_cast<int>(problem.entries[1].steps.size())) {
      EXPECT_EQ(launch.operands[0].begin, at);
      at = launch.operands[0].end;
      ++runs;
    }
  }
  EXPECT_EQ(at, problem.weights[0].bytes);
  EXPECT_GT(runs, 1);
  EXPECT_TRUE(plan.entries[1].launches[0].operands[0].hostGather);
}

// What a vendor's product computes depends on how many columns it is asked for, so that it is
// launched a tile at a time whether the weight streams or stays.
TEST(Offload, APieceIsALaunchInEveryPlan) {
  OffloadProblem problem = transformer(4);
  Step &logits = problem.entries[0].steps.back();
  logits.uses[0].access = Access::Pieces;
  const int64_t bytes = problem.weights[0].bytes;
  problem.weights[0].tileBytes = bytes / 2 + 64; // the second is shorter
  OffloadPlan resident = planOf(problem);
  problem.budget = resident.needBytes / 2;
  OffloadPlan streamed = planOf(problem);
  EXPECT_GT(streamed.streamedBytes, 0);
  for (const OffloadPlan *plan : {&resident, &streamed}) {
    std::vector<std::pair<int64_t, int64_t>> pieces;
    double microseconds = 0;
    for (const Launch &launch : plan->entries[0].launches) {
      if (launch.step + 1 == static_cast<int>(problem.entries[0].steps.size())) {
        pieces.emplace_back(launch.operands[0].begin, launch.operands[0].end);
        microseconds += launch.microseconds;
      }
    }
    const int64_t cut = bytes / 2 + 64;
    EXPECT_EQ(pieces, (std::vector<std::pair<int64_t, int64_t>>{{0, cut}, {cut, bytes}}));
    EXPECT_NEAR(microseconds, logits.microseconds, 1e-9);
  }
}

// A pass ends with the slots as it found them, so passes of different entries may alternate.
TEST(Offload, TheTailLoadsTheFirstUnitsOfTheNextPass) {
  OffloadProblem problem = transformer(12);
  problem.budget = planOf(problem).needBytes / 2;
  OffloadPlan plan = planOf(problem);
  for (const EntryPlan &entry : plan.entries) {
    std::vector<Slot> slots = entry.initialSlots;
    int wraps = 0;
    for (const Copy &copy : entry.copies) {
      std::erase_if(slots, [&](const Slot &slot) {
        return slot.offset < copy.slot + copy.bytes &&
               copy.slot < slot.offset + plan.units[slot.unit].bytes;
      });
      slots.push_back({copy.unit, copy.slot});
      wraps += copy.before >= static_cast<int>(entry.launches.size());
    }
    for (const Slot &slot : entry.initialSlots) {
      EXPECT_EQ(std::count(slots.begin(), slots.end(), slot), 1) << slot.unit;
    }
    EXPECT_GE(wraps, 1);
  }
}

TEST(Offload, TheNearestBudgetIsExactToOneGranule) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    OffloadProblem problem = seed == 1 ? transformer(6) : randomProblem(seed);
    problem.budget = 0;
    auto answer = solveOffload(problem);
    if (std::holds_alternative<OffloadPlan>(answer)) {
      continue; // nothing is needed at all
    }
    ASSERT_TRUE(std::holds_alternative<Infeasible>(answer))
        << seed << std::get<std::string>(answer);
    const Infeasible &infeasible = std::get<Infeasible>(answer);
    ASSERT_EQ(infeasible.nearestBudget % kBudgetGranule, 0);
    ASSERT_GT(infeasible.bytesOver, 0);
    ASSERT_FALSE(infeasible.stepName.empty());
    problem.budget = infeasible.nearestBudget;
    auto fits = solveOffload(problem);
    ASSERT_TRUE(std::holds_alternative<OffloadPlan>(fits)) << seed;
    problem.budget = infeasible.nearestBudget - kBudgetGranule;
    auto misses = solveOffload(problem);
    ASSERT_TRUE(std::holds_alternative<Infeasible>(misses)) << seed;
    EXPECT_EQ(std::get<Infeasible>(misses).nearestBudget, infeasible.nearestBudget);
  }
}

TEST(Offload, MoreBudgetNeverPredictsWorse) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    OffloadProblem problem = seed == 1 ? transformer(8) : randomProblem(seed);
    int64_t need = planOf(problem).needBytes;
    int64_t least = nearestBudget(problem);
    double before = std::numeric_limits<double>::infinity();
    for (int i = 0; i <= 8; ++i) {
      problem.budget = least + std::max<int64_t>(need - least, 0) / 8 * i;
      OffloadPlan plan = planOf(problem);
      EXPECT_LE(plan.objective, before * 1.01) << seed << " at " << *problem.budget;
      EXPECT_LE(plan.arenaBytes, *problem.budget);
      for (const EntryPlan &entry : plan.entries) {
        EXPECT_GE(entry.predictedMicroseconds, entry.lowerBoundMicroseconds * (1 - 1e-9)) << seed;
      }
      before = std::min(before, plan.objective);
    }
  }
}

TEST(Offload, TheSameProblemGivesTheSamePlan) {
  for (uint64_t seed : {3, 5, 8}) {
    OffloadProblem problem = randomProblem(seed);
    problem.budget = (planOf(problem).needBytes + nearestBudget(problem)) / 2;
    problem.budget = std::max(*problem.budget, nearestBudget(problem));
    EXPECT_TRUE(planOf(problem) == planOf(problem)) << seed;
  }
}

// A long skip connection is away while the wide part of the network runs.
TEST(Offload, ActivationsLeaveWhereWeightsAloneDoNotReach) {
  OffloadProblem problem = transformer(1);
  problem.weights = {{"w", 64, 64}};
  Entry entry;
  entry.name = "main";
  for (int s = 0; s < 10; ++s) {
    entry.steps.push_back({"step" + std::to_string(s), 100, 1, 0, {}});
  }
  entry.buffers.push_back({"skip", 1 << 20, 0, 10, {0, 9}});
  entry.buffers.push_back({"wide", 4 << 20, 3, 7, {3, 4, 5, 6}});
  entry.buffers.push_back({"out", 1024, 9, 10, {9}});
  problem.entries = {entry};
  problem.persistentBytes = 0;
  EXPECT_EQ(nearestBudget(problem), 4 << 20);
  problem.budget = 4 << 20;
  OffloadPlan plan = planOf(problem);
  ASSERT_EQ(plan.entries[0].copies.size(), 2u);
  EXPECT_EQ(plan.entries[0].copiedToHost, 1 << 20);
  EXPECT_EQ(plan.entries[0].copiedToDevice, 1 << 20);
  problem.budget = 5 << 20;
  EXPECT_EQ(planOf(problem).entries[0].copies.size(), 0u);
}

// The same in a long network: the copies have steps to run beside, and cost next to nothing.
TEST(Offload, SwapsHideWhereTheyCan) {
  OffloadProblem problem = transformer(1);
  problem.weights = {{"w", 64, 64}};
  problem.persistentBytes = 0;
  Entry entry;
  entry.name = "main";
  for (int s = 0; s < 60; ++s) {
    entry.steps.push_back({"step" + std::to_string(s), 100, 1, 0, {}});
  }
  entry.buffers.push_back({"skip", 1 << 20, 0, 60, {0, 59}});
  entry.buffers.push_back({"wide", 4 << 20, 25, 35, {25, 30, 34}});
  problem.entries = {entry};
  problem.budget = 4 << 20;
  OffloadPlan plan = planOf(problem);
  ASSERT_EQ(plan.entries[0].copies.size(), 2u);
  EXPECT_NEAR(plan.entries[0].predictedMicroseconds, 6000, 1e-6);
  EXPECT_NEAR(plan.entries[0].stallMicroseconds, 0, 1e-6);
}

// A budget below the output's 4 MiB: it leaves in tiles, through two places, each copy beside the
// next launch, and the weight stays.
TEST(Offload, AnOutputLeavesInTilesWhereItDoesNotFit) {
  OffloadProblem problem = projection();
  problem.budget = 13 << 18;            // 3.25 MiB
  problem.toDevice.rates = {{1, 0.05}}; // the weight had better stay
  OffloadPlan plan = planOf(problem);
  const EntryPlan &entry = plan.entries[0];
  EXPECT_EQ(entry.copiedToHost, 4 << 20);
  EXPECT_EQ(entry.copiedToDevice, 0);
  ASSERT_GT(entry.launches.size(), 2u);
  ASSERT_EQ(entry.copies.size(), entry.launches.size());
  int64_t at = 0;
  for (size_t l = 0; l < entry.launches.size(); ++l) {
    EXPECT_EQ(entry.launches[l].operands[0].begin, at);
    at = entry.launches[l].operands[0].end;
    EXPECT_EQ(entry.copies[l].kind, CopyKind::TileOut);
    EXPECT_EQ(entry.copies[l].after, static_cast<int>(l));
    // The place is taken again by the launch after the next; the last two go with the pass.
    EXPECT_EQ(entry.copies[l].before, static_cast<int>(std::min(l + 2, entry.launches.size())));
  }
  EXPECT_EQ(at, 1 << 20);
  EXPECT_LT(entry.gap, 0.2);
  problem.budget = 6 << 20;
  EXPECT_EQ(planOf(problem).entries[0].copies.size(), 0u);
}

// In the least plan one tile of 64 KiB is all that the arena has of the output, beside one tile of
// the weight and the input: 4096 + 16384 + 65536, in regions of 4096.
TEST(Offload, TheLeastPlanHoldsOneTileOfAnOutput) {
  OffloadProblem problem = projection();
  EXPECT_EQ(nearestBudget(problem), roundUpTo(4096 + 16384 + 65536, kBudgetGranule));
  problem.budget = nearestBudget(problem);
  OffloadPlan plan = planOf(problem);
  EXPECT_EQ(plan.entries[0].activationBytes, 4096 + 65536);
  // The output would not fit with all the rest away.
  problem.entries[0].buffers[1].tileBytes = 0;
  EXPECT_GT(nearestBudget(problem), 4 << 20);
}

// Where room for the output would push weights out, it leaves instead: 4 MiB once are less than
// what would stream.
TEST(Offload, AnOutputMakesRoomForWeights) {
  OffloadProblem problem = projection();
  problem.weights.push_back({"block", 4 << 20, 1 << 14});
  Step step{"block", 1000, 0.9, 0, {{1, Access::Tiles, 0}}};
  problem.entries[0].steps.insert(problem.entries[0].steps.begin(), step);
  for (Activation &buffer : problem.entries[0].buffers) {
    buffer.begin += buffer.name == "out";
    buffer.end = 2;
  }
  problem.budget = 7 << 20; // 5 MiB of weights and 2 of the output's 4
  OffloadPlan plan = planOf(problem);
  EXPECT_EQ(plan.streamedBytes, 0);
  EXPECT_EQ(plan.entries[0].copiedToHost, 4 << 20);
}

// What is resident in every plan is alive wherever memory is short.
TEST(Offload, TheAnswerNamesWhatIsAlwaysResident) {
  OffloadProblem problem = transformer(2);
  problem.weights.push_back({"rope", 48 * 1024, 48 * 1024}); // small and used by two steps
  int table = static_cast<int>(problem.weights.size()) - 1;
  for (Entry &entry : problem.entries) {
    entry.steps[1].uses.push_back({table, Access::Whole, 0});
    entry.steps[3].uses.push_back({table, Access::Whole, 0});
  }
  problem.budget = 0;
  auto answer = solveOffload(problem);
  const Infeasible &infeasible = std::get<Infeasible>(answer);
  EXPECT_TRUE(std::any_of(infeasible.alive.begin(), infeasible.alive.end(),
                          [](const auto &live) { return live.name == "rope"; }));
}

TEST(Offload, ATableThatIsOnlyGatheredStaysOnTheHost) {
  OffloadProblem problem = transformer(2);
  problem.weights.push_back({"positions", 1 << 20, 1 << 20});
  int table = static_cast<int>(problem.weights.size()) - 1;
  for (Entry &entry : problem.entries) {
    entry.steps[0].uses.push_back({table, Access::Gather, 256});
  }
  int64_t need = planOf(problem).needBytes;
  problem.budget = need - (1 << 19);
  OffloadPlan plan = planOf(problem);
  EXPECT_TRUE(plan.hostGathered[table]);
  EXPECT_EQ(plan.streamedBytes, 0);
}

// Half of what streams may stay in memory: the rest is on the disk, spread evenly, and a slow disk
// is what a pass waits for.
TEST(Offload, WhatHostMemoryDoesNotHoldIsReadFromTheDisk) {
  OffloadProblem problem = transformer(12);
  problem.budget = planOf(problem).needBytes / 2;
  OffloadPlan free = planOf(problem);
  // The vocabulary is gathered from, so it stays; the bytes of all others by tier.
  auto inMemory = [&](const OffloadPlan &plan, bool onDisk) {
    int64_t bytes = 0;
    for (const Unit &unit : plan.units) {
      bool stays = std::any_of(unit.pieces.begin(), unit.pieces.end(), [&](const Piece &piece) {
        return std::any_of(problem.entries[0].steps.begin(), problem.entries[0].steps.end(),
                           [&](const Step &s) {
                             return std::any_of(s.uses.begin(), s.uses.end(), [&](const Use &use) {
                               return use.weight == piece.weight && use.access == Access::Gather;
                             });
                           });
      });
      bytes += unit.residentOffset < 0 && unit.onDisk == onDisk && !stays ? unit.bytes : 0;
    }
    return bytes;
  };
  EXPECT_EQ(inMemory(free, true), 0);
  problem.hostMemory = inMemory(free, false) / 2;
  problem.diskGigabytesPerSecond = 1e4; // as good as memory
  OffloadPlan fast = planOf(problem);
  EXPECT_LE(inMemory(fast, false), *problem.hostMemory);
  EXPECT_GT(inMemory(fast, true), 0);
  for (size_t e = 0; e < free.entries.size(); ++e) {
    EXPECT_NEAR(fast.entries[e].predictedMicroseconds, free.entries[e].predictedMicroseconds,
                0.02 * free.entries[e].predictedMicroseconds);
  }
  problem.diskGigabytesPerSecond = 0.1;
  OffloadPlan slow = planOf(problem);
  for (const EntryPlan &entry : slow.entries) {
    int64_t fromDisk = 0;
    for (const Copy &copy : entry.copies) {
      fromDisk += copy.fromDisk ? copy.bytes : 0;
    }
    EXPECT_GE(entry.predictedMicroseconds, static_cast<double>(fromDisk) / 100 * (1 - 1e-9));
    EXPECT_GE(entry.predictedMicroseconds, entry.lowerBoundMicroseconds * (1 - 1e-9));
  }
  EXPECT_GT(slow.objective, fast.objective);
  // With none at all, everything that streams is on the disk; with enough, nothing is.
  problem.hostMemory = 0;
  EXPECT_EQ(inMemory(planOf(problem), false), 0);
  problem.hostMemory = int64_t{1} << 40;
  OffloadPlan enough = planOf(problem);
  EXPECT_EQ(inMemory(enough, true), 0);
  EXPECT_EQ(enough.objective, free.objective);
}

TEST(Offload, CheckNamesWhatIsWrong) {
  auto wrong = [](auto change) {
    OffloadProblem problem = transformer(1);
    change(problem);
    return check(problem).value_or("");
  };
  EXPECT_EQ(wrong([](OffloadProblem &) {}), "");
  EXPECT_NE(wrong([](OffloadProblem &p) { p.weights[1].bytes = -1; }), "");
  EXPECT_NE(wrong([](OffloadProblem &p) { p.weights[0].tileBytes = 100; }), "");
  EXPECT_NE(wrong([](OffloadProblem &p) { p.entries[0].steps[0].uses[0].weight = 99; }), "");
  EXPECT_NE(wrong([](OffloadProblem &p) { p.entries[0].steps[0].hide = 2; }), "");
  EXPECT_NE(wrong([](OffloadProblem &p) { p.entries[0].buffers[0].end = 1000; }), "");
  EXPECT_NE(wrong([](OffloadProblem &p) { p.entries[0].buffers[0].bytes = INT64_MAX; }), "");
  EXPECT_NE(wrong([](OffloadProblem &p) { p.toDevice.rates.clear(); }), "");
  EXPECT_NE(wrong([](OffloadProblem &p) { p.regionAlignment = 48; }), "");
  EXPECT_NE(wrong([](OffloadProblem &p) { p.entries.clear(); }), "");
  auto wrongOutput = [](auto change) {
    OffloadProblem problem = projection();
    change(problem.entries[0], problem.entries[0].buffers[1]);
    return check(problem).value_or("");
  };
  EXPECT_EQ(wrongOutput([](Entry &, Activation &) {}), "");
  EXPECT_NE(wrongOutput([](Entry &, Activation &b) { b.tileBytes = 1 << 17; }),
            ""); // 32 tiles, not 64
  EXPECT_NE(wrongOutput([](Entry &, Activation &b) { b.tileBytes = -1; }), "");
  EXPECT_NE(wrongOutput([](Entry &, Activation &b) { b.touches = {0}; }), "");
  EXPECT_NE(wrongOutput([](Entry &e, Activation &) { e.steps[0].uses[0].access = Access::Whole; }),
            "");
  EXPECT_NE(wrongOutput([](Entry &e, Activation &) { e.steps.push_back({"later", 1, 1, 0, {}}); }),
            "");
  EXPECT_NE(wrongOutput([](Entry &e, Activation &b) { e.buffers.push_back(b); }), "");
}

// Two steps of 100 us each, a copy of 150 us under a hide rate of 0.5: worked out by hand.
TEST(Simulate, ACopySlowsTheLaunchesBesideIt) {
  OffloadProblem problem;
  problem.toDevice = {0, {{1, 1}}}; // 1 GB/s: 1000 bytes a microsecond
  problem.toHost = problem.toDevice;
  Entry entry;
  entry.steps = {{"a", 100, 0.5, 0, {}}, {"b", 100, 0.5, 0, {}}};
  EntryPlan plan;
  plan.launches = {{0, {}, 100}, {1, {}, 100}};
  plan.copies = {{CopyKind::LoadUnit, 0, 0, -1, -1, 1, 150'000}};
  Pass pass = simulate(problem, entry, plan);
  // For 150 us launch a advances 75; its last 25 us run alone; then b, 100 us, alone. In the next
  // pass the same.
  EXPECT_NEAR(pass.time, 275, 1e-9);
  EXPECT_NEAR(pass.stall, 0, 1e-9);
  plan.copies[0].bytes = 300'000; // a is done after 200 us, b waits until 300
  pass = simulate(problem, entry, plan);
  EXPECT_NEAR(pass.time, 400, 1e-9);
  EXPECT_NEAR(pass.stall, 100, 1e-9);
}

// Copies out hold up whoever takes their place: two launches of 100 us through one place, each
// emptied in 60 us, the last before the next pass.
TEST(Simulate, APlaceIsTakenAgainOnceItsTileHasLeft) {
  OffloadProblem problem;
  problem.toDevice = problem.toHost = {0, {{1, 1}}};
  Entry entry;
  entry.steps = {{"a", 200, 1, 0, {}}};
  EntryPlan plan;
  plan.launches = {{0, {}, 100}, {0, {}, 100}};
  plan.copies = {{CopyKind::TileOut, -1, -1, 0, 0, 1, 60'000},
                 {CopyKind::TileOut, -1, -1, 0, 1, 2, 60'000}};
  Pass pass = simulate(problem, entry, plan);
  EXPECT_NEAR(pass.time, 320, 1e-9);
  EXPECT_NEAR(pass.stall, 120, 1e-9);
}

TEST(Simulate, CopyTimeFollowsTheCurve) {
  Link link{10, {{1000, 1}, {100'000, 3}}};
  EXPECT_NEAR(copyMicroseconds(link, 500), 10 + 0.5, 1e-9); // below the first point: its rate
  EXPECT_NEAR(copyMicroseconds(link, 10'000), 10 + 10. / 2, 1e-9);   // half way in log(bytes)
  EXPECT_NEAR(copyMicroseconds(link, 300'000), 10 + 300. / 3, 1e-9); // beyond the last: its rate
  EXPECT_EQ(copyMicroseconds(link, 0), 0);
}
