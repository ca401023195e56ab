// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Launches over part of a weight, and gathers that may run where the table is.
#pragma once

#include "ir/Graph/Graph.h"

#include <optional>

namespace ciuic {

/// The constants {first panel, end panel} of a launch over bytes [begin, end) of the packed weight,
/// which are whole panels.
llvm::SmallVector<int64_t> tileParamsOf(graph::PackingAttr packing, int64_t begin, int64_t end);

/// A kernel that only gathers rows of its first operand by the indices of its second.
struct HostGather {
  mlir::AffineExpr rows; ///< rows gathered, an expression of the symbols
  int64_t rowBytes;      ///< of the result
};
std::optional<HostGather> hostGatherOf(graph::KernelOp kernel);

} // namespace ciuic
