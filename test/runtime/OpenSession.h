// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A program made of a plan, written, loaded and opened on the host through the C API.
#pragma once

#include "test/runtime/PlanBuilder.h"
#include "test/runtime/StatusChecks.h"

#include "ciuic/ciuic.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace ciuic::test {

struct Opened {
  ciuic_program *program = nullptr;
  ciuic_device *device = nullptr;
  ciuic_session *session = nullptr;
  std::string path = scratchPath("session.ciuic");
  Opened() = default;
  Opened(const Opened &) = delete;
  ~Opened() {
    ciuic_session_destroy(session);
    ciuic_device_close(device);
    ciuic_program_destroy(program);
  }
  /// `options` need not say their size.
  Failure open(PlanBuilder &b, ciuic_session_options options) {
    Status written = b.write(path, testKernels());
    EXPECT_TRUE(written.isOk()) << written.message();
    if (Failure f = take(ciuic_program_load_path(path.c_str(), &program)); f.cls != CIUIC_OK) {
      return f;
    }
    if (Failure f = take(ciuic_device_open("host", &device)); f.cls != CIUIC_OK) {
      return f;
    }
    options.struct_size = sizeof options;
    return take(ciuic_session_create(program, device, &options, &session));
  }
  Failure open(PlanBuilder &b, int threads = 1, double gbps = 0, int64_t budget = 0) {
    ciuic_session_options options = {};
    options.threads = threads;
    options.link_gbps = gbps;
    options.budget_bytes = budget;
    return open(b, options);
  }
  ciuic_run_stats stats() {
    ciuic_run_stats s = {};
    s.struct_size = sizeof s;
    EXPECT_EQ(take(ciuic_session_get_stats(session, &s)).cls, CIUIC_OK);
    return s;
  }
  int64_t length(uint32_t state) {
    int64_t n = -1;
    EXPECT_EQ(take(ciuic_session_state_length(session, state, &n)).cls, CIUIC_OK);
    return n;
  }
};

/// 0, 1, … 16, 0, 1, …
inline std::vector<float> ramp(int64_t n) {
  std::vector<float> x(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    x[static_cast<size_t>(i)] = static_cast<float>(i % 17);
  }
  return x;
}

} // namespace ciuic::test
