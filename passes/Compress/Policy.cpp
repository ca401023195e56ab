// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the user's word for quality means: which formats, which limits. See Formats.h.
#include "passes/Compress/Formats.h"

#include "llvm/ADT/StringExtras.h"

#include <cmath>

using namespace mlir;
using ciuic::kernels::WeightFormat;

namespace ciuic::compress {
namespace {

// Predicted growth of log perplexity that `near` may cost: int8 everywhere stays well below, and
// the promise is 1 %.
constexpr double nearLoss = 0.008;
// Predicted growth that `balanced` accepts to stream less; 0.1 is 10.5 % of perplexity.
constexpr double balancedLoss = 0.1;
// Stored bits per weight, scales and padding included, over the inner weights.
constexpr double balancedLeastBits = 4.25, balancedMostBits = 5.6;

std::vector<WeightFormat> formatsOf(Quality quality) {
  switch (quality) {
  case Quality::Exact:
    return {};
  case Quality::Near:
    return {WeightFormat::F16, WeightFormat::I8};
  case Quality::Balanced:
    return {WeightFormat::I8, WeightFormat::I4G64, WeightFormat::I4G128};
  case Quality::Small:
    return {WeightFormat::F16, WeightFormat::I8, WeightFormat::I4G32, WeightFormat::I4G64,
            WeightFormat::I4G128};
  }
  return {};
}

} // namespace

std::variant<FormatPolicy, std::string> parsePolicy(StringRef quality, StringRef formats) {
  FormatPolicy policy;
  if (quality == "near") {
    policy.quality = Quality::Near;
  } else if (quality == "balanced") {
    policy.quality = Quality::Balanced;
  } else if (quality == "small") {
    policy.quality = Quality::Small;
  } else if (quality != "exact") {
    return "[usage.quality] --quality " + quality.str() + ": use exact, near, balanced or small";
  }
  policy.roundRows = policy.quality == Quality::Balanced || policy.quality == Quality::Small;
  policy.formats = formatsOf(policy.quality);
  if (formats.empty()) {
    return policy;
  }
  if (policy.quality == Quality::Exact) {
    return std::string("[usage.formats] --formats has no meaning with --quality exact: add "
                       "--quality near, balanced or small");
  }
  policy.formats.clear();
  bool int4 = false;
  for (StringRef word : llvm::split(formats, ',')) {
    auto format = kernels::formatOfName(word.trim());
    if (!format) {
      return "[usage.formats] --formats: '" + word.trim().str() +
             "' is not a format; use f16, bf16, int8, int4g32, int4g64, int4g128";
    }
    if (*format != WeightFormat::F32 && !llvm::is_contained(policy.formats, *format)) {
      policy.formats.push_back(*format);
    }
    int4 |= kernels::groupSize(*format) > 0;
  }
  llvm::sort(policy.formats);
  if (policy.quality == Quality::Balanced && !int4) {
    return std::string("[usage.formats] --quality balanced stores at most 5.6 bits per weight: add "
                       "int4g64 or int4g128 to --formats, or use "
                       "--quality near");
  }
  return policy;
}

solver::FormatProblem problemOf(const std::vector<WeightProposal> &proposals,
                                const FormatPolicy &policy, int64_t bytes) {
  solver::FormatProblem problem;
  double elements = 0;
  for (const WeightProposal &proposal : proposals) {
    solver::FormatItem item;
    item.block = proposal.site.role != WeightRole::Boundary;
    elements += item.block ? static_cast<double>(proposal.site.elements) : 0;
    for (const Candidate &candidate : proposal.candidates) {
      item.options.push_back({candidate.bytes, candidate.predictedLoss});
    }
    problem.items.push_back(std::move(item));
  }
  switch (policy.quality) {
  case Quality::Exact:
    break;
  case Quality::Near:
    problem.goal = solver::FormatProblem::Goal::LeastBytes;
    problem.totalLoss = nearLoss;
    break;
  case Quality::Balanced:
    problem.totalBytes = bytes;
    problem.blockBytesMin = static_cast<int64_t>(std::ceil(balancedLeastBits / 8 * elements));
    problem.blockBytesMax = static_cast<int64_t>(std::floor(balancedMostBits / 8 * elements));
    break;
  case Quality::Small:
    problem.goal = solver::FormatProblem::Goal::LeastBytes;
    break;
  }
  return problem;
}

solver::FormatChoice chooseForStreaming(const std::vector<WeightProposal> &proposals,
                                        const FormatPolicy &policy) {
  solver::FormatProblem limits = problemOf(proposals, policy, std::numeric_limits<int64_t>::max());
  if (policy.quality != Quality::Balanced) {
    return solver::chooseFormats(limits);
  }
  solver::FormatProblem fewest = limits;
  fewest.goal = solver::FormatProblem::Goal::LeastBytes;
  fewest.totalLoss = balancedLoss;
  solver::FormatChoice choice = solver::chooseFormats(fewest);
  if (choice.fits && choice.blockBytes <= limits.blockBytesMax &&
      choice.blockBytes >= limits.blockBytesMin) {
    return choice;
  }
  if (choice.fits && choice.blockBytes < limits.blockBytesMin) {
    limits.totalBytes = 0; // the least that the limit on bits allows
  }
  return solver::chooseFormats(limits);
}

void recordFormats(ModuleOp module, const std::vector<WeightProposal> &proposals,
                   const std::vector<int> &choice) {
  Builder b(module.getContext());
  SmallVector<Attribute> records;
  for (auto [proposal, option] : llvm::zip_equal(proposals, choice)) {
    const Candidate &chosen = proposal.candidates[option];
    graph::WeightOp weight = proposal.site.ops.front();
    StringRef format = StringRef(kernels::name(chosen.format));
    if (format == weight.getPackingAttr().getFormat()) {
      continue;
    }
    SmallVector<NamedAttribute> record{
        b.getNamedAttr("file", b.getI64IntegerAttr(weight.getFile())),
        b.getNamedAttr("offset", b.getI64IntegerAttr(weight.getOffset())),
        b.getNamedAttr("format", b.getStringAttr(format)),
        b.getNamedAttr("relative_error", b.getF64FloatAttr(chosen.relativeError)),
        b.getNamedAttr("predicted_loss", b.getF64FloatAttr(chosen.predictedLoss)),
    };
    if (chosen.activationError > 0) {
      record.push_back(
          b.getNamedAttr("activation_error", b.getF64FloatAttr(chosen.activationError)));
    }
    records.push_back(b.getDictionaryAttr(record));
  }
  module->setAttr("graph.formats", b.getArrayAttr(records));
}

} // namespace ciuic::compress
