// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Instances as text: what a pass wrote can be solved again without the compiler, and every fault
// becomes a file under test/. One item a line, words separated by blanks, names in double quotes
// (\" and \\ inside), `#` starts a comment.
//
//   ciuic-packing 1                         ciuic-offload 1
//   capacity 1048576            (optional)  persistent 4096
//   buffer "a" 100 align 64 live 0 2        budget 1000000              (optional)
//                                           alignment 64 region 4096
//                                           launch 2.5
//                                           link to-device latency 10 rates 65536:4 1048576:15
//                                           link to-host latency 10 rates 65536:4
//                                           weight "w" 4096 tile 1024
//                                           entry "decode" frequency 64
//                                           step "matmul" us 12.5 hide 0.7 scratch 0 uses tiles:0
//                                           whole:1 gather:2:512
//                                           buffer "x" 2304 live 0 2 touches 0 1
//                                           buffer "y" 4096 live 2 3 tile 1024
//
// Reading then checks; what is printed reads back equal.
#pragma once

#include "passes/Solver/Offload.h"

#include <string_view>

namespace ciuic::solver {

std::string print(const PackingProblem &problem);
std::string print(const OffloadProblem &problem);

/// The problem, or "line N: what is wrong". Also reads the csv form `id,lower,upper,size`.
std::variant<PackingProblem, std::string> readPacking(std::string_view text);
std::variant<OffloadProblem, std::string> readOffload(std::string_view text);

/// A plan for people and for tests: regions, units, and per entry its launches and copies. Not read
/// back.
std::string print(const OffloadProblem &problem, const OffloadPlan &plan);

} // namespace ciuic::solver
