// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See Compiler.h. The stages in order; each either hands on or ends the compilation with coded
// diagnostics.
#include "tools/ciuicc/Compiler.h"

#include "codegen/CudaBackend.h"
#include "codegen/HostBackend.h"
#include "codegen/Program/ProgramBuilder.h"
#include "frontend/Import.h"
#include "ir/Diagnostics.h"
#include "ir/Graph/BlockWeights.h"
#include "ir/Graph/CudaLibrary.h"
#include "ir/Mem/Mem.h"
#include "ir/Plan/Plan.h"
#include "kernels/VendorCalls.h"
#include "passes/Legalize/Legalize.h"
#include "passes/Offload/BuildProblem.h"
#include "passes/Pipelines.h"
#include "tools/ciuicc/Compression.h"
#include "tools/ciuicc/Machine.h"
#include "tools/ciuicc/Summary.h"
#include "tools/report/Report.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/ToolOutputFile.h"
#include "llvm/Support/xxhash.h"

#include <cmath>
#include <thread>
#include <unistd.h>

using namespace mlir;

namespace ciuic::tool {
namespace {

constexpr int64_t granule = solver::kBudgetGranule;

int64_t roundUp(int64_t bytes) { return (bytes + granule - 1) / granule * granule; }

class Compilation {
public:
  Compilation(const Options &options, const OnStage &onStage)
      : options(options), onStage(onStage), context(registry(), MLIRContext::Threading::DISABLED) {
    context.loadAllAvailableDialects();
    context.printOpOnDiagnostic(false);
    context.getDiagEngine().registerHandler(
        [this](Diagnostic &diagnostic) { collect(diagnostic); });
  }

  Outcome run() {
    Outcome outcome;
    outcome.ok = stages();
    outcome.failure = std::move(failure);
    if (!outcome.ok && outcome.failure.code.empty()) {
      outcome.failure.code = "internal.no-diagnostic";
      outcome.failure.message = "the compiler stopped without saying why; please report this model";
    }
    outcome.summary = std::move(summary);
    return outcome;
  }

private:
  static DialectRegistry registry() {
    DialectRegistry registry;
    codegen::registerCodegen(registry);
    registry.insert<onnx::OnnxDialect, graph::GraphDialect, mem::MemDialect, plan::PlanDialect,
                    func::FuncDialect, arith::ArithDialect, math::MathDialect>();
    return registry;
  }

  void collect(Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() != DiagnosticSeverity::Error) {
      return;
    }
    std::string text = diagnostic.str();
    auto [code, message] = splitErrorCode(text);
    if (failure.code.empty()) {
      failure.code = code.empty() ? "internal.verifier" : std::string(code);
    }
    if (code == "infeasible.budget") {
      failure.nearestBudget =
          module->getOperation()->getAttrOfType<IntegerAttr>("mem.nearest_budget").getInt();
    }
    std::string line;
    if (auto location = dyn_cast<NameLoc>(diagnostic.getLocation())) {
      std::string name = location.getName().str();
      bool isFile = name == options.model || name == llvm::sys::path::filename(options.model);
      if (message.find(isFile ? name : "node \"") == std::string::npos) {
        line = (isFile ? name : "node \"" + name + "\"") + ": ";
      }
    }
    line += std::string(message);
    for (Diagnostic &note : diagnostic.getNotes()) {
      line += "\n  " + note.str();
    }
    failure.message += (failure.message.empty() ? "" : "\n") + line;
  }

  bool fail(std::string code, std::string message) {
    failure.code = std::move(code);
    failure.message = std::move(message);
    return false;
  }

  bool runPasses(ModuleOp target, llvm::function_ref<void(OpPassManager &)> build) {
    PassManager manager(&context);
    build(manager);
    return succeeded(manager.run(target));
  }

  PipelineOptions pipeline() const {
    return {!options.disableRaise, !options.disableFusion, device.profileName,
            !options.noState,      options.states,         options.cacheFormat == "int8"};
  }

  /// Writes a file, or standard output for "-". A file that cannot be written as a whole is
  /// removed.
  static std::error_code writeFile(const std::string &path,
                                   llvm::function_ref<void(llvm::raw_ostream &)> write) {
    std::error_code error;
    llvm::ToolOutputFile file(path, error, llvm::sys::fs::OF_None);
    if (error) {
      return error;
    }
    write(file.os());
    file.os().flush();
    error = file.os().error();
    file.os().clear_error(); // else its destructor ends the process
    if (!error) {
      file.keep();
    }
    return error;
  }

  /// Prints the module and ends the compilation, if this is the level asked for.
  bool stopsAfter(const char *level) {
    if (options.stopAfter != level) {
      return false;
    }
    const std::string path = options.output.empty() ? "-" : options.output;
    if (std::error_code error = writeFile(path, [&](llvm::raw_ostream &os) {
          module->print(os);
          os << '\n';
        })) {
      fail("environment.write-text",
           (path == "-" ? "standard output" : path) + ": " + error.message());
    }
    return true;
  }

  bool stages() {
    auto deviceOrError = chooseDevice(options);
    if (auto *error = std::get_if<std::string>(&deviceOrError)) {
      auto [code, message] = splitErrorCode(*error);
      return fail(std::string(code), std::string(message));
    }
    device = std::get<Device>(std::move(deviceOrError));
    auto policyOrError = compress::parsePolicy(options.quality, options.formats);
    if (auto *error = std::get_if<std::string>(&policyOrError)) {
      auto [code, message] = splitErrorCode(*error);
      return fail(std::string(code), std::string(message));
    }
    policy = std::get<compress::FormatPolicy>(policyOrError);
    policy.roundRows &= !device.target.cuda; // its kernels multiply rows as they are
    if (options.cacheFormat != "native" && policy.quality == compress::Quality::Exact) {
      return fail("usage.kv", "--kv int8 changes results: name the quality to give up for it, "
                              "--quality near, balanced or small");
    }
    if (!checkFolders()) {
      return false;
    }

    onStage("importing", -1);
    auto imported = frontend::importOnnx(options.model, context);
    if (failed(imported)) {
      return false;
    }
    files = imported->files;
    module = std::move(imported->module);
    if (stopsAfter("onnx")) {
      return failure.code.empty();
    }

    onStage("legalizing", -1);
    if (!legalizeEntries()) {
      return false;
    }
    if (device.target.cuda) {
      (*module)->setAttr("graph.device", StringAttr::get(&context, "cuda"));
    }
    onStage("fusing", -1);
    if (!runPasses(*module, [&](OpPassManager &m) { buildGraphPipeline(m, pipeline()); })) {
      return false;
    }
    if (policy.quality != compress::Quality::Exact && !compressWeights()) {
      return false;
    }
    if (stopsAfter("graph")) {
      return failure.code.empty();
    }
    onStage("planning", -1);
    if (!runPasses(*module, [](OpPassManager &m) { buildMemPipeline(m); })) {
      return false;
    }
    if (policy.quality == compress::Quality::Exact && !setBudget(*module)) {
      return false;
    }
    if (!options.report.empty()) {
      auto arena = (*module)->getAttrOfType<IntegerAttr>("mem.budget");
      offload = viewOf(*module, device.profile, arena.getInt()).problem;
    }
    if (!runPasses(*module, [&](OpPassManager &m) { buildOffloadPipeline(m, pipeline()); })) {
      return false;
    }
    if (stopsAfter("mem")) {
      return failure.code.empty();
    }
    if (!runPasses(*module, [](OpPassManager &m) { buildPlanPipeline(m); })) {
      return false;
    }
    if (stopsAfter("plan")) {
      return failure.code.empty();
    }
    auto pinned = (*module)->getAttrOfType<IntegerAttr>("plan.host_bytes");
    reserveBytes = std::min(reserveBytes, reserveBeside(pinned.getInt()));
    summary = summarize(*module, options, report, budgetBytes, reserveBytes);
    return (options.dryRun || write()) && (options.report.empty() || writeReport());
  }

  /// Minutes of compiling would be lost where a file cannot be made in the end.
  bool checkFolders() {
    auto canWrite = [&](const std::string &path, const char *code) {
      llvm::StringRef folder = llvm::sys::path::parent_path(path);
      std::error_code error =
          llvm::sys::fs::access(folder.empty() ? "." : folder, llvm::sys::fs::AccessMode::Write);
      return !error || fail(code, path + ": its folder cannot be written: " + error.message());
    };
    bool makesProgram = !options.dryRun && options.stopAfter.empty();
    return (!makesProgram || canWrite(options.output, "environment.write-program")) &&
           (options.report.empty() || canWrite(options.report, "environment.write-report"));
  }

  bool legalizeEntries() {
    legalize::LegalizeOptions legalizeOptions;
    for (const std::string &text : options.entries) {
      legalize::EntrySpec entry;
      std::string error;
      if (!legalize::parseEntry(text, entry, error)) {
        return fail("usage.entry", error);
      }
      legalizeOptions.entries.push_back(std::move(entry));
    }
    legalizeOptions.readWeight = [this](onnx::WeightAttr weight, Location location,
                                        std::vector<char> &bytes) {
      bytes.resize(weight.getBytes());
      std::string error;
      if (!files->read(weight, 0, bytes, error)) {
        emitError(location) << error;
        return false;
      }
      return true;
    };
    return succeeded(legalize::legalize(*module, legalizeOptions, &report));
  }

  /// Gives weights their formats: the need, and so the budget, are those of the weights as the
  /// model stores them.
  bool compressWeights() {
    onStage("choosing formats", -1);
    OwningOpRef<ModuleOp> exact = cast<ModuleOp>((*module)->clone());
    if (!runPasses(*exact, [](OpPassManager &m) { buildMemPipeline(m); }) || !setBudget(*exact)) {
      return false;
    }
    CompressionInput input;
    input.graph = *module;
    input.exact = *exact;
    input.policy = policy;
    input.arenaBytes = (*module)->getAttrOfType<IntegerAttr>("mem.budget").getInt();
    input.threads = threadCount();
    input.read = fileReader();
    return succeeded(chooseFormats(input, device.profile)) &&
           runPasses(*module, [](OpPassManager &m) { buildFormatPipeline(m); });
  }

  ReadFile fileReader() const {
    return [this](int64_t file, int64_t offset, MutableArrayRef<char> out, std::string &error) {
      return files->readFile(file, offset, out, error);
    };
  }

  unsigned threadCount() const {
    return options.threads ? options.threads : std::max(1u, std::thread::hardware_concurrency());
  }

  /// What the device's own software takes beside a plan that pins so much host memory.
  int64_t reserveBeside(int64_t pinnedBytes) const {
    return options.reserve ? *options.reserve
                           : cost::reserveOf(device.profile, callsConvolutions, pinnedBytes);
  }

  /// The need, and from it the budget in bytes. `planned` is the module, or its clone, at the mem
  /// level.
  bool setBudget(ModuleOp planned) {
    ModuleView view = viewOf(planned, device.profile, std::nullopt);
    solver::OffloadOptions all;
    all.streaming = false;
    auto solved = solver::solveOffload(view.problem, all);
    auto *resident = std::get_if<solver::OffloadPlan>(&solved);
    if (!resident) {
      return fail("internal.need", "the plan that keeps everything in memory does not exist");
    }
    int64_t need = roundUp(resident->arenaBytes);
    for (graph::KernelOp kernel : planned.getOps<graph::KernelOp>()) {
      auto call = graph::libraryCallOf(kernel);
      if (failed(call)) {
        return false;
      }
      callsConvolutions |= *call && (*call)->vendor && (*call)->function == kernels::kVendorConv;
    }
    // A plan that does not keep everything pins some of it, at most the need.
    int64_t keeping = reserveBeside(0), streaming = reserveBeside(need);
    int64_t reserve = keeping;
    switch (options.budget.kind) {
    case Budget::Kind::Need:
      budgetBytes = reserve + need;
      break;
    case Budget::Kind::Percent:
      reserve = options.budget.percent < 100 ? streaming : keeping;
      budgetBytes = reserve + static_cast<int64_t>(std::floor(options.budget.percent / 100 *
                                                              static_cast<double>(need)));
      break;
    case Budget::Kind::Bytes:
      budgetBytes = options.budget.bytes;
      break;
    case Budget::Kind::Auto:
      budgetBytes = freeBytes(device) / granule * granule;
      if (budgetBytes == 0) {
        return fail("usage.no-gpu", "--vram auto: no GPU answers on this machine; give a size");
      }
      break;
    }
    if (budgetBytes - keeping < need) {
      reserve = streaming;
    }
    reserveBytes = reserve;
    // The arena is counted in granules, so the budget that it may fill is too.
    int64_t arena = std::max<int64_t>(0, budgetBytes - reserve) / granule * granule;
    Builder b(&context);
    (*module)->setAttr("mem.budget", b.getI64IntegerAttr(arena));
    if (options.hostMemory) {
      (*module)->setAttr("mem.host_memory", b.getI64IntegerAttr(*options.hostMemory));
    }
    (*module)->setAttr("mem.reserve", b.getI64IntegerAttr(reserve));
    (*module)->setAttr("mem.need", b.getI64IntegerAttr(need));
    (*module)->setAttr("mem.resident_budget", b.getI64IntegerAttr(keeping + need));
    return true;
  }

  /// The page is drawn from the solver's own answer: the same problem has the same plan.
  bool writeReport() {
    auto solved = solver::solveOffload(offload);
    auto *plan = std::get_if<solver::OffloadPlan>(&solved);
    if (!plan) {
      return fail("internal.report", "the plan of the report does not exist");
    }
    ReportInfo info{options.model, options.quality, device.profile.name,
                    budgetBytes,   reserveBytes,    {}};
    for (const auto &row : summary["formats"]) {
      info.formats.push_back({row["name"], row["format"], row["bytes"], row["relative_error"]});
    }
    if (std::error_code error = writeFile(options.report, [&](llvm::raw_ostream &os) {
          os << htmlReport(offload, *plan, info);
        })) {
      return fail("environment.write-report", options.report + ": " + error.message());
    }
    return true;
  }

  bool write() {
    onStage("generating kernels", -1);
    codegen::ProgramInfo info;
    std::vector<codegen::KernelLibrary> libraries;
    SmallVector<graph::KernelOp> kernels(module->getOps<graph::KernelOp>());
    if (failed(device.target.cuda ? generateForCuda(kernels, info, libraries)
                                  : generateForHost(kernels, info, libraries))) {
      return false;
    }
    info.producer = "ciuicc " CIUIC_TOOL_VERSION;
    info.quality = options.quality;
    info.profileName = device.profile.name;
    info.profileHash = cost::profileHash(device.profile);
    info.modelHash = modelHash();
    info.budgetBytes = budgetBytes;
    info.threads = threadCount();
    info.reserveBytes = reserveBytes;
    return succeeded(codegen::writeProgram(
        *module, options.output, info, libraries, fileReader(),
        [this](int64_t done, int64_t total) {
          onStage("packing weights",
                  total ? static_cast<double>(done) / static_cast<double>(total) : 1);
        }));
  }

  LogicalResult generateForHost(ArrayRef<graph::KernelOp> kernels, codegen::ProgramInfo &info,
                                std::vector<codegen::KernelLibrary> &libraries) {
    codegen::HostOptions host;
    host.threads = threadCount();
    auto code = codegen::compileHostKernels(kernels, host);
    if (failed(code)) {
      return mlir::failure();
    }
    libraries.push_back({"x86-64-v3", std::string(code->v3.begin(), code->v3.end())});
    if (!code->v4.empty()) {
      libraries.push_back({"x86-64-v4", std::string(code->v4.begin(), code->v4.end())});
    }
    info.target = "x86-64";
    return success();
  }

  LogicalResult generateForCuda(ArrayRef<graph::KernelOp> kernels, codegen::ProgramInfo &info,
                                std::vector<codegen::KernelLibrary> &libraries) {
    codegen::CudaOptions cuda;
    cuda.threads = threadCount();
    cuda.capabilities.clear();
    for (const std::string &architecture : device.target.architectures) {
      cuda.capabilities.push_back(std::atoi(architecture.c_str() + 3));
      info.target += (info.target.empty() ? "" : ",") + architecture;
    }
    auto code = codegen::compileCudaKernels(kernels, cuda);
    if (failed(code)) {
      return mlir::failure();
    }
    summary["assembler"] = code->ptxas;
    for (const codegen::CudaBlob &blob : code->blobs) {
      libraries.push_back({blob.variant, std::string(blob.bytes.begin(), blob.bytes.end())});
    }
    info.deviceKind = "cuda";
    for (graph::KernelOp kernel : kernels) {
      auto call = graph::libraryCallOf(kernel);
      if (failed(call)) {
        return mlir::failure();
      }
      if (*call && (*call)->vendor) {
        continue;
      }
      codegen::LaunchSize &size = info.launches[kernel.getSymName().str()];
      if (*call) {
        kernels::cuda::Block block = graph::cudaBlockOf(**call);
        size = {block.threads, block.sharedBytes, block.maxGrid, block.overlaps, 0, 0, false};
        continue;
      }
      auto launch = codegen::cudaLaunchOf(kernel);
      if (failed(launch)) {
        return mlir::failure();
      }
      size = {launch->threads,     launch->sharedBytes, launch->grid, launch->overlaps,
              launch->leastShared, launch->together,    true};
    }
    return success();
  }

  /// Of the plan's text: two programs with the same hash take the same steps.
  uint64_t modelHash() {
    std::string text;
    llvm::raw_string_ostream os(text);
    module->print(os);
    return llvm::xxh3_64bits(text);
  }

  const Options &options;
  const OnStage &onStage;
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  std::shared_ptr<onnx::WeightFiles> files;
  legalize::LegalizeReport report;
  Device device;
  compress::FormatPolicy policy;
  solver::OffloadProblem offload; ///< the problem that the plan solves, kept for the report
  int64_t budgetBytes = 0, reserveBytes = 0;
  bool callsConvolutions = false;
  Failure failure;
  nlohmann::ordered_json summary;
};

} // namespace

Outcome compile(const Options &options, const OnStage &onStage) {
  return Compilation(options, onStage).run();
}

} // namespace ciuic::tool
