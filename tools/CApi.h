// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The C API as the tools call it: statuses become Status, structs say their size.
#pragma once

#include "ciuic/ciuic.h"
#include "runtime/base/Status.h"

namespace ciuic::tool {

/// Takes over a status of the C API; NULL is success.
inline Status fromC(ciuic_status *status) {
  if (!status) {
    return Status::ok();
  }
  Status made(static_cast<StatusClass>(ciuic_status_get_class(status)), ciuic_status_code(status),
              ciuic_status_message(status));
  int64_t nearest = ciuic_status_nearest_budget(status);
  ciuic_status_free(status);
  return std::move(made).withNearestBudget(nearest);
}
#define TRY_C(call) CIUIC_TRY(::ciuic::tool::fromC(call))

/// A struct of the C API that says its size; zero in every other field.
template <class T>
T sized() {
  T value = {};
  value.struct_size = sizeof(T);
  return value;
}

} // namespace ciuic::tool
