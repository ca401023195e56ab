# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small decoders with seeded weights in the forms that the models of the list do not have: a bias on each projection, projections
of 4 bits apart, caches as int8. Sessions against onnxruntime; on a GPU, six launches a layer."""
import builder_form
import numpy as np
import onnx
from onnx import helper, numpy_helper

from cli import relative_error
from contrib import builder_feeds, builder_logits
from suite import expect

CONFIG = builder_form.Decoder(layers=2, heads=4, groups=2, width=64, positions=256, theta=10000.0)
HIDDEN, INNER, VOCABULARY = 128, 256, 64
ENTRIES = ["prefill:batch_size=1,sequence_length=1..32,past_sequence_length=0..96",
           "decode:batch_size=1,sequence_length=1,past_sequence_length=0..127"]
RUNS = (19, 1, 1, 8, 1)
# What a layer may take on a GPU, but for norms in front of small f32 products, and what stands around the layers.
LAYER_LAUNCHES, OTHER_LAUNCHES = 6, 12

# Label: halves, bits in blocks of 32, a bias on query, key and value (and on gate and up).
FORMS = {"biases": (False, False, True), "biases, halves": (True, False, True), "4 bits": (False, True, False),
         "4 bits and biases, halves": (True, True, True)}


def source(half, rng):
    """A model of stored tensors alone, named as frameworks name them."""
    c, dtype = CONFIG, np.float16 if half else np.float32
    tensors = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "lm_head.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,)}
    for i in range(c.layers):
        own = f"model.layers.{i}"
        tensors |= {f"{own}.input_layernorm.weight": (HIDDEN,), f"{own}.post_attention_layernorm.weight": (HIDDEN,)}
        for part, columns in (("q", c.heads), ("k", c.groups), ("v", c.groups)):
            tensors[f"{own}.self_attn.{part}_proj.weight"] = (columns * c.width, HIDDEN)
            tensors[f"{own}.self_attn.{part}_proj.bias"] = (columns * c.width,)
        tensors[f"{own}.self_attn.o_proj.weight"] = (HIDDEN, c.heads * c.width)
        for part in ("gate", "up"):
            tensors[f"{own}.mlp.{part}_proj.weight"], tensors[f"{own}.mlp.{part}_proj.bias"] = (INNER, HIDDEN), (INNER,)
        tensors[f"{own}.mlp.down_proj.weight"] = (HIDDEN, INNER)
    stored = []
    for name, shape in tensors.items():
        values = rng.uniform(0.5, 1.5, shape) if "norm" in name else rng.standard_normal(shape) * (0.5 if "bias" in name else shape[-1] ** -0.5)
        stored.append(numpy_helper.from_array(values.astype(dtype), name))
    graph = helper.make_graph([], "stored", [], [], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])


class Builder(builder_form.Builder):
    """Projections apart, each with its bias where there are some."""

    def __init__(self, model, block, biased):
        super().__init__(model, CONFIG, block, False)
        self.biased = biased

    def product(self, x, names, place):
        outputs = []
        for name in names:
            own = place if len(names) == 1 else f"{place}/{name.split('.')[-2]}"
            y = super().product(x, [name], own)
            bias = name.removesuffix("weight") + "bias"
            if self.biased and bias in self.stored:
                y = self.node("Add", [y, self.keep(bias)], [f"{own}/Add/output_0"], f"{own}/Add")
            outputs.append(y)
        return outputs[0] if len(outputs) == 1 else outputs

    def layer(self, i, x):
        block, self.block = self.block, 0  # the plain form asks for its projections one by one
        plain = self.product

        def product(x, names, place):
            self.block = block
            y = plain(x, names, place)
            self.block = 0
            return y

        self.product = product
        y = super().layer(i, x)
        self.block, self.product = block, plain
        return y


def made(work, label):
    half, blocks, biased = FORMS[label]
    path = work / f"{label.replace(' ', '-').replace(',', '')}.onnx"
    model = Builder(source(half, np.random.default_rng(5)), 32 if blocks else 0, biased).build()
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path, half


def conversation():
    rng, runs, past = np.random.default_rng(7), [], 0
    for n in RUNS:
        runs.append((rng.integers(0, VOCABULARY, n).tolist(), past))
        past += n
    return runs


def run_decoders(suite, tools, work):
    work.mkdir(parents=True, exist_ok=True)
    runs = conversation()
    for label, (half, _, _) in FORMS.items():
        path = wanted = None
        with suite.case(f"decoders: {label}, the reference"):
            path, half = made(work, label)
            wanted = builder_logits(path, CONFIG, runs, half)
        if not wanted:
            continue
        # Caches as int8: each value of a row is off by at most 0.4 % of its largest.
        for caches, options, limit in (("", [], 5e-3 if half else 1e-5), (", caches as int8", ["--quality", "near", "--formats", "f16", "--kv", "int8"], 2e-2)):
            program = work / f"{path.stem}{'-kv' if caches else ''}.ciuic"
            with suite.case(f"decoders: {label}{caches}"):
                compiled = tools.compile(path, program, ENTRIES, options=options)
                states = compiled["states"]
                row = CONFIG.width + 8 if caches else CONFIG.width * (2 if half else 4)
                expect(len(states) == 2 * CONFIG.layers and all(s["bytes"] == CONFIG.groups * s["capacity"] * row for s in states),
                       f"states {states}, rows of {row} bytes wanted")
                launches = next(e["launches"] for e in compiled["entries"] if e["name"] == "decode")
                norms = 2 if any(f["format"] in ("f32", "f16") for f in compiled["formats"]) and not half else 0
                most = (LAYER_LAUNCHES + norms) * CONFIG.layers + OTHER_LAUNCHES
                expect(tools.target == "host" or launches <= most, f"{launches} launches, more than {most}")
                for i, (ids, past) in enumerate(runs):
                    options = ["--state-out", work / f"state{i}"] + (["--state-in", work / f"state{i - 1}"] if i else [])
                    _, found = tools.run(program, work / "io", builder_feeds(ids, past), ["logits"], options)
                    error = relative_error(found["logits"], wanted[i])
                    expect(error <= limit, f"run {i}: relative error {error:.2e}")
