// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The norm in front of a matrix-vector product. It depends on the bounds alone whether the rows fit
// a block's shared memory, so a program computes the same in every budget.
#include "ir/Graph/Weights.h"
#include "passes/Fuse/Marks.h"
#include "passes/Fuse/Passes.h"

#include "kernels/cuda/Catalog.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_FUSENORMS
#include "passes/Fuse/Passes.h.inc"
} // namespace ciuic

namespace {

/// The norm that a fusion is, if it is one and nothing else.
RmsNormOp normOf(FusionOp fusion) {
  Block &body = fusion.getBody().front();
  auto norm = dyn_cast<RmsNormOp>(body.front());
  return norm && norm->getNextNode() == body.getTerminator() &&
                 isa<BlockArgument>(norm.getInput()) && isa<BlockArgument>(norm.getScale())
             ? norm
             : RmsNormOp();
}

Type elementOf(Value value) { return cast<RankedTensorType>(value.getType()).getElementType(); }

/// Bytes of weights from which on a product without tensor cores takes the norm: it reads weights
/// after it, so that small ones wait for longer than a launch takes. On an H100 the norm is free at
/// 201 MB and costs 1.5 µs at 7 MB.
constexpr int64_t kPlainWeightBytes = 64 << 20;

/// Whether rows of this type by a weight so packed are multiplied on tensor cores.
bool usesTensorCores(Type rows, PackingAttr packing) {
  StringRef format = packing.getFormat();
  return format.starts_with("int") || (rows.isF16() && format == "f16") ||
         (!rows.isF16() && format == "bf16");
}

/// The product of a fusion that may take the norm of `number`, its input.
MatmulOp productOver(FusionOp fusion, unsigned number, const Bounds &bounds) {
  namespace cuda = ciuic::kernels::cuda;
  auto product = dyn_cast<MatmulOp>(fusion.getBody().front().front());
  BlockArgument argument = fusion.getBody().getArgument(number);
  if (fusion.getTemplateKind() != Template::matmul || !product || product.getA() != argument ||
      !argument.hasOneUse()) {
    return {};
  }
  auto weight = dyn_cast<BlockArgument>(product.getB());
  auto packing = weight
                     ? ciuic::marksOf(fusion.getInputs()[weight.getArgNumber()], functionOf(fusion))
                           .getAs<PackingAttr>("graph.packing")
                     : PackingAttr();
  auto dims = dimsOf(product.getA());
  Interval rows = intervalOf(productOf(ArrayRef(dims).drop_back(), fusion.getContext()), bounds);
  auto depth = dyn_cast<AffineConstantExpr>(dims.back());
  if (!packing || !rows.upper || !depth || *rows.upper > cuda::kGemvRows) {
    return {};
  }
  bool wide = elementOf(product.getA()).isF32();
  bool pays = usesTensorCores(elementOf(product.getA()), packing) ||
              ciuic::packedBytes(packing) >= kPlainWeightBytes;
  return pays && packing.getLayout() == "rows16" &&
                 cuda::gemvStagedBytes(*rows.upper, depth.getValue(), wide ? 3 : 1) <=
                     cuda::kGemvStaged
             ? product
             : MatmulOp();
}

void fuse(FusionOp row, RmsNormOp norm, FusionOp fusion, unsigned number, MatmulOp product) {
  auto outer = [&](Value argument) {
    return row.getInputs()[cast<BlockArgument>(argument).getArgNumber()];
  };
  Block &body = fusion.getBody().front();
  SmallVector<Value> inputs(fusion.getInputs());
  inputs[number] = outer(norm.getInput());
  inputs.push_back(outer(norm.getScale()));
  body.getArgument(number).setType(norm.getInput().getType());
  Value scale = body.addArgument(norm.getScale().getType(), norm.getLoc());
  OpBuilder b(&body, body.begin());
  IRMapping mapping;
  mapping.map(norm.getInput(), body.getArgument(number));
  mapping.map(norm.getScale(), scale);
  product.getAMutable().assign(b.clone(*norm, mapping)->getResult(0));
  fusion.getInputsMutable().assign(inputs);
  row.erase();
}

struct FuseNormsPass : ciuic::impl::FuseNormsBase<FuseNormsPass> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (!isForCuda(function)) {
      return;
    }
    Bounds bounds = boundsOf(function);
    for (auto row : llvm::make_early_inc_range(function.getOps<FusionOp>())) {
      RmsNormOp norm =
          row.getTemplateKind() == Template::row && row->hasOneUse() ? normOf(row) : RmsNormOp();
      if (!norm || elementOf(norm.getInput()) != elementOf(norm.getScale())) {
        continue;
      }
      OpOperand &use = *row->use_begin();
      auto fusion = dyn_cast<FusionOp>(use.getOwner());
      if (!fusion) {
        continue;
      }
      if (MatmulOp product = productOver(fusion, use.getOperandNumber(), bounds)) {
        fuse(row, norm, fusion, use.getOperandNumber(), product);
      }
    }
  }
};

} // namespace
