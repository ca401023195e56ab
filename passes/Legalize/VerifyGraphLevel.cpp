// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The check that seals the graph level: see Passes.td for the rules (V1)–(V4).
#include "ir/Diagnostics.h"
#include "passes/Legalize/Passes.h"

using namespace mlir;

namespace ciuic::legalize {
#define GEN_PASS_DEF_VERIFYGRAPHLEVELPASS
#include "passes/Legalize/Passes.h.inc"

namespace {

constexpr ErrorCode kCode{"internal.graph-level"};

/// (V3) for one type.
LogicalResult checkType(Operation *op, Type type, const graph::Bounds &bounds) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor) {
    return success();
  }
  if (!graph::isGraphTensor(tensor)) {
    return emitCoded(op->getLoc(), kCode)
           << "(V3) " << type << " does not say what its dynamic dims are";
  }
  int64_t most = 1;
  for (AffineExpr dim : graph::dimsOf(tensor)) {
    graph::Interval range = graph::intervalOf(dim, bounds);
    if (!range.lower || !range.upper || *range.lower < 0) {
      return emitCoded(op->getLoc(), kCode)
             << "(V3) a dim of " << type << " is unbounded or can be negative";
    }
    if (llvm::MulOverflow(most, *range.upper, most) || most > (int64_t(1) << 48)) {
      return emitCoded(op->getLoc(), {"input.too-large"})
             << "(V3) " << type
             << " can have more than 2^48 elements; give smaller bounds with --entry";
    }
  }
  return success();
}

/// (V4): with dims and symbols anywhere within their bounds, every position read lies inside the
/// operand. Expressions in `zero` are so at run time: they are the function's constraints.
LogicalResult checkMaps(graph::MapOp map, const graph::Bounds &bounds, ArrayRef<AffineExpr> zero) {
  auto domain = graph::dimsOf(map.getDomain());
  for (auto [i, input] : llvm::enumerate(map.getInputs())) {
    AffineMap access = map.getMap(i);
    auto extents = graph::dimsOf(input);
    for (auto [result, extent] : llvm::zip(access.getResults(), extents)) {
      if (auto dim = dyn_cast<AffineDimExpr>(result)) {
        AffineExpr position = domain[dim.getPosition()];
        bool same =
            graph::sameDim(position, extent) || llvm::any_of(zero, [&](AffineExpr e) {
              return graph::sameDim(position - extent, e) || graph::sameDim(extent - position, e);
            });
        if (same) {
          continue;
        }
      }
      if (auto constant = dyn_cast<AffineConstantExpr>(result)) {
        graph::Interval range = graph::intervalOf(extent, bounds);
        // An empty index space reads nothing.
        bool inside = constant.getValue() >= 0 && range.lower &&
                      constant.getValue() < std::max<int64_t>(1, *range.lower);
        if (inside) {
          continue;
        }
      }
      return emitCoded(map.getLoc(), kCode)
             << "(V4) operand " << i << " may be read outside its extents by "
             << AffineMapAttr::get(access);
    }
  }
  return success();
}

struct VerifyGraphLevelPass : impl::VerifyGraphLevelPassBase<VerifyGraphLevelPass> {
  using Base::Base;

  LogicalResult check(func::FuncOp function) {
    if (!function->hasAttr("graph.symbols")) {
      return emitCoded(function.getLoc(), kCode)
             << "(V2) function '" << function.getName() << "' has no graph.symbols";
    }
    for (unsigned i = 0; i < function.getNumArguments(); ++i) {
      if (!function.getArgAttr(i, "graph.name")) {
        return emitCoded(function.getLoc(), kCode) << "(V2) argument " << i << " has no graph.name";
      }
    }
    for (unsigned i = 0; i < function.getNumResults(); ++i) {
      if (!function.getResultAttr(i, "graph.name")) {
        return emitCoded(function.getLoc(), kCode) << "(V2) result " << i << " has no graph.name";
      }
    }
    graph::Bounds bounds = graph::boundsOf(function);
    SmallVector<AffineExpr> zero;
    if (auto constraints = function->getAttrOfType<ArrayAttr>("graph.constraints")) {
      for (auto map : constraints.getAsRange<AffineMapAttr>()) {
        llvm::append_range(zero, map.getValue().getResults());
      }
    }
    for (Type type : function.getArgumentTypes()) {
      if (failed(checkType(function, type, bounds))) {
        return failure();
      }
    }
    WalkResult walked = function.walk([&](Operation *op) {
      for (Type type : op->getResultTypes()) {
        if (failed(checkType(op, type, bounds))) {
          return WalkResult::interrupt();
        }
      }
      auto map = dyn_cast<graph::MapOp>(op);
      return map && failed(checkMaps(map, bounds, zero)) ? WalkResult::interrupt()
                                                         : WalkResult::advance();
    });
    return failure(walked.wasInterrupted());
  }

  void runOnOperation() override {
    WalkResult walked = getOperation().walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (isa_and_nonnull<onnx::OnnxDialect>(op->getDialect())) {
        emitCoded(op->getLoc(), kCode)
            << "(V1) '" << op->getName() << "' is left of the onnx level";
        return WalkResult::interrupt();
      }
      return WalkResult::advance();
    });
    if (walked.wasInterrupted()) {
      return signalPassFailure();
    }
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      if (failed(check(function))) {
        return signalPassFailure();
      }
    }
  }
};
} // namespace
} // namespace ciuic::legalize
