// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The plan dialect: registration. What steps must satisfy together is checked by
// ciuic-verify-plan-level.
#include "ir/Plan/Plan.h"

using namespace mlir;
using namespace ciuic::plan;

#include "ir/Plan/PlanDialect.cpp.inc"
#include "ir/Plan/PlanEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "ir/Plan/PlanAttrs.cpp.inc"
#define GET_OP_CLASSES
#include "ir/Plan/PlanOps.cpp.inc"

void PlanDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "ir/Plan/PlanOps.cpp.inc"
      >();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "ir/Plan/PlanAttrs.cpp.inc"
      >();
}
