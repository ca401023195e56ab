// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Producer maps move into the maps that read them: the producer's region is cloned into the
// consumer's, its operands read at the composed index. Whether to merge is one rule (shouldMerge):
// never compute an expensive region more often than before.
#include "passes/Fuse/Passes.h"

#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_FUSEMAPS
#include "passes/Fuse/Passes.h.inc"
} // namespace ciuic

namespace {

/// Operands a merged map may have: beyond it address computation costs more than a pass over
/// memory.
constexpr unsigned maxOperands = 10;

bool isCheap(MapOp map) {
  unsigned ops = 0;
  bool expensive = false;
  for (Operation &op : map.getBody().front().without_terminator()) {
    expensive |= isa<math::MathDialect>(op.getDialect()) &&
                 !isa<math::AbsFOp, math::FloorOp, math::CeilOp>(op);
    expensive |= isa<arith::DivFOp, arith::DivSIOp, arith::RemSIOp, arith::RemFOp>(op);
    ops += !isa<arith::ConstantOp>(op);
  }
  return !expensive && ops <= 4;
}

/// Whether reading through `access` visits each producer element at most once.
bool isInjective(AffineMap access, RankedTensorType domain) {
  SmallVector<bool> seen(access.getNumDims());
  for (AffineExpr e : access.getResults()) {
    if (auto dim = dyn_cast<AffineDimExpr>(e)) {
      seen[dim.getPosition()] = true;
    } else if (!isa<AffineConstantExpr>(e)) {
      return false;
    }
  }
  auto dims = dimsOf(domain);
  for (auto [i, extent] : llvm::enumerate(dims)) {
    auto constant = dyn_cast<AffineConstantExpr>(extent);
    if (!seen[i] && !(constant && constant.getValue() == 1)) {
      return false;
    }
  }
  return true;
}

/// Whether the map would be an epilogue: it is over the result of a product.
bool endsProduct(MapOp map) {
  return llvm::any_of(llvm::enumerate(map.getInputs()), [&](auto it) {
    return map.getMap(it.index()).isIdentity() &&
           sameDims(dimsOf(it.value()), dimsOf(map.getDomain())) &&
           isa_and_nonnull<MatmulOp, ConvOp, ConvTransposeOp>(it.value().getDefiningOp());
  });
}

bool shouldMerge(MapOp producer, MapOp consumer, AffineMap access) {
  if (producer.getInputs().size() + consumer.getInputs().size() > maxOperands) {
    return false;
  }
  // An epilogue costs nothing. It would if it were computed in another space, and so would the
  // second of two biases.
  bool sameSpace =
      access.isIdentity() && sameDims(dimsOf(producer.getDomain()), dimsOf(consumer.getDomain()));
  if (endsProduct(producer) && (!sameSpace || endsProduct(consumer))) {
    return false;
  }
  bool onlyReader = producer->getNumResults() == 1 && llvm::all_equal(producer->getUsers());
  if (isCheap(producer)) {
    // Duplicating reads as much as it saves only while the producer itself reads little.
    return onlyReader || producer.getInputs().size() <= 1;
  }
  return onlyReader && isInjective(access, consumer.getDomain());
}

/// The value of an affine expression over the consumer's index, as i64 arithmetic in its region.
Value indexValue(OpBuilder &b, Location loc, AffineExpr e) {
  Type i64 = b.getI64Type();
  if (auto dim = dyn_cast<AffineDimExpr>(e)) {
    return IndexOp::create(b, loc, i64, b.getI64IntegerAttr(dim.getPosition()));
  }
  if (auto constant = dyn_cast<AffineConstantExpr>(e)) {
    return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(constant.getValue()));
  }
  if (auto symbol = dyn_cast<AffineSymbolExpr>(e)) {
    return ExtentOp::create(b, loc, i64,
                            AffineMapAttr::get(AffineMap::get(0, symbol.getPosition() + 1, e)));
  }
  auto binary = cast<AffineBinaryOpExpr>(e);
  Value l = indexValue(b, loc, binary.getLHS()), r = indexValue(b, loc, binary.getRHS());
  switch (e.getKind()) {
  case AffineExprKind::Add:
    return arith::AddIOp::create(b, loc, l, r);
  case AffineExprKind::Mul:
    return arith::MulIOp::create(b, loc, l, r);
  case AffineExprKind::FloorDiv: // indices are never negative
    return arith::DivUIOp::create(b, loc, l, r);
  case AffineExprKind::CeilDiv:
    return arith::CeilDivUIOp::create(b, loc, l, r);
  default:
    return arith::RemUIOp::create(b, loc, l, r);
  }
}

struct MergeProducer : OpRewritePattern<MapOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MapOp consumer, PatternRewriter &rewriter) const override {
    for (auto [k, input] : llvm::enumerate(consumer.getInputs())) {
      auto producer = input.getDefiningOp<MapOp>();
      if (producer && shouldMerge(producer, consumer, consumer.getMap(k))) {
        merge(rewriter, producer, consumer, k);
        return success();
      }
    }
    return failure();
  }

  static void merge(PatternRewriter &rewriter, MapOp producer, MapOp consumer, unsigned k) {
    AffineMap access = consumer.getMap(k);
    unsigned resultNumber = cast<OpResult>(consumer.getInputs()[k]).getResultNumber();
    SmallVector<Value> inputs;
    SmallVector<AffineMap> maps;
    for (unsigned i = 0; i < consumer.getInputs().size(); ++i) {
      if (i != k) {
        inputs.push_back(consumer.getInputs()[i]);
        maps.push_back(consumer.getMap(i));
      }
    }
    unsigned ownOperands = inputs.size();
    for (unsigned i = 0; i < producer.getInputs().size(); ++i) {
      AffineMap own = producer.getMap(i);
      unsigned symbols = std::max(own.getNumSymbols(), access.getNumSymbols());
      SmallVector<AffineExpr> index = llvm::map_to_vector(
          own.getResults(), [&](AffineExpr e) { return e.replaceDims(access.getResults()); });
      inputs.push_back(producer.getInputs()[i]);
      maps.push_back(simplifyAffineMap(
          AffineMap::get(access.getNumDims(), symbols, index, consumer.getContext())));
    }
    rewriter.setInsertionPoint(consumer);
    auto merged = MapOp::create(
        rewriter, consumer.getLoc(), consumer->getResultTypes(), inputs, maps,
        [&](OpBuilder &b, Location loc, ValueRange arguments) {
          IRMapping mapping;
          Block &inner = producer.getBody().front();
          mapping.map(inner.getArguments(), arguments.drop_front(ownOperands));
          for (Operation &op : inner.without_terminator()) {
            if (auto index = dyn_cast<IndexOp>(op)) {
              mapping.map(index.getResult(), indexValue(b, loc, access.getResult(index.getDim())));
            } else {
              b.clone(op, mapping);
            }
          }
          Value produced = mapping.lookupOrDefault(
              cast<YieldOp>(inner.getTerminator()).getValues()[resultNumber]);
          Block &outer = consumer.getBody().front();
          IRMapping outerMapping;
          unsigned next = 0;
          for (unsigned i = 0; i < outer.getNumArguments(); ++i) {
            outerMapping.map(outer.getArgument(i), i == k ? produced : arguments[next++]);
          }
          for (Operation &op : outer.without_terminator()) {
            b.clone(op, outerMapping);
          }
          return llvm::map_to_vector(cast<YieldOp>(outer.getTerminator()).getValues(),
                                     [&](Value v) { return outerMapping.lookupOrDefault(v); });
        });
    rewriter.replaceOp(consumer, merged.getResults());
  }
};

struct FuseMapsPass : ciuic::impl::FuseMapsBase<FuseMapsPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<MergeProducer>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns)))) {
      signalPassFailure();
    }
  }
};

} // namespace
