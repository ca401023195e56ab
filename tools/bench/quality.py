# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What each quality costs SmolLM2: bits per block weight, stored weights, the loss that was predicted, and perplexity over
the first 1,024 tokens of two English texts beside the exact program's; and what rounding single rows costs: the divergence, in
nats, of tokens run one by one from the same tokens run together, beside the part of the predicted loss that it is.

  .venv/bin/python tools/bench/quality.py [--bin build/release/bin] [--json FILE] [WORD…]

A WORD restricts to the cases that contain it, as in `balanced 100%`; exact is always there.
"""
import argparse
import json
import math
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools" / "models"), str(ROOT / "test" / "e2e")]

import language
import tokenizer
import zoo
from cli import Tools
from quality import SINGLE, mean_bits, rounding_loss

TEXTS = {"GPL-3": language.TEXT, "Artistic": language.TEXT.with_name("Artistic")}
CASES = (("exact", "100%", []), ("near", "100%", ["--quality", "near"]), ("f16", "100%", ["--quality", "near", "--formats", "f16"]),
         ("f16, caches int8", "100%", ["--quality", "near", "--formats", "f16", "--kv", "int8"]),
         ("balanced", "100%", ["--quality", "balanced"]),
         ("balanced", "30%", ["--quality", "balanced"]), ("balanced", "25%", ["--quality", "balanced"]),
         ("int4g64 alone", "100%", ["--quality", "balanced", "--formats", "int4g64"]), ("small", "100%", ["--quality", "small"]))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", type=Path, default=ROOT / "build" / "release" / "bin", metavar="DIR")
    p.add_argument("--json", type=Path, metavar="FILE")
    p.add_argument("words", nargs="*", metavar="WORD")
    a = p.parse_args()
    tools, tokens = Tools(a.bin.resolve()), tokenizer.load()
    texts = {n: tokenizer.encode(tokens, path.read_text(encoding="utf-8"))[:language.TEXT_TOKENS] for n, path in TEXTS.items()}
    path, rows = zoo.MODELS["smollm2"].path(), []
    print("| quality | budget | bits | weights, MB | streamed, MB | predicted | " + " | ".join(texts) + " | single rows (predicted) |")
    print("|---" * (7 + len(texts)) + "|")
    with tempfile.TemporaryDirectory(prefix="ciuic-quality-") as folder:
        work = Path(folder)
        for name, vram, options in CASES:
            if name != "exact" and a.words and not any(word in f"{name} {vram}" for word in a.words):
                continue
            program = work / "model.ciuic"
            compiled = tools.compile(path, program, zoo.SMOLLM2_SINGLE, vram, options)
            row = {"quality": name, "budget": vram, "bits": mean_bits(compiled), "weights_bytes": compiled["weights_bytes"],
                   "streamed_bytes": compiled["streamed_bytes"],
                   "predicted_loss": sum(f["predicted_loss"] for f in compiled["formats"]),
                   "perplexity": {n: language.perplexity(language.Program(tools, program, work), ids) for n, ids in texts.items()}}
            conversation, begin = language.Program(tools, program, work), language.CHUNK - SINGLE
            together = conversation.run(texts["GPL-3"][:language.CHUNK])[1][0, begin:]
            alone = language.single_rows(conversation, texts["GPL-3"][:language.CHUNK], begin)
            row["single_rows"] = {"divergence": language.divergence(together, alone), "predicted": rounding_loss(compiled)}
            rows.append(row)
            ratios = [row["perplexity"][n] / rows[0]["perplexity"][n] for n in texts]
            shown = [f"{row['perplexity'][n]:.2f} (+{100 * (r - 1):.1f} %)" for n, r in zip(texts, ratios)]
            print(f"| {name} | {vram} | {row['bits']:.2f} | {row['weights_bytes'] / 1e6:.1f} | {row['streamed_bytes'] / 1e6:.1f} | "
                  f"+{100 * math.expm1(row['predicted_loss']):.1f} % | " + " | ".join(shown) + f" | {row['single_rows']['divergence']:.1e} ({row['single_rows']['predicted']:.1e}) |", flush=True)
    if a.json:
        a.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
