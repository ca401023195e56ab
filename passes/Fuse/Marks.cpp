// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See Marks.h.
#include "passes/Fuse/Marks.h"

#include "ir/Graph/KernelGeometry.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {

DictionaryAttr marksOf(Value operand, func::FuncOp function) {
  Builder b(function.getContext());
  if (Operation *leaf = operand.getDefiningOp(); leaf && isa<WeightOp, ConstantOp>(leaf)) {
    auto packing = leaf->getAttrOfType<PackingAttr>("packing");
    SmallVector<NamedAttribute> marks;
    if (packing) {
      marks.push_back(b.getNamedAttr("graph.packing", packing));
    }
    if (leaf->hasAttr("activation_error")) {
      marks.push_back(b.getNamedAttr("graph.rounded", b.getUnitAttr()));
    }
    return b.getDictionaryAttr(marks);
  }
  // A state reaches its readers as the argument itself or as the result of the launch that appends
  // to it.
  while (auto fusion = operand.getDefiningOp<FusionOp>()) {
    auto past =
        appendedArgument(fusion.getBody().front(), cast<OpResult>(operand).getResultNumber());
    if (!past) {
      break;
    }
    operand = fusion.getInputs()[*past];
  }
  auto argument = dyn_cast<BlockArgument>(operand);
  if (!argument || argument.getOwner() != &function.getBody().front() ||
      !function.getArgAttr(argument.getArgNumber(), "graph.state")) {
    return b.getDictionaryAttr({});
  }
  auto physical = function.getArgAttr(argument.getArgNumber(), "graph.physical");
  return b.getDictionaryAttr({b.getNamedAttr("graph.physical", physical)});
}

} // namespace ciuic
