// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How the calls of the CUDA library divide their work (kernels/cuda/Catalog.h), as expressions.
#pragma once

#include "ir/Graph/LibraryCall.h"
#include "kernels/cuda/Catalog.h"

namespace ciuic::graph {

/// Blocks that have something to do in a launch with these params; one for a vendor's call.
mlir::AffineExpr cudaUnitsOf(const LibraryCall &call, llvm::ArrayRef<int64_t> params);

/// The block that the call's function wants. Not for a vendor's call.
kernels::cuda::Block cudaBlockOf(const LibraryCall &call);

/// Arena bytes that a launch needs for itself, as its last pointer; 0 for none.
int64_t workspaceOf(const LibraryCall &call);

} // namespace ciuic::graph
