// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See Tiling.h.
#include "passes/Lower/Tiling.h"

#include "ir/Graph/Weights.h"
#include "kernels/host/Abi.h"

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

SmallVector<int64_t> tileParamsOf(PackingAttr packing, int64_t begin, int64_t end, bool apart) {
  kernels::PackSpec spec = packSpecOf(packing);
  int64_t panel = kernels::panelBytes(spec);
  int64_t first = begin / panel, last = (end + panel - 1) / panel;
  if (!apart) {
    return {first, last, 0, spec.columns};
  }
  int64_t column = first * kernels::kPanel;
  return {first, last, column, std::min(last * kernels::kPanel, spec.columns) - column};
}

std::optional<ColumnResult> columnResultOf(KernelOp kernel, const LibraryCall &call) {
  ValueRange results = kernel.getBody().front().getTerminator()->getOperands();
  // CUDA's kernels know no columns of a result that lie apart.
  if (!call.tiles || call.cuda || results.size() != 1 ||
      dimsOf(results.front()) != dimsOf(call.root->getResult(0))) {
    return std::nullopt;
  }
  auto dims = dimsOf(results.front());
  auto columns = dyn_cast<AffineConstantExpr>(dims.back());
  if (!columns) {
    return std::nullopt;
  }
  Type element = cast<RankedTensorType>(results.front().getType()).getElementType();
  return ColumnResult{productOf(ArrayRef(dims).drop_back(), kernel.getContext()),
                      columns.getValue() * elementBytes(element)};
}

std::optional<HostGather> hostGatherOf(KernelOp kernel) {
  Block &body = kernel.getBody().front();
  auto gather = dyn_cast<GatherOp>(body.front());
  if (!gather || gather->getNextNode() != body.getTerminator() || gather.getAxis() != 0 ||
      argumentOf(kernel, gather.getInput()) != 0 || argumentOf(kernel, gather.getIndices()) != 1) {
    return std::nullopt;
  }
  int64_t row = elementBytes(cast<RankedTensorType>(gather.getInput().getType()).getElementType());
  auto dims = dimsOf(gather.getInput());
  for (AffineExpr dim : ArrayRef(dims).drop_front()) {
    auto constant = dyn_cast<AffineConstantExpr>(dim);
    if (!constant) {
      return std::nullopt;
    }
    row *= constant.getValue();
  }
  // Where the host gathers rows its kernel runs a unit a row: one that cuts rows apart, or gathers
  // many at once, cannot.
  AffineExpr rows = productOf(dimsOf(gather.getIndices()), kernel.getContext());
  if (!isForCuda(kernel) && kernel.getGrid().getResult(0) != rows) {
    return std::nullopt;
  }
  return HostGather{rows, row};
}

} // namespace ciuic
