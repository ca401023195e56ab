// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The plan dialect: generated declarations. See Plan.td for what the ops mean.
#pragma once

#include "ir/Graph/Graph.h"

#include "mlir/IR/RegionKindInterface.h"

#include "ir/Plan/PlanDialect.h.inc"
#include "ir/Plan/PlanEnums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "ir/Plan/PlanAttrs.h.inc"
#define GET_OP_CLASSES
#include "ir/Plan/PlanOps.h.inc"

namespace ciuic::plan {

/// Host offsets from here on stand for weights that are on the disk.
inline constexpr int64_t kDiskOffsets = int64_t(1) << 46;

} // namespace ciuic::plan
