// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Attention and rotary embeddings as operators of their own (opset 23 on). What exporters write in
// many nodes instead is recognised by passes/Raise; com.microsoft's stand in ContribAttention.cpp.
#include "passes/Legalize/Ops.h"
#include "passes/Legalize/Ops/AttentionParts.h"

using namespace mlir;

namespace ciuic::legalize {

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
  auto q = headsOf(node, node.value(0), queryHeads), k = headsOf(node, node.value(1), keyHeads),
       v = headsOf(node, node.value(2), keyHeads);
  if (failed(q) || failed(k) || failed(v)) {
    return failure();
  }
  AttentionParts parts{*q, *k, *v};
  parts.fresh = k->sequence();
  parts.past = node.cst(0);
  if (failed(extendPast(node, parts.key, 4, 1, parts.past)) ||
      failed(extendPast(node, parts.value, 5, 2, parts.past)) || failed(checkHeads(node, parts))) {
    return failure();
  }
  if (node.has(3)) {
    auto additive = additiveMask(node, node.in(3),
                                 {q->batch(), q->heads(), q->sequence(), parts.key.sequence()});
    if (failed(additive)) {
      return failure();
    }
    parts.mask = *additive;
  }
  parts.causal = node.attr("is_causal", 0) != 0;
  if (node.hasAttr("scale")) {
    parts.scale = node.attrFloat("scale", 0);
  }
  auto y = buildAttention(node, parts, node.in(0).rank() == 3);
  return failed(y) ? failure() : node.set(0, *y);
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
  auto given = headsOf(node, node.value(x), heads);
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
  Value positions;
  if (node.has(positionsAt)) {
    Tensor &ids = node.in(positionsAt);
    bool integers = ids.element.isInteger(64) || ids.element.isInteger(32);
    if (!integers || ids.rank() < 1 || ids.rank() > 2) {
      return node.invalid("positions need integers of one or two dims");
    }
    positions = node.value(ids);
    if (ids.rank() == 1) { // One offset: positions offset, offset + 1, …
      Type type = ids.element;
      positions = node.mapWith(
          {positions}, {AffineMap::get(2, 0, node.cst(0))}, {node.cst(1), given->sequence()}, type,
          [&](Scalars &s, ArrayRef<Value> o) -> Value {
            Value i =
                graph::IndexOp::create(s.b, s.loc, s.b.getI64Type(), s.b.getI64IntegerAttr(1));
            return arith::AddIOp::create(s.b, s.loc, o[0], s.cast(i, false, type, false));
          });
    }
  }
  auto cos = rotaryTable(node, node.in(cosAt), positions, *given, part, interleaved);
  auto sin = failed(cos)
                 ? cos
                 : rotaryTable(node, node.in(cosAt + 1), positions, *given, part, interleaved);
  if (failed(sin)) {
    return failure();
  }
  return node.set(0,
                  node.reshape(rotate(node, *given, *cos, *sin, part, interleaved).value, x.dims));
}

} // namespace ciuic::legalize
