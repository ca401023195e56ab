// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The vendor's product adds a bias and a residual and no more. What else a fusion computes behind
// it becomes a flat fusion of its own. Runs when formats are known: a weight that is decoded keeps
// its epilogue, since a kernel of our own multiplies by it.
#include "ir/Graph/Product.h"
#include "passes/Fuse/Marks.h"
#include "passes/Fuse/Passes.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_SPLITEPILOGUES
#include "passes/Fuse/Passes.h.inc"
} // namespace ciuic

namespace {

class Splitting {
public:
  explicit Splitting(FusionOp fusion)
      : fusion(fusion), body(fusion.getBody().front()), root(&body.front()), b(fusion) {}

  void run() {
    Value product = root->getResult(0);
    auto first = product.hasOneUse() ? dyn_cast<MapOp>(*product.user_begin()) : MapOp();
    VendorEpilogueMatch match;
    if (first) {
      match = matchVendorEpilogue(first, product);
    }
    Value sum = makeProduct(first, match);
    // What is left reads the sum.
    mapping.map(product, sum);
    SmallVector<Operation *> rest;
    for (Operation &op : llvm::drop_begin(body.without_terminator())) {
      if (&op == first && match.isWholeMap) {
        mapping.map(first.getResult(0), sum);
      } else {
        rest.push_back(&op);
      }
    }
    if (!rest.empty()) {
      makeRest(rest, first, match, product, sum);
    }
    for (auto [value, result] :
         llvm::zip(body.getTerminator()->getOperands(), fusion.getResults())) {
      result.replaceAllUsesWith(mapping.lookup(value));
    }
    fusion.erase();
  }

private:
  Value outer(Value argument) {
    return fusion.getInputs()[cast<BlockArgument>(argument).getArgNumber()];
  }

  /// An empty fusion with these inputs.
  FusionOp begin(Template kind, ArrayRef<Value> inputs, TypeRange results) {
    auto made = FusionOp::create(b, fusion.getLoc(), results, kind, inputs);
    Block *block = new Block();
    made.getBody().push_back(block);
    block->addArguments(ValueRange(inputs).getTypes(),
                        SmallVector<Location>(inputs.size(), fusion.getLoc()));
    return made;
  }

  /// The fusion of the product: A, B, bias, residual, in the order of the call. Operands may
  /// repeat.
  Value makeProduct(MapOp map, const VendorEpilogueMatch &match) {
    SmallVector<Value> inputs{outer(root->getOperand(0)), outer(root->getOperand(1))};
    SmallVector<unsigned> added;
    for (std::optional<unsigned> operand : {match.bias, match.residual}) {
      if (operand) {
        added.push_back(*operand);
        inputs.push_back(outer(map.getInputs()[*operand]));
      }
    }
    Value old = root->getResult(0);
    FusionOp made = begin(fusion.getTemplateKind(), inputs, old.getType());
    Block &block = made.getBody().front();
    OpBuilder inner = OpBuilder::atBlockEnd(&block);
    IRMapping operands;
    Operation *copy = inner.clone(*root, operands);
    copy->setOperand(0, block.getArgument(0));
    copy->setOperand(1, block.getArgument(1));
    Value result = copy->getResult(0);
    if (!added.empty()) {
      SmallVector<Value> reads{result};
      SmallVector<AffineMap> maps{
          inner.getMultiDimIdentityMap(cast<RankedTensorType>(old.getType()).getRank())};
      for (auto [i, operand] : llvm::enumerate(added)) {
        reads.push_back(block.getArgument(2 + i));
        maps.push_back(map.getMap(operand));
      }
      result = MapOp::create(inner, map.getLoc(), TypeRange(old.getType()), reads, maps,
                             [](OpBuilder &at, Location loc, ValueRange scalars) {
                               Value sum = scalars[0];
                               for (Value other : scalars.drop_front()) {
                                 sum = arith::AddFOp::create(at, loc, sum, other);
                               }
                               return SmallVector<Value>{sum};
                             })
                   .getResult(0);
    }
    YieldOp::create(inner, fusion.getLoc(), result);
    return made.getResult(0);
  }

  /// The maps behind the product, without the additions that it does.
  void makeRest(ArrayRef<Operation *> rest, MapOp first, const VendorEpilogueMatch &match,
                Value product, Value sum) {
    SmallVector<Value> inputs, results;
    IRMapping inside;
    auto isAdded = [&](Operation *op, unsigned operand) {
      return op == first && (operand == match.bias || operand == match.residual);
    };
    // What the call computes: the product, or the map that it does as a whole.
    auto isSum = [&](Value operand) {
      return operand == product || (match.isWholeMap && operand == first.getResult(0));
    };
    SmallVector<Value> sources; // of the inputs, in the old body
    for (Operation *op : rest) {
      for (auto [i, operand] : llvm::enumerate(op->getOperands())) {
        bool outside = isSum(operand) || isa<BlockArgument>(operand);
        if (outside && !isAdded(op, i) && !llvm::is_contained(sources, operand)) {
          sources.push_back(operand);
          inputs.push_back(isSum(operand) ? sum : outer(operand));
        }
      }
    }
    SmallVector<Value> yielded;
    for (Value value : body.getTerminator()->getOperands()) {
      if (!mapping.contains(value) && !llvm::is_contained(yielded, value)) {
        yielded.push_back(value);
      }
    }
    FusionOp made = begin(Template::flat, inputs, ValueRange(yielded).getTypes());
    Block &block = made.getBody().front();
    inside.map(sources, block.getArguments());
    OpBuilder inner = OpBuilder::atBlockEnd(&block);
    for (Operation *op : rest) {
      if (op == first && !match.adds.empty()) {
        inside.map(first.getResult(0), withoutAdds(first, match, product, inside, inner));
      } else {
        inner.clone(*op, inside);
      }
    }
    YieldOp::create(inner, fusion.getLoc(),
                    llvm::map_to_vector(yielded, [&](Value v) { return inside.lookup(v); }));
    mapping.map(yielded, made.getResults());
  }

  static Value withoutAdds(MapOp map, const VendorEpilogueMatch &match, Value product,
                           IRMapping &inside, OpBuilder &inner) {
    SmallVector<Value> reads;
    SmallVector<AffineMap> maps;
    SmallVector<unsigned> kept;
    for (auto [i, input] : llvm::enumerate(map.getInputs())) {
      if (i != match.bias && i != match.residual) {
        reads.push_back(inside.lookup(input));
        maps.push_back(map.getMap(i));
        kept.push_back(i);
      }
    }
    Block &old = map.getBody().front();
    auto made = MapOp::create(inner, map.getLoc(), map->getResultTypes(), reads, maps,
                              [&](OpBuilder &at, Location, ValueRange scalars) {
                                IRMapping values;
                                for (auto [scalar, operand] : llvm::zip(scalars, kept)) {
                                  values.map(old.getArgument(operand), scalar);
                                  if (map.getInputs()[operand] == product) {
                                    values.map(match.sum, scalar);
                                  }
                                }
                                for (Operation &op : old.without_terminator()) {
                                  if (!llvm::is_contained(match.adds, &op)) {
                                    at.clone(op, values);
                                  }
                                }
                                return llvm::map_to_vector(
                                    old.getTerminator()->getOperands(),
                                    [&](Value v) { return values.lookupOrDefault(v); });
                              });
    return made.getResult(0);
  }

  FusionOp fusion;
  Block &body;
  Operation *root;
  OpBuilder b;
  IRMapping mapping; ///< values of the old body → results of the new fusions
};

struct SplitEpiloguesPass : ciuic::impl::SplitEpiloguesBase<SplitEpiloguesPass> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (!isForCuda(function)) {
      return;
    }
    Bounds bounds = boundsOf(function);
    for (auto fusion : llvm::make_early_inc_range(function.getOps<FusionOp>())) {
      Operation *root = &fusion.getBody().front().front();
      if (isa<MatmulOp, ConvOp>(root) &&
          vendorProductOf(root, marksAt(fusion, root, 0), marksAt(fusion, root, 1), bounds)) {
        Splitting(fusion).run();
      }
    }
  }

  static DictionaryAttr marksAt(FusionOp fusion, Operation *root, unsigned operand) {
    auto argument = cast<BlockArgument>(root->getOperand(operand));
    return ciuic::marksOf(fusion.getInputs()[argument.getArgNumber()],
                          fusion->getParentOfType<func::FuncOp>());
  }
};

} // namespace
