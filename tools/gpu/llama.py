# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""LLaMA-7B in f16: one token at 512 context, a prompt of 2048, with and without a budget, beside torch."""
import sys

import numpy as np

import measure
import models
import peers

CONTEXT = 512
SIZES = dict(vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32,
             num_key_value_heads=32, head_dim=128, max_position_embeddings=4096, rms_norm_eps=1e-5,
             rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, tie_word_embeddings=False)
TOKEN = ["--entry", "decode:batch_size=1,sequence_length=1,past_sequence_length=0..1023"]
CHUNK = ["--entry", "prefill:batch_size=1,sequence_length=1..512,past_sequence_length=0..512"]
_made = {}


def made(a):
    """Paths of llama7b and llama7b_prompt over one file of weights. Made in another process, whose device memory goes."""
    paths = {name: a.work / f"{name}.onnx" for name in ("llama7b", "llama7b_prompt")}
    if all(p.exists() for p in paths.values()):
        _made.update({k: str(p) for k, p in paths.items()})
    if not _made:
        code = ("import sys, json; sys.path.insert(0, sys.argv[1]); import models; "
                "print(json.dumps({k: str(v) for k, v in models.make(['llama7b', 'llama7b_prompt'], sys.argv[2]).items()}))")
        _made.update(measure.tool([sys.executable, "-c", code, str(models.ROOT / "tools" / "gpu"), a.work]))
    return _made


def compile(a, model, name, arguments):
    program = a.work / f"{name}.ciuic"
    program.unlink(missing_ok=True)
    report = measure.tool([a.bin / "ciuicc", model, "-o", program, "--target", "cuda", "--json", *arguments])
    return program, report


def row(workload, variant, report, entry, run, bytes_, error=None, note=None):
    predicted = next(e for e in report["entries"] if e["name"] == entry)
    return {"workload": workload, "system": "ciuic", "variant": variant, "ms": {k: run["latency_ms"][k] for k in ("min", "median", "p90")},
            "process_device_bytes": bytes_, "budget_bytes": report["budget_bytes"], "predicted_ms": predicted["predicted_ms"],
            "predicted_bytes": report["peak_bytes"], "copied_bytes": run["copied_bytes"], "stall_ms": run["stall_ms"],
            "streamed_bytes": report["streamed_bytes"], "error": error, "note": note}


def wanted(a, variants):
    return [(k, v) for k, v in variants.items() if not a.variants or k in a.variants]


def same(found, one, other, what):
    """Exact programs agree bit for bit."""
    if one in found and other in found and found[one].tobytes() != found[other].tobytes():
        raise RuntimeError(f"{what}: the outputs at 6 GiB are not those without a budget")


def tokens(a, count):
    path = a.work / f"tokens{count}.npy"
    np.save(path, np.random.default_rng(5).integers(3, 32000, (1, count)))
    return path


def token_inputs(a):
    """One token after CONTEXT others (zeros in the cache, as torch's rows have)."""
    np.save(a.work / "mask.npy", np.ones((1, CONTEXT + 1), np.int64))
    np.save(a.work / "position.npy", np.full((1, 1), CONTEXT, np.int64))
    return ["--entry", "decode", "--dim", f"past_sequence_length={CONTEXT}", "--input", f"input_ids=@{tokens(a, 1)}",
            "--input", f"attention_mask=@{a.work / 'mask.npy'}", "--input", f"position_ids=@{a.work / 'position.npy'}",
            "--output", f"logits=@{a.work / 'logits.npy'}"]


def config():
    from transformers import LlamaConfig

    return LlamaConfig(**SIZES, attn_implementation="sdpa")


def relative(found, wanted):
    found, wanted = found.astype(np.float64).ravel(), wanted.astype(np.float64).ravel()
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def peers_of(a, workload, request, ours):
    """Rows of the peers, as they are measured: first the logits of the same weights in f32, where rows of ours want them."""
    logits = {kind: a.work / f"{kind}.npy" for kind in ("reference", *a.peers)}
    request = {"iterations": a.iterations} | request | {"model": made(a)["llama7b"], "budget": 6 << 30}
    wanted = None
    if ours:
        peers.measured("reference", request | {"logits": logits["reference"]})
        wanted = np.load(logits["reference"])
    yield wanted
    for kind in a.peers:
        offloader = kind in peers.OFFLOADERS
        most = request | {"logits": logits[kind], "iterations": max(3, request["iterations"] // 4) if offloader else request["iterations"]}
        found, taken = peers.measured(kind, most)
        cached = request.get("context") is not None
        yield {"workload": workload, "system": kind if offloader else "torch." + kind,
               "variant": "asked for 6G" if offloader else "f16, reduce-overhead" if cached and kind == "compile" else "f16",
               "ms": found["ms"], "process_device_bytes": taken, "budget_bytes": request["budget"] if offloader else None,
               # Without a cache an offloader's token is another one: the first of a text.
               "error": None if wanted is None or offloader and cached else relative(np.load(logits[kind]), wanted),
               "note": "no cache: one position alone" if offloader and cached else None}


def session(a, program, variant, report):
    """Prompt and tokens one after the other, the cache growing, inputs and logits copied: what a caller sees."""
    if not (a.bin / "ciuic-bench").exists():
        print(f"bench: no ciuic-bench in {a.bin}: sessions are not timed", file=sys.stderr)
        return
    with measure.Sampler() as sampler:
        found = measure.tool([a.bin / "ciuic-bench", "--generate", program, "--prompt", CONTEXT, "--tokens", 64, "--repeats", 2, "--json"])
    for workload, ms in (("prompt of 512", found["prompt_ms"]), ("token behind 512 to 575", found["token_ms"])):
        yield {"workload": f"llama7b session, {workload}", "system": "ciuic", "variant": variant, "ms": ms,
               "process_device_bytes": sampler.bytes, "budget_bytes": report["budget_bytes"]}


def token(a):
    """one token at 512 context: no budget; 6 GiB exact; 5 GiB at 4 bits; peers"""
    model = made(a)["llama7b"]
    rows, found = [], {}
    for variant, arguments in wanted(a, {"no budget": [], "6G exact": ["--vram", "6G"], "5G balanced": ["--vram", "5G", "--quality", "balanced"]}):
        program, report = compile(a, model, "token", [*TOKEN, *CHUNK, *arguments])
        run, taken = measure.ours(a.bin, program, token_inputs(a), a.iterations if variant != "6G exact" else max(3, a.iterations // 4))
        found[variant] = np.load(a.work / "logits.npy")
        rows.append(row(f"llama7b token at {CONTEXT}", variant, report, "decode", run, taken))
        yield rows[-1]
        if variant != "6G exact":
            yield from session(a, program, variant, report)
        program.unlink()
    same(found, "no budget", "6G exact", "token")
    if a.peers:
        answers = peers_of(a, f"llama7b token at {CONTEXT}", {"ids": tokens(a, 1), "context": CONTEXT}, rows)
        logits = next(answers)
        for r in rows:
            r["error"] = relative(found[r["variant"]], logits)
        yield from answers


def prompt(a):
    """a prompt of 1 x 2048 and of 4 x 2048: no budget and 6 GiB exact; peers"""
    model = made(a)["llama7b_prompt"]
    rows, found = [], {}
    for batch in a.batches:
        workload, ids = f"llama7b prompt {batch}x2048", a.work / f"prompt{batch}.npy"
        np.save(ids, np.random.default_rng(6).integers(3, 32000, (batch, 2048)))
        for variant, arguments in wanted(a, {"no budget": [], "6G exact": ["--vram", "6G"]}):
            program, report = compile(a, model, "prompt", ["--entry", f"main:batch_size={batch},sequence_length=1..2048", *arguments])
            run, taken = measure.ours(a.bin, program, ["--input", f"input_ids=@{ids}", "--output", f"logits=@{a.work / 'logits.npy'}"],
                                      max(3, a.iterations // 3), 2)
            found[batch, variant] = np.load(a.work / "logits.npy")
            rows.append(row(workload, variant, report, "main", run, taken))
            yield rows[-1]
            program.unlink()
        same(found, (batch, "no budget"), (batch, "6G exact"), f"prompt of {batch}x2048")
        if a.peers:
            answers = peers_of(a, workload, {"ids": ids, "iterations": max(3, a.iterations // 3)},
                               [r for r in rows if r["workload"] == workload])
            logits = next(answers)
            for r in rows:
                if r["workload"] == workload:
                    r["error"] = relative(found[batch, r["variant"]], logits)
            yield from answers


ROWS = {"llama-token": token, "llama-prompt": prompt}
