// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See Tiling.h.
#include "passes/Lower/Tiling.h"

#include "ir/Graph/Weights.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {

/// The argument that `value` (an operand in a kernel's body) is, or −1.
static int argumentOf(KernelOp kernel, Value value) {
  auto argument = dyn_cast<BlockArgument>(value);
  return argument && argument.getOwner() == &kernel.getBody().front()
             ? static_cast<int>(argument.getArgNumber())
             : -1;
}

SmallVector<int64_t> tileParamsOf(PackingAttr packing, int64_t begin, int64_t end) {
  int64_t panel = kernels::panelBytes(packSpecOf(packing));
  return {begin / panel, (end + panel - 1) / panel};
}

std::optional<HostGather> hostGatherOf(KernelOp kernel) {
  Block &body = kernel.getBody().front();
  auto gather = dyn_cast<GatherOp>(body.front());
  if (!gather || gather->getNextNode() != body.getTerminator() || gather.getAxis() != 0 ||
      argumentOf(kernel, gather.getInput()) != 0 || argumentOf(kernel, gather.getIndices()) != 1) {
    return std::nullopt;
  }
  int64_t row = elementBytes(cast<RankedTensorType>(gather.getInput().getType()).getElementType());
  for (AffineExpr dim : ArrayRef(dimsOf(gather.getInput())).drop_front()) {
    auto constant = dyn_cast<AffineConstantExpr>(dim);
    if (!constant) {
      return std::nullopt;
    }
    row *= constant.getValue();
  }
  return HostGather{productOf(dimsOf(gather.getIndices()), kernel.getContext()), row};
}

} // namespace ciuic
