// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// GroupQueryAttention and MultiHeadAttention as model builders write them (com.microsoft). A cache
// is a past in front of what is new, so that the session can keep it in place; new keys and values
// lie at its end, which is where the operator puts them as long as no sequence is padded.
#include "passes/Legalize/DimExpr.h"
#include "passes/Legalize/Ops.h"
#include "passes/Legalize/Ops/AttentionParts.h"

#include <cmath>

using namespace mlir;
using ciuic::graph::HeadLayout;

namespace ciuic::legalize {
namespace {

/// Elements [from, from + extent) of dim `axis`.
Value part(Node &node, Value x, unsigned axis, int64_t from, AffineExpr extent) {
  auto dims = graph::dimsOf(x);
  SmallVector<AffineExpr> offsets(dims.size(), node.cst(0));
  offsets[axis] = node.cst(from);
  dims[axis] = extent;
  return node.slice(x, offsets, SmallVector<int64_t>(dims.size(), 1), dims);
}

/// `x` plus elements [from, …) of the bias vector along its last dim.
FailureOr<Value> addBias(Node &node, Value x, unsigned input, int64_t from) {
  if (!node.has(input)) {
    return x;
  }
  Tensor sum = node.tensor(x);
  auto extent = constantOf(sum.dims.back()), whole = constantOf(node.in(input).dims.front());
  if (node.in(input).rank() != 1 || !extent || !whole || *whole < from + *extent ||
      node.in(input).element != sum.element) {
    return node.invalid("the bias does not have an element for each of query, key and value");
  }
  Tensor bias = node.tensor(part(node, node.value(input), 0, from, sum.dims.back()));
  return node.map({&sum, &bias}, sum.dims, sum.element, [](Scalars &s, ArrayRef<Value> v) -> Value {
    return arith::AddFOp::create(s.b, s.loc, v[0], v[1]);
  });
}

/// Whether sequence b is as long as the caches say, in front of a scalar: seqlens_k is its length
/// less one. The first call may be padded on the right; its padding is not seen by what is real.
Value isWhole(Scalars &s, Value length, AffineExpr past, AffineExpr total) {
  Type i64 = s.b.getI64Type();
  Value last = s.cast(length, false, i64, false);
  Value expected = arith::SubIOp::create(s.b, s.loc, s.extent(total), s.i(1, i64));
  Value same = arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::eq, last, expected);
  Value first =
      arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::eq, s.extent(past), s.i(0, i64));
  Value shorter = arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::sle, last, expected);
  return arith::OrIOp::create(s.b, s.loc, same,
                              Value(arith::AndIOp::create(s.b, s.loc, first, shorter)));
}

/// `x`, but NaN in each batch row whose sequence is padded where the caches could not follow it: an
/// answer that cannot be taken for one.
FailureOr<Value> poisonPadded(Node &node, Value x, Tensor &lengths, AffineExpr past,
                              AffineExpr total, AffineExpr batch) {
  auto dims = graph::dimsOf(x);
  bool one = lengths.rank() == 0 || isOne(lengths.dims[0]);
  if (lengths.rank() > 2 || (lengths.rank() == 2 && !isOne(lengths.dims[1])) ||
      !(lengths.element.isInteger(32) || lengths.element.isInteger(64)) ||
      (!one && !node.importer.unify(lengths.dims[0], batch))) {
    return node.invalid("seqlens_k must have an integer for each sequence of the batch");
  }
  dims[0] = one ? dims[0] : batch;
  auto rank = static_cast<unsigned>(dims.size());
  SmallVector<AffineExpr> at(lengths.rank(), node.cst(0));
  if (!one) {
    at[0] = getAffineDimExpr(0, node.context);
  }
  SmallVector<AffineExpr> own;
  for (unsigned d = 0; d < rank; ++d) {
    bool spread = d == 0 && isOne(graph::dimsOf(x)[0]);
    own.push_back(spread ? node.cst(0) : getAffineDimExpr(d, node.context));
  }
  return node.mapWith(
      {x, node.value(lengths)},
      {AffineMap::get(rank, 0, own, node.context), AffineMap::get(rank, 0, at, node.context)}, dims,
      cast<RankedTensorType>(x.getType()).getElementType(),
      [&](Scalars &s, ArrayRef<Value> v) -> Value {
        return arith::SelectOp::create(s.b, s.loc, isWhole(s, v[1], past, total), v[0],
                                       s.f(NAN, v[0].getType()));
      });
}

/// RMS norm of each head, where there is a weight for it.
FailureOr<Heads> normalizeHeads(Node &node, Heads x, unsigned input, double epsilon) {
  if (!node.isVector(input, x.width()) || node.in(input).element != node.in(0).element) {
    return node.invalid("a norm's weight must be a vector as wide as a head");
  }
  x.value =
      graph::RmsNormOp::create(node.b, node.loc, x.value.getType(), x.value, node.value(input),
                               node.b.getF32FloatAttr(static_cast<float>(epsilon)));
  return x;
}

/// What GroupQueryAttention can say that has no counterpart here.
LogicalResult refuseExtras(Node &node) {
  if (node.attrFloat("softcap", 0) != 0) {
    return node.unsupported("a softcap");
  }
  if (node.attr("smooth_softmax", 0) == 1 || node.has(11)) {
    return node.unsupported("a smooth softmax or head sinks");
  }
  for (StringRef kind : {"k_quant_type", "v_quant_type"}) {
    std::string type = node.attrString(kind, "NONE");
    if (type != "NONE" && !type.empty()) {
      return node.unsupported("quantised keys and values; export with a cache of floats");
    }
  }
  if (node.has(12) || node.has(13)) {
    return node.unsupported("quantised keys and values; export with a cache of floats");
  }
  if (node.attr("qk_output", 0) != 0 || node.used(3)) {
    return node.unsupported("the output output_qk");
  }
  if (node.attr("sliding_window_cache", 0) != 0) {
    return node.unsupported("a cache of the window's size; export with one of the whole length");
  }
  if (node.has(16)) {
    return node.unsupported("query_seqlens; prompts come in whole");
  }
  return success();
}

/// The two heads' tensors of query and key, rotated, and poisoned where a sequence is padded.
LogicalResult rotateBoth(Node &node, Heads &q, Heads &k, AffineExpr past, AffineExpr total) {
  Tensor &lengths = node.in(5);
  if (node.attr("do_rotary", 0) == 0) {
    auto poisoned = poisonPadded(node, q.value, lengths, past, total, q.batch());
    q.value = failed(poisoned) ? q.value : *poisoned;
    return failed(poisoned) ? failure() : success();
  }
  if (!node.has(7) || !node.has(8) || node.in(7).rank() != 2) {
    return node.invalid("do_rotary needs cos and sin caches of two dims");
  }
  auto half = constantOf(node.in(7).dims[1]), width = constantOf(q.width());
  if (!half || !width || *half < 1 || *half > *width / 2) {
    return node.invalid("the rotary caches are wider than half a head");
  }
  Value positions;
  if (node.has(9)) {
    Tensor &ids = node.in(9);
    if (ids.rank() != 2 || !(ids.element.isInteger(64) || ids.element.isInteger(32))) {
      return node.invalid("position_ids must be integers of two dims");
    }
    positions = node.value(ids);
  } else {
    auto rows = constantOf(node.in(7).dims[0]);
    AffineExpr most = node.cst(rows.value_or(0));
    if (rows && node.importer.lessOrEqual(total, most) != true &&
        !node.importer.limit(total, *rows)) {
      return node.unsupported("the rotary caches end at position " + Twine(*rows) +
                              ", and the entry allows longer sequences; lower the bounds with "
                              "--entry NAME:dim=a..b");
    }
    positions = positionsFrom(node, past, q.sequence());
  }
  bool interleaved = node.attr("rotary_interleaved", 0) != 0;
  auto cos = rotaryTable(node, node.in(7), positions, q, 2 * *half, interleaved);
  auto sin =
      failed(cos) ? cos : rotaryTable(node, node.in(8), positions, q, 2 * *half, interleaved);
  // In the tables, which all layers share, the check costs a layer nothing.
  cos = failed(sin) ? sin : poisonPadded(node, *cos, lengths, past, total, q.batch());
  sin = failed(cos) ? cos : poisonPadded(node, *sin, lengths, past, total, q.batch());
  if (failed(sin)) {
    return failure();
  }
  q = rotate(node, q, *cos, *sin, 2 * *half, interleaved);
  k = rotate(node, k, *cos, *sin, 2 * *half, interleaved);
  return success();
}

} // namespace

LogicalResult importGroupQueryAttention(Node &node) {
  if (failed(refuseExtras(node))) {
    return failure();
  }
  // 1. Query, key and value, which may come as one.
  int64_t heads = node.attr("num_heads", 0), groups = node.attr("kv_num_heads", 0);
  Tensor &x = node.in(0);
  if (heads < 1 || groups < 1 || heads > 65536 || groups > heads || x.rank() != 3 ||
      node.has(1) != node.has(2) || !node.has(5) || !node.has(6) || node.has(3) != node.has(4) ||
      node.has(14) != node.has(15)) {
    return node.invalid("needs num_heads, kv_num_heads, a query of three dims, seqlens_k and "
                        "total_sequence_length; keys and values come together");
  }
  Value query = node.value(x), key, value;
  if (node.has(1)) {
    if (node.in(1).element != x.element || node.in(2).element != x.element) {
      return node.invalid("needs query, key and value of one type");
    }
    key = node.value(1);
    value = node.value(2);
  } else {
    auto packed = constantOf(x.dims[2]);
    if (!packed || *packed % (heads + 2 * groups) != 0) {
      return node.invalid("the packed extent does not divide into the heads");
    }
    int64_t width = *packed / (heads + 2 * groups);
    key = part(node, query, 2, heads * width, node.cst(groups * width));
    value = part(node, query, 2, (heads + groups) * width, node.cst(groups * width));
    query = part(node, query, 2, 0, node.cst(heads * width));
  }
  auto q = headsOf(node, query, heads), k = headsOf(node, key, groups),
       v = headsOf(node, value, groups);
  if (failed(q) || failed(k) || failed(v)) {
    return failure();
  }
  if (node.has(14)) {
    double epsilon = node.attrFloat("qk_norm_epsilon", 1e-6);
    q = normalizeHeads(node, *q, 14, node.attrFloat("q_norm_epsilon", epsilon));
    k = failed(q) ? q : normalizeHeads(node, *k, 15, node.attrFloat("k_norm_epsilon", epsilon));
    if (failed(k)) {
      return failure();
    }
  }

  // 2. The whole sequence is what the cache holds and what is new.
  AttentionParts parts{*q, *k, *v};
  parts.fresh = k->sequence();
  parts.past = node.has(3) && node.in(3).rank() == 4 ? node.in(3).dims[2] : node.cst(0);
  AffineExpr total = canonical(parts.past + parts.fresh);
  if (!node.importer.unify(k->sequence(), q->sequence())) {
    return node.unsupported("keys that are not as many as the queries");
  }
  const Contents *length = node.contents(6);
  if (length && !length->isFloat && length->size() == 1 &&
      !node.importer.unify(length->integer(0), total)) {
    return node.invalid("total_sequence_length is not what the cache holds and what is new");
  }
  if (failed(rotateBoth(node, parts.query, parts.key, parts.past, total)) ||
      failed(extendPast(node, parts.key, 3, 1, parts.past)) ||
      failed(extendPast(node, parts.value, 4, 2, parts.past)) || failed(checkHeads(node, parts))) {
    return failure();
  }

  // 3. Who sees whom.
  if (node.has(10)) {
    auto bias = additiveMask(node, node.in(10),
                             {q->batch(), q->heads(), q->sequence(), parts.key.sequence()});
    if (failed(bias)) {
      return failure();
    }
    parts.mask = *bias;
  }
  parts.causal = node.attr("causal", 1) != 0;
  int64_t window = node.attr("local_window_size", -1);
  if (window > 0 && parts.causal) { // the query's own key is one of the window's
    auto mask =
        addMasks(node, parts.mask,
                 causalMask(node, q->sequence(), parts.key.sequence(), parts.past, window - 1));
    if (failed(mask)) {
      return failure();
    }
    parts.mask = *mask;
    parts.causal = false;
  } else if (window > 0) {
    return node.invalid("local_window_size needs causal attention");
  }
  if (double scale = node.attrFloat("scale", 0); scale != 0) {
    parts.scale = scale;
  }
  auto y = buildAttention(node, parts, true);
  return failed(y) ? failure() : node.set(0, *y);
}

namespace {

/// −filter where a key is padding, from a mask [batch, keys] or a number of keys for each sequence.
FailureOr<Value> paddingMask(Node &node, const AttentionParts &parts) {
  Tensor &given = node.in(4);
  AffineExpr batch = parts.query.batch(), keys = parts.key.sequence();
  double filter = node.attrFloat("mask_filter_value", -10000.0);
  Type f32 = node.b.getF32Type(), i64 = node.b.getI64Type();
  if (!given.element.isInteger(32) && !given.element.isInteger(64)) {
    return node.invalid("key_padding_mask must be of integers");
  }
  MLIRContext *context = node.context;
  AffineExpr b = getAffineDimExpr(0, context), j = getAffineDimExpr(3, context);
  SmallVector<AffineExpr> dims{batch, node.cst(1), node.cst(1), keys};
  auto select = [&](Scalars &s, Value sees) -> Value {
    return arith::SelectOp::create(s.b, s.loc, sees, s.f(0, f32), s.f(filter, f32));
  };
  if (given.rank() == 1 && node.importer.equal(given.dims[0], batch) != false &&
      node.importer.unify(given.dims[0], batch)) {
    return node.mapWith(
        {node.value(given)}, {AffineMap::get(4, 0, b, context)}, dims, f32,
        [&](Scalars &s, ArrayRef<Value> v) -> Value {
          Value at = graph::IndexOp::create(s.b, s.loc, i64, s.b.getI64IntegerAttr(3));
          Value count = s.cast(v[0], false, i64, false);
          return select(s, arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::slt, at, count));
        });
  }
  bool fits = given.rank() == 2 && node.importer.equal(given.dims[1], keys) != false &&
              node.importer.unify(given.dims[0], batch) && node.importer.unify(given.dims[1], keys);
  if (!fits) {
    return node.unsupported("a key_padding_mask that is neither one number for each sequence nor "
                            "one for each of its keys");
  }
  return node.mapWith(
      {node.value(given)}, {AffineMap::get(4, 0, {b, j}, context)}, dims, f32,
      [&](Scalars &s, ArrayRef<Value> v) -> Value {
        Value zero = s.i(0, v[0].getType());
        return select(s, arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::ne, v[0], zero));
      });
}

/// Part `index` of heads packed as [batch, sequence, heads, parts, width].
Heads unpack(Node &node, Value packed, int64_t index) {
  auto dims = graph::dimsOf(packed);
  Value one = part(node, packed, 3, index, node.cst(1));
  return {node.reshape(one, {dims[0], dims[1], dims[2], dims[4]}), HeadLayout::bshd};
}

/// Query, key and value of MultiHeadAttention in whichever form they come.
FailureOr<AttentionParts> multiHeads(Node &node, int64_t heads) {
  Tensor &x = node.in(0);
  if (x.rank() == 5) {
    if (node.has(1) || node.has(2) || node.has(3) || constantOf(x.dims[3]) != 3) {
      return node.invalid("a packed query holds key and value and has no bias");
    }
    Value packed = node.value(x);
    return AttentionParts{unpack(node, packed, 0), unpack(node, packed, 1),
                          unpack(node, packed, 2)};
  }
  if (x.rank() != 3 || !node.has(1) || node.in(1).element != x.element ||
      (node.has(2) && node.in(2).element != x.element)) {
    return node.invalid("needs query, key and value of one type");
  }
  auto hidden = constantOf(x.dims[2]);
  auto query = addBias(node, node.value(0), 3, 0);
  auto q = failed(query) ? FailureOr<Heads>(failure()) : headsOf(node, *query, heads);
  if (failed(q) || !hidden) {
    return failed(q) ? failure() : node.unsupported("heads of dynamic width");
  }
  if (node.in(1).rank() == 5) {
    if (node.has(2) || node.has(3) || constantOf(node.in(1).dims[3]) != 2) {
      return node.invalid("a packed key holds the value and has no bias");
    }
    Value packed = node.value(1);
    return AttentionParts{*q, unpack(node, packed, 0), unpack(node, packed, 1)};
  }
  if (!node.has(2) || node.in(1).rank() != node.in(2).rank()) {
    return node.invalid("key and value have different ranks");
  }
  bool projected = node.in(1).rank() == 3; // else a cache of keys, which has its bias already
  auto key = projected ? addBias(node, node.value(1), 3, *hidden) : node.value(1);
  auto value = projected ? addBias(node, node.value(2), 3, 2 * *hidden) : node.value(2);
  if (failed(key) || failed(value)) {
    return failure();
  }
  auto k = headsOf(node, *key, heads), v = headsOf(node, *value, heads);
  if (failed(k) || failed(v)) {
    return failure();
  }
  return AttentionParts{*q, *k, *v};
}

} // namespace

LogicalResult importMultiHeadAttention(Node &node) {
  int64_t heads = node.attr("num_heads", 0);
  if (heads < 1 || heads > 65536 || node.has(6) != node.has(7)) {
    return node.invalid("needs num_heads; past_key and past_value come together");
  }
  if (node.has(8) || node.has(9) || node.used(3)) {
    return node.unsupported("past_sequence_length, cache_indirection or the output qk");
  }
  auto parts = multiHeads(node, heads);
  if (failed(parts)) {
    return failure();
  }
  parts->fresh = parts->key.sequence();
  parts->past = node.cst(0);
  if (failed(extendPast(node, parts->key, 6, 1, parts->past)) ||
      failed(extendPast(node, parts->value, 7, 2, parts->past)) ||
      failed(checkHeads(node, *parts))) {
    return failure();
  }
  if (node.has(4)) {
    auto mask = paddingMask(node, *parts);
    if (failed(mask)) {
      return failure();
    }
    parts->mask = *mask;
  }
  if (node.has(5)) {
    auto bias = additiveMask(node, node.in(5),
                             {parts->query.batch(), parts->query.heads(), parts->query.sequence(),
                              parts->key.sequence()});
    auto mask = failed(bias) ? bias : addMasks(node, parts->mask, *bias);
    if (failed(mask)) {
      return failure();
    }
    parts->mask = *mask;
  }
  parts->causal = node.attr("unidirectional", 0) != 0;
  if (double scale = node.attrFloat("scale", 0); scale != 0) {
    parts->scale = scale;
  }
  auto y = buildAttention(node, *parts, true);
  return failed(y) ? failure() : node.set(0, *y);
}

} // namespace ciuic::legalize
