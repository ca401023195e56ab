// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Kernels whose loops are a function of the device's library (kernels/host/Abi.h has the arguments,
// kernels/VendorCalls.h those of the vendor's): which one, with what arguments. The lowering asks
// for units, scratch and workspace, code generation for the call, so both see one description.
#pragma once

#include "ir/Graph/Graph.h"

#include <optional>
#include <string>

namespace ciuic::graph {

struct LibraryCall {
  std::string function;
  mlir::Operation *root = nullptr;          ///< the op it computes, first of the body
  llvm::SmallVector<mlir::AffineExpr> args; ///< in the order of the function's enum
  llvm::SmallVector<std::optional<unsigned>>
      pointers; ///< kernel argument behind each of its pointers; none: unused
  llvm::SmallVector<int64_t>
      params; ///< {first panel, end panel} of the whole weight; with tiles then {first column, row
              ///< stride} of the results' places; empty if it takes none
  bool tiles = false; ///< any run of whole tiles of panels may be computed alone
  bool cuda = false;
  bool pairs = false; ///< CUDA: its epilogue gets the elements of two products at once
  bool vendor =
      false; ///< a call of the vendor's library: args are its shape, the kernel has no code
  /// CUDA: args with every symbol at its upper bound.
  llvm::SmallVector<int64_t> atBounds;
};

/// The call behind a kernel, or none if the kernel's template is generated. Fails, with a
/// diagnostic at the op, where the library has no function for it (element types, ranks).
mlir::FailureOr<std::optional<LibraryCall>> libraryCallOf(KernelOp kernel);

/// Units of a launch with these params; on CUDA the blocks that have something to do, one for a
/// vendor's call.
mlir::AffineExpr unitsOf(const LibraryCall &call, llvm::ArrayRef<int64_t> params);

/// Scratch bytes of one worker with every symbol at its upper bound.
int64_t scratchOf(const LibraryCall &call, llvm::ArrayRef<int64_t> upper);

/// The mark of how a weight is packed on an argument of a kernel; null where it is a plain tensor.
PackingAttr packingOf(KernelOp kernel, unsigned argument);

/// Whether a product is one of decoding: a row for each of at most four sequences, which is what
/// the default bounds of a batch allow, and perhaps of a single one.
bool decodes(MatmulOp matmul, const Bounds &bounds);

/// Whether this kernel rounds a single row to int8 first (more rows it multiplies as they are): it
/// is one of decoding by an int4 weight whose argument is marked `graph.rounded`. That depends on
/// model, entry and format alone.
bool roundsRow(KernelOp kernel);

} // namespace ciuic::graph
