// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// LLVM's optimiser and x86 back end over generated kernels, one object per kernel and variant;
// threads take kernels in turn, the link takes the objects in the kernels' order, so the bytes do
// not depend on the number of threads.
#include "codegen/HostBackend.h"
#include "codegen/Kernel/Generator.h"
#include "codegen/Linker.h"
#include "codegen/Lowering.h"
#include "kernels/host/Embed.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/Utils/Cloning.h"

#include <atomic>
#include <thread>

using namespace mlir;

namespace ciuic::codegen {
namespace {

struct Variant {
  const char *cpu;
  kernels::HostVariant library;
};
constexpr Variant variants[] = {{"x86-64-v3", kernels::HostVariant::V3},
                                {"x86-64-v4", kernels::HostVariant::V4}};
constexpr const char *triple = "x86_64-unknown-linux-gnu";

void initialiseTarget() {
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
}

std::unique_ptr<llvm::TargetMachine> machineFor(const Variant &variant) {
  std::string error;
  llvm::Triple target(triple);
  const llvm::Target *entry = llvm::TargetRegistry::lookupTarget(target, error);
  if (!entry) {
    return nullptr;
  }
  llvm::TargetOptions options;
  // Only what carries the `contract` flag is fused: results are the same in both variants.
  options.AllowFPOpFusion = llvm::FPOpFusion::Standard;
  options.FunctionSections = true;
  options.DataSections = true;
  return std::unique_ptr<llvm::TargetMachine>(
      entry->createTargetMachine(target, variant.cpu, "+prefer-256-bit", options, llvm::Reloc::PIC_,
                                 {}, llvm::CodeGenOptLevel::Default));
}

llvm::SmallVector<char, 0> compileModule(llvm::Module &module, llvm::TargetMachine &machine) {
  module.setTargetTriple(llvm::Triple(triple));
  module.setDataLayout(machine.createDataLayout());
  for (llvm::Function &function : module) {
    if (!function.isDeclaration()) {
      function.addFnAttr("target-cpu", machine.getTargetCPU());
      function.addFnAttr("target-features", machine.getTargetFeatureString());
      function.addFnAttr("prefer-vector-width", "256");
      // No loop becomes a call of memcpy: there is no libc to call.
      function.addFnAttr("no-builtins");
      function.addFnAttr(llvm::Attribute::NoUnwind);
    }
  }
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  // The generator has chosen vectors and accumulators; tails are short.
  tuning.LoopVectorization = false;
  tuning.SLPVectorization = false;
  tuning.LoopInterleaving = false;
  tuning.LoopUnrolling = false;
  llvm::PassBuilder passes(&machine, tuning);
  passes.registerModuleAnalyses(modules);
  passes.registerCGSCCAnalyses(components);
  passes.registerFunctionAnalyses(functions);
  passes.registerLoopAnalyses(loops);
  passes.crossRegisterProxies(loops, functions, components, modules);
  passes.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O2).run(module, modules);
  llvm::SmallVector<char, 0> object;
  llvm::raw_svector_ostream stream(object);
  llvm::legacy::PassManager emit;
  if (machine.addPassesToEmitFile(emit, stream, nullptr, llvm::CodeGenFileType::ObjectFile)) {
    return {};
  }
  emit.run(module);
  return object;
}

using Objects = std::vector<llvm::SmallVector<char, 0>>;

// A thread's own MLIR context: contexts are shared between threads only with locks on every type
// and attribute, and not at all while passes declare dialects. Kernels come as text, messages go
// back as text.
struct Worker {
  Worker() : context(registry(), MLIRContext::Threading::DISABLED) {
    context.loadAllAvailableDialects();
    for (const Variant &variant : variants) {
      machines.push_back(machineFor(variant));
    }
  }
  static DialectRegistry registry() {
    DialectRegistry dialects;
    registerCodegen(dialects);
    return dialects;
  }

  // One kernel to one object per variant; an error text on failure.
  std::string compile(StringRef text, MutableArrayRef<Objects> objects, size_t number) {
    std::string message;
    ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
      if (message.empty() && diagnostic.getSeverity() == DiagnosticSeverity::Error) {
        message = diagnostic.str();
      }
      return success();
    });
    auto failed = [&](StringRef fallback) { return message.empty() ? fallback.str() : message; };
    OwningOpRef<ModuleOp> source = parseSourceString<ModuleOp>(text, &context);
    if (!source) {
      return failed("the kernel does not read back");
    }
    auto kernel = *source->getOps<graph::KernelOp>().begin();
    OwningOpRef<ModuleOp> module = ModuleOp::create(kernel.getLoc());
    if (mlir::failed(generateKernel(kernel, *module, Device::host)) ||
        mlir::failed(verify(*module))) {
      return failed("the kernel could not be generated");
    }
    llvm::LLVMContext llvmContext;
    std::unique_ptr<llvm::Module> code = lowerToLLVM(*module, Device::host, llvmContext);
    if (!code) {
      return failed("the kernel could not be lowered");
    }
    for (auto [i, own] : llvm::enumerate(objects)) {
      std::unique_ptr<llvm::Module> copy =
          i + 1 < objects.size() ? llvm::CloneModule(*code) : std::move(code);
      if (!machines[i] || (own[number] = compileModule(*copy, *machines[i])).empty()) {
        return "no machine code could be emitted for " + std::string(variants[i].cpu);
      }
    }
    return "";
  }

  MLIRContext context;
  std::vector<std::unique_ptr<llvm::TargetMachine>> machines;
};

} // namespace

FailureOr<HostCode> compileHostKernels(ArrayRef<graph::KernelOp> kernels,
                                       const HostOptions &options) {
  HostCode code;
  if (kernels.empty()) {
    return code;
  }
  initialiseTarget();
  size_t variantCount = options.v4 ? 2 : 1;
  std::vector<Objects> objects(variantCount, Objects(kernels.size()));
  std::vector<std::string> texts, messages(kernels.size());
  for (graph::KernelOp kernel : kernels) {
    llvm::raw_string_ostream stream(texts.emplace_back());
    kernel->print(stream, OpPrintingFlags().printGenericOpForm());
  }
  std::atomic<size_t> next = 0;
  auto work = [&] {
    Worker worker;
    for (size_t i = next++; i < kernels.size(); i = next++) {
      messages[i] = worker.compile(texts[i], objects, i);
    }
  };
  std::vector<std::thread> pool;
  for (size_t i = 1; i < std::min<size_t>(std::max(1u, options.threads), kernels.size()); ++i) {
    pool.emplace_back(work);
  }
  work();
  for (std::thread &thread : pool) {
    thread.join();
  }
  bool failedAny = false;
  for (auto [op, message] : llvm::zip(kernels, messages)) {
    if (graph::KernelOp kernel = op; !message.empty()) {
      kernel.emitError(message);
      failedAny = true;
    }
  }
  if (failedAny) {
    return failure();
  }
  std::vector<std::string> names;
  for (graph::KernelOp kernel : kernels) {
    names.push_back(kernel.getSymName().str());
  }
  for (size_t i = 0; i < variantCount; ++i) {
    std::vector<StringRef> inputs;
    for (auto &object : objects[i]) {
      inputs.push_back(StringRef(object.data(), object.size()));
    }
    std::string_view library = kernels::hostObject(variants[i].library);
    inputs.push_back(StringRef(library.data(), library.size()));
    std::string error;
    FailureOr<std::vector<char>> linked = linkShared(inputs, names, error);
    if (failed(linked)) {
      return kernels.front()->getParentOp()->emitError(error);
    }
    (i == 0 ? code.v3 : code.v4) = std::move(*linked);
  }
  return code;
}

} // namespace ciuic::codegen
