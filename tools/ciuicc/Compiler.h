// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One compilation, from the model's path to the program file and what there is to say about it.
#pragma once

#include "tools/ciuicc/Options.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace ciuic::tool {

struct Failure {
  std::string code, message;
  int64_t nearestBudget = 0; ///< 0: none
  nlohmann::ordered_json unsupported = nlohmann::ordered_json::array();
};

struct Outcome {
  bool ok = false;
  Failure failure;
  nlohmann::ordered_json summary; ///< of a success
};

/// Told the name of each stage as it begins, and a share (0..1) where one is known.
using OnStage = std::function<void(const char *stage, double share)>;

Outcome compile(const Options &options, const OnStage &onStage);

} // namespace ciuic::tool
