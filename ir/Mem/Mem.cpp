// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The mem dialect: registration and verifiers. Labels (C1)… are Mem.td's.
#include "ir/Mem/Mem.h"

using namespace mlir;
using namespace ciuic::mem;

#include "ir/Mem/MemDialect.cpp.inc"
#include "ir/Mem/MemEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "ir/Mem/MemAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "ir/Mem/MemTypes.cpp.inc"
#define GET_OP_CLASSES
#include "ir/Mem/MemOps.cpp.inc"

void MemDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "ir/Mem/MemOps.cpp.inc"
      >();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "ir/Mem/MemAttrs.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "ir/Mem/MemTypes.cpp.inc"
      >();
}

LogicalResult BufferType::verify(function_ref<InFlightDiagnostic()> emitError, Tier,
                                 int64_t bytes) {
  return bytes >= 0 ? success() : emitError() << "a buffer has a size of zero or more bytes";
}

LogicalResult WeightOp::verify() {
  int64_t bytes = getBytes(), tile = getTileBytes();
  if (bytes <= 0 || tile <= 0 || tile > bytes) {
    return emitOpError("(C1) needs 0 < tile_bytes <= bytes");
  }
  bool placed = getFile() && getFileOffset() && getFileBytes();
  if (getValue().has_value() == placed) {
    return emitOpError("(C2) needs either a value or a place in a file");
  }
  return success();
}

LogicalResult DrainOp::verify() {
  int64_t bytes = getRowBytes(), column = getColumn(), pitch = getPitch();
  if (bytes <= 0 || column < 0 || pitch < bytes || column > pitch - bytes) {
    return emitOpError("(C1) needs 0 < row_bytes, 0 <= column and column + row_bytes <= pitch");
  }
  auto tier = [](Value buffer) { return cast<BufferType>(buffer.getType()).getTier(); };
  return tier(getTile()) == Tier::device && tier(getOutput()) == Tier::host
             ? success()
             : emitOpError("(C2) moves a device buffer into one of the host tier");
}

LogicalResult StateOp::verify() {
  auto type = cast<RankedTensorType>(getType());
  if (!type.hasStaticShape()) {
    return emitOpError("(C1) the type must be static");
  }
  int64_t axis = getAxis();
  return axis >= 0 && axis < type.getRank() ? success()
                                            : emitOpError("(C2) axis must lie below the rank");
}

LogicalResult UnitOp::verify() {
  size_t n = getWeights().size();
  return getBegin().size() == n && getEnd().size() == n && getAt().size() == n
             ? success()
             : emitOpError("(C1) needs one begin, end and place per weight");
}
