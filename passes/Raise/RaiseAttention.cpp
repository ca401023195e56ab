// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// softmax(scale · q kᵀ + mask) v becomes one attention. The product with v is the anchor; below it
// stand the softmax (perhaps with its NaNs made 0, for rows that see nothing), the masks, the
// scale, and the product of q and k, each found through whatever views an exporter puts between.
// Heads are read where they lie, in the layout they lie in, unrepeated.
//
// Causality: the flag stands for a mask only if nothing else hides keys. Where the exporter
// combines it with padding that depends on data, the whole stays an addend: a row that padding
// hides entirely attends evenly to all keys, the ones after it too, and no flag says that.
#include "kernels/cuda/Catalog.h"
#include "passes/Raise/AttentionMask.h"
#include "passes/Raise/HeadLayouts.h"
#include "passes/Raise/Passes.h"

#include <cmath>

using namespace mlir;
using namespace ciuic::graph;
using namespace ciuic::raise;

namespace ciuic {
#define GEN_PASS_DEF_RAISEATTENTION
#include "passes/Raise/Passes.h.inc"
} // namespace ciuic

namespace {

/// The element of a product's operand at (d0, d1, row, column), the operand's last dims swapped if
/// `transposed`.
Term operandOf(Value operand, AffineExpr row, AffineExpr column, bool transposed) {
  Term term = elementOf(operand);
  unsigned rank = term.index.size();
  auto dims = dimsOf(operand);
  if (transposed) {
    std::swap(row, column);
  }
  MLIRContext *context = operand.getContext();
  AffineExpr zero = getAffineConstantExpr(0, context), one = getAffineConstantExpr(1, context);
  for (unsigned i = 0; i < rank; ++i) {
    AffineExpr e = i + 2 == rank   ? row
                   : i + 1 == rank ? column
                                   : getAffineDimExpr(4 - rank + i, context);
    term.index[i] = dims[i] == one ? zero : e;
  }
  return term;
}

bool isFour(MatmulOp product) {
  auto rank = [](Value v) { return cast<RankedTensorType>(v.getType()).getRank(); };
  return rank(product.getResult()) == 4 && rank(product.getA()) <= 4 && rank(product.getB()) <= 4;
}

/// What a softmax over scores comes from.
struct Scores {
  MatmulOp product;
  double scale = 1;
  SmallVector<Mask> masks;
};

std::optional<Scores> scoresOf(const Term &term, double low, double scale = 1,
                               unsigned depth = maxDepth) {
  auto tensors = tensorsOf(term);
  if (!tensors.empty()) {
    auto product = tensors.back().value.getDefiningOp<MatmulOp>();
    if (product && isFour(product) && isIdentity(tensors.back()) && !computationOf(term).op) {
      return Scores{product, scale, {}};
    }
  }
  Computation c = depth ? computationOf(term) : Computation();
  if (isa_and_nonnull<arith::MulFOp, arith::DivFOp>(c.op)) {
    for (unsigned i = isa<arith::DivFOp>(c.op) ? 1 : 0; i < 2; ++i) {
      if (auto factor = constantOf(c.operands[i])) {
        return scoresOf(c.operands[1 - i], low,
                        isa<arith::DivFOp>(c.op) ? scale / *factor : scale * *factor, depth - 1);
      }
    }
  }
  // A mask below a scale would be scaled too; such a form is left alone.
  if (scale != 1) {
    return std::nullopt;
  }
  if (isa_and_nonnull<arith::AddFOp>(c.op)) {
    for (unsigned i = 0; i < 2; ++i) {
      if (auto scores = scoresOf(c.operands[i], low, 1, depth - 1)) {
        scores->masks.push_back({c.operands[1 - i]});
        return scores;
      }
    }
  }
  if (isa_and_nonnull<arith::SelectOp>(c.op)) {
    for (unsigned i = 1; i < 3; ++i) {
      auto fill = constantOf(c.operands[3 - i]);
      auto scores =
          fill && *fill <= low ? scoresOf(c.operands[i], low, 1, depth - 1) : std::nullopt;
      if (scores) {
        scores->masks.push_back({c.operands[0], true, i == 1, *fill});
        return scores;
      }
    }
  }
  return std::nullopt;
}

/// The softmax whose element (d0, d1, d2, d3) the term is; `guarded` where NaNs are made 0.
SoftmaxOp softmaxOf(const Term &term, bool &guarded) {
  auto direct = [](const Term &t) {
    auto tensors = tensorsOf(t);
    auto softmax = tensors.empty() ? SoftmaxOp() : tensors.back().value.getDefiningOp<SoftmaxOp>();
    return softmax && !softmax.getLog() && isIdentity(tensors.back()) &&
                   tensors.back().index.size() == 4
               ? softmax
               : SoftmaxOp();
  };
  guarded = false;
  Computation c = computationOf(term);
  if (!c.op) {
    return direct(term);
  }
  if (!isa<arith::SelectOp>(c.op) || constantOf(c.operands[1]) != 0) {
    return {};
  }
  Computation isNan = computationOf(c.operands[0]);
  auto compare = dyn_cast_or_null<arith::CmpFOp>(isNan.op);
  SoftmaxOp softmax = computationOf(c.operands[2]).op ? SoftmaxOp() : direct(c.operands[2]);
  guarded = softmax && compare && compare.getPredicate() == arith::CmpFPredicate::UNO &&
            direct(isNan.operands[0]) == softmax && direct(isNan.operands[1]) == softmax;
  return guarded ? softmax : SoftmaxOp();
}

/// `tensor` with NaNs made 0.
Value withoutNans(OpBuilder &b, Location loc, Value tensor) {
  SmallVector<Type> types{tensor.getType()};
  SmallVector<Value> inputs{tensor};
  auto identity = b.getMultiDimIdentityMap(4);
  return MapOp::create(
             b, loc, types, inputs, {identity},
             [](OpBuilder &b, Location loc, ValueRange x) {
               Value zero = arith::ConstantOp::create(b, loc, b.getFloatAttr(x[0].getType(), 0));
               Value nan = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO, x[0], x[0]);
               return SmallVector<Value>{arith::SelectOp::create(b, loc, nan, zero, x[0])};
             })
      .getResult(0);
}

bool raise(MatmulOp product, const Bounds &bounds) {
  Type element = getElementTypeOrSelf(product.getResult());
  if (!isFour(product) || !isa<Float32Type, Float16Type, BFloat16Type>(element)) {
    return false;
  }
  double low = lowFill(element);
  // 1. The softmax and what its scores are made of.
  MLIRContext *context = product.getContext();
  AffineExpr d2 = getAffineDimExpr(2, context), d3 = getAffineDimExpr(3, context);
  bool guarded = false;
  SoftmaxOp softmax =
      softmaxOf(operandOf(product.getA(), d2, d3, product.getTransposeA()), guarded);
  auto scores = softmax ? scoresOf(elementOf(softmax.getInput()), low) : std::nullopt;
  if (!scores) {
    return false;
  }
  auto space = dimsOf(softmax.getInput()), out = dimsOf(product.getResult());
  MatmulOp inner = scores->product;
  auto innerA = dimsOf(inner.getA());
  AffineExpr width = innerA[innerA.size() - (inner.getTransposeA() ? 2 : 1)];
  // CUDA's kernels keep a head's row in registers; wider ones are three kernels.
  auto isWide = [&](AffineExpr extent) {
    return intervalOf(extent, bounds).upper.value_or(INT64_MAX) >
           ciuic::kernels::cuda::kAttentionWidest;
  };
  if (isForCuda(product) && (isWide(width) || isWide(out[3]))) {
    return false;
  }
  if (!sameDims(dimsOf(inner.getResult()), space) ||
      !sameDims(ArrayRef(out).take_front(3), ArrayRef(space).take_front(3))) {
    return false;
  }
  // 2. Queries, keys and values where they lie.
  SmallVector<AffineExpr> queryDims{space[0], space[1], space[2], width},
      keyDims{space[0], space[1], space[3], width}, valueDims{space[0], space[1], space[3], out[3]};
  auto query = headsOf(operandOf(inner.getA(), d2, d3, inner.getTransposeA()), queryDims, true,
                       /*repeated=*/false);
  auto key = headsOf(operandOf(inner.getB(), d3, d2, inner.getTransposeB()), keyDims, true);
  auto value =
      headsOf(operandOf(product.getB(), d2, d3, product.getTransposeB()), valueDims, false);
  auto headCount = [](const Heads &h) {
    return dimsOf(h.tensor)[h.layout == HeadLayout::bhsd ? 1 : 2];
  };
  auto fits = [&](const std::optional<Heads> &heads) {
    return heads && getElementTypeOrSelf(heads->tensor) == element;
  };
  if (!fits(query) || !fits(key) || !fits(value) || headCount(*key) != headCount(*value)) {
    return false;
  }
  double scale = scores->scale * query->scale * key->scale;
  // 3. The mask: causal by provable shape, or tensors.
  bool causal = scores->masks.size() == 1 && isCausal(scores->masks[0], space, bounds, low);
  if (!std::isfinite(scale) || (!causal && !llvm::all_of(scores->masks, [&](const Mask &m) {
        return hasTensor(m, space);
      }))) {
    return false;
  }
  // 4. The attention, in the layout that its readers want.
  OpBuilder b(product);
  Location loc = product.getLoc();
  Value mask =
      causal || scores->masks.empty() ? Value() : tensorOfMasks(b, loc, scores->masks, space);
  auto isSwap = [](Operation *user) {
    auto transpose = dyn_cast<TransposeOp>(user);
    return transpose && transpose.getPermutation() == ArrayRef<int64_t>{0, 2, 1, 3};
  };
  bool swapped = llvm::any_of(product->getUsers(), isSwap);
  SmallVector<AffineExpr> dims = out;
  if (swapped) {
    std::swap(dims[1], dims[2]);
  }
  HeadLayout layout = swapped ? HeadLayout::bshd : HeadLayout::bhsd;
  auto attr = [&](HeadLayout l) { return HeadLayoutAttr::get(context, l); };
  Value result = AttentionOp::create(
      b, loc, tensorOf(dims, element), query->tensor, key->tensor, value->tensor, mask,
      b.getF32FloatAttr(static_cast<float>(scale)), causal ? b.getUnitAttr() : UnitAttr(),
      attr(query->layout), attr(key->layout), attr(value->layout), attr(layout));
  result = guarded ? withoutNans(b, loc, result) : result;
  for (Operation *user : llvm::make_early_inc_range(product->getUsers())) {
    if (swapped && isSwap(user)) {
      user->getResult(0).replaceAllUsesWith(result);
    }
  }
  product.getResult().replaceAllUsesWith(swapped ? transposeHeads(b, loc, result) : result);
  return true;
}

struct RaiseAttentionPass : ciuic::impl::RaiseAttentionBase<RaiseAttentionPass> {
  void runOnOperation() override {
    Bounds bounds = boundsOf(getOperation());
    for (MatmulOp product : llvm::to_vector(getOperation().getOps<MatmulOp>())) {
      if (!product.use_empty()) {
        raise(product, bounds);
      }
    }
  }
};

} // namespace
