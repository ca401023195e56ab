// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Images with channels last. Every convolution, pooling and resize is computed on [n, spatial…, c];
// transposes to and from that order are then moved towards the outputs until they meet and cancel.
// Only transposes back to channels first ("restoring" ones) move down, so the rewriting ends.
#include "passes/Fuse/Passes.h"

#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_CHANNELSLAST
#include "passes/Fuse/Passes.h.inc"
} // namespace ciuic

namespace {

/// [0, 2, 3, …, 1]: to channels last.
SmallVector<int64_t> toLast(int64_t rank) {
  SmallVector<int64_t> p{0};
  for (int64_t i = 2; i < rank; ++i) {
    p.push_back(i);
  }
  p.push_back(1);
  return p;
}
/// [0, r−1, 1, …]: back to channels first.
SmallVector<int64_t> toFirst(int64_t rank) {
  SmallVector<int64_t> p{0, rank - 1};
  for (int64_t i = 1; i + 1 < rank; ++i) {
    p.push_back(i);
  }
  return p;
}

template <class T>
SmallVector<T> permuted(ArrayRef<T> values, ArrayRef<int64_t> permutation) {
  return llvm::map_to_vector(permutation, [&](int64_t p) { return values[p]; });
}

RankedTensorType permutedType(Type type, ArrayRef<int64_t> permutation) {
  auto ranked = cast<RankedTensorType>(type);
  return tensorOf(permuted<AffineExpr>(dimsOf(ranked), permutation), ranked.getElementType());
}

Value transposed(OpBuilder &b, Location loc, Value value, ArrayRef<int64_t> permutation) {
  return TransposeOp::create(b, loc, permutedType(value.getType(), permutation), value,
                             permutation);
}

/// The channels-last value behind a restoring transpose.
Value behindRestore(Value value) {
  auto transpose = value.getDefiningOp<TransposeOp>();
  int64_t rank = cast<RankedTensorType>(value.getType()).getRank();
  return transpose && rank >= 3 && transpose.getPermutation() == ArrayRef<int64_t>(toFirst(rank))
             ? transpose.getInput()
             : Value();
}

/// Wraps an op with a `layout` attribute that reads channels first.
template <class Op>
struct ComputeChannelsLast : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const override {
    if (op.getLayout() != ImageLayout::channels_first) {
      return failure();
    }
    int64_t rank = cast<RankedTensorType>(op.getInput().getType()).getRank();
    Value input = transposed(rewriter, op.getLoc(), op.getInput(), toLast(rank));
    auto *clone = rewriter.clone(*op);
    auto inner = cast<Op>(clone);
    inner.getInputMutable().assign(input);
    inner.setLayout(ImageLayout::channels_last);
    inner->getResult(0).setType(permutedType(op.getType(), toLast(rank)));
    rewriter.replaceOp(op, transposed(rewriter, op.getLoc(), inner->getResult(0), toFirst(rank)));
    return success();
  }
};

/// A group norm over an image that is reshaped to its view. Its result is reshaped back by the
/// reader.
struct GroupNormChannelsLast : OpRewritePattern<GroupNormOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(GroupNormOp op, PatternRewriter &rewriter) const override {
    auto reshape = op.getInput().getDefiningOp<ReshapeOp>();
    if (!reshape || op.getLayout() != ImageLayout::channels_first) {
      return failure();
    }
    auto image = dimsOf(reshape.getInput()), dims = dimsOf(op.getInput());
    int64_t rank = image.size();
    if (rank < 3 || !sameDim(image[0], dims[0]) || !sameDim(image[1], dims[1] * dims[2])) {
      return failure();
    }
    Location loc = op.getLoc();
    Type element = getElementTypeOrSelf(op.getInput());
    Value last = transposed(rewriter, loc, reshape.getInput(), toLast(rank));
    Value grouped = ReshapeOp::create(
        rewriter, loc, tensorOf({dims[0], dims[3], dims[1], dims[2]}, element), last);
    Value norm = GroupNormOp::create(rewriter, loc, grouped.getType(), grouped, op.getScale(),
                                     op.getBias(), op.getEpsilon(), ImageLayout::channels_last);
    Value whole = ReshapeOp::create(rewriter, loc, last.getType(), norm);
    rewriter.replaceOpWithNewOp<ReshapeOp>(op, op.getType(),
                                           transposed(rewriter, loc, whole, toFirst(rank)));
    return success();
  }
};

struct CancelTransposes : OpRewritePattern<TransposeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(TransposeOp op, PatternRewriter &rewriter) const override {
    auto inner = op.getInput().getDefiningOp<TransposeOp>();
    if (!inner) {
      return failure();
    }
    SmallVector<int64_t> both = permuted<int64_t>(inner.getPermutation(), op.getPermutation());
    if (llvm::equal(both, llvm::seq<int64_t>(0, both.size()))) {
      rewriter.replaceOp(op, inner.getInput());
    } else {
      rewriter.replaceOpWithNewOp<TransposeOp>(op, op.getType(), inner.getInput(), both);
    }
    return success();
  }
};

/// map(restore(x), …) = restore(map over channels last). Other operands keep their place through
/// the access maps.
struct SinkBelowMap : OpRewritePattern<MapOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MapOp map, PatternRewriter &rewriter) const override {
    int64_t rank = map.getDomain().getRank();
    bool restored = rank >= 3 && llvm::any_of(llvm::enumerate(map.getInputs()), [&](auto it) {
                      return map.getMap(it.index()).isIdentity() && behindRestore(it.value());
                    });
    if (!restored) {
      return failure();
    }
    // Old index i stands at new position where[i].
    SmallVector<int64_t> last = toLast(rank), first = toFirst(rank);
    SmallVector<AffineExpr> oldIndex;
    for (int64_t i = 0; i < rank; ++i) {
      oldIndex.push_back(rewriter.getAffineDimExpr(first[i]));
    }
    SmallVector<Value> inputs;
    SmallVector<AffineMap> maps;
    for (auto [i, input] : llvm::enumerate(map.getInputs())) {
      AffineMap access =
          map.getMap(i).replaceDimsAndSymbols(oldIndex, {}, rank, map.getMap(i).getNumSymbols());
      if (Value inner = behindRestore(input)) {
        SmallVector<int64_t> p = toLast(access.getNumResults());
        access = AffineMap::get(rank, access.getNumSymbols(),
                                permuted<AffineExpr>(access.getResults(), p), map.getContext());
        input = inner;
      }
      inputs.push_back(input);
      maps.push_back(access);
    }
    rewriter.setInsertionPoint(map);
    auto clone = cast<MapOp>(rewriter.clone(*map));
    clone.getInputsMutable().assign(inputs);
    clone.setMapsAttr(rewriter.getAffineMapArrayAttr(maps));
    clone.getBody().walk([&](IndexOp index) { index.setDim(first[index.getDim()]); });
    SmallVector<Value> results;
    for (auto [result, old] : llvm::zip(clone.getResults(), map.getResults())) {
      result.setType(permutedType(old.getType(), last));
      results.push_back(transposed(rewriter, map.getLoc(), result, first));
    }
    rewriter.replaceOp(map, results);
    return success();
  }
};

struct SinkBelowReduce : OpRewritePattern<ReduceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReduceOp op, PatternRewriter &rewriter) const override {
    Value inner = behindRestore(op.getInput());
    if (!inner) {
      return failure();
    }
    int64_t rank = cast<RankedTensorType>(op.getType()).getRank();
    SmallVector<int64_t> first = toFirst(rank);
    SmallVector<int64_t> dims =
        llvm::map_to_vector(op.getDims(), [&](int64_t d) { return first[d]; });
    llvm::sort(dims);
    Value reduced = ReduceOp::create(
        rewriter, op.getLoc(), permutedType(op.getType(), toLast(rank)), op.getKind(), inner, dims);
    rewriter.replaceOp(op, transposed(rewriter, op.getLoc(), reduced, first));
    return success();
  }
};

/// A concat whose operands are all restored, or restored but for some that are transposed here.
struct SinkBelowConcat : OpRewritePattern<ConcatOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ConcatOp op, PatternRewriter &rewriter) const override {
    int64_t rank = cast<RankedTensorType>(op.getType()).getRank();
    // With one spatial dim both permutations are the same: a transpose added here would look like a
    // restoring one.
    bool restored = rank == 3 ? llvm::all_of(op.getInputs(), behindRestore)
                              : llvm::any_of(op.getInputs(), behindRestore);
    if (rank < 3 || !restored) {
      return failure();
    }
    SmallVector<Value> inputs;
    for (Value input : op.getInputs()) {
      Value inner = behindRestore(input);
      inputs.push_back(inner ? inner : transposed(rewriter, op.getLoc(), input, toLast(rank)));
    }
    SmallVector<int64_t> first = toFirst(rank);
    Value joined = ConcatOp::create(rewriter, op.getLoc(), permutedType(op.getType(), toLast(rank)),
                                    inputs, first[op.getAxis()]);
    rewriter.replaceOp(op, transposed(rewriter, op.getLoc(), joined, first));
    return success();
  }
};

/// A reshape of the spatial dims alone.
struct SinkBelowReshape : OpRewritePattern<ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReshapeOp op, PatternRewriter &rewriter) const override {
    Value inner = behindRestore(op.getInput());
    auto from = dimsOf(op.getInput()), to = dimsOf(op.getResult());
    int64_t rank = to.size();
    if (!inner || rank < 3 || !sameDims(ArrayRef(from).take_front(2), ArrayRef(to).take_front(2))) {
      return failure();
    }
    Value last =
        ReshapeOp::create(rewriter, op.getLoc(), permutedType(op.getType(), toLast(rank)), inner);
    rewriter.replaceOp(op, transposed(rewriter, op.getLoc(), last, toFirst(rank)));
    return success();
  }
};

struct SinkBelowPad : OpRewritePattern<PadOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(PadOp op, PatternRewriter &rewriter) const override {
    Value inner = behindRestore(op.getInput());
    if (!inner) {
      return failure();
    }
    int64_t rank = cast<RankedTensorType>(op.getType()).getRank();
    SmallVector<int64_t> last = toLast(rank);
    Value padded = PadOp::create(rewriter, op.getLoc(), permutedType(op.getType(), last), inner,
                                 permuted<int64_t>(op.getLow(), last), op.getValue());
    rewriter.replaceOp(op, transposed(rewriter, op.getLoc(), padded, toFirst(rank)));
    return success();
  }
};

struct SinkBelowSlice : OpRewritePattern<SliceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(SliceOp op, PatternRewriter &rewriter) const override {
    Value inner = behindRestore(op.getInput());
    if (!inner) {
      return failure();
    }
    int64_t rank = cast<RankedTensorType>(op.getType()).getRank();
    SmallVector<int64_t> last = toLast(rank);
    AffineMap offsets = op.getOffsets();
    offsets = AffineMap::get(0, offsets.getNumSymbols(),
                             permuted<AffineExpr>(offsets.getResults(), last), op.getContext());
    Value part = SliceOp::create(rewriter, op.getLoc(), permutedType(op.getType(), last), inner,
                                 offsets, permuted<int64_t>(op.getSteps(), last));
    rewriter.replaceOp(op, transposed(rewriter, op.getLoc(), part, toFirst(rank)));
    return success();
  }
};

struct ChannelsLastPass : ciuic::impl::ChannelsLastBase<ChannelsLastPass> {
  void runOnOperation() override {
    // Nothing to gain where no image op is.
    bool images = getOperation()
                      .walk([](Operation *op) {
                        return isa<ConvOp, ConvTransposeOp, PoolOp, ResizeOp>(op)
                                   ? WalkResult::interrupt()
                                   : WalkResult::advance();
                      })
                      .wasInterrupted();
    if (!images) {
      return;
    }
    RewritePatternSet patterns(&getContext());
    patterns.add<ComputeChannelsLast<ConvOp>, ComputeChannelsLast<ConvTransposeOp>,
                 ComputeChannelsLast<PoolOp>, ComputeChannelsLast<ResizeOp>, GroupNormChannelsLast,
                 CancelTransposes, SinkBelowMap, SinkBelowReduce, SinkBelowConcat, SinkBelowReshape,
                 SinkBelowPad, SinkBelowSlice>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns)))) {
      signalPassFailure();
    }
  }
};

} // namespace
