// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// LLVM's NVPTX back end over generated kernels: see PtxBackend.h. No libdevice: the elementary
// functions are ours.
#include "codegen/PtxBackend.h"
#include "codegen/Kernel/Generator.h"
#include "codegen/Lowering.h"

#include "mlir/IR/Verifier.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

using namespace mlir;

namespace ciuic::codegen {

FailureOr<std::string> emitPtx(graph::KernelOp kernel, StringRef chip) {
  LLVMInitializeNVPTXTarget();
  LLVMInitializeNVPTXTargetInfo();
  LLVMInitializeNVPTXTargetMC();
  LLVMInitializeNVPTXAsmPrinter();
  kernel.getContext()->loadAllAvailableDialects();
  OwningOpRef<ModuleOp> module = ModuleOp::create(kernel.getLoc());
  if (failed(generateKernel(kernel, *module, Device::gpu)) || failed(verify(*module))) {
    return failure();
  }
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> code = lowerToLLVM(*module, Device::gpu, context);
  if (!code) {
    return kernel.emitError("kernel '")
           << kernel.getSymName() << "' could not be lowered for a GPU";
  }
  std::string error;
  llvm::Triple triple("nvptx64-nvidia-cuda");
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target) {
    return kernel.emitError("no PTX back end: ") << error;
  }
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Standard;
  std::unique_ptr<llvm::TargetMachine> machine(target->createTargetMachine(
      triple, chip, "", options, llvm::Reloc::PIC_, {}, llvm::CodeGenOptLevel::Aggressive));
  code->setTargetTriple(triple);
  code->setDataLayout(machine->createDataLayout());
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder passes(machine.get());
  passes.registerModuleAnalyses(modules);
  passes.registerCGSCCAnalyses(components);
  passes.registerFunctionAnalyses(functions);
  passes.registerLoopAnalyses(loops);
  passes.crossRegisterProxies(loops, functions, components, modules);
  passes.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3).run(*code, modules);
  llvm::SmallString<0> text;
  llvm::raw_svector_ostream stream(text);
  llvm::legacy::PassManager emit;
  if (machine->addPassesToEmitFile(emit, stream, nullptr, llvm::CodeGenFileType::AssemblyFile)) {
    return kernel.emitError("the PTX back end writes no assembly");
  }
  emit.run(*code);
  return std::string(text);
}

} // namespace ciuic::codegen
