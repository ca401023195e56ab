# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small models from file to numbers, at all the memory that they need, at less, and at the least that works: the result is
numpy's, the bits are the same, the memory taken and the bytes copied are those predicted.

    budgets.py FOLDER, which holds tiny.onnx, skip.onnx and wide.onnx; ciuicc and ciuic-run are on the path
"""
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

FOLDER = Path(sys.argv[1])


def call(*args):
    proc = subprocess.run([*map(str, args), "--json"], capture_output=True, text=True, timeout=300)
    return proc.returncode, json.loads(proc.stdout)


def answer(model, x):
    """The model's output in float64; it has matrix products, sums and ReLUs alone."""
    graph = onnx.load(model).graph
    values = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in graph.initializer} | {"x": x.astype(np.float64)}
    compute = {"MatMul": lambda a, b: a @ b, "Relu": lambda a: np.maximum(a, 0), "Add": lambda a, b: a + b}
    for node in graph.node:
        values[node.output[0]] = compute[node.op_type](*(values[i] for i in node.input))
    return values["y"]


def run(name, batch, most, middle, moved, columns=False):
    """`middle` is a budget that is neither; `moved` says which way bytes must go at the least budget. `columns`: the output
    is all that leaves, and does so while it is made."""
    entry = f"main:batch=1..{most}"
    model = FOLDER / f"{name}.onnx"
    status, infeasible = call("ciuicc", model, "--entry", entry, "--dry-run", "--vram", "4K")
    assert status == 5, infeasible
    least = infeasible["error"]["nearest_budget_bytes"]
    width = onnx.load(model).graph.input[0].type.tensor_type.shape.dim[1].dim_value
    x = np.random.default_rng(2).standard_normal((batch, width)).astype(np.float32)
    np.save(FOLDER / "x.npy", x)
    wanted = answer(model, x)
    hashes, copied = set(), []
    for vram in ("100%", middle, str(least)):
        program = FOLDER / f"{name}.ciuic"
        status, compiled = call("ciuicc", model, "--entry", entry, "--vram", vram, "-o", program)
        assert status == 0, compiled
        for threads in (1, 2):
            # The second run of two starts with what the first one left in the slots.
            status, ran = call("ciuic-run", program, "--input", f"x=@{FOLDER}/x.npy", "--output", f"y=@{FOLDER}/y.npy",
                               "--iterations", 2, "--threads", threads)
            assert status == 0, ran
            y = np.load(FOLDER / "y.npy")
            error = np.linalg.norm(y - wanted) / np.linalg.norm(wanted)
            assert y.shape == wanted.shape and error < 1e-5, (name, vram, error)
            assert ran["peak_device_bytes"] == compiled["peak_bytes"] <= compiled["budget_bytes"], (name, vram, ran, compiled)
            hashes.add(ran["outputs"][0]["hash"])
        # A run also brings the input and takes the output; one that leaves by columns has as many rows as the run.
        planned = compiled["entries"][0]["copied_bytes"]
        if columns and planned["d2h"]:
            assert planned["d2h"] * batch == y.nbytes * most and compiled["peak_bytes"] < y.nbytes, (name, vram, compiled)
            planned["d2h"] = 0
            copied.append({"h2d": planned["h2d"], "d2h": y.nbytes})
        else:
            copied.append(dict(planned))
        assert ran["copied_bytes"] == {"h2d": planned["h2d"] + x.nbytes, "d2h": planned["d2h"] + y.nbytes, "disk": 0}, (
            name, vram, ran, compiled)
    assert len(hashes) == 1, (name, hashes)
    assert copied[0] == {"h2d": 0, "d2h": 0}, copied
    for way in moved:
        assert copied[2][way] > 0, (name, way, copied)
    print("passed", name, copied)


run("tiny", 5, 8, "60%", ["h2d"])
run("skip", 1500, 2048, "90%", ["h2d", "d2h"])
run("wide", 190, 200, "55%", ["h2d", "d2h"], columns=True)
