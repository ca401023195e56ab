// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sessions whose streamed weights are on the disk: the same values whichever way they are read and
// at any rate; entries that take turns; files that change under a session.
#include "test/runtime/OpenSession.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <unistd.h>

using namespace ciuic;
using namespace ciuic::test;

namespace {

Failure runOnce(Opened &o, const std::vector<float> &x, std::vector<float> &y) {
  auto n = static_cast<int64_t>(x.size());
  y.assign(x.size(), -1);
  EXPECT_EQ(take(ciuic_session_bind_input(o.session, "x", CIUIC_F32, 1, &n, x.data())).cls,
            CIUIC_OK);
  EXPECT_EQ(take(ciuic_session_bind_output(o.session, "y", y.data(), y.size() * 4)).cls, CIUIC_OK);
  return take(ciuic_session_run(o.session, nullptr));
}

// The same bits whether streamed weights come from memory or from the file, whichever way it is
// read, at any rate.
TEST(DiskSession, WeightsComeFromTheDisk) {
  std::vector<std::vector<float>> w;
  PlanBuilder b = streamingChain(&w);
  moveToDisk(b);
  for (int buffered : {0, 1}) {
    for (double gbps : {0.0, 0.05}) {
      Opened o;
      ciuic_session_options options = {};
      options.threads = 2;
      options.buffered_disk = buffered;
      options.disk_gbps = gbps;
      Failure opened = o.open(b, options);
      ASSERT_EQ(opened.cls, CIUIC_OK) << opened.message;
      SCOPED_TRACE(ciuic_session_disk_mode(o.session));
      EXPECT_NE(std::string(ciuic_session_disk_mode(o.session)), "");
      for (int pass = 0; pass < 20; ++pass) {
        std::vector<float> x = ramp(pass % 3 ? 1024 : 9), y;
        Failure ran = runOnce(o, x, y);
        ASSERT_EQ(ran.cls, CIUIC_OK) << ran.message;
        for (size_t i = 0; i < x.size(); ++i) {
          ASSERT_EQ(y[i], x[i] + w[0][i] + w[1][i] + w[2][i] + w[3][i]) << pass << " " << i;
        }
        EXPECT_EQ(o.stats().disk_bytes, (pass == 0 ? 6 : 4) * kChainLength * 4);
      }
    }
  }
}

// Prologues and passes of different entries take turns with the reader.
TEST(DiskSession, EntriesTakeTurnsAtTheDisk) {
  std::vector<std::vector<float>> w;
  PlanBuilder b = streamingChain(&w);
  PlanBuilder twin = streamingChain();
  twin.program.entries[0]->name = "other";
  b.program.entries.push_back(std::move(twin.program.entries[0]));
  moveToDisk(b);
  Opened o;
  ASSERT_EQ(o.open(b).cls, CIUIC_OK);
  std::vector<float> x = ramp(1024), y(1024);
  int64_t n = 1024;
  OK(ciuic_session_bind_input(o.session, "x", CIUIC_F32, 1, &n, x.data()));
  OK(ciuic_session_bind_output(o.session, "y", y.data(), y.size() * 4));
  for (int pass = 0; pass < 30; ++pass) {
    std::fill(y.begin(), y.end(), -1.0f);
    OK(ciuic_session_run(o.session, pass % 5 < 2 ? "main" : "other"));
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(y[i], x[i] + w[0][i] + w[1][i] + w[2][i] + w[3][i]) << pass;
    }
  }
}

// A file that changes under a session is an error of the run that meets it; one that is whole again
// runs again.
TEST(DiskSession, AFileThatChangesIsAnErrorOfTheRun) {
  std::vector<std::vector<float>> w;
  PlanBuilder b = streamingChain(&w);
  moveToDisk(b);
  for (int buffered : {0, 1}) {
    Opened o;
    ciuic_session_options options = {};
    options.buffered_disk = buffered;
    ASSERT_EQ(o.open(b, options).cls, CIUIC_OK);
    std::vector<float> x = ramp(100), y;
    ASSERT_EQ(runOnce(o, x, y).cls, CIUIC_OK);
    ChangingFile file(o.path);
    file.damage(w[2]);
    Failure failed;
    for (int pass = 0; pass < 20 && failed.cls == CIUIC_OK;
         ++pass) { // what was read ahead is used up
      failed = runOnce(o, x, y);
    }
    EXPECT_EQ(failed.code, "format.F10") << failed.message;
    EXPECT_EQ(runOnce(o, x, y).code, "format.F10");
    file.restore();
    Failure again = runOnce(o, x, y);
    EXPECT_EQ(again.cls, CIUIC_OK) << again.message;
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_EQ(y[i], x[i] + w[0][i] + w[1][i] + w[2][i] + w[3][i]);
    }
    ASSERT_EQ(::truncate(o.path.c_str(), 4096), 0);
    failed = {};
    for (int pass = 0; pass < 20 && failed.cls == CIUIC_OK; ++pass) {
      failed = runOnce(o, x, y);
    }
    EXPECT_EQ(failed.code, "io.truncated") << failed.message;
  }
}

} // namespace
