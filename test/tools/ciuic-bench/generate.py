# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Follows a generation with onnxruntime, fed with the same tokens.

    generate.py FOLDER, which holds found.json and llama_mini.onnx
"""
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

folder = Path(sys.argv[1])
found = json.loads((folder / "found.json").read_text())
assert (found["prompt_tokens"], found["prompt_chunks"], found["new_tokens"]) == (21, 2, 5), found
# A chunk of 16 tokens, then one of 5.
assert (found["prompt_entry"], found["token_entry"]) == ("prefill", "decode"), found
for times in ("prompt_ms", "token_ms"):
    t = found[times]
    assert 0 < t["min"] <= t["median"] <= t["p90"], t
assert abs(found["tokens_per_s"] * found["token_ms"]["median"] / 1000 - 1) < 1e-6, found
assert 0 < found["peak_device_bytes"] <= found["budget_bytes"], found

session = onnxruntime.InferenceSession(str(folder / "llama_mini.onnx"), providers=["CPUExecutionProvider"])
VOCABULARY, MASK = 1024, (1 << 64) - 1
random, prompt = 0x9E3779B97F4A7C15, []
for _ in range(21):  # the prompt's generator
    random ^= random << 13 & MASK
    random ^= random >> 7
    random ^= random << 17 & MASK
    prompt.append((random >> 8) % VOCABULARY)
ids = found["ids"]
assert len(ids) == 5, ids
text = np.array([prompt + ids[:-1]], np.int64)
feeds = {"input_ids": text, "attention_mask": np.ones_like(text), "position_ids": np.arange(text.shape[1])[None]}
for i in session.get_inputs():
    if i.name not in feeds:
        feeds[i.name] = np.zeros((1, i.shape[1], 0, i.shape[3]), np.float16)
logits = session.run(["logits"], feeds)[0][0].astype(np.float64)
for place, token in enumerate(ids):
    row = logits[20 + place]
    # f16 sums differ by their order: the token is the likeliest, or as likely as that within their rounding.
    assert row.max() - row[token] <= 5e-3 * np.abs(row).max(), (place, token, row.argmax(), row.max(), row[token])
