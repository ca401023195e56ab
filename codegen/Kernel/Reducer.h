// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What row and column kernels share on every device: the index space, how reductions combine,
// values supplied to maps, results stored.
#pragma once

#include "codegen/Kernel/Generator.h"

namespace ciuic::codegen {

struct ReductionState;

/// A row or column kernel being emitted.
struct Reducer {
  KernelFrame &frame;
  Emitter &e;
  graph::ReduceSpace space;
  llvm::SmallVector<mlir::Value> extents;
  llvm::SmallVector<unsigned> kept, reduced;
  mlir::Value count; ///< elements of one reduction
  /// This unit's index at kept dims (lanes at reduced dims are set by the loops).
  llvm::SmallVector<Lane> base;
  llvm::DenseMap<mlir::Value, mlir::Value> reductions;
  /// Rows kept in scratch: complete ones are read, the others written by whichever pass computes
  /// them.
  llvm::DenseMap<mlir::Value, Buffer> rows;
  llvm::DenseSet<mlir::Value> complete, written;
  llvm::SmallVector<Lane> current;
  /// Whether a mean and the variance around it are one fold, as `isMoments` says; else the mean
  /// comes first, and rows are read again for the variance.
  bool joinMoments = false;

  Reducer(KernelFrame &frame, graph::ReduceSpace s);

  bool isFull(mlir::Value tensor);
  bool isReduced(mlir::Value tensor);
  /// Whether every result has the full shape or the reductions'; fails the kernel if not.
  bool checkShapes();
  /// Supplies reductions and buffered rows to the emitter.
  void install();
  void endPass();
  /// `total` of each reduction, in order, finished and kept for whoever reads it; maps over results
  /// of reductions are computed where they stand between them.
  void reduceAll(llvm::function_ref<llvm::SmallVector<mlir::Value>(const ReductionState &)> total);
  /// The same with finished values, one for each of the state's tensors.
  void
  resolveAll(llvm::function_ref<llvm::SmallVector<mlir::Value>(const ReductionState &)> finished);
  /// Stores the results that have the reductions' shape; whether others have the full one.
  bool storeReduced();
  bool hasFull();
  /// Stores the results of the full shape at an index. All are computed before any is stored: a
  /// result may be an operand.
  void storeFull(llvm::ArrayRef<Lane> index);
  llvm::SmallVector<std::pair<unsigned, mlir::Value>> fullValues(llvm::ArrayRef<Lane> index);
  void storeValues(llvm::ArrayRef<std::pair<unsigned, mlir::Value>> values,
                   llvm::ArrayRef<Lane> index);

private:
  bool sameLane(const Lane &a, const Lane &b) { return a.value == b.value && a.kind == b.kind; }
  bool atCurrent(llvm::ArrayRef<Lane> index);
};

/// One reduction as a fold over lanes: scalars to start from, a step at an index, the merge of two
/// partial results, what makes the result of the total.
struct ReductionState {
  /// The results of reductions that this one computes.
  llvm::SmallVector<mlir::Value> tensors;
  llvm::SmallVector<mlir::Value> identity;
  std::function<llvm::SmallVector<mlir::Value>(llvm::ArrayRef<Lane>, mlir::ValueRange)> step;
  std::function<llvm::SmallVector<mlir::Value>(mlir::ValueRange, mlir::ValueRange)> combine;
  /// A value for each of `tensors`.
  std::function<llvm::SmallVector<mlir::Value>(mlir::ValueRange)> finish;
  /// A mean and a variance around it in one fold: number, mean, sum of squared differences. The
  /// number is the same in all lanes, and a scalar while steps run.
  bool isMoments = false;
};

/// Many partial moments as one: the mean of all first, then the squared differences from it.
llvm::SmallVector<mlir::Value> mergeMoments(Emitter &emitter,
                                            llvm::ArrayRef<llvm::SmallVector<mlir::Value>> parts);

/// None where `op` reduces nothing.
std::optional<ReductionState> stateOf(Reducer &r, mlir::Operation &op);

/// The GPU's forms of row and column kernels.
void emitRowOnGpu(Reducer &r);
void emitColumnOnGpu(Reducer &r);
/// A row kernel whose plan keeps rows in shared memory.
void emitSlabOnGpu(Reducer &r);

/// One step of a reduction; where `valid` is false nothing changes.
llvm::SmallVector<mlir::Value> maskedStep(Emitter &emitter, const ReductionState &state,
                                          llvm::ArrayRef<Lane> index, mlir::ValueRange carried,
                                          mlir::Value valid);

} // namespace ciuic::codegen
