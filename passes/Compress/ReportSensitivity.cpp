// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the Compress stage sees in the graph, as remarks.
#include "passes/Compress/Formats.h"
#include "passes/Compress/Passes.h"

#include "llvm/Support/Format.h"

using namespace mlir;

namespace ciuic {
#define GEN_PASS_DEF_REPORTSENSITIVITY
#include "passes/Compress/Passes.h.inc"
} // namespace ciuic

namespace {

struct ReportSensitivityPass : ciuic::impl::ReportSensitivityBase<ReportSensitivityPass> {
  void runOnOperation() override {
    for (const ciuic::compress::WeightSite &site : ciuic::compress::findSites(getOperation())) {
      std::string text;
      llvm::raw_string_ostream os(text);
      os << "weight '" << site.ops.front()->getAttrOfType<StringAttr>("name").getValue()
         << "': " << ciuic::compress::nameOf(site.role)
         << llvm::format(", depth %.3f, sensitivity %.3f, ", site.depth,
                         ciuic::compress::sensitivityOf(site, 0))
         << site.ops.size() << " ops";
      mlir::Operation *op = site.ops.front();
      op->emitRemark() << text;
    }
  }
};

} // namespace
