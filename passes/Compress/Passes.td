// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Compress: in which format weights and caches are stored.
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

def QuantiseStates : Pass<"ciuic-quantise-states", "::mlir::ModuleOp"> {
  let summary = "Keep caches of keys and values as int8, a scale for each row of a head";
  let description = [{
    States that every function appends to and that only attention reads: rows are quantised where they are appended, and
    attention reads them so. On CUDA attention of more than a few queries reads values made of them first. Appends must
    have been raised to states, and attention too.
    ```mlir
    %k = graph.append %past, %fresh axis 2 : … -> tensor<1x8x1024x64xf16>
    %y = graph.attention %q bhsd, %k bhsd, …
    // becomes
    %r = graph.quantise_rows %fresh : tensor<1x8x1x64xf16> -> tensor<1x8x1x72xi8>
    %k = graph.append %past, %r axis 2 : … -> tensor<1x8x1024x72xi8>
    %y = graph.attention %q bhsd, %k bhsd, …
    ```
    `graph.quantised_states` on the module says how many of how many states; none at all is an error.
  }];
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

def ReportSensitivity : Pass<"ciuic-report-sensitivity", "::mlir::ModuleOp"> {
  let summary = "Remark on each weight that can change format: its role, depth and sensitivity";
  let description = [{ Changes nothing. Sensitivities are those of a weight without outliers (a peak of 0). }];
}
