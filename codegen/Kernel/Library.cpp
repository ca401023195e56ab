// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The wrapper of a library function (kernels/host/Abi.h): it evaluates the arguments into an array
// on the stack, lays out pointers (the function's own, then all of the kernel's), and passes an
// epilogue. The epilogue is a function of the kernel's module: it walks the block of finished sums
// that the library hands over and computes the maps on it. Where columns may be computed alone, the
// params say where a launch's results begin: column params[2] is the first of a row there, and rows
// are params[3] elements apart.
#include "codegen/Kernel/Library.h"

#include "kernels/host/Abi.h"

#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace ciuic::codegen {
namespace {

class LibraryEmitter {
public:
  LibraryEmitter(KernelFrame &frame, const graph::LibraryCall &call, ModuleOp module)
      : frame(frame), call(call), module(module), e(frame.emitter),
        pointer(LLVM::LLVMPointerType::get(module.getContext())), i64(e.builder.getI64Type()) {}

  void run() {
    OpBuilder &b = e.builder;
    // An epilogue is needed unless the op's own result is the kernel's only one, in the type that
    // the library stores.
    Value root = call.root->getResult(0);
    bool plain = frame.yield().getValues().size() == 1 && frame.yield().getValues()[0] == root &&
                 cast<RankedTensorType>(root.getType()).getElementType().isF32();
    unsigned own = call.pointers.size();
    SmallVector<Value> pointers;
    for (std::optional<unsigned> argument : call.pointers) {
      pointers.push_back(loadPointer(e, frame.ptrs, argument.value_or(0)));
    }
    unsigned total = frame.body.getNumArguments() + frame.yield().getValues().size();
    for (unsigned i = plain ? total - 1 : 0; i < total; ++i) {
      Value address = loadPointer(e, frame.ptrs, i);
      if (i >= frame.body.getNumArguments() && storesColumns(i - frame.body.getNumArguments())) {
        address = beforeFirstColumn(address, i - frame.body.getNumArguments());
      }
      pointers.push_back(address);
    }
    if (!plain && call.tiles) {
      pointers.push_back(frame.params);
    }
    Value pointerArray = array(pointer, pointers.size()), argArray = array(i64, call.args.size());
    for (auto [i, value] : llvm::enumerate(pointers)) {
      put(pointerArray, pointer, i, value);
    }
    for (auto [i, expr] : llvm::enumerate(call.args)) {
      bool stride = call.tiles && i == kernels::kMatmulLdc;
      put(argArray, i64, i, stride ? param(e, frame.params, 3) : e.symbolic(expr));
    }
    Value epilogue =
        plain ? LLVM::ZeroOp::create(b, e.loc, pointer).getResult() : makeEpilogue(own);
    auto type = LLVM::LLVMFunctionType::get(
        LLVM::LLVMVoidType::get(b.getContext()),
        {pointer, pointer, pointer, pointer, pointer, i64, i64, pointer});
    OpBuilder outside = OpBuilder::atBlockBegin(module.getBody());
    auto function = module.lookupSymbol<LLVM::LLVMFuncOp>(call.function);
    if (!function) {
      function = LLVM::LLVMFuncOp::create(outside, e.loc, call.function, type);
    }
    LLVM::CallOp::create(b, e.loc, function,
                         ValueRange{argArray, epilogue, pointerArray, frame.dims, frame.params,
                                    frame.begin, frame.end, frame.scratch});
  }

private:
  /// True where a result has the sums' own extents, so that a launch may place its columns alone.
  bool storesColumns(unsigned result) {
    return call.tiles && graph::dimsOf(frame.yield().getValues()[result]) ==
                             graph::dimsOf(call.root->getResult(0));
  }
  Value param(Emitter &emitter, Value params, int32_t index) {
    OpBuilder &b = emitter.builder;
    Value slot = LLVM::GEPOp::create(b, e.loc, pointer, i64, params, ArrayRef<LLVM::GEPArg>{index});
    return LLVM::LoadOp::create(b, e.loc, i64, slot, 8);
  }
  /// Where column 0 would lie if the columns before the launch's first were stored too.
  Value beforeFirstColumn(Value address, unsigned result) {
    Type element =
        cast<RankedTensorType>(frame.yield().getValues()[result].getType()).getElementType();
    Value bytes = e.mul(param(e, frame.params, 2), e.constant(graph::elementBytes(element)));
    return LLVM::GEPOp::create(e.builder, e.loc, pointer, e.builder.getI8Type(), address,
                               ArrayRef<LLVM::GEPArg>{e.sub(e.constant(0), bytes)});
  }

  Value array(Type element, unsigned count) {
    return LLVM::AllocaOp::create(e.builder, e.loc, pointer, element, e.constant(count), 16);
  }
  void put(Value base, Type element, unsigned index, Value value) {
    Value slot = LLVM::GEPOp::create(e.builder, e.loc, pointer, element, base,
                                     ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(index)});
    LLVM::StoreOp::create(e.builder, e.loc, value, slot, 8);
  }

  /// void(acc, ld, row, rows, col, cols, ptrs, dims) over the maps of the body; returns its
  /// address.
  Value makeEpilogue(unsigned own) {
    OpBuilder outside = OpBuilder::atBlockEnd(module.getBody());
    std::string name = (frame.kernel.getSymName() + ".epilogue").str();
    auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(outside.getContext()),
                                            {pointer, i64, i64, i64, i64, i64, pointer, pointer});
    auto function = LLVM::LLVMFuncOp::create(outside, e.loc, name, type, LLVM::Linkage::Internal);
    Block *entry = function.addEntryBlock(outside), *main = new Block();
    function.getBody().push_back(main);
    OpBuilder b = OpBuilder::atBlockEnd(main);
    auto done = LLVM::ReturnOp::create(b, e.loc, ValueRange());
    b.setInsertionPointToEnd(entry);
    cf::BranchOp::create(b, e.loc, main);

    b.setInsertionPoint(entry->getTerminator());
    Emitter inner(b, e.loc, Device::host, {8, 1});
    KernelFrame view{frame.kernel, frame.body, inner, {}, {}, {}, {}, {}, {}, {}, {}};
    inner.setEntry(entry, entry->getArgument(7));
    unsigned total = frame.body.getNumArguments() + frame.yield().getValues().size();
    for (unsigned i = 0; i < total; ++i) {
      view.pointers.push_back(loadPointer(inner, entry->getArgument(6), own + i));
    }
    if (call.tiles) {
      rowStride = param(inner, loadPointer(inner, entry->getArgument(6), own + total), 3);
    }
    if (failed(placeOperands(view))) {
      e.fail("operands of the epilogue cannot be placed");
      return LLVM::ZeroOp::create(e.builder, e.loc, pointer);
    }
    inner.builder.setInsertionPoint(done);
    emitRows(view, entry);
    if (inner.failed()) {
      e.fail(inner.failure());
    }
    return LLVM::AddressOfOp::create(e.builder, e.loc, pointer, name);
  }

  void emitRows(KernelFrame &view, Block *entry) {
    Emitter &inner = view.emitter;
    Value acc = entry->getArgument(0), ld = entry->getArgument(1), row0 = entry->getArgument(2),
          rows = entry->getArgument(3);
    Value col0 = entry->getArgument(4), cols = entry->getArgument(5);
    Value root = call.root->getResult(0);
    auto dims = graph::dimsOf(root);
    // Attention counts rows through heads before positions, whatever the result's layout.
    auto attention = dyn_cast<graph::AttentionOp>(call.root);
    bool swapped = attention && attention.getLayout() == graph::HeadLayout::bshd;
    if (swapped) {
      std::swap(dims[1], dims[2]);
    }
    SmallVector<Value> outer = llvm::map_to_vector(ArrayRef(dims).drop_back(),
                                                   [&](AffineExpr d) { return inner.symbolic(d); });
    Type f32 = inner.builder.getF32Type();
    inner.loop(inner.constant(0), rows, 1, [&](Value r) {
      SmallVector<Lane> index = llvm::map_to_vector(inner.delinearise(inner.add(row0, r), outer),
                                                    [&](Value v) { return inner.uniform(v); });
      if (swapped) {
        std::swap(index[1], index[2]);
      }
      index.push_back({});
      Value line = inner.mul(r, ld);
      inner.lanes(inner.constant(0), cols, [&](Lane lane) {
        index.back() = inner.plus(lane, inner.uniform(col0));
        // The maps read the sums at the index they compute: fusing saw to it.
        Value sum = inner.loadAt(acc, f32, inner.add(line, lane.value), inner.width,
                                 /*invariant=*/false, /*aligned=*/false);
        inner.supply = [&](Value tensor, ArrayRef<Lane>) { return tensor == root ? sum : Value(); };
        SmallVector<Value> values = llvm::map_to_vector(
            view.yield().getValues(), [&](Value v) { return inner.at(v, index); });
        for (auto [i, value] : llvm::enumerate(values)) {
          if (storesColumns(i)) {
            Buffer out = view.result(i);
            Value at = inner.add(inner.mul(inner.add(row0, r), rowStride), index.back().value);
            inner.storeAt(inner.splat(value), out.pointer, out.element, at, inner.width,
                          /*aligned=*/false);
          } else {
            inner.store(value, view.result(i), index);
          }
        }
        inner.supply = {};
      });
    });
  }

  KernelFrame &frame;
  const graph::LibraryCall &call;
  ModuleOp module;
  Emitter &e;
  Type pointer, i64;
  Value rowStride; // of results in the epilogue
};

} // namespace

void emitLibraryCall(KernelFrame &frame, const graph::LibraryCall &call, ModuleOp module) {
  LibraryEmitter(frame, call, module).run();
}

} // namespace ciuic::codegen
