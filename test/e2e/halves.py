# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Models in f16 and bf16: products, convolutions, pools and a tied embedding agree with float64 within their rounding."""
import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

from suite import expect


def narrowed(x, kind):
    """x rounded to the type, as f32."""
    x = np.ascontiguousarray(x, np.float32)
    if kind == T.FLOAT16:
        return x.astype(np.float16).astype(np.float32)
    bits = x.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1) >> 16) << 16).astype(np.uint32).view(np.float32)


def initializer(name, x, kind):
    if kind == T.FLOAT16:
        return numpy_helper.from_array(x.astype(np.float16), name)
    raw = (np.ascontiguousarray(x, np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return h.make_tensor(name, kind, x.shape, raw.tobytes(), raw=True)


def save(path, kind, nodes, source, weights, results):
    """A graph that is f32 at its ends and `kind` within."""
    graph = h.make_graph(nodes, "halves", source, results, [initializer(n, w, kind) for n, w in weights.items()])
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=9), str(path))


def run_halves(suite, tools, work):
    work.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(11)
    for kind, label, limit in ((T.FLOAT16, "f16", 2e-3), (T.BFLOAT16, "bf16", 1.5e-2)):
        def weight(*shape, scale):
            return narrowed(rng.standard_normal(shape) * scale, kind)

        def agree(name, feeds, wants):
            tools.compile(work / f"{name}.onnx", work / f"{name}.ciuic", ["main:n=1..3"])
            arguments = []
            for key, value in feeds.items():
                np.save(work / f"{key}.npy", value)
                arguments += ["--input", f"{key}=@{work / key}.npy"]
            for key in wants:
                arguments += ["--output", f"{key}=@{work / key}.npy"]
            tools.call("ciuic-run", work / f"{name}.ciuic", *arguments)
            for key, want in wants.items():
                got = np.load(work / f"{key}.npy").astype(np.float64)
                expect(got.shape == want.shape, f"{key} has shape {got.shape}, not {want.shape}")
                error = np.linalg.norm(got - want) / np.linalg.norm(want)
                expect(error <= limit, f"{key}: relative error {error:.2e} against float64")

        with suite.case(f"halves: product in {label}"):
            w, b, x = weight(64, 96, scale=0.125), weight(96, scale=1), rng.standard_normal((3, 64)).astype(np.float32)
            nodes = [h.make_node("Cast", ["x"], ["xh"], to=kind), h.make_node("MatMul", ["xh", "w"], ["y"]), h.make_node("Add", ["y", "b"], ["z"]),
                     h.make_node("Relu", ["z"], ["r"]), h.make_node("Cast", ["r"], ["o"], to=T.FLOAT)]
            save(work / "product.onnx", kind, nodes, [h.make_tensor_value_info("x", T.FLOAT, ["n", 64])], {"w": w, "b": b},
                 [h.make_tensor_value_info("o", T.FLOAT, ["n", 96])])
            agree("product", {"x": x}, {"o": np.maximum(narrowed(x, kind).astype(np.float64) @ w + b, 0)})

        with suite.case(f"halves: convolution in {label}"):
            k, x = weight(24, 8, 1, 1, scale=0.3), rng.standard_normal((2, 8, 6, 6)).astype(np.float32)
            d = weight(24, 1, 3, 3, scale=0.3)
            nodes = [h.make_node("Cast", ["x"], ["xh"], to=kind), h.make_node("Conv", ["xh", "k"], ["y"]),
                     h.make_node("MaxPool", ["y"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
                     h.make_node("Conv", ["p", "d"], ["q"], group=24), h.make_node("Cast", ["q"], ["o"], to=T.FLOAT)]
            save(work / "conv.onnx", kind, nodes, [h.make_tensor_value_info("x", T.FLOAT, ["n", 8, 6, 6])], {"k": k, "d": d},
                 [h.make_tensor_value_info("o", T.FLOAT, ["n", 24, 1, 1])])
            y = np.einsum("nchw,oc->nohw", narrowed(x, kind).astype(np.float64), k[:, :, 0, 0])
            p = y.reshape(2, 24, 3, 2, 3, 2).max((3, 5))
            agree("conv", {"x": x}, {"o": np.einsum("nchw,chw->nc", p, d[:, 0])[:, :, None, None]})

        with suite.case(f"halves: tied embedding in {label}"):
            e, ids = weight(100, 64, scale=0.125), rng.integers(0, 100, (2, 5))
            nodes = [h.make_node("Gather", ["e", "i"], ["x"]), h.make_node("Transpose", ["e"], ["t"], perm=[1, 0]),
                     h.make_node("MatMul", ["x", "t"], ["y"]), h.make_node("Cast", ["y"], ["o"], to=T.FLOAT)]
            save(work / "tied.onnx", kind, nodes, [h.make_tensor_value_info("i", T.INT64, ["n", 5])], {"e": e},
                 [h.make_tensor_value_info("o", T.FLOAT, ["n", 5, 100])])
            agree("tied", {"i": ids}, {"o": e[ids].astype(np.float64) @ e.T.astype(np.float64)})
