// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products of one operand become one. Groups are found function by function; a group is merged only
// where every use of its weights, in any entry, is in an equal group, so that each weight is still
// stored once, and where one of these products has few rows: more rows take so long that launches
// do not count, and a vendor's product wants all of a weight at once. Two products that maps make
// one value of (a gate and what it gates) are interleaved by panels, so that a kernel of few rows
// holds both elements when it computes the maps; other products lie side by side, as the heads that
// they are read as.
#include "passes/Fuse/Passes.h"

#include "ir/Graph/MergedWeight.h"
#include "kernels/cuda/Catalog.h"

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

struct Group {
  SmallVector<MatmulOp> products;
  SmallVector<MapOp> maps; ///< that make one value of a pair; none: they lie side by side

  Attribute signature() {
    SmallVector<Attribute> parts =
        llvm::map_to_vector(products, [](MatmulOp product) { return keyOf(weightOf(product)); });
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

/// The maps that make one value of both products, each element of one of each, and that alone read
/// them: in program order, the value's last. Empty where there are none.
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
              return values.contains(input.value()) && map.getMap(input.index()).isIdentity();
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
    if (isa<ReshapeOp>(user) || (!isRoot && isa<TransposeOp>(user))) {
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

/// The groups of a function, in program order.
SmallVector<Group> groupsOf(func::FuncOp function) {
  // Of one operand, one way of storing, one depth and one result type but for its columns.
  llvm::MapVector<std::pair<Value, Attribute>, SmallVector<MatmulOp>> alike;
  Builder b(function.getContext());
  for (auto product : function.getOps<MatmulOp>()) {
    WeightOp weight = weightOf(product);
    auto type = cast<RankedTensorType>(product.getB().getType());
    if (!weight || weight.getParts() || weight.getBlocks() || type.getRank() != 2 ||
        product.getTransposeA()) {
      continue;
    }
    Attribute kind = b.getArrayAttr(
        {b.getBoolAttr(product.getTransposeB()), TypeAttr::get(type.getElementType()),
         TypeAttr::get(cast<RankedTensorType>(product.getType()).getElementType())});
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
    // What an attention reads apart is one copy; more would cost what merging saves.
    llvm::SmallPtrSet<Attribute, 4> seen;
    bool allowCopy = true;
    llvm::erase_if(rest, [&](MatmulOp product) {
      Fate fate = fateOf(product.getResult());
      bool keep = !product->use_empty() && fate != Fate::Other &&
                  (fate == Fate::Moved || allowCopy) &&
                  seen.insert(keyOf(weightOf(product))).second;
      allowCopy &= !keep || fate == Fate::Moved;
      return !keep;
    });
    if (rest.size() > 1) {
      groups.push_back({rest, {}});
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
    Value weight = mergedWeight();
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

  Value mergedWeight() {
    std::string name;
    SmallVector<int64_t> parts;
    int64_t bytes = 0;
    for (MatmulOp product : group.products) {
      WeightOp weight = weightOf(product);
      name += (name.empty() ? "" : " + ") + weight.getName().str();
      int64_t own = weight.getBytes();
      parts.append(
          {static_cast<int64_t>(weight.getFile()), static_cast<int64_t>(weight.getOffset()), own});
      bytes += own;
    }
    auto type = cast<RankedTensorType>(first.getB().getType());
    SmallVector<int64_t> shape(type.getShape());
    shape[first.getTransposeB() ? 0 : 1] = columns;
    WeightOp lead = weightOf(first);
    auto merged = WeightOp::create(b, lead.getLoc(), type.clone(shape), name, lead.getFile(),
                                   lead.getOffset(), bytes, PackingAttr());
    merged.setPartsAttr(b.getDenseI64ArrayAttr(parts));
    merged.setInterleaved(!group.maps.empty());
    return merged.getResult();
  }

  Value product(OpBuilder &at, Value a, Value weight) {
    return MatmulOp::create(at, loc, typeOf(columns), a, weight, false, first.getTransposeB());
  }

  /// Each product's columns as a slice: of heads, where it is read as heads of one width, so that
  /// what rotates and appends them can read them where they lie.
  void sideBySide(Value weight) {
    Value all = product(b, first.getA(), weight);
    int64_t width = headWidth();
    Value view = ReshapeOp::create(b, loc, typeOf({columns / width, width}), all);
    int64_t offset = 0;
    for (MatmulOp old : group.products) {
      int64_t own = columnsOf(old);
      SmallVector<AffineExpr> offsets(lead.size() + 2, b.getAffineConstantExpr(0));
      offsets[lead.size()] = b.getAffineConstantExpr(offset / width);
      SmallVector<int64_t> steps(lead.size() + 2, 1);
      b.setInsertionPoint(old);
      Value slice =
          SliceOp::create(b, old.getLoc(), typeOf({own / width, width}), view,
                          AffineMap::get(0, 0, offsets, b.getContext()), ArrayRef<int64_t>(steps));
      for (Operation *user : llvm::make_early_inc_range(old->getUsers())) {
        auto reshape = cast<ReshapeOp>(user);
        b.setInsertionPoint(reshape);
        Value seen = reshape.getType() == slice.getType()
                         ? slice
                         : ReshapeOp::create(b, reshape.getLoc(), reshape.getType(), slice);
        reshape.getResult().replaceAllUsesWith(seen);
        reshape.erase();
      }
      old.erase();
      offset += own;
    }
  }

  /// The last extent of what the products are reshaped to, if it divides all of their columns.
  int64_t headWidth() {
    int64_t width = 0;
    for (Operation *user : first->getUsers()) {
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
      auto fusion = FusionOp::create(b, loc, TypeRange(type), Template::matmul, inputs);
      Block *body = new Block();
      fusion.getBody().push_back(body);
      body->addArguments(ValueRange(inputs).getTypes(), {loc, loc});
      OpBuilder inner = OpBuilder::atBlockEnd(body);
      value = mapOver(inner, product(inner, body->getArgument(0), body->getArgument(1)));
      YieldOp::create(inner, loc, value);
      value = fusion.getResult(0);
    } else {
      value = mapOver(b, product(b, first.getA(), weight));
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

  int64_t panels() { return columns / 2 / kInterleave; }

  RankedTensorType domainOf(Type of) {
    SmallVector<AffineExpr> dims(lead);
    dims.append({b.getAffineConstantExpr(panels()), b.getAffineConstantExpr(kInterleave)});
    return tensorOf(dims, of);
  }

  Value mapOver(OpBuilder &at, Value both) {
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
    IRMapping made;
    for (MapOp map : group.maps) {
      SmallVector<Value> inputs;
      SmallVector<AffineMap> maps;
      for (Value input : map.getInputs()) {
        bool isProduct =
            input == group.products[0].getResult() || input == group.products[1].getResult();
        inputs.push_back(isProduct ? view : made.lookup(input));
        maps.push_back(isProduct ? accessOf(input == group.products[1].getResult())
                                 : at.getMultiDimIdentityMap(rank));
      }
      Block &old = map.getBody().front();
      Type element = cast<RankedTensorType>(map.getResult(0).getType()).getElementType();
      auto copy = MapOp::create(at, map.getLoc(), TypeRange(domainOf(element)), inputs, maps,
                                [&](OpBuilder &in, Location, ValueRange scalars) {
                                  IRMapping values;
                                  values.map(old.getArguments(), scalars);
                                  for (Operation &op : old.without_terminator()) {
                                    in.clone(op, values);
                                  }
                                  return SmallVector<Value>{
                                      values.lookupOrDefault(old.getTerminator()->getOperand(0))};
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
        for (MatmulOp product : group.products) {
          claims[keyOf(weightOf(product))].push_back(group.signature());
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
      bool agreed = few.contains(own) && llvm::all_of(group.products, [&](MatmulOp product) {
                      Attribute key = keyOf(weightOf(product));
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
