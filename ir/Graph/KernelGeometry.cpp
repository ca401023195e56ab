// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Units and scratch of kernels: see KernelGeometry.h.
#include "ir/Graph/KernelGeometry.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace ciuic::graph {

AffineExpr FlatSpace::inner(MLIRContext *context) const {
  return productOf(ArrayRef(dims).drop_front(dims.empty() ? 0 : merged), context);
}

// Whether an operand read through `map` sees dims [first, rank) of the space as one dense run, or
// not at all.
static bool readsRunDensely(AffineMap map, RankedTensorType operand, ArrayRef<AffineExpr> dims,
                            unsigned first) {
  SmallVector<unsigned> run;
  for (unsigned d = first; d < dims.size(); ++d) {
    if (!isOne(dims[d])) {
      run.push_back(d);
    }
  }
  bool used = llvm::any_of(run, [&](unsigned d) {
    return llvm::any_of(map.getResults(), [&](AffineExpr e) { return e.isFunctionOfDim(d); });
  });
  if (!used) {
    return true;
  }
  SmallVector<AffineExpr> extents = dimsOf(operand);
  size_t at = map.getNumResults();
  for (unsigned d : llvm::reverse(run)) {
    while (at > 0 && isOne(extents[at - 1])) {
      --at;
    }
    if (at == 0 || map.getResult(at - 1) != getAffineDimExpr(d, map.getContext()) ||
        !sameDim(extents[at - 1], dims[d])) {
      return false;
    }
    --at;
  }
  return llvm::none_of(run, [&](unsigned d) {
    return llvm::any_of(map.getResults().take_front(at),
                        [&](AffineExpr e) { return e.isFunctionOfDim(d); });
  });
}

FlatSpace flatSpaceOf(Block &body) {
  FlatSpace space;
  auto yield = cast<YieldOp>(body.getTerminator());
  if (yield.getValues().empty()) {
    return space;
  }
  space.dims = dimsOf(yield.getValues().front());
  if (space.dims.empty()) {
    return space;
  }
  unsigned rank = space.dims.size();
  space.merged = rank - 1;
  bool mapsOnly = llvm::all_of(body.without_terminator(), [&](Operation &op) {
    return isa<ConstantOp>(op) ||
           (isa<MapOp>(op) && sameDims(dimsOf(cast<MapOp>(op).getResult(0)), space.dims));
  });
  if (!mapsOnly) {
    return space;
  }
  auto mergesFrom = [&](unsigned first) {
    for (auto map : body.getOps<MapOp>()) {
      for (auto [i, operand] : llvm::enumerate(map.getInputs())) {
        if (!readsRunDensely(map.getMap(i), cast<RankedTensorType>(operand.getType()), space.dims,
                             first)) {
          return false;
        }
        // A buffer with strides of its own, or a constant, is not one dense run.
        auto argument = dyn_cast<BlockArgument>(operand);
        if (argument ? hasPhysicalExtents(body, argument.getArgNumber())
                     : bool(operand.getDefiningOp<ConstantOp>())) {
          return false;
        }
      }
      for (auto index : map.getBody().getOps<IndexOp>()) {
        if (static_cast<unsigned>(index.getDim()) >= first && !isOne(space.dims[index.getDim()])) {
          return false;
        }
      }
    }
    return true;
  };
  while (space.merged > 0 && mergesFrom(space.merged - 1)) {
    --space.merged;
  }
  return space;
}

bool hasPhysicalExtents(Block &body, unsigned argument) {
  auto kernel = dyn_cast<KernelOp>(body.getParentOp());
  ArrayAttr attrs = kernel ? kernel.getArgAttrsAttr() : ArrayAttr();
  return attrs && argument < attrs.size() &&
         cast<DictionaryAttr>(attrs[argument]).contains("graph.physical");
}

std::optional<ReduceSpace> reduceSpaceOf(Block &body) {
  std::optional<ReduceSpace> space;
  bool consistent = true;
  auto add = [&](Value input, ArrayRef<int64_t> dims) {
    ReduceSpace one{dimsOf(input), {}};
    one.reduced.assign(one.dims.size(), false);
    for (int64_t d : dims) {
      one.reduced[d] = true;
    }
    consistent &= !space || (space->reduced == one.reduced && sameDims(space->dims, one.dims));
    space = std::move(one);
  };
  for (Operation &op : body) {
    if (auto reduce = dyn_cast<ReduceOp>(op)) {
      add(reduce.getInput(), reduce.getDims());
    } else if (isa<SoftmaxOp, LayerNormOp, RmsNormOp, ArgReduceOp>(op)) {
      add(op.getOperand(0), {cast<RankedTensorType>(op.getOperand(0).getType()).getRank() - 1});
    } else if (auto norm = dyn_cast<GroupNormOp>(op)) {
      add(norm.getInput(), norm.getReducedDims());
    }
  }
  return consistent ? space : std::nullopt;
}

static bool isTranscendental(MapOp map) {
  bool found = false;
  map.getBody().walk([&](Operation *op) {
    found |= isa<math::ExpOp, math::Exp2Op, math::ExpM1Op, math::LogOp, math::Log1pOp, math::TanhOp,
                 math::ErfOp, math::PowFOp, math::SinOp, math::CosOp>(op);
  });
  return found;
}

bool isBuffered(Value value, const ReduceSpace &space) {
  auto map = value.getDefiningOp<MapOp>();
  if (!map || !isTranscendental(map) || !sameDims(dimsOf(value), space.dims) ||
      !isa<FloatType>(cast<RankedTensorType>(value.getType()).getElementType()) ||
      cast<RankedTensorType>(value.getType()).getElementTypeBitWidth() > 32) {
    return false;
  }
  bool reduced = false;
  unsigned uses = 0;
  for (Operation *user : value.getUsers()) {
    reduced |= isa<ReduceOp, ArgReduceOp, SoftmaxOp, LayerNormOp, RmsNormOp, GroupNormOp>(user);
    ++uses;
  }
  return reduced && uses > 1;
}

std::optional<unsigned> appendedArgument(Block &body, unsigned number) {
  auto append = body.getTerminator()->getOperand(number).getDefiningOp<AppendOp>();
  auto past = append ? dyn_cast<BlockArgument>(append.getPast()) : BlockArgument();
  return past && past.getOwner() == &body ? std::optional(past.getArgNumber()) : std::nullopt;
}

static SmallVector<AffineExpr> keptDims(const ReduceSpace &space) {
  SmallVector<AffineExpr> kept;
  for (auto [dim, reduced] : llvm::zip(space.dims, space.reduced)) {
    if (!reduced) {
      kept.push_back(dim);
    }
  }
  return kept;
}

FailureOr<AffineExpr> gridOf(Template kind, Block &body) {
  MLIRContext *context = body.getParentOp()->getContext();
  auto yield = cast<YieldOp>(body.getTerminator());
  if (yield.getValues().empty()) {
    return failure();
  }
  SmallVector<AffineExpr> dims = dimsOf(yield.getValues().front());
  auto outer = [&](ArrayRef<AffineExpr> all) {
    return productOf(all.empty() ? all : all.drop_back(), context);
  };
  switch (kind) {
  case Template::flat:
  case Template::copy:
  case Template::gather: {
    FlatSpace space = flatSpaceOf(body);
    return productOf(ArrayRef(space.dims).take_front(space.merged), context) *
           space.inner(context).ceilDiv(flatChunk);
  }
  case Template::row: {
    std::optional<ReduceSpace> space = reduceSpaceOf(body);
    if (!space || !space->isRow()) {
      return failure();
    }
    return productOf(keptDims(*space), context);
  }
  case Template::column: {
    std::optional<ReduceSpace> space = reduceSpaceOf(body);
    if (!space || space->isRow()) {
      return failure();
    }
    SmallVector<AffineExpr> kept = keptDims(*space);
    AffineExpr inner = kept.pop_back_val();
    return productOf(kept, context) * inner.ceilDiv(columnChunk);
  }
  case Template::transpose: {
    auto transpose = dyn_cast<TransposeOp>(&body.front());
    if (!transpose || dims.empty()) {
      return failure();
    }
    // The operand's last dim: tiles run along it unless it stays last.
    int64_t last = dims.size() - 1, position = llvm::find(transpose.getPermutation(), last) -
                                               transpose.getPermutation().begin();
    SmallVector<AffineExpr> units = dims;
    units.pop_back();
    if (position != last) {
      units[position] = units[position].ceilDiv(transposeChunk);
    }
    return productOf(units, context);
  }
  case Template::append: {
    auto append = dyn_cast<AppendOp>(&body.front());
    if (!append) {
      return failure();
    }
    return hasPhysicalExtents(body, 0) ? outer(dimsOf(append.getFresh())) : outer(dims);
  }
  case Template::heads: {
    AffineExpr units = getAffineConstantExpr(0, context);
    for (Value value : yield.getValues()) {
      auto append = value.getDefiningOp<AppendOp>();
      units = units + outer(dimsOf(append ? append.getFresh() : value));
    }
    return units;
  }
  case Template::concat:
  case Template::pad:
  case Template::resize:
  case Template::rope:
    return outer(dims);
  case Template::cumsum: {
    auto scan = dyn_cast<CumSumOp>(&body.front());
    if (!scan) {
      return failure();
    }
    SmallVector<AffineExpr> units = dims;
    units.erase(units.begin() + scan.getAxis());
    return productOf(units, context);
  }
  case Template::scatter:
    // Later updates win over earlier ones, and over the copy: one unit.
    return getAffineConstantExpr(1, context);
  default:
    return failure();
  }
}

FailureOr<int64_t> scratchBytesOf(Template kind, Block &body, const Bounds &bounds) {
  if (kind != Template::row) {
    return int64_t(0);
  }
  std::optional<ReduceSpace> space = reduceSpaceOf(body);
  if (!space) {
    return failure();
  }
  int64_t buffers = 0;
  for (Operation &op : body) {
    auto softmax = dyn_cast<SoftmaxOp>(op);
    buffers += softmax && !softmax.getLog();
    for (Value result : op.getResults()) {
      buffers += isBuffered(result, *space);
    }
  }
  if (buffers == 0) {
    return int64_t(0);
  }
  int64_t elements = 1;
  for (auto [dim, reduced] : llvm::zip(space->dims, space->reduced)) {
    if (!reduced) {
      continue;
    }
    std::optional<int64_t> upper = intervalOf(dim, bounds).upper;
    if (!upper || *upper < 0 ||
        __builtin_mul_overflow(elements, std::max<int64_t>(*upper, 1), &elements) ||
        elements > int64_t(1) << 40) {
      return failure();
    }
  }
  return buffers * ((elements * 4 + 63) / 64 * 64);
}

} // namespace ciuic::graph
