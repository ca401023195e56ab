# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Damaged, hostile and unsupported inputs: an error that says what is wrong, an exit status of its class, nothing
written. Damage is seeded, so that a failure can be repeated."""
import re

import numpy as np
import onnx
from onnx import TensorProto, helper

from cli import ToolError
from suite import Failure, expect

FLIPS = 48  # damaged copies of one program


def layer(external=False):
    """y = Relu(x W) over a dynamic number of rows; W inline or in w.bin."""
    w = np.random.default_rng(3).standard_normal((64, 4096)).astype(np.float32)
    tensor = onnx.numpy_helper.from_array(w, "w")
    if external:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "w.bin"), ("offset", "0"), ("length", str(w.nbytes))):
            tensor.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"], name="/mul"), helper.make_node("Relu", ["h"], ["y"], name="/relu")],
        "layer", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 4096])], [tensor])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), w


def unsupported():
    """Three nodes of two operators that no opset has."""
    nodes = [helper.make_node("Frobnicate", ["x"], ["a"], name="/first", domain="org.example"),
             helper.make_node("Transmogrify", ["a"], ["b"], name="/second", domain="org.example"),
             helper.make_node("Frobnicate", ["b"], ["y"], name="/third", domain="org.example")]
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4]) for n in ("x", "y")]
    return helper.make_model(helper.make_graph(nodes, "g", info[:1], info[1:]), ir_version=10,
                             opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("org.example", 1)])


def refused(suite, tools, name, model, work, *words, options=()):
    """ciuicc refuses the model, its message has the words, and it leaves no file behind."""
    with suite.case(f"hostile: {name}"):
        program, before = work / "refused.ciuic", set(work.iterdir())
        try:
            tools.compile(model, program, [], options=options)
        except ToolError as e:
            missing = [w for w in words if not re.search(w, e.error["message"] + str(e.error.get("detail", "")))]
            expect(not missing, f"the message lacks {missing}: {e.error['message']}")
            left = set(work.iterdir()) - before
            expect(not left, f"left behind: {sorted(left)}")
            return
        raise Failure("was compiled")


def run_refused(suite, tools, name, program, inputs, work, *words, options=()):
    with suite.case(f"hostile: {name}"):
        try:
            tools.run(program, work / "io", inputs, ["y"], options)
        except ToolError as e:
            missing = [w for w in words if not re.search(w, e.error["message"])]
            expect(not missing, f"the message lacks {missing}: {e.error['message']}")
            return
        raise Failure("ran")


def run_hostile(suite, tools, work):
    work.mkdir(parents=True, exist_ok=True)
    model, w = layer()
    whole = model.SerializeToString()

    def file(name, data):
        path = work / name
        path.write_bytes(data)
        return path

    refused(suite, tools, "missing file", work / "absent.onnx", work, "absent.onnx")
    refused(suite, tools, "empty file", file("empty.onnx", b""), work)
    refused(suite, tools, "noise", file("noise.onnx", np.random.default_rng(1).bytes(4096)), work)
    refused(suite, tools, "a folder", work, work)
    for cut in (1, 40, 1000, len(whole) - 1):
        refused(suite, tools, f"cut after {cut} bytes", file("cut.onnx", whole[:cut]), work)
    refused(suite, tools, "unsupported operators, all at once", file("unsupported.onnx", unsupported().SerializeToString()),
            work, "Frobnicate", "Transmogrify", "2", "/first", "/second")
    outside, _ = layer(external=True)
    outside.graph.initializer[0].external_data[0].value = "../outside.bin"
    (work.parent / "outside.bin").write_bytes(w.tobytes())
    refused(suite, tools, "weights outside the model's folder", file("outside.onnx", outside.SerializeToString()), work,
            "outside.bin")
    apart = file("apart.onnx", layer(external=True)[0].SerializeToString())
    refused(suite, tools, "weights file missing", apart, work, "w.bin")
    file("w.bin", w.tobytes()[:-4])
    refused(suite, tools, "weights file too short", apart, work, "w.bin")
    good = file("good.onnx", whole)
    refused(suite, tools, "budget of one page", good, work, "nearest budget that fits: [0-9]+K", options=["--vram", "64K"])
    refused(suite, tools, "a size that is none", good, work, "12Q", options=["--vram", "12Q"])
    refused(suite, tools, "an entry with a dim that is none", good, work, "colour", options=["--entry", "main:colour=1..2"])
    with suite.case("hostile: output folder missing"):
        try:
            tools.compile(good, work / "no" / "such" / "x.ciuic", ["main:rows=1..8"])
        except ToolError:
            expect(not (work / "no").exists(), "a folder was made")
        else:
            raise Failure("was compiled")

    program, inputs = work / "good.ciuic", {"x": np.ones((5, 64), np.float32)}
    compiled = None
    with suite.case("hostile: the undamaged model"):
        compiled = tools.compile(good, program, ["main:rows=1..8"])
        _, found = tools.run(program, work / "io", inputs, ["y"])
        expect(np.allclose(found["y"], np.maximum(inputs["x"] @ w, 0), rtol=1e-4, atol=1e-4), "wrong output")
    if not compiled:
        return
    run_refused(suite, tools, "more rows than the bound", program, {"x": np.ones((9, 64), np.float32)}, work, "8", "--entry")
    run_refused(suite, tools, "wrong type", program, {"x": np.ones((5, 64), np.int64)}, work)
    run_refused(suite, tools, "wrong rank", program, {"x": np.ones((5, 64, 1), np.float32)}, work)
    run_refused(suite, tools, "no such input", program, {"z": np.ones((5, 64), np.float32)}, work, "z")
    run_refused(suite, tools, "a budget below the plan", program, inputs, work,
                options=["--vram", str(compiled["peak_bytes"] - 1)])
    data = program.read_bytes()
    rng = np.random.default_rng(7)
    for cut in (0, 16, len(data) // 2, len(data) - 1):
        run_refused(suite, tools, f"program cut after {cut} bytes", file("cut.ciuic", data[:cut]), inputs, work)
    # Evenly over the file and at random within each stretch: headers, metadata, kernels, padding and weight pages.
    with suite.case(f"hostile: {FLIPS} flipped bits of the program"):
        ran = []
        for i in range(FLIPS):
            at = (i * len(data) + int(rng.integers(0, len(data)))) // FLIPS
            damaged = bytearray(data)
            damaged[at] ^= 1 << int(rng.integers(0, 8))
            try:
                tools.run(file("damaged.ciuic", damaged), work / "io", inputs, ["y"])
                ran.append(at)
            except ToolError:
                pass
        expect(not ran, f"ran with a flipped bit in the bytes {ran}")
