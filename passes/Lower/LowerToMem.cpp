// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Values become buffers. One pass over each function assigns every tensor a buffer (sharing where
// an op only renames), then a second one places allocs and frees around first and last use.
#include "ir/Graph/CudaLibrary.h"
#include "ir/Graph/KernelGeometry.h"
#include "ir/Graph/LibraryCall.h"
#include "ir/Graph/Weights.h"
#include "kernels/VendorCalls.h"
#include "kernels/host/Abi.h"
#include "passes/Lower/KernelCost.h"
#include "passes/Lower/Passes.h"
#include "passes/Lower/Tiling.h"

#include "llvm/ADT/MapVector.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_LOWERTOMEM
#include "passes/Lower/Passes.h.inc"
} // namespace ciuic

namespace {

using ciuic::mem::BufferType;
using ciuic::mem::Tier;

std::string nameOf(Operation *op) {
  if (auto name = dyn_cast<NameLoc>(op->getLoc())) {
    return name.getName().str();
  }
  return cast<LaunchOp>(op).getCallee().str();
}

/// The module's weights, one symbol per distinct stored tensor and layout.
class WeightTable {
public:
  explicit WeightTable(ModuleOp module) : module(module) {}

  FlatSymbolRefAttr symbolOf(Operation *leaf) {
    auto weight = dyn_cast<WeightOp>(leaf);
    Attribute key =
        weight ? ArrayAttr::get(leaf->getContext(),
                                {weight.getFileAttr(), weight.getOffsetAttr(),
                                 TypeAttr::get(weight.getType()),
                                 weight.getPackingAttr() ? Attribute(weight.getPackingAttr())
                                                         : UnitAttr::get(leaf->getContext()),
                                 weight.getBlocksAttr() ? Attribute(weight.getBlocksAttr())
                                                        : UnitAttr::get(leaf->getContext())})
               : ArrayAttr::get(leaf->getContext(),
                                {cast<ConstantOp>(leaf).getValue(),
                                 cast<ConstantOp>(leaf).getPacking()
                                     ? Attribute(cast<ConstantOp>(leaf).getPackingAttr())
                                     : UnitAttr::get(leaf->getContext())});
    auto [it, fresh] = symbols.try_emplace(key);
    if (fresh) {
      it->second = create(leaf);
    }
    return it->second;
  }

  /// A merged weight that the vendor multiplies many rows by: moved, and multiplied by, in as many
  /// pieces as it has parts, since all of it would want places of their size together.
  void cutByParts(FlatSymbolRefAttr symbol) {
    auto op = SymbolTable::lookupNearestSymbolFrom<ciuic::mem::WeightOp>(module, symbol);
    ciuic::kernels::PackSpec spec = ciuic::packSpecOf(cast<PackingAttr>(*op.getPacking()));
    int64_t parts = op.getParts()->size() / 3;
    // Whole pairs of interleaved columns.
    int64_t panels = llvm::alignTo(llvm::divideCeil(ciuic::kernels::panelCount(spec), parts),
                                   ciuic::kernels::kMatmulPanels);
    op.setTileBytes(std::min<int64_t>(op.getBytes(), panels * ciuic::kernels::panelBytes(spec)));
  }

private:
  FlatSymbolRefAttr create(Operation *leaf) {
    OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
    if (last) {
      b.setInsertionPointAfter(last);
    }
    auto type = cast<RankedTensorType>(leaf->getResult(0).getType());
    int64_t bytes = type.getNumElements() * elementBytes(type.getElementType()), tile = bytes;
    std::string format = "plain", layout = "rowmajor";
    auto weight = dyn_cast<WeightOp>(leaf);
    auto packing = leaf->getAttrOfType<PackingAttr>("packing");
    if (packing) {
      bytes = ciuic::packedBytes(packing);
      tile = ciuic::tileBytesOf(packing);
      format = packing.getFormat().str();
      layout = packing.getLayout().str();
    }
    std::string symbol = "w" + std::to_string(symbols.size() - 1);
    std::string name =
        weight ? weight.getName().str() : "constant_" + std::to_string(symbols.size() - 1);
    auto op = ciuic::mem::WeightOp::create(
        b, leaf->getLoc(), b.getStringAttr(symbol), b.getStringAttr(name), TypeAttr::get(type),
        b.getStringAttr(format), b.getStringAttr(layout), b.getI64IntegerAttr(bytes),
        b.getI64IntegerAttr(tile), packing,
        weight ? ElementsAttr() : cast<ConstantOp>(leaf).getValue(),
        weight ? weight.getFileAttr() : IntegerAttr(),
        weight ? weight.getOffsetAttr() : IntegerAttr(),
        weight ? weight.getBytesAttr() : IntegerAttr(), ciuic::mem::WeightModeAttr(),
        weight ? weight.getRelativeErrorAttr() : FloatAttr(),
        weight ? weight.getActivationErrorAttr() : FloatAttr(),
        weight ? weight.getPredictedLossAttr() : FloatAttr(),
        weight ? weight.getBlocksAttr() : BlocksAttr(),
        weight ? weight.getPartsAttr() : DenseI64ArrayAttr(),
        weight ? weight.getInterleavedAttr() : UnitAttr());
    last = op;
    return FlatSymbolRefAttr::get(op.getSymNameAttr());
  }

  ModuleOp module;
  Operation *last = nullptr;
  llvm::MapVector<Attribute, FlatSymbolRefAttr> symbols;
};

/// One function to one entry.
class EntryLowering {
public:
  EntryLowering(func::FuncOp function, WeightTable &weights, SymbolTable &kernels)
      : function(function), bounds(boundsOf(function)), weights(weights), kernels(kernels),
        b(function) {}

  LogicalResult run() {
    auto symbols = function->getAttrOfType<ArrayAttr>("graph.symbols");
    entry = ciuic::mem::EntryOp::create(b, function.getLoc(), b.getStringAttr(function.getName()),
                                        symbols ? symbols : b.getArrayAttr({}),
                                        function->getAttrOfType<ArrayAttr>("graph.constraints"),
                                        IntegerAttr(), DenseI64ArrayAttr(), DenseI64ArrayAttr(),
                                        DictionaryAttr());
    b.createBlock(&entry.getBody());
    for (BlockArgument argument : function.getArguments()) {
      if (failed(lowerArgument(argument))) {
        return failure();
      }
    }
    for (Operation &op : function.getBody().front()) {
      if (failed(lowerOp(&op))) {
        return failure();
      }
    }
    placeFrees();
    return success();
  }

private:
  /// The type that callers see: the graph level's integers are signless, `graph.unsigned` says
  /// which are not signed.
  static TypeAttr boundaryType(Type type, Attribute isUnsigned) {
    auto tensor = cast<RankedTensorType>(type);
    auto element = dyn_cast<IntegerType>(tensor.getElementType());
    if (isUnsigned && element) {
      auto plain = IntegerType::get(type.getContext(), element.getWidth(), IntegerType::Unsigned);
      return TypeAttr::get(RankedTensorType::get(tensor.getShape(), plain, tensor.getEncoding()));
    }
    return TypeAttr::get(type);
  }

  FailureOr<BufferType> bufferTypeOf(Value value) {
    auto bytes = maxBytesOf(cast<RankedTensorType>(value.getType()), bounds);
    if (!bytes) {
      emitError(value.getLoc()) << "[unsupported.size] the size of this tensor at the bounds of "
                                   "its dims exceeds 2^62 bytes: lower the "
                                   "bounds with --entry NAME:dim=a..b";
      return failure();
    }
    return BufferType::get(value.getContext(), Tier::device, *bytes);
  }

  LogicalResult lowerArgument(BlockArgument argument) {
    if (auto state =
            function.getArgAttrOfType<IntegerAttr>(argument.getArgNumber(), "graph.state")) {
      auto physical =
          cast<AffineMapAttr>(function.getArgAttr(argument.getArgNumber(), "graph.physical"))
              .getValue();
      int64_t bytes = elementBytes(cast<RankedTensorType>(argument.getType()).getElementType());
      for (AffineExpr e : physical.getResults()) {
        bytes *= cast<AffineConstantExpr>(e).getValue();
      }
      std::string symbol = "s" + std::to_string(state.getInt());
      int64_t axis =
          function.getArgAttrOfType<IntegerAttr>(argument.getArgNumber(), "graph.axis").getInt();
      auto length = [&](Type type) {
        return AffineMap::get(0, bounds.upper.size(), dimsOf(cast<RankedTensorType>(type))[axis]);
      };
      Type after = argument.getType();
      for (unsigned r = 0; r < function.getNumResults(); ++r) {
        if (function.getResultAttr(r, "graph.state") == state) {
          after = function.getResultTypes()[r];
        }
      }
      buffers[argument] = ciuic::mem::GetStateOp::create(
          b, function.getLoc(), BufferType::get(b.getContext(), Tier::device, bytes), symbol,
          length(argument.getType()), length(after));
      return success();
    }
    auto type = bufferTypeOf(argument);
    if (failed(type)) {
      return failure();
    }
    auto name = function.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "graph.name");
    buffers[argument] = ciuic::mem::InputOp::create(
        b, function.getLoc(), *type, name,
        boundaryType(argument.getType(),
                     function.getArgAttr(argument.getArgNumber(), "graph.unsigned")),
        IntegerAttr());
    return success();
  }

  LogicalResult lowerOp(Operation *op) {
    return llvm::TypeSwitch<Operation *, LogicalResult>(op)
        .Case<WeightOp, ConstantOp>([&](Operation *leaf) {
          return success(); // named where it is read
        })
        .Case<ReshapeOp>([&](ReshapeOp reshape) {
          buffers[reshape.getResult()] = bufferOf(reshape.getInput());
          return success();
        })
        .Case<LaunchOp>([&](LaunchOp launch) { return lowerLaunch(launch); })
        .Case<func::ReturnOp>([&](func::ReturnOp op) {
          for (auto [i, value] : llvm::enumerate(op.getOperands())) {
            if (function.getResultAttr(i, "graph.state")) {
              continue;
            }
            auto name = function.getResultAttrOfType<StringAttr>(i, "graph.name");
            ciuic::mem::OutputOp::create(
                b, op.getLoc(), name, bufferOf(value),
                boundaryType(value.getType(), function.getResultAttr(i, "graph.unsigned")));
          }
          return success();
        })
        .Default([](Operation *op) {
          return op->emitError(
              "[internal.not-outlined] is not a launch: fusions must be outlined before lowering");
        });
  }

  /// The buffer of a value; a leaf is named anew at each reader, so that placing can decide per
  /// reader.
  Value bufferOf(Value value) {
    Value base = value;
    while (auto reshape = base.getDefiningOp<ReshapeOp>()) {
      base = reshape.getInput();
    }
    if (Operation *leaf = base.getDefiningOp(); leaf && isa<WeightOp, ConstantOp>(leaf)) {
      FlatSymbolRefAttr symbol = weights.symbolOf(leaf);
      int64_t bytes =
          SymbolTable::lookupNearestSymbolFrom<ciuic::mem::WeightOp>(function, symbol).getBytes();
      return ciuic::mem::GetWeightOp::create(
          b, leaf->getLoc(), BufferType::get(b.getContext(), Tier::host, bytes), symbol,
          b.getI64IntegerAttr(0), b.getI64IntegerAttr(bytes), IntegerAttr(), IntegerAttr());
    }
    return buffers.lookup(value);
  }

  LogicalResult lowerLaunch(LaunchOp launch) {
    auto kernel = kernels.lookup<KernelOp>(launch.getCallee());
    SmallVector<Value> reads, writes;
    for (Value input : launch.getInputs()) {
      reads.push_back(bufferOf(input));
    }
    for (auto [i, result] : llvm::enumerate(launch.getResults())) {
      auto past = appendedArgument(kernel.getBody().front(), i);
      Value inPlace = past ? stateBehind(launch.getInputs()[*past]) : Value();
      if (inPlace) {
        buffers[result] = buffers.lookup(inPlace);
      } else {
        auto type = bufferTypeOf(result);
        if (failed(type)) {
          return failure();
        }
        buffers[result] = ciuic::mem::AllocOp::create(
            b, launch.getLoc(), *type, b.getStringAttr(nameOf(launch)), IntegerAttr(), UnitAttr());
      }
      writes.push_back(buffers[result]);
    }
    ciuic::KernelCost cost = ciuic::costOf(kernel, bounds.upper);
    auto costAttr = b.getDictionaryAttr({b.getNamedAttr("bytes", b.getI64IntegerAttr(cost.bytes)),
                                         b.getNamedAttr("class", b.getStringAttr(cost.kind)),
                                         b.getNamedAttr("flops", b.getF64FloatAttr(cost.flops)),
                                         b.getNamedAttr("format", b.getStringAttr(cost.format)),
                                         b.getNamedAttr("rows", b.getI64IntegerAttr(cost.rows))});
    auto call = *libraryCallOf(kernel); // setGeometry() has seen it succeed
    if (int64_t workspace = call ? workspaceOf(*call) : 0) {
      writes.push_back(ciuic::mem::AllocOp::create(
          b, launch.getLoc(), BufferType::get(b.getContext(), Tier::device, workspace),
          b.getStringAttr(nameOf(launch) + ".workspace"), IntegerAttr(), b.getUnitAttr()));
    }
    SmallVector<int64_t> params = call ? call->params : SmallVector<int64_t>();
    bool piecewise = call && call->function == ciuic::kernels::kVendorMatmul &&
                     isMerged(launch.getInputs()[*call->pointers[1]]);
    IntegerAttr tiled = call && (call->tiles || piecewise) ? b.getI64IntegerAttr(*call->pointers[1])
                                                           : IntegerAttr();
    if (piecewise) {
      weights.cutByParts(
          reads[*call->pointers[1]].getDefiningOp<ciuic::mem::GetWeightOp>().getWeightAttr());
    }
    AffineMapAttr rows;
    IntegerAttr rowBytes;
    if (auto gather = ciuic::hostGatherOf(kernel)) {
      rows = AffineMapAttr::get(AffineMap::get(0, bounds.upper.size(), gather->rows));
      rowBytes = b.getI64IntegerAttr(gather->rowBytes);
    }
    AffineMapAttr columnRows;
    IntegerAttr columnBytes;
    if (auto columns = call ? ciuic::columnResultOf(kernel, *call) : std::nullopt) {
      columnRows = AffineMapAttr::get(AffineMap::get(0, bounds.upper.size(), columns->rows));
      columnBytes = b.getI64IntegerAttr(columns->rowBytes);
    }
    ciuic::mem::LaunchOp::create(b, launch.getLoc(),
                                 FlatSymbolRefAttr::get(kernel.getSymNameAttr()), reads, writes,
                                 b.getDenseI64ArrayAttr(params), kernel.getGridAttr(), costAttr,
                                 FloatAttr(), tiled, piecewise ? b.getUnitAttr() : UnitAttr(), rows,
                                 rowBytes, UnitAttr(), columnRows, columnBytes);
    return success();
  }

  static bool isMerged(Value value) {
    auto weight = value.getDefiningOp<WeightOp>();
    return weight && weight.getParts() && weight.getPacking();
  }

  /// The state that `value` is the current contents of, through appends; null if it is none.
  Value stateBehind(Value value) {
    while (auto launch = value.getDefiningOp<LaunchOp>()) {
      auto past = appendedArgument(kernels.lookup<KernelOp>(launch.getCallee()).getBody().front(),
                                   cast<OpResult>(value).getResultNumber());
      if (!past) {
        return {};
      }
      value = launch.getInputs()[*past];
    }
    auto argument = dyn_cast<BlockArgument>(value);
    return argument && function.getArgAttr(argument.getArgNumber(), "graph.state") ? Value(argument)
                                                                                   : Value();
  }

  void placeFrees() {
    for (Operation &op : llvm::make_early_inc_range(entry.getBody().front())) {
      auto alloc = dyn_cast<ciuic::mem::AllocOp>(op);
      if (!alloc) {
        continue;
      }
      Operation *last = alloc;
      bool output = false;
      for (Operation *user : alloc.getBuffer().getUsers()) {
        output |= isa<ciuic::mem::OutputOp>(user);
        last = last->isBeforeInBlock(user) ? user : last;
      }
      if (!output) { // outputs stay until the caller has read them
        b.setInsertionPointAfter(last);
        ciuic::mem::FreeOp::create(b, alloc.getLoc(), alloc.getBuffer());
      }
    }
  }

  func::FuncOp function;
  Bounds bounds;
  WeightTable &weights;
  SymbolTable &kernels;
  OpBuilder b;
  ciuic::mem::EntryOp entry;
  llvm::DenseMap<Value, Value> buffers;
};

/// The states of the module, from the marks on arguments and results; the same in every entry.
LogicalResult createStates(ModuleOp module) {
  llvm::MapVector<int64_t, ciuic::mem::StateOp> states;
  for (auto function : module.getOps<func::FuncOp>()) {
    for (BlockArgument argument : function.getArguments()) {
      unsigned i = argument.getArgNumber();
      auto state = function.getArgAttrOfType<IntegerAttr>(i, "graph.state");
      if (!state) {
        continue;
      }
      SmallVector<int64_t> capacity;
      for (AffineExpr e :
           cast<AffineMapAttr>(function.getArgAttr(i, "graph.physical")).getValue().getResults()) {
        capacity.push_back(cast<AffineConstantExpr>(e).getValue());
      }
      auto type = RankedTensorType::get(
          capacity, cast<RankedTensorType>(argument.getType()).getElementType());
      StringAttr output;
      for (unsigned r = 0; r < function.getNumResults(); ++r) {
        if (function.getResultAttr(r, "graph.state") == state) {
          output = function.getResultAttrOfType<StringAttr>(r, "graph.name");
        }
      }
      auto axis = function.getArgAttrOfType<IntegerAttr>(i, "graph.axis");
      if (!output || !axis) {
        return function.emitError("[input.state] state ")
               << state.getInt() << " has no output that continues it";
      }
      auto &known = states[state.getInt()];
      if (known && known.getType() != type) {
        return function.emitError("[internal.state-capacity] state ")
               << state.getInt() << " has different capacities in different entries";
      }
      if (!known) {
        OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
        known = ciuic::mem::StateOp::create(
            b, function.getLoc(), b.getStringAttr("s" + std::to_string(state.getInt())),
            TypeAttr::get(type), axis, function.getArgAttrOfType<StringAttr>(i, "graph.name"),
            output, IntegerAttr());
      }
    }
  }
  return success();
}

/// Units and scratch of a kernel: the library's where its loops are, else the template's.
LogicalResult setGeometry(KernelOp kernel) {
  Bounds bounds;
  for (auto symbol : kernel.getSymbols().getAsRange<SymbolAttr>()) {
    bounds.lower.push_back(symbol.getLower());
    bounds.upper.push_back(symbol.getUpper());
  }
  auto call = libraryCallOf(kernel);
  if (failed(call)) {
    return failure();
  }
  Block &body = kernel.getBody().front();
  FailureOr<AffineExpr> grid = *call ? FailureOr<AffineExpr>(unitsOf(**call, (*call)->params))
                                     : gridOf(kernel.getTemplateKind(), body);
  FailureOr<int64_t> scratch = *call ? FailureOr<int64_t>(scratchOf(**call, bounds.upper))
                               : isForCuda(kernel)
                                   ? FailureOr<int64_t>(0) // registers and shared memory
                                   : scratchBytesOf(kernel.getTemplateKind(), body, bounds);
  if (failed(grid) || failed(scratch)) {
    return kernel.emitError("[internal.kernel-geometry] no units follow from the body of this ")
           << stringifyTemplate(kernel.getTemplateKind()) << " kernel";
  }
  kernel.setGrid(AffineMap::get(0, kernel.getSymbols().size(), *grid));
  kernel.setScratch(*scratch);
  return success();
}

struct LowerToMemPass : ciuic::impl::LowerToMemBase<LowerToMemPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (failed(createStates(module))) {
      return signalPassFailure();
    }
    // Geometry is a property of the kernel: set once, read by every launch.
    for (auto kernel : module.getOps<KernelOp>()) {
      if (failed(setGeometry(kernel))) {
        return signalPassFailure();
      }
    }
    WeightTable weights(module);
    SymbolTable kernels(module);
    for (auto function : llvm::to_vector(module.getOps<func::FuncOp>())) {
      if (failed(EntryLowering(function, weights, kernels).run())) {
        return signalPassFailure();
      }
      function.erase();
    }
  }
};

} // namespace
