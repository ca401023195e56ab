# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiles SmolLM2-135M-Instruct at 100, 50 and 25 % of its need, and once more with --quality balanced at the smallest
of these budgets; lets each answer one prompt; and shows what was promised beside what was measured.

The reference is onnxruntime on the same ONNX file, fed with the same tokens; test/e2e/language.py says on which text the
perplexity is taken. The table also goes to build/demo/demo.json, one row a line.
"""
import argparse
import hashlib
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools" / "models"), str(ROOT / "test" / "e2e")]

PERCENTS = (100, 50, 25)
TOLERANCE = 1e-4  # relative error to onnxruntime that the exact rows may have


def show(*columns):
    widths = (9, 9, 9, 9, 9, 11, 21, 21, 9, 10)
    print("  ".join(str(c).rjust(w) for c, w in zip(columns, widths)), flush=True)


def mib(n):
    return f"{n / 2**20:.1f}"


def copied(answer):
    return sum(answer["copied_bytes"].values())


def row_of(tools, reference, model, tokenizer, prompt, text, work, label, vram, options, most):
    import language
    import numpy as np
    import tokenizer as tokens
    import zoo
    from cli import check_budget, relative_error
    program_path, report = work / f"{label}.ciuic", work / f"{label}.html"
    program_path.unlink(missing_ok=True)
    begin = time.monotonic()
    compiled = tools.compile_nearest(model, program_path, zoo.SMOLLM2_ENTRIES, vram, ["--report", report, *options])
    compile_s = time.monotonic() - begin
    predicted = {e["name"]: e["predicted_ms"] for e in compiled["entries"]}
    program = language.Program(tools, program_path, work)
    out, logits, answers = language.converse(program, prompt, tokens.end_of_turn(tokenizer), most)
    for answer in answers:
        check_budget(compiled, answer)
    # What was fed: the prompt, then each token of the answer but the last.
    runs = [prompt] + [[t] for t in out[:len(logits) - 1]]
    wanted = reference.logits(runs)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in logits)).hexdigest()
    timed = ["--warmup", "1", "--iterations", "3"]
    # Timed apart, warm: a token where the answer begins; and a prompt at the entry's bounds, which the prediction is for
    # (as many tokens as it takes, behind as many as the context leaves).
    program.reset()
    parts = [text[at:at + language.CHUNK] for at in range(0, language.CONTEXT, language.CHUNK)]
    for part in parts[:-1]:
        program.run(part)
    prefill, _ = program.run(parts[-1], timed, keep=False)
    program.reset()
    program.run(prompt)
    decode, _ = program.run([out[0]], timed, keep=False)
    return {"budget": label, "budget_bytes": compiled["budget_bytes"], "peak_device_bytes": program.peak,
            "predicted_prefill_ms": predicted["prefill"], "measured_prefill_ms": prefill["latency_ms"]["median"],
            "prefill_tokens": len(parts[-1]), "prefill_past_tokens": language.CONTEXT - len(parts[-1]), "predicted_decode_ms": predicted["decode"],
            "measured_decode_ms": decode["latency_ms"]["median"], "copied_bytes": copied(decode),
            "prefill_copied_bytes": copied(prefill), "error": max(map(relative_error, logits, wanted)),
            "output_hash": digest, "text": tokenizer.decode(out, skip_special_tokens=True),
            "perplexity": language.perplexity(program, text), "compile_s": compile_s, "program_bytes": program_path.stat().st_size,
            "report": str(report.relative_to(ROOT))}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tools", "--bin", type=Path, dest="bin", default=ROOT / "build" / "release" / "bin", metavar="DIR",
                   help="folder of ciuicc and ciuic-run; with it nothing is installed or built")
    p.add_argument("--model", type=Path, metavar="DIR", help="folder of smollm2.onnx, its weights and tokenizer.json, as "
                   "`tools/models/make smollm2` writes them; with it nothing is fetched")
    p.add_argument("--target", default="cuda" if Path("/dev/nvidiactl").exists() else "host", metavar="T",
                   help="host, or a GPU's cuda or cuda:sm_90 (what the machine has)")
    p.add_argument("--prompt", default="What is the capital of France, and what is it known for?", metavar="TEXT")
    p.add_argument("--tokens", type=int, default=24, metavar="N", help="length of the answer (24)")
    a = p.parse_args()

    import language
    import making
    import packages
    import tokenizer as tokens
    from cli import Tools
    from suite import Failure

    work = ROOT / "build" / "demo"
    work.mkdir(parents=True, exist_ok=True)
    try:
        model = a.model / "smollm2.onnx" if a.model else making.make("smollm2")
        tokenizer = tokens.load(a.model)
    except (packages.Unavailable, packages.WrongHash) as e:
        print(f"demo: the model's package cannot be had: {e}", file=sys.stderr)
        return 3
    prompt = tokens.chat(tokenizer, a.prompt)
    if not 0 < len(prompt) <= language.CHUNK or not 0 < a.tokens <= language.CONTEXT - len(prompt):
        print(f"demo: a prompt of 1 to {language.CHUNK} tokens and an answer that fits {language.CONTEXT}, please", file=sys.stderr)
        return 2
    text = language.text_ids(tokenizer)
    tools, rows = Tools(a.bin.resolve(), target=a.target), []
    reference = language.Reference(model)

    print(f"\nSmolLM2-135M-Instruct, {model.relative_to(ROOT) if model.is_relative_to(ROOT) else model}")
    print(f"prompt ({len(prompt)} tokens with the chat's frame): {a.prompt}\n")
    show("", "budget", "peak", "ms/token", "", "copied MiB", "logits, relative", "output", "perplex-", "compile")
    show("", "MiB", "MiB", "predicted", "measured", "per token", "error to onnxruntime", "hash", "ity", "s")
    plans = [(f"{p}%", f"{p}%", []) for p in PERCENTS]
    try:
        for label, vram, options in plans + [("balanced", None, ["--quality", "balanced"])]:
            vram = vram or str(min(r["budget_bytes"] for r in rows))
            r = row_of(tools, reference, model, tokenizer, prompt, text, work, label.rstrip("%"), vram, options, a.tokens)
            r["budget"] = label
            rows.append(r)
            show(label, mib(r["budget_bytes"]), mib(r["peak_device_bytes"]), f"{r['predicted_decode_ms']:.1f}",
                 f"{r['measured_decode_ms']:.1f}", mib(r["copied_bytes"]), f"{r['error']:.1e}", r["output_hash"][:16],
                 f"{r['perplexity']:.2f}", f"{r['compile_s']:.1f}")
    except Failure as e:
        print(f"demo: {e}", file=sys.stderr)
        return 1

    print(f"\na prompt of {rows[0]['prefill_tokens']} tokens behind {rows[0]['prefill_past_tokens']}, predicted and measured ms: " + "; ".join(
        f"{r['budget']} {r['predicted_prefill_ms']:.0f}, {r['measured_prefill_ms']:.0f}" for r in rows))
    print("(predicted for the largest batch that the program takes, 4 where none is named; measured at 1)")
    exact = rows[:len(PERCENTS)]
    same = len({(r["output_hash"], r["text"]) for r in exact}) == 1
    print(f"logits and text over the {len(exact)} exact budgets: " + ("bit-identical" if same else "DIFFERENT"))
    print(f"answer: {exact[0]['text']}")
    if rows[-1]["text"] != exact[0]["text"]:
        print(f"balanced: {rows[-1]['text']}")
    table = work / "demo.json"
    table.write_text("[\n" + ",\n".join(json.dumps(r, sort_keys=True) for r in rows) + "\n]\n", encoding="utf-8")
    print(f"\ntable:  {table.relative_to(ROOT)}\nreport: {rows[len(PERCENTS) - 1]['report']}")
    program = (work / f"{PERCENTS[-1]}.ciuic").relative_to(ROOT)
    print(f"next:   build/release/bin/ciuic-run {program} --entry decode --dim past_sequence_length=100 --iterations 20")
    right = max(r["error"] for r in exact) <= TOLERANCE
    if not right:
        print(f"demo: the exact logits stray from onnxruntime's by more than {TOLERANCE:.0e}", file=sys.stderr)
    return 0 if same and right else 1


if __name__ == "__main__":
    sys.exit(main())
