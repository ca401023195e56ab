// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Kernels of the graph dialect to code for NVIDIA GPUs: a cubin per architecture where ptxas is at
// hand, and PTX, which any driver can compile for the chips it is meant for and newer ones.
#pragma once

#include "ir/Graph/Graph.h"

#include <string>
#include <vector>

namespace ciuic::codegen {

struct CudaOptions {
  /// Compute capabilities: 80, 86, 89, 90, 100, 120, …
  std::vector<int> capabilities{90};
  /// Threads that compile kernels; the result does not depend on it.
  unsigned threads = 1;
  /// The assembler; where empty, the one that `findPtxas` finds.
  std::string ptxas;
};

/// `variant` is `sm_86` or, for 9.0 alone, `sm_90a` (cubins), or `compute_80` (PTX for that and
/// later capabilities), as the program's table of code names it.
struct CudaBlob {
  std::string variant;
  std::vector<char> bytes;
};

/// The program's code: cubins in the order of the capabilities, then PTX for the lowest. `ptxas` is
/// the assembler that was used; where it is empty there are no cubins.
struct CudaCode {
  std::vector<CudaBlob> blobs;
  std::string ptxas;
};

/// Compiles the kernels of one module; calls of vendor libraries have no code and are left out.
/// Errors are reported at the kernel they belong to.
mlir::FailureOr<CudaCode> compileCudaKernels(llvm::ArrayRef<graph::KernelOp> kernels,
                                             const CudaOptions &options);

/// How a kernel is launched: fixed by the kernel and the bounds of its entry, the same for every
/// architecture.
struct CudaLaunch {
  int64_t threads = 256, sharedBytes = 0, grid = 1;
  int64_t cluster = 1;   ///< The grid is a multiple of it.
  bool overlaps = false; ///< It waits by itself for the kernel before it, from 9.0 on.
  /// Of the shared memory, what the code makes do with; 0: all of it.
  int64_t leastShared = 0;
  /// Where the code has no clusters, all blocks of a launch, a multiple of this, run at once; 0:
  /// they need not.
  int64_t together = 0;
};
mlir::FailureOr<CudaLaunch> cudaLaunchOf(graph::KernelOp kernel);

/// The PTX of one kernel for chips from this capability on, for tests.
mlir::FailureOr<std::string> emitPtx(graph::KernelOp kernel, int capability);

/// ptxas of $CUDA_HOME, $PATH, /usr/local/cuda*, or of the wheels of an active Python environment;
/// empty if there is none.
std::string findPtxas();

} // namespace ciuic::codegen
