// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// NVIDIA's assembler as a process: PTX in, a cubin out.
#pragma once

#include <string>
#include <vector>

namespace ciuic::codegen {

struct AssembleJob {
  std::string arch; ///< sm_86, sm_90a, …
  const std::string *ptx = nullptr;
  std::vector<char> cubin;
  std::string error; ///< what ptxas said, where it failed
};

/// Runs ptxas once per job, all at the same time, each with its share of `threads`.
void assemble(const std::string &ptxas, unsigned threads, std::vector<AssembleJob> &jobs);

} // namespace ciuic::codegen
