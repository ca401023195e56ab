# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Single nodes with drawn shapes, attributes and dynamic dims, some of which do not fit each other: what onnxruntime
computes, we compute alike or refuse with a coded error; nothing ends in a crash or an internal error.

Drawn from a seed, so that a failure can be repeated: its text has the number of the case.
"""
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from cli import ToolError
from suite import Failure, expect

OPSET, SEED = 21, 20
FEW, SOME, MANY = 66, 132, 660  # nodes of a short, a usual and a full run
BATCH = 33  # nodes of one case of the suite


class Draw:
    """Random shapes and arrays. `weight` marks an array as an initializer, `either` leaves it to chance."""

    def __init__(self, rng):
        self.rng = rng

    def chance(self, p):
        return self.rng.random() < p

    def int(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def pick(self, values):
        return values[self.int(0, len(values) - 1)]

    def shape(self, low=1, high=4, empty=0.03):
        return [0 if self.chance(empty) else self.int(1, 7) for _ in range(self.int(low, high))]

    def bent(self, shape, p=0.25):
        """The shape, or with a probability one that no longer fits."""
        shape = list(shape)
        if shape and self.chance(p):
            at = self.int(0, len(shape) - 1)
            shape[at] = max(0, shape[at] + self.pick([-1, 1, 2]))
        if self.chance(p / 4):
            shape = shape[1:] if self.chance(0.5) else [*shape, 2]
        return shape

    def floats(self, shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def ints(self, shape, low, high):
        return self.rng.integers(low, max(high, low + 1), shape)

    def weight(self, array):
        return np.asarray(array), True

    def either(self, array):
        return np.asarray(array), self.chance(0.4)


def gather(d):
    x = d.shape()
    axis = d.int(-len(x), len(x) - 1)
    return {"axis": axis}, [d.floats(x), d.either(d.ints(d.shape(0, 2), -x[axis], max(x[axis], 1)))]


def gather_elements(d):
    x = d.shape(empty=0)
    axis = d.int(0, len(x) - 1)
    where = [d.int(1, n) for n in x]
    return {"axis": axis}, [d.floats(x), d.either(d.ints(d.bent(where, 0.1), -x[axis], x[axis]))]


def gather_nd(d):
    x = d.shape(empty=0)
    batch = d.int(0, min(2, len(x) - 1))
    depth = d.int(1, len(x) - batch)
    where = [*x[:batch], *d.shape(0, 2), depth]
    return {"batch_dims": batch}, [d.floats(x), d.either(d.ints(where, -min(x), min(x)))]


def scatter_nd(d):
    x = d.shape(empty=0)
    depth = d.int(1, len(x))
    where = [*d.shape(0, 2), depth]
    return {}, [d.floats(x), d.either(d.ints(where, -min(x), min(x))), d.floats(d.bent(where[:-1] + x[depth:]))]


def scatter_elements(d):
    x = d.shape(1, 3, empty=0)
    axis = d.int(0, len(x) - 1)
    where = [d.int(1, n) for n in x]
    return {"axis": axis}, [d.floats(x), d.either(d.ints(where, -x[axis], x[axis])), d.floats(d.bent(where))]


def slices(d):
    x = d.shape()
    axes = [int(a) for a in d.rng.permutation(len(x))[: d.int(1, len(x))]]
    steps = [d.pick([1, 1, 2, 3, -1, -2]) for _ in axes]
    far = [d.pick([d.int(-9, 9), 2**63 - 1 if s > 0 else -(2**63)]) for s in steps]
    return {}, [d.floats(x), *(d.weight(np.array(v, np.int64)) for v in ([d.int(-9, 9) for _ in axes], far, axes, steps))]


def concat(d):
    x = d.shape()
    axis = d.int(-len(x), len(x) - 1)
    parts = []
    for _ in range(d.int(1, 4)):
        shape = list(x)
        shape[axis] = d.int(0, 4)
        parts.append(d.floats(d.bent(shape, 0.05)))
    return {"axis": axis}, parts


def reshape(d):
    x = d.shape()
    target, rest = [], int(np.prod(x))
    for _ in range(d.int(0, 3)):
        target.append(d.pick([n for n in range(1, max(rest, 1) + 1) if rest % n == 0]))
        rest //= target[-1]
    return {}, [d.floats(x), d.weight(np.array([*target, d.pick([rest, -1])], np.int64))]


def expand(d):
    x = [d.pick([1, n]) for n in d.shape()]
    target = [d.int(1, 4) for _ in range(d.int(0, 2))] + [d.pick([1, 3]) if n == 1 else n for n in x]
    return {}, [d.floats(x), d.weight(np.array(d.bent(target, 0.1), np.int64))]


def matmul(d):
    batch = d.shape(0, 2)
    m, k, n = d.shape(3, 3, empty=0.02)
    a, b = ([d.pick([e, 1]) for e in batch] + end for end in ([m, k], [k, n]))
    return {}, [d.floats(d.bent([k] if d.chance(0.2) else a)), d.either(d.floats([k] if d.chance(0.2) else b))]


def gemm(d):
    m, k, n = d.shape(3, 3, empty=0)
    a, b = d.int(0, 1), d.int(0, 1)
    bias = d.pick([[n], [1, n], [m, n], [m, 1], [1], []])
    return ({"transA": a, "transB": b, "alpha": 0.5, "beta": d.pick([1.0, 2.0])},
            [d.floats([k, m] if a else [m, k]), d.either(d.floats(d.bent([n, k] if b else [k, n]))), d.either(d.floats(bias))])


def windowed(d, spatial):
    """Strides, dilations and padding of a window."""
    return {"strides": [d.int(1, 3) for _ in range(spatial)], "dilations": [d.pick([1, 1, 2]) for _ in range(spatial)],
            "pads": [d.int(0, 1) for _ in range(2 * spatial)]}


def conv(d):
    spatial, group = d.int(1, 2), d.pick([1, 1, 2, 3])
    channels, out = group * d.int(1, 4), group * d.int(1, 5)
    x = [d.int(1, 2), channels, *(d.int(1, 9) for _ in range(spatial))]
    w = [out, channels // group, *(d.int(1, 3) for _ in range(spatial))]
    bias = [d.weight(d.floats(d.bent([out])))] if d.chance(0.5) else []
    return {"group": group, **windowed(d, spatial)}, [d.floats(x), d.weight(d.floats(d.bent(w, 0.1))), *bias]


def conv_transpose(d):
    spatial, group = d.int(1, 2), d.pick([1, 1, 2])
    channels, out = group * d.int(1, 4), d.int(1, 4)
    x = [d.int(1, 2), channels, *(d.int(2, 7) for _ in range(spatial))]
    w = [channels, out, *(d.int(2, 4) for _ in range(spatial))]
    bias = [d.weight(d.floats(d.bent([out * group])))] if d.chance(0.5) else []
    return {"group": group, **windowed(d, spatial)}, [d.floats(x), d.weight(d.floats(d.bent(w, 0.1))), *bias]


def pool(d):
    spatial = d.int(1, 2)
    x = [d.int(1, 2), d.int(1, 5), *(d.int(1, 9) for _ in range(spatial))]
    return {"kernel_shape": [d.int(2, 4) for _ in range(spatial)], "ceil_mode": d.int(0, 1), **windowed(d, spatial)}, [d.floats(x)]


def reduction(d):
    x = d.shape(empty=0)
    axes = sorted(int(a) for a in d.rng.permutation(len(x))[: d.int(0, len(x))])
    given = [d.weight(np.array(axes, np.int64))] if axes or d.chance(0.5) else []
    return {"keepdims": d.int(0, 1), "noop_with_empty_axes": d.int(0, 1)}, [d.floats(x), *given]


def arg_reduction(d):
    x = d.shape(empty=0)
    return ({"axis": d.int(-len(x), len(x) - 1), "keepdims": d.int(0, 1), "select_last_index": d.int(0, 1)},
            [np.round(d.floats(x))])


def along_axis(d):
    x = d.shape()
    return {"axis": d.int(-len(x), len(x) - 1)}, [d.floats(x)]


def binary(d):
    x = d.shape()
    return {}, [d.floats(x), d.either(d.floats(d.bent([d.pick([n, 1]) for n in x][d.int(0, len(x)):])))]


def where(d):
    x = d.shape()
    some = [d.pick([n, 1]) for n in x]
    return {}, [d.ints(d.bent(some, 0.1), 0, 2).astype(bool), d.floats(x), d.floats([d.pick([n, 1]) for n in x])]


def layer_norm(d):
    x = d.shape(empty=0)
    axis = d.int(-len(x), len(x) - 1)
    bias = [d.either(d.floats(x[axis:]))] if d.chance(0.5) else []
    return {"axis": axis}, [d.floats(x), d.either(d.floats(d.bent(x[axis:], 0.1))), *bias]


def instance_norm(d):
    x = d.shape(3, 4, empty=0)
    return {}, [d.floats(x), d.weight(d.floats(x[1:2])), d.weight(d.floats(d.bent(x[1:2])))]


def batch_norm(d):
    x = d.shape(2, 4, empty=0)
    channels = x[1:2]
    return {}, [d.floats(x), *(d.weight(d.floats(channels)) for _ in range(2)), d.weight(d.floats(d.bent(channels, 0.1))),
                d.weight(np.abs(d.floats(channels)) + np.float32(0.1))]


def resize(d):
    x = [d.int(1, 2), d.int(1, 4), d.int(1, 7), d.int(1, 7)]
    scales = np.array([1, 1, *(d.pick([0.5, 1, 1.5, 2, 3]) for _ in range(2))], np.float32)
    return ({"mode": d.pick(["nearest", "linear"]), "nearest_mode": d.pick(["floor", "ceil", "round_prefer_floor"]),
             "coordinate_transformation_mode": d.pick(["half_pixel", "align_corners", "asymmetric"])},
            [d.floats(x), d.weight(np.zeros(0, np.float32)), d.weight(scales)])


def one_hot(d):
    x = d.shape(1, 2)
    return ({"axis": d.int(-len(x) - 1, len(x))},
            [d.ints(x, -6, 6), d.weight(np.array(d.int(1, 6))), d.weight(np.array([0.5, 2], np.float32))])


def cumulative(d):
    x = d.shape()
    return {"exclusive": d.int(0, 1), "reverse": d.int(0, 1)}, [d.floats(x), d.weight(np.array(d.int(-len(x), len(x) - 1)))]


NODES = {
    "Gather": gather, "GatherElements": gather_elements, "GatherND": gather_nd, "ScatterND": scatter_nd,
    "ScatterElements": scatter_elements, "Slice": slices, "Concat": concat, "Reshape": reshape, "Expand": expand,
    "MatMul": matmul, "Gemm": gemm, "Conv": conv, "ConvTranspose": conv_transpose, "MaxPool": pool, "AveragePool": pool,
    "ReduceMean": reduction, "ReduceMax": reduction, "ReduceL1": reduction, "ReduceL2": reduction,
    "ReduceSumSquare": reduction, "ReduceLogSumExp": reduction, "ArgMax": arg_reduction, "Softmax": along_axis,
    "Add": binary, "Div": binary, "PRelu": binary, "Where": where, "LayerNormalization": layer_norm,
    "InstanceNormalization": instance_norm, "BatchNormalization": batch_norm, "Resize": resize, "OneHot": one_hot,
    "CumSum": cumulative,
}


def model_of(d, op, attributes, inputs):
    """The node as a model, the arrays of its inputs, and bounds for the extents that were made dynamic."""
    infos, weights, feeds, bounds = [], [], {}, {}
    for i, given in enumerate(inputs):
        array, fixed = given if isinstance(given, tuple) else (given, False)
        if fixed:
            weights.append(numpy_helper.from_array(array, f"i{i}"))
            continue
        dims = []
        for axis, extent in enumerate(array.shape):
            dynamic = extent > 0 and d.chance(0.3)
            dims.append(f"d{i}_{axis}" if dynamic else extent)
            if dynamic:
                bounds[dims[-1]] = (max(1, extent - d.int(0, 1)), extent + d.int(0, 2))
        infos.append(helper.make_tensor_value_info(f"i{i}", helper.np_dtype_to_tensor_dtype(array.dtype), dims))
        feeds[f"i{i}"] = array
    node = helper.make_node(op, [f"i{i}" for i in range(len(inputs))], ["y"], name="/node", **attributes)
    graph = helper.make_graph([node], "node", infos, [onnx.ValueInfoProto(name="y")], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    return model, feeds, bounds


def computed_by_reference(model, feeds):
    """onnxruntime's output, or None where it refuses."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        return session.run(["y"], feeds)[0]
    except Exception:  # whatever it has against the model: then it is no reference for it
        return None


def check(tools, work, number):
    """One drawn node: whether its output was compared; Failure where the contract is broken. The number draws it again."""
    d = Draw(np.random.default_rng([SEED, number]))
    op = list(NODES)[number % len(NODES)]
    attributes, inputs = NODES[op](d)
    model, feeds, bounds = model_of(d, op, attributes, inputs)
    wanted = computed_by_reference(model, feeds)
    try:
        model = onnx.shape_inference.infer_shapes(model)
    except onnx.shape_inference.InferenceError:
        pass
    path, program = work / "node.onnx", work / "node.ciuic"
    path.write_bytes(model.SerializeToString())
    program.unlink(missing_ok=True)
    shapes = [list(np.shape(i[0] if isinstance(i, tuple) else i)) for i in inputs]
    what = f"node {number}: {op} {attributes} of {shapes}, dynamic {bounds}"
    try:
        entries = ["main:" + ",".join(f"{k}={a}..{b}" for k, (a, b) in bounds.items())] if bounds else []
        tools.compile(path, program, entries)
        _, found = tools.run(program, work / "io", feeds, ["y"])
    except ToolError as e:
        expect(e.error["class"] != "internal", f"{what}: {e}")
        return False
    except Failure as e:
        raise Failure(f"{what}: {e}") from None
    if wanted is not None:
        y = found["y"]
        expect(y.shape == wanted.shape and y.dtype == wanted.dtype,
               f"{what}: {y.dtype}{list(y.shape)}, expected {wanted.dtype}{list(wanted.shape)}")
        expect(np.allclose(y, wanted, rtol=1e-4, atol=1e-5, equal_nan=True), f"{what}: other values than onnxruntime's")
    return wanted is not None


def run_nodes(suite, tools, work, full, short):
    count = FEW if short else MANY if full else SOME

    def attempt(number):
        """(whether it was compared, what is wrong with it)"""
        folder = work / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return check(tools, folder, number), None
        except Failure as e:
            return False, str(e)

    for first in range(0, count, BATCH):
        with suite.case(f"nodes: {first} to {first + BATCH - 1}"), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            found = list(pool.map(attempt, range(first, first + BATCH)))
            faults, compared = [f for _, f in found if f], sum(c for c, _ in found)
            expect(not faults, "\n".join(faults))
            expect(compared >= BATCH // 2, f"{compared} of {BATCH} nodes were compared: too much is refused")
