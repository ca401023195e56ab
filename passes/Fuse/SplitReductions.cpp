// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Kernels reduce along the last dim (rows) or along others that leave it (columns), never both at
// once. A reduction that does both is rewritten: over one merged dim where the reduced dims adjoin,
// else as two reductions.
#include "passes/Fuse/Passes.h"

#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_SPLITREDUCTIONS
#include "passes/Fuse/Passes.h.inc"
} // namespace ciuic

namespace {

Value reduced(OpBuilder &b, ReduceOp like, Value input, ArrayRef<int64_t> dims) {
  SmallVector<AffineExpr> extents = dimsOf(input);
  for (int64_t d : dims) {
    extents[d] = getAffineConstantExpr(1, b.getContext());
  }
  Type type = tensorOf(extents, cast<RankedTensorType>(input.getType()).getElementType());
  return ReduceOp::create(b, like.getLoc(), type, like.getKind(), input, dims);
}

struct SplitLastDim : OpRewritePattern<ReduceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReduceOp op, PatternRewriter &rewriter) const override {
    ArrayRef<int64_t> dims = op.getDims();
    SmallVector<AffineExpr> extents = dimsOf(op.getInput());
    int64_t rank = extents.size();
    if (dims.size() < 2 || dims.back() != rank - 1) {
      return failure();
    }
    int64_t first = rank - static_cast<int64_t>(dims.size());
    if (dims.front() == first) {
      // [a, b, c] over b and c = [a, b·c] over the last.
      SmallVector<AffineExpr> merged(extents.begin(), extents.begin() + first);
      merged.push_back(productOf(ArrayRef(extents).drop_front(first), rewriter.getContext()));
      Type element = cast<RankedTensorType>(op.getType()).getElementType();
      Value rows =
          ReshapeOp::create(rewriter, op.getLoc(), tensorOf(merged, element), op.getInput());
      rewriter.replaceOpWithNewOp<ReshapeOp>(op, op.getType(),
                                             reduced(rewriter, op, rows, {first}));
      return success();
    }
    // The others first, along contiguous vectors. A mean of means over equal counts is the mean.
    Value columns = reduced(rewriter, op, op.getInput(), dims.drop_back());
    rewriter.replaceOp(op, reduced(rewriter, op, columns, {rank - 1}));
    return success();
  }
};

struct SplitReductionsPass : ciuic::impl::SplitReductionsBase<SplitReductionsPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<SplitLastDim>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns)))) {
      signalPassFailure();
    }
  }
};

} // namespace
