# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Large models made where the GPU is: a committed graph, its weights drawn on the card and written to a folder in memory.

The numbers have the spread of tools/models/weights.py, but come from the card's generator: thirteen gigabytes take
seconds. Initialisers that small models inline (norms) are drawn the same way.
"""
import math
import sys
from pathlib import Path

import onnx
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "models"))
import graph_text  # noqa: E402

TYPES = {onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.FLOAT16: torch.float16,
         onnx.TensorProto.BFLOAT16: torch.bfloat16}


def draw(name, dims, generator, device):
    """The rule of weights.generated."""
    x = torch.randn(dims, generator=generator, device=device, dtype=torch.float32)
    if name.endswith("running_mean"):
        return 0.2 * x
    if name.endswith("running_var"):
        return 1.5 * torch.exp(0.3 * x)
    if len(dims) < 2:
        return 1 + 0.1 * x if name.endswith("weight") else 0.05 * x
    if "embed" in name:
        return 0.05 * x
    fan_in = math.prod(dims[1:])
    return math.sqrt((2.0 if len(dims) > 2 else 1.0) / fan_in) * x


def make(names, folder, seed=7, device="cuda"):
    """{name: path of NAME.onnx}. Models whose parameters have the same names share weights.bin, which is laid out by the
    first; the others must be made of the same parameters."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths, places, small = {}, {}, {}
    for number, name in enumerate(names):
        model = graph_text.read_text(graph_text.committed(name))
        weights = folder / graph_text.LOCATION
        file = open(weights, "wb") if number == 0 else None
        generator = torch.Generator(device=device).manual_seed(seed)
        for t in model.graph.initializer:
            external = graph_text.is_external(t)
            if not external and any(t.HasField(d) if d == "raw_data" else len(getattr(t, d)) for d in graph_text.DATA):
                continue
            if file:
                x = draw(t.name, list(t.dims), generator, device).to(TYPES[t.data_type]).contiguous().cpu()
                data = memoryview(x.view(torch.uint8).numpy()).cast("B") if x.dim() else bytes(x.numpy().tobytes())
                if external:
                    where = graph_text.reference(t)
                    file.seek(int(where["offset"]))
                    file.write(data)
                    places[t.name] = (int(where["offset"]), int(where["length"]))
                else:
                    small[t.name] = bytes(data)
            elif external:
                offset, length = places[t.name]
                where = graph_text.reference(t)
                if int(where["length"]) != length:
                    raise ValueError(f"{t.name}: {length} bytes in {names[0]}, {where['length']} in {name}")
                del t.external_data[:]
                for key, value in (("location", graph_text.LOCATION), ("offset", offset), ("length", length)):
                    t.external_data.add(key=key, value=str(value))
            if not external:
                t.raw_data = small[t.name]
        if file:
            file.close()
        paths[name] = folder / f"{name}.onnx"
        paths[name].write_bytes(model.SerializeToString(deterministic=True))
    return paths


def weights(path):
    """(name, tensor) of every weight of a made model; the tensors are views on its file."""
    model = onnx.load(str(path), load_external_data=False)
    file = Path(path).parent / graph_text.LOCATION
    whole = torch.from_file(str(file), dtype=torch.uint8, size=file.stat().st_size)
    for t in model.graph.initializer:
        if graph_text.is_external(t):
            where = graph_text.reference(t)
            begin = int(where["offset"])
            data = whole[begin:begin + int(where["length"])].view(TYPES[t.data_type])
        elif t.raw_data and t.data_type in TYPES:
            data = torch.frombuffer(bytearray(t.raw_data), dtype=TYPES[t.data_type])
        else:
            continue
        yield t.name, data.view(tuple(t.dims))


def _complete(module, seen):
    missing = {name for name, _ in module.named_parameters()} - seen
    if missing:
        raise ValueError(f"the model has no weights for {sorted(missing)[:5]}")


def load(path, module):
    """Copies the weights of a made model into a framework's module of the same parameter names."""
    parameters, seen = dict(module.named_parameters()), set()
    with torch.no_grad():
        for name, data in weights(path):
            if name in parameters:
                parameters[name].copy_(data)
                seen.add(name)
    _complete(module, seen)


def view(path, module):
    """Makes the parameters of a framework's module the weights of a made model where they lie in its file."""
    names, seen = {name for name, _ in module.named_parameters()}, set()
    for name, data in weights(path):
        if name in names:
            owner, leaf = name.rsplit(".", 1)
            setattr(module.get_submodule(owner), leaf, torch.nn.Parameter(data, requires_grad=False))
            seen.add(name)
    _complete(module, seen)
