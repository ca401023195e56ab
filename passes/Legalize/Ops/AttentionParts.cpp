// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See AttentionParts.h.
#include "passes/Legalize/Ops/AttentionParts.h"

#include "passes/Legalize/DimExpr.h"

#include <cmath>

using namespace mlir;
using ciuic::graph::HeadLayout;

namespace ciuic::legalize {

graph::HeadLayoutAttr layoutAttr(Node &node, HeadLayout layout) {
  return graph::HeadLayoutAttr::get(node.context, layout);
}

FailureOr<Heads> headsOf(Node &node, Value x, int64_t heads) {
  auto dims = graph::dimsOf(x);
  if (dims.size() == 4) {
    return Heads{x, HeadLayout::bhsd};
  }
  if (dims.size() != 3 || heads < 1) {
    return node.invalid("needs three dims and a number of heads, or four dims");
  }
  AffineExpr width = divideExactly(dims[2], node.cst(heads));
  if (!width) {
    return node.invalid("the hidden extent does not divide into the heads");
  }
  return Heads{node.reshape(x, {dims[0], dims[1], node.cst(heads), width}), HeadLayout::bshd};
}

LogicalResult extendPast(Node &node, Heads &x, unsigned pastInput, unsigned result,
                         AffineExpr &past) {
  if (!x.headsFirst() && (node.has(pastInput) || node.used(result))) {
    x = {node.transpose(x.value, {0, 2, 1, 3}), HeadLayout::bhsd};
  }
  if (node.has(pastInput)) {
    Tensor &before = node.in(pastInput);
    auto dims = graph::dimsOf(x.value);
    bool agrees = before.rank() == 4 && before.element == node.in(0).element;
    for (int64_t d : {0, 1, 3}) {
      agrees = agrees && node.importer.unify(before.dims[d], dims[d]);
    }
    if (!agrees) {
      return node.invalid("past and new keys or values have different shapes");
    }
    past = before.dims[2];
    x.value = node.concat({node.value(before), x.value}, 2);
  }
  return node.used(result) ? node.set(result, x.value) : success();
}

FailureOr<Value> additiveMask(Node &node, Tensor &mask, ArrayRef<AffineExpr> full) {
  if (mask.rank() < 2 || mask.rank() > 4) {
    return node.invalid("the mask must have two to four dims");
  }
  if (!isOne(mask.dims.back()) && node.importer.equal(mask.dims.back(), full[3]) == false) {
    return node.unsupported("a mask of fewer keys than there are");
  }
  SmallVector<AffineExpr> dims(4 - mask.rank(), node.cst(1));
  llvm::append_range(dims, mask.dims);
  for (unsigned d = 0; d < 4; ++d) {
    if (!isOne(dims[d]) && !node.importer.unify(dims[d], full[d])) {
      return node.invalid("the mask does not broadcast to batch, heads, queries and keys");
    }
  }
  Value additive;
  Type f32 = node.b.getF32Type();
  if (mask.isBool()) {
    additive = node.map({&mask}, mask.dims, f32, [&](Scalars &s, ArrayRef<Value> v) -> Value {
      return arith::SelectOp::create(s.b, s.loc, v[0], s.f(0, f32), s.f(-INFINITY, f32));
    });
  } else if (mask.isFloat()) {
    additive = node.cast(node.value(mask), f32);
  } else {
    return node.invalid("the mask must be of booleans or floats");
  }
  return node.reshape(additive, dims);
}

Value causalMask(Node &node, AffineExpr queries, AffineExpr keys, AffineExpr shift,
                 std::optional<int64_t> window) {
  Type f32 = node.b.getF32Type(), i64 = node.b.getI64Type();
  return node.mapWith(
      {}, {}, {node.cst(1), node.cst(1), queries, keys}, f32,
      [&](Scalars &s, ArrayRef<Value>) -> Value {
        Value i = graph::IndexOp::create(s.b, s.loc, i64, s.b.getI64IntegerAttr(2));
        Value j = graph::IndexOp::create(s.b, s.loc, i64, s.b.getI64IntegerAttr(3));
        Value last = arith::AddIOp::create(s.b, s.loc, i, s.extent(shift));
        Value sees = arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::sle, j, last);
        if (window) {
          Value first = arith::SubIOp::create(s.b, s.loc, last, s.i(*window, i64));
          Value near = arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::sge, j, first);
          sees = arith::AndIOp::create(s.b, s.loc, sees, near);
        }
        return arith::SelectOp::create(s.b, s.loc, sees, s.f(0, f32), s.f(-INFINITY, f32));
      });
}

FailureOr<Value> addMasks(Node &node, Value a, Value b) {
  if (!a || !b) {
    return a ? a : b;
  }
  Tensor left = node.tensor(a), right = node.tensor(b);
  auto dims = node.broadcast(left.dims, right.dims);
  if (failed(dims)) {
    return failure();
  }
  return node.map({&left, &right}, *dims, node.b.getF32Type(),
                  [](Scalars &s, ArrayRef<Value> x) -> Value {
                    return arith::AddFOp::create(s.b, s.loc, x[0], x[1]);
                  });
}

LogicalResult checkHeads(Node &node, const AttentionParts &parts) {
  const Heads &q = parts.query, &k = parts.key, &v = parts.value;
  auto h = constantOf(q.heads()), g = constantOf(k.heads());
  if (!h || !g || *g < 1 || *h % *g != 0 || !node.importer.unify(k.sequence(), v.sequence()) ||
      !node.importer.unify(k.heads(), v.heads()) || !node.importer.unify(q.batch(), k.batch()) ||
      !node.importer.unify(q.batch(), v.batch()) || !node.importer.unify(q.width(), k.width())) {
    return node.invalid("query, key and value have heads or extents that do not agree");
  }
  auto width = constantOf(q.width());
  return width && *width >= 1 ? success() : node.unsupported("heads of dynamic width");
}

FailureOr<Value> buildAttention(Node &node, AttentionParts &parts, bool merge) {
  const Heads &q = parts.query;
  // The op's causal mask is aligned with the last key; ONNX's with the first one after the past.
  if (parts.causal && node.importer.equal(parts.fresh, q.sequence()) != true) {
    parts.causal = false;
    auto mask = addMasks(node, parts.mask,
                         causalMask(node, q.sequence(), parts.key.sequence(), parts.past));
    if (failed(mask)) {
      return failure();
    }
    parts.mask = *mask;
  }
  double width = static_cast<double>(*constantOf(q.width()));
  double scale = parts.scale.value_or(1 / std::sqrt(width));
  SmallVector<AffineExpr> dims = graph::dimsOf(q.value);
  dims[3] = parts.value.width();
  Value y = graph::AttentionOp::create(
      node.b, node.loc, graph::tensorOf(dims, node.in(0).element), q.value, parts.key.value,
      parts.value.value, parts.mask, node.b.getF32FloatAttr(static_cast<float>(scale)),
      parts.causal ? node.b.getUnitAttr() : UnitAttr(), layoutAttr(node, q.layout),
      layoutAttr(node, parts.key.layout), layoutAttr(node, parts.value.layout),
      layoutAttr(node, q.layout));
  return merge ? node.reshape(y, {dims[0], dims[1], canonical(dims[2] * dims[3])}) : y;
}

FailureOr<Value> rotaryTable(Node &node, Tensor &cache, Value positions, const Heads &x,
                             int64_t part, bool interleaved) {
  Type element = cast<RankedTensorType>(x.value.getType()).getElementType();
  if (!cache.isFloat() || cache.element != element || cache.rank() < 2 ||
      constantOf(cache.dims.back()) != part / 2) {
    return node.invalid("a cache must be of the input's type and half as wide as what is rotated");
  }
  Value v = node.value(cache);
  if (positions) {
    SmallVector<AffineExpr> dims = graph::dimsOf(positions);
    if (cache.rank() != 2 || dims.size() != 2 || !node.importer.unify(dims[1], x.sequence())) {
      return node.invalid("with positions a cache needs two dims, and there must be as many "
                          "positions as there is sequence");
    }
    dims.push_back(cache.dims[1]);
    v = graph::GatherOp::create(node.b, node.loc, graph::tensorOf(dims, cache.element), v,
                                positions, node.b.getI64IntegerAttr(0));
  } else if (cache.rank() != 3 || !node.importer.unify(cache.dims[1], x.sequence())) {
    return node.invalid("without positions a cache needs the dims batch, sequence and width");
  }
  auto dims = graph::dimsOf(v);
  if (!isOne(dims[0]) && !node.importer.unify(dims[0], x.batch())) {
    return node.invalid("a cache has another batch extent than the input");
  }
  if (!interleaved) {
    return node.concat({v, v}, 2);
  }
  // Each value twice.
  Value pairs = node.expand(node.reshape(v, {dims[0], dims[1], dims[2], node.cst(1)}),
                            {dims[0], dims[1], dims[2], node.cst(2)});
  return node.reshape(pairs, {dims[0], dims[1], node.cst(part)});
}

Value positionsFrom(Node &node, AffineExpr first, AffineExpr sequence) {
  Type i64 = node.b.getI64Type();
  return node.mapWith({}, {}, {node.cst(1), sequence}, i64,
                      [&](Scalars &s, ArrayRef<Value>) -> Value {
                        Value i = graph::IndexOp::create(s.b, s.loc, i64, s.b.getI64IntegerAttr(1));
                        return arith::AddIOp::create(s.b, s.loc, i, s.extent(first));
                      });
}

Heads rotate(Node &node, const Heads &x, Value cos, Value sin, int64_t part, bool interleaved) {
  int64_t width = *constantOf(x.width());
  auto piece = [&](int64_t from, int64_t extent) {
    auto dims = graph::dimsOf(x.value);
    SmallVector<AffineExpr> offsets(4, node.cst(0));
    offsets[3] = node.cst(from);
    dims[3] = node.cst(extent);
    return node.slice(x.value, offsets, SmallVector<int64_t>(4, 1), dims);
  };
  Value rotated = piece(0, part);
  rotated = graph::RopeOp::create(node.b, node.loc, rotated.getType(), rotated, cos, sin,
                                  layoutAttr(node, x.layout),
                                  interleaved ? node.b.getUnitAttr() : UnitAttr());
  if (part < width) {
    rotated = node.concat({rotated, piece(part, width - part)}, 3);
  }
  return {rotated, x.layout};
}

} // namespace ciuic::legalize
