// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// onnx → graph, and the check that ends the graph level.
#ifndef CIUIC_PASSES_LEGALIZE
#define CIUIC_PASSES_LEGALIZE
include "mlir/Pass/PassBase.td"

def LegalizePass : Pass<"ciuic-legalize", "::mlir::ModuleOp"> {
  let summary = "Import the onnx.graph as one graph-level function per entry";
  let description = [{
    Every operator becomes graph ops; shapes are inferred as expressions of the model's named dims; arithmetic on
    shapes and small constants is done here and leaves no op behind. A branch whose condition is known is followed.

    ```mlir
    onnx.graph @main(%x "x" : tensor<?x4xf32, #onnx.dims<["batch", 4]>>) attributes {…} {
      %y = onnx.node "Relu"(%x) outputs ["y"] : (…) -> tensor<?x4xf32>
      onnx.return %y as ["y"] : tensor<?x4xf32>
    }
    ```
    becomes, for `entries=main:batch=1..8`,
    ```mlir
    func.func @main(%x: tensor<?x4xf32, affine_map<()[s0] -> (s0, 4)>> {graph.name = "x"}) -> (… {graph.name = "y"})
        attributes {graph.symbols = [#graph.symbol<"batch", 1, 8>]} {
      %y = graph.map (%x) [affine_map<(d0, d1) -> (d0, d1)>] { … }
      return %y
    }
    ```
    `graph.constraints` holds expressions that must be zero for the model to make sense, where shapes alone do not say
    so. Operators without an importer are reported together.
  }];
  let options = [ListOption<"entries", "entries", "std::string",
                            "Shape profiles, NAME:dim=a..b:dim=n (a colon between dims, as a comma ends an element)">,
                 Option<"model", "model", "std::string", "\"\"",
                        "The model's file, where weights lie whose values are needed">];
  let dependentDialects = ["::ciuic::graph::GraphDialect", "::mlir::func::FuncDialect", "::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect"];
}

def VerifyGraphLevelPass : Pass<"ciuic-verify-graph-level", "::mlir::ModuleOp"> {
  let summary = "Check that a module is a complete graph level";
  let description = [{
    (V1) nothing of the onnx dialect is left; (V2) every function has `graph.symbols`, and names for arguments and
    results; (V3) every tensor's dims use the function's symbols only and are bounded, not negative, by 2^48 elements at most; (V4) every
    map of a graph.map stays inside its operand, given the function's `graph.constraints`.
  }];
}
#endif
