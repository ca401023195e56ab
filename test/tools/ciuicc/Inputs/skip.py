# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes a model whose activations outweigh its weights: h0 = relu(x w) is needed again behind layers of twice its width, so
that it has to leave the arena when room is short."""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def skip():
    rng = np.random.default_rng(1)

    def weight(name, rows, columns):
        return numpy_helper.from_array((rng.standard_normal((rows, columns), np.float32) / np.sqrt(rows)).astype(np.float32), name)

    widths = [64, 128, 128, 128, 64, 64, 64]
    weights = [weight("w", 64, 64), *(weight(f"w{i}", *widths[i:i + 2]) for i in range(6))]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"], "enter"), helper.make_node("Relu", ["a"], ["h0"], "keep"),
             *(helper.make_node("MatMul", [f"h{i}", f"w{i}"], [f"h{i + 1}"], f"layer{i}") for i in range(6)),
             helper.make_node("Add", ["h6", "h0"], ["y"], "join")]
    graph = helper.make_graph(nodes, "skip", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 64])], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


if __name__ == "__main__":
    onnx.save(skip(), sys.argv[1])
