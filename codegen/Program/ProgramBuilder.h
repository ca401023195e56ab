// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// plan level → program file: metadata one to one, weights packed as they are written.
#pragma once

#include "ir/Graph/BlockWeights.h"
#include "ir/Plan/Plan.h"
#include "mlir/IR/BuiltinOps.h"

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>

namespace ciuic::codegen {

/// A library that holds all kernels of the program, for one instruction set or GPU.
struct KernelLibrary {
  std::string variant;
  std::string bytes;
};

/// How a GPU launches a kernel.
struct LaunchSize {
  int64_t threads = 0, sharedBytes = 0, maxGrid = 0;
  bool overlaps = false;                 ///< waits by itself for the kernel before it
  int64_t leastShared = 0, together = 0; ///< of the program format
  bool fixedGrid = false; ///< every launch has maxGrid blocks; else as many as it has units
};

/// What the file says about its making.
struct ProgramInfo {
  std::string deviceKind = "host", target, producer, quality = "exact", profileName;
  uint64_t modelHash = 0, profileHash = 0;
  int64_t budgetBytes = 0, reserveBytes = 0;
  unsigned threads = 1;                       ///< that pack weights; the bytes do not depend on it
  std::map<std::string, LaunchSize> launches; ///< of a GPU's kernels with code, by name
};

/// Called with (bytes written, bytes in all) as weights are packed.
using Progress = std::function<void(int64_t, int64_t)>;

/// Writes the program of a module at the plan level to `path`, whole or not at all; `read` gives
/// the bytes of the model's files, to several threads at once. Emits diagnostics on failure.
mlir::LogicalResult writeProgram(mlir::ModuleOp module, const std::string &path,
                                 const ProgramInfo &info, std::span<const KernelLibrary> libraries,
                                 const ReadFile &read, const Progress &progress = {});

} // namespace ciuic::codegen
