// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// From the graph's description of a packed weight to the packers'.
#pragma once

#include "ir/Graph/Graph.h"
#include "ir/Graph/MergedWeight.h"
#include "kernels/pack/Pack.h"

#include <optional>

namespace ciuic {

/// The packers' description of `packing`, whose format must be one they know (the packing's
/// verifier sees to it).
kernels::PackSpec packSpecOf(graph::PackingAttr packing);

/// Where the packers find the elements of a weight stored as `packing.source` says; `read` is left
/// empty.
kernels::WeightSource weightSourceOf(graph::PackingAttr packing, mlir::Type element);

/// How a weight of these `parts` (graph.weight, plan.weight) is read; none where it has none. In no
/// panels it is a vector.
graph::MergedWeight mergedWeightOf(std::optional<llvm::ArrayRef<int64_t>> parts, bool interleaved,
                                   graph::PackingAttr packing, mlir::RankedTensorType type);

int64_t packedBytes(graph::PackingAttr packing);

/// The smallest run of panels worth moving alone, in bytes: whole blocks of panels that a kernel
/// works on at once, of about 256 KiB, on CUDA 4 MiB.
int64_t tileBytesOf(graph::PackingAttr packing);

} // namespace ciuic
