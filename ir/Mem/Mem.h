// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The mem dialect: generated declarations. See Mem.td for what the ops mean.
#pragma once

#include "ir/Graph/Graph.h"

#include "mlir/IR/RegionKindInterface.h"

#include "ir/Mem/MemDialect.h.inc"
#include "ir/Mem/MemEnums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "ir/Mem/MemAttrs.h.inc"
#define GET_TYPEDEF_CLASSES
#include "ir/Mem/MemTypes.h.inc"
#define GET_OP_CLASSES
#include "ir/Mem/MemOps.h.inc"
