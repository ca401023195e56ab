// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Verifiers of fusions, kernels and launches. Labels (C1)… are Graph.td's.
#include "ir/Graph/Graph.h"

using namespace mlir;
using namespace ciuic::graph;

static LogicalResult verifyBody(Operation *op, Region &body, TypeRange inputs, TypeRange results) {
  Block &block = body.front();
  if (block.getArgumentTypes() != inputs) {
    return op->emitOpError("(C1) block arguments must have the operands' types");
  }
  if (cast<YieldOp>(block.getTerminator()).getValues().getTypes() != results) {
    return op->emitOpError("(C2) yielded values must have the results' types");
  }
  return success();
}

LogicalResult FusionOp::verify() {
  return verifyBody(*this, getBody(), getInputs().getTypes(), getResultTypes());
}

LogicalResult KernelOp::verify() {
  FunctionType type = getFunctionType();
  if (getGrid().getNumDims() != 0 || getGrid().getNumResults() != 1) {
    return emitOpError("(C3) the grid must be one expression of the symbols");
  }
  return verifyBody(*this, getBody(), type.getInputs(), type.getResults());
}

LogicalResult LaunchOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto kernel = symbols.lookupNearestSymbolFrom<KernelOp>(*this, getCalleeAttr());
  if (!kernel) {
    return emitOpError("(C1) names no kernel: ") << getCallee();
  }
  if (kernel.getFunctionType().getInputs() != getInputs().getTypes() ||
      kernel.getFunctionType().getResults() != getResultTypes()) {
    return emitOpError("(C2) types differ from those of ") << getCallee();
  }
  return success();
}
