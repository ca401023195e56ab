// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How lanes and units are spread over threads: not at all on the host (a worker runs its units
// alone); on a GPU a block takes a unit and its threads stride over the lanes.
#pragma once

#include "codegen/Kernel/Emitter.h"

namespace ciuic::codegen {

struct Range {
  mlir::Value lower;
  int64_t step;
};

/// Threads of a block in generated GPU kernels.
inline constexpr int64_t gpuThreads = 256;

/// Where this thread starts in a run of vectors from `lower` on, and how far apart its vectors are.
Range threadRange(Emitter &emitter, mlir::Value lower, int64_t width);

/// One value for the block from each thread's; the values themselves on the host.
llvm::SmallVector<mlir::Value> combineThreads(Emitter &emitter, llvm::ArrayRef<mlir::Value> values,
                                              const Emitter::Accumulation &accumulation);

/// A GPU block's loop over its units.
void forBlocks(Emitter &emitter, mlir::Value units, llvm::function_ref<void(mlir::Value)> unit);

/// Appends a gpu.module with one kernel of these arguments to the builder's block; returns its
/// entry block, `main` being a second one that ends in the return.
mlir::Block *beginGpuKernel(mlir::OpBuilder &builder, mlir::Location loc, llvm::StringRef name,
                            llvm::ArrayRef<mlir::Type> arguments, mlir::Block *&main);

/// Moves rows [from, to) (at most 32) of `columns` through shared memory: read with consecutive
/// threads along the rows' index, written with consecutive threads along the columns'.
void transposeTile(Emitter &emitter, mlir::Value from, mlir::Value to, mlir::Value columns,
                   llvm::function_ref<mlir::Value(mlir::Value, mlir::Value)> read,
                   llvm::function_ref<void(mlir::Value, mlir::Value, mlir::Value)> write);

} // namespace ciuic::codegen
