// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The choice of formats against brute force on small instances, its limits, and its bound on large
// ones.
#include "passes/Solver/FormatChoice.h"
#include "passes/Solver/Random.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace ciuic::solver;

namespace {

struct Best {
  bool found = false;
  double value = 0;
};

// Every combination of options.
Best bruteForce(const FormatProblem &problem) {
  Best best;
  std::vector<size_t> option(problem.items.size(), 0);
  while (true) {
    int64_t bytes = 0, block = 0;
    double loss = 0;
    for (size_t i = 0; i < option.size(); ++i) {
      const FormatOption &o = problem.items[i].options[option[i]];
      bytes += o.bytes;
      block += problem.items[i].block ? o.bytes : 0;
      loss += o.loss;
    }
    const bool least = problem.goal == FormatProblem::Goal::LeastLoss;
    const bool fits = least ? bytes <= problem.totalBytes && block <= problem.blockBytesMax &&
                                  block >= problem.blockBytesMin
                            : loss <= problem.totalLoss;
    const double value = least ? loss : static_cast<double>(bytes);
    if (fits && (!best.found || value < best.value)) {
      best = {true, value};
    }
    size_t i = 0;
    while (i < option.size() && ++option[i] == problem.items[i].options.size()) {
      option[i++] = 0;
    }
    if (i == option.size()) {
      return best;
    }
  }
}

// Weights as they come: more bytes, less loss, sizes and sensitivities over two orders of
// magnitude.
FormatProblem randomProblem(Random &random, int count) {
  FormatProblem problem;
  for (int i = 0; i < count; ++i) {
    FormatItem item;
    item.block = i % 4 != 0;
    const auto size = static_cast<int64_t>(1000 + random.below(100000));
    const double sensitivity = 0.01 + static_cast<double>(random.below(1000)) / 300;
    item.options = {{size, sensitivity * 1e-5},
                    {size * 17 / 32 + static_cast<int64_t>(random.below(50)), sensitivity * 8e-3},
                    {size * 33 / 64, sensitivity * 1.2e-2}};
    problem.items.push_back(item);
  }
  return problem;
}

int64_t bytesOf(const FormatProblem &problem, bool largest, bool blocksOnly) {
  int64_t sum = 0;
  for (const FormatItem &item : problem.items) {
    if (blocksOnly && !item.block) {
      continue;
    }
    int64_t value = item.options[0].bytes;
    for (const FormatOption &option : item.options) {
      value = largest ? std::max(value, option.bytes) : std::min(value, option.bytes);
    }
    sum += value;
  }
  return sum;
}

TEST(FormatChoice, NearBruteForceOnSmallInstances) {
  Random random(7);
  int exact = 0, cases = 0;
  for (int round = 0; round < 300; ++round) {
    FormatProblem problem = randomProblem(random, 1 + static_cast<int>(random.below(8)));
    const int64_t low = bytesOf(problem, false, false), high = bytesOf(problem, true, false);
    problem.totalBytes =
        low + static_cast<int64_t>(random.below(static_cast<uint64_t>(high - low + 1)));
    if (round % 3 == 0) {
      problem.blockBytesMax = (bytesOf(problem, false, true) + bytesOf(problem, true, true)) / 2;
    }
    ASSERT_EQ(check(problem), std::nullopt);
    const FormatChoice choice = chooseFormats(problem);
    ASSERT_EQ(validate(problem, choice), std::nullopt);
    const Best best = bruteForce(problem);
    ASSERT_TRUE(best.found && choice.fits) << round;
    EXPECT_LE(choice.bound, best.value + 1e-12) << round;
    EXPECT_GE(choice.loss, best.value - 1e-12) << round;
    double step = 0; // the most that one step of one item changes
    for (const FormatItem &item : problem.items) {
      step = std::max(step, item.options[2].loss - item.options[0].loss);
    }
    EXPECT_LE(choice.loss, choice.bound + 2 * step + 1e-12) << round;
    exact += choice.loss <= best.value * (1 + 1e-9) + 1e-15;
    ++cases;
  }
  EXPECT_GE(exact, cases * 8 / 10); // most small instances are solved to the optimum
}

TEST(FormatChoice, LeastBytesUnderALossNearBruteForce) {
  Random random(11);
  for (int round = 0; round < 200; ++round) {
    FormatProblem problem = randomProblem(random, 1 + static_cast<int>(random.below(7)));
    problem.goal = FormatProblem::Goal::LeastBytes;
    problem.totalLoss = 1e-3 + static_cast<double>(random.below(1000)) * 1e-4;
    const FormatChoice choice = chooseFormats(problem);
    ASSERT_EQ(validate(problem, choice), std::nullopt);
    const Best best = bruteForce(problem);
    ASSERT_EQ(choice.fits, best.found);
    if (best.found) {
      EXPECT_LE(choice.loss, problem.totalLoss);
      EXPECT_LE(choice.bound, best.value * (1 + 1e-12));
      EXPECT_GE(static_cast<double>(choice.bytes), best.value);
    }
  }
}

// Worked out: two items, 100 → 50 bytes at losses 1 and 3 more. With 150 bytes the cheaper one
// shrinks.
TEST(FormatChoice, ShrinksWhatCostsLeast) {
  FormatProblem problem;
  problem.items = {{{{100, 0}, {50, 1}}, true}, {{{100, 0}, {50, 3}}, true}};
  problem.totalBytes = 150;
  const FormatChoice choice = chooseFormats(problem);
  EXPECT_EQ(choice.option, (std::vector<int>{1, 0}));
  EXPECT_EQ(choice.bytes, 150);
  EXPECT_DOUBLE_EQ(choice.loss, 1);
  EXPECT_DOUBLE_EQ(choice.bound, 1);
}

// The floor holds although the total does not allow it, and that is said.
TEST(FormatChoice, FloorOnBlocksGoesBeforeTheTotal) {
  FormatProblem problem;
  problem.items = {{{{100, 0}, {60, 1}, {40, 2}}, true},
                   {{{100, 0}, {60, 1.5}, {40, 4}}, true},
                   {{{30, 0}}, false}};
  problem.totalBytes = 90;
  problem.blockBytesMin = 100;
  const FormatChoice choice = chooseFormats(problem);
  ASSERT_EQ(validate(problem, choice), std::nullopt);
  EXPECT_GE(choice.blockBytes, 100);
  EXPECT_FALSE(choice.fits);
}

TEST(FormatChoice, SaysWhenNothingFits) {
  FormatProblem problem;
  problem.items = {{{{100, 0}, {50, 1}}, true}};
  problem.totalBytes = 49;
  const FormatChoice choice = chooseFormats(problem);
  EXPECT_FALSE(choice.fits);
  EXPECT_EQ(choice.bytes, 50);
}

TEST(FormatChoice, ReachesTheBoundOnLargeInstancesAndRepeats) {
  Random random(3);
  FormatProblem problem = randomProblem(random, 400);
  problem.blockBytesMax = bytesOf(problem, false, true) +
                          (bytesOf(problem, true, true) - bytesOf(problem, false, true)) / 3;
  const FormatChoice choice = chooseFormats(problem);
  ASSERT_EQ(validate(problem, choice), std::nullopt);
  EXPECT_TRUE(choice.fits);
  EXPECT_LE(choice.loss, choice.bound * 1.001);
  EXPECT_EQ(chooseFormats(problem).option, choice.option);
}

TEST(FormatChoice, RefusesWhatItCannotAddUp) {
  FormatProblem problem;
  problem.items = {{{}, true}};
  EXPECT_NE(check(problem), std::nullopt);
  problem.items = {{{{int64_t(1) << 60, 0}}, true}};
  EXPECT_NE(check(problem), std::nullopt);
  problem.items = {{{{10, std::nan("")}}, true}};
  EXPECT_NE(check(problem), std::nullopt);
  problem.items = {{{{10, -1}}, true}};
  EXPECT_NE(check(problem), std::nullopt);
}

TEST(FormatChoice, ValidatorSeesWrongChoices) {
  FormatProblem problem;
  problem.items = {{{{100, 0}, {50, 1}}, true}};
  problem.totalBytes = 60;
  FormatChoice choice = chooseFormats(problem);
  ASSERT_EQ(validate(problem, choice), std::nullopt);
  FormatChoice wrong = choice;
  wrong.option[0] = 2;
  EXPECT_NE(validate(problem, wrong), std::nullopt);
  wrong = choice;
  wrong.bytes = 49;
  EXPECT_NE(validate(problem, wrong), std::nullopt);
  wrong = choice;
  wrong.bound = 5;
  EXPECT_NE(validate(problem, wrong), std::nullopt);
  wrong = {{0}, 100, 100, 0, 0, true};
  EXPECT_NE(validate(problem, wrong), std::nullopt);
}

} // namespace
