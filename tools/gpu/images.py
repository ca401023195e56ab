# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A step of Stable Diffusion 1.5's and XL's denoisers (batch 2) and the decoder of their images, in f16, beside torch and
diffusers' offloading.

    python3 tools/gpu/images.py KIND REQUEST     (JSON in, JSON out: a peer in a process of its own)

KIND is reference (the same weights in f32, for errors), eager, compile (channels last), both (of the two, in one process) or group
(diffusers' group offloading, leaf by leaf over a stream of its own).
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
import models  # noqa: E402

import diffusion  # noqa: E402  (of tools/models, whose folder `models` adds)

PEERS = ("eager", "compile", "group")


def missing(_=()):
    needs = [k for k in ("torch", "diffusers") if importlib.util.find_spec(k) is None]
    return f"not installed: {', '.join(needs)}; python3 -m pip install {' '.join(needs)}" if needs else None


def made(a, name):
    """Path of the model. Made in another process, whose device memory goes."""
    path = a.work / name / f"{name}.onnx"
    if not path.exists():
        code = "import sys; sys.path.insert(0, sys.argv[1]); import models; models.make([sys.argv[2]], sys.argv[3]); print('{}')"
        measure.tool([sys.executable, "-c", code, Path(__file__).resolve().parent, name, path.parent])
    return path


def batch_of(name):
    return 1 if name.startswith("vae") else diffusion.BATCH


def inputs(a, name):
    """Files of the inputs, as arguments."""
    arguments = []
    for key, value in diffusion.arguments(name, batch=batch_of(name)).items():
        path = a.work / f"{name}.{key}.npy"
        np.save(path, value.numpy())
        arguments += ["--input", f"{key}=@{path}"]
    return arguments


def entry_of(name):
    size = diffusion.LATENTS[name]
    dims = f"batch_size={batch_of(name)},height={size},width={size}"
    return f"main:{dims}" if name.startswith("vae") else f"main:{dims},steps=1,sequence_length={diffusion.TOKENS}"


def relative(found, wanted):
    found, wanted = found.astype(np.float64).ravel(), wanted.astype(np.float64).ravel()
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def peer(a, name, kind):
    """(what the process says, its result, bytes of the device that it took)"""
    result = a.work / f"{name}.{kind}.npy"
    request = {"name": name, "model": str(made(a, name)), "result": str(result), "iterations": a.iterations if kind != "group" else 3}
    with measure.Sampler() as sampler:
        found = measure.tool([sys.executable, __file__, kind, json.dumps(request)])
    return found, np.load(result), sampler.bytes


def measured(a, name, workload, variants):
    import llama

    if a.peers and (gone := missing()):
        raise RuntimeError(gone)
    model, arguments = made(a, name), inputs(a, name)
    output = "image" if name.startswith("vae") else "out_sample"
    rows, found = [], {}
    for variant, options in llama.wanted(a, variants):
        program, report = llama.compile(a, model, name, ["--entry", entry_of(name), *options])
        result = a.work / f"{name}.out.npy"
        run, taken = measure.ours(a.bin, program, [*arguments, "--output", f"{output}=@{result}"], a.iterations)
        found[variant] = np.load(result)
        rows.append(llama.row(workload, variant, report, "main", run, taken))
        yield rows[-1]
        program.unlink()
    for variant in found:
        if found[variant].tobytes() != found[next(iter(found))].tobytes():
            raise RuntimeError(f"{workload}: the outputs of {variant} are not those without a budget")
    kinds = [k for k in a.peers if k in PEERS]
    if not kinds:
        return
    _, wanted, _ = peer(a, name, "reference")
    for r in rows:
        r["error"] = relative(found[r["variant"]], wanted)
    for kind in kinds:
        said, result, taken = peer(a, name, kind)
        yield {"workload": workload, "system": "diffusers.group" if kind == "group" else "torch." + kind,
               "variant": {"compile": "f16, channels last"}.get(kind, "f16"), "ms": said["ms"],
               "process_device_bytes": taken, "budget_bytes": None, "error": relative(result, wanted), "note": None}


def sd15(a):
    """a step of Stable Diffusion 1.5, latents 2x4x64x64: no budget; half of its need; peers"""
    yield from measured(a, "sd15_unet", "sd15 step 2x64x64", {"no budget": [], "50% exact": ["--vram", "50%"]})


def sdxl(a):
    """a step of Stable Diffusion XL, latents 2x4x128x128: no budget; 4 GiB; peers"""
    yield from measured(a, "sdxl_unet", "sdxl step 2x128x128", {"no budget": [], "4G exact": ["--vram", "4G"]})


def vae(a):
    """the decoder of a picture of 512x512: no budget; peers"""
    yield from measured(a, "vae_decoder", "vae decode 512x512", {"no budget": []})


ROWS = {"sd15-unet": sd15, "sdxl-unet": sdxl, "vae-decode": vae}


def answer(kind, request):
    """(figures, result)"""
    import torch

    name, dtype = request["name"], torch.float32 if kind == "reference" else torch.float16
    values = [v.cuda().to(dtype) for v in diffusion.arguments(name, batch=batch_of(name)).values()]
    module = diffusion.module(name, "meta", dtype).to_empty(device="cpu" if kind == "group" else "cuda")
    models.load(request["model"], module)
    module.requires_grad_(False)
    if kind == "group":
        from diffusers.hooks import apply_group_offloading

        apply_group_offloading(module, onload_device=torch.device("cuda"), offload_device=torch.device("cpu"),
                               offload_type="leaf_level", use_stream=True)
    if kind in ("compile", "both"):
        module = module.to(memory_format=torch.channels_last)
        values = [v.to(memory_format=torch.channels_last) if v.dim() == 4 else v for v in values]
    plain = lambda: module(*values)  # noqa: E731
    compiled = torch.compile(module) if kind in ("compile", "both") else None
    call = plain if compiled is None else lambda: compiled(*values)
    times = lambda call: measure.peer(call, request["iterations"], 1 if kind == "group" else 3)  # noqa: E731
    with torch.inference_mode():
        if kind == "reference":
            return {}, plain()
        if kind == "both":
            return measure.beside(request.get("go"), plain, call, times), call()
        measure.turn(request.get("go"), [call])
        return measure.figures(times(call)), call()


def main():
    faulthandler.enable()
    kind, request = sys.argv[1], json.loads(sys.argv[2])
    with contextlib.redirect_stdout(sys.stderr):
        found, result = answer(kind, request)
        np.save(request["result"], result.float().cpu().numpy())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
