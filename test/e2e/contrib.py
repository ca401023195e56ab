# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""com.microsoft's operators of language models against onnxruntime: attention with caches, rotary embeddings, norms, and
products with quantised weights; and a decoder as model builders write it against the same decoder as exporters do."""
import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

import builder_form
import packages
import zoo

import language
import reference
from cli import ToolError, relative_error
from suite import Failure, Skip, expect

MICROSOFT = "com.microsoft"
BOUNDS = {"batch": "1..2", "seq": "1..8", "past": "0..8"}
ENTRY = "main:" + ",".join(f"{dim}={span}" for dim, span in BOUNDS.items())


def save(path, nodes, infos, outputs, weights):
    """infos: {name: (type, dims)} of the inputs; outputs alike."""
    def described(table):
        return [h.make_tensor_value_info(name, kind, dims) for name, (kind, dims) in table.items()]

    graph = h.make_graph(nodes, "contrib", described(infos), described(outputs),
                         [numpy_helper.from_array(array, name) for name, array in weights.items()])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 21), h.make_opsetid(MICROSOFT, 1)], ir_version=10)
    path.write_bytes(model.SerializeToString(deterministic=True))


def node(op, inputs, outputs, **attributes):
    return h.make_node(op, inputs, outputs, domain=MICROSOFT, **attributes)


def agree(tools, work, name, nodes, inputs, outputs, weights, feeds, limit=1e-5, wanted_of=None):
    """Every output of every run of `feeds` is onnxruntime's, or what `wanted_of` says."""
    path, program = work / f"{name}.onnx", work / f"{name}.ciuic"
    save(path, nodes, inputs, outputs, weights)
    named = {dim for _, dims in inputs.values() for dim in dims}
    bounds = ",".join(f"{dim}={span}" for dim, span in BOUNDS.items() if dim in named)
    tools.compile(path, program, [f"main:{bounds}"], options=["--no-state"])
    for feed in feeds:
        wanted = wanted_of(feed) if wanted_of else reference.outputs(path, feed)
        _, found = tools.run(program, work / "io", feed, list(outputs))
        for key, want in wanted.items():
            error = relative_error(found[key], want)
            expect(error <= limit, f"{key} of {({k: v.shape for k, v in feed.items()})}: relative error {error:.2e}")


# --- GroupQueryAttention ---

def rotary_caches(width, positions=64):
    angles = np.arange(positions)[:, None] * 10000.0 ** -(np.arange(0, width, 2) / width)[None, :]
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def group_query(rng, heads, groups, width, *, packed=False, rotary=0, bias=False, ids=False, norm=False, **attributes):
    """(nodes, inputs, outputs, weights, feeds) of one node; `rotary` is the width of what is rotated."""
    hidden, kv = heads * width, groups * width
    inputs = {"q": (T.FLOAT, ["batch", "seq", hidden + 2 * kv if packed else hidden])}
    if not packed:
        inputs |= {"k": (T.FLOAT, ["batch", "seq", kv]), "v": (T.FLOAT, ["batch", "seq", kv])}
    cache = (T.FLOAT, ["batch", groups, "past", width])
    inputs |= {"past_k": cache, "past_v": cache, "seqlens": (T.INT32, ["batch"])}
    weights, names = {}, ["q", "" if packed else "k", "" if packed else "v", "past_k", "past_v", "seqlens", "total"]
    names += [""] * 9
    if rotary:
        weights["cos"], weights["sin"] = rotary_caches(rotary)
        names[7:9] = ["cos", "sin"]
        attributes |= {"do_rotary": 1}
    if ids:
        inputs["ids"], names[9] = (T.INT64, ["batch", "seq"]), "ids"
    if bias:
        inputs["bias"], names[10] = (T.FLOAT, [1, heads, "seq", "total_length"]), "bias"
    if norm:
        weights["q_norm"], weights["k_norm"] = (rng.uniform(0.5, 1.5, width).astype(np.float32) for _ in range(2))
        names[14:16] = ["q_norm", "k_norm"]
    while not names[-1]:
        names.pop()
    # The whole length out of a mask, as builders have it.
    inputs["mask"] = (T.INT64, ["batch", "total_length"])
    weights["one"] = np.array(1, np.int64)
    nodes = [h.make_node("Shape", ["mask"], ["shape"]), h.make_node("Gather", ["shape", "one"], ["length"]),
             h.make_node("Cast", ["length"], ["total"], to=T.INT32),
             node("GroupQueryAttention", names, ["y", "present_k", "present_v"], num_heads=heads, kv_num_heads=groups, **attributes)]
    present = (T.FLOAT, ["batch", groups, "total_length", width])
    outputs = {"y": (T.FLOAT, ["batch", "seq", hidden]), "present_k": present, "present_v": present}

    def feed(batch, seq, past):
        given = {"q": rng.standard_normal((batch, seq, inputs["q"][1][2])), "past_k": rng.standard_normal((batch, groups, past, width)),
                 "past_v": rng.standard_normal((batch, groups, past, width))}
        if not packed:
            given |= {"k": rng.standard_normal((batch, seq, kv)), "v": rng.standard_normal((batch, seq, kv))}
        if bias:
            given["bias"] = rng.standard_normal((1, heads, seq, past + seq))
        given = {name: array.astype(np.float32) for name, array in given.items()}
        if ids:
            given["ids"] = np.tile(np.arange(past, past + seq, dtype=np.int64), (batch, 1))
        return given | {"seqlens": np.full(batch, past + seq - 1, np.int32), "mask": np.ones((batch, past + seq), np.int64)}

    return nodes, inputs, outputs, weights, feed


# A prompt, a second part of it, tokens.
SIZES = ((2, 5, 0), (1, 4, 3), (2, 1, 4), (1, 1, 7))

GROUP_QUERY = {
    "plain heads": dict(heads=3, groups=3, width=8),
    "shared heads, packed": dict(heads=6, groups=2, width=16, packed=True),
    "rotated": dict(heads=4, groups=2, width=16, rotary=16),
    "rotated by neighbours, packed": dict(heads=4, groups=1, width=16, rotary=16, rotary_interleaved=1, packed=True),
    "rotated in part": dict(heads=4, groups=2, width=32, rotary=16),
    "own scale and positions": dict(heads=2, groups=2, width=16, rotary=16, scale=0.2, ids=True),
    "bias": dict(heads=4, groups=2, width=8, bias=True),
    "window": dict(heads=4, groups=2, width=8, local_window_size=3),
}

REFUSED = {
    "softcap": (dict(softcap=20.0), "softcap"),
    "smooth softmax": (dict(smooth_softmax=1), "smooth softmax"),
    "quantised cache": (dict(k_quant_type="PER_TENSOR", v_quant_type="PER_TENSOR"), "quantised keys and values"),
}


def run_group_query(suite, tools, work, rng):
    for label, form in GROUP_QUERY.items():
        with suite.case(f"contrib: GroupQueryAttention, {label}"):
            nodes, inputs, outputs, weights, feed = group_query(rng, **form)
            agree(tools, work, "gqa", nodes, inputs, outputs, weights, [feed(*size) for size in SIZES])
    with suite.case("contrib: GroupQueryAttention, normed heads"):
        # onnxruntime has these on GPUs alone: the reference is the node without norms over normed queries and keys.
        form = dict(heads=4, groups=2, width=16, rotary=16)
        nodes, inputs, outputs, weights, feed = group_query(rng, **form)
        save(work / "gqa_plain.onnx", nodes, inputs, outputs, weights)
        nodes, inputs, outputs, weights, feed = group_query(rng, **form, norm=True, qk_norm_epsilon=1e-5)

        def normed(x, weight):
            heads = x.astype(np.float64).reshape(*x.shape[:2], -1, 16)
            heads = heads / np.sqrt((heads**2).mean(-1, keepdims=True) + 1e-5) * weight
            return heads.reshape(x.shape).astype(np.float32)

        def wanted_of(f):
            return reference.outputs(work / "gqa_plain.onnx", f | {n: normed(f[n], weights[f"{n}_norm"]) for n in ("q", "k")})

        agree(tools, work, "gqa", nodes, inputs, outputs, weights, [feed(*size) for size in SIZES], wanted_of=wanted_of)
    for label, (attributes, said) in REFUSED.items():
        with suite.case(f"contrib: GroupQueryAttention refuses a {label}"):
            nodes, inputs, outputs, weights, _ = group_query(rng, 2, 1, 8, **attributes)
            save(work / "refused.onnx", nodes, inputs, outputs, weights)
            try:
                tools.compile(work / "refused.onnx", work / "refused.ciuic", [ENTRY])
            except ToolError as e:
                expect(e.error["class"] == "unsupported" and said in e.error["message"], str(e))
            else:
                raise Failure("it was compiled")
    with suite.case("contrib: GroupQueryAttention over padded sequences"):
        nodes, inputs, outputs, weights, feed = group_query(rng, 4, 2, 16, rotary=16)
        path, program = work / "padded.onnx", work / "padded.ciuic"
        save(path, nodes, inputs, outputs, weights)
        tools.compile(path, program, [ENTRY], options=["--no-state"])
        # A prompt may end early: what comes before its end is as without padding.
        prompt = feed(2, 5, 0) | {"seqlens": np.array([4, 2], np.int32)}
        wanted, (_, found) = reference.outputs(path, prompt), tools.run(program, work / "io", prompt, ["y"])
        for row, length in ((0, 5), (1, 3)):
            error = relative_error(found["y"][row, :length], wanted["y"][row, :length])
            expect(error <= 1e-5, f"sequence {row} of a padded prompt: relative error {error:.2e}")
        # A token after it has another place in each sequence, which one cache for all cannot give it.
        token = feed(2, 1, 5) | {"seqlens": np.array([5, 3], np.int32)}
        _, found = tools.run(program, work / "io", token, ["y"])
        expect(np.isfinite(found["y"][0]).all() and np.isnan(found["y"][1]).all(), "a padded sequence has an answer that looks like one")


# --- MultiHeadAttention ---

def attention(q, k, v):
    """softmax(q kᵀ / √width) v of [batch, sequence, heads, width] in float64, heads merged; for forms that onnxruntime has
    on other devices alone."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    scores = np.einsum("bshd,bthd->bhst", q, k) / np.sqrt(q.shape[-1])
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    y = np.einsum("bhst,bthd->bshd", weights / weights.sum(-1, keepdims=True), v)
    return y.reshape(*y.shape[:2], -1).astype(np.float32)


def run_multi_head(suite, tools, work, rng):
    heads, width = 3, 8
    hidden = heads * width

    def draw(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    def case(label, names, extra, arrays, outputs=("y",), weights=(), wanted_of=None, **attributes):
        with suite.case(f"contrib: MultiHeadAttention, {label}"):
            feeds = []
            for batch, seq, past in ((2, 5, 3), (1, 1, 6)):
                feeds.append({k: make(batch, seq, past) for k, make in arrays.items()})
            present = (T.FLOAT, ["batch", heads, "total", width])
            described = {"y": (T.FLOAT, ["batch", "seq", hidden]), "present_k": present, "present_v": present}
            agree(tools, work, "mha", [node("MultiHeadAttention", names, list(outputs), num_heads=heads, **attributes)], extra,
                  {o: described[o] for o in outputs}, dict(weights), feeds, wanted_of=wanted_of)

    flat = (T.FLOAT, ["batch", "seq", hidden])
    three = {"q": flat, "k": flat, "v": flat}
    drawn = {name: lambda b, s, p: draw(b, s, hidden) for name in "qkv"}
    case("three inputs", ["q", "k", "v"], three, drawn)
    case("bias and own scale", ["q", "k", "v", "bias"], three, drawn, weights={"bias": draw(3 * hidden)}, scale=0.4)
    case("packed", ["q"], {"q": (T.FLOAT, ["batch", "seq", heads, 3, width])}, {"q": lambda b, s, p: draw(b, s, heads, 3, width)},
         wanted_of=lambda f: {"y": attention(*(f["q"][..., i, :] for i in range(3)))})
    case("packed keys", ["q", "kv"], {"q": flat, "kv": (T.FLOAT, ["batch", "past", heads, 2, width])},
         {"q": drawn["q"], "kv": lambda b, s, p: draw(b, p, heads, 2, width)},
         wanted_of=lambda f: {"y": attention(f["q"].reshape(*f["q"].shape[:2], heads, width), f["kv"][..., 0, :], f["kv"][..., 1, :])})
    cache = (T.FLOAT, ["batch", heads, "past", width])
    case("keys of another sequence", ["q", "k", "v"], {"q": flat, "k": cache, "v": cache},
         {"q": drawn["q"], "k": lambda b, s, p: draw(b, heads, p, width), "v": lambda b, s, p: draw(b, heads, p, width)})
    case("padding mask", ["q", "k", "v", "", "mask"], three | {"mask": (T.INT32, ["batch", "seq"])},
         drawn | {"mask": lambda b, s, p: (np.arange(s)[None] < np.maximum(1, s - np.arange(b))[:, None]).astype(np.int32)})
    case("numbers of keys", ["q", "k", "v", "", "mask"], three | {"mask": (T.INT32, ["batch"])},
         drawn | {"mask": lambda b, s, p: np.maximum(1, s - np.arange(b)).astype(np.int32)})
    case("bias of the scores", ["q", "k", "v", "", "", "bias"], three | {"bias": (T.FLOAT, ["batch", heads, "seq", "seq"])},
         drawn | {"bias": lambda b, s, p: draw(b, heads, s, s)})
    case("past, causal", ["q", "k", "v", "", "", "", "past_k", "past_v"], three | {"past_k": cache, "past_v": cache},
         drawn | {name: lambda b, s, p: draw(b, heads, p, width) for name in ("past_k", "past_v")},
         outputs=("y", "present_k", "present_v"), unidirectional=1)


# --- Norms, activations, rotary embeddings ---

def run_elementwise(suite, tools, work, rng):
    hidden = 32
    x, vector = (T.FLOAT, ["batch", "seq", hidden]), (T.FLOAT, [hidden])

    def draw(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    def case(label, op, names, inputs, arrays, outputs, weights=None, **attributes):
        with suite.case(f"contrib: {op}, {label}"):
            feeds = [{name: make(*size) for name, make in arrays.items()} for size in ((2, 5), (1, 1))]
            agree(tools, work, "element", [node(op, names, outputs, **attributes)], inputs,
                  {o: x for o in outputs if o}, weights or {}, feeds)

    one, two = {"x": x}, {"x": x, "skip": x}
    drawn = {name: lambda b, s: draw(b, s, hidden) for name in ("x", "skip")}
    only = {"x": drawn["x"]}
    bias = {"bias": draw(hidden)}
    case("tanh form with a bias", "FastGelu", ["x", "bias"], one, only, ["y"], bias)
    case("with a bias", "BiasGelu", ["x", "bias"], one, only, ["y"], bias)
    case("error function", "Gelu", ["x"], one, only, ["y"])
    case("own alpha", "QuickGelu", ["x"], one, only, ["y"], alpha=1.5)
    norm = {"gamma": draw(hidden), "beta": draw(hidden), "bias": draw(hidden)}
    case("all inputs, the sum", "SkipLayerNormalization", ["x", "skip", *norm], two, drawn, ["y", "", "", "sum"], norm, epsilon=1e-5)
    simple = {"gamma": draw(hidden), "bias": draw(hidden)}
    case("a bias, the sum", "SkipSimplifiedLayerNormalization", ["x", "skip", *simple], two, drawn, ["y", "", "", "sum"], simple,
         epsilon=1e-5)
    case("the sum alone", "SkipSimplifiedLayerNormalization", ["x", "skip", "gamma"], two, drawn, ["y", "", "", "sum"],
         {"gamma": draw(hidden)}, epsilon=1e-5)
    cos, sin = rotary_caches(16)
    caches = {"cos": cos, "sin": sin}
    positions = one | {"ids": (T.INT64, ["batch", "seq"])}
    placed = only | {"ids": lambda b, s: rng.integers(0, 60, (b, s))}
    for interleaved in (0, 1):
        case(f"positions, interleaved {interleaved}", "RotaryEmbedding", ["x", "ids", "cos", "sin"], positions, placed, ["y"], caches,
             interleaved=interleaved)
    case("an offset", "RotaryEmbedding", ["x", "ids", "cos", "sin"], one | {"ids": (T.INT64, [1])},
         only | {"ids": lambda b, s: rng.integers(0, 40, 1)}, ["y"], caches)


# --- MatMulNBits ---

def packed(values, bits):
    """Integers of a row into bytes, low bits first; each row begins a byte."""
    per = 8 // bits
    wide = np.zeros((*values.shape[:-1], -(-values.shape[-1] // per) * per), np.uint8)
    wide[..., : values.shape[-1]] = values
    return sum(wide[..., i::per] << i * bits for i in range(per)).astype(np.uint8)


def quantised(rng, n, k, bits, block, *, zeros=None, half_scales=True, kind=np.float32):
    """(inputs of the node as arrays, the weights [N, K] that they stand for in float64). `zeros`: packed, floats, middle
    or None."""
    blocks = -(-k // block)
    q = rng.integers(0, 2**bits, (n, blocks * block)).astype(np.uint8)
    scales = (rng.uniform(0.5, 1.5, (n, blocks)) * rng.choice([-1, 1], (n, blocks)) / 2**bits).astype(np.float32)
    scales = scales.astype(np.float16).astype(kind) if half_scales else scales.astype(kind)
    middle = 2 ** (bits - 1)
    zero = rng.integers(0, 2**bits, (n, blocks)) if zeros in ("packed", "floats") else np.full((n, blocks), middle)
    arrays = [packed(q, bits).reshape(n, blocks, block * bits // 8), scales]
    if zeros in ("packed", "middle"):
        arrays.append(packed(zero.astype(np.uint8), bits).reshape(-1))
    elif zeros == "floats":
        arrays.append(zero.astype(kind))
    values = (q.reshape(n, blocks, block) - zero[..., None].astype(np.float64)) * scales[..., None].astype(np.float64)
    return arrays, values.reshape(n, -1)[:, :k]


# Whether the weight stays integers of 4 bits, and what else there is to it.
BLOCK_PRODUCTS = {
    "blocks of 32": dict(n=48, k=96, bits=4, block=32, stays=True),
    "a short last block, odd extents": dict(n=37, k=83, bits=4, block=32, stays=True),
    "blocks of 64, bias": dict(n=64, k=192, bits=4, block=64, stays=True, bias=True),
    "blocks of 128": dict(n=80, k=256, bits=4, block=128, stays=True),
    "blocks of 256": dict(n=48, k=512, bits=4, block=256, stays=True),
    "zero points in the middle": dict(n=48, k=128, bits=4, block=32, zeros="middle", stays=True),
    "zero points": dict(n=48, k=128, bits=4, block=32, zeros="packed", stays=True),
    "zero points, odd blocks": dict(n=33, k=96, bits=4, block=32, zeros="packed", stays=True),
    "zero points of a short block": dict(n=48, k=100, bits=4, block=32, zeros="packed", stays=False),
    "zero points of floats": dict(n=48, k=128, bits=4, block=64, zeros="floats", stays=True),
    "scales that are no halves": dict(n=48, k=128, bits=4, block=32, half_scales=False, stays=False),
    "blocks of 16": dict(n=48, k=96, bits=4, block=16, stays=False),
    "8 bits": dict(n=48, k=96, bits=8, block=32, stays=False),
    "8 bits, zero points": dict(n=48, k=96, bits=8, block=32, zeros="packed", stays=False),
    "2 bits": dict(n=48, k=96, bits=2, block=32, stays=False),
    "few weights": dict(n=5, k=40, bits=4, block=16, stays=None),
    "halves": dict(n=48, k=96, bits=4, block=32, stays=True, kind=np.float16),
    "halves, zero points": dict(n=48, k=96, bits=4, block=32, zeros="packed", stays=True, kind=np.float16),
}


def run_block_products(suite, tools, work, rng):
    for label, form in BLOCK_PRODUCTS.items():
        form = dict(form)
        stays, bias = form.pop("stays"), form.pop("bias", False)
        with suite.case(f"contrib: MatMulNBits, {label}"):
            kind = form.get("kind", np.float32)
            arrays, weight = quantised(rng, **form)
            weights = dict(zip(("B", "scales", "zeros"), arrays))
            names = ["x", *weights]
            if bias:
                weights["bias"] = rng.standard_normal(form["n"]).astype(kind)
                names += [""] * (5 - len(names)) + ["bias"]
            element = T.FLOAT16 if kind == np.float16 else T.FLOAT
            attributes = dict(K=form["k"], N=form["n"], bits=form["bits"], block_size=form["block"])
            path, program = work / "blocks.onnx", work / "blocks.ciuic"
            save(path, [node("MatMulNBits", names, ["y"], **attributes)], {"x": (element, ["batch", "seq", form["k"]])},
                 {"y": (element, ["batch", "seq", form["n"]])}, weights)
            compiled = tools.compile(path, program, ["main:batch=1..2,seq=1..24"])
            formats = [f["format"] for f in compiled["formats"]]
            expect(stays is None or any(f.startswith("int4") for f in formats) == stays, f"formats {formats}")
            for batch, seq in ((1, 1), (2, 3), (1, 24)):
                x = rng.standard_normal((batch, seq, form["k"])).astype(kind)
                _, found = tools.run(program, work / "io", {"x": x}, ["y"])
                want = x.astype(np.float64) @ weight.T + (weights["bias"].astype(np.float64) if bias else 0)
                error = np.linalg.norm(found["y"] - want) / np.linalg.norm(want)
                expect(error <= (1e-6 if kind == np.float32 else 2e-3), f"{batch}x{seq}: relative error {error:.2e} against float64")
                if kind == np.float32:
                    error = relative_error(found["y"], reference.outputs(path, {"x": x})["y"])
                    expect(error <= 1e-5, f"{batch}x{seq}: relative error {error:.2e} against onnxruntime")


def run_block_tables(suite, tools, work, rng):
    """Rows gathered from quantised tables, alone and from one that is multiplied by too."""
    for label, form in {"blocks of 32": dict(bits=4, block=32), "zero points": dict(bits=4, block=32, zeros="packed"),
                        "8 bits": dict(bits=8, block=16)}.items():
        with suite.case(f"contrib: GatherBlockQuantized, {label}"):
            arrays, _ = quantised(rng, 100, 128, **form)
            weights = dict(zip(("table", "scales", "zeros"), arrays))
            weights["table"] = weights["table"].reshape(100, -1)
            if "zeros" in weights:
                weights["zeros"] = weights["zeros"].reshape(100, -1)
            nodes = [node("GatherBlockQuantized", ["table", "ids", *list(weights)[1:]], ["y"], bits=form["bits"],
                          block_size=form["block"], gather_axis=0, quantize_axis=1)]
            feeds = [{"ids": rng.integers(0, 100, (b, s))} for b, s in ((2, 5), (1, 1))]
            agree(tools, work, "table", nodes, {"ids": (T.INT64, ["batch", "seq"])}, {"y": (T.FLOAT, ["batch", "seq", 128])}, weights, feeds)
    with suite.case("contrib: GatherBlockQuantized from a table that MatMulNBits multiplies by"):
        arrays, _ = quantised(rng, 100, 128, bits=4, block=32)
        weights = {"blocks": arrays[0], "scales": arrays[1], "flat": np.array([100, 64], np.int64)}
        nodes = [h.make_node("Reshape", ["blocks", "flat"], ["table"]),
                 node("GatherBlockQuantized", ["table", "ids", "scales"], ["x"], bits=4, block_size=32, gather_axis=0, quantize_axis=1),
                 node("MatMulNBits", ["x", "blocks", "scales"], ["y"], K=128, N=100, bits=4, block_size=32)]
        inputs, outputs = {"ids": (T.INT64, ["batch", "seq"])}, {"y": (T.FLOAT, ["batch", "seq", 100])}
        agree(tools, work, "tied", nodes, inputs, outputs, weights, [{"ids": rng.integers(0, 100, (2, 5))}])
        compiled = tools.compile(work / "tied.onnx", work / "tied.ciuic", ["main:batch=1..2,seq=1..8"])
        expect(compiled["weights_bytes"] < 12000, f"{compiled['weights_bytes']} bytes: the table is stored twice or as floats")


# --- A decoder in both forms ---

def builder_feeds(ids, past):
    return {name: array for name, array in language.feeds(ids, past).items() if name != "position_ids"}


def builder_logits(path, c, runs, half):
    """onnxruntime's logits of successive runs."""
    names = [f"{i}.{kind}" for i in range(c.layers) for kind in ("key", "value")]
    session, found = reference.session(path), []
    cache = [np.zeros((1, c.groups, 0, c.width), np.float16 if half else np.float32) for _ in names]
    for ids, past in runs:
        inputs = builder_feeds(ids, past) | {f"past_key_values.{n}": x for n, x in zip(names, cache)}
        logits, *cache = session.run(["logits"] + [f"present.{n}" for n in names], inputs)
        found.append(logits)
    return found


def run_decoder(suite, tools, work, name, vocabulary, limit):
    """The model builder's form as a session, its cache kept in place, against onnxruntime on the exporter's form."""
    path = wanted = None
    entries = ["prefill:batch_size=1,sequence_length=1..32,past_sequence_length=0..96",
               "decode:batch_size=1,sequence_length=1,past_sequence_length=0..127"]
    rng, runs, past = np.random.default_rng(31), [], 0
    for n in (19, 1, 1, 8, 1):
        runs.append((rng.integers(17, vocabulary, n).tolist(), past))
        past += n
    with suite.case(f"contrib: {name} as exported, the reference"):
        try:
            path = zoo.MODELS[name].path()
        except packages.Unavailable as e:
            raise Skip(str(e)) from None
        c = builder_form.DECODERS[name]
        names = [f"{i}.{kind}" for i in range(c.layers) for kind in ("key", "value")]
        session, wanted = reference.session(path), []
        half = session.get_inputs()[-1].type == "tensor(float16)"
        cache = [np.zeros((1, c.groups, 0, c.width), np.float16 if half else np.float32) for _ in names]
        for ids, past in runs:
            inputs = language.feeds(ids, past) | {f"past_key_values.{n}": x for n, x in zip(names, cache)}
            logits, *cache = session.run(["logits"] + [f"present.{n}" for n in names], inputs)
            wanted.append(logits)
    if not wanted:
        return
    # The same over weights of 4 bits has another reference: the builder's form, which the decomposed one has shown to be
    # right, in onnxruntime.
    for label, block, zeros in (("", 0, False), (", 4 bits", 32, False), (", 4 bits with zero points", 64, True)):
        with suite.case(f"contrib: {name} as model builders write it{label}"):
            program, against = work / f"{name}.ciuic", wanted
            model = builder_form.plain(path, name)
            if block:
                model, _ = builder_form.quantised(path, name, work / f"{name}-{block}", block, zeros)
                against = builder_logits(model, c, runs, half)
            compiled = tools.compile(model, program, entries)
            expect(len(compiled["states"]) == 2 * c.layers, f"{len(compiled['states'])} states, not {2 * c.layers}")
            for i, (ids, past) in enumerate(runs):
                options = ["--state-out", work / f"state{i}"] + (["--state-in", work / f"state{i - 1}"] if i else [])
                _, found = tools.run(program, work / "io", builder_feeds(ids, past), ["logits"], options)
                error = relative_error(found["logits"], against[i])
                expect(error <= limit, f"run {i}: relative error {error:.2e}")


def run_contrib(suite, tools, work):
    work.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(29)
    run_group_query(suite, tools, work, rng)
    run_multi_head(suite, tools, work, rng)
    run_elementwise(suite, tools, work, rng)
    run_block_products(suite, tools, work, rng)
    run_block_tables(suite, tools, work, rng)
    run_decoder(suite, tools, work, "llama_mini", 1024, 5e-3)
    run_decoder(suite, tools, work, "smollm2", 49152, 1e-4)
