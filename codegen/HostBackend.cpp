// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// LLVM's optimiser and x86 back end over generated kernels, one object per kernel and variant;
// threads take kernels in turn, the link takes the objects in the kernels' order, so the bytes do
// not depend on the number of threads.
#include "codegen/HostBackend.h"
#include "codegen/BackEnd.h"
#include "codegen/Kernel/Generator.h"
#include "codegen/Linker.h"
#include "codegen/Lowering.h"
#include "kernels/host/Embed.h"

#include "mlir/IR/Verifier.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/Utils/Cloning.h"

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
  llvm::PipelineTuningOptions tuning;
  // The generator has chosen vectors and accumulators; tails are short.
  tuning.LoopVectorization = false;
  tuning.SLPVectorization = false;
  tuning.LoopInterleaving = false;
  tuning.LoopUnrolling = false;
  return optimiseAndEmit(module, machine, llvm::OptimizationLevel::O2, tuning,
                         llvm::CodeGenFileType::ObjectFile);
}

using Objects = std::vector<llvm::SmallVector<char, 0>>;

/// A thread's own context and target machines.
class Worker {
public:
  Worker() {
    for (const Variant &variant : variants) {
      machines.push_back(machineFor(variant));
    }
  }

  /// Object `number` of each variant from a kernel's text; an error text on failure.
  std::string compile(const std::string &text, MutableArrayRef<Objects> objects, size_t number) {
    return reader.read(text,
                       [&](graph::KernelOp kernel) { return compile(kernel, objects, number); });
  }

private:
  std::string compile(graph::KernelOp kernel, MutableArrayRef<Objects> objects, size_t number) {
    OwningOpRef<ModuleOp> module = ModuleOp::create(kernel.getLoc());
    if (failed(generateKernel(kernel, *module, Device::host)) || failed(verify(*module))) {
      return "the kernel could not be generated";
    }
    llvm::LLVMContext llvmContext;
    std::unique_ptr<llvm::Module> code = lowerToLLVM(*module, Device::host, llvmContext);
    if (!code) {
      return "the kernel could not be lowered";
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

  KernelReader reader;
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
  std::vector<std::string> texts = kernelTexts(kernels), messages(kernels.size());
  shareJobs<Worker>(kernels.size(), options.threads, [&](Worker &worker, size_t i) {
    messages[i] = worker.compile(texts[i], objects, i);
  });
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
