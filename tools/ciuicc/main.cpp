// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// ciuicc MODEL: reads the command line, compiles, says what came of it.
#include "ir/Diagnostics.h"
#include "tools/ciuicc/Compiler.h"
#include "tools/ciuicc/Progress.h"
#include "tools/ciuicc/Summary.h"

#include <cstdio>

using namespace ciuic;
using json = nlohmann::ordered_json;

int main(int argc, char **argv) {
  auto parsed = tool::parseOptions(argc, argv);
  if (auto *status = std::get_if<int>(&parsed)) {
    return *status;
  }
  const auto &options = std::get<tool::Options>(parsed);
  tool::Progress progress;
  tool::Outcome outcome = tool::compile(
      options, [&](const char *stage, double share) { progress.stage(stage, share); });
  progress.finish();
  if (outcome.ok) {
    if (options.json && options.stopAfter.empty()) {
      printf("%s\n", outcome.summary.dump().c_str());
    } else if (options.stopAfter.empty()) {
      printf("%s", tool::toText(outcome.summary).c_str());
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
      fprintf(stderr, "ciuicc: error: standard output cannot be written\n");
      return static_cast<int>(ErrorClass::Environment);
    }
    return 0;
  }
  const tool::Failure &failure = outcome.failure;
  fprintf(stderr, "ciuicc: error: %s\n", failure.message.c_str());
  if (options.json) {
    json error{{"class", std::string(className(classOf(failure.code)))},
               {"code", failure.code},
               {"message", failure.message},
               {"nearest_budget_bytes",
                failure.nearestBudget ? json(failure.nearestBudget) : json(nullptr)}};
    printf("%s\n",
           json{{"error", error}}.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
  }
  return exitStatus(failure.code);
}
