// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Totals of rows whose elements alternate: from the lanes of a thread's vectors to values of the
// rows they are in, from the threads of a block to a warp for each row.
#pragma once

#include "codegen/Kernel/Reducer.h"

namespace ciuic::codegen {

/// One place of all rows of a unit: `across` vectors of `lanes` elements, in which rows of `width`
/// elements follow one another.
struct Line {
  int64_t width, lanes, across;

  /// At most: rows that a vector has elements of; vectors that have elements of a row.
  int64_t rowsOfVector() const;
  int64_t vectorsOfRow() const;
};

/// What the threads of a block have of a reduction: line `y`'s vector `x`.
class RowParts {
public:
  /// Shared memory for a thread's values, in bytes, where values have four.
  static int64_t bytes(const Line &line, int64_t values) {
    return 4 * values * line.rowsOfVector();
  }

  /// Every thread leaves its part, a vector for each of the state's values (of moments the number
  /// is a scalar). A barrier makes it visible.
  RowParts(Emitter &emitter, const ReductionState &state, const Line &line, int64_t lines,
           llvm::ArrayRef<mlir::Value> part, mlir::Value x, mlir::Value y);

  /// The total of a row, for all threads of a warp.
  llvm::SmallVector<mlir::Value> total(mlir::Value row, mlir::Value lane);

private:
  Emitter &e;
  const ReductionState &state;
  const Line line;
  const int64_t lines;
  llvm::SmallVector<mlir::Value> arrays; ///< [row of the vector, line, vector]
};

/// The total of `count` partial results, at most `most`, by a warp: `read` gives number `at`.
llvm::SmallVector<mlir::Value> warpTotal(
    Emitter &emitter, const ReductionState &state, mlir::Value lane, mlir::Value count,
    int64_t most,
    llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value at, mlir::Value &valid)> read);

} // namespace ciuic::codegen
