// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the user of ciuic-run asks for.
#pragma once

#include "runtime/base/Status.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ciuic::run {

struct Named {
  std::string name, value; // value: "@file", "random" or "zeros"
};

struct Options {
  std::string program, device, entry, stateIn, stateOut, trace;
  int64_t vram = 0;
  std::map<std::string, int64_t> dims;
  std::vector<Named> inputs, outputs, expects;
  double rtol = 1e-4, atol = 0, linkGbps = 0, diskGbps = 0;
  int iterations = 1, warmup = 0, threads = 0;
  uint64_t seed = 0;
  bool json = false, bufferedDisk = false;
};

/// Done: --help or --version was answered. The status is of class Usage on failure.
struct Parsed {
  Status status;
  bool done = false;
};
Parsed parseOptions(int argc, char **argv, Options &out);

} // namespace ciuic::run
