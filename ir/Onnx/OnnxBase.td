// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The `onnx` dialect: what it is and where it stands.
#ifndef CIUIC_IR_ONNX_BASE_TD
#define CIUIC_IR_ONNX_BASE_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"

def OnnxDialect : Dialect {
  let name = "onnx";
  let cppNamespace = "::ciuic::onnx";
  let summary = "ONNX as written";
  let description = [{
    A lossless mirror of an ONNX model, after inlining of model-local functions and before any knowledge of what an
    operator means.

    ```
    ONNX bytes ──frontend──► onnx ──Legalize──► graph
    ```

    * `onnx.graph` is the model: one per module. Its block arguments are the graph's inputs without initialisers.
    * `onnx.node` is any operator, by name, with its attributes in a dictionary and its subgraphs in regions.
    * `onnx.weight` is a tensor whose bytes stay in a file: `#onnx.weight<file, offset, bytes>` says where.
    * `onnx.constant` is a tensor of at most 1 KiB, held in the IR.
    * `onnx.none` stands for an optional input that is left out.
    * A value of known type is a builtin `tensor`. A symbolic dim is `?`, and the encoding `#onnx.dims` keeps what the
      file calls it: `tensor<?x?xi64, #onnx.dims<["batch", "past + seq"]>>`. Nothing known is `!onnx.unknown`.
    * A node's ONNX name is its location: `loc("/model/layers.0/mlp/MatMul")`.

    Signless integers are ONNX's signed ones, `ui8` and the like its unsigned ones, `i1` is BOOL.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
}

#endif
