// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// LLVM's NVPTX back end over generated kernels: see CudaBackend.h.
//
// Each kernel is a module of its own on its way to PTX: generated, linked with the library
// functions it calls (bitcode, of which only what is needed comes along), optimised as a whole. Its
// private symbols get its name as prefix, so the texts of all kernels make one PTX module. Chips of
// one generation share that text. No libdevice: the elementary functions are ours.
#include "codegen/CudaBackend.h"
#include "codegen/BackEnd.h"
#include "codegen/HostBackend.h"
#include "codegen/Kernel/Generator.h"
#include "codegen/Lowering.h"
#include "codegen/Ptxas.h"
#include "ir/Graph/CudaLibrary.h"
#include "kernels/cuda/Embed.h"

#include "mlir/IR/Verifier.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/IR/Module.h"
#include "llvm/Linker/Linker.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

#include <map>

using namespace mlir;

namespace ciuic::codegen {
namespace {

/// The generation whose instructions a chip's code uses. `exact`: those too that no other chip has,
/// which library functions have a use for.
struct Generation {
  int capability;
  bool exact = false;

  std::string name() const { return std::to_string(capability) + (exact ? "a" : ""); }
  StringRef ptxVersion() const { return capability >= 90 ? "+ptx81" : "+ptx74"; }
  bool operator<(const Generation &o) const {
    return std::pair(capability, exact) < std::pair(o.capability, o.exact);
  }
};
Generation generationOf(int capability) { return {capability >= 90 ? 90 : 80, capability == 90}; }
/// The same without what only one chip has.
Generation portable(Generation generation) { return {generation.capability}; }

void initialiseTarget() {
  LLVMInitializeNVPTXTarget();
  LLVMInitializeNVPTXTargetInfo();
  LLVMInitializeNVPTXTargetMC();
  LLVMInitializeNVPTXAsmPrinter();
}

std::unique_ptr<llvm::TargetMachine> makeMachine(Generation generation) {
  std::string error;
  llvm::Triple triple("nvptx64-nvidia-cuda");
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target) {
    return nullptr;
  }
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Standard;
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, "sm_" + generation.name(), generation.ptxVersion(), options, llvm::Reloc::PIC_, {},
      llvm::CodeGenOptLevel::Aggressive));
}

/// Adds the library functions that `code` calls; says what went wrong.
std::string linkLibrary(llvm::Module &code, Generation generation) {
  std::string_view bitcode = kernels::cudaBitcode(generation.name());
  auto library = llvm::getLazyBitcodeModule(
      llvm::MemoryBufferRef(llvm::StringRef(bitcode.data(), bitcode.size()), "kernels"),
      code.getContext());
  if (!library) {
    return llvm::toString(library.takeError());
  }
  (*library)->setDataLayout(code.getDataLayout());
  if (llvm::Linker::linkModules(code, std::move(*library), llvm::Linker::LinkOnlyNeeded)) {
    return "the library functions do not link";
  }
  return "";
}

/// Leaves the kernel alone visible, under its name; everything else is inlined, or private and
/// named after it.
std::string makePrivate(llvm::Module &code, StringRef kernel) {
  for (llvm::Function &function : code) {
    function.removeFnAttr("target-cpu");
    function.removeFnAttr("target-features");
    if (function.getName() == kernel || function.isIntrinsic()) {
      continue;
    }
    if (function.isDeclaration()) {
      if (function.use_empty()) {
        continue;
      }
      return "the library has no function '" + function.getName().str() + "'";
    }
    function.setLinkage(llvm::GlobalValue::InternalLinkage);
    function.removeFnAttr(llvm::Attribute::NoInline);
    function.removeFnAttr(llvm::Attribute::OptimizeNone);
    function.addFnAttr(llvm::Attribute::AlwaysInline);
    function.setName(kernel + "." + function.getName());
  }
  for (llvm::GlobalVariable &variable : code.globals()) {
    // Dynamic shared memory is a declaration, whose name the back end takes as it is; MLIR's is an
    // array of no elements.
    auto *array = llvm::dyn_cast<llvm::ArrayType>(variable.getValueType());
    if (variable.getAddressSpace() == 3 && array && array->getNumElements() == 0) {
      variable.setInitializer(nullptr);
      variable.setLinkage(llvm::GlobalValue::ExternalLinkage);
    }
    bool isShared = variable.isDeclaration();
    if (!isShared) {
      variable.setLinkage(llvm::GlobalValue::InternalLinkage);
    }
    variable.setName(kernel + (isShared ? "_" : ".") + variable.getName());
  }
  return "";
}

/// PTX of one kernel, or why there is none.
struct Text {
  std::string ptx, error;
};

Text ptxOf(graph::KernelOp kernel, Generation generation) {
  Location loc = kernel.getLoc();
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  if (failed(generateKernel(kernel, *module, Device::gpu, generation.capability)) ||
      failed(verify(*module))) {
    return {"", "the kernel could not be generated"};
  }
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> code = lowerToLLVM(*module, Device::gpu, context);
  if (!code) {
    return {"", "the kernel could not be lowered for a GPU"};
  }
  std::unique_ptr<llvm::TargetMachine> machine = makeMachine(generation);
  if (!machine) {
    return {"", "LLVM has no PTX back end"};
  }
  code->setTargetTriple(machine->getTargetTriple());
  code->setDataLayout(machine->createDataLayout());
  auto call = graph::libraryCallOf(kernel);
  if (succeeded(call) && !*call) {
    GpuPlan plan = *gpuPlanOf(kernel, generation.capability);
    llvm::Function *function = code->getFunction(kernel.getSymName());
    if (plan.cluster > 1) {
      function->addFnAttr("nvvm.cluster_dim", std::to_string(plan.cluster) + ",1,1");
    }
    if (plan.resident > 0) {
      function->addFnAttr("nvvm.minctasm", std::to_string(plan.resident));
    }
  } else {
    if (std::string error = linkLibrary(*code, generation); !error.empty()) {
      return {"", error};
    }
    if (succeeded(call)) { // registers for as many threads as run, not for the most there may be
      const kernels::cuda::Block block = graph::cudaBlockOf(**call);
      llvm::Function *function = code->getFunction(kernel.getSymName());
      function->addFnAttr("nvvm.maxntid", std::to_string(block.threads));
      const bool own = generation.exact && block.ownResident > 0;
      function->addFnAttr("nvvm.minctasm",
                          std::to_string(own ? block.ownResident : block.resident));
    }
  }
  if (std::string error = makePrivate(*code, kernel.getSymName()); !error.empty()) {
    return {"", error};
  }
  llvm::SmallVector<char, 0> text =
      optimiseAndEmit(*code, *machine, llvm::OptimizationLevel::O3, llvm::PipelineTuningOptions(),
                      llvm::CodeGenFileType::AssemblyFile);
  if (text.empty()) {
    return {"", "the PTX back end writes no assembly"};
  }
  return {std::string(text.data(), text.size()), ""};
}

/// One module of all texts: the first one's head, then everyone's body.
std::string joined(ArrayRef<Text> texts, Generation generation) {
  constexpr StringRef kHead = ".address_size 64";
  std::string all;
  for (const Text &text : texts) {
    StringRef ptx = text.ptx;
    size_t head = ptx.find(kHead);
    if (ptx.empty() || head == StringRef::npos) {
      continue;
    }
    if (all.empty()) {
      all = ptx.substr(0, head + kHead.size()).str();
      // The first text may be a portable one.
      std::string target = ".target sm_" + portable(generation).name();
      size_t at = all.find(target + "\n");
      if (at != std::string::npos) {
        all.replace(at, target.size(), ".target sm_" + generation.name());
      }
    }
    all += ptx.drop_front(head + kHead.size());
  }
  return all;
}

} // namespace

FailureOr<std::string> emitPtx(graph::KernelOp kernel, int capability) {
  initialiseTarget();
  kernel.getContext()->loadAllAvailableDialects();
  Text text = ptxOf(kernel, portable(generationOf(capability)));
  if (!text.error.empty()) {
    return kernel.emitError("kernel '") << kernel.getSymName() << "': " << text.error;
  }
  return text.ptx;
}

FailureOr<CudaLaunch> cudaLaunchOf(graph::KernelOp kernel) {
  auto call = graph::libraryCallOf(kernel);
  if (failed(call)) {
    return failure();
  }
  if (*call) {
    kernels::cuda::Block block = graph::cudaBlockOf(**call);
    return CudaLaunch{block.threads, block.sharedBytes, block.maxGrid, 1, block.overlaps, 0, 0};
  }
  FailureOr<GpuPlan> plan = gpuPlanOf(kernel, 90);
  if (failed(plan)) {
    return kernel.emitError("no plan for a GPU follows from this body for template ")
           << graph::stringifyTemplate(kernel.getTemplateKind());
  }
  return CudaLaunch{plan->threads,       plan->sharedBytes, plan->grid,      plan->sharing(),
                    beginsEarly(kernel), plan->leastShared, plan->together()};
}

/// Every kernel's text for every generation that is asked for.
static FailureOr<std::map<Generation, std::vector<Text>>>
compileAll(ArrayRef<graph::KernelOp> kernels, const CudaOptions &options) {
  std::vector<std::string> sources = kernelTexts(kernels);
  // Kernels that call no library function gain nothing from one chip's own instructions: of these
  // there is a portable text alone, which the PTX for any driver is made of anyway.
  std::map<Generation, std::vector<Text>> generations;
  for (int capability : options.capabilities) {
    generations[generationOf(capability)].resize(kernels.size());
    generations[portable(generationOf(capability))].resize(kernels.size());
  }
  std::vector<bool> callsLibrary;
  for (graph::KernelOp kernel : kernels) {
    callsLibrary.push_back(graph::libraryCallOf(kernel)->has_value());
  }
  std::vector<std::pair<Generation, size_t>> jobs;
  for (auto &[generation, texts] : generations) {
    for (size_t i = 0; i < texts.size(); ++i) {
      if (!generation.exact || callsLibrary[i]) {
        jobs.push_back({generation, i});
      }
    }
  }
  shareJobs<KernelReader>(jobs.size(), options.threads, [&](KernelReader &reader, size_t job) {
    auto [generation, i] = jobs[job];
    Text &text = generations.at(generation)[i];
    text.error = reader.read(sources[i], [&, generation = generation](graph::KernelOp kernel) {
      text = ptxOf(kernel, generation);
      return text.error;
    });
  });
  for (auto &[generation, texts] : generations) {
    for (size_t i = 0; generation.exact && i < texts.size(); ++i) {
      if (!callsLibrary[i]) {
        texts[i] = generations.at(portable(generation))[i];
      }
    }
  }
  bool failedAny = false;
  for (auto &[generation, texts] : generations) {
    for (auto [op, text] : llvm::zip(kernels, texts)) {
      if (graph::KernelOp kernel = op; !text.error.empty()) {
        kernel.emitError(text.error);
        failedAny = true;
      }
    }
  }
  if (failedAny) {
    return failure();
  }
  return generations;
}

FailureOr<CudaCode> compileCudaKernels(ArrayRef<graph::KernelOp> all, const CudaOptions &options) {
  CudaCode code;
  SmallVector<graph::KernelOp> kernels;
  for (graph::KernelOp kernel : all) {
    auto call = graph::libraryCallOf(kernel);
    if (failed(call)) {
      return failure();
    }
    if (!*call || !(*call)->vendor) {
      kernels.push_back(kernel);
    }
  }
  if (kernels.empty()) {
    return code;
  }
  initialiseTarget();
  auto texts = compileAll(kernels, options);
  if (failed(texts)) {
    return failure();
  }
  std::map<Generation, std::string> ptx;
  for (auto &[generation, each] : *texts) {
    ptx[generation] = joined(each, generation);
  }
  code.ptxas = options.ptxas.empty() ? findPtxas() : options.ptxas;
  if (!code.ptxas.empty()) {
    std::vector<AssembleJob> assemblies;
    for (int capability : options.capabilities) {
      std::string arch =
          "sm_" + std::to_string(capability) + (generationOf(capability).exact ? "a" : "");
      assemblies.push_back({arch, &ptx.at(generationOf(capability)), {}, ""});
    }
    assemble(code.ptxas, assemblies);
    for (AssembleJob &job : assemblies) {
      if (!job.error.empty()) {
        return kernels.front()->getParentOp()->emitError("ptxas for ")
               << job.arch << ": " << job.error;
      }
      code.blobs.push_back({job.arch, std::move(job.cubin)});
    }
  }
  const auto &[generation, lowest] = *ptx.begin();
  code.blobs.push_back(
      {"compute_" + generation.name(), std::vector<char>(lowest.begin(), lowest.end())});
  code.blobs.back().bytes.push_back(0); // drivers take PTX as a C string
  return code;
}

} // namespace ciuic::codegen
