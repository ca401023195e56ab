// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Index arithmetic, memory and loops of kernels: see Emitter.h. Values and graph ops are in
// Evaluate.cpp.
#include "codegen/Kernel/Emitter.h"
#include "codegen/Kernel/Threads.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace ciuic::codegen {

Value Emitter::fail(const Twine &text) {
  if (message.empty()) {
    message = text.str();
  }
  return constant(0);
}

//===-- Indices --===//

Value Emitter::constant(int64_t value) {
  Value &slot = constants[value];
  if (!slot) {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(entryBlock);
    slot = arith::ConstantIntOp::create(builder, loc, builder.getI64Type(), value);
  }
  return slot;
}

Value Emitter::add(Value a, Value b) { return builder.createOrFold<arith::AddIOp>(loc, a, b); }
Value Emitter::sub(Value a, Value b) { return builder.createOrFold<arith::SubIOp>(loc, a, b); }
Value Emitter::mul(Value a, Value b) { return builder.createOrFold<arith::MulIOp>(loc, a, b); }
Value Emitter::min(Value a, Value b) { return builder.createOrFold<arith::MinSIOp>(loc, a, b); }
Value Emitter::max(Value a, Value b) { return builder.createOrFold<arith::MaxSIOp>(loc, a, b); }
Value Emitter::compare(arith::CmpIPredicate predicate, Value a, Value b) {
  return arith::CmpIOp::create(builder, loc, predicate, a, b);
}
Value Emitter::select(Value condition, Value a, Value b) {
  return arith::SelectOp::create(builder, loc, condition, a, b);
}

static Value ones(OpBuilder &builder, Location loc, Value like, int64_t value) {
  TypedAttr attr = builder.getI64IntegerAttr(value);
  if (auto vector = dyn_cast<VectorType>(like.getType())) {
    attr = DenseElementsAttr::get(vector, attr);
  }
  return arith::ConstantOp::create(builder, loc, attr);
}

// A division of indices; in 32 bits where the plan knows that they fit: wide divisions are slow on
// a GPU.
Value Emitter::divide(Value a, Value b, bool isSigned) {
  auto quotient = [&](Value x, Value y) {
    return isSigned ? builder.createOrFold<arith::DivSIOp>(loc, x, y)
                    : builder.createOrFold<arith::DivUIOp>(loc, x, y);
  };
  if (device == Device::host || !target.plan.narrow) {
    return quotient(a, b);
  }
  auto vector = dyn_cast<VectorType>(a.getType());
  Type word = builder.getI32Type();
  word = vector ? Type(VectorType::get(vector.getShape(), word)) : word;
  Value q = quotient(builder.createOrFold<arith::TruncIOp>(loc, word, a),
                     builder.createOrFold<arith::TruncIOp>(loc, word, b));
  return isSigned ? builder.createOrFold<arith::ExtSIOp>(loc, a.getType(), q)
                  : builder.createOrFold<arith::ExtUIOp>(loc, a.getType(), q);
}

// Affine divisors are positive where the program's bounds hold; the maximum keeps a divisor of an
// empty extent from trapping.
Value Emitter::floorDivide(Value a, Value b, bool ceiling) {
  b = builder.createOrFold<arith::MaxSIOp>(loc, b, ones(builder, loc, b, 1));
  Value q = divide(a, b, true);
  Value r = sub(a, mul(q, b));
  Value zero = ones(builder, loc, r, 0), one = ones(builder, loc, r, 1);
  auto predicate = ceiling ? arith::CmpIPredicate::sgt : arith::CmpIPredicate::slt;
  Value moved = ceiling ? add(q, one) : sub(q, one);
  return select(compare(predicate, r, zero), moved, q);
}

Value Emitter::remainder(Value a, Value b) { return sub(a, mul(floorDivide(a, b, false), b)); }

Value Emitter::symbolic(AffineExpr expr) {
  if (auto constantExpr = dyn_cast<AffineConstantExpr>(expr)) {
    return constant(constantExpr.getValue());
  }
  if (Value value = symbolValues.lookup(expr)) {
    return value;
  }
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPoint(entryBlock->getTerminator());
  Value value;
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr)) {
    value =
        loadAt(dimsPointer, builder.getI64Type(), constant(symbol.getPosition()), 1, true, false);
  } else if (auto binary = dyn_cast<AffineBinaryOpExpr>(expr)) {
    Value a = symbolic(binary.getLHS()), b = symbolic(binary.getRHS());
    switch (expr.getKind()) {
    case AffineExprKind::Add:
      value = add(a, b);
      break;
    case AffineExprKind::Mul:
      value = mul(a, b);
      break;
    case AffineExprKind::Mod:
      value = remainder(a, b);
      break;
    default:
      value = floorDivide(a, b, expr.getKind() == AffineExprKind::CeilDiv);
    }
  } else {
    return fail("an extent depends on an index");
  }
  return symbolValues[expr] = value;
}

Value Emitter::vectorOf(Value scalar, int64_t lanes) {
  return vector::BroadcastOp::create(builder, loc, VectorType::get({lanes}, scalar.getType()),
                                     scalar);
}

Value Emitter::splat(Value scalar) {
  return isVector(scalar) || width == 1 ? scalar : vectorOf(scalar, width);
}

Value Emitter::materialise(const Lane &lane) {
  if (lane.kind != Lane::Unit || width == 1) {
    return lane.value;
  }
  auto steps = llvm::to_vector(llvm::seq<int64_t>(0, width));
  auto type = VectorType::get({width}, builder.getI64Type());
  Value iota =
      arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(type, ArrayRef(steps)));
  return add(splat(lane.value), iota);
}

Lane Emitter::plus(const Lane &a, const Lane &b) {
  if (a.kind == Lane::Uniform && b.kind == Lane::Uniform) {
    return {add(a.value, b.value), Lane::Uniform};
  }
  if ((a.kind == Lane::Unit && b.kind == Lane::Uniform) ||
      (a.kind == Lane::Uniform && b.kind == Lane::Unit)) {
    return {add(a.value, b.value), Lane::Unit};
  }
  return {add(splat(materialise(a)), splat(materialise(b))), Lane::Any};
}

Lane Emitter::times(const Lane &a, const Lane &b) {
  if (a.kind == Lane::Uniform && b.kind == Lane::Uniform) {
    return {mul(a.value, b.value), Lane::Uniform};
  }
  Value one = constant(1);
  auto isOne = [&](const Lane &lane) { return lane.value == one; };
  if (isOne(a) && a.kind == Lane::Uniform) {
    return b;
  }
  if (isOne(b) && b.kind == Lane::Uniform) {
    return a;
  }
  return {mul(splat(materialise(a)), splat(materialise(b))), Lane::Any};
}

Lane Emitter::affine(AffineExpr expr, ArrayRef<Lane> dims) {
  if (expr.isSymbolicOrConstant()) {
    return uniform(symbolic(expr));
  }
  if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
    return dims[dim.getPosition()];
  }
  auto binary = cast<AffineBinaryOpExpr>(expr);
  Lane a = affine(binary.getLHS(), dims), b = affine(binary.getRHS(), dims);
  if (expr.getKind() == AffineExprKind::Add) {
    return plus(a, b);
  }
  if (expr.getKind() == AffineExprKind::Mul) {
    return times(a, b);
  }
  bool uniformResult = a.kind == Lane::Uniform && b.kind == Lane::Uniform;
  Value x = materialise(a), y = materialise(b);
  if (!uniformResult) {
    x = splat(x), y = splat(y);
  }
  Value value = expr.getKind() == AffineExprKind::Mod
                    ? remainder(x, y)
                    : floorDivide(x, y, expr.getKind() == AffineExprKind::CeilDiv);
  return {value, uniformResult ? Lane::Uniform : Lane::Any};
}

SmallVector<Lane> Emitter::affine(AffineMap map, ArrayRef<Lane> dims) {
  return llvm::map_to_vector(map.getResults(), [&](AffineExpr expr) { return affine(expr, dims); });
}

SmallVector<Value> Emitter::delinearise(Value linear, ArrayRef<Value> extents) {
  SmallVector<Value> index(extents.size());
  Value one = constant(1), zero = constant(0);
  for (size_t i = extents.size(); i-- > 0;) {
    if (extents[i] == one) {
      index[i] = zero;
      continue;
    }
    bool outermost = llvm::all_of(extents.take_front(i), [&](Value e) { return e == one; });
    if (outermost) {
      index[i] = linear;
      for (size_t j = 0; j < i; ++j) {
        index[j] = zero;
      }
      break;
    }
    Value extent = max(extents[i], one);
    Value quotient = divide(linear, extent, false);
    index[i] = sub(linear, mul(quotient, extent));
    linear = quotient;
  }
  return index;
}

//===-- Memory --===//

SmallVector<AffineExpr> Emitter::stridesOf(ArrayRef<AffineExpr> extents, MLIRContext *context) {
  SmallVector<AffineExpr> strides(extents.size());
  AffineExpr stride = getAffineConstantExpr(1, context);
  for (size_t i = extents.size(); i-- > 0;) {
    strides[i] = stride;
    stride = stride * extents[i];
  }
  return strides;
}

Buffer Emitter::buffer(Value pointer, RankedTensorType type) {
  return {pointer, type.getElementType(), stridesOf(graph::dimsOf(type), type.getContext())};
}

// The type an element has in memory.
static Type storedType(Type element) {
  MLIRContext *context = element.getContext();
  if (element.isInteger(1)) {
    return IntegerType::get(context, 8);
  }
  if (element.isBF16()) {
    return IntegerType::get(context, 16);
  }
  if (element.isUnsignedInteger() || element.isSignedInteger()) {
    return IntegerType::get(context, element.getIntOrFloatBitWidth());
  }
  return element;
}

Value Emitter::address(Value pointer, Type element, Value offset) {
  return LLVM::GEPOp::create(builder, loc, pointer.getType(), element, pointer,
                             ArrayRef<LLVM::GEPArg>{offset}, LLVM::GEPNoWrapFlags::inbounds);
}

static Type withLanes(Type scalar, Type like) {
  auto vector = dyn_cast<VectorType>(like);
  return vector ? Type(VectorType::get(vector.getShape(), scalar)) : scalar;
}

static Value integerLike(OpBuilder &builder, Location loc, Type type, int64_t value) {
  auto vector = dyn_cast<VectorType>(type);
  TypedAttr attr = builder.getIntegerAttr(vector ? vector.getElementType() : type, value);
  return arith::ConstantOp::create(builder, loc,
                                   vector ? TypedAttr(DenseElementsAttr::get(vector, attr)) : attr);
}

// bf16 is the upper half of an f32; x86-64-v3 has no instruction for it, and the library's is out
// of reach.
static Value widenBrain(OpBuilder &builder, Location loc, Value bits) {
  Type word = withLanes(builder.getI32Type(), bits.getType());
  Value wide = arith::ExtUIOp::create(builder, loc, word, bits);
  wide = arith::ShLIOp::create(builder, loc, wide, integerLike(builder, loc, word, 16));
  return arith::BitcastOp::create(builder, loc, withLanes(builder.getF32Type(), word), wide);
}

static Value narrowBrain(OpBuilder &builder, Location loc, Value value) {
  Type word = withLanes(builder.getI32Type(), value.getType());
  Value bits = arith::BitcastOp::create(builder, loc, word, value);
  Value sixteen = integerLike(builder, loc, word, 16);
  Value odd =
      arith::AndIOp::create(builder, loc, arith::ShRUIOp::create(builder, loc, bits, sixteen),
                            integerLike(builder, loc, word, 1));
  Value rounded = arith::AddIOp::create(
      builder, loc, bits,
      arith::AddIOp::create(builder, loc, odd, integerLike(builder, loc, word, 0x7fff)));
  Value quiet =
      arith::OrIOp::create(builder, loc, bits, integerLike(builder, loc, word, 0x00400000));
  Value isNan = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::UNO, value, value);
  Value chosen = arith::SelectOp::create(builder, loc, isNan, quiet, rounded);
  return arith::TruncIOp::create(builder, loc, withLanes(builder.getI16Type(), word),
                                 arith::ShRUIOp::create(builder, loc, chosen, sixteen));
}

// A GPU rounds in one instruction.
static Value narrowBrainOnGpu(OpBuilder &builder, Location loc, Value value) {
  Type brain = withLanes(builder.getBF16Type(), value.getType());
  Value narrow = arith::TruncFOp::create(builder, loc, brain, value);
  return arith::BitcastOp::create(builder, loc, withLanes(builder.getI16Type(), brain), narrow);
}

Value Emitter::roundTo(Value value, Type half) {
  if (half.isBF16() && device == Device::gpu) {
    return widenBrain(builder, loc, narrowBrainOnGpu(builder, loc, value));
  }
  if (half.isBF16()) {
    return widenBrain(builder, loc, narrowBrain(builder, loc, value));
  }
  Value narrow = arith::TruncFOp::create(builder, loc, withLanes(half, value.getType()), value);
  return arith::ExtFOp::create(builder, loc, value.getType(), narrow);
}

Value Emitter::loadAt(Value pointer, Type element, Value offset, int64_t lanes, bool invariant,
                      bool aligned) {
  Type stored = storedType(element);
  int64_t bytes = stored.getIntOrFloatBitWidth() / 8;
  Type type = lanes == 1 ? stored : VectorType::get({lanes}, stored);
  int64_t alignment =
      aligned && device == Device::gpu ? std::min<int64_t>(16, bytes * lanes) : bytes;
  auto op = LLVM::LoadOp::create(builder, loc, type, address(pointer, stored, offset), alignment);
  op.setInvariant(invariant);
  Value value = op;
  if (element.isInteger(1)) {
    return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, value,
                                 integerLike(builder, loc, type, 0));
  }
  if (element.isBF16()) {
    return widenBrain(builder, loc, value);
  }
  if (element.isF16()) {
    return arith::ExtFOp::create(builder, loc, withLanes(builder.getF32Type(), type), value);
  }
  return value;
}

void Emitter::storeAt(Value value, Value pointer, Type element, Value offset, int64_t lanes,
                      bool aligned) {
  if (lanes > 1 && !isVector(value)) {
    value = vectorOf(value, lanes);
  }
  Type stored = storedType(element);
  if (element.isInteger(1)) {
    value = arith::ExtUIOp::create(builder, loc, withLanes(stored, value.getType()), value);
  } else if (element.isBF16()) {
    value = device == Device::gpu ? narrowBrainOnGpu(builder, loc, value)
                                  : narrowBrain(builder, loc, value);
  } else if (element.isF16()) {
    value = arith::TruncFOp::create(builder, loc, withLanes(stored, value.getType()), value);
  }
  int64_t bytes = stored.getIntOrFloatBitWidth() / 8;
  int64_t alignment =
      aligned && device == Device::gpu ? std::min<int64_t>(16, bytes * lanes) : bytes;
  LLVM::StoreOp::create(builder, loc, value, address(pointer, stored, offset), alignment);
}

namespace {
// An access split into the offset all lanes share and what lanes add to it.
struct Offset {
  Value base;
  std::optional<Lane> varying; // in elements
  bool contiguous = false, aligned = true;
};
} // namespace

static Offset offsetOf(Emitter &e, const Buffer &buffer, ArrayRef<Lane> index) {
  Offset offset{e.constant(0), std::nullopt};
  unsigned units = 0;
  for (size_t i = 0; i < index.size(); ++i) {
    AffineExpr stride = buffer.strides[i];
    Lane lane = index[i];
    if (lane.run && i + 1 < index.size() && index[i + 1].run == lane.run &&
        stride == buffer.strides[i + 1] * lane.extent) {
      lane = {lane.run, Lane::Unit, true};
      stride = buffer.strides[++i];
    }
    Lane step = e.uniform(e.symbolic(stride));
    if (lane.kind == Lane::Uniform) {
      offset.base = e.add(offset.base, e.mul(lane.value, step.value));
      offset.aligned &=
          stride.getLargestKnownDivisor() % e.width == 0 || lane.value == e.constant(0);
      continue;
    }
    ++units;
    auto constant = dyn_cast<AffineConstantExpr>(stride);
    offset.contiguous = lane.kind == Lane::Unit && constant && constant.getValue() == 1;
    offset.aligned &= lane.aligned;
    Lane product = e.times(lane, step);
    offset.varying = offset.varying ? e.plus(*offset.varying, product) : product;
  }
  offset.contiguous &= units == 1;
  return offset;
}

Value Emitter::load(const Buffer &buffer, ArrayRef<Lane> index) {
  Offset offset = offsetOf(*this, buffer, index);
  if (!offset.varying || width == 1) {
    Value at = offset.varying ? add(offset.base, offset.varying->value) : offset.base;
    return loadAt(buffer.pointer, buffer.element, at, 1, !offset.varying && !early, false);
  }
  if (offset.contiguous) {
    return loadAt(buffer.pointer, buffer.element, add(offset.base, offset.varying->value), width,
                  false, offset.aligned);
  }
  Value offsets = materialise(*offset.varying);
  Value result;
  for (int64_t lane = 0; lane < width; ++lane) {
    Value at = add(offset.base, vector::ExtractOp::create(builder, loc, offsets, lane));
    Value element = loadAt(buffer.pointer, buffer.element, at, 1, false, false);
    result = lane == 0 ? splat(element)
                       : vector::InsertOp::create(builder, loc, element, result, lane).getResult();
  }
  return result;
}

Value Emitter::addressOf(const Buffer &buffer, ArrayRef<Lane> index) {
  Offset offset = offsetOf(*this, buffer, index);
  if (width > 1 && !(offset.varying && offset.contiguous && offset.aligned)) {
    return Value();
  }
  Value at = offset.varying ? add(offset.base, offset.varying->value) : offset.base;
  return address(buffer.pointer, storedType(buffer.element), at);
}

void Emitter::store(Value value, const Buffer &buffer, ArrayRef<Lane> index) {
  Offset offset = offsetOf(*this, buffer, index);
  if (!offset.varying || width == 1) {
    Value at = offset.varying ? add(offset.base, offset.varying->value) : offset.base;
    storeAt(value, buffer.pointer, buffer.element, at, 1, false);
  } else if (offset.contiguous) {
    storeAt(splat(value), buffer.pointer, buffer.element, add(offset.base, offset.varying->value),
            width, offset.aligned);
  } else {
    Value offsets = materialise(*offset.varying), vector = splat(value);
    for (int64_t lane = 0; lane < width; ++lane) {
      Value at = add(offset.base, vector::ExtractOp::create(builder, loc, offsets, lane));
      storeAt(vector::ExtractOp::create(builder, loc, vector, lane), buffer.pointer, buffer.element,
              at, 1, false);
    }
  }
}

//===-- Loops --===//

static std::optional<int64_t> constantOf(Value value) {
  APInt bits;
  return matchPattern(value, m_ConstantInt(&bits)) ? std::optional(bits.getSExtValue())
                                                   : std::nullopt;
}

SmallVector<Value> Emitter::loop(Value lower, Value upper, int64_t step, ValueRange init,
                                 function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  std::optional<int64_t> from = constantOf(lower), to = constantOf(upper);
  if (from && to && *from >= *to) {
    return llvm::to_vector(init);
  }
  auto op = scf::ForOp::create(builder, loc, lower, upper, constant(step), init);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(op.getBody());
  known.emplace_back();
  SmallVector<Value> carried = body(op.getInductionVar(), op.getRegionIterArgs());
  known.pop_back();
  builder.setInsertionPointToEnd(op.getBody());
  if (!init.empty()) {
    scf::YieldOp::create(builder, loc, carried);
  }
  return llvm::to_vector(ValueRange(op.getResults()));
}

void Emitter::loop(Value lower, Value upper, int64_t step, function_ref<void(Value)> body) {
  std::optional<int64_t> from = constantOf(lower), to = constantOf(upper);
  if (from && to && *from >= *to) {
    return;
  }
  auto op = scf::ForOp::create(builder, loc, lower, upper, constant(step));
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(op.getBody());
  known.emplace_back();
  body(op.getInductionVar());
  known.pop_back();
}

void Emitter::nest(ArrayRef<Value> extents, function_ref<void(ValueRange)> body) {
  SmallVector<Value> index;
  std::function<void()> descend = [&] {
    if (index.size() == extents.size()) {
      body(index);
      return;
    }
    Value extent = extents[index.size()];
    if (constantOf(extent) == 1) {
      index.push_back(constant(0));
      descend();
      index.pop_back();
      return;
    }
    loop(constant(0), extent, 1, [&](Value i) {
      index.push_back(i);
      descend();
      index.pop_back();
    });
  };
  descend();
}

void Emitter::when(Value condition, function_ref<void()> then, function_ref<void()> otherwise) {
  auto op = scf::IfOp::create(builder, loc, condition, bool(otherwise));
  OpBuilder::InsertionGuard guard(builder);
  known.emplace_back();
  builder.setInsertionPoint(op.thenBlock()->getTerminator());
  then();
  known.pop_back();
  if (otherwise) {
    known.emplace_back();
    builder.setInsertionPoint(op.elseBlock()->getTerminator());
    otherwise();
    known.pop_back();
  }
}

// Calls `part(lower, upper, step)` for each width with the range that its vectors cover.
static void splitByWidth(Emitter &e, Value lower, Value upper,
                         function_ref<void(Value, Value)> part) {
  int64_t saved = e.width;
  for (int64_t w : e.widths) {
    Value end = upper;
    if (w > 1) {
      Value count = e.max(e.sub(upper, lower), e.constant(0));
      Value whole = e.builder.createOrFold<arith::DivUIOp>(e.loc, count, e.constant(w));
      end = e.add(lower, e.mul(whole, e.constant(w)));
    }
    e.width = w;
    part(lower, end);
    lower = end;
  }
  e.width = saved;
}

void Emitter::lanes(Value lower, Value upper, function_ref<void(Lane)> body) {
  splitByWidth(*this, lower, upper, [&](Value from, Value to) {
    Range range = threadRange(*this, from, width);
    loop(range.lower, to, range.step, [&](Value i) { body({i, Lane::Unit, true}); });
  });
}

// Halves down to one lane: a fixed order of additions.
SmallVector<Value> Emitter::foldLanes(SmallVector<Value> lanes, const Accumulation &accumulation) {
  for (int64_t half = width / 2; half >= 1; half /= 2) {
    SmallVector<Value> low, high;
    for (Value v : lanes) {
      if (half == 1) {
        low.push_back(vector::ExtractOp::create(builder, loc, v, 0));
        high.push_back(vector::ExtractOp::create(builder, loc, v, 1));
      } else {
        auto first = llvm::to_vector(llvm::seq<int64_t>(0, half)),
             second = llvm::to_vector(llvm::seq<int64_t>(half, 2 * half));
        low.push_back(vector::ShuffleOp::create(builder, loc, v, v, first));
        high.push_back(vector::ShuffleOp::create(builder, loc, v, v, second));
      }
    }
    lanes = accumulation.combine(low, high);
  }
  return lanes;
}

SmallVector<Value> Emitter::accumulateLanes(Value lower, Value upper,
                                            const Accumulation &accumulation) {
  SmallVector<Value> total = accumulation.identity;
  splitByWidth(*this, lower, upper, [&](Value from, Value to) {
    if (std::optional<int64_t> a = constantOf(from), b = constantOf(to); a && b && *a >= *b) {
      return;
    }
    SmallVector<Value> init =
        llvm::map_to_vector(accumulation.identity, [&](Value v) { return splat(v); });
    Range range = threadRange(*this, from, width);
    SmallVector<Value> lanes =
        loop(range.lower, to, range.step, init, [&](Value i, ValueRange carried) {
          return accumulation.step({i, Lane::Unit, true}, carried);
        });
    lanes = foldLanes(lanes, accumulation);
    total = accumulation.combine(total, lanes);
  });
  return combineThreads(*this, total, accumulation);
}

} // namespace ciuic::codegen
