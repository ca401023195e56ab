// RUN: not ciuic-opt %s --ciuic-legalize=entries=main:sea=1 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not ciuic-opt %s --ciuic-legalize=entries=main:s=1 2>&1 | FileCheck %s --check-prefix=AMBIGUOUS
// RUN: not ciuic-opt %s --ciuic-legalize=entries=main:seq=3..1 2>&1 | FileCheck %s --check-prefix=EMPTY

// UNKNOWN: [usage.entry-dim] entry 'main': dim 'sea' is not a dim of the model; the model's dims are 'seq', 'side'
// AMBIGUOUS: [usage.entry-dim] entry 'main': dim 's' fits several dims; the model's dims are 'seq', 'side'
// EMPTY: [usage.entry] --entry 'main:seq=3..1': expected dim=n or dim=a..b with 0 <= a <= b, not 'seq=3..1'
onnx.graph @main(%x "x" : tensor<?x?xf32, #onnx.dims<["seq", "side"]>>)
    attributes {files = ["model.onnx"], opset = {ai.onnx = 18 : i64}} {
  onnx.return %x as ["y"] : tensor<?x?xf32, #onnx.dims<["seq", "side"]>>
}
