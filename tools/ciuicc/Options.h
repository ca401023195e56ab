// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The command line of ciuicc, read once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace ciuic::tool {

/// `--vram`: bytes, a share of the need, or what is free.
struct Budget {
  enum class Kind { Need, Bytes, Percent, Auto } kind = Kind::Need;
  int64_t bytes = 0;
  double percent = 100;
};

struct Options {
  std::string model, output, profile = "host-generic", quality = "exact", formats, report,
                             stopAfter;
  std::vector<std::string> entries, targets, states;
  Budget budget;
  bool noState = false, dryRun = false, json = false, disableRaise = false, disableFusion = false;
  unsigned threads = 0; ///< 0: as many as the machine has
};

/// Reads "6G", "1.5G", "4096", "50%", "auto"; the string says what is wrong.
std::variant<Budget, std::string> parseBudget(const std::string &text);

/// Parses the command line. An exit status where there is nothing to do (help, version, a usage
/// error, already reported on the right stream).
std::variant<Options, int> parseOptions(int argc, char **argv);

} // namespace ciuic::tool
