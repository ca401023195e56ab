// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// LLVM's optimiser and x86 back end over generated kernels, one object per kernel and variant; threads take kernels
// in turn, the link takes the objects in the kernels' order, so the bytes do not depend on the number of threads.
#include "codegen/HostBackend.h"
#include "codegen/Kernel/Generator.h"
#include "codegen/Linker.h"
#include "codegen/Lowering.h"
#include "kernels/host/Embed.h"

#include "mlir/IR/Verifier.h"
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
constexpr Variant variants[] = {{"x86-64-v3", kernels::HostVariant::V3}, {"x86-64-v4", kernels::HostVariant::V4}};
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
  return std::unique_ptr<llvm::TargetMachine>(entry->createTargetMachine(
      target, variant.cpu, "+prefer-256-bit", options, llvm::Reloc::PIC_, {}, llvm::CodeGenOptLevel::Default));
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

// One kernel to one object per variant.
LogicalResult compileKernel(graph::KernelOp kernel, ArrayRef<std::unique_ptr<llvm::TargetMachine>> machines,
                            MutableArrayRef<Objects> objects, size_t number) {
  OwningOpRef<ModuleOp> module = ModuleOp::create(kernel.getLoc());
  if (failed(generateKernel(kernel, *module, Device::host)) || failed(verify(*module))) {
    return failure();
  }
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> code = lowerToLLVM(*module, Device::host, context);
  if (!code) {
    return kernel.emitError("kernel '") << kernel.getSymName() << "' could not be lowered";
  }
  for (auto [i, machine] : llvm::enumerate(machines)) {
    std::unique_ptr<llvm::Module> own = i + 1 < machines.size() ? llvm::CloneModule(*code) : std::move(code);
    objects[i][number] = compileModule(*own, *machine);
    if (objects[i][number].empty()) {
      return kernel.emitError("kernel '") << kernel.getSymName() << "' could not be compiled";
    }
  }
  return success();
}

} // namespace

FailureOr<HostCode> compileHostKernels(ArrayRef<graph::KernelOp> kernels, const HostOptions &options) {
  HostCode code;
  if (kernels.empty()) {
    return code;
  }
  initialiseTarget();
  MLIRContext *context = kernels.front()->getContext();
  context->loadAllAvailableDialects();
  size_t variantCount = options.v4 ? 2 : 1;
  std::vector<Objects> objects(variantCount, Objects(kernels.size()));
  std::atomic<size_t> next = 0;
  std::atomic<bool> failedAny = false;
  auto work = [&] {
    std::vector<std::unique_ptr<llvm::TargetMachine>> machines;
    for (size_t i = 0; i < variantCount; ++i) {
      machines.push_back(machineFor(variants[i]));
      if (!machines.back()) {
        failedAny = true;
        return;
      }
    }
    for (size_t i = next++; i < kernels.size() && !failedAny; i = next++) {
      if (failed(compileKernel(kernels[i], machines, objects, i))) {
        failedAny = true;
      }
    }
  };
  unsigned threads = context->isMultithreadingEnabled() ? std::max(1u, options.threads) : 1;
  std::vector<std::thread> pool;
  for (unsigned i = 1; i < std::min<size_t>(threads, kernels.size()); ++i) {
    pool.emplace_back(work);
  }
  work();
  for (std::thread &thread : pool) {
    thread.join();
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
