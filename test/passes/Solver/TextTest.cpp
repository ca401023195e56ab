// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Instances as text: what is printed reads back equal, and faults are told with their line.

#include "passes/Solver/Text.h"

#include "passes/Solver/Random.h"
#include "test/passes/Solver/Instances.h"

#include <gtest/gtest.h>

using namespace ciuic::solver;
using namespace ciuic::solver::test;

TEST(Text, OffloadRoundTrips) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    OffloadProblem problem = randomProblem(seed);
    problem.weights[0].name = "a \"quoted\" \\ name # with\nnewline";
    problem.entries[0].steps[0].microseconds = 1.0 / 3;
    problem.budget = seed % 2 ? std::optional<int64_t>(12345) : std::nullopt;
    auto again = readOffload(print(problem));
    ASSERT_TRUE(std::holds_alternative<OffloadProblem>(again)) << std::get<std::string>(again);
    EXPECT_TRUE(std::get<OffloadProblem>(again) == problem) << seed;
  }
}

TEST(Text, PackingRoundTrips) {
  PackingProblem problem{{{"a b", 100, 64, 0, 2}, {"", 0, 1, -5, 7}}, 1000};
  auto again = readPacking(print(problem));
  ASSERT_TRUE(std::holds_alternative<PackingProblem>(again)) << std::get<std::string>(again);
  EXPECT_TRUE(std::get<PackingProblem>(again) == problem);
}

TEST(Text, CommentsAndBlankLinesAreSkipped) {
  auto read = readPacking(
      "# two buffers\n\nciuic-packing 1\n  buffer \"a\" 10 align 1 live 0 1 # the first\n"
      "buffer \"b\" 20 align 1 live 1 2\n");
  ASSERT_TRUE(std::holds_alternative<PackingProblem>(read)) << std::get<std::string>(read);
  EXPECT_EQ(std::get<PackingProblem>(read).buffers.size(), 2u);
}

TEST(Text, CsvInstancesRead) {
  auto read = readPacking("id,lower,upper,size\n0,10,20,300\n1,0,15,40\n");
  ASSERT_TRUE(std::holds_alternative<PackingProblem>(read)) << std::get<std::string>(read);
  EXPECT_EQ(std::get<PackingProblem>(read).buffers[1], (Buffer{"1", 40, 1, 0, 15}));
}

TEST(Text, FaultsHaveTheirLine) {
  auto packing = [](const char *text) {
    auto read = readPacking(text);
    return std::holds_alternative<std::string>(read) ? std::get<std::string>(read) : "";
  };
  auto offload = [](const std::string &line) {
    auto read = readOffload("ciuic-offload 1\n" + line + "\n");
    return std::holds_alternative<std::string>(read) ? std::get<std::string>(read) : "";
  };
  EXPECT_NE(packing("").find("line 1"), std::string::npos);
  EXPECT_NE(packing("ciuic-packing 2\n").find("line 1"), std::string::npos);
  EXPECT_NE(packing("ciuic-packing 1\nbuffer \"a\" 1 align 1 live 0\n").find("line 2"),
            std::string::npos);
  EXPECT_NE(packing("ciuic-packing 1\nbuffer \"a 1 align 1 live 0 1\n").find("no end"),
            std::string::npos);
  EXPECT_NE(packing("ciuic-packing 1\nbuffer \"a\" 99999999999999999999 align 1 live 0 1\n")
                .find("not a number"),
            std::string::npos);
  EXPECT_NE(packing("ciuic-packing 1\nbuffer \"a\" 1 align 1 live 1 1\n").find("ends before"),
            std::string::npos);
  EXPECT_NE(packing("id,lower,upper,size\n1,2\n").find("line 2"), std::string::npos);
  EXPECT_NE(offload("step \"s\" us 1 hide 1 scratch 0").find("does not belong"), std::string::npos);
  EXPECT_NE(offload("persistent 1 2").find("more words"), std::string::npos);
  EXPECT_NE(offload("entry \"e\" frequency 1\nstep \"s\" us 1 hide 1 scratch 0 uses part:0")
                .find("line 3"),
            std::string::npos);
  EXPECT_NE(offload("link sideways latency 1 rates 1:1").find("line 2"), std::string::npos);
  EXPECT_NE(offload("").find("no entries"), std::string::npos);
}

// Bytes of an instance that were cut off or changed are refused or read as something valid, and
// never crash.
TEST(Text, DamagedInstancesAreAnswered) {
  std::string text = print(randomProblem(3));
  Random random(99);
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = text.substr(0, random.below(text.size()) + 1);
    damaged[random.below(damaged.size())] = static_cast<char>(random.below(256));
    auto read = readOffload(damaged);
    if (std::holds_alternative<OffloadProblem>(read)) {
      EXPECT_EQ(check(std::get<OffloadProblem>(read)), std::nullopt);
    }
  }
}

TEST(Text, APlanNamesItsParts) {
  OffloadProblem problem = transformer(4);
  problem.budget = std::get<OffloadPlan>(solveOffload(problem)).needBytes / 2;
  std::string text = print(problem, std::get<OffloadPlan>(solveOffload(problem)));
  EXPECT_NE(text.find("load unit"), std::string::npos);
  EXPECT_NE(text.find("\"embedding\""), std::string::npos);
  EXPECT_NE(text.find("entry \"decode\""), std::string::npos);
}
