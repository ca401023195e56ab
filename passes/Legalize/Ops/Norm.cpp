// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Softmax and normalisations. Those along the last dim are graph ops; the others are reductions and
// maps.
#include "passes/Legalize/DimExpr.h"
#include "passes/Legalize/Ops.h"

#include <cmath>
#include <numeric>

using namespace mlir;
using ciuic::graph::ReduceKind;

namespace ciuic::legalize {

LogicalResult importSoftmax(Node &node) {
  Tensor &x = node.in(0);
  bool isLog = node.op.getOpType() == "LogSoftmax", flattens = node.opset != 0 && node.opset < 13;
  auto axis = node.axis(node.attr("axis", flattens ? 1 : -1), std::max<int64_t>(1, x.rank()));
  if (failed(axis) || x.rank() == 0) {
    return failed(axis) ? failure() : node.invalid("a scalar operand");
  }
  Value v = node.value(x);
  auto softmax = [&](Value in) -> Value {
    return graph::SoftmaxOp::create(node.b, node.loc, in.getType(), in, isLog);
  };
  int64_t last = x.rank() - 1;
  if (flattens && *axis != last) { // Before opset 13 everything from the axis on is one dim.
    ArrayRef<AffineExpr> dims = x.dims;
    SmallVector<AffineExpr> flat{canonical(graph::productOf(dims.take_front(*axis), node.context)),
                                 canonical(graph::productOf(dims.drop_front(*axis), node.context))};
    return node.set(0, node.reshape(softmax(node.reshape(v, flat)), x.dims));
  }
  SmallVector<int64_t> swap(x.rank());
  std::iota(swap.begin(), swap.end(), 0);
  std::swap(swap[*axis], swap[last]);
  return node.set(0, node.transpose(softmax(node.transpose(v, swap)), swap));
}

namespace {

/// scale or bias as a vector of the normalised extent, if it is one.
bool isVector(const Tensor &t, AffineExpr extent) {
  return graph::sameDim(canonical(graph::productOf(t.dims, extent.getContext())), extent);
}

Value asVector(Node &node, Tensor &t) {
  AffineExpr extent = canonical(graph::productOf(t.dims, node.context));
  if (t.rank() == 1) {
    return node.value(t);
  }
  if (t.weight || t.contents) {
    Tensor flat = t;
    flat.dims = {extent};
    flat.value = {};
    return node.value(flat);
  }
  return node.reshape(node.value(t), {extent});
}

/// Normalisation over the dims from `axis` on; `centred` is LayerNormalization, else RMS.
FailureOr<Value> normalize(Node &node, Value x, Tensor &scale, Tensor *bias, int64_t axis,
                           double epsilon, bool centred) {
  auto dims = graph::dimsOf(x);
  auto whole = graph::dimsOf(x);
  Type element = cast<RankedTensorType>(x.getType()).getElementType();
  AffineExpr extent = canonical(graph::productOf(ArrayRef(dims).drop_front(axis), node.context));
  if (!isVector(scale, extent) || (bias && !isVector(*bias, extent)) || scale.element != element ||
      (bias && bias->element != element)) {
    return node.unsupported(
        "a scale or bias that is not of the normalised shape and the input's type");
  }
  dims.truncate(axis);
  dims.push_back(extent);
  x = node.reshape(x, dims);
  auto eps = node.b.getF32FloatAttr(static_cast<float>(epsilon));
  Value y;
  if (centred) {
    y = graph::LayerNormOp::create(node.b, node.loc, x.getType(), x, asVector(node, scale),
                                   bias ? asVector(node, *bias) : Value(), eps);
  } else {
    y = graph::RmsNormOp::create(node.b, node.loc, x.getType(), x, asVector(node, scale), eps);
    if (bias) {
      Tensor t = node.tensor(y), vector = node.tensor(asVector(node, *bias));
      y = node.map({&t, &vector}, t.dims, element, [](Scalars &s, ArrayRef<Value> v) -> Value {
        return arith::AddFOp::create(s.b, s.loc, v[0], v[1]);
      });
    }
  }
  return node.reshape(y, whole);
}

} // namespace

LogicalResult importLayerNorm(Node &node) {
  Tensor &x = node.in(0);
  bool centred = node.op.getOpType() == "LayerNormalization";
  auto axis = node.axis(node.attr("axis", -1), std::max<int64_t>(1, x.rank()));
  if (failed(axis) || !node.has(1)) {
    return failed(axis) ? failure() : node.invalid("needs a scale");
  }
  if (node.used(1) || node.used(2)) {
    return node.unsupported("the outputs Mean and InvStdDev");
  }
  auto y = normalize(node, node.value(x), node.in(1), node.has(2) ? &node.in(2) : nullptr, *axis,
                     node.attrFloat("epsilon", 1e-5), centred);
  return failed(y) ? failure() : node.set(0, *y);
}

LogicalResult importSkipLayerNorm(Node &node) {
  // Inputs: input, skip, gamma, then beta (not in the simplified form), then bias.
  bool centred = node.op.getOpType() == "SkipLayerNormalization";
  if (!node.has(1) || !node.has(2)) {
    return node.invalid("needs input, skip and gamma");
  }
  Tensor *beta = centred && node.has(3) ? &node.in(3) : nullptr;
  unsigned biasAt = centred ? 4 : 3;
  SmallVector<Tensor *> operands{&node.in(0), &node.in(1)};
  if (node.has(biasAt)) {
    operands.push_back(&node.in(biasAt));
  }
  if (node.used(1) || node.used(2)) {
    return node.unsupported("the outputs mean and inv_std_var");
  }
  Tensor &x = node.in(0);
  Value sum = node.map(operands, x.dims, x.element, [](Scalars &s, ArrayRef<Value> v) -> Value {
    Value r = arith::AddFOp::create(s.b, s.loc, v[0], v[1]);
    return v.size() > 2 ? Value(arith::AddFOp::create(s.b, s.loc, r, v[2])) : r;
  });
  auto y = normalize(node, sum, node.in(2), beta, x.rank() - 1, node.attrFloat("epsilon", 1e-12),
                     centred);
  if (failed(y) || failed(node.set(0, *y))) {
    return failure();
  }
  return node.set(3, sum);
}

namespace {

/// (x − mean) / √(variance + ε) over the given dims, accumulated by two reductions.
Value standardize(Node &node, Value v, ArrayRef<int64_t> axes, double epsilon) {
  Type element = cast<RankedTensorType>(v.getType()).getElementType();
  Tensor x = node.tensor(v), mean = node.tensor(node.reduce(ReduceKind::mean, v, axes));
  Tensor centred = node.tensor(
      node.map({&x, &mean}, x.dims, element, [](Scalars &s, ArrayRef<Value> a) -> Value {
        return arith::SubFOp::create(s.b, s.loc, a[0], a[1]);
      }));
  Value squares = node.map({&centred}, x.dims, element, [](Scalars &s, ArrayRef<Value> a) -> Value {
    return arith::MulFOp::create(s.b, s.loc, a[0], a[0]);
  });
  Tensor variance = node.tensor(node.reduce(ReduceKind::mean, squares, axes));
  return node.map(
      {&centred, &variance}, x.dims, element, [&](Scalars &s, ArrayRef<Value> a) -> Value {
        Value shifted = arith::AddFOp::create(s.b, s.loc, a[1], s.f(epsilon, a[1].getType()));
        return arith::DivFOp::create(s.b, s.loc, a[0],
                                     Value(math::SqrtOp::create(s.b, s.loc, shifted)));
      });
}

/// y·scale[c] + bias[c] with channels at dim 1.
Value perChannel(Node &node, Value y, Tensor &scale, Tensor &bias) {
  auto dims = graph::dimsOf(y);
  unsigned rank = dims.size();
  AffineMap channel = AffineMap::get(rank, 0, getAffineDimExpr(1, node.context));
  return node.mapWith({y, node.value(scale), node.value(bias)},
                      {node.b.getMultiDimIdentityMap(rank), channel, channel}, dims,
                      cast<RankedTensorType>(y.getType()).getElementType(),
                      [](Scalars &s, ArrayRef<Value> v) -> Value {
                        Value scaled = arith::MulFOp::create(s.b, s.loc, v[0], v[1]);
                        return arith::AddFOp::create(s.b, s.loc, scaled, v[2]);
                      });
}

} // namespace

namespace {

/// A vector over channels, or over groups, as [groups, channels of a group].
Value perGroup(Node &node, Tensor &t, int64_t groups, int64_t each) {
  SmallVector<AffineExpr> shape{node.cst(groups), node.cst(each)};
  bool repeats = each != 1 && constantOf(t.dims[0]) == groups;
  SmallVector<AffineExpr> own{node.cst(groups), node.cst(repeats ? 1 : each)};
  Value v;
  if (t.weight || t.contents) {
    Tensor shaped = t;
    shaped.dims = own;
    shaped.value = {};
    v = node.value(shaped);
  } else {
    v = node.reshape(node.value(t), own);
  }
  return repeats ? node.expand(v, shape) : v;
}

/// Operand 0 normalised over the pixels and channels of each of `groups` groups.
LogicalResult normalizeGroups(Node &node, int64_t groups) {
  Tensor &x = node.in(0);
  int64_t channels = *constantOf(x.dims[1]);
  AffineExpr pixels = canonical(graph::productOf(ArrayRef(x.dims).drop_front(2), node.context));
  SmallVector<AffineExpr> grouped{x.dims[0], node.cst(groups), node.cst(channels / groups), pixels};
  Value v = node.reshape(node.value(x), grouped);
  APFloat epsilon(static_cast<float>(node.attrFloat("epsilon", 1e-5)));
  Value scale = perGroup(node, node.in(1), groups, channels / groups),
        bias = perGroup(node, node.in(2), groups, channels / groups);
  Value y = graph::GroupNormOp::create(node.b, node.loc, v.getType(), v, scale, bias, epsilon,
                                       graph::ImageLayout::channels_first);
  return node.set(0, node.reshape(y, x.dims));
}

} // namespace

LogicalResult importInstanceNorm(Node &node) {
  Tensor &x = node.in(0);
  if (x.rank() < 3 || !node.isVector(1, x.dims[1]) || !node.isVector(2, x.dims[1])) {
    return node.invalid("needs an input with spatial dims, a scale and a bias per channel");
  }
  if (auto channels = constantOf(x.dims[1]); channels && *channels > 0 && !x.element.isF64()) {
    return normalizeGroups(node, *channels);
  }
  SmallVector<int64_t> axes;
  for (int64_t i = 2; i < x.rank(); ++i) {
    axes.push_back(i);
  }
  Value y = standardize(node, node.value(x), axes, node.attrFloat("epsilon", 1e-5));
  return node.set(0, perChannel(node, y, node.in(1), node.in(2)));
}

LogicalResult importGroupNorm(Node &node) {
  Tensor &x = node.in(0);
  int64_t groups = node.attr("num_groups", 1);
  auto channels = x.rank() >= 3 ? constantOf(x.dims[1]) : std::nullopt;
  if (!channels || groups < 1 || *channels % groups != 0 || !node.has(1) || !node.has(2) ||
      node.in(1).rank() != 1 || node.in(2).rank() != 1) {
    return node.invalid(
        "needs spatial dims, channels divisible by num_groups, a scale and a bias vector");
  }
  // Opset 18 has one scale per group, opset 21 one per channel.
  auto n = constantOf(node.in(1).dims[0]);
  if (!node.isVector(2, node.in(1).dims[0])) {
    return node.invalid("scale and bias differ in length");
  }
  if (n != groups && n != channels) {
    return node.invalid("scale has neither one element per group nor one per channel");
  }
  return normalizeGroups(node, groups);
}

LogicalResult importBatchNorm(Node &node) {
  Tensor &x = node.in(0);
  if (x.rank() < 2 || !node.has(4)) {
    return node.invalid("needs input, scale, bias, mean and variance");
  }
  if (node.attr("training_mode", 0) != 0 || node.used(1) || node.used(2)) {
    return node.unsupported("training mode");
  }
  auto scale = node.constantFloats(1, "the scale"), bias = node.constantFloats(2, "the bias"),
       mean = node.constantFloats(3, "the mean"), variance = node.constantFloats(4, "the variance");
  if (failed(scale) || failed(bias) || failed(mean) || failed(variance)) {
    return failure();
  }
  size_t n = scale->size();
  if (bias->size() != n || mean->size() != n || variance->size() != n ||
      !node.importer.unify(x.dims[1], node.cst(static_cast<int64_t>(n)))) {
    return node.invalid("scale, bias, mean and variance need one element per channel");
  }
  // Two constants per channel, computed once in double precision: y = x·a + b.
  double epsilon = node.attrFloat("epsilon", 1e-5);
  SmallVector<double> a(n), b(n);
  for (size_t i = 0; i < n; ++i) {
    a[i] = (*scale)[i] / std::sqrt((*variance)[i] + epsilon);
    b[i] = (*bias)[i] - (*mean)[i] * a[i];
  }
  Type type = x.element.isF64() ? x.element : Type(node.b.getF32Type());
  Tensor factor = node.tensor(node.constant(a, type, {static_cast<int64_t>(n)}));
  Tensor shift = node.tensor(node.constant(b, type, {static_cast<int64_t>(n)}));
  return node.set(0, perChannel(node, node.value(x), factor, shift));
}

LogicalResult importLpNormalization(Node &node) {
  Tensor &x = node.in(0);
  auto axis = node.axis(node.attr("axis", -1), x.rank());
  int64_t p = node.attr("p", 2);
  if (failed(axis) || (p != 1 && p != 2)) {
    return failed(axis) ? failure() : node.invalid("p must be 1 or 2");
  }
  Value powers = node.map({&x}, x.dims, x.element, [&](Scalars &s, ArrayRef<Value> v) -> Value {
    return p == 1 ? Value(math::AbsFOp::create(s.b, s.loc, v[0]))
                  : Value(arith::MulFOp::create(s.b, s.loc, v[0], v[0]));
  });
  Tensor sum = node.tensor(node.reduce(ReduceKind::sum, powers, {*axis}));
  return node.set(
      0, node.map({&x, &sum}, x.dims, x.element, [&](Scalars &s, ArrayRef<Value> v) -> Value {
        Value norm = p == 1 ? v[1] : Value(math::SqrtOp::create(s.b, s.loc, v[1]));
        Value zero = s.f(0, norm.getType());
        Value isZero = arith::CmpFOp::create(s.b, s.loc, arith::CmpFPredicate::OEQ, norm, zero);
        Value quotient = arith::DivFOp::create(s.b, s.loc, v[0], norm);
        return arith::SelectOp::create(s.b, s.loc, isZero, zero, quotient);
      }));
}

} // namespace ciuic::legalize
