// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See Tiling.h.
#include "passes/Lower/Tiling.h"

#include "kernels/host/Abi.h"
#include "passes/Lower/Weights.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {

static PackingAttr packingOf(KernelOp kernel, unsigned argument) {
  return kernel.getArgAttrs() ? cast<DictionaryAttr>((*kernel.getArgAttrs())[argument]).getAs<PackingAttr>("graph.packing") : PackingAttr();
}

/// The argument that `value` (an operand in a kernel's body) is, or −1.
static int argumentOf(KernelOp kernel, Value value) {
  auto argument = dyn_cast<BlockArgument>(value);
  return argument && argument.getOwner() == &kernel.getBody().front() ? static_cast<int>(argument.getArgNumber()) : -1;
}

SmallVector<int64_t> defaultParamsOf(KernelOp kernel) {
  if (kernel.getTemplateKind() != Template::matmul) {
    return {};
  }
  auto matmul = cast<MatmulOp>(kernel.getBody().front().front());
  PackingAttr packing = packingOf(kernel, argumentOf(kernel, matmul.getB()));
  return {0, kernels::panelCount(packSpecOf(packing))};
}

SmallVector<int64_t> tileParamsOf(PackingAttr packing, int64_t begin, int64_t end) {
  int64_t panel = kernels::panelBytes(packSpecOf(packing));
  return {begin / panel, (end + panel - 1) / panel};
}

AffineExpr tileGridOf(KernelOp kernel, ArrayRef<int64_t> params) {
  auto matmul = cast<MatmulOp>(kernel.getBody().front().front());
  auto dims = dimsOf(matmul.getA());
  AffineExpr rows = productOf(ArrayRef(dims).drop_back(), kernel.getContext());
  AffineExpr panels = getAffineConstantExpr(params[1] - params[0], kernel.getContext());
  return rows.ceilDiv(kernels::kMatmulRows) * panels.ceilDiv(kernels::kMatmulPanels);
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
