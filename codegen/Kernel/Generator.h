// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// From a graph.kernel to a function of scf, arith, vector and llvm ops: one template, one emit
// function.
//
// Host kernels are `void NAME(ptrs, dims, params, begin, end, scratch)`: `ptrs` are the operands'
// then the results' addresses, units [begin, end) of `grid` are computed. GPU kernels take the
// addresses, `dims` and the params as arguments; their units follow from the plan (GpuPlan.h).
// In-place operation is allowed where a result is computed from an operand read at the same index.
#pragma once

#include "codegen/Kernel/Emitter.h"
#include "ir/Graph/KernelGeometry.h"

#include "mlir/IR/BuiltinOps.h"

namespace ciuic::codegen {

/// A kernel being generated: its body (norms expanded), where its operands and results lie, its
/// units.
struct KernelFrame {
  graph::KernelOp kernel;
  mlir::Block &body;
  Emitter &emitter;
  llvm::SmallVector<mlir::Value> pointers; // operands, then results
  mlir::Value begin, end, units;           // host: the range; GPU: the number of units
  // Host only.
  mlir::Value ptrs, dims, params, scratch;

  graph::YieldOp yield() { return mlir::cast<graph::YieldOp>(body.getTerminator()); }
  Buffer result(unsigned number);
  /// Runs `unit` for every unit of this worker or block.
  void forUnits(llvm::function_ref<void(mlir::Value)> unit);
};

void emitFlat(KernelFrame &frame);
void emitRow(KernelFrame &frame);
void emitColumn(KernelFrame &frame);
void emitTranspose(KernelFrame &frame);
void emitConcat(KernelFrame &frame);
void emitPad(KernelFrame &frame);
void emitAppend(KernelFrame &frame);
void emitRope(KernelFrame &frame);
void emitHeads(KernelFrame &frame);
void emitResize(KernelFrame &frame);
void emitCumSum(KernelFrame &frame);
void emitScatter(KernelFrame &frame);

/// The rotated elements at two indices of a rope's result that it pairs.
std::pair<mlir::Value, mlir::Value> rotated(Emitter &emitter, graph::RopeOp rope,
                                            llvm::ArrayRef<Lane> low, llvm::ArrayRef<Lane> high);
/// Where lane number `lane` of a rope's pairs stands along the last dim, and how many there are.
std::pair<Lane, Lane> pairAt(Emitter &emitter, graph::RopeOp rope, const Lane &lane);
mlir::Value pairsOf(Emitter &emitter, graph::RopeOp rope);
/// Calls `pair` with the two places along the last dim that a rope pairs, for all of them.
void forPairs(Emitter &emitter, graph::RopeOp rope,
              llvm::function_ref<void(const Lane &, const Lane &)> pair);

/// A row's values as lanes compute them: `count` lanes, each with values and their places.
struct RowValues {
  mlir::Value count;
  llvm::function_ref<llvm::SmallVector<std::pair<mlir::Value, Lane>>(const Lane &)> at;
};
/// Stores a row of `width` values quantised, at an index of `out` but for the last dim. On a GPU
/// the threads of a unit are one warp.
void storeQuantised(Emitter &emitter, int64_t width, const RowValues &values, const Buffer &out,
                    llvm::ArrayRef<Lane> index);
/// The value of quantised rows at an index.
mlir::Value dequantised(Emitter &emitter, graph::DequantiseRowsOp op, llvm::ArrayRef<Lane> index);

/// Operand or result `number`'s address on the host.
mlir::Value loadPointer(Emitter &emitter, mlir::Value ptrs, unsigned number);

/// Rewrites softmax, layer_norm and rms_norm into reductions and maps with f32 between them.
void expandNorms(mlir::Block &body);

/// The operands' buffers: dense, or with the strides of `graph.physical` extents. Needs `pointers`.
mlir::LogicalResult placeOperands(KernelFrame &frame);
/// Pointer `number` of the array `ptrs`.
mlir::Value loadPointer(Emitter &emitter, mlir::Value ptrs, unsigned number);

/// Whether a generated kernel lets the next one begin and waits for those before it itself, where
/// the chip can: the small one between a layer's products and its attention, which both do.
bool beginsEarly(graph::KernelOp kernel);

/// Appends the kernel's function (and for a GPU its gpu.module) to `module`. Errors are reported at
/// the kernel.
/// `capability` is that of the chip a GPU kernel is for.
mlir::LogicalResult generateKernel(graph::KernelOp kernel, mlir::ModuleOp module, Device device,
                                   int capability = 0);

} // namespace ciuic::codegen
