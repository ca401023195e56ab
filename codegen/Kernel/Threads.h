// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How lanes and units are spread over threads: not at all on the host (a worker runs its units
// alone); on a GPU as the plan says: a group of threads, a block or a cluster of blocks takes a
// unit, and its threads stride over the lanes.
#pragma once

#include "codegen/Kernel/Emitter.h"

namespace mlir::gpu {
class GPUFuncOp;
} // namespace mlir::gpu

namespace ciuic::codegen {

struct Range {
  mlir::Value lower;
  int64_t step;
};

/// Where this thread starts in a run of vectors from `lower` on, and how far apart its vectors are.
Range threadRange(Emitter &emitter, mlir::Value lower, int64_t width);

/// One value for the group from each thread's; the values themselves on the host. All threads of
/// the block call it together.
llvm::SmallVector<mlir::Value> combineThreads(Emitter &emitter, llvm::ArrayRef<mlir::Value> values,
                                              const Emitter::Accumulation &accumulation);
/// One value for each run of `lanes` threads of a warp, a power of two.
llvm::SmallVector<mlir::Value> combineWarp(
    Emitter &emitter, llvm::ArrayRef<mlir::Value> values, int64_t lanes,
    llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::ValueRange, mlir::ValueRange)> combine);

/// One value for threads of the same column from those of all lines of a block: thread `x` of line
/// `y`, `plan.group` threads a line. Values are scalars or vectors of the emitter's width.
llvm::SmallVector<mlir::Value> combineLines(
    Emitter &emitter, llvm::ArrayRef<mlir::Value> values, mlir::Value x, mlir::Value y,
    llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::ValueRange, mlir::ValueRange)> combine);

/// By powers of two these are masks and shifts; values are not negative.
mlir::Value remainderOf(Emitter &emitter, mlir::Value value, int64_t divisor);
mlir::Value quotientOf(Emitter &emitter, mlir::Value value, int64_t divisor);

/// Indices as i64: the thread in its block, its group; the block's rank in its cluster.
mlir::Value threadIndex(Emitter &emitter);
mlir::Value memberIndex(Emitter &emitter);
mlir::Value clusterRank(Emitter &emitter);
/// Block number and number of blocks, in units of clusters.
mlir::Value blockIndex(Emitter &emitter);
mlir::Value blockCount(Emitter &emitter);

/// Each group's loop over its units; groups of a block may leave at different times.
void forGroups(Emitter &emitter, mlir::Value units, llvm::function_ref<void(mlir::Value)> unit);
/// The same in step for all groups of a block: a group without a unit repeats the last one, and
/// `valid` says so.
void forGroupsTogether(Emitter &emitter, mlir::Value units,
                       llvm::function_ref<void(mlir::Value, mlir::Value)> unit);

/// A block's (or cluster's) loop over units that all of its threads share.
void forBlocks(Emitter &emitter, mlir::Value units, llvm::function_ref<void(mlir::Value)> unit);

/// The block's dynamic shared memory.
mlir::Value dynamicShared(Emitter &emitter);

void blockBarrier(Emitter &emitter);
/// The type an element has in shared memory; an array's address; the function being built.
mlir::Type sharedType(Emitter &emitter, mlir::Type element);
mlir::Value sharedPointer(Emitter &emitter, mlir::Value array);
mlir::gpu::GPUFuncOp functionOf(Emitter &emitter);
/// Lets the next kernel of the stream begin, and waits for the end of those before this one, where
/// it was launched to begin early (kernels/cuda/Overlap.h). Compute capability 9.0 and later.
void beginEarly(Emitter &emitter);

/// A shared array of the block, of an element's stored type, and its elements.
mlir::Value sharedArray(Emitter &emitter, mlir::Type element, llvm::ArrayRef<int64_t> extents);
void storeShared(Emitter &emitter, mlir::Value value, mlir::Value array,
                 llvm::ArrayRef<mlir::Value> index);
mlir::Value loadShared(Emitter &emitter, mlir::Type element, mlir::Value array,
                       llvm::ArrayRef<mlir::Value> index);

/// Appends a gpu.module with one kernel of these arguments to the builder's block; returns its
/// entry block, `main` being a second one that ends in the return.
mlir::Block *beginGpuKernel(mlir::OpBuilder &builder, mlir::Location loc, llvm::StringRef name,
                            llvm::ArrayRef<mlir::Type> arguments, const GpuPlan &plan,
                            mlir::Block *&main);

/// Moves a tile of 32 rows from `from` on and 32 columns from `column` on through shared memory:
/// read with consecutive threads along the rows' index, written with consecutive threads along the
/// columns'.
void transposeTile(Emitter &emitter, mlir::Value from, mlir::Value to, mlir::Value column,
                   mlir::Value columns,
                   llvm::function_ref<mlir::Value(mlir::Value, mlir::Value)> read,
                   llvm::function_ref<void(mlir::Value, mlir::Value, mlir::Value)> write);

} // namespace ciuic::codegen
