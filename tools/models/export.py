#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Exports the graphs under test/models/ with the exporters people use, and writes them as text without weights.

    export.py NAME... [--out test/models]      NAME: smollm2, minilm, resnet50, llama7b, llama7b_prompt, llama_mini,
                                                        unet_mini, sd15_unet, sdxl_unet, vae_decoder

Needs torch, torchvision, transformers, diffusers and onnx, none of which the project's own environment has: exporting is done once
and its result, NAME/model.textproto, is committed. The weights are random here and are dropped; tools/models/make fills
in real ones by the initialisers' names, which for that reason are the framework's parameter names wherever the
exporter keeps them.
"""
import argparse
import functools
import re
import tempfile
from pathlib import Path

import onnx
import torch

import diffusion
from graph_text import write_text

OPSET = 18


def export(module, args, inputs, outputs, axes, fold=True):
    """The exporter's model, its initialisers named after the module's parameters: NAME, or NAME.T where transposed."""
    module.eval()
    with torch.no_grad():
        # Equal tensors (norms begin as all ones) would be merged into one by the exporter.
        for value in (*module.parameters(), *module.buffers()):
            if value.is_floating_point() and value.dim() > 0 and value.numel() > 1:
                value.copy_(torch.rand_like(value) + 0.5)
        frequencies(module)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "model.onnx"
            torch.onnx.export(module, args, str(path), input_names=inputs, output_names=outputs, dynamic_axes=axes,
                              opset_version=OPSET, dynamo=False, do_constant_folding=fold)
            model = onnx.load(path)
    named = {}
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        array = value.detach().numpy()
        named.setdefault(array.tobytes(), name)
        if array.ndim == 2:
            named.setdefault(array.T.tobytes(), name + ".T")
    rename(model, {t.name: named.get(onnx.numpy_helper.to_array(t).tobytes(), t.name) for t in model.graph.initializer})
    return model


def frequencies(module):
    """Gives the rotary embeddings their own buffers back; they are constants and not weights."""
    for part in module.modules():
        if hasattr(part, "inv_freq"):
            theta, width = part.config.rope_parameters["rope_theta"], part.config.head_dim
            part.inv_freq.copy_(theta ** -(torch.arange(0, width, 2, dtype=torch.int64).float() / width))


def rename(model, names):
    for t in model.graph.initializer:
        t.name = names[t.name]
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)


def tie(model, weight):
    """Reads the folded transpose of a tied weight from the weight itself, so that its bytes exist once."""
    copy = weight + ".T"
    users = [n for n in model.graph.node if copy in n.input]
    kept = [t for t in model.graph.initializer if t.name != copy]
    if len(kept) + 1 != len(model.graph.initializer) or len(users) != 1:
        raise ValueError(f"{weight}: expected one transposed copy with one reader")
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    at = list(model.graph.node).index(users[0])
    model.graph.node.insert(at, onnx.helper.make_node("Transpose", [weight], ["/lm_head/Transpose_output_0"],
                                                      name="/lm_head/Transpose", perm=[1, 0]))
    users[0].input[list(users[0].input).index(copy)] = "/lm_head/Transpose_output_0"
    return model


def decoder(config, dtype, past, shared=False):
    """A Llama decoder as optimum lays it out. With `past`: keys and values come in and go out, logits of every
    position. Without: no cache and no padding, logits of the last position alone. With `shared` the layers are traced
    over one layer's parameters, so that a model of any depth exports in little memory; each layer's initialisers are
    named apart after."""
    import transformers
    from transformers import LlamaForCausalLM
    from transformers.cache_utils import DynamicCache

    layers, heads, width = config.num_hidden_layers, config.num_key_value_heads, config.head_dim

    class Decoder(LlamaForCausalLM):
        def forward(self, input_ids, attention_mask, position_ids, *past):
            cache = DynamicCache(config=config)
            for i, layer in enumerate(cache.layers):
                layer.keys, layer.values = past[2 * i], past[2 * i + 1]
                layer.dtype, layer.device, layer.is_initialized = past[0].dtype, past[0].device, True
            out = super().forward(input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids,
                                  past_key_values=cache, use_cache=True)
            present = []
            for layer in out.past_key_values.layers:
                present += [layer.keys, layer.values]
            return (out.logits, *present)

    class Prompt(LlamaForCausalLM):
        def forward(self, input_ids):
            return super().forward(input_ids=input_ids, use_cache=False, logits_to_keep=1).logits

    # Without a mask the library looks for several sequences packed into one, with an operator that ONNX lacks.
    transformers.masking_utils.find_packed_sequence_indices = lambda position_ids: None
    kind = Decoder if past else Prompt
    if shared:
        with torch.device("meta"):
            module = kind(config)
        first = module.model.layers[0].to_empty(device="cpu").to(dtype)
        for layer in list(module.model.layers)[1:]:
            for name, value in first.named_parameters():
                owner, leaf = name.rsplit(".", 1)
                layer.get_submodule(owner)._parameters[leaf] = value
        module.model.rotary_emb = type(module.model.rotary_emb)(config)
        for part in (module.model.embed_tokens, module.model.norm, module.lm_head):
            part.to_empty(device="cpu").to(dtype)
    else:
        module = kind(config).to(dtype)

    tokens = {0: "batch_size", 1: "sequence_length"}
    batch, seq, length = 2, 5, 3
    inputs, outputs, axes = ["input_ids"], ["logits"], {"input_ids": tokens, "logits": {0: "batch_size"}}
    args = (torch.randint(0, config.vocab_size, (batch, seq)),)
    if past:
        whole = "past_sequence_length + sequence_length"
        inputs += ["attention_mask", "position_ids"]
        axes |= {"attention_mask": {0: "batch_size", 1: whole}, "position_ids": tokens, "logits": tokens}
        args += (torch.ones(batch, length + seq, dtype=torch.int64),
                 torch.arange(length, length + seq).expand(batch, seq).contiguous(),
                 *[torch.randn(batch, heads, length, width, dtype=dtype) for _ in range(2 * layers)])
        for i in range(layers):
            for part in ("key", "value"):
                inputs.append(f"past_key_values.{i}.{part}")
                outputs.append(f"present.{i}.{part}")
                axes[inputs[-1]] = {0: "batch_size", 2: "past_sequence_length"}
                axes[outputs[-1]] = {0: "batch_size", 2: whole}
    model = export(module, args, inputs, outputs, axes, fold=not shared)
    return own_layers(model) if shared else model


def own_layers(model):
    """Gives every layer of a model that was traced over one layer's parameters initialisers of its own: a reader's
    scope, /model/layers.7/mlp/…, says whose they are."""
    shared = {t.name: t for t in model.graph.initializer if t.name.startswith("model.layers.0.")}
    made = {}
    for node in model.graph.node:
        layer = re.match(r"/model/layers\.(\d+)/", node.name)
        for i, name in enumerate(node.input):
            if name in shared:
                own = name.replace("model.layers.0.", f"model.layers.{layer[1]}.")
                node.input[i] = own
                made[own] = shared[name]
    kept = [t for t in model.graph.initializer if t.name not in shared]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    for name, source in made.items():
        copy = model.graph.initializer.add()
        copy.data_type, copy.name = source.data_type, name
        copy.dims.extend(source.dims)
    return model


def llama(dtype, **sizes):
    from transformers import LlamaConfig

    return LlamaConfig(**{"rms_norm_eps": 1e-5, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
                          "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False, "bos_token_id": 1,
                          "eos_token_id": 2, "attn_implementation": "eager", "dtype": dtype} | sizes)


LLAMA7B = dict(vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32,
               num_attention_heads=32, num_key_value_heads=32, head_dim=128, max_position_embeddings=4096)


def llama7b():
    """LLaMA-7B in f16, the decoder with past."""
    return decoder(llama(torch.float16, **LLAMA7B), torch.float16, past=True, shared=True)


def llama7b_prompt():
    """The same weights: a whole prompt to the logits of its last position, nothing kept."""
    return decoder(llama(torch.float16, **LLAMA7B), torch.float16, past=False, shared=True)


def llama_mini():
    """Four small layers of the same kind, with two key and value heads for eight query heads."""
    config = llama(torch.float16, vocab_size=1024, hidden_size=512, intermediate_size=1376, num_hidden_layers=4,
                   num_attention_heads=8, num_key_value_heads=2, head_dim=64, max_position_embeddings=2048)
    return decoder(config, torch.float16, past=True, shared=True)


def smollm2():
    """SmolLM2-135M, the decoder with past; Llama architecture."""
    config = llama(torch.float32, vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
                   num_attention_heads=9, num_key_value_heads=3, head_dim=64, max_position_embeddings=8192,
                   rope_parameters={"rope_type": "default", "rope_theta": 100000.0}, tie_word_embeddings=True)
    return tie(decoder(config, torch.float32, past=True), "model.embed_tokens.weight")


def minilm():
    """all-MiniLM-L6-v2: BERT, 6 layers of 384; the token vectors and the pooled first token."""
    from transformers import BertConfig, BertModel

    config = BertConfig(vocab_size=30522, hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
                        intermediate_size=1536, max_position_embeddings=512, type_vocab_size=2, layer_norm_eps=1e-12,
                        hidden_act="gelu", attn_implementation="eager")

    class Encoder(BertModel):
        def forward(self, input_ids, attention_mask, token_type_ids):
            out = super().forward(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
            return out.last_hidden_state, out.pooler_output

    args = (torch.randint(0, 30522, (2, 7)), torch.ones(2, 7, dtype=torch.int64), torch.zeros(2, 7, dtype=torch.int64))
    tokens = {0: "batch_size", 1: "sequence_length"}
    return export(Encoder(config), args, ["input_ids", "attention_mask", "token_type_ids"],
           ["last_hidden_state", "pooler_output"],
           {"input_ids": tokens, "attention_mask": tokens, "token_type_ids": tokens, "last_hidden_state": tokens,
            "pooler_output": {0: "batch_size"}})


def resnet50():
    """torchvision's ResNet-50 in inference form, batch norms not folded: that is the compiler's work."""
    import torchvision

    # Folding would merge the batch norms into the convolutions.
    return export(torchvision.models.resnet50(weights=None), (torch.randn(2, 3, 224, 224),), ["input"], ["output"],
                  {"input": {0: "batch_size"}, "output": {0: "batch_size"}}, fold=False)


MODELS = {f.__name__: f for f in (smollm2, minilm, resnet50, llama7b, llama7b_prompt, llama_mini)}
MODELS |= {name: functools.partial(diffusion.graph, name) for name in diffusion.CONFIGS}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="+", choices=sorted(MODELS), metavar="NAME")
    p.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[2] / "test" / "models")
    a = p.parse_args()
    for name in a.names:
        torch.manual_seed(0)
        model = MODELS[name]()
        text = a.out / name / "model.textproto"
        text.parent.mkdir(parents=True, exist_ok=True)
        text = write_text(model, text)
        print(f"{text}: {len(model.graph.node)} nodes, {text.stat().st_size} bytes")


if __name__ == "__main__":
    main()
