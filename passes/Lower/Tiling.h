// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Launches over part of a weight, and gathers that may run where the table is.
#pragma once

#include "ir/Graph/LibraryCall.h"

#include <optional>

namespace ciuic {

/// The constants {first panel, end panel, first column, row stride} of a launch over bytes
/// [begin, end) of the packed weight, which are whole panels. Its results lie among all columns,
/// or, `apart`, its columns alone side by side.
llvm::SmallVector<int64_t> tileParamsOf(graph::PackingAttr packing, int64_t begin, int64_t end,
                                        bool apart);

/// The result of a kernel that is computed by runs of columns and may be stored by them: which one,
/// how many rows, and how many bytes all columns of a row have.
struct ColumnResult {
  mlir::AffineExpr rows;
  int64_t rowBytes;
};
std::optional<ColumnResult> columnResultOf(graph::KernelOp kernel, const graph::LibraryCall &call);

/// A kernel that only gathers rows of its first operand by the indices of its second, a unit a row.
struct HostGather {
  mlir::AffineExpr rows; ///< rows gathered, an expression of the symbols
  int64_t rowBytes;      ///< of the result
};
std::optional<HostGather> hostGatherOf(graph::KernelOp kernel);

} // namespace ciuic
