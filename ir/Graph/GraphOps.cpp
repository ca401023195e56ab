// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Verifiers, folders and builders of leaves, maps, reductions and data movement. Labels (C1)… are
// Graph.td's.
#include "ir/Graph/Graph.h"

using namespace mlir;
using namespace ciuic::graph;

static ParseResult parseInt(OpAsmParser &parser, IntegerAttr &value) {
  int64_t integer;
  if (parser.parseInteger(integer)) {
    return failure();
  }
  value = parser.getBuilder().getI64IntegerAttr(integer);
  return success();
}
static void printInt(OpAsmPrinter &printer, Operation *, IntegerAttr value) {
  printer << value.getInt();
}

#define GET_OP_CLASSES
#include "ir/Graph/GraphOps.cpp.inc"

static RankedTensorType typeOf(Value value) { return cast<RankedTensorType>(value.getType()); }

LogicalResult WeightOp::verify() {
  auto type = typeOf(getResult());
  if (!type.hasStaticShape()) {
    return emitOpError("(C2) result type must be static");
  }
  if (getBytes() != type.getNumElements() * elementBytes(type.getElementType())) {
    return emitOpError("(C1) bytes must be the size of the result type, ")
           << type.getNumElements() * elementBytes(type.getElementType());
  }
  if (auto blocks = getBlocksAttr()) {
    int64_t columns = blocks.getPart() == "shifts"
                          ? (blocks.getDepth() + blocks.getSize() - 1) / blocks.getSize()
                          : blocks.getDepth();
    if (type.getRank() != 2 || !isa<FloatType>(type.getElementType()) ||
        type.getDimSize(1) != columns) {
      return emitOpError("(C3) blocks of depth ")
             << blocks.getDepth() << " stand for a matrix of floats with " << columns
             << " values a row";
    }
  }
  auto parts = getParts();
  auto lists = [&](Attribute parameter) {
    auto each = dyn_cast_or_null<ArrayAttr>(parameter);
    return !parameter || (parts ? each && each.size() * 3 == parts->size() : !each);
  };
  if (auto blocks = getBlocksAttr()) {
    if (!lists(blocks.getScales()) || !lists(blocks.getZeros())) {
      return emitOpError("(C5) blocks list scales and zeros for each part, and only there");
    }
  }
  if (!parts) {
    return success();
  }
  int64_t rest = getBytes();
  bool ordered = parts->size() >= 6 && parts->size() % 3 == 0 &&
                 (type.getRank() == 2 || (type.getRank() == 1 && !getInterleaved())) &&
                 (*parts)[0] == static_cast<int64_t>(getFile()) &&
                 (*parts)[1] == static_cast<int64_t>(getOffset());
  for (size_t i = 2; ordered && i < parts->size(); i += 3) {
    ordered = (*parts)[i] > 0 && (*parts)[i] <= rest;
    rest -= (*parts)[i];
  }
  return ordered && rest == 0
             ? success()
             : emitOpError("(C4) parts are two or more of file, offset and bytes, the first the "
                           "weight's own, and add up to its bytes");
}

LogicalResult ConstantOp::verify() {
  auto type = typeOf(getResult());
  if (type.getNumElements() * elementBytes(type.getElementType()) > maxBytes) {
    return emitOpError("(C2) at most 65536 bytes; larger tensors are weights");
  }
  return success();
}
OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValue(); }

void MapOp::build(OpBuilder &builder, OperationState &state, TypeRange results, ValueRange inputs,
                  ArrayRef<AffineMap> maps,
                  function_ref<SmallVector<Value>(OpBuilder &, Location, ValueRange)> body) {
  state.addTypes(results);
  state.addOperands(inputs);
  state.addAttribute(getMapsAttrName(state.name), builder.getAffineMapArrayAttr(maps));
  Region *region = state.addRegion();
  SmallVector<Type> scalars;
  SmallVector<Location> locations(inputs.size(), state.location);
  for (Value input : inputs) {
    scalars.push_back(typeOf(input).getElementType());
  }
  OpBuilder::InsertionGuard guard(builder);
  Block *block = builder.createBlock(region, region->end(), scalars, locations);
  SmallVector<Value> yielded = body(builder, state.location, block->getArguments());
  YieldOp::create(builder, state.location, yielded);
}

LogicalResult MapOp::verify() {
  if (getNumResults() == 0) {
    return emitOpError("(C4) needs a result");
  }
  auto domain = getDomain();
  for (Value result : getResults()) {
    if (!sameDims(dimsOf(result), dimsOf(domain))) {
      return emitOpError("(C4) results must share a shape");
    }
  }
  Block &block = getBody().front();
  if (getMaps().size() != getInputs().size() || block.getNumArguments() != getInputs().size()) {
    return emitOpError("(C1) needs one map and one block argument per operand");
  }
  for (unsigned i = 0; i < getInputs().size(); ++i) {
    AffineMap map = getMap(i);
    auto type = typeOf(getInputs()[i]);
    if (map.getNumDims() != domain.getRank() || map.getNumResults() != type.getRank()) {
      return emitOpError("(C1) map ")
             << i << " must take " << domain.getRank() << " dims to " << type.getRank();
    }
    if (block.getArgument(i).getType() != type.getElementType()) {
      return emitOpError("(C2) block argument ") << i << " must be of the operand's element type";
    }
  }
  auto yield = cast<YieldOp>(block.getTerminator());
  if (yield.getValues().size() != getNumResults()) {
    return emitOpError("(C3) must yield one scalar per result");
  }
  for (auto [value, result] : llvm::zip(yield.getValues(), getResults())) {
    if (value.getType() != typeOf(result).getElementType()) {
      return emitOpError("(C3) must yield scalars of the results' element types");
    }
  }
  return success();
}

LogicalResult IndexOp::verify() {
  int64_t rank = (*this)->getParentOfType<MapOp>().getDomain().getRank();
  return getDim() >= 0 && getDim() < rank ? success()
                                          : emitOpError("(C1) dim must lie below ") << rank;
}
LogicalResult ExtentOp::verify() {
  AffineMap map = getExpr();
  return map.getNumDims() == 0 && map.getNumResults() == 1
             ? success()
             : emitOpError("(C1) needs a map without dims and with one result");
}

LogicalResult ReduceOp::verify() {
  auto in = typeOf(getInput()), out = typeOf(getResult());
  if (in.getElementType() != out.getElementType()) {
    return emitOpError("(C3) element types must agree");
  }
  int64_t last = -1;
  for (int64_t dim : getDims()) {
    if (dim <= last || dim >= in.getRank()) {
      return emitOpError("(C1) dims must ascend and lie below the rank");
    }
    last = dim;
  }
  if (in.getRank() != out.getRank()) {
    return emitOpError("(C2) ranks must agree");
  }
  auto from = dimsOf(in), to = dimsOf(out);
  for (int64_t i = 0; i < in.getRank(); ++i) {
    bool reduced = llvm::is_contained(getDims(), i);
    if (reduced ? !isOne(to[i]) : !sameDim(from[i], to[i])) {
      return emitOpError("(C2) result extent ")
             << i << " must be " << (reduced ? "1" : "the operand's");
    }
  }
  return success();
}

LogicalResult ArgReduceOp::verify() {
  auto in = typeOf(getInput()), out = typeOf(getResult());
  if (!out.getElementType().isInteger(64) || in.getRank() == 0 || out.getRank() != in.getRank() ||
      !isOne(dimsOf(out).back())) {
    return emitOpError("(C1) the result must be i64 with extent 1 at the last dim");
  }
  auto from = dimsOf(in), to = dimsOf(out);
  if (!sameDims(ArrayRef(from).drop_back(), ArrayRef(to).drop_back())) {
    return emitOpError("(C2) the result must have the operand's extents at the other dims");
  }
  return getKind() == ReduceKind::max || getKind() == ReduceKind::min
             ? success()
             : emitOpError("(C3) the kind must be max or min");
}

LogicalResult ReshapeOp::verify() {
  auto in = typeOf(getInput()), out = typeOf(getResult());
  if (in.getElementType() != out.getElementType() ||
      (in.hasStaticShape() && out.hasStaticShape() &&
       in.getNumElements() != out.getNumElements())) {
    return emitOpError("(C1) must keep element type and count");
  }
  return success();
}
OpFoldResult ReshapeOp::fold(FoldAdaptor) {
  if (getInput().getType() == getResult().getType()) {
    return getInput();
  }
  if (auto inner = getInput().getDefiningOp<ReshapeOp>()) {
    getInputMutable().assign(inner.getInput());
    return getResult();
  }
  return {};
}

LogicalResult TransposeOp::verify() {
  auto from = dimsOf(getInput()), to = dimsOf(getResult());
  SmallVector<bool> seen(from.size());
  if (getPermutation().size() != from.size() || to.size() != from.size()) {
    return emitOpError("(C1) needs one position per dim");
  }
  for (auto [i, p] : llvm::enumerate(getPermutation())) {
    if (p < 0 || p >= static_cast<int64_t>(from.size()) || seen[p]) {
      return emitOpError("(C1) must be a permutation");
    }
    seen[p] = true;
    if (!sameDim(to[i], from[p])) {
      return emitOpError("(C2) result extent ") << i << " must be operand extent " << p;
    }
  }
  return success();
}

LogicalResult ExpandOp::verify() {
  auto from = dimsOf(getInput()), to = dimsOf(getResult());
  if (from.size() > to.size()) {
    return emitOpError("(C1) the operand's rank must not exceed the result's");
  }
  for (unsigned i = 0; i < from.size(); ++i) {
    AffineExpr target = to[to.size() - from.size() + i];
    if (!isOne(from[i]) && differ(from[i], target)) {
      return emitOpError("(C1) operand extent ") << i << " must be 1 or the result's";
    }
  }
  return success();
}

LogicalResult SliceOp::verify() {
  size_t rank = typeOf(getInput()).getRank();
  AffineMap offsets = getOffsets();
  if (typeOf(getResult()).getRank() != static_cast<int64_t>(rank) || offsets.getNumDims() != 0 ||
      offsets.getNumResults() != rank || getSteps().size() != rank ||
      llvm::is_contained(getSteps(), 0)) {
    return emitOpError("(C1) needs one offset and one nonzero step per dim");
  }
  return success();
}

static LogicalResult verifyConcat(Operation *op, ValueRange inputs, Value result, int64_t axis) {
  auto out = dimsOf(result);
  if (inputs.empty() || axis < 0 || axis >= static_cast<int64_t>(out.size())) {
    return op->emitOpError("(C2) axis must lie below the rank");
  }
  AffineExpr sum = getAffineConstantExpr(0, op->getContext());
  for (Value input : inputs) {
    auto in = dimsOf(input);
    if (in.size() != out.size() ||
        typeOf(input).getElementType() != typeOf(result).getElementType()) {
      return op->emitOpError("(C1) ranks and element types must agree");
    }
    for (unsigned i = 0; i < in.size(); ++i) {
      if (static_cast<int64_t>(i) != axis && differ(in[i], out[i])) {
        return op->emitOpError("(C3) extent ") << i << " must agree";
      }
    }
    sum = sum + in[axis];
  }
  return differ(sum, out[axis]) ? op->emitOpError("(C3) extents must add up along the axis")
                                : success();
}
LogicalResult ConcatOp::verify() {
  return verifyConcat(*this, getInputs(), getResult(), getAxis());
}
LogicalResult AppendOp::verify() {
  return verifyConcat(*this, getOperands(), getResult(), getAxis());
}

LogicalResult PadOp::verify() {
  auto in = typeOf(getInput());
  if (static_cast<int64_t>(getLow().size()) != in.getRank() ||
      llvm::any_of(getLow(), [](int64_t l) { return l < 0; }) ||
      typeOf(getResult()).getRank() != in.getRank() ||
      getValue().getType() != in.getElementType()) {
    return emitOpError(
        "(C1) needs one non-negative low side per dim and a value of the element type");
  }
  return success();
}

LogicalResult GatherOp::verify() {
  auto in = dimsOf(getInput()), indices = dimsOf(getIndices());
  int64_t axis = getAxis();
  if (axis < 0 || axis >= static_cast<int64_t>(in.size())) {
    return emitOpError("(C1) axis must lie below the rank");
  }
  SmallVector<AffineExpr> expected(in.begin(), in.begin() + axis);
  llvm::append_range(expected, indices);
  expected.append(in.begin() + axis + 1, in.end());
  return sameDims(expected, dimsOf(getResult()))
             ? success()
             : emitOpError("(C2) result shape must be input[:axis] ++ indices ++ input[axis+1:]");
}

LogicalResult CumSumOp::verify() {
  if (getInput().getType() != getResult().getType()) {
    return emitOpError("(C1) operand and result types must agree");
  }
  return getAxis() >= 0 && getAxis() < typeOf(getInput()).getRank()
             ? success()
             : emitOpError("(C2) axis must lie below the rank");
}

LogicalResult ScatterOp::verify() {
  if (getInput().getType() != getResult().getType()) {
    return emitOpError("(C1) input and result types must agree");
  }
  auto in = dimsOf(getInput()), where = dimsOf(getIndices()), updates = dimsOf(getUpdates());
  auto depth = where.empty() ? AffineConstantExpr() : dyn_cast<AffineConstantExpr>(where.back());
  if (!depth || depth.getValue() < 1 || depth.getValue() > static_cast<int64_t>(in.size())) {
    return emitOpError("(C2) the last extent of indices must be a constant within 1 to the rank");
  }
  SmallVector<AffineExpr> expected(where.begin(), where.end() - 1);
  expected.append(in.begin() + depth.getValue(), in.end());
  bool agree = typeOf(getUpdates()).getElementType() == typeOf(getInput()).getElementType() &&
               updates.size() == expected.size() &&
               llvm::none_of(llvm::zip(updates, expected),
                             [](auto p) { return differ(std::get<0>(p), std::get<1>(p)); });
  return agree ? success()
               : emitOpError("(C3) updates must be indices[:-1] ++ input[k:] of its element type");
}

// The structured and kernel ops' verifiers stand in GraphStructuredOps.cpp and GraphKernelOps.cpp.
