// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The shape of a kernel's work, derived from its template and body alone: which dims are looped
// over, how many independent units there are, how much scratch a worker needs. The lowering writes
// it into the plan and code generation builds the loops from it, so both ask here.
#pragma once

#include "ir/Graph/Graph.h"

namespace ciuic::graph {

/// Whether argument `argument` of a kernel's body is a buffer with strides of its own
/// (`graph.physical`).
bool hasPhysicalExtents(mlir::Block &body, unsigned argument);

/// The argument of a fusion's or kernel's body that its result `number` appends to, if it does.
std::optional<unsigned> appendedArgument(mlir::Block &body, unsigned number);

/// The iteration space of flat kernels. Dims [merged, rank) are one run that every operand either
/// reads densely in this order or not at all, so they are walked as a single dim of their product;
/// merged == rank − 1 if only the last dim is.
struct FlatSpace {
  llvm::SmallVector<mlir::AffineExpr> dims;
  unsigned merged = 0;

  mlir::AffineExpr inner(mlir::MLIRContext *context) const;
};
FlatSpace flatSpaceOf(mlir::Block &body);

/// The iteration space of row and column kernels: `dims` of the operands of the body's reductions;
/// `reduced[i]` says whether they run along dim i. Rows reduce the last dim, columns do not. None
/// where the body reduces nothing or its reductions differ.
struct ReduceSpace {
  llvm::SmallVector<mlir::AffineExpr> dims;
  llvm::SmallVector<bool> reduced;

  bool isRow() const { return !reduced.empty() && reduced.back(); }
};
std::optional<ReduceSpace> reduceSpaceOf(mlir::Block &body);

/// Elements of the merged inner dim that one unit covers.
inline constexpr int64_t flatChunk = 4096, columnChunk = 128, transposeChunk = 32;

/// Whether a row kernel keeps this full-row value in scratch, in f32, between the passes that read
/// it (it costs a transcendental function and more than one op reads it).
bool isBuffered(mlir::Value value, const ReduceSpace &space);

/// The number of units of a launch as an expression of the symbols.
mlir::FailureOr<mlir::AffineExpr> gridOf(Template kind, mlir::Block &body);

/// Scratch bytes of one worker with every dim at its upper bound.
mlir::FailureOr<int64_t> scratchBytesOf(Template kind, mlir::Block &body, const Bounds &bounds);

} // namespace ciuic::graph
