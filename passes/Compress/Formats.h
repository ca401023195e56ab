// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which format each weight that products multiply by is stored in: what is asked for (policy), what
// each weight could be (proposals: bytes, measured error, predicted loss), what is chosen, and the
// record from which the pass ciuic-apply-formats rewrites the graph. The flow stands in
// tools/ciuicc: propose once, choose for the bytes that a plan leaves, record.
#pragma once

#include "ir/Graph/BlockWeights.h"
#include "kernels/pack/Pack.h"
#include "passes/Solver/FormatChoice.h"

#include "mlir/IR/BuiltinOps.h"

#include <string>
#include <variant>
#include <vector>

namespace ciuic::compress {

enum class Quality { Exact, Near, Balanced, Small };

struct FormatPolicy {
  Quality quality = Quality::Exact;
  std::vector<kernels::WeightFormat> formats; ///< that may replace f32, by rising group size
  /// A single row times an int4 weight is rounded to int8 in groups: balanced and small.
  bool roundRows = false;
};

/// `quality` is the option's word; `formats` a comma-separated list, empty: the quality's own. The
/// string says what is wrong, beginning with a code.
std::variant<FormatPolicy, std::string> parsePolicy(llvm::StringRef quality,
                                                    llvm::StringRef formats);

/// What a weight does in the graph, as far as its sensitivity goes.
enum class WeightRole {
  Inner,    ///< a product inside the network: a block's weight
  Query,    ///< feeds an attention's scores
  Value,    ///< feeds an attention's values
  Boundary, ///< an embedding that rows are gathered from, or a product whose result leaves the
            ///< network
};

llvm::StringRef nameOf(WeightRole role);

/// One distinct stored tensor with one layout, whatever the number of entries that read it.
struct WeightSite {
  llvm::SmallVector<graph::WeightOp> ops; ///< of all functions, the first in program order first
  WeightRole role = WeightRole::Inner;
  llvm::SmallVector<WeightRole> parts; ///< of a merged weight whose parts have several
  double depth =
      0; ///< 0 at the first block weight, 1 at the last: where its middle lies among their elements
  int64_t elements = 0;
  bool oneRow = false; ///< some entry that decodes may multiply a single row by it
};

/// The weights that can change format, in program order: two-dimensional, in panels, read by
/// products (and gathers).
std::vector<WeightSite> findSites(mlir::ModuleOp module);

/// How much the loss grows per squared relative error of a weight. `peak` is its largest magnitude
/// over its root mean square.
double sensitivityOf(const WeightSite &site, double peak);

/// The most that rounding a row to int8 in the groups of this format costs its values, ‖x − x̂‖ /
/// ‖x‖; 0 where the format has no groups. Reached where one value is all of its group.
double activationErrorOf(kernels::WeightFormat format);

struct Candidate {
  kernels::WeightFormat format = kernels::WeightFormat::F32;
  int64_t bytes = 0;
  double relativeError =
      0; ///< ‖W − Ŵ‖ / ‖W‖, over a fixed sample of panels where the weight is large
  double activationError = 0; ///< of rounding single rows; 0: they are multiplied as they are
  double predictedLoss =
      0; ///< growth of the logarithm of perplexity (nats per prediction) by this weight alone
};

struct WeightProposal {
  WeightSite site;
  std::vector<Candidate> candidates; ///< as stored now first, if the policy lets it stay
};

/// Measures every candidate of every site; `read` is called from several threads. Emits a
/// diagnostic and fails if a weight cannot be read.
mlir::FailureOr<std::vector<WeightProposal>> proposeFormats(mlir::ModuleOp module,
                                                            const FormatPolicy &policy,
                                                            const ReadFile &read, unsigned threads);

/// The problem whose solution is the policy's choice when the proposed weights may take `bytes`.
/// near: least bytes at a predicted loss of at most 0.8 %. balanced: least loss within `bytes` and
/// a mean of 4.25 to 5.6 stored bits over the inner weights. small: least bytes.
solver::FormatProblem problemOf(const std::vector<WeightProposal> &proposals,
                                const FormatPolicy &policy, int64_t bytes);

/// The choice where weights stream whatever is chosen, so that bytes are time: balanced takes the
/// fewest that keep its predicted loss below a tenth, within its limits on bits; the others' choice
/// does not depend on bytes.
solver::FormatChoice chooseForStreaming(const std::vector<WeightProposal> &proposals,
                                        const FormatPolicy &policy);

/// Writes the choice to the module's `graph.formats`, for ciuic-apply-formats.
void recordFormats(mlir::ModuleOp module, const std::vector<WeightProposal> &proposals,
                   const std::vector<int> &choice);

} // namespace ciuic::compress
