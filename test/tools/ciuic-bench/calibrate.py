# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a measured profile must say on any machine, and that ciuicc plans with it.

    calibrate.py FOLDER, which holds here.json and tiny.onnx; ciuicc is on the path
"""
import json
import subprocess
import sys
from pathlib import Path

FOLDER = Path(sys.argv[1])
profile = json.loads((FOLDER / "here.json").read_text())
assert profile["name"] == "here" and profile["device"] == "host" and profile["reserve_bytes"] == 0, profile
assert 1 < profile["memory_gbps"] < 2000 and 0 <= profile["launch_us"] < 10000, profile
for link in profile["link"].values():
    assert [r["bytes"] for r in link["rates"]] == [65536, 1 << 20, 16 << 20] and all(0.1 < r["gbps"] < 2000 for r in link["rates"]), link
assert 0.01 < profile.get("disk_gbps", 1.5) < 1000, profile
rates = {name: {r["rows"]: r["gflops"] for r in points} for name, points in profile["matmul"].items()}
assert sorted(rates) == ["bf16", "f16", "f32", "i4", "i4_rounded", "i8"], rates
# One row is bound by reading weights, many by arithmetic; fewer bytes a weight are more operations a second.
assert rates["f32"][128] > 2 * rates["f32"][1] and rates["i4_rounded"][1] > 1.5 * rates["f32"][1], rates
for name in ("convolution_gflops", "attention_gflops", "elementwise_gflops"):
    assert 0.5 < profile[name] < 1e5, profile
assert all(0 < profile["hide"][k] <= 1 for k in ("compute", "memory")), profile["hide"]


def predicted(text):
    path = FOLDER / "used.json"
    path.write_text(json.dumps(text))
    done = subprocess.run(["ciuicc", FOLDER / "tiny.onnx", "--entry", "main:batch=8", "--profile", path, "--dry-run", "--json"],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)["predicted_ms"]


# Ten times the rates are less time, and the compiler plans with them.
faster = json.loads(json.dumps(profile))
faster["memory_gbps"] *= 10
for point in faster["matmul"]["f32"]:
    point["gflops"] *= 10
assert 0 < predicted(faster) < predicted(profile)
