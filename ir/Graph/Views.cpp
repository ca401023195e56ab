// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Views as index expressions: see Views.h.
#include "ir/Graph/Views.h"

using namespace mlir;

namespace ciuic::graph {
namespace {

/// Reshapes as runs of dims with equal products: one operand dim that splits into several, or
/// several that merge into one. Unit dims belong to no run.
std::optional<SmallVector<AffineExpr>> throughReshape(ReshapeOp reshape, ArrayRef<AffineExpr> index,
                                                      bool merging) {
  auto from = dimsOf(reshape.getInput()), to = dimsOf(reshape.getResult());
  MLIRContext *context = reshape.getContext();
  AffineExpr zero = getAffineConstantExpr(0, context), one = getAffineConstantExpr(1, context);
  SmallVector<AffineExpr> result(from.size(), zero);
  size_t i = 0, j = 0;
  auto skipUnits = [&] {
    while (i < from.size() && isOne(from[i])) {
      ++i;
    }
    while (j < to.size() && isOne(to[j])) {
      ++j;
    }
  };
  for (skipUnits(); i < from.size(); skipUnits()) {
    // A split: from[i] = to[j] · to[j + 1] · …
    AffineExpr product = one, linear = zero;
    size_t end = j;
    while (end < to.size() && !sameDim(product, from[i])) {
      product = product * to[end];
      linear = linear * to[end] + index[end];
      ++end;
    }
    if (sameDim(product, from[i])) {
      result[i++] = linear;
      j = end;
      continue;
    }
    // A merge: from[i] · from[i + 1] · … = to[j]
    if (!merging || j == to.size()) {
      return std::nullopt;
    }
    product = one;
    end = i;
    while (end < from.size() && !sameDim(product, to[j])) {
      product = product * from[end++];
    }
    if (!sameDim(product, to[j])) {
      return std::nullopt;
    }
    AffineExpr rest = index[j++];
    for (size_t k = end; k-- > i + 1;) {
      result[k] = rest % from[k];
      rest = rest.floorDiv(from[k]);
    }
    result[i] = rest;
    i = end;
  }
  return j == to.size() ? std::optional(result) : std::nullopt;
}

} // namespace

std::optional<std::pair<Value, SmallVector<AffineExpr>>>
throughView(Operation *view, ArrayRef<AffineExpr> index, bool merging) {
  MLIRContext *context = view->getContext();
  SmallVector<AffineExpr> result;
  if (auto transpose = dyn_cast<TransposeOp>(view)) {
    result.resize(index.size());
    for (auto [i, p] : llvm::enumerate(transpose.getPermutation())) {
      result[p] = index[i];
    }
  } else if (auto expand = dyn_cast<ExpandOp>(view)) {
    auto from = dimsOf(expand.getInput());
    for (auto [i, extent] : llvm::enumerate(from)) {
      result.push_back(isOne(extent) ? getAffineConstantExpr(0, context)
                                     : index[index.size() - from.size() + i]);
    }
  } else if (auto slice = dyn_cast<SliceOp>(view)) {
    for (auto [i, offset] : llvm::enumerate(slice.getOffsets().getResults())) {
      result.push_back(offset + index[i] * slice.getSteps()[i]);
    }
  } else if (auto reshape = dyn_cast<ReshapeOp>(view)) {
    auto through = throughReshape(reshape, index, merging);
    if (!through) {
      return std::nullopt;
    }
    result = *through;
  } else {
    return std::nullopt;
  }
  return std::pair(view->getOperand(0), result);
}

AffineMap accessMap(unsigned dims, ArrayRef<AffineExpr> results, MLIRContext *context) {
  unsigned symbols = 0;
  for (AffineExpr e : results) {
    e.walk([&](AffineExpr x) {
      if (auto symbol = dyn_cast<AffineSymbolExpr>(x)) {
        symbols = std::max(symbols, symbol.getPosition() + 1);
      }
    });
  }
  return simplifyAffineMap(AffineMap::get(dims, symbols, results, context));
}

} // namespace ciuic::graph
