// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which of the vendor's algorithms computes a product: what calibration found fastest at exactly
// these extents. What it did not measure keeps the library's first.
#include "passes/Offload/BuildProblem.h"
#include "passes/Offload/Passes.h"

#include "ir/Graph/LibraryCall.h"
#include "ir/Graph/Weights.h"
#include "kernels/VendorCalls.h"
#include "kernels/host/Abi.h"

using namespace mlir;

namespace ciuic {
#define GEN_PASS_DEF_CHOOSEALGORITHMS
#include "passes/Offload/Passes.h.inc"
} // namespace ciuic

namespace {

using namespace ciuic;

std::optional<cost::WeightFormat> formatOf(int64_t type) {
  switch (type) {
  case kernels::kVendorF32:
    return cost::WeightFormat::F32;
  case kernels::kVendorF16:
    return cost::WeightFormat::F16;
  case kernels::kVendorBF16:
    return cost::WeightFormat::BF16;
  default:
    return std::nullopt;
  }
}

/// The product that a call makes at the bounds, its choice left open; nothing where calibration
/// measures no such products.
std::optional<cost::AlgorithmChoice> productOf(const graph::LibraryCall &call,
                                               ArrayRef<int64_t> params, ArrayRef<int64_t> upper) {
  SmallVector<int64_t> shape;
  for (AffineExpr extent : call.args) {
    shape.push_back(graph::evaluate(extent, upper).value_or(-1));
  }
  auto format = formatOf(params[kernels::kVendorTypeA]);
  const bool measured = format && params[kernels::kVendorTypeD] == params[kernels::kVendorTypeA] &&
                        params[kernels::kVendorTransA] == 0 &&
                        params[kernels::kVendorTransB] == 1 && shape[kernels::kVendorBatch] == 1;
  if (!measured) {
    return std::nullopt;
  }
  return cost::AlgorithmChoice{*format,
                               params[kernels::kVendorEpilogue],
                               shape[kernels::kVendorM],
                               shape[kernels::kVendorN],
                               shape[kernels::kVendorK],
                               0};
}

/// Columns that one launch of a product in pieces computes.
int64_t columnsOfPiece(mem::LaunchOp launch) {
  auto read = launch.getReads()[*launch.getTiled()].getDefiningOp<mem::GetWeightOp>();
  auto weight = SymbolTable::lookupNearestSymbolFrom<mem::WeightOp>(launch, read.getWeightAttr());
  kernels::PackSpec spec = packSpecOf(cast<graph::PackingAttr>(*weight.getPacking()));
  return static_cast<int64_t>(weight.getTileBytes()) / kernels::panelBytes(spec) * kernels::kPanel;
}

struct ChooseAlgorithmsPass : ciuic::impl::ChooseAlgorithmsBase<ChooseAlgorithmsPass> {
  using Base::Base;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto loaded = loadProfile(profile);
    if (auto *error = std::get_if<std::string>(&loaded)) {
      module.emitError("[usage.profile] ") << *error;
      return signalPassFailure();
    }
    const auto &known = std::get<cost::Profile>(loaded).algorithms;
    if (known.empty()) {
      return;
    }
    SymbolTable symbols(module);
    for (auto entry : module.getOps<mem::EntryOp>()) {
      SmallVector<int64_t> upper;
      for (auto symbol : entry.getSymbols().getAsRange<graph::SymbolAttr>()) {
        upper.push_back(symbol.getUpper());
      }
      for (auto launch : entry.getBody().getOps<mem::LaunchOp>()) {
        choose(launch, symbols.lookup<graph::KernelOp>(launch.getKernel()), upper, known);
      }
    }
  }

private:
  static void choose(mem::LaunchOp launch, graph::KernelOp kernel, ArrayRef<int64_t> upper,
                     ArrayRef<cost::AlgorithmChoice> known) {
    auto call = graph::libraryCallOf(kernel);
    if (failed(call) || !*call || (*call)->function != kernels::kVendorMatmul) {
      return;
    }
    SmallVector<int64_t> params(launch.getParams());
    auto product = productOf(**call, params, upper);
    if (product && launch.getPiecewise()) {
      product->columns = std::min(product->columns, columnsOfPiece(launch));
    }
    for (cost::AlgorithmChoice candidate : known) {
      const int64_t choice = std::exchange(candidate.choice, 0);
      if (product == candidate) {
        params[kernels::kVendorChoice] = choice;
        params[kernels::kVendorChoiceRows] = product->rows;
        launch.setParams(params);
        return;
      }
    }
  }
};

} // namespace
