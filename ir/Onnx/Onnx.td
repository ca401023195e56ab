// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The whole `onnx` dialect, for tablegen.
include "ir/Onnx/OnnxBase.td"
include "ir/Onnx/OnnxTypes.td"
include "ir/Onnx/OnnxAttrs.td"
include "ir/Onnx/OnnxOps.td"
