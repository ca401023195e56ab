// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A kernel around a function of the CUDA library (kernels/cuda/Abi.h): arguments, pointers and
// params go into arrays on the stack, which vanish once the function is inlined; the maps after it
// become `ciuic_epilogue`, which the function calls for every element.
#include "codegen/Kernel/Library.h"
#include "codegen/Kernel/Threads.h"
#include "ir/Graph/MergedWeight.h"

#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace ciuic::codegen {
namespace {

class GpuLibraryEmitter {
public:
  GpuLibraryEmitter(KernelFrame &frame, const graph::LibraryCall &call, ModuleOp module)
      : frame(frame), call(call), module(*module.getOps<gpu::GPUModuleOp>().begin()),
        e(frame.emitter), pointer(LLVM::LLVMPointerType::get(module.getContext())),
        i64(e.builder.getI64Type()) {}

  void run(ValueRange params) {
    OpBuilder &b = e.builder;
    unsigned operands = frame.body.getNumArguments(),
             total = operands + frame.yield().getValues().size();
    SmallVector<Value> pointers;
    for (std::optional<unsigned> argument : call.pointers) {
      pointers.push_back(frame.pointers[argument.value_or(0)]);
    }
    llvm::append_range(pointers, ArrayRef(frame.pointers).drop_front(total)); // the workspace
    unsigned own = pointers.size();
    llvm::append_range(pointers, ArrayRef(frame.pointers).take_front(total));
    for (Value &p : pointers) {
      p = generic(p);
    }
    Value pointerArray = arrayOf(pointer, pointers);
    Value argArray = arrayOf(
        i64, llvm::map_to_vector(call.args, [&](AffineExpr expr) { return e.symbolic(expr); }));
    Value paramArray = arrayOf(i64, llvm::to_vector(params));
    makeEpilogues(own);
    auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()),
                                            {pointer, pointer, pointer, pointer});
    OpBuilder outside = OpBuilder::atBlockBegin(module.getBody());
    auto function = LLVM::LLVMFuncOp::create(outside, e.loc, call.function, type);
    LLVM::CallOp::create(b, e.loc, function,
                         ValueRange{argArray, pointerArray, generic(frame.dims), paramArray});
  }

private:
  Value generic(Value address) {
    return LLVM::AddrSpaceCastOp::create(e.builder, e.loc, pointer, address);
  }
  Value arrayOf(Type element, ArrayRef<Value> values) {
    OpBuilder &b = e.builder;
    Value count = e.constant(std::max<int64_t>(1, values.size()));
    Value base = LLVM::AllocaOp::create(b, e.loc, pointer, element, count, 16);
    for (auto [i, value] : llvm::enumerate(values)) {
      Value slot = LLVM::GEPOp::create(b, e.loc, pointer, element, base,
                                       ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(i)});
      LLVM::StoreOp::create(b, e.loc, value, slot, 8);
    }
    return base;
  }

  /// void ciuic_epilogue(float value, int64_t row, int64_t col, ptrs, dims), and where the function
  /// hands over pairs ciuic_epilogue_pair(float first, float second, …). The one that is not called
  /// is an empty function, which goes with the branch that would call it.
  void makeEpilogues(unsigned own) {
    bool mayPair = StringRef(call.function).starts_with("ciuic_cuda_gemv_");
    for (unsigned values : {1u, 2u}) {
      if (values == 1 || mayPair) {
        makeEpilogue(own, values, (values == 2) == call.pairs);
      }
    }
  }

  void makeEpilogue(unsigned own, unsigned values, bool called) {
    OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
    SmallVector<Type> arguments(values, b.getF32Type());
    arguments.append({i64, i64, pointer, pointer});
    auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()), arguments);
    auto function = LLVM::LLVMFuncOp::create(
        b, e.loc, values == 1 ? "ciuic_epilogue" : "ciuic_epilogue_pair", type);
    Block *entry = function.addEntryBlock(b);
    if (!called) {
      b.setInsertionPointToEnd(entry);
      LLVM::ReturnOp::create(b, e.loc, ValueRange());
      return;
    }
    Block *main = new Block();
    function.getBody().push_back(main);
    b.setInsertionPointToEnd(main);
    auto done = LLVM::ReturnOp::create(b, e.loc, ValueRange());
    b.setInsertionPointToEnd(entry);
    cf::BranchOp::create(b, e.loc, main);

    b.setInsertionPoint(entry->getTerminator());
    Emitter inner(b, e.loc, Device::gpu, {1});
    inner.target = e.target;
    KernelFrame view{frame.kernel, frame.body, inner, {}, {}, {}, {}, {}, {}, {}, {}};
    inner.setEntry(entry, entry->getArgument(values + 3));
    unsigned total = frame.body.getNumArguments() + frame.yield().getValues().size();
    for (unsigned i = 0; i < total; ++i) {
      view.pointers.push_back(loadPointer(inner, entry->getArgument(values + 2), own + i));
    }
    if (failed(placeOperands(view))) {
      e.fail("operands of the epilogue cannot be placed");
      return;
    }
    inner.builder.setInsertionPoint(done);
    emitElement(view, entry, values);
    if (inner.failed()) {
      e.fail(inner.failure());
    }
  }

  void emitElement(KernelFrame &view, Block *entry, unsigned count) {
    Emitter &inner = view.emitter;
    Value row = entry->getArgument(count), col = entry->getArgument(count + 1);
    Value root = call.root->getResult(0);
    SmallVector<AffineExpr> dims = graph::dimsOf(root);
    // Attention counts rows through heads before positions, whatever the result's layout.
    auto attention = dyn_cast<graph::AttentionOp>(call.root);
    bool swapped = attention && attention.getLayout() == graph::HeadLayout::bshd;
    if (swapped) {
      std::swap(dims[1], dims[2]);
    }
    SmallVector<Value> outer = llvm::map_to_vector(ArrayRef(dims).drop_back(),
                                                   [&](AffineExpr d) { return inner.symbolic(d); });
    SmallVector<Lane> index = llvm::map_to_vector(inner.delinearise(row, outer),
                                                  [&](Value v) { return inner.uniform(v); });
    if (swapped) {
      std::swap(index[1], index[2]);
    }
    if (call.pairs) {
      // Maps run over panels and their columns, and read [.., panel, 0 or 1, column] of the sums.
      Value panel = inner.constant(graph::kInterleave);
      SmallVector<Value> place = inner.delinearise(
          col, {inner.symbolic(dims.back().floorDiv(2 * graph::kInterleave)), panel});
      index.push_back(inner.uniform(place[0]));
      index.push_back({place[1], Lane::Unit});
      Value sums = (*root.user_begin())->getResult(0);
      inner.supply = [&, sums](Value tensor, ArrayRef<Lane> at) {
        if (tensor != sums) {
          return Value();
        }
        Value which = at[at.size() - 2].value;
        return which == inner.constant(0)   ? entry->getArgument(0)
               : which == inner.constant(1) ? entry->getArgument(1)
                                            : inner.fail("a pair has two elements");
      };
    } else {
      index.push_back({col, Lane::Unit});
      // The maps read the sums at the index they compute: fusing saw to it.
      inner.supply = [&](Value tensor, ArrayRef<Lane>) {
        return tensor == root ? entry->getArgument(0) : Value();
      };
    }
    SmallVector<Value> values =
        llvm::map_to_vector(view.yield().getValues(), [&](Value v) { return inner.at(v, index); });
    for (auto [i, v] : llvm::enumerate(values)) {
      inner.store(v, view.result(i), index);
    }
    inner.supply = {};
  }

  KernelFrame &frame;
  const graph::LibraryCall &call;
  gpu::GPUModuleOp module;
  Emitter &e;
  Type pointer, i64;
};

} // namespace

void emitLibraryCallOnGpu(KernelFrame &frame, const graph::LibraryCall &call, ValueRange params,
                          ModuleOp module) {
  GpuLibraryEmitter(frame, call, module).run(params);
}

} // namespace ciuic::codegen
