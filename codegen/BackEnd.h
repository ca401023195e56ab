// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the back ends for the host and for GPUs do alike: kernels are compiled by threads, each in
// an MLIR context of its own, and go through LLVM's pipeline to text or an object.
#pragma once

#include "ir/Graph/Graph.h"

#include "mlir/IR/MLIRContext.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/CodeGen.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace llvm {
class Module;
class TargetMachine;
} // namespace llvm

namespace ciuic::codegen {

/// Each kernel as text: contexts are shared between threads only with locks on every type and
/// attribute, and not at all while passes declare dialects.
std::vector<std::string> kernelTexts(llvm::ArrayRef<graph::KernelOp> kernels);

/// A thread's own context, which reads kernels from text and hears what is said of them.
class KernelReader {
public:
  KernelReader();
  /// Gives the kernel of a text to `use`, which says what went wrong, or nothing. Returns the first
  /// error that was reported meanwhile, else what `use` said; empty where all went well.
  std::string read(const std::string &text, llvm::function_ref<std::string(graph::KernelOp)> use);

private:
  mlir::MLIRContext context;
};

/// Calls job(worker, i) for every i below `count`, on at most `threads` threads that each make a
/// Worker of their own. Which thread takes which job is not determined: jobs write where nobody
/// else does.
template <class Worker, class Job>
void shareJobs(size_t count, unsigned threads, Job job) {
  std::atomic<size_t> next = 0;
  auto work = [&] {
    Worker worker;
    for (size_t i = next++; i < count; i = next++) {
      job(worker, i);
    }
  };
  std::vector<std::thread> pool;
  for (size_t i = 1; i < std::min<size_t>(std::max(1u, threads), count); ++i) {
    pool.emplace_back(work);
  }
  work();
  for (std::thread &thread : pool) {
    thread.join();
  }
}

/// Optimises a module as a whole and writes it as text or an object; empty where the machine writes
/// no such file.
llvm::SmallVector<char, 0> optimiseAndEmit(llvm::Module &module, llvm::TargetMachine &machine,
                                           llvm::OptimizationLevel level,
                                           llvm::PipelineTuningOptions tuning,
                                           llvm::CodeGenFileType type);

} // namespace ciuic::codegen
