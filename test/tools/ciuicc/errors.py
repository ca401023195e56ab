# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How ciuicc fails: exit status by class, text on stderr, one JSON object on stdout under --json, and no file left behind.

    errors.py FOLDER, which holds tiny.onnx; ciuicc is on the path
"""
import json
import re
import subprocess
import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper

FOLDER = Path(sys.argv[1])
TINY = FOLDER / "tiny.onnx"
PROFILES = Path(__file__).resolve().parents[3] / "passes" / "Cost" / "profiles"


def run(*args):
    return subprocess.run(["ciuicc", *map(str, args)], capture_output=True, text=True, timeout=120)


def expect(status, code, *args, words=()):
    """The call fails in this way, with and without --json; returns the error object."""
    before = sorted(FOLDER.iterdir())
    plain, told = run(*args), run(*args, "--json")
    where = f"{args}: {plain.stderr!r} {told.stdout!r}"
    assert plain.returncode == told.returncode == status, where + f" exit {plain.returncode}, {told.returncode}"
    assert plain.stdout == "" and plain.stderr.startswith("ciuicc: "), where
    assert told.stderr.startswith("ciuicc: "), where
    error = json.loads(told.stdout)["error"]
    assert sorted(error) == ["class", "code", "message", "nearest_budget_bytes"], where
    assert error["code"] == code and error["class"] == code.split(".")[0], where
    for word in words:
        assert word in error["message"] and word in plain.stderr, f"{word!r} not in {where}"
    assert sorted(FOLDER.iterdir()) == before, f"{args} left {set(FOLDER.iterdir()) - set(before)}"
    return error


def usage():
    expect(2, "usage.arguments", TINY, "--target", "rocm", words=("rocm", "cuda:sm_80"))
    expect(2, "usage.arguments", TINY, "--target", "cuda:sm_9", words=("cuda:sm_9",))
    expect(2, "usage.arguments", TINY, "--target", "sm_90", words=("sm_90",))
    expect(2, "usage.profile", TINY, "--target", "cuda:sm_90", "--profile", "host-generic", words=("host-generic", "cuda"))
    expect(2, "usage.profile", TINY, "--target", "host", "--profile", "h100", words=("h100", "host"))
    expect(2, "usage.arguments", TINY, "--no-such-option", words=["--no-such-option"])
    expect(2, "usage.arguments", words=["MODEL"])
    for vram in ("lots", "-1", "0", "12Q", "nan", "1e30G", "5G%"):
        expect(2, "usage.arguments", TINY, "--vram=" + vram, words=["--vram", "6G"])
    expect(2, "usage.arguments", TINY, "--quality", "perfect", words=["perfect"])
    expect(2, "usage.arguments", TINY, "--target", "abacus", words=["abacus"])
    expect(2, "usage.arguments", TINY, "--vram", "", words=["--vram", "6G"])
    expect(2, "usage.arguments", TINY, "--host-memory=50%", words=["--host-memory", "50%"])
    expect(2, "usage.entry", TINY, "--entry", "main:batch=9..1", words=["--entry", "batch=9..1"])
    expect(2, "usage.profile", TINY, "--profile", "no-such-machine", words=["no-such-machine"])


def damaged():
    garbage, half = FOLDER / "garbage.onnx", FOLDER / "half.onnx"
    garbage.write_bytes(bytes(range(256)) * 16)
    half.write_bytes(TINY.read_bytes()[:1000])
    for path in (garbage, half):
        proc = run(path)
        assert proc.returncode == 3, (path, proc)
        expect(3, json.loads(run(path, "--json").stdout)["error"]["code"], path)


def unsupported():
    """All operators without an importer are named at once, with counts and nodes."""
    nodes = [helper.make_node("Frobnicate", ["x"], ["a"], "first", domain="com.example"),
             helper.make_node("Frobnicate", ["a"], ["b"], "second", domain="com.example"),
             helper.make_node("Twiddle", ["b"], ["y"], "third", domain="com.example")]
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4]) for n in "xy"]
    graph = helper.make_graph(nodes, "strange", value[:1], value[1:])
    path = FOLDER / "strange.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)],
                                ir_version=8), path)
    code = json.loads(run(path, "--json").stdout)["error"]["code"]
    expect(4, code, path, words=["Frobnicate", "Twiddle", "first", "third", "2"])


def infeasible():
    """The nearest budget is exact: it compiles, 64 KiB less does not. Also where pinned memory takes of the device, so that
    a plan that streams needs a larger reserve than one that keeps everything."""
    nearest_is_exact(TINY, "--entry", "main:batch=1..8", "--dry-run")
    profile = FOLDER / "pinning.json"
    pinning = json.loads((PROFILES / "h100.json").read_text()) | {"reserve_pinned_share": 1}
    profile.write_text(json.dumps(pinning))
    nearest_is_exact(TINY, "--entry", "main:batch=1..8", "--dry-run", "--target", "cuda:sm_90", "--profile", profile)


def nearest_is_exact(*args):
    error = expect(5, "infeasible.budget", *args, "--vram", "128K", words=["entry 'main'", "alive at that step"])
    nearest = error["nearest_budget_bytes"]
    named = re.search(r"nearest budget that fits: (\S+) \(", error["message"]).group(1)
    assert named == f"{nearest // 1024}K" and nearest % 65536 == 0, error
    fits = run(*args, "--vram", named, "--json")
    assert fits.returncode == 0, fits
    summary = json.loads(fits.stdout)
    assert summary["peak_bytes"] <= summary["budget_bytes"] == nearest, summary
    assert expect(5, "infeasible.budget", *args, "--vram", str(nearest - 65536))["nearest_budget_bytes"] == nearest


def environment():
    code = json.loads(run(FOLDER / "absent.onnx", "--json").stdout)["error"]["code"]
    error = expect(6, code, FOLDER / "absent.onnx", words=["absent.onnx"])
    assert "node" not in error["message"], error
    expect(6, "environment.write-program", TINY, "-o", FOLDER / "no" / "such" / "folder.ciuic", words=["folder.ciuic"])
    expect(6, "environment.write-report", TINY, "--report", FOLDER / "no" / "page.html", words=["page.html"])
    expect(6, "environment.write-text", TINY, "--stop-after", "graph", "-o", FOLDER / "no" / "graph.mlir")
    full = Path("/dev/full")  # a disk without room
    expect(6, "environment.write-text", TINY, "--stop-after", "graph", "-o", full, words=["/dev/full"])
    expect(6, "environment.write-report", TINY, "--dry-run", "--report", full, words=["/dev/full"])
    for options in (["--dry-run", "--json"], ["--dry-run"], ["--stop-after", "graph"]):
        with full.open("w") as stdout:
            proc = subprocess.run(["ciuicc", TINY, *options], stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=120)
        assert proc.returncode == 6 and "standard output" in proc.stderr, (options, proc)


for case in (usage, damaged, unsupported, infeasible, environment):
    case()
    print("passed", case.__name__)
