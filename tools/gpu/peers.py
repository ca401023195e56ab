# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""LLaMA-7B by torch and by its offloaders, each measurement in a process of its own: what it takes of the device, through
loading and runs, is then the whole process'.

    python3 tools/gpu/peers.py KIND REQUEST     (JSON in, JSON out; tools/gpu/bench calls it)

KIND is reference or references (the same weights in f32, for errors), eager, compile, both (of the two, in one process),
flextensor or accelerate. The offloaders' weights are views on the model's file, so that no copy of them is made but an offloader's own,
and they keep no cache: their token is the forward pass of one position.
"""
import contextlib
import faulthandler
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import measure  # noqa: E402

TORCH = ("eager", "compile")
OFFLOADERS = ("flextensor", "accelerate")
CONTEXT_BYTES = 600 << 20  # of the device, before torch has allocated anything


def missing(kinds):
    """What of the kinds cannot be measured here, and how to have it."""
    needs = {"torch", "transformers"} | {k for k in kinds if k in OFFLOADERS} | ({"accelerate"} if "flextensor" in kinds else set())
    gone = sorted(k for k in needs if importlib.util.find_spec(k) is None)
    return f"not installed: {', '.join(gone)}; python3 -m pip install {' '.join(gone)}" if gone else None


def measured(kind, request):
    """What the process says, and the bytes of the device that it took."""
    with measure.Sampler() as sampler:
        found = measure.tool([sys.executable, __file__, kind, json.dumps({k: str(v) if isinstance(v, Path) else v for k, v in request.items()})])
    return found, sampler.bytes


def host_module(path):
    """The model in f16 on the CPU, its parameters views on the file of weights."""
    import llama
    import models
    import torch
    from accelerate import init_empty_weights
    from transformers import LlamaForCausalLM

    torch.set_default_dtype(torch.float16)
    with init_empty_weights(include_buffers=False):
        module = LlamaForCausalLM(llama.config()).eval()
    torch.set_default_dtype(torch.float32)
    models.view(path, module)
    return module.requires_grad_(False)


def device_module(path, dtype):
    import llama
    import models
    import torch
    from transformers import LlamaForCausalLM

    torch.set_default_dtype(getattr(torch, dtype))
    with torch.device("cuda"):
        module = LlamaForCausalLM(llama.config()).eval()
    torch.set_default_dtype(torch.float32)
    models.load(path, module)
    return module.requires_grad_(False)


def by_flextensor(module, request):
    """As its documentation has it: decoder layers are offloaded, the rest is on the card, the target a share of the card."""
    import flextensor
    import torch

    total = torch.cuda.get_device_properties(0).total_memory
    config = flextensor.OffloadConfig(include_patterns=["model.layers.*"], max_gpu_mem_fraction=request["budget"] / total)
    module = flextensor.offload(module, config=config)
    return module, config.discovery_iters + config.profiling_iters + 2


def by_accelerate(module, request):
    """Layers in order on the card until the budget is full, less what context and activations take; the others on the CPU."""
    from accelerate import dispatch_model, infer_auto_device_map

    activations = int(np.load(request["ids"]).size) * 200_000
    most = {0: max(request["budget"] - CONTEXT_BYTES - activations, 1 << 30), "cpu": 100 << 30}
    where = infer_auto_device_map(module, max_memory=most, no_split_module_classes=["LlamaDecoderLayer"])
    return dispatch_model(module, where), 1


def cached_step(module, forward, ids, context):
    """A token behind `context` zeros in a cache of fixed length, as torch.compile wants it; every call goes one position
    further, until `rewind` takes the cache back. (call, rewind)"""
    import torch
    from transformers import StaticCache

    config = module.config
    cache = StaticCache(config=config, max_cache_len=1024, max_batch_size=1, device="cuda", dtype=module.dtype)
    zeros = torch.zeros((1, config.num_key_value_heads, context, config.head_dim), device="cuda", dtype=module.dtype)
    for i in range(config.num_hidden_layers):
        cache.update(zeros, zeros, i, {"cache_position": torch.arange(context, device="cuda")})
    position, where = torch.full((1, 1), context, device="cuda"), torch.tensor([context], device="cuda")

    def rewind():
        for layer in cache.layers:
            layer.cumulative_length.fill_(context)

    return lambda: forward(input_ids=ids, position_ids=position, past_key_values=cache, use_cache=True, cache_position=where).logits, rewind


def after_zeros(module, ids, context):
    """The same token behind a cache that grows."""
    import torch
    from transformers import DynamicCache

    past = DynamicCache(config=module.config)
    zeros = torch.zeros((1, module.config.num_key_value_heads, context, module.config.head_dim), device="cuda", dtype=module.dtype)
    for i in range(module.config.num_hidden_layers):
        past.update(zeros, zeros, i)
    return module(input_ids=ids, position_ids=torch.full((1, 1), context, device="cuda"), past_key_values=past, use_cache=True).logits


def logits_of(request):
    """A forward pass that keeps no cache, of the last position's logits."""
    import torch

    ids = torch.from_numpy(np.load(request["ids"])).cuda()
    return ids, lambda forward: lambda: forward(input_ids=ids, use_cache=False, logits_to_keep=1).logits


def offloaded(kind, request):
    """(figures, logits) of an offloader. They write to their parameters, so gradients are off and inference mode is not on."""
    import torch

    def waits(which):
        if kind == which:
            measure.turn(request.get("go"), [])

    module = host_module(request["model"])
    waits("accelerate")  # it fills the card at once
    module, warmup = {"flextensor": by_flextensor, "accelerate": by_accelerate}[kind](module, request)
    waits("flextensor")  # its pinned copies of the weights take longest
    call = torch.no_grad()(logits_of(request)[1](module))
    return measure.figures(measure.clock(call, request["iterations"], warmup)), call()


def by_torch(kind, request):
    """(figures, logits) of torch: reference, eager, compile, or both of these."""
    import torch

    ids, plain = logits_of(request)
    context, iterations, go = request.get("context"), request["iterations"], request.get("go")
    module = device_module(request["model"], "float32" if kind == "reference" else "float16")
    compiled = torch.compile(module, mode="reduce-overhead" if context else "default")
    times = lambda call: measure.peer(call, iterations, 6 if context else 3)  # noqa: E731
    with torch.inference_mode():
        if kind == "reference":
            return {}, after_zeros(module, ids, context) if context else plain(module)()
        steps = {name: cached_step(module, forward, ids, context) if context else (plain(forward), lambda: None)
                 for name, forward in (("eager", module), ("compile", compiled)) if kind in ("both", name)}
        call, rewind = steps["eager" if kind == "eager" else "compile"]
        if kind == "both":
            found = measure.beside(go, steps["eager"][0], call, times)
        else:
            measure.turn(go, [call])
            found = measure.figures(times(call))
        rewind()
        return found, call()


def references(request):
    """Logits in f32 of several requests, of one module."""
    import torch

    module = device_module(request["model"], "float32")
    for r in request["several"]:
        ids = torch.from_numpy(np.load(r["ids"])).cuda()
        with torch.inference_mode():
            logits = after_zeros(module, ids, r["context"]) if r.get("context") else module(input_ids=ids, use_cache=False, logits_to_keep=1).logits
        np.save(r["logits"], logits.float().cpu().numpy())


def main():
    faulthandler.enable()
    kind, request = sys.argv[1], json.loads(sys.argv[2])
    with contextlib.redirect_stdout(sys.stderr):
        if kind == "references":
            references(request)
            found = {}
        else:
            found, logits = (offloaded if kind in OFFLOADERS else by_torch)(kind, request)
            np.save(request["logits"], logits.float().cpu().numpy())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
