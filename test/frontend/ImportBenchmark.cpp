// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// `import-benchmark MODEL [--print]`: imports a model, prints the time and the peak memory it took,
// and the IR.
#include "frontend/Import.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <sys/resource.h>

int main(int argc, char **argv) {
  if (argc < 2) {
    llvm::errs() << "usage: import-benchmark MODEL [--print]\n";
    return 2;
  }
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  context.printOpOnDiagnostic(false);
  auto start = std::chrono::steady_clock::now();
  auto model = ciuic::frontend::importOnnx(argv[1], context);
  std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - start;
  if (mlir::failed(model)) {
    return 3;
  }
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  if (argc > 2) {
    model->module->print(llvm::outs());
  }
  size_t operations = 0;
  model->module->walk([&](mlir::Operation *) { ++operations; });
  llvm::outs() << llvm::format("%.1f ms, %ld MiB at most, ", elapsed.count(),
                               usage.ru_maxrss / 1024)
               << operations << " operations, " << model->files->names().size() << " files\n";
  return 0;
}
