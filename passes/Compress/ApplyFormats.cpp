// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The record's formats go into the packings of the weights it names.
#include "passes/Compress/Passes.h"

#include "kernels/pack/Pack.h"

#include "llvm/ADT/DenseMap.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_APPLYFORMATS
#include "passes/Compress/Passes.h.inc"
} // namespace ciuic

namespace {

struct ApplyFormatsPass : ciuic::impl::ApplyFormatsBase<ApplyFormatsPass> {
  void runOnOperation() override {
    auto records = getOperation()->getAttrOfType<ArrayAttr>("graph.formats");
    if (!records) {
      return;
    }
    llvm::DenseMap<std::pair<int64_t, int64_t>, SmallVector<WeightOp>> weights;
    getOperation().walk([&](WeightOp weight) {
      if (weight.getPackingAttr()) {
        weights[{weight.getFile(), weight.getOffset()}].push_back(weight);
      }
    });
    for (Attribute attribute : records) {
      auto record = dyn_cast<DictionaryAttr>(attribute);
      auto file = record ? record.getAs<IntegerAttr>("file") : IntegerAttr();
      auto offset = record ? record.getAs<IntegerAttr>("offset") : IntegerAttr();
      auto format = record ? record.getAs<StringAttr>("format") : StringAttr();
      if (!file || !offset || !format) {
        return reject("a record needs file, offset and format");
      }
      if (!ciuic::kernels::formatOfName(std::string_view(format.getValue()))) {
        return reject("unknown format '" + format.getValue() + "'");
      }
      auto found = weights.find({file.getInt(), offset.getInt()});
      if (found == weights.end()) {
        return reject("no weight in panels at offset " + Twine(offset.getInt()) + " of file " +
                      Twine(file.getInt()));
      }
      for (WeightOp weight : found->second) {
        PackingAttr old = weight.getPackingAttr();
        weight.setPackingAttr(PackingAttr::get(&getContext(), format.getValue(), old.getColumns(),
                                               old.getChannels(), old.getTaps(), old.getGroups(),
                                               old.getSource(), old.getLayout()));
        weight.setRelativeErrorAttr(record.getAs<FloatAttr>("relative_error"));
        weight.setActivationErrorAttr(record.getAs<FloatAttr>("activation_error"));
        weight.setPredictedLossAttr(record.getAs<FloatAttr>("predicted_loss"));
      }
    }
    getOperation()->removeAttr("graph.formats");
  }

  void reject(const Twine &text) {
    getOperation().emitError() << "[internal.formats] graph.formats: " << text;
    signalPassFailure();
  }
};

} // namespace
