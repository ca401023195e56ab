// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operations and bytes of a kernel: see KernelCost.h. Elementwise ops count one operation per
// scalar op and element; products two per multiply-add.
#include "passes/Lower/KernelCost.h"

#include "ir/Graph/LibraryCall.h"
#include "ir/Graph/Weights.h"
#include "kernels/cuda/AttentionShape.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
namespace {

double elements(Value value, ArrayRef<int64_t> symbols) {
  double count = 1;
  for (AffineExpr dim : dimsOf(value)) {
    count *= static_cast<double>(evaluate(dim, symbols).value_or(int64_t(1) << 31));
  }
  return count;
}

double bytesOf(Value value, ArrayRef<int64_t> symbols) {
  return elements(value, symbols) *
         elementBytes(cast<RankedTensorType>(value.getType()).getElementType());
}

double extent(Value value, unsigned dim, ArrayRef<int64_t> symbols) {
  return static_cast<double>(evaluate(dimsOf(value)[dim], symbols).value_or(int64_t(1) << 31));
}

/// A GPU's kernels of halves are made for a few widths of heads, and compute with zeros up to the
/// next one.
double widthFactor(AttentionOp attention) {
  auto type = cast<RankedTensorType>(attention.getQuery().getType());
  int64_t width = type.getShape().back();
  if (!isForCuda(attention) || type.getElementType().isF32() || width <= 0) {
    return 1;
  }
  return std::max(1.0, kernels::attentionWidth(width) / static_cast<double>(width));
}

/// Operations of one op of a kernel's body; kind and rows of `cost` are set where the op decides
/// them.
double flopsOf(Operation &op, ArrayRef<int64_t> symbols, KernelCost &cost) {
  std::string &kind = cost.kind;
  if (auto matmul = dyn_cast<MatmulOp>(op)) {
    kind = "matmul";
    Type element = cast<RankedTensorType>(matmul.getB().getType()).getElementType();
    cost.format = element.isF16() ? "f16" : element.isBF16() ? "bf16" : "f32";
    auto rank = cast<RankedTensorType>(matmul.getA().getType()).getRank();
    cost.rows = static_cast<int64_t>(elements(matmul.getA(), symbols) /
                                     std::max(1.0, extent(matmul.getA(), rank - 1, symbols)));
    return 2 * elements(matmul.getResult(), symbols) *
           extent(matmul.getA(), rank - (matmul.getTransposeA() ? 2 : 1), symbols);
  }
  auto window = [&](Value filter, double outputs) {
    kind = "conv";
    auto shape = cast<RankedTensorType>(filter.getType()).getShape().drop_front(1);
    return 2 * outputs * std::accumulate(shape.begin(), shape.end(), 1.0, std::multiplies<>());
  };
  if (auto conv = dyn_cast<ConvOp>(op)) {
    return window(conv.getFilter(), elements(conv.getResult(), symbols));
  }
  if (auto conv = dyn_cast<ConvTransposeOp>(op)) {
    return window(conv.getFilter(), elements(conv.getInput(), symbols));
  }
  if (auto attention = dyn_cast<AttentionOp>(op)) {
    kind = "attention";
    auto sequence = [](HeadLayout layout) { return layout == HeadLayout::bhsd ? 2u : 1u; };
    double keys = extent(attention.getKey(), sequence(attention.getKeyLayout()), symbols);
    if (attention.getCausal()) { // a query sees the keys up to its own
      keys -= std::min(keys,
                       extent(attention.getQuery(), sequence(attention.getQueryLayout()), symbols) -
                           1) /
              2;
    }
    return 4 * elements(attention.getQuery(), symbols) * keys * widthFactor(attention);
  }
  if (isa<GroupNormOp>(op) && (kind == "move" || kind == "map")) {
    kind = "group_norm";
  }
  if (kind == "move" && isa<MapOp, ReduceOp, SoftmaxOp, LayerNormOp, RmsNormOp, GroupNormOp, RopeOp,
                            PoolOp, ResizeOp, CumSumOp>(op)) {
    kind = "map";
  }
  if (auto map = dyn_cast<MapOp>(op)) {
    return elements(map.getResult(0), symbols) *
           std::distance(map.getBody().front().begin(), map.getBody().front().end());
  }
  if (auto pool = dyn_cast<PoolOp>(op)) {
    return elements(pool.getResult(), symbols) * std::accumulate(pool.getKernel().begin(),
                                                                 pool.getKernel().end(), 1.0,
                                                                 std::multiplies<>());
  }
  return op.getNumOperands() ? 4 * elements(op.getOperand(0), symbols) : 0;
}

} // namespace

KernelCost costOf(KernelOp kernel, ArrayRef<int64_t> symbols) {
  KernelCost cost;
  Block &body = kernel.getBody().front();
  double bytes = 0;
  for (Operation &op : body.without_terminator()) {
    cost.flops += flopsOf(op, symbols, cost);
  }
  for (auto [i, argument] : llvm::enumerate(body.getArguments())) {
    bool rowsOnly = llvm::all_of(argument.getUses(), [](OpOperand &use) {
      return (isa<GatherOp>(use.getOwner()) && use.getOperandNumber() == 0) ||
             (isa<AppendOp>(use.getOwner()) && use.getOperandNumber() == 0);
    });
    if (rowsOnly) {
      continue; // of a table or a state only the rows written or gathered move, and results count
                // those
    }
    auto packing =
        kernel.getArgAttrs()
            ? cast<DictionaryAttr>((*kernel.getArgAttrs())[i]).getAs<PackingAttr>("graph.packing")
            : PackingAttr();
    if (packing) {
      cost.format = packing.getFormat().str();
    }
    bytes += packing ? static_cast<double>(packedBytes(packing)) : bytesOf(argument, symbols);
  }
  cost.format += cost.rows == 1 && roundsRow(kernel) ? "_rounded" : "";
  for (Value result : body.getTerminator()->getOperands()) {
    auto append = result.getDefiningOp<AppendOp>();
    bytes += append ? bytesOf(append.getFresh(), symbols) : bytesOf(result, symbols);
  }
  cost.bytes = bytes < 4e18 ? static_cast<int64_t>(bytes) : int64_t(1) << 62;
  return cost;
}

} // namespace ciuic
