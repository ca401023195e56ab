# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ONNX models as protobuf text without weights, and back.

The text is a ModelProto that leaves out what can be put back:
- the numbers of the floating-point initialisers. One above INLINE bytes is an external reference to weights.bin, at an
  offset that is a multiple of PAGE; a smaller one has dims and type alone. tools/models/make decides the numbers.
- the name of a node whose first output is called NAME_output_0;
- indentation, and the byte order of int64 constants, which stand as numbers.
Equal Constant nodes are one node. Everything else is as the exporter wrote it. A text above LARGE bytes is kept
compressed, as model.textproto.xz.
"""
import lzma
import re
from pathlib import Path

import numpy as np
import onnx
from google.protobuf import text_format

INLINE = 1024
PAGE = 4096
LARGE = 1 << 20
GRAPHS = Path(__file__).resolve().parents[2] / "test" / "models"
LOCATION = "weights.bin"
SUFFIX = "_output_0"
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE)
DATA = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")


def committed(name):
    """Path of a committed graph."""
    path = GRAPHS / name / "model.textproto"
    return path if path.exists() else path.with_name(path.name + ".xz")


def tensor_bytes(t):
    count = 1
    for d in t.dims:
        count *= d
    return count * onnx.helper.tensor_dtype_to_np_dtype(t.data_type).itemsize


def reference(t):
    """{key: value} of an external tensor's reference."""
    return {e.key: e.value for e in t.external_data}


def is_external(t):
    return t.data_location == onnx.TensorProto.EXTERNAL


def strip(model):
    """Takes the numbers out of the floating-point initialisers; changes the model and returns it."""
    offset = 0
    for t in model.graph.initializer:
        size = tensor_bytes(t)
        if t.data_type not in FLOATS:
            if size > INLINE:
                raise ValueError(f"{t.name}: an integer initialiser of {size} bytes cannot be generated")
            continue
        for field in DATA:
            t.ClearField(field)
        if size > INLINE:
            t.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", LOCATION), ("offset", offset), ("length", size)):
                t.external_data.add(key=key, value=str(value))
            offset += -(-size // PAGE) * PAGE
    return model


def share_constants(model):
    """Leaves one of several Constant nodes with equal values; the first in node order."""
    first, names, kept = {}, {}, []
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)
        if node.op_type == "Constant":
            key = node.attribute[0].SerializeToString(deterministic=True)
            if key in first:
                names[node.output[0]] = first[key]
                continue
            first[key] = node.output[0]
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        kept.append(copy)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def _constants(model):
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == onnx.TensorProto.INT64:
                yield attribute.t


def write_text(model, path):
    """Writes the text to `path`, or to path.xz where it is large; returns which."""
    share_constants(strip(model))
    for node in model.graph.node:
        node.ClearField("doc_string")
        if node.output[0] == node.name + SUFFIX:
            node.ClearField("name")
        elif not node.name:
            raise ValueError(f"node {node.output[0]} ({node.op_type}) has no name")
    for t in _constants(model):
        values = onnx.numpy_helper.to_array(t)
        t.ClearField("raw_data")
        t.int64_data.extend(values.reshape(-1).tolist())
    header = ("# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception\n"
              "# An ONNX graph without weights, written by tools/models/export.py; graph_text.py says what is left out.\n")
    text = re.sub("^ +", "", text_format.MessageToString(model), flags=re.MULTILINE)
    data = (header + text).encode()
    if len(data) > LARGE:
        path.unlink(missing_ok=True)
        path, data = path.with_name(path.name + ".xz"), lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)
    path.write_bytes(data)
    return path


def read_text(path):
    """The model as exported, but for the numbers of its floating-point initialisers."""
    model = onnx.ModelProto()
    data = path.read_bytes()
    text_format.Parse((lzma.decompress(data) if path.suffix == ".xz" else data).decode(), model)
    for node in model.graph.node:
        if not node.name:
            node.name = node.output[0].removesuffix(SUFFIX)
    for t in _constants(model):
        values = np.array(t.int64_data, np.int64)
        t.ClearField("int64_data")
        t.raw_data = values.tobytes()
    return model
