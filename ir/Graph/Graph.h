// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The graph dialect: generated declarations. See Graph.td for what the ops mean and Shape.h for
// symbolic dims.
#pragma once

#include "ir/Graph/Shape.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "ir/Graph/GraphDialect.h.inc"
#include "ir/Graph/GraphEnums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "ir/Graph/GraphAttrs.h.inc"
#define GET_OP_CLASSES
#include "ir/Graph/GraphOps.h.inc"

namespace ciuic::graph {

/// Whether `op` is compiled for CUDA: `graph.device = "cuda"` stands on it or on an op around it
/// (the module; kernels carry it themselves). The host otherwise.
bool isForCuda(mlir::Operation *op);

} // namespace ciuic::graph
