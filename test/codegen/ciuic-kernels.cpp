// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Compiles the graph.kernel ops of a file for tests: to a shared object whose functions a script
// calls, or to PTX.
//   ciuic-kernels FILE.mlir OUT.so [DIM…]     host; prints `NAME UNITS SCRATCH [PARAM…]` per kernel
//                                             for these symbols' values (the params are those of a
//                                             launch over a whole weight)
//   ciuic-kernels FILE.mlir --ptx 90          prints the PTX of every kernel for this compute
//                                             capability
//   ciuic-kernels FILE.mlir --cuda OUT 90,80  writes OUT.VARIANT for each blob of code; prints
//                                             `NAME THREADS SHARED GRID CLUSTER` per kernel
// Grids and scratch sizes are those the lowering would set, whatever the file says.
#include "codegen/CudaBackend.h"
#include "codegen/HostBackend.h"
#include "ir/Graph/KernelGeometry.h"
#include "ir/Graph/LibraryCall.h"

#include "mlir/Parser/Parser.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>
#include <cstdlib>
#include <fstream>

using namespace mlir;
using namespace ciuic;

static LogicalResult setGeometry(graph::KernelOp kernel) {
  graph::Bounds bounds;
  for (auto symbol : kernel.getSymbols().getAsRange<graph::SymbolAttr>()) {
    bounds.lower.push_back(symbol.getLower());
    bounds.upper.push_back(symbol.getUpper());
  }
  auto call = graph::libraryCallOf(kernel);
  if (failed(call)) {
    return failure();
  }
  Block &body = kernel.getBody().front();
  AffineExpr grid;
  int64_t scratch = 0;
  if (*call) {
    grid = graph::unitsOf(**call, (*call)->params);
    scratch = graph::scratchOf(**call, bounds.upper);
  } else {
    auto units = graph::gridOf(kernel.getTemplateKind(), body);
    auto bytes = graph::scratchBytesOf(kernel.getTemplateKind(), body, bounds);
    if (failed(units) || failed(bytes)) {
      return kernel.emitError("no geometry follows from the body");
    }
    grid = *units, scratch = *bytes;
  }
  kernel.setGrid(AffineMap::get(0, kernel.getSymbols().size(), grid));
  kernel.setScratch(scratch);
  return success();
}

static LogicalResult writeCuda(ArrayRef<graph::KernelOp> all, StringRef output,
                               StringRef capabilities) {
  // Calls of the host's library have no twin here.
  SmallVector<graph::KernelOp> kernels;
  for (graph::KernelOp kernel : all) {
    if (auto call = graph::libraryCallOf(kernel); succeeded(call) && !*call) {
      kernels.push_back(kernel);
    }
  }
  codegen::CudaOptions options;
  options.threads = 2;
  options.capabilities.clear();
  SmallVector<StringRef> list;
  capabilities.split(list, ',');
  for (StringRef one : list) {
    options.capabilities.push_back(std::atoi(one.str().c_str()));
  }
  auto begin = std::chrono::steady_clock::now();
  auto code = codegen::compileCudaKernels(kernels, options);
  if (failed(code)) {
    return failure();
  }
  double ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  llvm::errs() << kernels.size() << " kernels: " << ms << " ms; ptxas: " << code->ptxas << "\n";
  for (const codegen::CudaBlob &blob : code->blobs) {
    bool isPtx = StringRef(blob.variant).starts_with("compute_");
    std::ofstream((output + "." + (isPtx ? "ptx" : blob.variant)).str(), std::ios::binary)
        .write(blob.bytes.data(), blob.bytes.size());
  }
  for (graph::KernelOp kernel : kernels) {
    auto launch = codegen::cudaLaunchOf(kernel);
    if (failed(launch)) {
      return failure();
    }
    llvm::outs() << kernel.getSymName() << " " << launch->threads << " " << launch->sharedBytes
                 << " " << launch->grid << " " << launch->cluster << " " << launch->leastShared
                 << " " << launch->together << "\n";
  }
  return success();
}

int main(int argc, char **argv) {
  if (argc < 3) {
    llvm::errs() << "usage: ciuic-kernels FILE.mlir OUT.so [DIM…] | FILE.mlir --ptx CAPABILITY | "
                    "FILE.mlir --cuda OUT CAPABILITIES\n";
    return 1;
  }
  DialectRegistry registry;
  codegen::registerCodegen(registry);
  MLIRContext context(registry);
  auto module = parseSourceFile<ModuleOp>(argv[1], &context);
  if (!module) {
    return 1;
  }
  SmallVector<graph::KernelOp> kernels(module->getOps<graph::KernelOp>());
  for (graph::KernelOp kernel : kernels) {
    if (failed(setGeometry(kernel))) {
      return 1;
    }
  }
  if (StringRef(argv[2]) == "--ptx") {
    for (graph::KernelOp kernel : kernels) {
      auto ptx = codegen::emitPtx(kernel, argc > 3 ? std::atoi(argv[3]) : 90);
      if (failed(ptx)) {
        return 1;
      }
      llvm::outs() << *ptx;
    }
    return 0;
  }
  if (StringRef(argv[2]) == "--cuda") {
    return argc < 5 || failed(writeCuda(kernels, argv[3], argv[4]));
  }
  codegen::HostOptions options;
  options.threads = 2;
  auto begin = std::chrono::steady_clock::now();
  auto code = codegen::compileHostKernels(kernels, options);
  if (failed(code)) {
    return 1;
  }
  double ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  llvm::errs() << kernels.size() << " kernels, two variants: " << ms << " ms\n";
  std::ofstream(argv[2], std::ios::binary).write(code->v3.data(), code->v3.size());
  std::ofstream(std::string(argv[2]) + ".v4", std::ios::binary)
      .write(code->v4.data(), code->v4.size());
  SmallVector<int64_t> symbols;
  for (int i = 3; i < argc; ++i) {
    symbols.push_back(std::atoll(argv[i]));
  }
  for (graph::KernelOp kernel : kernels) {
    auto units = graph::evaluate(kernel.getGrid().getResult(0), symbols);
    auto call = graph::libraryCallOf(kernel);
    SmallVector<int64_t> params =
        succeeded(call) && *call ? (*call)->params : SmallVector<int64_t>();
    llvm::outs() << kernel.getSymName() << " " << units.value_or(-1) << " " << kernel.getScratch();
    for (int64_t param : params) {
      llvm::outs() << " " << param;
    }
    llvm::outs() << "\n";
  }
  return 0;
}
