// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Grouping ops into kernels. One walk in program order: each op either joins the group of a
// producer or opens one. A group is placed where its last op stands, so it may only hold values
// that nobody outside reads before that point.
#include "passes/Fuse/Passes.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_FORMFUSIONS
#include "passes/Fuse/Passes.h.inc"
} // namespace ciuic

namespace {

struct Group {
  Template kind;
  SmallVector<Operation *> ops;
  RankedTensorType domain; ///< the index space that maps of the group share
};

/// Operands one kernel may have: the runtime passes them by pointer, codegen keeps them in
/// registers.
constexpr size_t maxGroupOperands = 12;

bool isWeight(Value value) {
  Operation *leaf = value.getDefiningOp();
  return leaf && isa<WeightOp, ConstantOp>(leaf);
}

bool reducesLastDimOnly(ReduceOp op) {
  int64_t rank = cast<RankedTensorType>(op.getInput().getType()).getRank();
  return op.getDims().size() == 1 && op.getDims()[0] == rank - 1;
}

/// The template an op opens a group with; nothing for ops that compute nothing (leaves, reshapes).
std::optional<Template> templateOf(Operation *op) {
  return llvm::TypeSwitch<Operation *, std::optional<Template>>(op)
      .Case<MapOp, SliceOp, ExpandOp, DequantiseRowsOp>([](auto) { return Template::flat; })
      .Case<ReduceOp>(
          [](ReduceOp r) { return reducesLastDimOnly(r) ? Template::row : Template::column; })
      .Case<SoftmaxOp, LayerNormOp, RmsNormOp, GroupNormOp, ArgReduceOp>(
          [](auto) { return Template::row; })
      .Case<TransposeOp>([](auto) { return Template::transpose; })
      .Case<GatherOp>([](auto) { return Template::gather; })
      .Case<MatmulOp>([](MatmulOp m) {
        bool packed = isWeight(m.getB()) &&
                      cast<RankedTensorType>(m.getB().getType()).getRank() == 2 &&
                      !m.getTransposeA();
        return packed ? Template::matmul : Template::batch_matmul;
      })
      .Case<ConvOp>([](auto) { return Template::conv; })
      .Case<ConvTransposeOp>([](auto) { return Template::conv_transpose; })
      .Case<PoolOp>([](auto) { return Template::pool; })
      .Case<AttentionOp>([](auto) { return Template::attention; })
      .Case<RopeOp>([](auto) { return Template::rope; })
      .Case<ConcatOp>([](auto) { return Template::concat; })
      .Case<PadOp>([](auto) { return Template::pad; })
      .Case<AppendOp, QuantiseRowsOp>([](auto) { return Template::append; })
      .Case<ResizeOp>([](auto) { return Template::resize; })
      .Case<CumSumOp>([](auto) { return Template::cumsum; })
      .Case<ScatterOp>([](auto) { return Template::scatter; })
      .Default([](Operation *) { return std::nullopt; });
}

bool takesEpilogue(Template kind) {
  return kind == Template::matmul || kind == Template::batch_matmul || kind == Template::conv ||
         kind == Template::conv_transpose;
}

class Grouping {
public:
  explicit Grouping(func::FuncOp function, bool single) : function(function), single(single) {}

  SmallVector<Group> run() {
    for (Operation &op : function.getBody().front()) {
      auto kind = templateOf(&op);
      if (!kind) {
        continue;
      }
      int group = single ? rowsAppendedBy(&op) : joinable(&op, *kind);
      if (group < 0) {
        group = groups.size();
        groups.push_back({*kind, {}, domainOf(&op)});
      }
      groups[group].ops.push_back(&op);
      if (*kind == Template::row) {
        groups[group].kind = Template::row;
      }
      groupOf[&op] = group;
    }
    return std::move(groups);
  }

private:
  static RankedTensorType domainOf(Operation *op) {
    if (auto reduce = dyn_cast<ReduceOp>(op)) {
      return cast<RankedTensorType>(reduce.getInput().getType());
    }
    if (auto arg = dyn_cast<ArgReduceOp>(op)) {
      return cast<RankedTensorType>(arg.getInput().getType());
    }
    return cast<RankedTensorType>(op->getResult(0).getType());
  }

  /// Whether every use of the group's values lies in the group or after `op`: then the group can
  /// stand at `op`.
  bool canMoveTo(const Group &group, Operation *op) {
    for (Operation *member : group.ops) {
      for (Operation *user : member->getUsers()) {
        while (user->getBlock() != op->getBlock()) {
          user = user->getParentOp();
        }
        if (user != op && !llvm::is_contained(group.ops, user) && user->isBeforeInBlock(op)) {
          return false;
        }
      }
    }
    return true;
  }

  /// Reads of group values by `op` must be at the same index (or, in a row group, at the same row).
  bool readsAligned(Operation *op, const Group &group, int index) {
    auto map = dyn_cast<MapOp>(op);
    for (auto [i, operand] : llvm::enumerate(op->getOperands())) {
      Operation *producer = operand.getDefiningOp();
      if (!producer || groupOf.lookup_or(producer, -1) != index) {
        continue;
      }
      if (!map) {
        // A row op over a value of the group: the value must have the group's full extents.
        if (cast<RankedTensorType>(operand.getType()) != group.domain &&
            !sameDims(dimsOf(operand), dimsOf(group.domain))) {
          return false;
        }
        continue;
      }
      AffineMap access = map.getMap(i);
      unsigned rank = access.getNumDims();
      bool reduced = !sameDims(dimsOf(operand), dimsOf(group.domain));
      for (unsigned d = 0; d < access.getNumResults(); ++d) {
        auto dim = dyn_cast<AffineDimExpr>(access.getResult(d));
        auto constant = dyn_cast<AffineConstantExpr>(access.getResult(d));
        auto extent = dyn_cast<AffineConstantExpr>(dimsOf(operand)[d]);
        bool unit = extent && extent.getValue() == 1 && constant && constant.getValue() == 0;
        if (!(dim && dim.getPosition() == d) &&
            !(unit && (reduced || rank == access.getNumResults()))) {
          return false;
        }
      }
      if (access.getNumResults() != rank) {
        return false;
      }
    }
    return true;
  }

  size_t operandsWith(const Group &group, Operation *op) {
    llvm::SmallPtrSet<Value, 16> outside;
    auto add = [&](Operation *member) {
      for (Value operand : member->getOperands()) {
        Operation *producer = operand.getDefiningOp();
        if (!producer || (producer != op && !llvm::is_contained(group.ops, producer))) {
          outside.insert(operand);
        }
      }
    };
    llvm::for_each(group.ops, add);
    add(op);
    return outside.size();
  }

  /// The group of the rows that `op` appends, if it does and they are quantised for that; else −1.
  int rowsAppendedBy(Operation *op) {
    auto append = dyn_cast<AppendOp>(op);
    auto rows = append ? append.getFresh().getDefiningOp<QuantiseRowsOp>() : QuantiseRowsOp();
    return rows && rows->hasOneUse() ? groupOf.lookup_or(rows, -1) : -1;
  }

  /// The group that `op` may join, or −1. Later producers first: their group ends closest to `op`.
  int joinable(Operation *op, Template kind) {
    if (isa<AppendOp>(op)) {
      return rowsAppendedBy(op);
    }
    if (kind != Template::flat && kind != Template::row) {
      return -1;
    }
    if (isa<SliceOp, ExpandOp, DequantiseRowsOp>(op)) {
      return -1;
    }
    SmallVector<int> candidates;
    for (Value operand : op->getOperands()) {
      if (Operation *producer = operand.getDefiningOp()) {
        int index = groupOf.lookup_or(producer, -1);
        if (index >= 0 && !llvm::is_contained(candidates, index)) {
          candidates.push_back(index);
        }
      }
    }
    llvm::sort(candidates, std::greater<int>());
    for (int index : candidates) {
      Group &group = groups[index];
      bool sameSpace = sameDims(dimsOf(domainOf(op)), dimsOf(group.domain));
      bool rowScalar = group.kind == Template::row && isa<MapOp>(op) &&
                       isRowScalarSpace(domainOf(op), group.domain);
      if (!(sameSpace || rowScalar) || !canMoveTo(group, op) || !readsAligned(op, group, index) ||
          operandsWith(group, op) > maxGroupOperands) {
        continue;
      }
      bool mapsOnly = llvm::all_of(group.ops, llvm::IsaPred<MapOp>);
      bool epilogue = takesEpilogue(group.kind) && isa<MapOp>(op);
      bool rows = group.kind == Template::row ||
                  (mapsOnly && group.kind == Template::flat && kind == Template::row);
      bool maps = mapsOnly && group.kind == Template::flat && isa<MapOp>(op);
      if (epilogue || rows || maps) {
        return index;
      }
    }
    return -1;
  }

  /// The domain with extent 1 at the last dim.
  static bool isRowScalarSpace(RankedTensorType type, RankedTensorType domain) {
    auto own = dimsOf(type), full = dimsOf(domain);
    auto last = own.empty() ? AffineConstantExpr() : dyn_cast<AffineConstantExpr>(own.back());
    return own.size() == full.size() && last && last.getValue() == 1 &&
           sameDims(ArrayRef(own).drop_back(), ArrayRef(full).drop_back());
  }

  func::FuncOp function;
  bool single;
  SmallVector<Group> groups;
  llvm::DenseMap<Operation *, int> groupOf;
};

/// Replaces a group by a fusion at the place of its last op.
void build(const Group &group) {
  Operation *last = group.ops.back();
  OpBuilder b(last);
  SmallVector<Value> inputs, outputs;
  for (Operation *op : group.ops) {
    for (Value operand : op->getOperands()) {
      Operation *producer = operand.getDefiningOp();
      if ((!producer || !llvm::is_contained(group.ops, producer)) &&
          !llvm::is_contained(inputs, operand)) {
        inputs.push_back(operand);
      }
    }
    for (Value result : op->getResults()) {
      if (llvm::any_of(result.getUsers(),
                       [&](Operation *user) { return !llvm::is_contained(group.ops, user); })) {
        outputs.push_back(result);
      }
    }
  }
  SmallVector<Location> locations =
      llvm::map_to_vector(group.ops, [](Operation *op) { return op->getLoc(); });
  // The name of the first op (the structured one, where there is one) locates the kernel for the
  // user.
  auto fusion =
      FusionOp::create(b, locations.front(), ValueRange(outputs).getTypes(), group.kind, inputs);
  Block *body = b.createBlock(&fusion.getBody(), {}, ValueRange(inputs).getTypes(),
                              SmallVector<Location>(inputs.size(), locations.front()));
  IRMapping mapping;
  mapping.map(inputs, body->getArguments());
  b.setInsertionPointToStart(body);
  for (Operation *op : group.ops) {
    b.clone(*op, mapping);
  }
  YieldOp::create(b, locations.front(),
                  llvm::map_to_vector(outputs, [&](Value v) { return mapping.lookup(v); }));
  for (auto [output, result] : llvm::zip(outputs, fusion.getResults())) {
    output.replaceAllUsesWith(result);
  }
  for (Operation *op : llvm::reverse(group.ops)) {
    op->erase();
  }
}

/// A result that no op computes (an argument, a weight, or what another result already is) gets a
/// copy of its own: each model output is a buffer.
void copyUncomputedResults(func::FuncOp function) {
  Operation *terminator = function.getBody().front().getTerminator();
  llvm::SmallPtrSet<Value, 8> taken;
  for (auto [i, operand] : llvm::enumerate(terminator->getOpOperands())) {
    if (function.getResultAttr(i, "graph.state")) {
      continue;
    }
    Value base = operand.get();
    while (auto reshape = base.getDefiningOp<ReshapeOp>()) {
      base = reshape.getInput();
    }
    Operation *producer = base.getDefiningOp();
    bool computed = producer && (isa<FusionOp>(producer) || templateOf(producer));
    if (auto append = dyn_cast_or_null<AppendOp>(producer)) {
      auto past = dyn_cast<BlockArgument>(append.getPast());
      computed = !(past && function.getArgAttr(past.getArgNumber(), "graph.state"));
    }
    if (computed && taken.insert(base).second) {
      continue;
    }
    OpBuilder b(terminator);
    SmallVector<Type> types{operand.get().getType()};
    SmallVector<Value> inputs{operand.get()};
    auto identity = b.getMultiDimIdentityMap(cast<RankedTensorType>(types[0]).getRank());
    auto copy = MapOp::create(
        b, function.getLoc(), types, inputs, {identity},
        [](OpBuilder &, Location, ValueRange scalars) { return SmallVector<Value>(scalars); });
    operand.set(copy.getResult(0));
  }
}

struct FormFusionsPass : ciuic::impl::FormFusionsBase<FormFusionsPass> {
  using Base::Base;
  void runOnOperation() override {
    copyUncomputedResults(getOperation());
    for (const Group &group : Grouping(getOperation(), single).run()) {
      build(group);
    }
  }
};

} // namespace
