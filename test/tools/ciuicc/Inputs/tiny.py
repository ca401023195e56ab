# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes a small model: four linear layers of 256 × 256 (256 KiB each), with a ReLU after the first."""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def tiny():
    rng = np.random.default_rng(0)
    weights = [numpy_helper.from_array(rng.standard_normal((256, 256), np.float32) / 16, f"w{i}") for i in range(4)]
    nodes = [helper.make_node("MatMul", ["x", "w0"], ["h0"], "first"), helper.make_node("Relu", ["h0"], ["r0"], "relu")]
    nodes += [helper.make_node("MatMul", ["r0" if i == 1 else f"h{i - 1}", f"w{i}"], ["y" if i == 3 else f"h{i}"], f"layer{i}")
              for i in range(1, 4)]
    graph = helper.make_graph(nodes, "tiny",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 256])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 256])], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


if __name__ == "__main__":
    onnx.save(tiny(), sys.argv[1])
