// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// ONNX file → `onnx` dialect: the way into the compiler, and the only place that sees protobuf.
#pragma once
#include "frontend/WireScan.h"
#include "ir/Onnx/Onnx.h"
#include "ir/Onnx/WeightFiles.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include <memory>
#include <string>

namespace ciuic::frontend {

struct ImportOptions {
  ScanLimits limits;
  /// Accept external data with several hard links (a package manager may install so); see
  /// ir/Onnx/SafeOpen.h.
  bool allowHardLinks = false;
};

struct ImportedModel {
  /// A module with one onnx.graph, verified.
  mlir::OwningOpRef<mlir::ModuleOp> module;
  /// The files its weights lie in, open: what was checked is what will be read.
  std::shared_ptr<onnx::WeightFiles> files;
};

/// Imports the model at `path`: pre-scan, external data, inlining of model-local functions. The
/// time and memory it takes do not depend on the size of the weights. Emits one diagnostic with a
/// code and fails if the model is damaged, beyond the limits, or wrong. Loads the dialect into
/// `context`.
mlir::FailureOr<ImportedModel> importOnnx(const std::string &path, mlir::MLIRContext &context,
                                          const ImportOptions &options = {});

} // namespace ciuic::frontend
