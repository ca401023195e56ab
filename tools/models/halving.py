# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A model in f32 as a model in f16: weights, constants, inputs and outputs, casts to f32 too. Idempotent."""
import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

LARGEST = 65504.0  # masks hold larger ones


def halved_tensor(tensor, folder):
    """The tensor in f16 with its data inside, if it is f32."""
    if tensor.data_type != TensorProto.FLOAT:
        return
    array = np.clip(numpy_helper.to_array(tensor, str(folder)), -LARGEST, LARGEST).astype(np.float16)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def fixed(graph, opsets):
    """Names of values that ONNX has in f32 alone, as the scales of a Resize."""
    names = set()
    for node in graph.node:
        if not onnx.defs.has(node.op_type, node.domain):
            continue
        formal = onnx.defs.get_schema(node.op_type, opsets[node.domain], node.domain).inputs
        names.update(name for name, parameter in zip(node.input, formal) if parameter.type_str == "tensor(float)")
    return names


def halved_graph(graph, folder, opsets):
    kept = fixed(graph, opsets)
    for tensor in graph.initializer:
        if tensor.name not in kept:
            halved_tensor(tensor, folder)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in graph.node:
        if kept.intersection(node.output):
            continue
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                halved_tensor(attribute.t, folder)
            elif attribute.type == onnx.AttributeProto.GRAPH:
                halved_graph(attribute.g, folder, opsets)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16


def halve(path):
    """Path of NAME-f16.onnx beside the model."""
    path = Path(path)
    target, mark = path.with_name(path.stem + "-f16.onnx"), path.with_name(path.stem + "-f16.stamp")
    current = hashlib.sha256(path.read_bytes() + Path(__file__).read_bytes()).hexdigest()
    if target.exists() and mark.exists() and mark.read_text() == current:
        return target
    model = onnx.load(str(path), load_external_data=False)
    halved_graph(model.graph, path.parent, {o.domain: o.version for o in model.opset_import})
    weights = path.stem + "-f16.bin"
    (path.parent / weights).unlink(missing_ok=True)
    onnx.save(model, str(target), save_as_external_data=True, location=weights, size_threshold=1024)
    mark.write_text(current)
    return target
