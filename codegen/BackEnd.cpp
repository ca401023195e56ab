// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See BackEnd.h.
#include "codegen/BackEnd.h"
#include "codegen/HostBackend.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/Target/TargetMachine.h"

using namespace mlir;

namespace ciuic::codegen {

std::vector<std::string> kernelTexts(ArrayRef<graph::KernelOp> kernels) {
  std::vector<std::string> texts;
  for (graph::KernelOp kernel : kernels) {
    llvm::raw_string_ostream stream(texts.emplace_back());
    kernel->print(stream, OpPrintingFlags().printGenericOpForm());
  }
  return texts;
}

static DialectRegistry codegenDialects() {
  DialectRegistry dialects;
  registerCodegen(dialects);
  return dialects;
}

KernelReader::KernelReader() : context(codegenDialects(), MLIRContext::Threading::DISABLED) {
  context.loadAllAvailableDialects();
}

std::string KernelReader::read(const std::string &text,
                               llvm::function_ref<std::string(graph::KernelOp)> use) {
  std::string reported;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    if (reported.empty() && diagnostic.getSeverity() == DiagnosticSeverity::Error) {
      reported = diagnostic.str();
    }
    return success();
  });
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(text, &context);
  std::string said = module ? use(*module->getOps<graph::KernelOp>().begin())
                            : std::string("the kernel does not read back");
  return said.empty() || reported.empty() ? said : reported;
}

llvm::SmallVector<char, 0> optimiseAndEmit(llvm::Module &module, llvm::TargetMachine &machine,
                                           llvm::OptimizationLevel level,
                                           llvm::PipelineTuningOptions tuning,
                                           llvm::CodeGenFileType type) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder passes(&machine, tuning);
  passes.registerModuleAnalyses(modules);
  passes.registerCGSCCAnalyses(components);
  passes.registerFunctionAnalyses(functions);
  passes.registerLoopAnalyses(loops);
  passes.crossRegisterProxies(loops, functions, components, modules);
  passes.buildPerModuleDefaultPipeline(level).run(module, modules);
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager emit;
  if (machine.addPassesToEmitFile(emit, stream, nullptr, type)) {
    return {};
  }
  emit.run(module);
  return bytes;
}

} // namespace ciuic::codegen
