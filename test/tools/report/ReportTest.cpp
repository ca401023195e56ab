// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The report holds every part of a plan, is one file, and no name of a model can break out of it.

#include "tools/report/Report.h"

#include "test/passes/Solver/Instances.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

using namespace ciuic::solver;
using namespace ciuic::tool;

namespace {

struct Case {
  OffloadProblem problem = test::transformer(6);
  OffloadPlan plan;
  std::string page;
  nlohmann::json data;

  explicit Case(const std::string &name = "weight") {
    problem.weights[2].name = name;
    problem.budget = std::get<OffloadPlan>(solveOffload(problem)).needBytes / 3;
    plan = std::get<OffloadPlan>(solveOffload(problem));
    ReportInfo info{"model.onnx",    "exact", "host-generic",
                    *problem.budget, 0,       {{"w", "int8", 10, 0.01}}};
    page = htmlReport(problem, plan, info);
    size_t begin = page.find("const data = ") + 13;
    data = nlohmann::json::parse(page.substr(begin, page.find(";\n", begin) - begin));
  }
};

} // namespace

TEST(Report, HoldsEveryLaunchCopyBufferAndUnit) {
  Case c;
  ASSERT_EQ(c.data["entries"].size(), c.plan.entries.size());
  EXPECT_EQ(c.data["units"].size(), c.plan.units.size());
  for (size_t e = 0; e < c.plan.entries.size(); ++e) {
    const nlohmann::json &entry = c.data["entries"][e];
    EXPECT_EQ(entry["launches"].size(), c.plan.entries[e].launches.size());
    EXPECT_EQ(entry["copies"].size(), c.plan.entries[e].copies.size());
    EXPECT_EQ(entry["segments"].size(), c.plan.entries[e].segments.size());
    EXPECT_NEAR(entry["pass"].get<double>(), c.plan.entries[e].predictedMicroseconds, 0.01);
  }
}

// Launches of a pass follow one another; a copy starts after the launch that frees its slot, and is
// done when its launch begins, or, for the next pass, when this one ends: with the last of them
// all.
TEST(Report, TimesAgreeWithThePlan) {
  Case c;
  for (size_t e = 0; e < c.plan.entries.size(); ++e) {
    Timeline timeline = timelineOf(c.problem, c.problem.entries[e], c.plan.entries[e]);
    double before = 0;
    for (const Timeline::Span &span : timeline.launches) {
      EXPECT_GE(span.begin, before - 1e-6);
      EXPECT_GE(span.end, span.begin);
      before = span.end;
    }
    double end = before;
    int count = static_cast<int>(timeline.launches.size());
    for (size_t i = 0; i < timeline.copies.size(); ++i) {
      const Copy &copy = c.plan.entries[e].copies[i];
      if (copy.after >= 0) {
        EXPECT_GE(timeline.copies[i].begin, timeline.launches[copy.after].end - 1e-6);
      }
      double needed = copy.before < count ? timeline.launches[copy.before].begin : timeline.pass;
      EXPECT_LE(timeline.copies[i].end, needed + timeline.pass * 1e-6);
      end = std::max(end, timeline.copies[i].end);
    }
    EXPECT_NEAR(end, timeline.pass, timeline.pass * 1e-6);
  }
}

TEST(Report, IsOneFileAndTheSameEachTime) {
  Case a;
  Case b;
  EXPECT_EQ(a.page, b.page);
  EXPECT_EQ(a.page.find("http"), std::string::npos);
  EXPECT_EQ(a.page.find("src="), std::string::npos);
}

TEST(Report, NamesCannotEndTheScript) {
  Case c("</script><b>\xff&\"'");
  EXPECT_EQ(c.page.find("</script><b>"), std::string::npos);
  EXPECT_NE(c.page.find("\\u003c/script>"), std::string::npos);
}
