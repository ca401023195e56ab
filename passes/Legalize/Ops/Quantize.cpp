// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Quantised arithmetic: rounding to integers and back as maps, integer products as exact f32
// products of halves.
#include "passes/Legalize/DimExpr.h"
#include "passes/Legalize/Ops.h"

#include <cmath>

using namespace mlir;
using ciuic::graph::ReduceKind;

namespace ciuic::legalize {
namespace {

/// How scale and zero point are read for an element at (d0, …): one for all, or one per position of
/// an axis.
FailureOr<AffineMap> parameterMap(Node &node, Tensor &x, Tensor &parameter) {
  if (node.attr("block_size", 0) != 0) {
    return node.unsupported("scales per block");
  }
  if (parameter.count() == 1) {
    SmallVector<AffineExpr> zeros(parameter.rank(), node.cst(0));
    return AffineMap::get(x.rank(), 0, zeros, node.context);
  }
  auto axis = node.axis(node.attr("axis", 1), x.rank());
  if (failed(axis)) {
    return failure();
  }
  if (parameter.rank() != 1 || !node.importer.unify(parameter.dims[0], x.dims[*axis])) {
    return node.invalid("scale and zero point need one element, or one for each along the axis");
  }
  return AffineMap::get(x.rank(), 0, getAffineDimExpr(*axis, node.context));
}

/// round(v) + zero, bounded to the range of `type`.
Value saturated(Scalars &s, Value v, Value zero, Type type, bool isUnsigned) {
  unsigned width = type.getIntOrFloatBitWidth();
  double low = isUnsigned ? 0 : -std::ldexp(1.0, width - 1);
  double high = isUnsigned ? std::ldexp(1.0, width) - 1 : std::ldexp(1.0, width - 1) - 1;
  Type f = v.getType();
  Value r = math::RoundEvenOp::create(s.b, s.loc, v);
  r = zero ? Value(arith::AddFOp::create(s.b, s.loc, r, zero)) : r;
  r = arith::MinimumFOp::create(s.b, s.loc, r, s.f(high, f));
  r = arith::MaximumFOp::create(s.b, s.loc, r, s.f(low, f));
  return s.cast(r, false, type, isUnsigned);
}

/// The tensor x, its scale and, if there is one, its zero point, with where each is read.
LogicalResult readParameters(Node &node, Tensor &x, SmallVectorImpl<Value> &operands,
                             SmallVectorImpl<AffineMap> &maps) {
  operands.push_back(node.value(0));
  maps.push_back(node.b.getMultiDimIdentityMap(x.rank()));
  for (unsigned i = 1; i < 3; ++i) {
    if (!node.has(i)) {
      continue;
    }
    auto map = parameterMap(node, x, node.in(i));
    if (failed(map)) {
      return failure();
    }
    operands.push_back(node.value(i));
    maps.push_back(*map);
  }
  return success();
}

} // namespace

LogicalResult importQuantize(Node &node) {
  Tensor &x = node.in(0);
  if (!node.has(1) || !node.in(1).isFloat()) {
    return node.invalid("needs a scale");
  }
  Type type = node.b.getI8Type();
  bool isUnsigned = true;
  if (node.has(2)) {
    type = node.in(2).element;
    isUnsigned = node.in(2).isUnsigned;
  } else if (int64_t code = node.attr("output_dtype", 0)) {
    bool wide = code == 4 || code == 5;
    if (code < 2 || code > 5) {
      return node.unsupported("output element type number " + Twine(code));
    }
    type = wide ? node.b.getI16Type() : node.b.getI8Type();
    isUnsigned = code == 2 || code == 4;
  }
  if (!type.isInteger(8) && !type.isInteger(16)) {
    return node.unsupported("a zero point that is not of 8 or 16 bits");
  }
  SmallVector<Value> operands;
  SmallVector<AffineMap> maps;
  if (failed(readParameters(node, x, operands, maps))) {
    return failure();
  }
  Type f32 = node.b.getF32Type();
  return node.set(0,
                  node.mapWith(operands, maps, x.dims, type,
                               [&](Scalars &s, ArrayRef<Value> v) -> Value {
                                 Value a = s.cast(v[0], x.isUnsigned, f32, false);
                                 Value scale = s.cast(v[1], false, f32, false);
                                 Value zero =
                                     v.size() > 2 ? s.cast(v[2], isUnsigned, f32, false) : Value();
                                 Value q = arith::DivFOp::create(s.b, s.loc, a, scale);
                                 return saturated(s, q, zero, type, isUnsigned);
                               }),
                  isUnsigned);
}

LogicalResult importDequantize(Node &node) {
  Tensor &x = node.in(0);
  if (!node.has(1) || !node.in(1).isFloat() || (node.has(2) && node.in(2).element != x.element)) {
    return node.invalid("needs a scale, and a zero point of the input's type");
  }
  SmallVector<Value> operands;
  SmallVector<AffineMap> maps;
  if (failed(readParameters(node, x, operands, maps))) {
    return failure();
  }
  Type result = node.in(1).element, f32 = node.b.getF32Type();
  return node.set(
      0, node.mapWith(operands, maps, x.dims, result, [&](Scalars &s, ArrayRef<Value> v) -> Value {
        // Differences of 32-bit integers wrap as ONNX's do.
        Type i32 = s.b.getI32Type();
        Value a = s.cast(v[0], x.isUnsigned, i32, false);
        if (v.size() > 2) {
          a = arith::SubIOp::create(s.b, s.loc, a, s.cast(v[2], x.isUnsigned, i32, false));
        }
        Value scale = s.cast(v[1], false, f32, false);
        Value y = arith::MulFOp::create(s.b, s.loc, s.cast(a, false, f32, false), scale);
        return result.isF64() ? s.cast(y, false, result, false) : y;
      }));
}

LogicalResult importDynamicQuantize(Node &node) {
  Tensor &x = node.in(0);
  if (!x.element.isF32() || x.rank() == 0) {
    return node.unsupported("an input that is no f32 tensor");
  }
  Type f32 = node.b.getF32Type(), i8 = node.b.getI8Type();
  SmallVector<int64_t> all;
  for (int64_t d = 0; d < x.rank(); ++d) {
    all.push_back(d);
  }
  auto scalar = [&](ReduceKind kind) {
    return node.tensor(node.reshape(node.reduce(kind, node.value(x), all), {}));
  };
  Tensor low = scalar(ReduceKind::min), high = scalar(ReduceKind::max);
  // The range is widened to hold 0; a range of nothing has scale 1.
  Tensor scale =
      node.tensor(node.map({&low, &high}, {}, f32, [&](Scalars &s, ArrayRef<Value> v) -> Value {
        Value zero = s.f(0, f32);
        Value span = arith::SubFOp::create(
            s.b, s.loc, Value(arith::MaximumFOp::create(s.b, s.loc, v[1], zero)),
            Value(arith::MinimumFOp::create(s.b, s.loc, v[0], zero)));
        Value q = arith::DivFOp::create(s.b, s.loc, span, s.f(255, f32));
        Value none = arith::CmpFOp::create(s.b, s.loc, arith::CmpFPredicate::OEQ, span, zero);
        return arith::SelectOp::create(s.b, s.loc, none, s.f(1, f32), q);
      }));
  Tensor zero =
      node.tensor(node.map({&low, &scale}, {}, i8,
                           [&](Scalars &s, ArrayRef<Value> v) -> Value {
                             Value least = arith::MinimumFOp::create(s.b, s.loc, v[0], s.f(0, f32));
                             Value q = arith::DivFOp::create(
                                 s.b, s.loc, Value(arith::NegFOp::create(s.b, s.loc, least)), v[1]);
                             return saturated(s, q, Value(), i8, true);
                           }),
                  true);
  Value y = node.map({&x, &scale, &zero}, x.dims, i8, [&](Scalars &s, ArrayRef<Value> v) -> Value {
    Value q = arith::DivFOp::create(s.b, s.loc, v[0], v[1]);
    return saturated(s, q, s.cast(v[2], true, f32, false), i8, true);
  });
  if (failed(node.set(0, y, true)) || failed(node.set(1, scale))) {
    return failure();
  }
  return node.set(2, zero);
}

LogicalResult importMatMulInteger(Node &node) {
  if (!node.has(1) || !node.in(0).element.isInteger(8) || !node.in(1).element.isInteger(8) ||
      node.in(0).rank() < 2 || node.in(1).rank() < 2) {
    return node.unsupported("operands that are no matrices of 8-bit integers");
  }
  auto depth = constantOf(node.in(0).dims.back());
  if (!depth || *depth > 4096) {
    return node.unsupported("an inner extent that is dynamic or beyond 4096");
  }
  Type f32 = node.b.getF32Type(), i32 = node.b.getI32Type();
  auto shifted = [&](unsigned input, unsigned zeroInput, bool isRow) -> FailureOr<Value> {
    Tensor &x = node.in(input);
    SmallVector<Value> operands{node.value(x)};
    SmallVector<AffineMap> maps{node.b.getMultiDimIdentityMap(x.rank())};
    bool zeroUnsigned = false;
    if (node.has(zeroInput)) {
      Tensor &zero = node.in(zeroInput);
      zeroUnsigned = zero.isUnsigned;
      int64_t along = isRow ? x.rank() - 2 : x.rank() - 1;
      if (zero.element != x.element ||
          (zero.count() != 1 &&
           (zero.rank() != 1 || !node.importer.unify(zero.dims[0], x.dims[along])))) {
        return node.unsupported("a zero point that is neither one nor one per row or column");
      }
      SmallVector<AffineExpr> at(
          zero.rank(), zero.count() == 1 ? node.cst(0) : getAffineDimExpr(along, node.context));
      operands.push_back(node.value(zero));
      maps.push_back(AffineMap::get(x.rank(), 0, at, node.context));
    }
    return node.mapWith(operands, maps, x.dims, i32, [&](Scalars &s, ArrayRef<Value> v) -> Value {
      Value a = s.cast(v[0], x.isUnsigned, i32, false);
      return v.size() < 2 ? a
                          : Value(arith::SubIOp::create(s.b, s.loc, a,
                                                        s.cast(v[1], zeroUnsigned, i32, false)));
    });
  };
  auto a = shifted(0, 2, true), b = shifted(1, 3, false);
  if (failed(a) || failed(b)) {
    return failure();
  }
  // a = 16·high + low with |high| ≤ 16 and 0 ≤ low ≤ 15: sums of up to 4096 products with |b| ≤ 255
  // stay below 2^24, where f32 is exact.
  auto part = [&](bool high) {
    Tensor t = node.tensor(*a);
    return node.map({&t}, t.dims, f32, [&](Scalars &s, ArrayRef<Value> v) -> Value {
      Value four = s.i(4, i32);
      Value p = high ? Value(arith::ShRSIOp::create(s.b, s.loc, v[0], four))
                     : Value(arith::AndIOp::create(s.b, s.loc, v[0], s.i(15, i32)));
      return s.cast(p, false, f32, false);
    });
  };
  Value right = node.cast(*b, f32);
  auto highs = buildMatmul(node, part(true), right, false, false);
  auto lows = buildMatmul(node, part(false), right, false, false);
  if (failed(highs) || failed(lows)) {
    return failure();
  }
  Tensor h = node.tensor(*highs), l = node.tensor(*lows);
  return node.set(0, node.map({&h, &l}, h.dims, i32, [&](Scalars &s, ArrayRef<Value> v) -> Value {
    Value high = arith::ShLIOp::create(s.b, s.loc, s.cast(v[0], false, i32, false), s.i(4, i32));
    return arith::AddIOp::create(s.b, s.loc, high, s.cast(v[1], false, i32, false));
  }));
}

} // namespace ciuic::legalize
