// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reductions, ArgMax and ArgMin, and global pooling, which is a reduction over the spatial dims.
#include "passes/Legalize/DimExpr.h"
#include "passes/Legalize/Ops.h"

#include <numeric>

using namespace mlir;
using ciuic::graph::ReduceKind;

namespace ciuic::legalize {
namespace {

/// A map of one operand without a change of shape.
Value each(Node &node, Value v, llvm::function_ref<Value(Scalars &, Value)> body) {
  auto type = cast<RankedTensorType>(v.getType());
  return node.mapWith({v}, {node.b.getMultiDimIdentityMap(type.getRank())}, graph::dimsOf(v),
                      type.getElementType(),
                      [&](Scalars &s, ArrayRef<Value> x) { return body(s, x[0]); });
}
Value multiply(Scalars &s, Value a, Value b) {
  return isa<FloatType>(a.getType()) ? Value(arith::MulFOp::create(s.b, s.loc, a, b))
                                     : Value(arith::MulIOp::create(s.b, s.loc, a, b));
}
Value square(Node &node, Value v) {
  return each(node, v, [](Scalars &s, Value x) { return multiply(s, x, x); });
}
Value absolute(Node &node, Value v) {
  return each(node, v, [](Scalars &s, Value x) -> Value {
    return isa<FloatType>(x.getType()) ? Value(math::AbsFOp::create(s.b, s.loc, x))
                                       : Value(math::AbsIOp::create(s.b, s.loc, x));
  });
}
Value logarithm(Node &node, Value v) {
  return each(node, v,
              [](Scalars &s, Value x) -> Value { return math::LogOp::create(s.b, s.loc, x); });
}

/// Known elements of one reduced vector; what shape arithmetic needs.
LogicalResult foldReduce(Node &node, Tensor &x, bool keep, StringRef name, bool &folded) {
  folded = false;
  auto n = x.count(kMaxFollowed);
  if (!x.contents || x.isFloat() || !n || x.rank() != 1 || *n == 0) {
    return success();
  }
  AffineExpr r = x.contents->integer(0);
  for (int64_t i = 1; i < *n; ++i) {
    AffineExpr e = x.contents->integer(i);
    if (name == "ReduceSum") {
      r = canonical(r + e);
    } else if (name == "ReduceProd") {
      r = canonical(r * e);
    } else if (name == "ReduceMax" || name == "ReduceMin") {
      auto less = node.importer.lessOrEqual(r, e);
      if (!less) {
        return success();
      }
      r = (name == "ReduceMax") == *less ? e : r;
    } else {
      return success();
    }
  }
  folded = true;
  Tensor t;
  t.element = x.element;
  t.isUnsigned = x.isUnsigned;
  if (keep) {
    t.dims.push_back(node.cst(1));
  }
  t.contents = Contents{false, false, {r}, {}};
  return node.set(0, std::move(t));
}

} // namespace

LogicalResult importReduce(Node &node) {
  Tensor &x = node.in(0);
  StringRef name = node.op.getOpType();
  auto axes = axesOf(node, 1, x.rank());
  if (failed(axes)) {
    return failure();
  }
  if (axes->empty()) {
    // No reduction, and yet what a composite does beside it: |x|, x², log x.
    bool composite = name == "ReduceL1" || name == "ReduceL2" || name == "ReduceSumSquare" ||
                     name == "ReduceLogSum";
    bool noop = node.attr("noop_with_empty_axes", 0) != 0;
    if (noop && !composite) {
      return node.alias(0, 0);
    }
    if (!noop) {
      axes->resize(x.rank());
      std::iota(axes->begin(), axes->end(), 0);
    }
  }
  bool keep = node.attr("keepdims", 1) != 0, folded = false;
  if (failed(foldReduce(node, x, keep, name, folded)) || folded) {
    return success(folded);
  }
  if (x.isUnsigned && (name == "ReduceMax" || name == "ReduceMin" || name == "ReduceMean")) {
    return node.unsupported("unsigned integers");
  }
  bool isFloat = x.isFloat();
  if (!isFloat && (name == "ReduceL2" || name == "ReduceLogSum" || name == "ReduceLogSumExp")) {
    return node.unsupported("integers");
  }
  auto reduce = [&](ReduceKind kind, Value v) {
    return axes->empty() ? v : node.reduce(kind, v, *axes);
  };
  Value v = node.value(x);
  Type element = x.element;
  if (x.isBool()) {
    v = node.cast(v, node.b.getI32Type());
  }
  if (name == "ReduceSum") {
    v = reduce(ReduceKind::sum, v);
  } else if (name == "ReduceMean") {
    v = reduce(ReduceKind::mean, v);
  } else if (name == "ReduceMax") {
    v = reduce(ReduceKind::max, v);
  } else if (name == "ReduceMin") {
    v = reduce(ReduceKind::min, v);
  } else if (name == "ReduceProd") {
    v = reduce(ReduceKind::prod, v);
  } else if (name == "ReduceL1") {
    v = reduce(ReduceKind::sum, absolute(node, v));
  } else if (name == "ReduceSumSquare") {
    v = reduce(ReduceKind::sum, square(node, v));
  } else if (name == "ReduceL2") {
    v = each(node, reduce(ReduceKind::sum, square(node, v)),
             [](Scalars &s, Value a) -> Value { return math::SqrtOp::create(s.b, s.loc, a); });
  } else if (name == "ReduceLogSum") {
    v = logarithm(node, reduce(ReduceKind::sum, v));
  } else { // ReduceLogSumExp, shifted by the maximum so that nothing overflows.
    Value most = reduce(ReduceKind::max, v);
    Tensor a = node.tensor(v), m = node.tensor(most);
    Value e = node.map({&a, &m}, a.dims, element, [](Scalars &s, ArrayRef<Value> y) -> Value {
      return math::ExpOp::create(s.b, s.loc, Value(arith::SubFOp::create(s.b, s.loc, y[0], y[1])));
    });
    Tensor sum = node.tensor(logarithm(node, reduce(ReduceKind::sum, e)));
    v = node.map({&sum, &m}, sum.dims, element, [](Scalars &s, ArrayRef<Value> y) -> Value {
      return arith::AddFOp::create(s.b, s.loc, y[0], y[1]);
    });
  }
  if (x.isBool()) {
    v = node.cast(v, element);
  }
  if (!keep) {
    SmallVector<AffineExpr> dims;
    for (auto [i, dim] : llvm::enumerate(x.dims)) {
      if (!llvm::is_contained(*axes, static_cast<int64_t>(i))) {
        dims.push_back(dim);
      }
    }
    v = node.reshape(v, dims);
  }
  return node.set(0, v, x.isUnsigned);
}

LogicalResult importArgReduce(Node &node) {
  Tensor &x = node.in(0);
  auto axis = node.axis(node.attr("axis", 0), x.rank());
  if (failed(axis)) {
    return failure();
  }
  if (x.isUnsigned) {
    return node.unsupported("unsigned integers");
  }
  Value v = node.value(x);
  int64_t last = x.rank() - 1;
  SmallVector<int64_t> swap(x.rank());
  std::iota(swap.begin(), swap.end(), 0);
  std::swap(swap[*axis], swap[last]);
  v = node.transpose(v, swap);
  auto dims = graph::dimsOf(v);
  dims[last] = node.cst(1);
  auto kind = node.op.getOpType() == "ArgMax" ? ReduceKind::max : ReduceKind::min;
  v = graph::ArgReduceOp::create(node.b, node.loc, graph::tensorOf(dims, node.b.getI64Type()), kind,
                                 v, node.attr("select_last_index", 0) != 0);
  v = node.transpose(v, swap);
  if (node.attr("keepdims", 1) == 0) {
    SmallVector<AffineExpr> kept(x.dims);
    kept.erase(kept.begin() + *axis);
    v = node.reshape(v, kept);
  }
  return node.set(0, v);
}

LogicalResult importGlobalPool(Node &node) {
  Tensor &x = node.in(0);
  if (x.rank() < 3) {
    return node.invalid("needs spatial dims");
  }
  SmallVector<int64_t> axes;
  for (int64_t i = 2; i < x.rank(); ++i) {
    axes.push_back(i);
  }
  auto kind = node.op.getOpType() == "GlobalMaxPool" ? ReduceKind::max : ReduceKind::mean;
  return node.set(0, node.reduce(kind, node.value(x), axes));
}

LogicalResult importCumSum(Node &node) {
  Tensor &x = node.in(0);
  auto axis = node.constantInts(1, "the axis");
  if (failed(axis) || axis->size() != 1) {
    return failed(axis) ? failure() : node.invalid("needs one axis");
  }
  auto positive = node.axis((*axis)[0], x.rank());
  if (failed(positive)) {
    return failure();
  }
  Value v = node.value(x);
  return node.set(
      0,
      Value(graph::CumSumOp::create(node.b, node.loc, v.getType(), v, *positive,
                                    node.attr("exclusive", 0) != 0, node.attr("reverse", 0) != 0)),
      x.isUnsigned);
}

} // namespace ciuic::legalize
