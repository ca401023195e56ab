// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the importers of attention operators share: where heads lie, masks, caches that grow,
// rotary tables. ONNX's and com.microsoft's operators differ in how they say these and not in what
// they compute.
#pragma once
#include "passes/Legalize/Importer.h"

namespace ciuic::legalize {

/// A query, key or value with four dims and where its heads are.
struct Heads {
  mlir::Value value;
  graph::HeadLayout layout = graph::HeadLayout::bhsd;

  bool headsFirst() const { return layout == graph::HeadLayout::bhsd; }
  mlir::AffineExpr dim(unsigned i) const { return graph::dimsOf(value)[i]; }
  mlir::AffineExpr batch() const { return dim(0); }
  mlir::AffineExpr sequence() const { return dim(headsFirst() ? 2 : 1); }
  mlir::AffineExpr heads() const { return dim(headsFirst() ? 1 : 2); }
  mlir::AffineExpr width() const { return dim(3); }
};

/// [batch, heads, sequence, width], or [batch, sequence, heads · width] taken apart.
mlir::FailureOr<Heads> headsOf(Node &node, mlir::Value x, int64_t heads);

/// Puts the cache of input `pastInput`, where there is one, in front of `x` along the sequence, and
/// gives the whole as result number `result`: [batch, heads, sequence, width] whatever came in.
/// `past` becomes the cache's extent.
mlir::LogicalResult extendPast(Node &node, Heads &x, unsigned pastInput, unsigned result,
                               mlir::AffineExpr &past);

/// The additive f32 mask that a mask input stands for, with four dims. It broadcasts to `full`:
/// batch, heads, queries, keys.
mlir::FailureOr<mlir::Value> additiveMask(Node &node, Tensor &mask,
                                          llvm::ArrayRef<mlir::AffineExpr> full);

/// −∞ where key j lies beyond query i + `shift`, and with a `window` also where it lies more than
/// so many keys before.
mlir::Value causalMask(Node &node, mlir::AffineExpr queries, mlir::AffineExpr keys,
                       mlir::AffineExpr shift, std::optional<int64_t> window = std::nullopt);

/// The sum of two masks, either of which may be none.
mlir::FailureOr<mlir::Value> addMasks(Node &node, mlir::Value a, mlir::Value b);

/// Attention over whole keys and values.
struct AttentionParts {
  Heads query, key, value;
  mlir::Value mask = {};                      ///< additive, four dims, or none
  bool causal = false;                        ///< query i sees keys up to i + `past`
  mlir::AffineExpr past = {};                 ///< keys before the queries' own
  mlir::AffineExpr fresh = {};                ///< keys behind those
  std::optional<double> scale = std::nullopt; ///< else 1 / √width
};

/// Whether heads and extents fit each other; makes dims agree that are not known to.
mlir::LogicalResult checkHeads(Node &node, const AttentionParts &parts);

/// The result in the query's layout, with the dims merged again if `merge`. After checkHeads.
mlir::FailureOr<mlir::Value> buildAttention(Node &node, AttentionParts &parts, bool merge);

/// The table that a cache of cos or sin stands for, for a sequence: [batch or 1, sequence, part].
/// `positions` chooses rows of a two-dimensional cache; without, the cache is [batch, sequence, …].
mlir::FailureOr<mlir::Value> rotaryTable(Node &node, Tensor &cache, mlir::Value positions,
                                         const Heads &x, int64_t part, bool interleaved);

/// Positions `first` + 0, 1, … of a sequence, as [1, sequence].
mlir::Value positionsFrom(Node &node, mlir::AffineExpr first, mlir::AffineExpr sequence);

/// `x` with the first `part` values of each head rotated.
Heads rotate(Node &node, const Heads &x, mlir::Value cos, mlir::Value sin, int64_t part,
             bool interleaved);

graph::HeadLayoutAttr layoutAttr(Node &node, graph::HeadLayout layout);

} // namespace ciuic::legalize
