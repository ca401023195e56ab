// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Compress: in which format a weight is stored.
include "mlir/Pass/PassBase.td"

def ApplyFormats : Pass<"ciuic-apply-formats", "::mlir::ModuleOp"> {
  let summary = "Store weights in the formats that the module's record names";
  let description = [{
    `graph.formats` has a dictionary per changed weight: its place (`file`, `offset`), the `format`, the relative error
    that was measured and the loss that was predicted. Every `graph.weight` of that place that is in panels takes the
    format; kernels decode it where they multiply. Layouts must have been selected, kernels not yet outlined.
    ```mlir
    module attributes {graph.formats = [{file = 0 : i64, offset = 64 : i64, format = "int8", …} ] } {
      %w = graph.weight "w" file 0 offset 64 bytes 4096 {packing = #graph.packing<"f32", "rows", …>} : tensor<32x32xf32>
    // becomes
      %w = graph.weight "w" … {packing = #graph.packing<"int8", "rows", …>, predicted_loss = …, relative_error = …} : …
    ```
    The record is gone afterwards. A record that names no weight in panels, or an unknown format, is an error.
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

def ReportSensitivity : Pass<"ciuic-report-sensitivity", "::mlir::ModuleOp"> {
  let summary = "Remark on each weight that can change format: its role, depth and sensitivity";
  let description = [{ Changes nothing. Sensitivities are those of a weight without outliers (a peak of 0). }];
}
