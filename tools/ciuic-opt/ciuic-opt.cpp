// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// mlir-opt for the four dialects: registers what the tests need and nothing else. A group of passes adds one line.
#include "ir/Graph/Graph.h"
#include "ir/Onnx/Onnx.h"
#include "passes/Legalize/Passes.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  registry.insert<ciuic::onnx::OnnxDialect, ciuic::graph::GraphDialect>();

  mlir::registerCanonicalizerPass();
  mlir::registerCSEPass();
  ciuic::legalize::registerLegalizePasses();

  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "ciuic optimizer driver\n", registry));
}
