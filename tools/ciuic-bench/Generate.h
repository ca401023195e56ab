// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Prompt processing and token rate of a language model's program, as a session that keeps its
// cache runs it: a random prompt, in chunks as large as the program's entries take, then one token
// after the other, each the likeliest by the logits before it. Everything goes through the C API.
#pragma once

#include "runtime/base/Status.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ciuic::bench {

struct GenerateOptions {
  std::string program;
  std::string device; ///< empty: the kind the program is for
  int64_t prompt = 256, tokens = 64;
  int repeats = 3; ///< measured ones, each from an empty cache, after one that is not
  int threads = 0; ///< of the host device; 0: one a CPU
};

struct Spread {
  double least = 0, median = 0, p90 = 0;
};

struct Generation {
  std::string program, device, promptEntry, tokenEntry;
  int64_t promptTokens = 0, newTokens = 0, chunks = 0;
  Spread promptMs, tokenMs;
  double promptRate = 0, tokenRate = 0; ///< tokens a second, of the medians
  double predictedTokenMs = 0;
  int64_t budgetBytes = 0, peakBytes = 0;
  std::vector<int64_t> ids; ///< what was generated; the same in every repetition
};

Status generate(const GenerateOptions &options, Generation *out);
std::string textOf(const Generation &generation);
std::string jsonOf(const Generation &generation);

} // namespace ciuic::bench
