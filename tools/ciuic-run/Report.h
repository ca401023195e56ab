// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What ciuic-run prints: one JSON object, a few lines for people, a Chrome trace.
#pragma once

#include "tools/ciuic-run/Runner.h"

#include <string>

namespace ciuic::run {

std::string jsonReport(const Options &options, const Result &result);
std::string jsonError(const Status &status);
std::string textReport(const Options &options, const Result &result);
Status writeTrace(const std::string &path, const Result &result);

} // namespace ciuic::run
