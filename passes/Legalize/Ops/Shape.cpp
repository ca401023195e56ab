// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Constants, shapes and what changes a shape without moving an element. On known elements nothing
// is built.
#include "passes/Legalize/DimExpr.h"
#include "passes/Legalize/Fold.h"
#include "passes/Legalize/Ops.h"

using namespace mlir;

namespace ciuic::legalize {

LogicalResult setReshaped(Node &node, unsigned result, Tensor &x, ArrayRef<AffineExpr> dims) {
  if (x.contents || x.weight) {
    Tensor t = x;
    t.dims.assign(dims.begin(), dims.end());
    t.value = {};
    return node.set(result, std::move(t));
  }
  return node.set(result, node.reshape(node.value(x), dims), x.isUnsigned);
}

FailureOr<SmallVector<int64_t>> axesOf(Node &node, unsigned input, int64_t rank) {
  SmallVector<int64_t> axes;
  if (auto attribute = node.attrInts("axes")) {
    axes = *attribute;
  } else if (node.has(input)) {
    auto known = node.constantInts(input, "axes");
    if (failed(known)) {
      return failure();
    }
    axes = *known;
  }
  for (int64_t &a : axes) {
    auto positive = node.axis(a, rank);
    if (failed(positive)) {
      return failure();
    }
    a = *positive;
  }
  llvm::sort(axes);
  if (std::adjacent_find(axes.begin(), axes.end()) != axes.end()) {
    return node.invalid("an axis is named twice");
  }
  return axes;
}

LogicalResult importConstant(Node &node) {
  MLIRContext *context = node.context;
  Tensor t;
  if (Attribute value = node.op.getAttribute("value")) {
    auto known = tensorOfAttribute(value);
    if (!known) {
      return node.unsupported("a constant of this element type");
    }
    known->name = node.op.getNodeName().str();
    return node.set(0, std::move(*known));
  }
  Contents contents;
  if (node.hasAttr("value_int")) {
    contents.ints.push_back(node.cst(node.attr("value_int", 0)));
  } else if (node.hasAttr("value_float")) {
    contents.isFloat = true;
    contents.floats.push_back(node.attrFloat("value_float", 0));
  } else if (auto ints = node.attrInts("value_ints")) {
    for (int64_t v : *ints) {
      contents.ints.push_back(node.cst(v));
    }
    t.dims.push_back(node.cst(ints->size()));
  } else if (auto floats =
                 dyn_cast_or_null<DenseF32ArrayAttr>(node.op.getAttribute("value_floats"))) {
    contents.isFloat = true;
    contents.floats.append(floats.asArrayRef().begin(), floats.asArrayRef().end());
    t.dims.push_back(node.cst(floats.size()));
  } else {
    return node.unsupported("a constant that is no tensor of numbers");
  }
  t.element =
      contents.isFloat ? Type(Float32Type::get(context)) : Type(IntegerType::get(context, 64));
  t.contents = std::move(contents);
  return node.set(0, std::move(t));
}

LogicalResult importIdentity(Node &node) {
  // Dropout's mask: everything is kept.
  if (node.op.getOpType() == "Dropout" && node.used(1)) {
    Tensor mask;
    mask.element = node.b.getI1Type();
    mask.dims = node.in(0).dims;
    mask.contents = Contents{false, true, {node.cst(1)}, {}};
    if (failed(node.set(1, std::move(mask)))) {
      return failure();
    }
  }
  return node.alias(0, 0);
}

LogicalResult importShape(Node &node) {
  Tensor &x = node.in(0);
  int64_t rank = x.rank();
  auto clamp = [&](int64_t v) { return std::clamp<int64_t>(v < 0 ? v + rank : v, 0, rank); };
  int64_t start = clamp(node.attr("start", 0)),
          end = std::max(start, clamp(node.attr("end", rank)));
  Tensor t;
  t.element = node.b.getI64Type();
  t.dims.push_back(node.cst(end - start));
  Contents contents;
  contents.ints.assign(x.dims.begin() + start, x.dims.begin() + end);
  t.contents = std::move(contents);
  return node.set(0, std::move(t));
}

LogicalResult importSize(Node &node) {
  Tensor t;
  t.element = node.b.getI64Type();
  t.contents =
      Contents{false, false, {canonical(graph::productOf(node.in(0).dims, node.context))}, {}};
  return node.set(0, std::move(t));
}

LogicalResult importReshape(Node &node) {
  Tensor &x = node.in(0);
  SmallVector<AffineExpr> target;
  if (auto attribute = node.attrInts("shape")) { // Opset 1.
    for (int64_t v : *attribute) {
      target.push_back(node.cst(v));
    }
  } else {
    auto known = node.knownInts(1, "the shape");
    if (failed(known)) {
      return failure();
    }
    target = *known;
  }
  bool allowZero = node.attr("allowzero", 0) != 0;
  int64_t inferred = -1;
  for (auto [i, e] : llvm::enumerate(target)) {
    auto v = constantOf(e);
    if (v == 0 && !allowZero) {
      if (i >= x.dims.size()) {
        return node.invalid("the shape copies dim " + Twine(i) + ", which the input does not have");
      }
      e = x.dims[i];
    } else if (v == -1) {
      if (inferred >= 0) {
        return node.invalid("the shape has -1 twice");
      }
      inferred = i;
    } else if (v && *v < -1) {
      return node.invalid("the shape has a negative extent");
    }
  }
  // Extents on both sides cancel first, so that zero extents do no harm.
  SmallVector<AffineExpr> have(x.dims), want;
  for (auto [i, e] : llvm::enumerate(target)) {
    if (static_cast<int64_t>(i) == inferred) {
      continue;
    }
    auto *same = llvm::find_if(have, [&](AffineExpr h) { return graph::sameDim(h, e); });
    if (same != have.end()) {
      have.erase(same);
    } else {
      want.push_back(e);
    }
  }
  AffineExpr total = canonical(graph::productOf(have, node.context));
  AffineExpr rest = canonical(graph::productOf(want, node.context));
  if (inferred >= 0) {
    AffineExpr quotient = divideExactly(total, rest);
    if (!quotient && constantOf(total) && constantOf(rest)) {
      return node.invalid("the input's elements do not fill the shape");
    }
    if (!quotient) {
      auto divisor = node.importer.interval(rest).lower;
      if (!divisor || *divisor <= 0) {
        return node.unsupported("the extent for -1 does not follow from the other extents");
      }
      quotient = canonical(total.floorDiv(rest));
    }
    target[inferred] = quotient;
  } else if (!node.importer.unify(total, rest)) {
    return node.invalid("the input's elements do not fill the shape");
  }
  return setReshaped(node, 0, x, target);
}

LogicalResult importFlatten(Node &node) {
  Tensor &x = node.in(0);
  int64_t axis = node.attr("axis", 1);
  axis = axis < 0 ? axis + x.rank() : axis;
  if (axis < 0 || axis > x.rank()) {
    return node.invalid("axis is out of range");
  }
  ArrayRef<AffineExpr> dims = x.dims;
  return setReshaped(node, 0, x,
                     {canonical(graph::productOf(dims.take_front(axis), node.context)),
                      canonical(graph::productOf(dims.drop_front(axis), node.context))});
}

LogicalResult importSqueeze(Node &node) {
  Tensor &x = node.in(0);
  auto axes = axesOf(node, 1, x.rank());
  if (failed(axes)) {
    return failure();
  }
  SmallVector<AffineExpr> dims;
  bool all = axes->empty();
  for (auto [i, dim] : llvm::enumerate(x.dims)) {
    bool named = llvm::is_contained(*axes, static_cast<int64_t>(i));
    if (named && !node.importer.unify(dim, node.cst(1))) {
      return node.invalid("dim " + Twine(i) + " is squeezed and not 1");
    }
    if (!named && !(all && isOne(dim))) {
      dims.push_back(dim);
    }
  }
  return setReshaped(node, 0, x, dims);
}

LogicalResult importUnsqueeze(Node &node) {
  Tensor &x = node.in(0);
  size_t count = 0;
  if (auto attribute = node.attrInts("axes")) {
    count = attribute->size();
  } else if (node.has(1)) {
    count = node.in(1).count(64).value_or(0);
  }
  int64_t rank = x.rank() + static_cast<int64_t>(count);
  auto axes = axesOf(node, 1, rank);
  if (failed(axes)) {
    return failure();
  }
  SmallVector<AffineExpr> dims;
  for (int64_t i = 0, next = 0; i < rank; ++i) {
    dims.push_back(llvm::is_contained(*axes, i) ? node.cst(1) : x.dims[next++]);
  }
  return setReshaped(node, 0, x, dims);
}

LogicalResult importConstantOfShape(Node &node) {
  auto dims = node.knownInts(0, "the shape");
  if (failed(dims)) {
    return failure();
  }
  Tensor t;
  if (Attribute value = node.op.getAttribute("value")) {
    auto known = tensorOfAttribute(value);
    if (!known || !known->isSingle()) {
      return node.unsupported("a value that is not one number");
    }
    t.element = known->element;
    t.isUnsigned = known->isUnsigned;
    t.contents = known->contents;
  } else {
    t.element = node.b.getF32Type();
    t.contents = Contents{true, false, {}, {0.0}};
  }
  t.dims = *dims;
  t.contents->uniform = t.count() != 1;
  return node.set(0, std::move(t));
}

LogicalResult importRange(Node &node) {
  if (!node.has(0) || !node.has(1) || !node.has(2)) {
    return node.invalid("needs start, limit and delta");
  }
  for (unsigned i = 0; i < 3; ++i) {
    if (node.in(i).count() != 1) {
      return node.invalid("start, limit and delta must be one number each");
    }
  }
  Type element = node.in(0).element;
  Tensor t;
  t.element = element;
  if (node.in(0).isFloat()) {
    auto start = node.constantFloats(0, "start"), limit = node.constantFloats(1, "limit"),
         delta = node.constantFloats(2, "delta");
    if (failed(start) || failed(limit) || failed(delta) || (*delta)[0] == 0) {
      return failure();
    }
    double n = std::max(0.0, std::ceil(((*limit)[0] - (*start)[0]) / (*delta)[0]));
    if (!(n < 1e9)) {
      return node.invalid("has too many elements");
    }
    double from = (*start)[0], step = (*delta)[0];
    t.dims.push_back(node.cst(static_cast<int64_t>(n)));
    return node.set(
        0, node.mapWith({}, {}, t.dims, element, [&](Scalars &s, ArrayRef<Value>) -> Value {
          Type wide = element.isF64() ? element : Type(s.b.getF32Type());
          Value i = graph::IndexOp::create(s.b, s.loc, s.b.getI64Type(), s.b.getI64IntegerAttr(0));
          Value x = arith::SIToFPOp::create(s.b, s.loc, wide, i);
          return arith::AddFOp::create(
              s.b, s.loc, s.f(from, wide),
              Value(arith::MulFOp::create(s.b, s.loc, x, s.f(step, wide))));
        }));
  }
  auto start = node.knownInts(0, "start"), limit = node.knownInts(1, "limit");
  auto delta = node.constantInts(2, "delta");
  if (failed(start) || failed(limit) || failed(delta)) {
    return failure();
  }
  int64_t step = (*delta)[0];
  if (step == 0) {
    return node.invalid("delta is 0");
  }
  AffineExpr from = (*start)[0];
  AffineExpr span = step > 0 ? canonical((*limit)[0] - from) : canonical(from - (*limit)[0]);
  AffineExpr n = canonical(span.ceilDiv(step > 0 ? step : -step));
  graph::Interval range = node.importer.interval(n);
  if (range.upper && *range.upper <= 0) {
    n = node.cst(0);
  } else if (!range.lower || *range.lower < 0) {
    return node.unsupported("the limit may lie before the start");
  }
  t.dims.push_back(n);
  if (auto known = t.count(kMaxFollowed)) {
    Contents contents;
    for (int64_t i = 0; i < *known; ++i) {
      contents.ints.push_back(canonical(from + i * step));
    }
    t.contents = std::move(contents);
    return node.set(0, std::move(t));
  }
  return node.set(
      0, node.mapWith({}, {}, t.dims, element, [&](Scalars &s, ArrayRef<Value>) -> Value {
        Type i64 = s.b.getI64Type();
        Value i = graph::IndexOp::create(s.b, s.loc, i64, s.b.getI64IntegerAttr(0));
        Value scaled = step == 1 ? i : Value(arith::MulIOp::create(s.b, s.loc, i, s.i(step, i64)));
        Value v = constantOf(from) == 0
                      ? scaled
                      : Value(arith::AddIOp::create(s.b, s.loc, s.extent(from), scaled));
        return s.cast(v, false, element, false);
      }));
}

LogicalResult importExpand(Node &node) {
  Tensor &x = node.in(0);
  auto shape = node.knownInts(1, "the shape");
  if (failed(shape)) {
    return failure();
  }
  auto dims = node.broadcast(x.dims, *shape);
  if (failed(dims)) {
    return failure();
  }
  if (graph::sameDims(*dims, x.dims)) {
    return node.alias(0, 0);
  }
  if (x.contents) {
    Tensor t = x;
    t.value = {};
    t.weight = {};
    t.dims = *dims;
    if (x.isSingle()) {
      t.contents->uniform = t.count() != 1;
      return node.set(0, std::move(t));
    }
    if (t.count(kMaxFollowed) && !x.contents->uniform) {
      t.contents = x.contents->pick(broadcastPositions(x.dims, *dims));
      return node.set(0, std::move(t));
    }
  }
  return node.set(0, node.expand(node.value(x), *dims), x.isUnsigned);
}

} // namespace ciuic::legalize
