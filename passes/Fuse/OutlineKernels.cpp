// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Fusions become kernels. Equal ones share: same template, types, symbols and marks of the
// arguments, and equivalent bodies, so two layers that differ only in their weights launch the same
// code.
#include "passes/Fuse/Marks.h"
#include "passes/Fuse/Passes.h"

#include "mlir/IR/OperationSupport.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_OUTLINEKERNELS
#include "passes/Fuse/Passes.h.inc"
} // namespace ciuic

namespace {

struct OutlineKernelsPass : ciuic::impl::OutlineKernelsBase<OutlineKernelsPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    llvm::DenseMap<llvm::hash_code, SmallVector<KernelOp, 1>> kernels;
    llvm::StringMap<unsigned> names;
    auto functions = llvm::to_vector(module.getOps<func::FuncOp>());
    for (func::FuncOp function : functions) {
      auto symbols = function->getAttrOfType<ArrayAttr>("graph.symbols");
      symbols = symbols ? symbols : ArrayAttr::get(&getContext(), {});
      // Marks are looked up through append fusions, so they are collected before any fusion is
      // replaced.
      SmallVector<std::pair<FusionOp, ArrayAttr>> fusions;
      for (auto fusion : function.getOps<FusionOp>()) {
        fusions.push_back(
            {fusion,
             ArrayAttr::get(&getContext(),
                            llvm::map_to_vector(fusion.getInputs(), [&](Value v) -> Attribute {
                              return ciuic::marksOf(v, function);
                            }))});
      }
      for (auto [fusion, marks] : fusions) {
        FunctionType type =
            Builder(&getContext())
                .getFunctionType(fusion.getInputs().getTypes(), fusion.getResultTypes());
        auto &bucket = kernels[keyOf(fusion, type, symbols, marks)];
        auto *same = llvm::find_if(bucket, [&](KernelOp other) {
          return other.getTemplateKind() == fusion.getTemplateKind() &&
                 other.getFunctionType() == type && other.getSymbols() == symbols &&
                 other.getArgAttrsAttr() == marks &&
                 OperationEquivalence::isRegionEquivalentTo(&other.getBody(), &fusion.getBody(),
                                                            OperationEquivalence::IgnoreLocations);
        });
        KernelOp kernel = same == bucket.end() ? KernelOp() : *same;
        OpBuilder b(fusion);
        if (!kernel) {
          std::string name = kernelName(fusion, function);
          unsigned number = names[name]++;
          OpBuilder top = OpBuilder::atBlockEnd(module.getBody());
          auto one = AffineMap::getConstantMap(1, &getContext());
          kernel = KernelOp::create(top, fusion.getLoc(), (name + "_" + Twine(number)).str(), type,
                                    fusion.getTemplateKind(), symbols, one, int64_t(0), marks);
          kernel.getBody().takeBody(fusion.getBody());
          if (isForCuda(module)) {
            kernel->setAttr("graph.device", b.getStringAttr("cuda"));
          }
          bucket.push_back(kernel);
        }
        auto launch =
            LaunchOp::create(b, fusion.getLoc(), fusion.getResultTypes(),
                             FlatSymbolRefAttr::get(kernel.getSymNameAttr()), fusion.getInputs());
        fusion.replaceAllUsesWith(launch.getResults());
        fusion.erase();
      }
    }
  }

  /// Equal for equivalent fusions; which ops the body holds tells most others apart.
  static llvm::hash_code keyOf(FusionOp fusion, FunctionType type, ArrayAttr symbols,
                               ArrayAttr marks) {
    llvm::hash_code hash = llvm::hash_combine(fusion.getTemplateKind(), type, symbols, marks);
    for (Operation &op : fusion.getBody().front()) {
      hash = llvm::hash_combine(hash, op.getName().getAsOpaquePointer());
    }
    return hash;
  }

  /// entry_template_op: says in a trace what runs.
  static std::string kernelName(FusionOp fusion, func::FuncOp function) {
    std::string name =
        (function.getName() + "_" + stringifyTemplate(fusion.getTemplateKind())).str();
    for (Operation &op : fusion.getBody().front().without_terminator()) {
      StringRef mnemonic = op.getName().stripDialect();
      if (mnemonic != stringifyTemplate(fusion.getTemplateKind()) && mnemonic != "map") {
        name += ("_" + mnemonic).str();
        break;
      }
    }
    return name;
  }
};

} // namespace
