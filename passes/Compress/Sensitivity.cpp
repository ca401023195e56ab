// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sensitivity from the weights and the graph alone. The rule and its figures were read off a
// language model's perplexity, weight by weight (docs/performance.md): the damage of a weight grows
// with its squared relative error, whatever its size; more where attention mixes what it makes, at
// the two ends of the network, and where single values stand far above the rest (they carry the few
// activations that everything else is relative to).
#include "ir/Graph/LibraryCall.h"
#include "passes/Compress/Formats.h"

#include "llvm/ADT/MapVector.h"

#include <cmath>

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic::compress {
namespace {

// Nats per squared relative error of an inner weight in the middle of the network. The mean over
// all weights is 0.045; those that the choice leaves at few bits are the underestimated ones, which
// 0.06 makes up for.
constexpr double innerLoss = 0.06;
constexpr double queryFactor = 2, valueFactor = 4;
// The shares of the inner elements that count as the two ends.
constexpr double firstShare = 0.1, lastShare = 0.067, endFactor = 4;
// A normal distribution's largest of a million is 5 roots of its mean square; outliers count from
// about this on.
constexpr double peakScale = 16;
// Logits vary by several nats, so that noise on them costs far more than noise within.
constexpr double boundaryLoss = 8;

// Columns and depth below which a weight is not worth a format of its own.
constexpr int64_t leastExtent = 16;

/// The weight that operand `value` of an op inside a fusion is, looking out of the fusion.
WeightOp weightOf(Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    if (auto fusion = dyn_cast<FusionOp>(argument.getOwner()->getParentOp())) {
      value = fusion.getInputs()[argument.getArgNumber()];
    }
  }
  return value.getDefiningOp<WeightOp>();
}

/// Marks the weights of the products that `value` comes from by renaming, rotation, appending and
/// elementwise work.
class Trace {
public:
  explicit Trace(std::function<void(WeightOp)> mark) : mark(std::move(mark)) {}

  void from(Value start) {
    SmallVector<Value> work{start};
    while (!work.empty()) {
      Value value = work.pop_back_val();
      if (!visited.insert(value).second) {
        continue;
      }
      if (auto argument = dyn_cast<BlockArgument>(value)) {
        if (auto fusion = dyn_cast<FusionOp>(argument.getOwner()->getParentOp())) {
          work.push_back(fusion.getInputs()[argument.getArgNumber()]);
        }
        continue;
      }
      Operation *op = value.getDefiningOp();
      if (auto matmul = dyn_cast<MatmulOp>(op)) {
        if (WeightOp weight = weightOf(matmul.getB())) {
          mark(weight);
        }
      } else if (auto fusion = dyn_cast<FusionOp>(op)) {
        work.push_back(fusion.getBody().front().getTerminator()->getOperand(
            cast<OpResult>(value).getResultNumber()));
      } else if (auto rope = dyn_cast<RopeOp>(op)) {
        work.push_back(rope.getInput());
      } else if (auto append = dyn_cast<AppendOp>(op)) {
        work.push_back(append.getFresh());
      } else if (isa<MapOp, ReshapeOp, TransposeOp, ExpandOp, SliceOp, ConcatOp, QuantiseRowsOp,
                     DequantiseRowsOp>(op)) {
        work.append(op->operand_begin(), op->operand_end());
      }
    }
  }

private:
  std::function<void(WeightOp)> mark;
  llvm::DenseSet<Value> visited;
};

/// Whether a fusion's result is the function's, at most renamed on the way.
bool leavesNetwork(FusionOp fusion) {
  SmallVector<Value> work(fusion.getResults().begin(), fusion.getResults().end());
  while (!work.empty()) {
    Value value = work.pop_back_val();
    for (Operation *user : value.getUsers()) {
      if (isa<func::ReturnOp>(user)) {
        return true;
      }
      if (isa<ReshapeOp, TransposeOp>(user)) {
        work.push_back(user->getResult(0));
      }
    }
  }
  return false;
}

bool isBoundary(WeightOp weight) {
  for (OpOperand &use : weight->getUses()) {
    auto fusion = dyn_cast<FusionOp>(use.getOwner());
    if (!fusion) {
      continue;
    }
    for (Operation *user : fusion.getBody().getArgument(use.getOperandNumber()).getUsers()) {
      if (isa<GatherOp>(user) || (isa<MatmulOp>(user) && leavesNetwork(fusion))) {
        return true;
      }
    }
  }
  return false;
}

bool canChange(WeightOp weight) {
  PackingAttr packing = weight.getPackingAttr();
  return packing && llvm::is_contained({"f32", "f16", "bf16"}, packing.getFormat()) &&
         (packing.getSource() == "columns" || packing.getSource() == "rows") &&
         packing.getGroups() == 1 && packing.getColumns() >= leastExtent &&
         packing.getChannels() >= leastExtent;
}

/// Whether a product in this function decodes by the weight.
bool meetsOneRow(WeightOp weight) {
  Bounds bounds = boundsOf(weight->getParentOfType<func::FuncOp>());
  return llvm::any_of(weight->getUses(), [&](OpOperand &use) {
    auto fusion = dyn_cast<FusionOp>(use.getOwner());
    if (!fusion) {
      return false;
    }
    Value inside = fusion.getBody().getArgument(use.getOperandNumber());
    return llvm::any_of(inside.getUsers(), [&](Operation *user) {
      auto matmul = dyn_cast<MatmulOp>(user);
      return matmul && matmul.getB() == inside && decodes(matmul, bounds);
    });
  });
}

} // namespace

StringRef nameOf(WeightRole role) {
  switch (role) {
  case WeightRole::Inner:
    return "inner";
  case WeightRole::Query:
    return "query";
  case WeightRole::Value:
    return "value";
  case WeightRole::Boundary:
    return "boundary";
  }
  return "";
}

std::vector<WeightSite> findSites(ModuleOp module) {
  // 1. Equal places and layouts are one site.
  using Key = std::tuple<int64_t, int64_t, Attribute>;
  llvm::MapVector<Key, WeightSite> sites;
  auto keyOf = [](WeightOp weight) {
    return Key(weight.getFile(), weight.getOffset(), weight.getPackingAttr());
  };
  module.walk([&](WeightOp weight) {
    if (canChange(weight)) {
      WeightSite &site = sites[keyOf(weight)];
      site.ops.push_back(weight);
      site.elements = cast<RankedTensorType>(weight.getType()).getNumElements();
    }
  });
  // 2. Roles; a weight with several keeps the most sensitive.
  auto raise = [&](WeightOp weight, WeightRole role) {
    if (auto it = sites.find(keyOf(weight)); it != sites.end()) {
      it->second.role = std::max(it->second.role, role);
      if (weight.getParts()) {
        it->second.parts.push_back(role);
      }
    }
  };
  module.walk([&](AttentionOp attention) {
    Trace scores([&](WeightOp weight) { raise(weight, WeightRole::Query); });
    scores.from(attention.getQuery());
    scores.from(attention.getKey());
    Trace([&](WeightOp weight) { raise(weight, WeightRole::Value); }).from(attention.getValue());
  });
  double inner = 0, before = 0;
  for (auto &[key, site] : sites) {
    site.oneRow = llvm::any_of(site.ops, meetsOneRow);
    if (llvm::any_of(site.ops, isBoundary)) {
      site.role = WeightRole::Boundary;
    } else {
      inner += static_cast<double>(site.elements);
    }
  }
  // 3. Depths.
  std::vector<WeightSite> result;
  for (auto &[key, site] : sites) {
    if (site.role != WeightRole::Boundary) {
      site.depth = (before + static_cast<double>(site.elements) / 2) / inner;
      before += static_cast<double>(site.elements);
    }
    result.push_back(std::move(site));
  }
  return result;
}

double activationErrorOf(kernels::WeightFormat format) {
  // A step of the largest of G values over 127 misses each by 1/√12 of a step in the mean, and the
  // group's norm is at least the largest. SmolLM2's rows miss by 0.65 to 0.93 of this.
  return std::sqrt(static_cast<double>(kernels::groupSize(format)) / 12) / 127;
}

double sensitivityOf(const WeightSite &site, double peak) {
  if (site.role == WeightRole::Boundary) {
    return boundaryLoss;
  }
  auto factorOf = [](WeightRole role) {
    return role == WeightRole::Value ? valueFactor : role == WeightRole::Query ? queryFactor : 1;
  };
  double role = factorOf(site.role);
  if (!site.parts.empty()) { // the parts share a format: what they cost together
    role = 0;
    for (WeightRole part : site.parts) {
      role += factorOf(part) / static_cast<double>(site.parts.size());
    }
  }
  double end = site.depth < firstShare || site.depth > 1 - lastShare ? endFactor : 1;
  return innerLoss * role * end * (1 + peak * peak / (peakScale * peakScale));
}

} // namespace ciuic::compress
