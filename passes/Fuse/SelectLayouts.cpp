// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One layout per stored tensor. Uses are looked up inside fusions: the operand's position in the
// body's op says what the op wants. The first packed use in program order wins; a use that cannot
// read its panels gets a plain twin.
#include "passes/Fuse/Passes.h"

#include "llvm/ADT/MapVector.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_SELECTLAYOUTS
#include "passes/Fuse/Passes.h.inc"
} // namespace ciuic

namespace {

/// The format that holds a weight as the model stores it.
StringRef exactFormat(Value weight) {
  Type element = cast<RankedTensorType>(weight.getType()).getElementType();
  return element.isF16() ? "f16" : element.isBF16() ? "bf16" : "f32";
}

/// The panels that `op` wants its operand in; null where it reads a plain tensor.
PackingAttr wantedPacking(Operation *op, unsigned operand) {
  MLIRContext *context = op->getContext();
  if (operand != 1) {
    return {};
  }
  auto shape = cast<RankedTensorType>(op->getOperand(1).getType()).getShape();
  bool cuda = isForCuda(op);
  StringRef layout = cuda ? "rows16" : "panel16";
  if (auto matmul = dyn_cast<MatmulOp>(op)) {
    if (shape.size() != 2 || matmul.getTransposeA()) {
      return {};
    }
    bool columns = matmul.getTransposeB();
    return PackingAttr::get(context, exactFormat(op->getOperand(1)), shape[columns ? 0 : 1],
                            shape[columns ? 1 : 0], 1, 1, columns ? "columns" : "rows", layout);
  }
  // The host's windows read f32 filters whatever the model stores.
  StringRef format = cuda ? exactFormat(op->getOperand(1)) : "f32";
  int64_t taps = 1;
  for (int64_t extent : shape.drop_front(std::min<size_t>(2, shape.size()))) {
    taps *= extent;
  }
  if (auto conv = dyn_cast<ConvOp>(op)) {
    int64_t group = conv.getGroup(), columns = shape[0] / group;
    if (group > 1 && columns == 1 && shape[1] == 1) {
      return PackingAttr::get(context, format, shape[0], 1, taps, 1, "depthwise", layout);
    }
    return PackingAttr::get(context, format, columns, shape[1], taps, group, "conv", layout);
  }
  if (auto conv = dyn_cast<ConvTransposeOp>(op)) {
    int64_t group = conv.getGroup();
    return PackingAttr::get(context, format, shape[1], shape[0] / group, taps, group,
                            "conv_transpose", layout);
  }
  return {};
}

struct Use {
  FusionOp fusion;
  unsigned operand;   ///< of the fusion
  PackingAttr wanted; ///< null: plain
  bool gather;
};

/// How a fusion reads one of its operands; mixed reads count as plain.
Use useOf(FusionOp fusion, unsigned operand) {
  Use use{fusion, operand, {}, true};
  bool first = true;
  for (OpOperand &inner : fusion.getBody().getArgument(operand).getUses()) {
    PackingAttr wanted = wantedPacking(inner.getOwner(), inner.getOperandNumber());
    use.gather &= isa<GatherOp>(inner.getOwner()) && inner.getOperandNumber() == 0;
    use.wanted = first || use.wanted == wanted ? wanted : PackingAttr();
    first = false;
  }
  return use;
}

struct SelectLayoutsPass : ciuic::impl::SelectLayoutsBase<SelectLayoutsPass> {
  void runOnOperation() override {
    // The same bytes may be named by weight ops of several entries; a small filter is a constant.
    llvm::MapVector<Attribute, SmallVector<Operation *>> weights;
    getOperation().walk([&](Operation *op) {
      if (auto weight = dyn_cast<WeightOp>(op)) {
        weights[ArrayAttr::get(&getContext(), {weight.getFileAttr(), weight.getOffsetAttr(),
                                               TypeAttr::get(weight.getType())})]
            .push_back(op);
      } else if (auto constant = dyn_cast<ConstantOp>(op)) {
        weights[constant.getValue()].push_back(op);
      }
    });
    for (auto &[key, copies] : weights) {
      SmallVector<Use> uses;
      PackingAttr packing;
      for (Operation *weight : copies) {
        for (OpOperand &operand : weight->getUses()) {
          auto fusion = dyn_cast<FusionOp>(operand.getOwner());
          if (!fusion) {
            continue; // a reshape or the return: plain
          }
          uses.push_back(useOf(fusion, operand.getOperandNumber()));
          packing = packing ? packing : uses.back().wanted;
        }
      }
      if (!packing) {
        continue;
      }
      for (Operation *weight : copies) {
        Operation *plain = nullptr;
        for (OpOperand &operand : llvm::make_early_inc_range(weight->getUses())) {
          auto fusion = dyn_cast<FusionOp>(operand.getOwner());
          Use use = fusion ? useOf(fusion, operand.getOperandNumber()) : Use{};
          // A gather along the columns (axis 0 of [N, K]) can take its rows from the panels.
          bool readsPanels =
              fusion && (use.wanted == packing ||
                         (use.gather && packing.getSource() == "columns" && gathersColumns(use)));
          if (readsPanels) {
            continue;
          }
          if (!plain) {
            OpBuilder b(weight);
            plain = b.clone(*weight);
          }
          operand.set(plain->getResult(0));
        }
        weight->setAttr("packing", inOwnFormat(weight, packing));
      }
    }
  }

  /// Blocks of integers that a packed format holds exactly stay integers.
  static PackingAttr inOwnFormat(Operation *op, PackingAttr packing) {
    auto weight = dyn_cast<WeightOp>(op);
    BlocksAttr blocks = weight ? weight.getBlocksAttr() : BlocksAttr();
    if (!blocks || blocks.getFormat().empty() || packing.getSource() != "columns") {
      return packing;
    }
    return PackingAttr::get(op->getContext(), blocks.getFormat(), packing.getColumns(),
                            packing.getChannels(), packing.getTaps(), packing.getGroups(),
                            packing.getSource(), packing.getLayout());
  }

  static bool gathersColumns(Use use) {
    return llvm::all_of(use.fusion.getBody().getArgument(use.operand).getUsers(),
                        [](Operation *op) {
                          auto gather = dyn_cast<GatherOp>(op);
                          return gather && gather.getAxis() == 0;
                        });
  }
};

} // namespace
