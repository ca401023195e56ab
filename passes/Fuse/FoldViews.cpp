// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Views become access maps: a map reads the operand of a transpose, expand, slice or
// index-splitting reshape at the composed index, so that moving data costs nothing where the reader
// can move it itself.
#include "ir/Graph/Views.h"
#include "passes/Fuse/Passes.h"

#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_FOLDVIEWS
#include "passes/Fuse/Passes.h.inc"
} // namespace ciuic

namespace {

struct FoldIntoMap : OpRewritePattern<MapOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MapOp map, PatternRewriter &rewriter) const override {
    SmallVector<Value> inputs(map.getInputs());
    SmallVector<AffineMap> maps;
    bool changed = false;
    for (unsigned i = 0; i < inputs.size(); ++i) {
      AffineMap access = map.getMap(i);
      while (Operation *definition = inputs[i].getDefiningOp()) {
        auto through = throughView(definition, access.getResults());
        if (!through) {
          break;
        }
        inputs[i] = through->first;
        access = accessMap(access.getNumDims(), through->second, map.getContext());
        changed = true;
      }
      maps.push_back(access);
    }
    if (!changed) {
      return failure();
    }
    rewriter.modifyOpInPlace(map, [&] {
      map.getInputsMutable().assign(inputs);
      map.setMapsAttr(rewriter.getAffineMapArrayAttr(maps));
    });
    return success();
  }
};

/// One-element constants become constants of the region; operands that are read alike are merged.
struct TidyOperands : OpRewritePattern<MapOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MapOp map, PatternRewriter &rewriter) const override {
    Block &body = map.getBody().front();
    for (unsigned i = 0; i < map.getInputs().size(); ++i) {
      BlockArgument argument = body.getArgument(i);
      Value replacement;
      if (argument.use_empty()) {
        replacement = argument;
      } else if (auto constant = map.getInputs()[i].getDefiningOp<ConstantOp>();
                 constant && constant.getValue().getNumElements() == 1 &&
                 isa<DenseElementsAttr>(constant.getValue())) {
        rewriter.setInsertionPointToStart(&body);
        Attribute value =
            *cast<DenseElementsAttr>(constant.getValue()).getValues<Attribute>().begin();
        replacement = arith::ConstantOp::create(rewriter, map.getLoc(), cast<TypedAttr>(value));
      } else {
        for (unsigned j = 0; j < i && !replacement; ++j) {
          if (map.getInputs()[j] == map.getInputs()[i] && map.getMap(j) == map.getMap(i)) {
            replacement = body.getArgument(j);
          }
        }
      }
      if (!replacement) {
        continue;
      }
      rewriter.modifyOpInPlace(map, [&] {
        if (replacement != argument) {
          argument.replaceAllUsesWith(replacement);
        }
        body.eraseArgument(i);
        SmallVector<Attribute> maps(map.getMaps().begin(), map.getMaps().end());
        maps.erase(maps.begin() + i);
        map.getInputsMutable().erase(i);
        map.setMapsAttr(rewriter.getArrayAttr(maps));
      });
      return success();
    }
    return failure();
  }
};

/// A map that copies what an op computes is that. (Appends and arguments may be buffers with
/// strides of their own, which a copy makes dense.)
struct DropCopy : OpRewritePattern<MapOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MapOp map, PatternRewriter &rewriter) const override {
    if (map->getNumResults() != 1 || map.getInputs().size() != 1 || !map.getMap(0).isIdentity()) {
      return failure();
    }
    Block &body = map.getBody().front();
    Value input = map.getInputs()[0];
    if (body.getTerminator()->getOperand(0) != body.getArgument(0) ||
        input.getType() != map.getResult(0).getType() ||
        !isa_and_nonnull<MapOp, MatmulOp, ConvOp, ConvTransposeOp, GroupNormOp, LayerNormOp,
                         RmsNormOp, AttentionOp>(input.getDefiningOp())) {
      return failure();
    }
    rewriter.replaceOp(map, input);
    return success();
  }
};

/// A matmul operand that is transposed in its last two dims becomes a flag.
struct FoldIntoMatmul : OpRewritePattern<MatmulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MatmulOp matmul, PatternRewriter &rewriter) const override {
    auto swapped = [](Value value) -> Value {
      auto transpose = value.getDefiningOp<TransposeOp>();
      if (!transpose) {
        return {};
      }
      ArrayRef<int64_t> p = transpose.getPermutation();
      int64_t rank = p.size();
      for (int64_t i = 0; i + 2 < rank; ++i) {
        if (p[i] != i) {
          return {};
        }
      }
      return rank >= 2 && p[rank - 2] == rank - 1 ? transpose.getInput() : Value();
    };
    Value a = swapped(matmul.getA()), b = swapped(matmul.getB());
    if (!a && !b) {
      return failure();
    }
    rewriter.modifyOpInPlace(matmul, [&] {
      if (a) {
        matmul.getAMutable().assign(a);
        matmul.setTransposeA(!matmul.getTransposeA());
      }
      if (b) {
        matmul.getBMutable().assign(b);
        matmul.setTransposeB(!matmul.getTransposeB());
      }
    });
    return success();
  }
};

/// A transpose that moves only unit dims keeps the order of elements: it is a reshape.
struct TransposeOfUnits : OpRewritePattern<TransposeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(TransposeOp op, PatternRewriter &rewriter) const override {
    auto from = dimsOf(op.getInput());
    int64_t last = -1;
    for (int64_t p : op.getPermutation()) {
      if (isOne(from[p])) {
        continue;
      }
      if (p < last) {
        return failure();
      }
      last = p;
    }
    rewriter.replaceOpWithNewOp<ReshapeOp>(op, op.getType(), op.getInput());
    return success();
  }
};

struct FoldViewsPass : ciuic::impl::FoldViewsBase<FoldViewsPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<FoldIntoMap, TidyOperands, DropCopy, FoldIntoMatmul, TransposeOfUnits>(
        &getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns)))) {
      signalPassFailure();
    }
  }
};

} // namespace
