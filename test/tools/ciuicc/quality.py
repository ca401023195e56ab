# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What --quality and --formats do to four layers of 256 × 256: which formats, how many bytes, how far outputs move.

    quality.py FOLDER, which holds tiny.onnx; ciuicc and ciuic-run are on the path
"""
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

FOLDER = Path(sys.argv[1])
MODEL = FOLDER / "tiny.onnx"
# Sixteen panels of 256 × 16: int8 has a 64-byte row of scales and a byte a value; int4 in groups of 64 (128) has four (two)
# f16 scales a column, in multiples of 64 bytes, and half a byte a value.
BYTES = {"f32": 16 * 256 * 64, "f16": 16 * 256 * 32, "int8": 16 * (64 + 256 * 16), "int4g64": 16 * (128 + 128 * 16),
         "int4g128": 16 * (64 + 128 * 16)}


def call(*args):
    proc = subprocess.run([*map(str, args), "--json"], capture_output=True, text=True, timeout=300)
    return proc.returncode, json.loads(proc.stdout)


WEIGHTS = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in onnx.load(MODEL).graph.initializer}
X = np.random.default_rng(5).standard_normal((3, 256)).astype(np.float32)
np.save(FOLDER / "x.npy", X)


def answer():
    y = np.maximum(X.astype(np.float64) @ WEIGHTS["w0"], 0)
    for i in range(1, 4):
        y = y @ WEIGHTS[f"w{i}"]
    return y


def relative(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def int8_error(w):
    """A scale of the largest magnitude over 127 for each column: the packer's search includes it."""
    scale = np.abs(w).max(axis=0) / 127
    return relative(np.round(w / scale) * scale, w)


def compile_and_run(*options, entries=("main:batch=1..8",)):
    """{weight: format}, the compile JSON, the error of the output."""
    program = FOLDER / "tiny.ciuic"
    status, compiled = call("ciuicc", MODEL, *(word for e in entries for word in ("--entry", e)), "-o", program, *options)
    assert status == 0, compiled
    status, ran = call("ciuic-run", program, "--input", f"x=@{FOLDER}/x.npy", "--output", f"y=@{FOLDER}/y.npy")
    assert status == 0, ran
    rows = {row["name"]: row for row in compiled["formats"]}
    assert sorted(rows) == sorted(WEIGHTS), rows
    for name, row in rows.items():
        assert row["bytes"] == BYTES[row["format"]] and row["elements"] == 65536, row
        if row["format"] == "f32":
            assert row["relative_error"] == row["predicted_loss"] == 0, row
        elif row["format"] == "int8":
            assert 0 < row["relative_error"] <= int8_error(WEIGHTS[name]) * 1.02, row
        elif row["format"].startswith("int4"):
            assert 0.05 < row["relative_error"] < 0.13, row
        assert (row["predicted_loss"] > 0) == (row["format"] != "f32"), row
    error = relative(np.load(FOLDER / "y.npy"), answer())
    # Errors of independent layers add up like orthogonal ones; twice that is far off.
    expected = np.sqrt(sum(row["relative_error"] ** 2 for row in rows.values()))
    assert error < 2 * expected + 1e-5, (options, error, expected)
    assert error > expected / 3 or expected == 0, (options, error, expected)
    return {name: row["format"] for name, row in rows.items()}, compiled, error


formats, exact, _ = compile_and_run("--quality", "exact")
assert set(formats.values()) == {"f32"}, formats

formats, near, error = compile_and_run("--quality", "near")
assert set(formats.values()) <= {"f16", "int8"} and "int8" in formats.values() and error < 0.02, formats
assert sum(row["predicted_loss"] for row in near["formats"]) <= 0.008, near["formats"]
assert near["need_bytes"] == exact["need_bytes"], "the need is that of the model's own weights, whatever the quality"

# w3 makes the output and keeps 8 bits. 5.6 bits over the other three allow one of them 8 bits: 2 · 34,816 + 66,560 is
# 136,192 bytes of at most 137,625.
formats, balanced, _ = compile_and_run("--quality", "balanced")
assert formats["w3"] == "int8" and sorted(formats.values()) == ["int4g64", "int4g64", "int8", "int8"], formats

# A granule less than that takes: still without streaming, so another weight gives up its bits.
formats, tight, _ = compile_and_run("--quality", "balanced", "--vram", balanced["peak_bytes"] - 65536)
assert tight["streamed_bytes"] == 0 and tight["weights_bytes"] < balanced["weights_bytes"], tight
assert formats["w3"] == "int8", formats
assert sum(BYTES[f] for n, f in formats.items() if n != "w3") * 8 / 3 / 65536 >= 4.25, formats

# The nearest budget that an error names is that of the formats chosen for it.
status, failed = call("ciuicc", MODEL, "--entry", "main:batch=1..8", "--quality", "balanced", "--vram", "4K", "--dry-run")
least = failed["error"]["nearest_budget_bytes"]
assert status == 5 and least > 0, failed
compile_and_run("--quality", "balanced", "--vram", least)
status, failed = call("ciuicc", MODEL, "--entry", "main:batch=1..8", "--quality", "balanced", "--vram", least - 65536, "--dry-run")
assert status == 5 and failed["error"]["nearest_budget_bytes"] == least, failed

# Too little for any: the formats stay within the limits, and weights stream.
_, streamed, _ = compile_and_run("--quality", "balanced", "--vram", "128K")
assert streamed["streamed_bytes"] > 0 and streamed["peak_bytes"] <= 128 << 10, streamed

formats, _, _ = compile_and_run("--quality", "small")
assert set(formats.values()) == {"int4g128"}, formats
formats, _, _ = compile_and_run("--quality", "small", "--formats", "int8")
assert set(formats.values()) == {"int8"}, formats
formats, _, _ = compile_and_run("--quality", "near", "--formats", "f16")
assert set(formats.values()) == {"f16"}, formats

# Rows of int4 products are rounded under balanced and small where an entry decodes (one row, at most four), and only there.
ENTRIES = ("one:batch=1", "main:batch=2..8")
for options, entries, rounded in ((("balanced",), ENTRIES, True), (("balanced",), ("one:batch=1..4",), True), (("small",), ENTRIES, True), (("balanced",), ENTRIES[1:], False),
                                  (("near", "--formats", "int4g64"), ENTRIES, False)):
    formats, compiled, _ = compile_and_run("--quality", *options, entries=entries)
    for row in compiled["formats"]:
        group = int(row["format"].partition("g")[2] or 0)
        expected = np.sqrt(group / 12) / 127 if rounded else 0
        assert abs(row["activation_error"] - expected) < 1e-12, (options, entries, row)
    program, outputs = FOLDER / "tiny.ciuic", {}
    for name, rows in (("single", X[:1]), ("several", X)):
        if name == "single" and not entries[0].startswith("one"):
            continue
        np.save(FOLDER / "rows.npy", rows)
        status, ran = call("ciuic-run", program, "--input", f"x=@{FOLDER}/rows.npy", "--output", f"y=@{FOLDER}/y.npy")
        assert status == 0, ran
        outputs[name] = np.load(FOLDER / "y.npy")[:1].astype(np.float64)
    if len(outputs) == 2:
        difference = relative(outputs["single"], outputs["several"])
        bound = np.sqrt(sum(row["activation_error"] ** 2 for row in compiled["formats"]))
        assert difference <= 2 * bound + 1e-5 and (difference > 1e-4) == rounded, (options, difference, bound)

for options, word in ((("--quality", "near", "--formats", "int5"), "int4g64"), (("--formats", "int8"), "--quality"),
                      (("--quality", "balanced", "--formats", "int8"), "int4g64")):
    status, failed = call("ciuicc", MODEL, *options, "-o", FOLDER / "none.ciuic")
    assert status == 2 and failed["error"]["code"] == "usage.formats" and word in failed["error"]["message"], failed
assert not (FOLDER / "none.ciuic").exists()
