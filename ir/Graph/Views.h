// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Views: ops that only rename indices (transpose, expand, slice, reshape), seen as index
// expressions.
#pragma once

#include "ir/Graph/Graph.h"

#include <optional>
#include <utility>

namespace ciuic::graph {

/// The value that a view reads, and the index at which, for the view's element at `index`; nothing
/// if `view` is no view. A reshape is one where it splits dims or moves unit dims; with `merging`
/// also where it merges dims, whose index then takes divisions.
std::optional<std::pair<mlir::Value, llvm::SmallVector<mlir::AffineExpr>>>
throughView(mlir::Operation *view, llvm::ArrayRef<mlir::AffineExpr> index, bool merging = false);

/// A map of these results over `dims` dims, with as many symbols as they use.
mlir::AffineMap accessMap(unsigned dims, llvm::ArrayRef<mlir::AffineExpr> results,
                          mlir::MLIRContext *context);

} // namespace ciuic::graph
