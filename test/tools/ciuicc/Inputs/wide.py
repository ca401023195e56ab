# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes a model whose output outweighs all else: y = relu(x w + b) of 2000 columns, of which the last panel is not full."""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def wide():
    rng = np.random.default_rng(3)
    w = rng.standard_normal((64, 2000), np.float32) / 8
    b = rng.standard_normal(2000, np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"], "project"), helper.make_node("Add", ["p", "b"], ["s"], "shift"),
             helper.make_node("Relu", ["s"], ["y"], "rectify")]
    graph = helper.make_graph(nodes, "wide", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2000])],
                              [numpy_helper.from_array(w.astype(np.float32), "w"), numpy_helper.from_array(b, "b")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


if __name__ == "__main__":
    onnx.save(wide(), sys.argv[1])
