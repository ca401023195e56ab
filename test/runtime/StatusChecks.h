// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the C API's statuses say, as values that tests compare, and the check that a call went well.
#pragma once

#include "ciuic/ciuic.h"

#include <gtest/gtest.h>
#include <string>

namespace ciuic::test {

struct Failure {
  ciuic_status_class cls = CIUIC_OK;
  std::string code, message;
  int64_t nearest = 0;
};

/// Frees the status.
inline Failure take(ciuic_status *s) {
  Failure f{ciuic_status_get_class(s), ciuic_status_code(s), ciuic_status_message(s),
            ciuic_status_nearest_budget(s)};
  ciuic_status_free(s);
  return f;
}

#define OK(call)                                                                                   \
  do {                                                                                             \
    ::ciuic::test::Failure f = ::ciuic::test::take(call);                                          \
    ASSERT_EQ(f.cls, CIUIC_OK) << f.code << ": " << f.message;                                     \
  } while (false)

} // namespace ciuic::test
