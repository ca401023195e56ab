// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A group norm sees its image as [images, pixels, groups, channels of a group]; what stands around
// it sees [images, rows, columns, channels]. Maps between a norm and the reshapes on its two sides
// are rewritten to the norm's view, so that one kernel computes them all.
#include "passes/Fuse/Passes.h"

#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_REGROUPMAPS
#include "passes/Fuse/Passes.h.inc"
} // namespace ciuic

namespace {

/// How a map over an image [n, spatial…, c] reads an operand.
enum class Read { Other, Nothing, Channel, ImageChannel, All };

Read readOf(Value operand, AffineMap access) {
  unsigned rank = access.getNumDims();
  SmallVector<unsigned> seen;
  auto dims = dimsOf(operand);
  for (auto [e, extent] : llvm::zip(access.getResults(), dims)) {
    auto dim = dyn_cast<AffineDimExpr>(e);
    auto constant = dyn_cast<AffineConstantExpr>(e);
    if (isOne(extent) && (dim || (constant && constant.getValue() == 0))) {
      continue;
    }
    if (!dim) {
      return Read::Other;
    }
    seen.push_back(dim.getPosition());
  }
  if (access.isIdentity() && dims.size() == rank) {
    return Read::All;
  }
  return seen.empty()                                          ? Read::Nothing
         : seen.size() == 1 && seen[0] == rank - 1             ? Read::Channel
         : seen.size() == 2 && !seen[0] && seen[1] == rank - 1 ? Read::ImageChannel
                                                               : Read::Other;
}

Value reshaped(OpBuilder &b, Location loc, Value value, ArrayRef<AffineExpr> dims) {
  Type type = tensorOf(dims, getElementTypeOrSelf(value));
  return value.getType() == type ? value : ReshapeOp::create(b, loc, type, value).getResult();
}

/// The map over [n, p, g, w], `grouped`, in place of [n, spatial…, c]; none where an operand is
/// read in another way.
MapOp regrouped(PatternRewriter &b, MapOp map, ArrayRef<AffineExpr> grouped) {
  bool usesIndex =
      map.getBody().walk([](IndexOp) { return WalkResult::interrupt(); }).wasInterrupted();
  SmallVector<Read> reads;
  for (auto [i, input] : llvm::enumerate(map.getInputs())) {
    auto dims = dimsOf(input);
    Read read = readOf(input, map.getMap(i));
    auto extentOf = [&](AffineExpr wanted) {
      return llvm::any_of(dims, [&](AffineExpr d) { return sameDim(d, wanted); });
    };
    AffineExpr channels = dimsOf(map.getResult(0)).back();
    if (read == Read::Other || (read != Read::Nothing && !extentOf(channels))) {
      return {};
    }
    reads.push_back(read);
  }
  if (usesIndex) {
    return {};
  }
  MLIRContext *context = map.getContext();
  auto access = [&](ArrayRef<unsigned> dims) {
    return AffineMap::get(
        4, 0, llvm::map_to_vector(dims, [&](unsigned d) { return getAffineDimExpr(d, context); }),
        context);
  };
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  for (auto [read, input] : llvm::zip(reads, map.getInputs())) {
    switch (read) {
    case Read::All:
      inputs.push_back(reshaped(b, map.getLoc(), input, grouped));
      maps.push_back(access({0, 1, 2, 3}));
      break;
    case Read::ImageChannel:
      inputs.push_back(reshaped(b, map.getLoc(), input, {grouped[0], grouped[2], grouped[3]}));
      maps.push_back(access({0, 2, 3}));
      break;
    case Read::Channel:
      inputs.push_back(reshaped(b, map.getLoc(), input, {grouped[2], grouped[3]}));
      maps.push_back(access({2, 3}));
      break;
    default:
      inputs.push_back(reshaped(b, map.getLoc(), input, {}));
      maps.push_back(access({}));
    }
  }
  auto clone = cast<MapOp>(b.clone(*map));
  clone.getInputsMutable().assign(inputs);
  clone.setMapsAttr(b.getAffineMapArrayAttr(maps));
  for (Value result : clone.getResults()) {
    result.setType(tensorOf(grouped, getElementTypeOrSelf(result)));
  }
  return clone;
}

/// Whether the value has a norm's view: a norm's result, or a map of one that has been regrouped.
bool isGrouped(Value value, unsigned depth = 4) {
  Operation *op = value.getDefiningOp();
  if (auto norm = dyn_cast_or_null<GroupNormOp>(op)) {
    return norm.getLayout() == ImageLayout::channels_last;
  }
  return depth > 0 && isa_and_nonnull<MapOp>(op) && dimsOf(value).size() == 4 &&
         llvm::any_of(op->getOperands(), [&](Value v) { return isGrouped(v, depth - 1); });
}

/// map(reshape(norm), …) = reshape(map over the norm's view).
struct SinkReshape : OpRewritePattern<MapOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MapOp map, PatternRewriter &rewriter) const override {
    for (auto [i, input] : llvm::enumerate(map.getInputs())) {
      auto reshape = input.getDefiningOp<ReshapeOp>();
      if (!reshape || !map.getMap(i).isIdentity() || !isGrouped(reshape.getInput())) {
        continue;
      }
      auto grouped = dimsOf(reshape.getInput());
      MapOp made = regrouped(rewriter, map, grouped);
      if (!made) {
        return failure();
      }
      SmallVector<Value> results;
      for (auto [result, old] : llvm::zip(made.getResults(), map.getResults())) {
        results.push_back(ReshapeOp::create(rewriter, map.getLoc(), old.getType(), result));
      }
      rewriter.replaceOp(map, results);
      return success();
    }
    return failure();
  }
};

/// norm(reshape(map)) = norm(map over the norm's view), where the map adds what no product's
/// epilogue does: a value for each image and channel.
struct LiftReshape : OpRewritePattern<GroupNormOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(GroupNormOp norm, PatternRewriter &rewriter) const override {
    auto reshape = norm.getInput().getDefiningOp<ReshapeOp>();
    auto map = reshape ? reshape.getInput().getDefiningOp<MapOp>() : MapOp();
    if (!map || norm.getLayout() != ImageLayout::channels_last || !reshape->hasOneUse() ||
        !map->hasOneUse() || map->getNumResults() != 1) {
      return failure();
    }
    bool perImage = llvm::any_of(llvm::enumerate(map.getInputs()), [&](auto it) {
      return readOf(it.value(), map.getMap(it.index())) == Read::ImageChannel;
    });
    rewriter.setInsertionPoint(map);
    MapOp made = perImage ? regrouped(rewriter, map, dimsOf(norm.getInput())) : MapOp();
    if (!made) {
      return failure();
    }
    rewriter.replaceOp(reshape, made.getResult(0));
    rewriter.eraseOp(map);
    return success();
  }
};

/// Whether a norm of channels last reads or made one of the values.
bool isByNorm(MapOp map) {
  auto isNorm = [](Operation *op) {
    auto norm = dyn_cast_or_null<GroupNormOp>(op);
    return norm && norm.getLayout() == ImageLayout::channels_last;
  };
  return llvm::any_of(map->getUsers(), isNorm) ||
         llvm::any_of(map->getOperands(), [&](Value v) { return isNorm(v.getDefiningOp()); });
}

/// An operand read at group · channels + channel: seen as [groups, channels], as the norm's own
/// vectors are. Folding views makes such reads; kernels know these dims by themselves.
struct SplitChannels : OpRewritePattern<MapOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MapOp map, PatternRewriter &rewriter) const override {
    auto domain = dimsOf(map.getDomain());
    if (domain.size() != 4 || !isByNorm(map)) {
      return failure();
    }
    AffineExpr group = getAffineDimExpr(2, map.getContext()),
               channel = getAffineDimExpr(3, map.getContext());
    for (unsigned i = 0; i < map.getInputs().size(); ++i) {
      AffineMap access = map.getMap(i);
      auto dims = dimsOf(map.getInputs()[i]);
      if (dims.empty() || access.getResults().back() != group * domain[3] + channel ||
          !sameDim(dims.back(), domain[2] * domain[3])) {
        continue;
      }
      SmallVector<AffineExpr> index(access.getResults().drop_back());
      index.append({group, channel});
      dims.back() = domain[2];
      dims.push_back(domain[3]);
      SmallVector<Value> inputs(map.getInputs());
      SmallVector<AffineMap> maps;
      for (unsigned j = 0; j < inputs.size(); ++j) {
        maps.push_back(map.getMap(j));
      }
      inputs[i] = reshaped(rewriter, map.getLoc(), inputs[i], dims);
      maps[i] = AffineMap::get(4, access.getNumSymbols(), index, map.getContext());
      rewriter.modifyOpInPlace(map, [&] {
        map.getInputsMutable().assign(inputs);
        map.setMapsAttr(rewriter.getAffineMapArrayAttr(maps));
      });
      return success();
    }
    return failure();
  }
};

struct RegroupMapsPass : ciuic::impl::RegroupMapsBase<RegroupMapsPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<SinkReshape, LiftReshape, SplitChannels>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns)))) {
      signalPassFailure();
    }
  }
};

} // namespace
