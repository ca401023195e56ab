// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Launches over part of a weight, and gathers that may run where the table is.
#pragma once

#include "ir/Graph/Graph.h"

#include <optional>

namespace ciuic {

/// The constants a kernel takes when it runs over a whole packed weight: {first panel, end panel}; none for kernels
/// that read no weight in panels, or whose weight cannot be split.
llvm::SmallVector<int64_t> defaultParamsOf(graph::KernelOp kernel);

/// The same for bytes [begin, end) of the packed weight, which are whole panels.
llvm::SmallVector<int64_t> tileParamsOf(graph::PackingAttr packing, int64_t begin, int64_t end);

/// The units of a launch of `kernel` with these constants, as an expression of the symbols.
mlir::AffineExpr tileGridOf(graph::KernelOp kernel, llvm::ArrayRef<int64_t> params);

/// A kernel that only gathers rows of its first operand by the indices of its second.
struct HostGather {
  mlir::AffineExpr rows; ///< rows gathered, an expression of the symbols
  int64_t rowBytes;      ///< of the result
};
std::optional<HostGather> hostGatherOf(graph::KernelOp kernel);

} // namespace ciuic
