// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Proposals over weights in memory: bytes, errors and losses of candidates, outliers, values that
// no format holds, reads that fail; and what each quality asks the solver for.
#include "passes/Compress/Formats.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>

using namespace ciuic;
using namespace ciuic::compress;
using kernels::WeightFormat;

namespace {

constexpr int64_t extent = 64, weightBytes = extent * extent * 4;

// Four products in a row over weights of 64 × 64 at multiples of their size; the last makes the
// result.
std::string moduleText(const std::string &rows = "4") {
  std::string text = "func.func @main(%x0: tensor<4x64xf32>) -> tensor<4x64xf32> {\n";
  for (int i = 0; i < 4; ++i) {
    std::string n = std::to_string(i), next = std::to_string(i + 1);
    text += "  %w" + n + " = graph.weight \"w" + n + "\" file 0 offset " +
            std::to_string(i * weightBytes) +
            " bytes 16384 {packing = #graph.packing<\"f32\", \"rows\", columns = 64, channels = "
            "64, taps = 1, groups = 1>} : "
            "tensor<64x64xf32>\n";
    text += "  %x" + next + " = graph.fusion matmul(%x" + n + ", %w" + n +
            ") {\n  ^bb0(%a: tensor<4x64xf32>, %b: tensor<64x64xf32>):\n    %c = graph.matmul %a, "
            "%b : (tensor<4x64xf32>, "
            "tensor<64x64xf32>) -> tensor<4x64xf32>\n    graph.yield %c : tensor<4x64xf32>\n  } : "
            "(tensor<4x64xf32>, "
            "tensor<64x64xf32>) -> tensor<4x64xf32>\n";
  }
  text += "  return %x4 : tensor<4x64xf32>\n}\n";
  for (size_t at = 0; (at = text.find("<4x64", at)) != std::string::npos; ++at) {
    text.replace(at + 1, 1, rows);
  }
  return text;
}

class Propose : public testing::Test {
protected:
  Propose() : context(mlir::MLIRContext::Threading::DISABLED) {
    context.loadDialect<graph::GraphDialect, mlir::func::FuncDialect>();
    context.getDiagEngine().registerHandler([this](mlir::Diagnostic &d) { message = d.str(); });
    module = mlir::parseSourceString<mlir::ModuleOp>(moduleText(), &context);
    values.resize(4 * extent * extent);
    uint32_t state = 1; // sums of uniform numbers: near enough to a normal distribution
    for (float &v : values) {
      v = -6;
      for (int i = 0; i < 12; ++i) {
        state = state * 1664525u + 1013904223u;
        v += static_cast<float>(state >> 8) / static_cast<float>(1 << 24);
      }
    }
  }

  FormatPolicy policy(const char *quality, const char *formats = "") {
    return std::get<FormatPolicy>(parsePolicy(quality, formats));
  }

  mlir::FailureOr<std::vector<WeightProposal>> propose(const FormatPolicy &policy,
                                                       unsigned threads = 1) {
    return proposeFormats(
        *module, policy,
        [this](int64_t, int64_t at, llvm::MutableArrayRef<char> out, std::string &error) {
          if (at / weightBytes == broken) {
            error = "[environment.file-changed] the file changed";
            return false;
          }
          std::memcpy(out.data(), reinterpret_cast<const char *>(values.data()) + at, out.size());
          return true;
        },
        threads);
  }

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::vector<float> values;
  std::string message;
  int64_t broken = -1;
};

const Candidate *find(const WeightProposal &proposal, WeightFormat format) {
  for (const Candidate &candidate : proposal.candidates) {
    if (candidate.format == format) {
      return &candidate;
    }
  }
  return nullptr;
}

TEST_F(Propose, MeasuresEachFormatOfTheQuality) {
  ASSERT_TRUE(module);
  auto proposals = propose(policy("balanced"));
  ASSERT_TRUE(mlir::succeeded(proposals));
  ASSERT_EQ(proposals->size(), 4u);
  const WeightProposal &inner = (*proposals)[1];
  ASSERT_EQ(inner.candidates.size(), 3u);
  // Four panels of 64 × 16: 64 + 1024; one group of 16 f16 scales padded to 64, and 512; the same,
  // the group being short.
  EXPECT_EQ(find(inner, WeightFormat::I8)->bytes, 4 * (64 + 1024));
  EXPECT_EQ(find(inner, WeightFormat::I4G64)->bytes, 4 * (64 + 512));
  EXPECT_EQ(find(inner, WeightFormat::I4G128)->bytes, 4 * (64 + 512));
  // Rounding to steps of s costs s / sqrt(12) of a deviation of 1: s is about 2.6 / 127 and 2.6
  // / 8.
  EXPECT_NEAR(find(inner, WeightFormat::I8)->relativeError, 2.6 / 127 / std::sqrt(12), 0.0015);
  EXPECT_NEAR(find(inner, WeightFormat::I4G64)->relativeError, 2.6 / 8 / std::sqrt(12), 0.02);
  const Candidate &four = *find(inner, WeightFormat::I4G64);
  double norm = 0, largest = 0;
  for (int64_t i = extent * extent; i < 2 * extent * extent; ++i) {
    norm += static_cast<double>(values[i]) * values[i];
    largest = std::max(largest, static_cast<double>(std::fabs(values[i])));
  }
  const double peak = largest / std::sqrt(norm / (extent * extent));
  EXPECT_NEAR(four.predictedLoss,
              sensitivityOf(inner.site, peak) * four.relativeError * four.relativeError, 1e-12);
  // What makes the result keeps 8 bits.
  EXPECT_EQ((*proposals)[3].site.role, WeightRole::Boundary);
  ASSERT_EQ((*proposals)[3].candidates.size(), 1u);
  EXPECT_EQ((*proposals)[3].candidates[0].format, WeightFormat::I8);
}

// The most that a step of largest / 127 costs: √(64 / 12) / 127. It is part of the loss.
TEST_F(Propose, RoundingOfSingleRowsIsCounted) {
  auto rows = propose(policy("balanced"));
  ASSERT_TRUE(mlir::succeeded(rows));
  const Candidate &exact = *find((*rows)[1], WeightFormat::I4G64);
  EXPECT_FALSE((*rows)[1].site.oneRow);
  EXPECT_EQ(exact.activationError, 0);
  module = mlir::parseSourceString<mlir::ModuleOp>(moduleText("1"), &context);
  auto row = propose(policy("balanced"));
  ASSERT_TRUE(mlir::succeeded(row));
  const Candidate &rounded = *find((*row)[1], WeightFormat::I4G64);
  EXPECT_TRUE((*row)[1].site.oneRow);
  EXPECT_NEAR(rounded.activationError, 0.01818, 1e-5);
  EXPECT_EQ(rounded.relativeError, exact.relativeError);
  const double square = exact.relativeError * exact.relativeError;
  EXPECT_NEAR(rounded.predictedLoss / exact.predictedLoss, (square + 0.01818 * 0.01818) / square,
              1e-4);
  EXPECT_EQ(find((*row)[1], WeightFormat::I8)->activationError, 0);
  // near keeps rows exact even by int4 weights.
  auto near = propose(policy("near", "int4g64"));
  ASSERT_TRUE(mlir::succeeded(near));
  EXPECT_EQ(find((*near)[1], WeightFormat::I4G64)->activationError, 0);
}

TEST_F(Propose, ThreadsDoNotChangeAnything) {
  auto one = propose(policy("small")), three = propose(policy("small"), 3);
  ASSERT_TRUE(mlir::succeeded(one) && mlir::succeeded(three));
  for (size_t i = 0; i < one->size(); ++i) {
    ASSERT_EQ((*one)[i].candidates.size(), (*three)[i].candidates.size());
    for (size_t c = 0; c < (*one)[i].candidates.size(); ++c) {
      EXPECT_EQ((*one)[i].candidates[c].relativeError, (*three)[i].candidates[c].relativeError);
      EXPECT_EQ((*one)[i].candidates[c].predictedLoss, (*three)[i].candidates[c].predictedLoss);
    }
  }
}

TEST_F(Propose, AnOutlierMakesAWeightSensitive) {
  auto before = propose(policy("balanced"));
  values[extent * extent + 100] = 60;
  auto after = propose(policy("balanced"));
  ASSERT_TRUE(mlir::succeeded(before) && mlir::succeeded(after));
  auto rate = [](const WeightProposal &p) {
    const Candidate &c = *find(p, WeightFormat::I4G64);
    return c.predictedLoss / (c.relativeError * c.relativeError);
  };
  EXPECT_GT(rate((*after)[1]), 5 * rate((*before)[1]));
  EXPECT_DOUBLE_EQ(rate((*after)[2]), rate((*before)[2]));
}

TEST_F(Propose, ValuesThatNoFormatHoldsStay) {
  values[extent * extent] = std::numeric_limits<float>::quiet_NaN();
  values[2 * extent * extent] = 1e30f; // beyond f16
  auto proposals = propose(policy("near"));
  ASSERT_TRUE(mlir::succeeded(proposals)) << message;
  ASSERT_EQ((*proposals)[1].candidates.size(), 1u);
  EXPECT_EQ((*proposals)[1].candidates[0].format, WeightFormat::F32);
  EXPECT_EQ(find((*proposals)[2], WeightFormat::F16), nullptr);
  EXPECT_NE(find((*proposals)[0], WeightFormat::F16), nullptr);
}

TEST_F(Propose, AWeightThatCannotBeReadIsAnError) {
  broken = 2;
  EXPECT_TRUE(mlir::failed(propose(policy("near"))));
  EXPECT_EQ(message, "[environment.file-changed] weight 'w2': the file changed");
}

TEST_F(Propose, QualitiesAskForTheirLimits) {
  auto near = propose(policy("near")), balanced = propose(policy("balanced"));
  ASSERT_TRUE(mlir::succeeded(near) && mlir::succeeded(balanced));
  solver::FormatProblem least = problemOf(*near, policy("near"), 1);
  EXPECT_EQ(least.goal, solver::FormatProblem::Goal::LeastBytes);
  EXPECT_DOUBLE_EQ(least.totalLoss, 0.008);
  solver::FormatProblem within = problemOf(*balanced, policy("balanced"), 20000);
  EXPECT_EQ(within.goal, solver::FormatProblem::Goal::LeastLoss);
  EXPECT_EQ(within.totalBytes, 20000);
  EXPECT_EQ(within.blockBytesMin, 6528); // 4.25 / 8 · 3 · 4096
  EXPECT_EQ(within.blockBytesMax, 8601); // 5.6 / 8 · 3 · 4096 = 8601.6
  EXPECT_TRUE(within.items[0].block);
  EXPECT_FALSE(within.items[3].block);
}

TEST_F(Propose, OnlyWhatChangesIsRecorded) {
  auto proposals = propose(policy("near"));
  ASSERT_TRUE(mlir::succeeded(proposals));
  recordFormats(*module, *proposals, {0, 2, 0, 1}); // f32, int8, f32, f16
  auto records = (*module)->getAttrOfType<mlir::ArrayAttr>("graph.formats");
  ASSERT_EQ(records.size(), 2u);
  auto first = llvm::cast<mlir::DictionaryAttr>(records[0]);
  EXPECT_EQ(first.getAs<mlir::StringAttr>("format").getValue(), "int8");
  EXPECT_EQ(first.getAs<mlir::IntegerAttr>("offset").getInt(), weightBytes);
}

TEST(Policy, RefusesWhatItCannotDo) {
  for (auto [quality, formats] : {std::pair("perfect", ""),
                                  {"exact", "int8"},
                                  {"near", "int5"},
                                  {"near", "int8,"},
                                  {"balanced", "int8,f16"}}) {
    auto result = parsePolicy(quality, formats);
    ASSERT_TRUE(std::holds_alternative<std::string>(result)) << quality << " " << formats;
    EXPECT_EQ(std::get<std::string>(result).rfind("[usage.", 0), 0u);
  }
  auto sorted = std::get<FormatPolicy>(parsePolicy("small", "int4g64,int8,int8"));
  EXPECT_EQ(sorted.formats, (std::vector<WeightFormat>{WeightFormat::I8, WeightFormat::I4G64}));
}

} // namespace
