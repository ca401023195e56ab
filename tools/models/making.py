# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Fills a committed graph with weights: NAME.onnx and weights.bin beside it. Idempotent."""
import fcntl
import hashlib
from pathlib import Path

import onnx

import graph_text
import packages
import weights

HERE = Path(__file__).resolve().parent


def stamp(text, generated):
    """Changes when the graph or the way its weights are made does."""
    h = hashlib.sha256(repr(generated).encode())
    for path in (text, HERE / "making.py", HERE / "graph_text.py", HERE / "weights.py"):
        h.update(path.read_bytes())
    return h.hexdigest()


def make(name, out=None, generated=False):
    """Path of NAME.onnx, made unless it is up to date. Processes that want the same one wait for each other."""
    out = Path(out) if out else packages.cache() / (name + ("-generated" if generated else ""))
    out.mkdir(parents=True, exist_ok=True)
    with open(out / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _made(name, out, generated)


def _made(name, out, generated):
    text = graph_text.committed(name)
    target, mark = out / f"{name}.onnx", out / f"{name}.stamp"
    current = stamp(text, generated)
    if target.exists() and mark.exists() and mark.read_text() == current:
        return target
    mark.unlink(missing_ok=True)
    source = weights.generated(0) if generated else weights.SOURCES[name]()
    model = graph_text.read_text(text)
    part = out / f"{graph_text.LOCATION}.part"
    with open(part, "wb") as f:
        for t in model.graph.initializer:
            external = graph_text.is_external(t)
            if not external and any(t.HasField(d) if d == "raw_data" else len(getattr(t, d)) for d in graph_text.DATA):
                continue
            array = source(t.name, list(t.dims)).astype(onnx.helper.tensor_dtype_to_np_dtype(t.data_type))
            data = array.astype(array.dtype.newbyteorder("<")).tobytes()
            if not external:
                t.raw_data = data
                continue
            where = graph_text.reference(t)
            if len(data) != int(where["length"]):
                raise ValueError(f"{t.name}: {len(data)} bytes for a reference of {where['length']}")
            f.seek(int(where["offset"]))
            f.write(data)
    part.replace(out / graph_text.LOCATION)
    target.write_bytes(model.SerializeToString(deterministic=True))
    mark.write_text(current)
    return target
