// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Attention and rotary embeddings as operators of their own (opset 23 on). What exporters write in
// many nodes instead is recognised by passes/Raise.
#include "passes/Legalize/DimExpr.h"
#include "passes/Legalize/Ops.h"

#include <cmath>

using namespace mlir;
using ciuic::graph::HeadLayout;

namespace ciuic::legalize {
namespace {

/// A query, key or value with four dims and where its heads are.
struct Heads {
  Value value;
  HeadLayout layout = HeadLayout::bhsd;
  AffineExpr sequence() const { return graph::dimsOf(value)[layout == HeadLayout::bhsd ? 2 : 1]; }
  AffineExpr heads() const { return graph::dimsOf(value)[layout == HeadLayout::bhsd ? 1 : 2]; }
  AffineExpr width() const { return graph::dimsOf(value)[3]; }
};

/// [batch, heads, sequence, width], or [batch, sequence, heads · width] taken apart.
FailureOr<Heads> headsOf(Node &node, unsigned input, int64_t heads) {
  Tensor &x = node.in(input);
  if (x.rank() == 4) {
    return Heads{node.value(x), HeadLayout::bhsd};
  }
  if (x.rank() != 3 || heads < 1) {
    return node.invalid("needs three dims and a number of heads, or four dims");
  }
  AffineExpr width = divideExactly(x.dims[2], node.cst(heads));
  if (!width) {
    return node.invalid("the hidden extent does not divide into the heads");
  }
  return Heads{node.reshape(node.value(x), {x.dims[0], x.dims[1], node.cst(heads), width}),
               HeadLayout::bshd};
}

graph::HeadLayoutAttr layoutAttr(Node &node, HeadLayout layout) {
  return graph::HeadLayoutAttr::get(node.context, layout);
}

/// The additive f32 mask that a mask input stands for, with four dims.
/// It broadcasts to `full`: batch, heads, queries, keys.
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

/// −∞ where key j lies beyond query i + `shift`.
Value causalMask(Node &node, AffineExpr queries, AffineExpr keys, AffineExpr shift) {
  Type f32 = node.b.getF32Type(), i64 = node.b.getI64Type();
  return node.mapWith(
      {}, {}, {node.cst(1), node.cst(1), queries, keys}, f32,
      [&](Scalars &s, ArrayRef<Value>) -> Value {
        Value i = graph::IndexOp::create(s.b, s.loc, i64, s.b.getI64IntegerAttr(2));
        Value j = graph::IndexOp::create(s.b, s.loc, i64, s.b.getI64IntegerAttr(3));
        Value last = arith::AddIOp::create(s.b, s.loc, i, s.extent(shift));
        Value sees = arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::sle, j, last);
        return arith::SelectOp::create(s.b, s.loc, sees, s.f(0, f32), s.f(-INFINITY, f32));
      });
}

} // namespace

LogicalResult importAttention(Node &node) {
  if (!node.has(1) || !node.has(2) || node.in(1).element != node.in(0).element ||
      node.in(2).element != node.in(0).element) {
    return node.invalid("needs query, key and value of one type");
  }
  if (node.attrFloat("softcap", 0) != 0) {
    return node.unsupported("a softcap");
  }
  if (node.used(3) || node.has(6)) {
    return node.unsupported("the output qk_matmul_output or the input nonpad_kv_seqlen");
  }
  if (node.has(4) != node.has(5)) {
    return node.invalid("past_key and past_value come together");
  }
  int64_t queryHeads = node.attr("q_num_heads", 0), keyHeads = node.attr("kv_num_heads", 0);
  auto q = headsOf(node, 0, queryHeads), k = headsOf(node, 1, keyHeads),
       v = headsOf(node, 2, keyHeads);
  if (failed(q) || failed(k) || failed(v)) {
    return failure();
  }
  AffineExpr fresh = k->sequence();
  AffineExpr past = node.cst(0);
  // Present keys and values are [batch, heads, sequence, width] whatever came in.
  auto extend = [&](Heads &x, unsigned pastInput, unsigned result) -> LogicalResult {
    if (x.layout == HeadLayout::bshd && (node.has(pastInput) || node.used(result))) {
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
  };
  if (failed(extend(*k, 4, 1)) || failed(extend(*v, 5, 2))) {
    return failure();
  }
  auto h = constantOf(q->heads()), g = constantOf(k->heads());
  if (!h || !g || *g < 1 || *h % *g != 0 || !node.importer.unify(k->sequence(), v->sequence()) ||
      !node.importer.unify(k->heads(), v->heads()) ||
      !node.importer.unify(graph::dimsOf(q->value)[0], graph::dimsOf(k->value)[0]) ||
      !node.importer.unify(graph::dimsOf(q->value)[0], graph::dimsOf(v->value)[0]) ||
      !node.importer.unify(q->width(), k->width())) {
    return node.invalid("query, key and value have heads or extents that do not agree");
  }
  auto width = constantOf(q->width());
  if (!width || *width < 1) {
    return node.unsupported("heads of dynamic width");
  }
  Value mask;
  if (node.has(3)) {
    auto additive = additiveMask(
        node, node.in(3), {graph::dimsOf(q->value)[0], q->heads(), q->sequence(), k->sequence()});
    if (failed(additive)) {
      return failure();
    }
    mask = *additive;
  }
  bool causal = node.attr("is_causal", 0) != 0;
  // The op's causal mask is aligned with the last key; ONNX's with the first one after the past.
  if (causal && node.importer.equal(fresh, q->sequence()) != true) {
    causal = false;
    Tensor bias = node.tensor(causalMask(node, q->sequence(), k->sequence(), past));
    if (mask) {
      Tensor given = node.tensor(mask);
      auto dims = node.broadcast(given.dims, bias.dims);
      if (failed(dims)) {
        return failure();
      }
      mask = node.map({&given, &bias}, *dims, node.b.getF32Type(),
                      [](Scalars &s, ArrayRef<Value> x) -> Value {
                        return arith::AddFOp::create(s.b, s.loc, x[0], x[1]);
                      });
    } else {
      mask = bias.value;
    }
  }
  double scale = node.attrFloat("scale", 1 / std::sqrt(static_cast<double>(*width)));
  HeadLayout out = q->layout;
  SmallVector<AffineExpr> dims = graph::dimsOf(q->value);
  dims[3] = v->width();
  Value y = graph::AttentionOp::create(
      node.b, node.loc, graph::tensorOf(dims, node.in(0).element), q->value, k->value, v->value,
      mask, node.b.getF32FloatAttr(static_cast<float>(scale)),
      causal ? node.b.getUnitAttr() : UnitAttr(), layoutAttr(node, q->layout),
      layoutAttr(node, k->layout), layoutAttr(node, v->layout), layoutAttr(node, out));
  if (node.in(0).rank() == 3) {
    y = node.reshape(y, {dims[0], dims[1], canonical(dims[2] * dims[3])});
  }
  return node.set(0, y);
}

LogicalResult importRotaryEmbedding(Node &node) {
  // com.microsoft has position_ids second, ONNX last and optional.
  bool contributed = !node.op.getDomain().empty();
  unsigned cosAt = contributed ? 2 : 1, positionsAt = contributed ? 1 : 3;
  if (!node.has(cosAt) || !node.has(cosAt + 1) || (contributed && !node.has(1))) {
    return node.invalid("needs cos and sin caches");
  }
  if (contributed && (node.attr("is_packed_batching", 0) != 0 || node.attrFloat("scale", 1) != 1)) {
    return node.unsupported("packed batching or a scale");
  }
  Tensor &x = node.in(0);
  int64_t heads = node.attr("num_heads", 0), part = node.attr("rotary_embedding_dim", 0);
  if (contributed && heads == 0 && x.rank() == 3) {
    // Without a number of heads the cache says how wide one is.
    auto half = node.in(cosAt).rank() == 2 ? constantOf(node.in(cosAt).dims[1]) : std::nullopt;
    auto hidden = constantOf(x.dims[2]);
    heads = part == 0 && half && *half > 0 && hidden ? *hidden / (2 * *half) : 0;
  }
  auto given = headsOf(node, 0, heads);
  if (failed(given)) {
    return failure();
  }
  auto width = constantOf(given->width());
  if (part == 0 && width) {
    part = *width;
  }
  if (!width || part < 2 || part % 2 != 0 || part > *width) {
    return node.invalid("rotary_embedding_dim is odd or does not fit the heads");
  }
  bool interleaved = node.attr("interleaved", 0) != 0;
  AffineExpr batch = graph::dimsOf(given->value)[0], sequence = given->sequence();
  // cos and sin as [batch or 1, sequence, part]: gathered by position, then each value twice.
  auto table = [&](unsigned input) -> FailureOr<Value> {
    Tensor &cache = node.in(input);
    if (!cache.isFloat() || cache.element != x.element || cache.rank() < 2 ||
        constantOf(cache.dims.back()) != part / 2) {
      return node.invalid(
          "a cache must be of the input's type and half as wide as what is rotated");
    }
    Value v = node.value(cache);
    if (node.has(positionsAt)) {
      Tensor &positions = node.in(positionsAt);
      bool integers = positions.element.isInteger(64) || positions.element.isInteger(32);
      if (cache.rank() != 2 || !integers || positions.rank() < 1 || positions.rank() > 2) {
        return node.invalid("positions need integers of one or two dims and caches of two dims");
      }
      Value index = node.value(positions);
      if (positions.rank() == 1) { // One offset: positions offset, offset + 1, …
        Type type = positions.element;
        index = node.mapWith(
            {index}, {AffineMap::get(2, 0, node.cst(0))}, {node.cst(1), sequence}, type,
            [&](Scalars &s, ArrayRef<Value> o) -> Value {
              Value i =
                  graph::IndexOp::create(s.b, s.loc, s.b.getI64Type(), s.b.getI64IntegerAttr(1));
              return arith::AddIOp::create(s.b, s.loc, o[0], s.cast(i, false, type, false));
            });
      } else if (!node.importer.unify(positions.dims[1], sequence)) {
        return node.invalid("there are not as many positions as there is sequence");
      }
      SmallVector<AffineExpr> dims = graph::dimsOf(index);
      dims.push_back(cache.dims[1]);
      v = graph::GatherOp::create(node.b, node.loc, graph::tensorOf(dims, cache.element), v, index,
                                  node.b.getI64IntegerAttr(0));
    } else if (cache.rank() != 3 || !node.importer.unify(cache.dims[1], sequence)) {
      return node.invalid("without positions a cache needs the dims batch, sequence and width");
    }
    auto dims = graph::dimsOf(v);
    if (!isOne(dims[0]) && !node.importer.unify(dims[0], batch)) {
      return node.invalid("a cache has another batch extent than the input");
    }
    if (!interleaved) {
      return node.concat({v, v}, 2);
    }
    Value pairs = node.expand(node.reshape(v, {dims[0], dims[1], dims[2], node.cst(1)}),
                              {dims[0], dims[1], dims[2], node.cst(2)});
    return node.reshape(pairs, {dims[0], dims[1], node.cst(part)});
  };
  auto cos = table(cosAt), sin = table(cosAt + 1);
  if (failed(cos) || failed(sin)) {
    return failure();
  }
  auto piece = [&](int64_t from, int64_t extent) {
    auto dims = graph::dimsOf(given->value);
    SmallVector<AffineExpr> offsets(4, node.cst(0));
    offsets[3] = node.cst(from);
    dims[3] = node.cst(extent);
    return node.slice(given->value, offsets, SmallVector<int64_t>(4, 1), dims);
  };
  Value rotated = piece(0, part);
  rotated = graph::RopeOp::create(node.b, node.loc, rotated.getType(), rotated, *cos, *sin,
                                  layoutAttr(node, given->layout),
                                  interleaved ? node.b.getUnitAttr() : UnitAttr());
  if (part < *width) {
    rotated = node.concat({rotated, piece(part, *width - part)}, 3);
  }
  return node.set(0, node.reshape(rotated, x.dims));
}

} // namespace ciuic::legalize
