// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a kernel must know of an operand beyond its type.
#pragma once

#include "ir/Graph/Graph.h"

namespace ciuic {

/// `graph.packing`: how a weight is packed; `graph.rounded`: that a single row by it is rounded;
/// `graph.physical`: that a state's buffer has the strides of its largest extents. `operand` is an
/// input of a fusion of `function`.
mlir::DictionaryAttr marksOf(mlir::Value operand, mlir::func::FuncOp function);

} // namespace ciuic
