// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The pass around legalize(): options as text for ciuic-opt, as a struct for the compiler.
#include "ir/Diagnostics.h"
#include "ir/Onnx/WeightFiles.h"
#include "passes/Legalize/Passes.h"

using namespace mlir;

namespace ciuic::legalize {
#define GEN_PASS_DEF_LEGALIZEPASS
#include "passes/Legalize/Passes.h.inc"

namespace {
struct LegalizePass : impl::LegalizePassBase<LegalizePass> {
  using Base::Base;
  LegalizeOptions given;

  void runOnOperation() override {
    LegalizeOptions options = given;
    for (const std::string &text : entries) {
      // A list option ends its elements at ',', so dims are told apart by ':' here.
      std::string spec = text;
      size_t first = spec.find(':');
      std::replace(spec.begin() + (first == std::string::npos ? spec.size() : first + 1),
                   spec.end(), ':', ',');
      EntrySpec entry;
      std::string error;
      if (!parseEntry(spec, entry, error)) {
        emitCoded(getOperation().getLoc(), {"usage.entry"}) << error;
        return signalPassFailure();
      }
      options.entries.push_back(std::move(entry));
    }
    std::unique_ptr<onnx::WeightFiles> files;
    if (!model.empty()) {
      auto graphs = getOperation().getOps<onnx::GraphOp>();
      std::string error;
      files = graphs.empty() ? nullptr : onnx::WeightFiles::open(model, *graphs.begin(), error);
      if (!files) {
        getOperation().emitError(error);
        return signalPassFailure();
      }
      options.readWeight = readerOf(*files);
    }
    if (failed(legalize(getOperation(), options))) {
      signalPassFailure();
    }
  }
};
} // namespace

WeightReader readerOf(const onnx::WeightFiles &files) {
  return [&files](onnx::WeightAttr weight, Location location, std::vector<char> &bytes) {
    auto size = onnx::tensorBytes(weight.getType());
    std::string error;
    if (!size) {
      return false;
    }
    bytes.resize(*size);
    if (!files.read(weight, 0, bytes, error)) {
      emitError(location) << error;
      return false;
    }
    return true;
  };
}

std::unique_ptr<Pass> createLegalizePass(LegalizeOptions options) {
  auto pass = std::make_unique<LegalizePass>();
  pass->given = std::move(options);
  return pass;
}
} // namespace ciuic::legalize
