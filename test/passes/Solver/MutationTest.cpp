// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The validator sees faults: every mutation below makes a plan wrong, and each must be refused.

#include "test/passes/Solver/Instances.h"

#include <gtest/gtest.h>

#include <functional>

using namespace ciuic::solver;
using namespace ciuic::solver::test;

namespace {

class Mutation : public ::testing::Test {
protected:
  void SetUp() override {
    problem = transformer(8);
    plan = std::get<OffloadPlan>(solveOffload(problem));
    problem.budget = plan.needBytes / 3;
    plan = std::get<OffloadPlan>(solveOffload(problem));
    ASSERT_EQ(validate(problem, plan), std::nullopt);
    ASSERT_GE(plan.entries[0].initialSlots.size(), 2u);
    ASSERT_GT(plan.entries[0].copies.size(), 2u);
  }

  std::string after(const std::function<void(OffloadPlan &)> &change) {
    OffloadPlan changed = plan;
    change(changed);
    return validate(problem, changed).value_or("");
  }

  OffloadProblem problem;
  OffloadPlan plan;
};

TEST_F(Mutation, EachCopyIsNeeded) {
  for (size_t i = 0; i < plan.entries[0].copies.size(); ++i) {
    EXPECT_NE(
        after([&](OffloadPlan &p) { p.entries[0].copies.erase(p.entries[0].copies.begin() + i); }),
        "")
        << i;
  }
}

TEST_F(Mutation, NoCopyMayStartEarlier) {
  for (size_t i = 0; i < plan.entries[0].copies.size(); ++i) {
    EXPECT_NE(after([&](OffloadPlan &p) { p.entries[0].copies[i].after -= 1; }), "") << i;
  }
}

TEST_F(Mutation, NoCopyMayArriveLater) {
  for (size_t i = 0; i < plan.entries[0].copies.size(); ++i) {
    EXPECT_NE(after([&](OffloadPlan &p) { p.entries[0].copies[i].before += 1; }), "") << i;
  }
}

TEST_F(Mutation, CopiesGoWhereTheyAreRead) {
  for (size_t i = 0; i < plan.entries[0].copies.size(); ++i) {
    EXPECT_NE(after([&](OffloadPlan &p) { p.entries[0].copies[i].slot += 4096; }), "") << i;
    EXPECT_NE(after([&](OffloadPlan &p) { p.entries[0].copies[i].slot -= 4096; }), "") << i;
    EXPECT_NE(after([&](OffloadPlan &p) { p.entries[0].copies[i].bytes += 1; }), "") << i;
  }
  EXPECT_NE(after([](OffloadPlan &p) {
              std::swap(p.entries[0].initialSlots[0].unit, p.entries[0].initialSlots[1].unit);
            }),
            "");
  for (size_t i = 0; i < plan.entries[0].initialSlots.size(); ++i) {
    EXPECT_NE(after([&](OffloadPlan &p) { p.entries[0].initialSlots[i].offset += 4096; }), "") << i;
  }
}

TEST_F(Mutation, TiersAreKept) {
  EXPECT_NE(after([](OffloadPlan &p) { p.entries[0].copies[0].fromDisk = true; }), "");
  problem.hostMemory = plan.streamedBytes / 2;
  problem.diskGigabytesPerSecond = 2;
  plan = std::get<OffloadPlan>(solveOffload(problem));
  ASSERT_EQ(validate(problem, plan), std::nullopt);
  for (size_t u = 0; u < plan.units.size(); ++u) {
    EXPECT_NE(after([&](OffloadPlan &p) { p.units[u].onDisk = !p.units[u].onDisk; }), "") << u;
  }
  for (size_t i = 0; i < plan.entries[0].copies.size(); ++i) {
    EXPECT_NE(after([&](OffloadPlan &p) {
                p.entries[0].copies[i].fromDisk = !p.entries[0].copies[i].fromDisk;
              }),
              "")
        << i;
  }
  *problem.hostMemory /= 2;
  EXPECT_NE(validate(problem, plan).value_or(""), "");
}

TEST_F(Mutation, OperandsPointAtTheirBytes) {
  for (size_t l = 0; l < plan.entries[1].launches.size(); ++l) {
    const Launch &launch = plan.entries[1].launches[l];
    for (size_t i = 0; i < launch.operands.size(); ++i) {
      if (!launch.operands[i].hostGather) {
        EXPECT_NE(after([&](OffloadPlan &p) { p.entries[1].launches[l].operands[i].offset += 64; }),
                  "")
            << l;
        EXPECT_NE(after([&](OffloadPlan &p) { p.entries[1].launches[l].operands[i].end -= 64; }),
                  "")
            << l;
      }
    }
    EXPECT_NE(after([&](OffloadPlan &p) {
                p.entries[1].launches.erase(p.entries[1].launches.begin() + l);
              }),
              "")
        << l;
  }
}

TEST(TileMutation, EachFaultIsSeen) {
  OffloadProblem problem = projection();
  problem.budget = 3 << 20;
  OffloadPlan plan = std::get<OffloadPlan>(solveOffload(problem));
  ASSERT_GT(plan.entries[0].launches.size(), 2u);
  auto after = [&](auto change) {
    OffloadPlan changed = plan;
    change(changed.entries[0]);
    return validate(problem, changed).value_or("");
  };
  EXPECT_EQ(after([](EntryPlan &) {}), "");
  for (size_t i = 0; i < plan.entries[0].copies.size(); ++i) {
    EXPECT_NE(after([&](EntryPlan &e) { e.copies.erase(e.copies.begin() + i); }), "") << i;
    EXPECT_NE(after([&](EntryPlan &e) { e.copies[i].after -= 1; }), "") << i;
    EXPECT_NE(after([&](EntryPlan &e) { e.copies[i].after += 1; }), "") << i;
    EXPECT_NE(after([&](EntryPlan &e) { e.copies[i].before += 1; }), "") << i;
    EXPECT_NE(after([&](EntryPlan &e) { e.copies[i].bytes -= 1; }), "") << i;
    EXPECT_NE(after([&](EntryPlan &e) { e.copies[i].segment = 0; }), "") << i; // hidden's place
    EXPECT_NE(after([&](EntryPlan &e) { e.copies.push_back(e.copies[i]); }), "") << i;
    EXPECT_NE(after([&](EntryPlan &e) { e.launches[i].tile = -1; }), "") << i;
  }
  EXPECT_NE(after([](EntryPlan &e) { e.launches[0].tile = 99; }), "");
  EXPECT_NE(after([](EntryPlan &e) { e.segments[1].bytes = 64; }), "");
  EXPECT_NE(after([](EntryPlan &e) { e.segments[1].tile = false; }), "");
  EXPECT_NE(after([](EntryPlan &e) { e.segments[2].offset = e.segments[1].offset; }), "");
  EXPECT_NE(after([](EntryPlan &e) { e.copiedToHost -= 1; }), "");
}

TEST_F(Mutation, RegionsDoNotOverlap) {
  EXPECT_NE(after([](OffloadPlan &p) { p.slotsOffset -= 4096; }), "");
  EXPECT_NE(after([](OffloadPlan &p) { p.slotsBytes += 4096; }), "");
  EXPECT_NE(after([](OffloadPlan &p) { p.arenaBytes -= 1; }), "");
  EXPECT_NE(after([](OffloadPlan &p) { p.persistentOffset = p.residentOffset; }), "");
  EXPECT_NE(after([&](OffloadPlan &p) { p.arenaBytes = *problem.budget + 1; }), "");
  EXPECT_NE(after([](OffloadPlan &p) {
              p.entries[0].segments[1].offset = p.entries[0].segments[0].offset;
            }),
            "");
  EXPECT_NE(after([](OffloadPlan &p) { p.entries[0].segments.pop_back(); }), "");
}

// Random changes of one copy or operand, over random problems: a change is refused, or the plan is
// the same.
TEST(RandomMutation, IsRefused) {
  int tried = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    OffloadProblem problem = randomProblem(seed);
    auto free = solveOffload(problem);
    ASSERT_TRUE(std::holds_alternative<OffloadPlan>(free)) << seed;
    problem.budget = std::get<OffloadPlan>(free).needBytes * 6 / 10;
    auto answer = solveOffload(problem);
    ASSERT_FALSE(std::holds_alternative<std::string>(answer))
        << seed << std::get<std::string>(answer);
    if (!std::holds_alternative<OffloadPlan>(answer)) {
      continue;
    }
    const OffloadPlan &plan = std::get<OffloadPlan>(answer);
    for (size_t e = 0; e < plan.entries.size(); ++e) {
      for (size_t c = 0; c < plan.entries[e].copies.size(); ++c) {
        OffloadPlan lost = plan;
        lost.entries[e].copies.erase(lost.entries[e].copies.begin() + c);
        EXPECT_NE(validate(problem, lost), std::nullopt) << seed << " copy " << c;
        ++tried;
      }
    }
  }
  EXPECT_GT(tried, 50);
}

} // namespace
