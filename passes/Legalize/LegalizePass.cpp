// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The pass around legalize(): options as text for ciuic-opt, as a struct for the compiler.
#include "ir/Diagnostics.h"
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
      std::replace(spec.begin() + (first == std::string::npos ? spec.size() : first + 1), spec.end(), ':', ',');
      EntrySpec entry;
      std::string error;
      if (!parseEntry(spec, entry, error)) {
        emitCoded(getOperation().getLoc(), {"usage.entry"}) << error;
        return signalPassFailure();
      }
      options.entries.push_back(std::move(entry));
    }
    if (failed(legalize(getOperation(), options))) {
      signalPassFailure();
    }
  }
};
} // namespace

std::unique_ptr<Pass> createLegalizePass(LegalizeOptions options) {
  auto pass = std::make_unique<LegalizePass>();
  pass->given = std::move(options);
  return pass;
}
} // namespace ciuic::legalize
