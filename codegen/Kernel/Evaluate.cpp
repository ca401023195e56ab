// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Values of kernels: ops of map regions on scalars or vectors, and graph ops evaluated at an index
// by recursion on their operands, so that any chain of maps, slices, transposes, broadcasts and
// gathers needs no buffer.
#include "codegen/Kernel/Generator.h"
#include "ir/Graph/Views.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace ciuic::codegen {

Value saturate(OpBuilder &builder, Location loc, StringRef intrinsic, Type result, Value value) {
  return LLVM::CallIntrinsicOp::create(builder, loc, result, builder.getStringAttr(intrinsic),
                                       ValueRange{value})
      .getResult(0);
}

Type Emitter::computeType(Type element) {
  if (element.isF16() || element.isBF16()) {
    return Float32Type::get(element.getContext());
  }
  if (element.isUnsignedInteger() || element.isSignedInteger()) {
    return IntegerType::get(element.getContext(), element.getIntOrFloatBitWidth());
  }
  return element;
}

Value Emitter::scalarFloat(double value, Type type) {
  return arith::ConstantOp::create(builder, loc, builder.getFloatAttr(type, value));
}

Value Emitter::scalarOf(TypedAttr attr) {
  if (auto number = dyn_cast<FloatAttr>(attr)) {
    return scalarFloat(number.getValueAsDouble(), computeType(number.getType()));
  }
  if (auto number = dyn_cast<IntegerAttr>(attr)) {
    Type type = number.getType().isIndex() ? builder.getI64Type() : computeType(number.getType());
    return arith::ConstantOp::create(builder, loc, builder.getIntegerAttr(type, number.getValue()));
  }
  return fail("a constant that is neither a number nor a truth value");
}

static Type likeOf(Type scalar, Value like) {
  auto vector = dyn_cast<VectorType>(like.getType());
  return vector ? Type(VectorType::get(vector.getShape(), scalar)) : scalar;
}

static Type scalarTypeOf(Value value) { return getElementTypeOrSelf(value.getType()); }

static Value integer(OpBuilder &b, Location loc, Value like, int64_t value) {
  TypedAttr attr = b.getIntegerAttr(scalarTypeOf(like), value);
  if (auto vector = dyn_cast<VectorType>(like.getType())) {
    attr = DenseElementsAttr::get(vector, attr);
  }
  return arith::ConstantOp::create(b, loc, attr);
}

// A division whose result is stored as a half: two units in the last place of f32 are of no
// account, an exact one costs three times the instructions.
Value reciprocalOnGpu(Emitter &e, Value value) {
  auto one = [&](Value v) {
    return callIntrinsic(e.builder, e.loc, "llvm.nvvm.rcp.approx.ftz.f", {v});
  };
  auto type = dyn_cast<VectorType>(value.getType());
  if (!type) {
    return one(value);
  }
  Value result = value;
  for (int64_t lane = 0; lane < type.getNumElements(); ++lane) {
    Value inverse = one(vector::ExtractOp::create(e.builder, e.loc, value, lane));
    result = vector::InsertOp::create(e.builder, e.loc, inverse, result, lane);
  }
  return result;
}

// x / (1 + e^u) of a map's argument x or a constant, in f16: where the divisor is beyond the range
// in which its reciprocal is a normal f32, the quotient is zero in f16 too.
static bool dividesBySigmoids(Operation &op) {
  if (!op.getResult(0).getType().isF16() ||
      !(isa<BlockArgument>(op.getOperand(0)) || matchPattern(op.getOperand(0), m_Constant()))) {
    return false;
  }
  auto sum = op.getOperand(1).getDefiningOp<arith::AddFOp>();
  if (!sum) {
    return false;
  }
  auto isOne = [](Value v) {
    APFloat value(0.0f);
    return matchPattern(v, m_ConstantFloat(&value)) && value.isExactlyValue(1.0);
  };
  auto isExp = [](Value v) { return v.getDefiningOp<math::ExpOp>() != nullptr; };
  return (isOne(sum.getLhs()) && isExp(sum.getRhs())) ||
         (isOne(sum.getRhs()) && isExp(sum.getLhs()));
}

static Value divideOnGpu(OpBuilder &b, Location loc, Value x, Value y) {
  auto one = [&](Value p, Value q) { return callIntrinsic(b, loc, "llvm.nvvm.div.full", {p, q}); };
  auto vector = dyn_cast<VectorType>(x.getType());
  if (!vector) {
    return one(x, y);
  }
  Value result = x;
  for (int64_t lane = 0; lane < vector.getNumElements(); ++lane) {
    Value q =
        one(vector::ExtractOp::create(b, loc, x, lane), vector::ExtractOp::create(b, loc, y, lane));
    result = vector::InsertOp::create(b, loc, q, result, lane);
  }
  return result;
}

// Integer division by data must not trap: x / 0 is 0, x % 0 is x, and the smallest number divided
// by −1 wraps.
static Value divide(OpBuilder &b, Location loc, Operation &op, Value x, Value y) {
  auto equals = [&](Value v, int64_t c) {
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, v, integer(b, loc, v, c));
  };
  Value zero = integer(b, loc, y, 0), one = integer(b, loc, y, 1);
  bool isUnsigned = isa<arith::DivUIOp, arith::RemUIOp, arith::CeilDivUIOp>(op);
  Value byZero = equals(y, 0);
  Value special = byZero;
  if (!isUnsigned) {
    special = arith::OrIOp::create(b, loc, byZero, equals(y, -1));
  }
  Value safe = arith::SelectOp::create(b, loc, special, one, y);
  Value negated = arith::SubIOp::create(b, loc, zero, x);
  Value q = isUnsigned ? Value(arith::DivUIOp::create(b, loc, x, safe))
                       : Value(arith::DivSIOp::create(b, loc, x, safe));
  if (!isUnsigned) {
    q = arith::SelectOp::create(b, loc, special, negated, q);
  }
  q = arith::SelectOp::create(b, loc, byZero, zero, q);
  Value r = arith::SubIOp::create(b, loc, x, arith::MulIOp::create(b, loc, q, y));
  if (isa<arith::RemSIOp, arith::RemUIOp>(op)) {
    return r;
  }
  if (isa<arith::DivSIOp, arith::DivUIOp>(op)) {
    return q;
  }
  Value isExact = arith::OrIOp::create(b, loc, byZero, equals(r, 0));
  if (isa<arith::CeilDivUIOp>(op)) {
    return arith::SelectOp::create(b, loc, isExact, q, arith::AddIOp::create(b, loc, q, one));
  }
  // Truncation went up where signs differ, down where they agree.
  Value differ = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                       arith::XOrIOp::create(b, loc, r, y), zero);
  bool ceiling = isa<arith::CeilDivSIOp>(op);
  Value moved = ceiling ? Value(arith::AddIOp::create(b, loc, q, one))
                        : Value(arith::SubIOp::create(b, loc, q, one));
  Value stays = arith::SelectOp::create(b, loc, differ, ceiling ? q : moved, ceiling ? moved : q);
  return arith::SelectOp::create(b, loc, isExact, q, stays);
}

Value Emitter::apply(Operation &op, ArrayRef<Value> arguments, ArrayRef<Lane> index) {
  if (auto constantOp = dyn_cast<arith::ConstantOp>(op)) {
    return scalarOf(constantOp.getValue());
  }
  if (auto indexOp = dyn_cast<graph::IndexOp>(op)) {
    return materialise(index[indexOp.getDim()]);
  }
  if (auto extent = dyn_cast<graph::ExtentOp>(op)) {
    return symbolic(extent.getExpr().getResult(0));
  }
  SmallVector<Value> operands(arguments);
  if (llvm::any_of(operands, [&](Value v) { return isVector(v); })) {
    for (Value &operand : operands) {
      operand = splat(operand);
    }
  }
  if (op.getNumResults() != 1 || operands.empty() || op.getNumRegions() != 0) {
    return fail("op '" + op.getName().getStringRef() + "' has no place in a map");
  }
  Type element = op.getResult(0).getType();
  Type result =
      likeOf(element.isIndex() ? builder.getI64Type() : computeType(element), operands.front());
  bool half = element.isF16() || element.isBF16();
  auto rounded = [&](Value v) { return half ? roundTo(v, element) : v; };

  if (isa<arith::ExtFOp, arith::TruncFOp>(op)) {
    Value v = operands.front();
    unsigned from = scalarTypeOf(v).getIntOrFloatBitWidth(),
             to = getElementTypeOrSelf(result).getIntOrFloatBitWidth();
    if (from < to) {
      v = arith::ExtFOp::create(builder, loc, result, v);
    } else if (from > to) {
      v = arith::TruncFOp::create(builder, loc, result, v);
    }
    return rounded(v);
  }
  if (isa<UnrealizedConversionCastOp>(op) && operands.front().getType() == result) {
    return operands.front();
  }
  if (isa<arith::FPToSIOp>(op)) {
    return saturate(builder, loc, "llvm.fptosi.sat", result, operands.front());
  }
  if (isa<arith::FPToUIOp>(op)) {
    return saturate(builder, loc, "llvm.fptoui.sat", result, operands.front());
  }
  if (isa<arith::SIToFPOp>(op)) {
    return rounded(arith::SIToFPOp::create(builder, loc, result, operands.front()));
  }
  if (isa<arith::UIToFPOp>(op)) {
    return rounded(arith::UIToFPOp::create(builder, loc, result, operands.front()));
  }
  if (isa<arith::IndexCastOp, arith::IndexCastUIOp>(op)) {
    Type from = scalarTypeOf(operands.front()), to = getElementTypeOrSelf(result);
    if (from == to) {
      return operands.front();
    }
    if (from.getIntOrFloatBitWidth() > to.getIntOrFloatBitWidth()) {
      return arith::TruncIOp::create(builder, loc, result, operands.front());
    }
    return isa<arith::IndexCastOp>(op)
               ? Value(arith::ExtSIOp::create(builder, loc, result, operands.front()))
               : Value(arith::ExtUIOp::create(builder, loc, result, operands.front()));
  }
  if (isa<arith::DivSIOp, arith::DivUIOp, arith::RemSIOp, arith::RemUIOp, arith::FloorDivSIOp,
          arith::CeilDivSIOp, arith::CeilDivUIOp>(op)) {
    return ciuic::codegen::divide(builder, loc, op, operands[0], operands[1]);
  }
  if (isa<arith::BitcastOp>(op) &&
      (half || op.getOperand(0).getType().isF16() || op.getOperand(0).getType().isBF16())) {
    return fail("arith.bitcast of a half type");
  }
  if (isa<arith::MaxNumFOp, arith::MinNumFOp>(op)) {
    return callIntrinsic(builder, loc, isa<arith::MaxNumFOp>(op) ? "llvm.maxnum" : "llvm.minnum",
                         operands);
  }
  if (isa<arith::RemFOp>(op) && getElementTypeOrSelf(result).isF32()) {
    return expandRemainder(builder, loc, operands[0], operands[1]);
  }
  if (isa<arith::DivFOp>(op) && half && device == Device::gpu) {
    if (dividesBySigmoids(op)) {
      return arith::MulFOp::create(builder, loc, operands[0], reciprocalOnGpu(*this, operands[1]));
    }
    return divideOnGpu(builder, loc, operands[0], operands[1]);
  }
  if (isa<math::MathDialect>(op.getDialect())) {
    if (isa<math::IPowIOp, math::CountLeadingZerosOp, math::CountTrailingZerosOp, math::CtPopOp>(
            op)) {
      return fail("op '" + op.getName().getStringRef() + "' has no expansion");
    }
    if (isa<FloatType>(computeType(op.getOperand(0).getType())) &&
        !scalarTypeOf(operands.front()).isF32() &&
        !isa<math::AbsFOp, math::SqrtOp, math::FloorOp, math::CeilOp>(op)) {
      return fail("op '" + op.getName().getStringRef() +
                  "' on f64: only f32 and narrower are computed");
    }
    // Halves, and what becomes one, need no more than the special function unit gives.
    auto fast = dyn_cast<arith::ArithFastMathInterface>(op);
    bool approximate = half || (fast && bitEnumContainsAll(fast.getFastMathFlagsAttr().getValue(),
                                                           arith::FastMathFlags::afn));
    if (isa<math::ExpOp>(op) && approximate && device == Device::gpu) {
      return roughExpOnGpu(builder, loc, operands[0]);
    }
    Value value = expandMath(builder, loc, device, op, operands);
    return value ? value : fail("op '" + op.getName().getStringRef() + "' has no expansion");
  }
  if (!isa<arith::ArithDialect>(op.getDialect())) {
    return fail("op '" + op.getName().getStringRef() + "' has no place in a map");
  }
  OperationState state(loc, op.getName());
  state.addOperands(operands);
  state.addTypes(result);
  state.propertiesAttr = op.getPropertiesAsAttribute();
  Operation *created = builder.create(state);
  if (auto fast = dyn_cast<arith::ArithFastMathInterface>(created)) {
    created->setAttr(
        fast.getFastMathAttrName(),
        arith::FastMathFlagsAttr::get(builder.getContext(), arith::FastMathFlags::contract));
  }
  return created->getResult(0);
}

SmallVector<Value> Emitter::applyRegion(Block &region, ArrayRef<Value> arguments,
                                        ArrayRef<Lane> index) {
  DenseMap<Value, Value> values;
  for (auto [argument, value] : llvm::zip(region.getArguments(), arguments)) {
    values[argument] = value;
  }
  for (Operation &op : region.without_terminator()) {
    SmallVector<Value> operands;
    for (Value operand : op.getOperands()) {
      Value value = values.lookup(operand);
      if (!value) {
        fail("a map's region uses a value from outside");
        return SmallVector<Value>(region.getTerminator()->getNumOperands(), constant(0));
      }
      operands.push_back(value);
    }
    Value value = apply(op, operands, index);
    if (failed()) {
      return SmallVector<Value>(region.getTerminator()->getNumOperands(), value);
    }
    values[op.getResult(0)] = value;
  }
  return llvm::map_to_vector(region.getTerminator()->getOperands(),
                             [&](Value v) { return values.lookup(v); });
}

//===-- Graph ops --===//

Value Emitter::at(Value tensor, ArrayRef<Lane> index) {
  Key key{tensor, {}};
  for (const Lane &lane : index) {
    key.second.push_back({lane.value, lane.kind * 1000 + width});
  }
  for (auto &scope : known) {
    for (auto &[k, value] : scope) {
      if (k == key) {
        return value;
      }
    }
  }
  Value value = supply ? supply(tensor, index) : Value();
  if (!value) {
    value = evaluate(tensor, index);
  }
  known.back().push_back({std::move(key), value});
  return value;
}

Value Emitter::constantAt(Operation *op, ArrayRef<Lane> index) {
  auto value = cast<graph::ConstantOp>(op).getValue();
  auto dense = dyn_cast<DenseElementsAttr>(value);
  if (!dense) {
    return fail("a constant without its elements");
  }
  if (dense.isSplat()) {
    return scalarOf(cast<TypedAttr>(dense.getSplatValue<Attribute>()));
  }
  auto it = buffers.find(op->getResult(0));
  if (it == buffers.end()) {
    return fail("a constant of several elements inside a kernel");
  }
  return load(it->second, index);
}

Value Emitter::gather(Operation *op, ArrayRef<Lane> index) {
  auto gatherOp = cast<graph::GatherOp>(op);
  int64_t axis = gatherOp.getAxis();
  int64_t rank = cast<RankedTensorType>(gatherOp.getIndices().getType()).getRank();
  Value position = at(gatherOp.getIndices(), index.slice(axis, rank));
  Type wide = likeOf(builder.getI64Type(), position);
  if (position.getType() != wide) {
    position = arith::ExtSIOp::create(builder, loc, wide, position);
  }
  Value extent = symbolic(graph::dimsOf(gatherOp.getInput())[axis]), zero = constant(0);
  Value last = sub(extent, constant(1));
  if (isVector(position)) {
    extent = splat(extent), zero = splat(zero), last = splat(last);
  }
  Value isNegative = compare(arith::CmpIPredicate::slt, position, zero);
  position = select(isNegative, add(position, extent), position);
  position = max(min(position, last), zero);
  SmallVector<Lane> source(index.take_front(axis));
  source.push_back({position, isVector(position) ? Lane::Any : Lane::Uniform});
  llvm::append_range(source, index.drop_front(axis + rank));
  return at(gatherOp.getInput(), source);
}

std::optional<SmallVector<Lane>> Emitter::through(Operation *view, ArrayRef<Lane> index) {
  SmallVector<Lane> source;
  if (auto slice = dyn_cast<graph::SliceOp>(view)) {
    for (auto [lane, offset, step] :
         llvm::zip(index, slice.getOffsets().getResults(), slice.getSteps())) {
      bool same = step == 1 && isa<AffineConstantExpr>(offset) &&
                  cast<AffineConstantExpr>(offset).getValue() == 0;
      source.push_back(same ? lane : plus(times(lane, uniform(step)), uniform(symbolic(offset))));
    }
    return source;
  }
  if (auto transpose = dyn_cast<graph::TransposeOp>(view)) {
    source.resize(index.size());
    for (auto [lane, from] : llvm::zip(index, transpose.getPermutation())) {
      source[from] = lane;
    }
    return source;
  }
  if (auto expand = dyn_cast<graph::ExpandOp>(view)) {
    SmallVector<AffineExpr> extents = graph::dimsOf(expand.getInput());
    SmallVector<AffineExpr> full = graph::dimsOf(expand.getResult());
    for (auto [i, extent] : llvm::enumerate(extents)) {
      size_t to = index.size() - extents.size() + i;
      source.push_back(graph::sameDim(extent, full[to]) ? index[to] : uniform(int64_t(0)));
    }
    return source;
  }
  if (isa<graph::ReshapeOp>(view)) {
    SmallVector<AffineExpr> dims;
    for (size_t d = 0; d < index.size(); ++d) {
      dims.push_back(getAffineDimExpr(d, view->getContext()));
    }
    if (auto from = graph::throughView(view, dims, /*merging=*/true)) {
      return affine(graph::accessMap(index.size(), from->second, view->getContext()), index);
    }
  }
  return std::nullopt;
}

Value Emitter::evaluate(Value tensor, ArrayRef<Lane> index) {
  if (auto it = buffers.find(tensor);
      it != buffers.end() && !tensor.getDefiningOp<graph::ConstantOp>()) {
    return load(it->second, index);
  }
  Operation *op = tensor.getDefiningOp();
  if (!op) {
    return fail("an argument without a buffer");
  }
  if (auto map = dyn_cast<graph::MapOp>(op)) {
    SmallVector<Value> arguments;
    for (auto [i, operand] : llvm::enumerate(map.getInputs())) {
      arguments.push_back(at(operand, affine(map.getMap(i), index)));
    }
    SmallVector<Value> values = applyRegion(map.getBody().front(), arguments, index);
    for (auto [result, value] : llvm::zip(map.getResults(), values)) {
      if (observe && !failed()) {
        observe(result, index, value);
      }
      if (result != tensor) {
        Key key{result, {}};
        for (const Lane &lane : index) {
          key.second.push_back({lane.value, lane.kind * 1000 + width});
        }
        known.back().push_back({std::move(key), value});
      }
    }
    return values[cast<OpResult>(tensor).getResultNumber()];
  }
  if (isa<graph::ConstantOp>(op)) {
    return constantAt(op, index);
  }
  if (std::optional<SmallVector<Lane>> source = through(op, index)) {
    return at(op->getOperand(0), *source);
  }
  if (isa<graph::GatherOp>(op)) {
    return gather(op, index);
  }
  if (auto rows = dyn_cast<graph::DequantiseRowsOp>(op)) {
    return dequantised(*this, rows, index);
  }
  return fail("op '" + op->getName().getStringRef() + "' has no place in this kernel template");
}

} // namespace ciuic::codegen
