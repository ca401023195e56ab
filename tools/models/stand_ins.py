# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A model without its weights: the graph, and of each large weight where its values lie. A few hundred kilobytes stand in
for the model on a machine without a network: drawn weights have the mean, the spread and the bounds of the true ones."""
import hashlib
import json
import math
import zlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

import packages

LEAST = 64  # values; smaller weights stay as they are
KEY = "values drawn from"


def place(name):
    return packages.cache() / "stand-ins" / f"{name}.onnx"


def strip(name, path):
    """Writes the stand-in of the model at `path`; its path."""
    model, spreads = onnx.load(str(path)), {}
    for t in model.graph.initializer:
        if t.data_type == TensorProto.FLOAT and math.prod(t.dims) >= LEAST:
            a = numpy_helper.to_array(t).astype(np.float64)
            spreads[t.name] = [float(np.float32(v)) for v in (a.mean(), a.std(), a.min(), a.max())]
            t.CopyFrom(TensorProto(name=t.name, dims=t.dims, data_type=t.data_type))
    model.metadata_props.add(key=KEY, value=json.dumps(spreads))
    target = place(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(model.SerializeToString(deterministic=True))
    return target


def fill(name):
    """Path of the stand-in with weights. Idempotent."""
    source = place(name)
    target, mark = source.with_name(f"{name}-drawn.onnx"), source.with_name(f"{name}-drawn.stamp")
    current = hashlib.sha256(source.read_bytes() + Path(__file__).read_bytes()).hexdigest()
    if target.exists() and mark.exists() and mark.read_text() == current:
        return target
    model = onnx.load(str(source))
    spreads = json.loads(next(p.value for p in model.metadata_props if p.key == KEY))
    for t in model.graph.initializer:
        if t.name in spreads:
            mean, deviation, least, most = spreads[t.name]
            draw = np.random.default_rng(zlib.crc32(t.name.encode())).standard_normal(list(t.dims), dtype=np.float32)
            t.raw_data = np.clip(mean + deviation * draw, least, most).astype("<f4").tobytes()
    target.write_bytes(model.SerializeToString(deterministic=True))
    mark.write_text(current)
    return target
