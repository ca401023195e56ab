// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// mlir-opt for the four dialects: registers what the tests need and nothing else. A group of passes
// adds one line.
#include "ir/Graph/Graph.h"
#include "ir/Mem/Mem.h"
#include "ir/Onnx/Onnx.h"
#include "ir/Plan/Plan.h"
#include "passes/Compress/Passes.h"
#include "passes/Fuse/Passes.h"
#include "passes/Legalize/Passes.h"
#include "passes/Lower/Passes.h"
#include "passes/Offload/Passes.h"
#include "passes/Raise/Passes.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  registry.insert<mlir::func::FuncDialect, mlir::arith::ArithDialect, mlir::math::MathDialect,
                  ciuic::onnx::OnnxDialect, ciuic::graph::GraphDialect, ciuic::mem::MemDialect,
                  ciuic::plan::PlanDialect>();

  mlir::registerCanonicalizerPass();
  mlir::registerCSEPass();
  ciuic::registerCompressPasses();
  ciuic::registerFusePasses();
  ciuic::legalize::registerLegalizePasses();
  ciuic::registerLowerPasses();
  ciuic::registerOffloadPasses();
  ciuic::registerRaisePasses();

  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "ciuic optimizer driver\n", registry));
}
