// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operators that address single elements: gathers and scatters by computed positions, and masks by
// position.
#include "passes/Legalize/DimExpr.h"
#include "passes/Legalize/Ops.h"

using namespace mlir;

namespace ciuic::legalize {
namespace {

/// Row-major strides as expressions.
SmallVector<AffineExpr> stridesOf(Node &node, ArrayRef<AffineExpr> dims) {
  SmallVector<AffineExpr> strides(dims.size(), node.cst(1));
  for (size_t i = dims.size(); i-- > 1;) {
    strides[i - 1] = canonical(strides[i] * dims[i]);
  }
  return strides;
}

/// An index counted from the front and kept inside [0, extent).
Value bounded(Scalars &s, Value index, AffineExpr extent) {
  Type i64 = s.b.getI64Type();
  Value n = s.extent(extent), zero = s.i(0, i64);
  Value negative = arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::slt, index, zero);
  Value front = arith::SelectOp::create(s.b, s.loc, negative,
                                        Value(arith::AddIOp::create(s.b, s.loc, index, n)), index);
  Value last = arith::SubIOp::create(s.b, s.loc, n, s.i(1, i64));
  return arith::MaxSIOp::create(s.b, s.loc, Value(arith::MinSIOp::create(s.b, s.loc, front, last)),
                                zero);
}

Value indexAt(Scalars &s, int64_t dim) {
  return graph::IndexOp::create(s.b, s.loc, s.b.getI64Type(), s.b.getI64IntegerAttr(dim));
}

/// Positions in a flat tensor of shape `dims` that ONNX's *Elements operators address: along `axis`
/// by the index, along the other dims by where the index stands.
Value flatPositions(Node &node, Tensor &indices, ArrayRef<AffineExpr> dims, int64_t axis) {
  auto strides = stridesOf(node, dims);
  Type i64 = node.b.getI64Type();
  return node.map({&indices}, indices.dims, i64, [&](Scalars &s, ArrayRef<Value> x) -> Value {
    Value position = s.i(0, i64);
    for (size_t d = 0; d < dims.size(); ++d) {
      Value at = static_cast<int64_t>(d) == axis
                     ? bounded(s, s.cast(x[0], false, i64, false), dims[d])
                     : indexAt(s, d);
      Value scaled = arith::MulIOp::create(s.b, s.loc, at, s.extent(strides[d]));
      position = arith::AddIOp::create(s.b, s.loc, position, scaled);
    }
    return position;
  });
}

/// The axis of an *Elements operator on x, along which its indices (input 1) count. Beside it they
/// may reach no further than x.
FailureOr<int64_t> indexedAxis(Node &node, Tensor &x) {
  auto axis = node.axis(node.attr("axis", 0), x.rank());
  for (int64_t d = 0; succeeded(axis) && d < x.rank(); ++d) {
    if (d != *axis && node.importer.lessOrEqual(node.in(1).dims[d], x.dims[d]) == false) {
      return node.invalid("indices reach beyond the input");
    }
  }
  return axis;
}

bool hasIndices(Node &node, unsigned i) {
  return node.has(i) && (node.in(i).element.isInteger(64) || node.in(i).element.isInteger(32)) &&
         !node.in(i).isUnsigned;
}

} // namespace

LogicalResult importGatherElements(Node &node) {
  Tensor &x = node.in(0);
  if (!hasIndices(node, 1) || node.in(1).rank() != x.rank() || x.rank() == 0) {
    return node.invalid("needs integer indices of the input's rank");
  }
  auto axis = indexedAxis(node, x);
  if (failed(axis)) {
    return failure();
  }
  Value positions = flatPositions(node, node.in(1), x.dims, *axis);
  Value flat = node.reshape(node.value(x), {canonical(graph::productOf(x.dims, node.context))});
  auto type = graph::tensorOf(node.in(1).dims, x.element);
  return node.set(0,
                  Value(graph::GatherOp::create(node.b, node.loc, type, flat, positions,
                                                node.b.getI64IntegerAttr(0))),
                  x.isUnsigned);
}

LogicalResult importGatherNd(Node &node) {
  Tensor &x = node.in(0);
  int64_t batch = node.attr("batch_dims", 0);
  if (!hasIndices(node, 1) || node.in(1).rank() == 0) {
    return node.invalid("needs integer indices");
  }
  Tensor &indices = node.in(1);
  auto depth = constantOf(indices.dims.back());
  if (batch < 0 || !depth || *depth < 1 || batch + *depth > x.rank() || batch >= indices.rank()) {
    return node.unsupported("indices of dynamic depth, or deeper than the input");
  }
  for (int64_t d = 0; d < batch; ++d) {
    if (!node.importer.unify(x.dims[d], indices.dims[d])) {
      return node.invalid("batch dim " + Twine(d) + " of input and indices differ");
    }
  }
  // Leading dims become one, positions in it are computed, and one gather does the rest.
  ArrayRef<AffineExpr> lead = ArrayRef(x.dims).take_front(batch + *depth);
  ArrayRef<AffineExpr> tail = ArrayRef(x.dims).drop_front(batch + *depth);
  auto strides = stridesOf(node, lead);
  SmallVector<AffineExpr> where(indices.dims.begin(), indices.dims.end() - 1);
  Type i64 = node.b.getI64Type();
  SmallVector<Value> operands;
  SmallVector<AffineMap> maps;
  for (int64_t k = 0; k < *depth; ++k) {
    SmallVector<AffineExpr> results;
    for (size_t d = 0; d < where.size(); ++d) {
      results.push_back(getAffineDimExpr(d, node.context));
    }
    results.push_back(node.cst(k));
    operands.push_back(node.value(indices));
    maps.push_back(AffineMap::get(where.size(), 0, results, node.context));
  }
  Value positions =
      node.mapWith(operands, maps, where, i64, [&](Scalars &s, ArrayRef<Value> v) -> Value {
        Value position = s.i(0, i64);
        for (int64_t d = 0; d < batch + *depth; ++d) {
          Value at = d < batch ? indexAt(s, d)
                               : bounded(s, s.cast(v[d - batch], false, i64, false), lead[d]);
          position = arith::AddIOp::create(
              s.b, s.loc, position,
              Value(arith::MulIOp::create(s.b, s.loc, at, s.extent(strides[d]))));
        }
        return position;
      });
  SmallVector<AffineExpr> flat{canonical(graph::productOf(lead, node.context))}, dims(where);
  flat.append(tail.begin(), tail.end());
  dims.append(tail.begin(), tail.end());
  Value v = graph::GatherOp::create(node.b, node.loc, graph::tensorOf(dims, x.element),
                                    node.reshape(node.value(x), flat), positions,
                                    node.b.getI64IntegerAttr(0));
  return node.set(0, v, x.isUnsigned);
}

LogicalResult importScatterNd(Node &node) {
  Tensor &x = node.in(0);
  if (!hasIndices(node, 1) || !node.has(2) || node.in(2).element != x.element) {
    return node.invalid("needs integer indices and updates of the input's type");
  }
  if (node.attrString("reduction", "none") != "none") {
    return node.unsupported("a reduction");
  }
  Tensor &indices = node.in(1), &updates = node.in(2);
  auto depth = indices.rank() == 0 ? std::nullopt : constantOf(indices.dims.back());
  if (!depth || *depth < 1 || *depth > x.rank()) {
    return node.unsupported("indices of dynamic depth, or deeper than the input");
  }
  SmallVector<AffineExpr> expected(indices.dims.begin(), indices.dims.end() - 1);
  expected.append(x.dims.begin() + *depth, x.dims.end());
  bool agree = updates.dims.size() == expected.size();
  for (size_t d = 0; agree && d < expected.size(); ++d) {
    agree = static_cast<bool>(node.importer.unify(updates.dims[d], expected[d]));
  }
  if (!agree) {
    return node.invalid("the updates' shape must be indices[:-1] ++ input[depth of indices:]");
  }
  Value v = node.value(x);
  return node.set(0,
                  Value(graph::ScatterOp::create(node.b, node.loc, v.getType(), v, node.value(1),
                                                 node.value(2))),
                  x.isUnsigned);
}

LogicalResult importScatterElements(Node &node) {
  Tensor &x = node.in(0);
  bool agree = hasIndices(node, 1) && node.has(2) && node.in(2).element == x.element &&
               node.in(1).rank() == x.rank() && node.in(2).rank() == x.rank() && x.rank() > 0;
  for (int64_t d = 0; agree && d < x.rank(); ++d) {
    agree = static_cast<bool>(node.importer.unify(node.in(1).dims[d], node.in(2).dims[d]));
  }
  if (!agree) {
    return node.invalid("needs integer indices and updates of one shape and of the input's rank");
  }
  if (node.attrString("reduction", "none") != "none") {
    return node.unsupported("a reduction");
  }
  auto axis = indexedAxis(node, x);
  if (failed(axis)) {
    return failure();
  }
  Value positions = flatPositions(node, node.in(1), x.dims, *axis);
  AffineExpr many = canonical(graph::productOf(node.in(1).dims, node.context));
  Value flat = node.reshape(node.value(x), {canonical(graph::productOf(x.dims, node.context))});
  Value v = graph::ScatterOp::create(node.b, node.loc, flat.getType(), flat,
                                     node.reshape(positions, {many, node.cst(1)}),
                                     node.reshape(node.value(2), {many}));
  return node.set(0, node.reshape(v, x.dims), x.isUnsigned);
}

LogicalResult importTrilu(Node &node) {
  Tensor &x = node.in(0);
  if (x.rank() < 2) {
    return node.invalid("needs two dims at least");
  }
  AffineExpr k = node.cst(0);
  if (node.has(1)) {
    auto known = node.knownInts(1, "k");
    if (failed(known) || known->size() != 1) {
      return failure();
    }
    k = (*known)[0];
  }
  bool upper = node.attr("upper", 1) != 0;
  return node.set(
      0,
      node.map({&x}, x.dims, x.element,
               [&](Scalars &s, ArrayRef<Value> v) -> Value {
                 Value row = indexAt(s, x.rank() - 2), column = indexAt(s, x.rank() - 1);
                 Value diagonal = arith::AddIOp::create(s.b, s.loc, row, s.extent(k));
                 auto p = upper ? arith::CmpIPredicate::sge : arith::CmpIPredicate::sle;
                 Value keep = arith::CmpIOp::create(s.b, s.loc, p, column, diagonal);
                 return arith::SelectOp::create(s.b, s.loc, keep, v[0], s.constantLike(0, v[0]));
               }),
      x.isUnsigned);
}

LogicalResult importOneHot(Node &node) {
  if (!node.has(1) || !node.has(2)) {
    return node.invalid("needs indices, depth and values");
  }
  auto depth = node.knownInts(1, "the depth");
  if (failed(depth) || depth->size() != 1 || node.in(2).count() != 2) {
    return failed(depth) ? failure() : node.invalid("needs one depth and two values");
  }
  Tensor &indices = node.in(0), &values = node.in(2);
  int64_t rank = indices.rank() + 1;
  auto axis = node.axis(node.attr("axis", -1), rank);
  if (failed(axis)) {
    return failure();
  }
  SmallVector<AffineExpr> dims(indices.dims);
  dims.insert(dims.begin() + *axis, (*depth)[0]);
  SmallVector<AffineExpr> where;
  for (int64_t d = 0; d < rank; ++d) {
    if (d != *axis) {
      where.push_back(getAffineDimExpr(d, node.context));
    }
  }
  Type i64 = node.b.getI64Type();
  auto at = [&](int64_t i) { return AffineMap::get(rank, 0, node.cst(i)); };
  return node.set(
      0, node.mapWith({node.value(indices), node.value(values), node.value(values)},
                      {AffineMap::get(rank, 0, where, node.context), at(0), at(1)}, dims,
                      values.element, [&](Scalars &s, ArrayRef<Value> v) -> Value {
                        Value index = s.cast(v[0], indices.isUnsigned, i64, false),
                              n = s.extent((*depth)[0]);
                        Value negative = arith::CmpIOp::create(
                            s.b, s.loc, arith::CmpIPredicate::slt, index, s.i(0, i64));
                        index = arith::SelectOp::create(
                            s.b, s.loc, negative,
                            Value(arith::AddIOp::create(s.b, s.loc, index, n)), index);
                        Value on = arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::eq,
                                                         index, indexAt(s, *axis));
                        return arith::SelectOp::create(s.b, s.loc, on, v[2], v[1]);
                      }));
}

} // namespace ciuic::legalize
