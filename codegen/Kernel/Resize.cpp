// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Interpolation of image tensors: each spatial dim contributes taps (index, weight); the result is
// the sum over all combinations. A unit is a row along the last dim. Coordinates are f32, as in
// ONNX's reference.
#include "codegen/Kernel/Generator.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace ciuic::codegen {
namespace {

struct Tap {
  Lane index;
  Value weight; // none: 1
};

// Arithmetic on lanes of f32; operands are made vectors where either is one.
struct Coordinates {
  Emitter &e;

  void level(Value &a, Value &b) {
    if (e.isVector(a) || e.isVector(b)) {
      a = e.splat(a), b = e.splat(b);
    }
  }
  Value number(double v) { return e.scalarFloat(v, e.builder.getF32Type()); }
  Value add(Value a, Value b) {
    level(a, b);
    return arith::AddFOp::create(e.builder, e.loc, a, b);
  }
  Value sub(Value a, Value b) {
    level(a, b);
    return arith::SubFOp::create(e.builder, e.loc, a, b);
  }
  Value mul(Value a, Value b) {
    level(a, b);
    return arith::MulFOp::create(e.builder, e.loc, a, b);
  }
  Value div(Value a, Value b) {
    level(a, b);
    return arith::DivFOp::create(e.builder, e.loc, a, b);
  }
  Value least(Value a, Value b) {
    level(a, b);
    return callIntrinsic(e.builder, e.loc, "llvm.minnum", {a, b});
  }
  Value most(Value a, Value b) {
    level(a, b);
    return callIntrinsic(e.builder, e.loc, "llvm.maxnum", {a, b});
  }
  Value floor(Value a) { return callIntrinsic(e.builder, e.loc, "llvm.floor", {a}); }
  Value ceil(Value a) { return callIntrinsic(e.builder, e.loc, "llvm.ceil", {a}); }
  Type like(Type scalar, Value v) {
    auto vector = dyn_cast<VectorType>(v.getType());
    return vector ? Type(VectorType::get(vector.getShape(), scalar)) : scalar;
  }
  Value real(Value i) {
    return arith::SIToFPOp::create(e.builder, e.loc, like(e.builder.getF32Type(), i), i);
  }
  Lane index(Value f) {
    Value i = saturate(e.builder, e.loc, "llvm.fptosi.sat", like(e.builder.getI64Type(), f), f);
    return {i, e.isVector(i) ? Lane::Any : Lane::Uniform};
  }
};

} // namespace

static SmallVector<Tap> tapsOf(Emitter &e, graph::ResizeOp op, Lane position, AffineExpr inExtent,
                               AffineExpr outExtent, double scale) {
  Coordinates c{e};
  if (graph::sameDim(inExtent, outExtent) && (scale == 1 || scale == 0)) {
    return {{position, Value()}};
  }
  Value in = e.symbolic(inExtent), out = e.symbolic(outExtent);
  Value x = c.real(e.materialise(position));
  Value factor = scale > 0 ? c.number(scale) : c.div(c.real(out), c.real(in));
  StringRef mode = op.getCoordinates();
  Value source;
  if (mode == "half_pixel" || mode == "pytorch_half_pixel") {
    source = c.sub(c.div(c.add(x, c.number(0.5)), factor), c.number(0.5));
    if (mode == "pytorch_half_pixel") {
      Value single = e.compare(arith::CmpIPredicate::sle, out, e.constant(1));
      Value zero = c.number(0);
      c.level(source, zero);
      source = arith::SelectOp::create(e.builder, e.loc, single, zero, source);
    }
  } else if (mode == "align_corners") {
    Value span = c.most(c.real(e.sub(out, e.constant(1))), c.number(1));
    source = c.div(c.mul(x, c.real(e.sub(in, e.constant(1)))), span);
  } else if (mode == "asymmetric") {
    source = c.div(x, factor);
  } else {
    e.fail("resize has no coordinate mode '" + mode + "'");
    return {};
  }
  Value last = c.real(e.sub(in, e.constant(1))), zero = c.number(0);
  auto clamped = [&](Value v) { return c.index(c.most(c.least(v, last), zero)); };
  switch (op.getMode()) {
  case graph::ResizeMode::nearest: {
    StringRef rounding = op.getRounding();
    Value whole = rounding == "floor"               ? c.floor(source)
                  : rounding == "ceil"              ? c.ceil(source)
                  : rounding == "round_prefer_ceil" ? c.floor(c.add(source, c.number(0.5)))
                                                    : c.ceil(c.sub(source, c.number(0.5)));
    return {{clamped(whole), Value()}};
  }
  case graph::ResizeMode::linear: {
    source = c.most(c.least(source, last), zero);
    Value low = c.floor(source);
    Value weight = c.sub(source, low);
    return {{clamped(low), c.sub(c.number(1), weight)}, {clamped(c.add(low, c.number(1))), weight}};
  }
  case graph::ResizeMode::cubic: {
    // Keys' kernel with a = −0.75.
    const double a = -0.75;
    Value low = c.floor(source), t = c.sub(source, low);
    auto near = [&](Value d) { // |d| ≤ 1
      return c.add(c.mul(c.mul(c.sub(c.mul(c.number(a + 2), d), c.number(a + 3)), d), d),
                   c.number(1));
    };
    auto far = [&](Value d) { // 1 < |d| < 2
      Value p = c.add(c.mul(c.sub(c.mul(c.number(a), d), c.number(5 * a)), d), c.number(8 * a));
      return c.sub(c.mul(p, d), c.number(4 * a));
    };
    Value rest = c.sub(c.number(1), t);
    return {{clamped(c.sub(low, c.number(1))), far(c.add(t, c.number(1)))},
            {clamped(low), near(t)},
            {clamped(c.add(low, c.number(1))), near(rest)},
            {clamped(c.add(low, c.number(2))), far(c.add(rest, c.number(1)))}};
  }
  }
  return {};
}

void emitResize(KernelFrame &frame) {
  Emitter &e = frame.emitter;
  auto op = dyn_cast<graph::ResizeOp>(&frame.body.front());
  if (!op || op.getResult() != frame.yield().getValues()[0]) {
    e.fail("a resize kernel holds one resize");
    return;
  }
  SmallVector<AffineExpr> dims = graph::dimsOf(op.getResult()),
                          source = graph::dimsOf(op.getInput());
  unsigned rank = dims.size(), last = rank - 1;
  unsigned first = op.getLayout() == graph::ImageLayout::channels_first ? 2 : 1;
  bool real = isa<FloatType>(cast<RankedTensorType>(op.getInput().getType()).getElementType());
  if (!real && op.getMode() != graph::ResizeMode::nearest) {
    e.fail("interpolation of integers");
    return;
  }
  SmallVector<Value> splits =
      llvm::map_to_vector(ArrayRef(dims).drop_back(), [&](AffineExpr d) { return e.symbolic(d); });
  Buffer out = frame.result(0);
  frame.forUnits([&](Value unit) {
    SmallVector<Value> where = e.delinearise(unit, splits);
    e.lanes(e.constant(0), e.symbolic(dims[last]), [&](Lane lane) {
      SmallVector<Lane> index = llvm::map_to_vector(where, [&](Value v) { return e.uniform(v); });
      index.push_back(lane);
      SmallVector<SmallVector<Tap>> taps;
      for (auto [i, scale] : llvm::enumerate(op.getScales())) {
        taps.push_back(tapsOf(e, op, index[first + i], source[first + i], dims[first + i], scale));
      }
      Coordinates c{e};
      SmallVector<Lane> from = index;
      std::function<Value(size_t)> sum = [&](size_t dim) -> Value {
        if (dim == taps.size()) {
          return e.at(op.getInput(), from);
        }
        Value total;
        for (const Tap &tap : taps[dim]) {
          from[first + dim] = tap.index;
          Value value = sum(dim + 1);
          if (tap.weight) {
            value = c.mul(value, tap.weight);
          }
          total = total ? c.add(total, value) : value;
        }
        return total ? total : e.constant(0);
      };
      Value value = sum(0);
      if (!e.failed()) {
        e.store(value, out, index);
      }
    });
  });
}

} // namespace ciuic::codegen
