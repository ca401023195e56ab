// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The graph dialect: registration, attributes, and the checks of attributes that stand on
// functions.
#include "ir/Graph/Graph.h"

using namespace mlir;
using namespace ciuic::graph;

#include "ir/Graph/GraphDialect.cpp.inc"
#include "ir/Graph/GraphEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "ir/Graph/GraphAttrs.cpp.inc"

void GraphDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "ir/Graph/GraphOps.cpp.inc"
      >();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "ir/Graph/GraphAttrs.cpp.inc"
      >();
}

LogicalResult SymbolAttr::verify(function_ref<InFlightDiagnostic()> emitError, StringRef name,
                                 int64_t lower, int64_t upper) {
  if (name.empty()) {
    return emitError() << "a symbol needs a name";
  }
  if (lower < 0 || upper < lower) {
    return emitError() << "bounds of symbol '" << name << "' must satisfy 0 <= " << lower
                       << " <= " << upper;
  }
  return success();
}

LogicalResult PackingAttr::verify(function_ref<InFlightDiagnostic()> emitError, StringRef format,
                                  int64_t columns, int64_t channels, int64_t taps, int64_t groups,
                                  StringRef source, StringRef layout) {
  if (layout != "panel16" && layout != "rows16") {
    return emitError() << "the layout of panels is panel16 or rows16, not " << layout;
  }
  return success();
}

LogicalResult BlocksAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t bits,
                                 int64_t size, int64_t depth, StringRef part, Attribute scales,
                                 Attribute zeros, StringRef) {
  bool known = part == "values" || part == "centred" || part == "shifts";
  if (!known || (part == "shifts" && !zeros)) {
    return emitError() << "the part of blocks is values, centred, or, with zeros, shifts";
  }
  if ((bits != 2 && bits != 4 && bits != 8) || size < 16 || size > (1 << 20) ||
      (size & (size - 1)) != 0 || depth < 1) {
    return emitError() << "blocks have 2, 4 or 8 bits and a power of two from 16 on as size";
  }
  auto isParameter = llvm::IsaPred<StoredAttr, DenseElementsAttr>;
  for (Attribute parameter : {scales, zeros}) {
    auto each = dyn_cast_or_null<ArrayAttr>(parameter);
    if (parameter && !(each ? llvm::all_of(each, isParameter) : isParameter(parameter))) {
      return emitError() << "scales and zeros are stored or elements, or a list of such";
    }
  }
  return success();
}

bool ciuic::graph::isForCuda(Operation *op) {
  for (; op; op = op->getParentOp()) {
    if (auto device = op->getAttrOfType<StringAttr>("graph.device")) {
      return device == "cuda";
    }
  }
  return false;
}

LogicalResult GraphDialect::verifyOperationAttribute(Operation *op, NamedAttribute attribute) {
  if (attribute.getName() == "graph.symbols") {
    auto symbols = dyn_cast<ArrayAttr>(attribute.getValue());
    if (!isa<func::FuncOp>(op) || !symbols || !llvm::all_of(symbols, llvm::IsaPred<SymbolAttr>)) {
      return op->emitError("graph.symbols stands on a function and is an array of #graph.symbol");
    }
  }
  if (attribute.getName() == "graph.device") {
    auto device = dyn_cast<StringAttr>(attribute.getValue());
    if (!isa<ModuleOp, KernelOp>(op) || !device || (device != "host" && device != "cuda")) {
      return op->emitError("graph.device stands on a module or kernel and is \"host\" or \"cuda\"");
    }
  }
  return success();
}
