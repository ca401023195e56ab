// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Verifiers of matrix products, convolutions, attention and norms. Labels (C1)… are Graph.td's.
#include "ir/Graph/Graph.h"
#include "kernels/QuantisedRows.h"

using namespace mlir;
using namespace ciuic::graph;

LogicalResult MatmulOp::verify() {
  auto a = dimsOf(getA()), b = dimsOf(getB()), c = dimsOf(getResult());
  if (a.size() < 2 || b.size() < 2) {
    return emitOpError("(C1) operands need rank 2 or more");
  }
  AffineExpr m = a[a.size() - (getTransposeA() ? 1 : 2)],
             ka = a[a.size() - (getTransposeA() ? 2 : 1)];
  AffineExpr n = b[b.size() - (getTransposeB() ? 2 : 1)],
             kb = b[b.size() - (getTransposeB() ? 1 : 2)];
  if (differ(ka, kb)) {
    return emitOpError("(C2) the contracted extents must agree");
  }
  size_t batch = std::max(a.size(), b.size()) - 2;
  if (c.size() != batch + 2 || !sameDim(c[batch], m) || !sameDim(c[batch + 1], n)) {
    return emitOpError("(C3) the result must be [broadcast..., M, N]");
  }
  for (auto &operand : {a, b}) {
    size_t own = operand.size() - 2;
    for (size_t i = 0; i < own; ++i) {
      if (!isOne(operand[i]) && differ(operand[i], c[batch - own + i])) {
        return emitOpError("(C3) leading extents must broadcast to the result's");
      }
    }
  }
  return success();
}

/// The channel and spatial positions of an image tensor.
static unsigned channelDim(ImageLayout layout, unsigned rank) {
  return layout == ImageLayout::channels_first ? 1 : rank - 1;
}

template <class Op>
static LogicalResult verifyWindow(Op op, ArrayRef<int64_t> perSpatialA,
                                  ArrayRef<int64_t> perSpatialB) {
  int64_t rank = cast<RankedTensorType>(op.getInput().getType()).getRank();
  int64_t spatial = rank - 2;
  auto positive = [&](ArrayRef<int64_t> values) {
    return static_cast<int64_t>(values.size()) == spatial &&
           llvm::all_of(values, [](int64_t v) { return v > 0; });
  };
  if (spatial < 1 || spatial > 3 || !positive(op.getStrides()) || !positive(op.getDilations()) ||
      !positive(perSpatialA) || !positive(perSpatialB) ||
      static_cast<int64_t>(op.getPads().size()) != 2 * spatial ||
      llvm::any_of(op.getPads(), [](int64_t p) { return p < 0; })) {
    return op.emitOpError(
        "(C1) needs one positive stride, dilation and kernel extent and two pads per spatial dim");
  }
  return success();
}

template <class Op>
static LogicalResult verifyFilter(Op op, unsigned inFilterDim, bool filterInIsPerGroup) {
  auto filter = cast<RankedTensorType>(op.getFilter().getType());
  auto input = dimsOf(op.getInput());
  if (filter.getRank() != static_cast<int64_t>(input.size()) || filter.getRank() < 3 ||
      !filter.hasStaticShape()) {
    return op.emitOpError("(C1) the filter must be static and of the input's rank, 3 to 5");
  }
  if (failed(verifyWindow(op, filter.getShape().drop_front(2), filter.getShape().drop_front(2)))) {
    return failure();
  }
  int64_t group = op.getGroup();
  auto channels = dyn_cast<AffineConstantExpr>(input[channelDim(op.getLayout(), input.size())]);
  int64_t expected = filter.getDimSize(inFilterDim) * (filterInIsPerGroup ? group : 1);
  if (group < 1 || filter.getDimSize(0) % group != 0 ||
      (channels && channels.getValue() != expected)) {
    return op.emitOpError("(C2) channels must divide by the group and match the filter");
  }
  return success();
}

LogicalResult ConvOp::verify() {
  if (failed(verifyFilter(*this, 1, true))) {
    return failure();
  }
  auto in = dimsOf(getInput()), out = dimsOf(getResult());
  auto filter = cast<RankedTensorType>(getFilter().getType());
  unsigned spatial = in.size() - 2, first = getLayout() == ImageLayout::channels_first ? 2 : 1;
  for (unsigned i = 0; i < spatial; ++i) {
    AffineExpr extent = (in[first + i] + getPads()[i] + getPads()[spatial + i] -
                         getDilations()[i] * (filter.getDimSize(2 + i) - 1) - 1)
                            .floorDiv(getStrides()[i]) +
                        1;
    if (differ(extent, out[first + i])) {
      return emitOpError("(C3) result extent does not follow from the window at spatial dim ") << i;
    }
  }
  return success();
}

LogicalResult ConvTransposeOp::verify() { return verifyFilter(*this, 0, false); }

LogicalResult PoolOp::verify() { return verifyWindow(*this, getKernel(), getKernel()); }

LogicalResult ResizeOp::verify() {
  int64_t rank = cast<RankedTensorType>(getInput().getType()).getRank();
  return static_cast<int64_t>(getScales().size()) == rank - 2
             ? success()
             : emitOpError("(C1) needs one scale per spatial dim");
}

static LogicalResult verifyNorm(Operation *op, Value input, ValueRange vectors, Value result) {
  if (input.getType() != result.getType()) {
    return op->emitOpError("(C2) operand and result types must agree");
  }
  auto dims = dimsOf(input);
  for (Value vector : vectors) {
    auto own = dimsOf(vector);
    if (own.size() != 1 || dims.empty() || differ(own[0], dims.back())) {
      return op->emitOpError("(C1) scale and bias must be vectors of the last extent");
    }
  }
  return success();
}
LogicalResult LayerNormOp::verify() {
  return verifyNorm(*this, getInput(), getOperands().drop_front(), getResult());
}
LogicalResult RmsNormOp::verify() { return verifyNorm(*this, getInput(), getScale(), getResult()); }

LogicalResult GroupNormOp::verify() {
  auto dims = dimsOf(getInput());
  if (dims.size() != 4) {
    return emitOpError("(C1) needs four dims");
  }
  for (Value vector : {getScale(), getBias()}) {
    auto own = dimsOf(vector);
    auto [group, channel] = getChannelDims();
    if (own.size() != 2 || differ(own[0], dims[group]) || differ(own[1], dims[channel])) {
      return emitOpError("(C2) scale and bias must be [groups, channels of a group]");
    }
  }
  return getInput().getType() == getResult().getType()
             ? success()
             : emitOpError("(C3) operand and result types must agree");
}

/// The bytes of a quantised row of so many values; the operand where that is no constant.
static AffineExpr rowBytesOf(AffineExpr width) {
  auto constant = dyn_cast<AffineConstantExpr>(width);
  return constant ? getAffineConstantExpr(ciuic::kernels::quantisedRowBytes(constant.getValue()),
                                          width.getContext())
                  : width;
}

LogicalResult AttentionOp::verify() {
  auto q = dimsOf(getQuery()), k = dimsOf(getKey()), v = dimsOf(getValue()),
       out = dimsOf(getResult());
  if (q.size() != 4 || k.size() != 4 || v.size() != 4 || out.size() != 4 ||
      (getMask() && dimsOf(getMask()).size() > 4)) {
    return emitOpError("(C1) operands need four dims");
  }
  auto at = [](ArrayRef<AffineExpr> dims, HeadLayout layout, char what) {
    bool bhsd = layout == HeadLayout::bhsd;
    return what == 'h' ? dims[bhsd ? 1 : 2] : dims[bhsd ? 2 : 1];
  };
  auto heads = dyn_cast<AffineConstantExpr>(at(q, getQueryLayout(), 'h'));
  auto groups = dyn_cast<AffineConstantExpr>(at(k, getKeyLayout(), 'h'));
  if (!heads || !groups || groups.getValue() < 1 || heads.getValue() % groups.getValue() != 0 ||
      differ(groups, at(v, getValueLayout(), 'h'))) {
    return emitOpError("(C2) key/value heads must divide the query heads");
  }
  // Quantised rows of key and value, or none.
  auto isRows = [](Value value) {
    return cast<RankedTensorType>(value.getType()).getElementType().isInteger(8);
  };
  const bool rows = isRows(getKey());
  auto stored = [&](AffineExpr width) { return rows ? rowBytesOf(width) : width; };
  if (rows != isRows(getValue()) || differ(stored(q[3]), k[3]) || differ(v[3], stored(out[3])) ||
      differ(q[0], k[0]) || differ(q[0], v[0]) ||
      differ(at(k, getKeyLayout(), 's'), at(v, getValueLayout(), 's'))) {
    return emitOpError("(C3) batch, width and key extents must agree");
  }
  if (getMask()) {
    auto mask = dimsOf(getMask());
    AffineExpr full[] = {q[0], heads, at(q, getQueryLayout(), 's'), at(k, getKeyLayout(), 's')};
    for (auto [extent, target] : llvm::zip(llvm::reverse(mask), llvm::reverse(full))) {
      if (!isOne(extent) && differ(extent, target)) {
        return emitOpError("(C4) the mask must broadcast to [batch, heads, queries, keys]");
      }
    }
  }
  return success();
}

/// Quantised rows and the values that they stand for.
static LogicalResult verifyRows(Operation *op, Value values, Value rows) {
  auto from = dimsOf(values), to = dimsOf(rows);
  auto type = cast<RankedTensorType>(values.getType());
  if (!isa<FloatType>(type.getElementType()) || from.empty() ||
      !isa<AffineConstantExpr>(from.back())) {
    return op->emitOpError("(C1) rows of floats have a constant last dim");
  }
  if (!cast<RankedTensorType>(rows.getType()).getElementType().isInteger(8) ||
      to.size() != from.size() || differ(to.back(), rowBytesOf(from.back())) ||
      !sameDims(ArrayRef(from).drop_back(), ArrayRef(to).drop_back())) {
    return op->emitOpError("(C2) quantised rows are i8, as long as such rows are, and as many");
  }
  return success();
}

LogicalResult QuantiseRowsOp::verify() { return verifyRows(*this, getInput(), getResult()); }
LogicalResult DequantiseRowsOp::verify() { return verifyRows(*this, getResult(), getInput()); }

LogicalResult RopeOp::verify() {
  auto x = dimsOf(getInput());
  if (getInput().getType() != getResult().getType()) {
    return emitOpError("(C3) operand and result types must agree");
  }
  auto width = x.size() == 4 ? dyn_cast<AffineConstantExpr>(x[3]) : AffineConstantExpr();
  if (!width || width.getValue() % 2 != 0) {
    return emitOpError("(C1) needs four dims, the last constant and even");
  }
  auto cos = dimsOf(getCos()), sin = dimsOf(getSin());
  if (cos.size() != 3 || !sameDims(cos, sin) || differ(cos[2], x[3])) {
    return emitOpError("(C2) cos and sin must be [batch or 1, sequence, width]");
  }
  return success();
}
