// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The command line of ciuicc, read once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace ciuic::tool {

/// `--target`: what the program runs on.
struct Target {
  bool cuda = false;
  /// The GPU's, "sm_90", ascending; none: the machine's, or the profile's.
  std::vector<std::string> architectures;
};

/// `--vram`: bytes, a share of the need, or what is free.
struct Budget {
  enum class Kind { Need, Bytes, Percent, Auto } kind = Kind::Need;
  int64_t bytes = 0;
  double percent = 100;
};

struct Options {
  std::string model, output, quality = "exact", formats, report, stopAfter;
  std::string profile;          ///< empty: the machine's card's, or host-generic
  std::optional<Target> target; ///< none: the profile's device, or what the machine has
  std::vector<std::string> entries, states;
  Budget budget;
  std::optional<int64_t> hostMemory; ///< bytes of streamed weights; none: unbounded
  std::optional<int64_t> reserve;    ///< of the device's own software; none: the profile's
  bool noState = false, dryRun = false, json = false, disableRaise = false, disableFusion = false;
  unsigned threads = 0; ///< 0: as many as the machine has
};

/// Reads "6G", "1.5G", "4096", "50%", "auto"; the string says what is wrong.
std::variant<Budget, std::string> parseBudget(const std::string &text);

/// Reads the parts of "host", "cuda", "cuda:sm_80,sm_90"; the string says what is wrong.
std::variant<Target, std::string> parseTarget(const std::vector<std::string> &parts);

/// Parses the command line. An exit status where there is nothing to do (help, version, a usage
/// error, already reported on the right stream).
std::variant<Options, int> parseOptions(int argc, char **argv);

} // namespace ciuic::tool
