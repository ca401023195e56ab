// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What one launch of a kernel costs, read off its body at given values of the symbols.
#pragma once

#include "ir/Graph/Graph.h"

#include <cstdint>
#include <string>

namespace ciuic {

struct KernelCost {
  /// matmul, conv, attention, group_norm, map (arithmetic on each element) or move (none).
  std::string kind = "move";
  double flops = 0;
  /// Bytes of operands read and results written, each once. Weights count as they are packed.
  int64_t bytes = 0;
  int64_t rows = 1;           ///< matmul: M
  std::string format = "f32"; ///< matmul: how the weight is stored
};

/// `symbols`: one value per symbol of the kernel. Sizes beyond 2^62 saturate.
KernelCost costOf(graph::KernelOp kernel, llvm::ArrayRef<int64_t> symbols);

} // namespace ciuic
