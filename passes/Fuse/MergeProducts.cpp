// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products of one operand become one. Groups are found function by function; a group is merged only
// where every use of its weights, in any entry, is in an equal group, so that each weight is still
// stored once, and where one of these products has few rows: more rows take so long that launches
// do not count, and a vendor's product wants all of a weight at once. Two products that maps make
// one value of (a gate and what it gates) are interleaved by panels, so that a kernel of few rows
// holds both elements when it computes the maps; other products lie side by side, as the heads that
// they are read as, and so do the vectors that maps add to them.
#include "passes/Fuse/Passes.h"

#include "ir/Graph/MergedWeight.h"
#include "kernels/cuda/Catalog.h"

#include "mlir/IR/OperationSupport.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

#include <utility>

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_MERGEPRODUCTS
#include "passes/Fuse/Passes.h.inc"
} // namespace ciuic

namespace {

Attribute keyOf(WeightOp weight) {
  return ArrayAttr::get(weight.getContext(), {weight.getFileAttr(), weight.getOffsetAttr(),
                                              TypeAttr::get(weight.getType())});
}

WeightOp weightOf(MatmulOp product) { return product.getB().getDefiningOp<WeightOp>(); }

int64_t columnsOf(MatmulOp product) {
  auto shape = cast<RankedTensorType>(product.getB().getType()).getShape();
  return shape[product.getTransposeB() ? 0 : 1];
}

/// The stored vector (a weight, or a constant where it is small) that a map reads by columns, if
/// input number `input` is one.
Value vectorOf(MapOp map, unsigned input) {
  Value value = map.getInputs()[input];
  AffineMap access = map.getMap(input);
  auto weight = value.getDefiningOp<WeightOp>();
  auto constant = value.getDefiningOp<ConstantOp>();
  bool byColumns =
      ((weight && !weight.getParts()) ||
       (constant && isa<DenseElementsAttr>(constant.getValue()))) &&
      access.getNumResults() == 1 && access.getNumDims() > 0 &&
      access.getResult(0) == getAffineDimExpr(access.getNumDims() - 1, map.getContext());
  return byColumns ? value : Value();
}

/// The map of a product and one stored vector that alone reads the product, as a bias does; none
/// where there is no such.
MapOp biasOf(MatmulOp product) {
  auto map = product->hasOneUse() ? dyn_cast<MapOp>(*product->user_begin()) : MapOp();
  if (!map || map.getInputs().size() != 2 || map->getNumResults() != 1 ||
      map.getResult(0).getType() != product.getType() || !map.getBody().getOps<IndexOp>().empty()) {
    return {};
  }
  const unsigned own = map.getInputs()[0] == product.getResult() ? 0 : 1;
  return map.getMap(own).isIdentity() && vectorOf(map, 1 - own) ? map : MapOp();
}
Value biasVectorOf(MapOp bias) {
  Value first = vectorOf(bias, 0);
  return first ? first : vectorOf(bias, 1);
}
/// Whether two such maps, or none, compute the same of their operands.
bool areAlike(MapOp a, MapOp b) {
  return !a || !b
             ? !a && !b
             : !vectorOf(a, 0) == !vectorOf(b, 0) &&
                   isa<WeightOp>(biasVectorOf(a).getDefiningOp()) ==
                       isa<WeightOp>(biasVectorOf(b).getDefiningOp()) &&
                   getElementTypeOrSelf(biasVectorOf(a)) == getElementTypeOrSelf(biasVectorOf(b)) &&
                   OperationEquivalence::isRegionEquivalentTo(
                       &a.getBody(), &b.getBody(), OperationEquivalence::IgnoreLocations);
}

struct Group {
  SmallVector<MatmulOp> products;
  SmallVector<MapOp> maps; ///< that make one value of a pair; none: they lie side by side
  bool biased = false;     ///< side by side, each behind `biasOf` it

  /// What the products' biases add, in their order.
  SmallVector<Operation *> vectors() {
    return llvm::map_to_vector(
        biased ? ArrayRef<MatmulOp>(products) : ArrayRef<MatmulOp>(),
        [](MatmulOp product) { return biasVectorOf(biasOf(product)).getDefiningOp(); });
  }

  /// All stored tensors that merging replaces by one of their kind.
  SmallVector<WeightOp> weights() {
    SmallVector<WeightOp> all = llvm::map_to_vector(products, weightOf);
    for (Operation *vector : vectors()) {
      if (auto weight = dyn_cast<WeightOp>(vector)) {
        all.push_back(weight);
      }
    }
    return all;
  }

  Attribute signature() {
    SmallVector<Attribute> parts = llvm::map_to_vector(weights(), keyOf);
    for (Operation *vector : vectors()) {
      if (auto constant = dyn_cast<ConstantOp>(vector)) {
        parts.push_back(constant.getValue());
      }
    }
    parts.push_back(BoolAttr::get(products.front()->getContext(), !maps.empty()));
    return ArrayAttr::get(products.front()->getContext(), parts);
  }
};

/// Whether a product is a matrix-vector product at its bounds.
bool hasFewRows(MatmulOp product) {
  Bounds bounds = boundsOf(product->getParentOfType<func::FuncOp>());
  SmallVector<AffineExpr> dims = dimsOf(product.getA());
  Interval rows = intervalOf(productOf(ArrayRef(dims).drop_back(), product->getContext()), bounds);
  return rows.upper && *rows.upper <= ciuic::kernels::cuda::kGemvRows;
}

/// The maps that make one value of both products, each element of one of each and of stored
/// vectors, and that alone read them: in program order, the value's last. Empty where there are
/// none.
SmallVector<MapOp> mapsOfPair(MatmulOp a, MatmulOp b) {
  if (columnsOf(a) != columnsOf(b) || columnsOf(a) % kInterleave != 0 ||
      a.getType() != b.getType()) {
    return {};
  }
  SmallVector<AffineExpr> dims = dimsOf(a.getResult());
  llvm::SetVector<Value> values;
  values.insert(a.getResult());
  values.insert(b.getResult());
  SmallVector<MapOp> maps;
  for (bool grown = true; std::exchange(grown, false);) {
    for (size_t i = 0; i < values.size(); ++i) {
      for (Operation *user : values[i].getUsers()) {
        auto map = dyn_cast<MapOp>(user);
        bool joins =
            map && !llvm::is_contained(maps, map) && map->getNumResults() == 1 &&
            sameDims(dimsOf(map.getResult(0)), dims) && map.getBody().getOps<IndexOp>().empty() &&
            llvm::all_of(llvm::enumerate(map.getInputs()), [&](auto input) {
              return values.contains(input.value()) ? map.getMap(input.index()).isIdentity()
                                                    : bool(vectorOf(map, input.index()));
            });
        if (joins) {
          maps.push_back(map);
          values.insert(map.getResult(0));
          grown = true; // maps may have waited for this one
        }
      }
    }
  }
  llvm::sort(maps, [](MapOp x, MapOp y) { return x->isBeforeInBlock(y); });
  auto staysInside = [&](Value value) {
    return !value.use_empty() && llvm::all_of(value.getUsers(), [&](Operation *user) {
      return llvm::is_contained(maps, dyn_cast<MapOp>(user));
    });
  };
  bool closed = !maps.empty() && llvm::all_of(values, [&](Value value) {
    return value == maps.back().getResult(0) || staysInside(value);
  });
  return closed ? maps : SmallVector<MapOp>();
}

/// Where what moves a product's elements leads.
enum class Fate {
  Moved,     ///< into rotations and appends, which read it where it lies
  Attention, ///< into an attention, which wants it apart
  Other
};
Fate fateOf(Value value, bool isRoot = true) {
  Fate fate = Fate::Moved;
  for (OpOperand &use : value.getUses()) {
    Operation *user = use.getOwner();
    Fate own = Fate::Other;
    if (isa<ReshapeOp>(user) || (!isRoot && isa<TransposeOp, QuantiseRowsOp>(user))) {
      own = fateOf(user->getResult(0), false);
    } else if (!isRoot && ((isa<RopeOp>(user) && use.getOperandNumber() == 0) ||
                           (isa<AppendOp>(user) && use.getOperandNumber() == 1))) {
      own = Fate::Moved;
    } else if (!isRoot && isa<AttentionOp>(user)) {
      own = Fate::Attention;
    }
    fate = std::max(fate, own);
  }
  return fate;
}

/// What must agree of how weights are stored: nothing, or how integers stand in blocks.
Attribute formOf(WeightOp weight) {
  Builder b(weight.getContext());
  BlocksAttr blocks = weight.getBlocksAttr();
  return blocks
             ? Attribute(b.getArrayAttr(
                   {b.getI64IntegerAttr(blocks.getBits()), b.getI64IntegerAttr(blocks.getSize()),
                    b.getI64IntegerAttr(blocks.getDepth()), b.getStringAttr(blocks.getPart()),
                    b.getStringAttr(blocks.getFormat()), b.getBoolAttr(bool(blocks.getZeros()))}))
             : b.getUnitAttr();
}

/// The groups of a function, in program order.
SmallVector<Group> groupsOf(func::FuncOp function) {
  // Of one operand, one way of storing, one depth and one result type but for its columns.
  llvm::MapVector<std::pair<Value, Attribute>, SmallVector<MatmulOp>> alike;
  Builder b(function.getContext());
  for (auto product : function.getOps<MatmulOp>()) {
    WeightOp weight = weightOf(product);
    auto type = cast<RankedTensorType>(product.getB().getType());
    if (!weight || weight.getParts() || type.getRank() != 2 || product.getTransposeA()) {
      continue;
    }
    Attribute kind = b.getArrayAttr(
        {b.getBoolAttr(product.getTransposeB()), TypeAttr::get(type.getElementType()),
         TypeAttr::get(cast<RankedTensorType>(product.getType()).getElementType()),
         formOf(weight)});
    alike[{product.getA(), kind}].push_back(product);
  }
  SmallVector<Group> groups;
  for (auto &[key, products] : alike) {
    SmallVector<MatmulOp> rest;
    for (size_t i = 0; i < products.size(); ++i) {
      SmallVector<MapOp> maps;
      if (i + 1 < products.size() && weightOf(products[i]) != weightOf(products[i + 1])) {
        maps = mapsOfPair(products[i], products[i + 1]);
      }
      if (!maps.empty()) {
        groups.push_back({{products[i], products[i + 1]}, maps});
        ++i;
      } else {
        rest.push_back(products[i]);
      }
    }
    // What an attention reads apart is one copy; more would cost what merging saves. All have a
    // bias, of one kind, or none has.
    llvm::SmallPtrSet<Attribute, 4> seen;
    SmallVector<MatmulOp> kept;
    bool allowCopy = true;
    int64_t constantBytes = 0;
    for (MatmulOp product : rest) {
      MapOp bias = biasOf(product);
      if (auto constant = bias ? biasVectorOf(bias).getDefiningOp<ConstantOp>() : ConstantOp()) {
        constantBytes += columnsOf(product) * elementBytes(getElementTypeOrSelf(constant));
      }
      Value value = bias ? bias.getResult(0) : product.getResult();
      Fate fate = fateOf(value);
      bool keep = !value.use_empty() && fate != Fate::Other && (fate == Fate::Moved || allowCopy) &&
                  (kept.empty() || areAlike(biasOf(kept.front()), bias)) &&
                  constantBytes <= ConstantOp::maxBytes &&
                  seen.insert(keyOf(weightOf(product))).second;
      if (keep) {
        allowCopy &= fate == Fate::Moved;
        kept.push_back(product);
      }
    }
    if (kept.size() > 1) {
      groups.push_back({kept, {}, /*biased=*/bool(biasOf(kept.front()))});
    }
  }
  return groups;
}

class Merging {
public:
  explicit Merging(Group &group)
      : group(group), first(group.products.front()), b(first), loc(first.getLoc()) {
    SmallVector<AffineExpr> dims = dimsOf(first.getResult());
    lead.assign(dims.begin(), dims.end() - 1);
    for (MatmulOp product : group.products) {
      columns += columnsOf(product);
    }
    element = cast<RankedTensorType>(first.getType()).getElementType();
  }

  void run() {
    auto type = cast<RankedTensorType>(first.getB().getType());
    SmallVector<int64_t> shape(type.getShape());
    shape[first.getTransposeB() ? 0 : 1] = columns;
    Value weight = merged(llvm::map_to_vector(group.products, weightOf), type.clone(shape));
    if (!group.maps.empty()) {
      pair(weight);
    } else {
      sideBySide(weight);
    }
  }

private:
  RankedTensorType typeOf(ArrayRef<int64_t> inner) {
    SmallVector<AffineExpr> dims(lead);
    for (int64_t extent : inner) {
      dims.push_back(b.getAffineConstantExpr(extent));
    }
    return tensorOf(dims, element);
  }

  Value merged(ArrayRef<WeightOp> weights, RankedTensorType type) {
    std::string name;
    SmallVector<int64_t> parts;
    SmallVector<Attribute> scales, zeros;
    int64_t bytes = 0;
    for (WeightOp weight : weights) {
      name += (name.empty() ? "" : " + ") + weight.getName().str();
      int64_t own = weight.getBytes();
      parts.append(
          {static_cast<int64_t>(weight.getFile()), static_cast<int64_t>(weight.getOffset()), own});
      bytes += own;
      if (BlocksAttr blocks = weight.getBlocksAttr()) {
        scales.push_back(blocks.getScales());
        if (blocks.getZeros()) {
          zeros.push_back(blocks.getZeros());
        }
      }
    }
    WeightOp lead = weights.front();
    auto made = WeightOp::create(b, lead.getLoc(), type, name, lead.getFile(), lead.getOffset(),
                                 bytes, PackingAttr());
    made.setPartsAttr(b.getDenseI64ArrayAttr(parts));
    made.setInterleaved(!group.maps.empty());
    if (BlocksAttr blocks = lead.getBlocksAttr()) {
      made.setBlocksAttr(
          BlocksAttr::get(b.getContext(), blocks.getBits(), blocks.getSize(), blocks.getDepth(),
                          blocks.getPart(), b.getArrayAttr(scales),
                          zeros.empty() ? Attribute() : b.getArrayAttr(zeros), blocks.getFormat()));
    }
    return made.getResult();
  }

  Value product(OpBuilder &at, Value a, Value weight) {
    return MatmulOp::create(at, loc, typeOf(columns), a, weight, false, first.getTransposeB());
  }

  /// Each product's columns as a slice: of heads, where it is read as heads of one width, so that
  /// what rotates and appends them can read them where they lie.
  void sideBySide(Value weight) {
    Value all = product(b, first.getA(), weight);
    all = group.biased ? biased(all) : all;
    int64_t width = headWidth();
    Value view = ReshapeOp::create(b, loc, typeOf({columns / width, width}), all);
    int64_t offset = 0;
    for (MatmulOp old : group.products) {
      int64_t own = columnsOf(old);
      Operation *last = lastOf(old);
      SmallVector<AffineExpr> offsets(lead.size() + 2, b.getAffineConstantExpr(0));
      offsets[lead.size()] = b.getAffineConstantExpr(offset / width);
      SmallVector<int64_t> steps(lead.size() + 2, 1);
      b.setInsertionPoint(last);
      Value slice =
          SliceOp::create(b, old.getLoc(), typeOf({own / width, width}), view,
                          AffineMap::get(0, 0, offsets, b.getContext()), ArrayRef<int64_t>(steps));
      for (Operation *user : llvm::make_early_inc_range(last->getUsers())) {
        auto reshape = cast<ReshapeOp>(user);
        b.setInsertionPoint(reshape);
        Value seen = reshape.getType() == slice.getType()
                         ? slice
                         : ReshapeOp::create(b, reshape.getLoc(), reshape.getType(), slice);
        reshape.getResult().replaceAllUsesWith(seen);
        reshape.erase();
      }
      last->erase();
      if (group.biased) {
        old.erase();
      }
      offset += own;
    }
  }

  /// What stands for a product's columns to those that read them.
  Operation *lastOf(MatmulOp product) {
    return group.biased ? biasOf(product).getOperation() : product.getOperation();
  }

  /// The products' sums with their vectors.
  Value biased(Value all) {
    MapOp bias = biasOf(first);
    SmallVector<Operation *> vectors = group.vectors();
    Type of = getElementTypeOrSelf(vectors.front()->getResult(0));
    auto type = RankedTensorType::get({columns}, of);
    Value vector;
    if (isa<WeightOp>(vectors.front())) {
      vector = merged(
          llvm::map_to_vector(vectors, [](Operation *weight) { return cast<WeightOp>(weight); }),
          type);
    } else {
      SmallVector<Attribute> values;
      for (Operation *constant : vectors) {
        auto own = cast<DenseElementsAttr>(cast<ConstantOp>(constant).getValue());
        llvm::append_range(values, own.getValues<Attribute>());
      }
      vector = ConstantOp::create(b, loc, type, DenseElementsAttr::get(type, values));
    }
    SmallVector<Value> inputs{all, vector};
    if (vectorOf(bias, 0)) {
      std::swap(inputs[0], inputs[1]);
    }
    return MapOp::create(b, bias.getLoc(), TypeRange(typeOf(columns)), inputs,
                         llvm::to_vector(bias.getMaps().getAsValueRange<AffineMapAttr>()),
                         [&](OpBuilder &in, Location, ValueRange scalars) {
                           return copyOfBody(bias, in, scalars);
                         })
        .getResult(0);
  }

  static SmallVector<Value> copyOfBody(MapOp map, OpBuilder &in, ValueRange scalars) {
    Block &old = map.getBody().front();
    IRMapping values;
    values.map(old.getArguments(), scalars);
    for (Operation &op : old.without_terminator()) {
      in.clone(op, values);
    }
    return {values.lookupOrDefault(old.getTerminator()->getOperand(0))};
  }

  /// The last extent of what the products are reshaped to, if it divides all of their columns.
  int64_t headWidth() {
    int64_t width = 0;
    for (Operation *user : lastOf(first)->getUsers()) {
      width = cast<RankedTensorType>(user->getResult(0).getType()).getShape().back();
    }
    for (MatmulOp product : group.products) {
      if (width <= 0 || columnsOf(product) % width != 0) {
        return 1;
      }
    }
    return width;
  }

  /// The maps over [panels, columns of a panel], reading both products of a panel. With few rows
  /// the kernel of the product computes them.
  void pair(Value weight) {
    bool few = hasFewRows(first);
    MapOp last = group.maps.back();
    b.setInsertionPoint(last);
    auto result = cast<RankedTensorType>(last.getResult(0).getType());
    auto type = domainOf(result.getElementType());
    Value value;
    if (few) {
      SmallVector<Value> inputs{first.getA(), weight};
      llvm::append_range(inputs, vectorsOfMaps());
      auto fusion = FusionOp::create(b, loc, TypeRange(type), Template::matmul, inputs);
      Block *body = new Block();
      fusion.getBody().push_back(body);
      body->addArguments(ValueRange(inputs).getTypes(), SmallVector<Location>(inputs.size(), loc));
      OpBuilder inner = OpBuilder::atBlockEnd(body);
      IRMapping outside;
      outside.map(inputs, body->getArguments());
      value = mapOver(inner, product(inner, body->getArgument(0), body->getArgument(1)), outside);
      YieldOp::create(inner, loc, value);
      value = fusion.getResult(0);
    } else {
      value = mapOver(b, product(b, first.getA(), weight), {});
    }
    value = ReshapeOp::create(b, loc, result, value);
    last.getResult(0).replaceAllUsesWith(value);
    for (MapOp map : llvm::reverse(group.maps)) {
      map.erase();
    }
    for (MatmulOp product : group.products) {
      product.erase();
    }
  }

  /// The stored vectors that the maps read.
  SmallVector<Value> vectorsOfMaps() {
    llvm::SetVector<Value> vectors;
    for (MapOp map : group.maps) {
      for (unsigned i = 0; i < map.getInputs().size(); ++i) {
        if (Value vector = vectorOf(map, i)) {
          vectors.insert(vector);
        }
      }
    }
    return vectors.takeVector();
  }

  int64_t panels() { return columns / 2 / kInterleave; }

  RankedTensorType domainOf(Type of) {
    SmallVector<AffineExpr> dims(lead);
    dims.append({b.getAffineConstantExpr(panels()), b.getAffineConstantExpr(kInterleave)});
    return tensorOf(dims, of);
  }

  /// `vectors`: what the stored ones are called here, if not by their own names.
  Value mapOver(OpBuilder &at, Value both, const IRMapping &vectors) {
    MLIRContext *context = b.getContext();
    unsigned rank = lead.size() + 2;
    Value view = ReshapeOp::create(at, loc, typeOf({panels(), 2, kInterleave}), both);
    auto accessOf = [&](int64_t product) {
      SmallVector<AffineExpr> index;
      for (unsigned d = 0; d < rank; ++d) {
        index.push_back(getAffineDimExpr(d, context));
      }
      index.insert(index.end() - 1, getAffineConstantExpr(product, context));
      return AffineMap::get(rank, 0, index, context);
    };
    AffineExpr panel = getAffineDimExpr(rank - 2, context),
               column = getAffineDimExpr(rank - 1, context);
    AffineMap byColumns = AffineMap::get(rank, 0, panel * kInterleave + column);
    IRMapping made;
    for (MapOp map : group.maps) {
      SmallVector<Value> inputs;
      SmallVector<AffineMap> maps;
      for (auto [i, input] : llvm::enumerate(map.getInputs())) {
        if (vectorOf(map, i)) {
          inputs.push_back(vectors.lookupOrDefault(input));
          maps.push_back(byColumns);
          continue;
        }
        bool isProduct =
            input == group.products[0].getResult() || input == group.products[1].getResult();
        inputs.push_back(isProduct ? view : made.lookup(input));
        maps.push_back(isProduct ? accessOf(input == group.products[1].getResult())
                                 : at.getMultiDimIdentityMap(rank));
      }
      Type element = cast<RankedTensorType>(map.getResult(0).getType()).getElementType();
      auto copy = MapOp::create(at, map.getLoc(), TypeRange(domainOf(element)), inputs, maps,
                                [&](OpBuilder &in, Location, ValueRange scalars) {
                                  return copyOfBody(map, in, scalars);
                                });
      made.map(map.getResult(0), copy.getResult(0));
    }
    return made.lookup(group.maps.back().getResult(0));
  }

  Group &group;
  MatmulOp first;
  OpBuilder b;
  Location loc;
  SmallVector<AffineExpr> lead; ///< dims of the results but the last
  int64_t columns = 0;          ///< of all products
  Type element;
};

struct MergeProductsPass : ciuic::impl::MergeProductsBase<MergeProductsPass> {
  void runOnOperation() override {
    if (!isForCuda(getOperation())) {
      return;
    }
    // 1. All uses of each stored tensor, and the groups that claim it.
    llvm::DenseMap<Attribute, size_t> uses;
    getOperation().walk([&](WeightOp weight) {
      uses[keyOf(weight)] += std::distance(weight->getUses().begin(), weight->getUses().end());
    });
    SmallVector<Group> groups;
    llvm::DenseMap<Attribute, SmallVector<Attribute>> claims;
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      for (Group &group : groupsOf(function)) {
        for (WeightOp weight : group.weights()) {
          claims[keyOf(weight)].push_back(group.signature());
        }
        groups.push_back(std::move(group));
      }
    }
    // 2. Merge where nothing else uses any of the weights, and a launch counts.
    llvm::DenseSet<Attribute> few;
    for (Group &group : groups) {
      if (hasFewRows(group.products.front())) {
        few.insert(group.signature());
      }
    }
    SmallVector<Group *> merged;
    for (Group &group : groups) {
      Attribute own = group.signature();
      bool agreed = few.contains(own) && llvm::all_of(group.weights(), [&](WeightOp weight) {
                      Attribute key = keyOf(weight);
                      ArrayRef<Attribute> all = claims[key];
                      return all.size() == uses[key] &&
                             llvm::all_of(all, [&](Attribute a) { return a == own; });
                    });
      if (agreed) {
        merged.push_back(&group);
      }
    }
    for (Group *group : merged) {
      Merging(*group).run();
    }
  }
};

} // namespace
