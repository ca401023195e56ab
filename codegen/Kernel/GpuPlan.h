// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How a generated GPU kernel spreads its work over threads and blocks: decided once, from the body
// and the entry's bounds, for the code and for the launch.
#pragma once

#include "ir/Graph/KernelGeometry.h"

namespace ciuic::codegen {

/// Slots that a loop's iteration goes through (SlabGpu.cpp); those of a team that reads again are a
/// multiple of it.
inline constexpr int64_t slotsTogether = 4;

struct GpuPlan {
  /// Threads of a block; threads that share a unit (a power of two, at most `threads`); blocks that
  /// share a unit (1 unless group == threads).
  int64_t threads = 256, group = 256, cluster = 1;
  /// Lanes of a thread's vectors.
  int64_t width = 1;
  /// Flat: vectors that a thread computes together. Row: vectors that a thread keeps in registers;
  /// 0: a row is read once per reduction.
  int64_t slots = 0;
  /// Row: the slots are shared memory, filled by asynchronous copies (SlabGpu.cpp). `across`
  /// threads stand side by side along the elements of `rows` rows that alternate, the block's
  /// others at other places of these rows; 1 and all threads where rows are contiguous.
  bool slab = false;
  int64_t rows = 1, across = 0;
  /// Row, where a chip has no clusters or they are too small for a unit: the blocks that share one
  /// through global memory; fewer where the chip holds fewer. `again`: places beyond the slots are
  /// read again. Units of a launch that teams can share (0: too many).
  int64_t team = 1, teamUnits = 0;
  bool again = false;
  /// Blocks that a launch's grid is a multiple of.
  int64_t sharing() const { return cluster * team; }
  /// The same for launches of which all blocks have to run at once, on chips without clusters too;
  /// 0: no blocks meet in global memory. A team that reads again may be smaller.
  int64_t together() const {
    return again ? 1 : slab && teamUnits > 0 && cluster > 1 ? cluster : 0;
  }
  /// Dynamic shared memory of a block, and what of it the code makes do with (0: all); blocks that
  /// a multiprocessor is to hold, where that counts.
  int64_t sharedBytes = 0, leastShared = 0, resident = 0;
  /// Blocks of a launch, at the entry's bounds.
  int64_t grid = 1;
  /// Whether every index and offset fits in 31 bits at the entry's bounds.
  bool narrow = false;
};

/// The plan of a kernel whose template is generated, for chips of this capability; threads and grid
/// are the same for all. Fails where the body does not fit its template.
mlir::FailureOr<GpuPlan> gpuPlanOf(graph::KernelOp kernel, int capability);
/// Whether the elements of neighbouring rows alternate: [.., places.., rows, inner], the rows kept.
bool rowsAlternate(const graph::ReduceSpace &space);
/// The operands that a slab holds: those of the rows' shape that lie densely.
llvm::SmallVector<mlir::BlockArgument> slabOperands(mlir::Block &body,
                                                    const graph::ReduceSpace &space);

/// What the epilogue of a library call needs of a plan.
GpuPlan epiloguePlanOf(graph::KernelOp kernel);

/// A flat kernel's vectors: runs of the merged inner dim at one index of the outer ones.
mlir::AffineExpr flatVectors(const graph::FlatSpace &space, int64_t width,
                             mlir::MLIRContext *context);

} // namespace ciuic::codegen
