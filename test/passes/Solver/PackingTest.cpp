// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Packing: hand-made cases whose optimum is known, instances cut from a full rectangle (whose
// optimum is known by construction), random ones, and mutated solutions that the validator must
// refuse.

#include "passes/Solver/Packing.h"

#include "passes/Solver/Random.h"

#include <gtest/gtest.h>

using namespace ciuic::solver;

namespace {

Buffer buffer(const char *name, int64_t bytes, int64_t begin, int64_t end, int64_t alignment = 1) {
  return {name, bytes, alignment, begin, end};
}

PackingProblem randomProblem(uint64_t seed, int count) {
  Random random(seed);
  PackingProblem problem;
  for (int i = 0; i < count; ++i) {
    int64_t begin = static_cast<int64_t>(random.below(100));
    int64_t alignment = int64_t{1} << random.below(9);
    problem.buffers.push_back({"b" + std::to_string(i), static_cast<int64_t>(random.below(5000)),
                               alignment, begin,
                               begin + 1 + static_cast<int64_t>(random.below(30))});
  }
  return problem;
}

/// Cuts the rectangle time 0..64 x bytes 0..height into buffers by guillotine cuts: peak-live is
/// height throughout.
void cut(Random &random, int64_t begin, int64_t end, int64_t low, int64_t high, int depth,
         PackingProblem &problem) {
  bool wide = end - begin > 1;
  bool tall = high - low > 64;
  if (depth == 0 || (!wide && !tall)) {
    problem.buffers.push_back(buffer("cut", high - low, begin, end, 64));
  } else if (wide && (!tall || random.below(2) == 0)) {
    int64_t at = begin + 1 + static_cast<int64_t>(random.below(end - begin - 1));
    cut(random, begin, at, low, high, depth - 1, problem);
    cut(random, at, end, low, high, depth - 1, problem);
  } else {
    int64_t at = low + 64 * (1 + static_cast<int64_t>(random.below((high - low) / 64 - 1)));
    cut(random, begin, end, low, at, depth - 1, problem);
    cut(random, begin, end, at, high, depth - 1, problem);
  }
}

} // namespace

TEST(Packing, BuffersThatNeverMeetShareTheirPlace) {
  PackingProblem problem{{buffer("a", 100, 0, 2), buffer("b", 80, 2, 4)}, {}};
  PackingSolution solution = solve(problem);
  EXPECT_EQ(solution.height, 100);
  EXPECT_EQ(solution.lowerBound, 100);
  EXPECT_EQ(validate(problem, solution), std::nullopt);
}

TEST(Packing, EmptyAndZeroSized) {
  EXPECT_EQ(solve({}).height, 0);
  PackingProblem problem{{buffer("nothing", 0, 0, 4), buffer("a", 64, 1, 2)}, {}};
  PackingSolution solution = solve(problem);
  EXPECT_EQ(solution.height, 64);
  EXPECT_EQ(validate(problem, solution), std::nullopt);
}

TEST(Packing, OffsetsAreAligned) {
  PackingProblem problem{
      {buffer("a", 10, 0, 2, 64), buffer("b", 10, 0, 2, 64), buffer("c", 10, 1, 2, 256)}, {}};
  PackingSolution solution = solve(problem);
  EXPECT_EQ(validate(problem, solution), std::nullopt);
  EXPECT_EQ(solution.height, 192); // c at 0, a and b behind it
}

// First fit by size puts the two large buffers at 0 and then has to climb over both; the optimum is
// peak-live.
TEST(Packing, SearchReachesTheBoundWhereFirstFitDoesNot) {
  int reached = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Random random(seed);
    PackingProblem problem;
    cut(random, 0, 64, 0, 64 * 64, 5, problem);
    PackingSolution solution = solve(problem);
    ASSERT_EQ(validate(problem, solution), std::nullopt) << seed;
    ASSERT_EQ(solution.lowerBound, 64 * 64) << seed;
    EXPECT_LE(solution.height, 64 * 64 * 23 / 20) << seed;
    reached += solution.height == solution.lowerBound;
  }
  EXPECT_GE(reached, 34);
}

TEST(Packing, RandomProblemsAreValidAndStable) {
  for (uint64_t seed = 1; seed <= 16; ++seed) {
    PackingProblem problem = randomProblem(seed, 1 + static_cast<int>(seed) * 7);
    ASSERT_EQ(check(problem), std::nullopt);
    PackingSolution solution = solve(problem);
    ASSERT_EQ(validate(problem, solution), std::nullopt) << seed;
    ASSERT_GE(solution.height, 0);
    EXPECT_EQ(solve(problem).offsets, solution.offsets) << seed;
  }
}

TEST(Packing, CapacityIsAnswered) {
  PackingProblem problem{{buffer("a", 100, 0, 2), buffer("b", 80, 1, 4)}, 179};
  EXPECT_FALSE(solve(problem).fits);
  problem.capacity = 180;
  EXPECT_TRUE(solve(problem).fits);
}

TEST(Packing, ValidatorRefusesEveryMovedBuffer) {
  // Full at every instant: whatever moves, overlaps or passes the height.
  Random random(7);
  PackingProblem problem;
  cut(random, 0, 64, 0, 64 * 64, 4, problem);
  PackingSolution solution = solve(problem);
  ASSERT_EQ(solution.height, solution.lowerBound);
  for (size_t i = 0; i < problem.buffers.size(); ++i) {
    PackingSolution moved = solution;
    moved.offsets[i] += moved.offsets[i] >= 64 ? -64 : 64;
    EXPECT_NE(validate(problem, moved), std::nullopt) << i;
  }
  PackingSolution shorter = solution;
  shorter.offsets.pop_back();
  EXPECT_NE(validate(problem, shorter), std::nullopt);
}

TEST(Packing, CheckNamesTheBuffer) {
  auto wrong = [](Buffer b) { return check(PackingProblem{{b}, {}}).value_or(""); };
  EXPECT_NE(wrong(buffer("odd", 1, 0, 1, 3)).find("\"odd\""), std::string::npos);
  EXPECT_NE(wrong(buffer("minus", -1, 0, 1)).find("\"minus\""), std::string::npos);
  EXPECT_NE(wrong(buffer("late", 1, 1, 1)).find("\"late\""), std::string::npos);
  EXPECT_NE(wrong(buffer("huge", INT64_MAX, 0, 1, 64)).find("\"huge\""), std::string::npos);
}
