// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Elementary functions from arithmetic: argument reduction and minimax polynomials. The
// coefficients are weighted least squares on Chebyshev nodes, reweighted towards the smallest
// maximal error (in each function's error measure).
#include "codegen/Kernel/Emitter.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <cmath>

using namespace mlir;

namespace ciuic::codegen {
namespace {

// Arithmetic on values of one shape, scalar or vector.
struct Math {
  OpBuilder &b;
  Location loc;
  Type like;
  Device device;

  Type shaped(Type scalar) const {
    auto vector = dyn_cast<VectorType>(like);
    return vector ? Type(VectorType::get(vector.getShape(), scalar)) : scalar;
  }
  Type f32() const { return shaped(b.getF32Type()); }
  Type f64() const { return shaped(b.getF64Type()); }
  Type i32() const { return shaped(b.getI32Type()); }
  Type i64() const { return shaped(b.getI64Type()); }
  Value number(double value, Type type) const {
    auto vector = dyn_cast<VectorType>(type);
    TypedAttr attr = b.getFloatAttr(vector ? vector.getElementType() : type, value);
    return arith::ConstantOp::create(
        b, loc, vector ? TypedAttr(DenseElementsAttr::get(vector, attr)) : attr);
  }
  Value number(double value) const { return number(value, f32()); }
  Value integer(int64_t value, Type type) const {
    auto vector = dyn_cast<VectorType>(type);
    TypedAttr attr = b.getIntegerAttr(vector ? vector.getElementType() : type, value);
    return arith::ConstantOp::create(
        b, loc, vector ? TypedAttr(DenseElementsAttr::get(vector, attr)) : attr);
  }
  Value add(Value x, Value y) const { return arith::AddFOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) const { return arith::SubFOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) const { return arith::MulFOp::create(b, loc, x, y); }
  Value div(Value x, Value y) const { return arith::DivFOp::create(b, loc, x, y); }
  Value fma(Value x, Value y, Value z) const {
    return LLVM::FMAOp::create(b, loc, x.getType(), x, y, z);
  }
  Value abs(Value x) const { return callIntrinsic(b, loc, "llvm.fabs", {x}); }
  Value copySign(Value x, Value sign) const {
    return callIntrinsic(b, loc, "llvm.copysign", {x, sign});
  }
  Value least(Value x, Value y) const { return callIntrinsic(b, loc, "llvm.minnum", {x, y}); }
  Value most(Value x, Value y) const { return callIntrinsic(b, loc, "llvm.maxnum", {x, y}); }
  Value select(Value c, Value x, Value y) const { return arith::SelectOp::create(b, loc, c, x, y); }
  Value compare(arith::CmpFPredicate p, Value x, Value y) const {
    return arith::CmpFOp::create(b, loc, p, x, y);
  }
  Value less(Value x, Value y) const { return compare(arith::CmpFPredicate::OLT, x, y); }
  Value equal(Value x, Value y) const { return compare(arith::CmpFPredicate::OEQ, x, y); }
  Value isNan(Value x) const { return compare(arith::CmpFPredicate::UNO, x, x); }
  Value bits(Value x, Type type) const { return arith::BitcastOp::create(b, loc, type, x); }
  Value iadd(Value x, Value y) const { return arith::AddIOp::create(b, loc, x, y); }
  Value isub(Value x, Value y) const { return arith::SubIOp::create(b, loc, x, y); }
  Value iand(Value x, int64_t mask) const {
    return arith::AndIOp::create(b, loc, x, integer(mask, x.getType()));
  }
  Value shl(Value x, int64_t by) const {
    return arith::ShLIOp::create(b, loc, x, integer(by, x.getType()));
  }
  Value shr(Value x, int64_t by) const {
    return arith::ShRSIOp::create(b, loc, x, integer(by, x.getType()));
  }
  Value ieq(Value x, int64_t y) const {
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, x, integer(y, x.getType()));
  }
  // coefficients[0] + x·(coefficients[1] + …)
  Value polynomial(Value x, ArrayRef<double> coefficients) const {
    Value result = number(coefficients.back(), x.getType());
    for (double c : llvm::reverse(coefficients.drop_back())) {
      result = fma(result, x, number(c, x.getType()));
    }
    return result;
  }

  // r in [−ln 2 / 2, ln 2 / 2]: (e^r − 1 − r) / r²
  Value expTail(Value r) const {
    return polynomial(r, {0.5, 0.1666666716337204, 0.04166645556688309, 0.00833328440785408,
                          0.0013934543821960688, 0.00019908904505427927});
  }
  Value nearest(Value x) const { return callIntrinsic(b, loc, "llvm.roundeven", {x}); }
  // Comparisons in this order keep NaN (and are one instruction each on x86).
  Value clamp(Value x, double low, double high) const {
    x = select(less(number(high), x), number(high), x);
    return select(less(x, number(low)), number(low), x);
  }
  Value power(Value n) const { return bits(shl(iadd(n, integer(127, i32())), 23), f32()); }
  // e^r · 2^n; `shifted` is 1.5·2^23 + n, which holds the whole n in its low bits.
  Value expOf(Value r, Value shifted, bool narrow) const {
    Value mantissa = add(fma(mul(r, r), expTail(r), r), number(1));
    Value n = isub(bits(shifted, i32()), integer(0x4b400000, i32()));
    if (narrow) { // n in [−126, 127]
      return mul(mantissa, power(n));
    }
    // Two factors reach subnormals and infinity: n in [−152, 129].
    Value first = shr(n, 1);
    return mul(mul(mantissa, power(first)), power(isub(n, first)));
  }
  // An intrinsic that takes scalars only.
  Value perLane(StringRef name, Value x) const {
    auto vector = dyn_cast<VectorType>(x.getType());
    if (!vector) {
      return callIntrinsic(b, loc, name, {x});
    }
    Value result = x;
    for (int64_t lane = 0; lane < vector.getNumElements(); ++lane) {
      Value one = vector::ExtractOp::create(b, loc, x, lane);
      result = vector::InsertOp::create(b, loc, callIntrinsic(b, loc, name, {one}), result, lane);
    }
    return result;
  }
  // By the special function unit, whose results below 2^−126 are zero: 2^t for t = x·log2 e, and
  // what the product lost, times ln 2, as a factor. Bounds keep infinities from that difference.
  Value expOnGpu(Value x, bool narrow) const {
    if (!narrow) {
      x = arith::MinimumFOp::create(b, loc, x, number(89));
      x = arith::MaximumFOp::create(b, loc, x, number(-104));
    }
    Value t = mul(x, number(1.44269502162933349609375));
    Value lost = fma(x, number(1.44269502162933349609375), sub(number(-0.0), t));
    lost = fma(x, number(1.925963033500811e-8), lost);
    Value factor = fma(lost, number(0.693147180559945309), number(1));
    return mul(perLane("llvm.nvvm.ex2.approx.ftz", t), factor);
  }
  // `narrow`: |x| ≤ 87.
  Value exp(Value x, bool narrow = false) const {
    if (device == Device::gpu) {
      return expOnGpu(x, narrow);
    }
    Value bounded = narrow ? x : clamp(x, -104, 89);
    Value shifted = fma(bounded, number(1.44269504088896341), number(12582912));
    Value n = sub(shifted, number(12582912));
    Value r = fma(n, number(-0.693359375), bounded);
    r = fma(n, number(2.12194440e-4), r);
    return expOf(r, shifted, narrow);
  }
  Value exp2(Value x) const {
    if (device == Device::gpu) {
      return perLane("llvm.nvvm.ex2.approx.ftz", x);
    }
    Value bounded = clamp(x, -151, 129);
    Value shifted = add(bounded, number(12582912));
    Value n = sub(shifted, number(12582912));
    return expOf(mul(sub(bounded, n), number(0.693147180559945309)), shifted, false);
  }
  Value expm1(Value x) const {
    Value small = fma(mul(x, x), expTail(x), x);
    return select(less(abs(x), number(0.34)), small, sub(exp(x), number(1)));
  }
  // log x = e·ln 2 + log m, m in [√½, √2); returns e and log m − (−m′²/2 + m′) apart for the
  // caller's base.
  void logParts(Value x, Value &e, Value &f, Value &tail) const {
    Value tiny = less(x, number(1.17549435e-38));
    Value y = select(tiny, mul(x, number(8388608)), x);
    Value word = bits(y, i32());
    // Moves the interval of mantissas from [1, 2) to [√½, √2).
    Value shifted = isub(word, integer(0x3f3504f3, i32()));
    Value exponent = shr(shifted, 23);
    Value m = bits(iadd(iand(shifted, 0x007fffff), integer(0x3f3504f3, i32())), f32());
    e = arith::SIToFPOp::create(b, loc, f32(), exponent);
    e = sub(e, select(tiny, number(23), number(0)));
    f = sub(m, number(1));
    Value p = polynomial(f, {0.3333331048488617, -0.24999986588954926, 0.20002242922782898,
                             -0.16669270396232605, 0.14218325912952423, -0.12383799999952316,
                             0.11875075846910477, -0.11794091761112213, 0.06915595382452011});
    Value square = mul(f, f);
    tail = fma(mul(square, f), p, mul(square, number(-0.5)));
  }
  Value logEdges(Value x, Value y) const {
    double infinity = HUGE_VAL;
    y = select(equal(x, number(0)), number(-infinity), y);
    y = select(less(x, number(0)), number(std::nan("")), y);
    Value unbounded = arith::OrIOp::create(b, loc, equal(x, number(infinity)), isNan(x));
    return select(unbounded, x, y);
  }
  Value log(Value x) const {
    Value e, f, tail;
    logParts(x, e, f, tail);
    Value low = fma(e, number(-2.12194440e-4), tail);
    return logEdges(x, fma(e, number(0.693359375), add(low, f)));
  }
  // base 2 and 10: log m scaled, the exponent's part exact (or in two pieces).
  Value logBase(Value x, double scale, double high, double low) const {
    Value e, f, tail;
    logParts(x, e, f, tail);
    Value m = add(f, tail);
    Value y = fma(m, number(scale), mul(e, number(low)));
    return logEdges(x, fma(e, number(high), y));
  }
  Value log1p(Value x) const {
    Value u = add(x, number(1));
    // What 1 + x lost to rounding comes back to first order.
    Value lost = div(sub(x, sub(u, number(1))), u);
    Value y = add(log(u), lost);
    Value isLarge = compare(arith::CmpFPredicate::OGE, x, number(16777216));
    y = select(isLarge, log(x), y);
    y = select(equal(u, number(0)), number(-HUGE_VAL), y);
    return select(equal(x, number(0)), x, y);
  }
  Value tanh(Value x) const {
    Value s = mul(x, x);
    Value p = polynomial(s, {-0.3333333432674408, 0.1333330124616623, -0.05395878478884697,
                             0.021764755249023438, -0.008329608477652073, 0.0022759109269827604});
    Value small = fma(mul(s, x), p, x);
    Value a = abs(x);
    Value large = sub(number(1), div(number(2), add(exp(add(a, a)), number(1))));
    return select(less(a, number(0.63)), small, copySign(large, x));
  }
  Value erf(Value x) const {
    Value s = mul(x, x), a = abs(x);
    Value p = polynomial(s, {0.12837916612625122, -0.37612631916999817, 0.11283674091100693,
                             -0.026858186349272728, 0.005197991617023945, -0.0008108082110993564,
                             8.223984332289547e-05});
    Value small = fma(x, p, x);
    // −log(erfc a); from a = 4 on the result is 1.
    Value q = polynomial(least(a, number(4)),
                         {-0.00016039812179680291, 1.1294341087341309, 0.6335435509681702,
                          0.10801183432340622, -0.024895109236240387, 0.0040533957071602345,
                          -0.0003966742369811982, 1.430552038073074e-05, 5.223246830610151e-07});
    Value large = copySign(sub(number(1), exp(sub(number(0), q), true)), x);
    return select(isNan(x), x, select(less(a, number(0.94)), small, large));
  }
  // sin and cos share a reduction by π/2 in f64, exact enough to 2^30.
  Value sinCos(Value x, bool cosine) const {
    Value wide = arith::ExtFOp::create(b, loc, f64(), x);
    const double magic =
        6755399441055744.0; // 1.5 · 2^52: adding it leaves a whole number in the low bits
    Value shifted = fma(wide, number(0.63661977236758134, f64()), number(magic, f64()));
    Value n = sub(shifted, number(magic, f64()));
    Value r = fma(n, number(-1.5707963267948966, f64()), wide);
    r = fma(n, number(-6.123233995736766e-17, f64()), r);
    Value y = arith::TruncFOp::create(b, loc, f32(), r);
    Value quadrant = bits(shifted, i64());
    if (cosine) {
      quadrant = iadd(quadrant, integer(1, i64()));
    }
    Value s = mul(y, y);
    Value sine =
        fma(mul(s, y),
            polynomial(s, {-0.1666666716337204, 0.008333333767950535, -0.00019841267203446478,
                           2.7556015993468463e-06, -2.4807473408827718e-08}),
            y);
    Value cos = fma(mul(s, s),
                    polynomial(s, {0.0416666679084301, -0.00138888880610466, 2.480065631971229e-05,
                                   -2.730611186052556e-07}),
                    fma(s, number(-0.5), number(1)));
    Value value = select(ieq(iand(quadrant, 1), 1), cos, sine);
    value = select(ieq(iand(quadrant, 2), 2), sub(number(0), value), value);
    // Beyond the reduction's reach a result in [−1, 1] is all that can be said.
    value = arith::MinimumFOp::create(b, loc, arith::MaximumFOp::create(b, loc, value, number(-1)),
                                      number(1));
    return value;
  }
  Value tan(Value x) const { return div(sinCos(x, false), sinCos(x, true)); }
  // sinh and cosh: half of e^a ± e^−a; beyond 80 as a product of two factors, which overflows only
  // where the result does.
  Value hyperbolic(Value x, bool cosine) const {
    Value a = abs(x), root = exp(mul(a, number(0.5)));
    Value large = mul(mul(root, number(0.5)), root);
    if (cosine) {
      Value e = exp(a);
      return select(less(number(80), a), large, add(mul(e, number(0.5)), div(number(0.5), e)));
    }
    Value e = expm1(a);
    Value small = mul(number(0.5), add(e, div(e, add(e, number(1)))));
    return copySign(select(less(number(80), a), large, small), x);
  }
  Value atan(Value x) const {
    Value a = abs(x);
    Value steep = less(number(2.414213562373095), a), middle = less(number(0.41421356237309503), a);
    Value z = select(steep, div(number(-1), a),
                     select(middle, div(sub(a, number(1)), add(a, number(1))), a));
    Value base = select(steep, number(1.5707963267948966),
                        select(middle, number(0.7853981633974483), number(0)));
    Value s = mul(z, z);
    Value p = polynomial(s, {-0.3333333432674408, 0.19999977946281433, -0.14284195005893707,
                             0.11072074621915817, -0.08629327267408371, 0.050588078796863556});
    return copySign(add(base, fma(mul(s, z), p, z)), x);
  }
  // asin of a in [0, 1]: near 1 as π/2 − 2·asin(√((1 − a) / 2)), `part` being the inner asin.
  void asinParts(Value a, Value &isNear, Value &part) const {
    isNear = less(number(0.5), a);
    Value rest = mul(sub(number(1), a), number(0.5));
    Value z = select(isNear, callIntrinsic(b, loc, "llvm.sqrt", {rest}), a);
    Value s = select(isNear, rest, mul(a, a));
    Value p = polynomial(s, {0.1666666567325592, 0.07500103116035461, 0.044596537947654724,
                             0.03113303892314434, 0.017000077292323112, 0.03393116965889931});
    part = fma(mul(s, z), p, z);
  }
  Value asin(Value x) const {
    Value isNear, part;
    asinParts(abs(x), isNear, part);
    return copySign(select(isNear, sub(number(1.5707963267948966), add(part, part)), part), x);
  }
  Value acos(Value x) const {
    Value isNear, part;
    asinParts(abs(x), isNear, part);
    Value twice = add(part, part);
    Value negative = less(x, number(0));
    Value near = select(negative, sub(number(3.141592653589793), twice), twice);
    Value away = sub(number(1.5707963267948966), copySign(part, x));
    return select(isNear, near, away);
  }
  // Through f64: the product y·log2 x would lose the low bits of f32.
  Value pow(Value x, Value y) const {
    Type wide = f64();
    Value base = arith::ExtFOp::create(b, loc, wide, abs(x)),
          power = arith::ExtFOp::create(b, loc, wide, y);
    Value word = bits(base, i64());
    Value shifted = isub(word, integer(0x3fe6a09e667f3bcd, i64()));
    Value exponentBits = arith::ShRSIOp::create(b, loc, shifted, integer(52, i64()));
    Value m =
        bits(iadd(iand(shifted, 0x000fffffffffffff), integer(0x3fe6a09e667f3bcd, i64())), wide);
    // A small whole number to f64 without an instruction that x86-64-v3 lacks.
    const double magic = 6755399441055744.0;
    Value e = bits(iadd(exponentBits, integer(0x4338000000000000, i64())), wide);
    e = sub(e, number(magic, wide));
    Value s = div(sub(m, number(1, wide)), add(m, number(1, wide)));
    Value z = mul(s, s);
    SmallVector<double> series;
    for (int k = 0; k < 9; ++k) {
      series.push_back(2.0 / (2 * k + 1) * 1.4426950408889634);
    }
    Value log2 = fma(s, polynomial(z, series), e);
    log2 = select(equal(base, number(0, wide)), number(-HUGE_VAL, wide), log2);
    log2 = select(equal(base, number(HUGE_VAL, wide)), number(HUGE_VAL, wide), log2);
    Value t = mul(power, log2);
    Value undefined = isNan(t);
    t = least(most(t, number(-300, wide)), number(300, wide));
    Value whole = add(t, number(magic, wide));
    Value f = mul(sub(t, sub(whole, number(magic, wide))), number(0.69314718055994531, wide));
    SmallVector<double> taylor;
    double factor = 1;
    for (int k = 0; k < 12; ++k) {
      taylor.push_back(factor);
      factor /= k + 1;
    }
    Value scale =
        bits(iadd(shl(bits(whole, i64()), 52), integer(int64_t(1023) << 52, i64())), wide);
    Value magnitude = arith::TruncFOp::create(b, loc, f32(), mul(polynomial(f, taylor), scale));
    magnitude = select(undefined, number(std::nan("")), magnitude);
    // A negative base: whole powers only, odd ones negative.
    auto isWhole = [&](Value v) { return equal(callIntrinsic(b, loc, "llvm.trunc", {v}), v); };
    Value isEven = isWhole(mul(y, number(0.5)));
    Value sign =
        arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, bits(x, i32()), integer(0, i32()));
    Value odd =
        arith::AndIOp::create(b, loc, isWhole(y), arith::XOrIOp::create(b, loc, isEven, ones()));
    Value result =
        select(arith::AndIOp::create(b, loc, sign, odd), sub(number(0), magnitude), magnitude);
    Value invalid = arith::AndIOp::create(b, loc, less(x, number(0)),
                                          arith::XOrIOp::create(b, loc, isWhole(y), ones()));
    invalid = arith::AndIOp::create(b, loc, invalid,
                                    compare(arith::CmpFPredicate::ONE, x, number(-HUGE_VAL)));
    result = select(invalid, number(std::nan("")), result);
    result = select(arith::OrIOp::create(b, loc, isNan(x), isNan(y)), add(x, y), result);
    Value isOne = arith::OrIOp::create(b, loc, equal(x, number(1)), equal(y, number(0)));
    return select(isOne, number(1), result);
  }
  Value ones() const { return integer(1, shaped(b.getI1Type())); }
  Value remainder(Value x, Value y) const {
    Value a = arith::ExtFOp::create(b, loc, f64(), x), c = arith::ExtFOp::create(b, loc, f64(), y);
    Value q = callIntrinsic(b, loc, "llvm.trunc", {div(a, c)});
    Value r = arith::TruncFOp::create(b, loc, f32(), fma(sub(number(0, f64()), q), c, a));
    Value infinite = arith::AndIOp::create(b, loc, equal(abs(y), number(HUGE_VAL)),
                                           less(abs(x), number(HUGE_VAL)));
    return copySign(select(infinite, x, r), x);
  }
};

} // namespace

Value callIntrinsic(OpBuilder &b, Location loc, StringRef name, ArrayRef<Value> operands) {
  return LLVM::CallIntrinsicOp::create(b, loc, operands.front().getType(), b.getStringAttr(name),
                                       operands)
      .getResult(0);
}

Value expandRemainder(OpBuilder &builder, Location loc, Value a, Value b) {
  return Math{builder, loc, a.getType(), Device::host}.remainder(a, b);
}

Value roughExpOnGpu(OpBuilder &b, Location loc, Value x) {
  Math m{b, loc, x.getType(), Device::gpu};
  return m.exp2(m.mul(x, m.number(1.44269504088896341)));
}

Value expandMath(OpBuilder &b, Location loc, Device device, Operation &op,
                 ArrayRef<Value> operands) {
  Value x = operands.front();
  Math m{b, loc, x.getType(), device};
  Type type = x.getType();
  return TypeSwitch<Operation *, Value>(&op)
      .Case<math::ExpOp>([&](auto) { return m.exp(x); })
      .Case<math::Exp2Op>([&](auto) { return m.exp2(x); })
      .Case<math::ExpM1Op>([&](auto) { return m.expm1(x); })
      .Case<math::LogOp>([&](auto) { return m.log(x); })
      .Case<math::Log2Op>([&](auto) { return m.logBase(x, 1.44269504088896341, 1, 0); })
      .Case<math::Log10Op>([&](auto) {
        return m.logBase(x, 0.434294481903251828, 0.301025390625, 4.6050389811952137e-6);
      })
      .Case<math::Log1pOp>([&](auto) { return m.log1p(x); })
      .Case<math::TanhOp>([&](auto) { return m.tanh(x); })
      .Case<math::ErfOp>([&](auto) { return m.erf(x); })
      .Case<math::SinOp>([&](auto) { return m.sinCos(x, false); })
      .Case<math::CosOp>([&](auto) { return m.sinCos(x, true); })
      .Case<math::TanOp>([&](auto) { return m.tan(x); })
      .Case<math::SinhOp>([&](auto) { return m.hyperbolic(x, false); })
      .Case<math::CoshOp>([&](auto) { return m.hyperbolic(x, true); })
      .Case<math::AtanOp>([&](auto) { return m.atan(x); })
      .Case<math::AsinOp>([&](auto) { return m.asin(x); })
      .Case<math::AcosOp>([&](auto) { return m.acos(x); })
      .Case<math::PowFOp>([&](auto) { return m.pow(x, operands[1]); })
      .Case<math::SqrtOp>([&](auto) { return callIntrinsic(b, loc, "llvm.sqrt", {x}); })
      .Case<math::RsqrtOp>(
          [&](auto) { return m.div(m.number(1), callIntrinsic(b, loc, "llvm.sqrt", {x})); })
      .Case<math::AbsFOp>([&](auto) { return m.abs(x); })
      .Case<math::AbsIOp>([&](auto) { return Value(LLVM::AbsOp::create(b, loc, type, x, false)); })
      .Case<math::FloorOp>([&](auto) { return callIntrinsic(b, loc, "llvm.floor", {x}); })
      .Case<math::CeilOp>([&](auto) { return callIntrinsic(b, loc, "llvm.ceil", {x}); })
      .Case<math::TruncOp>([&](auto) { return callIntrinsic(b, loc, "llvm.trunc", {x}); })
      .Case<math::RoundEvenOp>([&](auto) { return m.nearest(x); })
      .Case<math::RoundOp>([&](auto) {
        // Halves go away from zero: trunc(x + the largest number below a half with x's sign).
        Value half = m.copySign(m.number(0.49999997), x);
        return callIntrinsic(b, loc, "llvm.trunc", {m.add(x, half)});
      })
      .Case<math::FmaOp>([&](auto) { return m.fma(x, operands[1], operands[2]); })
      .Case<math::CopySignOp>([&](auto) { return m.copySign(x, operands[1]); })
      .Case<math::IsNaNOp>([&](auto) { return m.isNan(x); })
      .Case<math::IsInfOp>([&](auto) { return m.equal(m.abs(x), m.number(HUGE_VAL)); })
      .Case<math::IsFiniteOp>([&](auto) { return m.less(m.abs(x), m.number(HUGE_VAL)); })
      .Case<math::ClampFOp>([&](auto) {
        return Value(arith::MinimumFOp::create(
            b, loc, arith::MaximumFOp::create(b, loc, x, operands[1]), operands[2]));
      })
      .Default([](Operation *) { return Value(); });
}

} // namespace ciuic::codegen
