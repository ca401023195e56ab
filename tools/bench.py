# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Measures ciuic against onnxruntime and against itself, all ratios within one run:

  latency   each model of tools/models/zoo.py at each size: median of both sides, taken in turns so that a busy machine
            hurts both, and the geometric mean of onnxruntime's time over ours (above 1: ours is faster)
  budget    speed at 50 % of the need over speed at 100 %, one thread, the link throttled to twice
            streamed bytes / compute time
  compile   time and resident memory of ciuicc on the 135M-parameter model

  .venv/bin/python tools/bench.py [--bin build/release/bin] [--threads N] [--only latency,budget,compile] [--json FILE]
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools" / "models"), str(ROOT / "test" / "e2e")]

import language
import numpy as np
import onnxruntime
import packages
import zoo
from cli import Tools
from suite import Failure

ROUNDS = 3  # turns of each side
ITERATIONS = 15  # runs in a turn


def reference(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def time_reference(session, feeds, iterations):
    session.run(None, feeds)
    times = []
    for _ in range(iterations):
        begin = time.perf_counter()
        session.run(None, feeds)
        times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times)


def run_ms(tools, program, work, feeds, threads, iterations, options=()):
    """Median milliseconds of one run, and the run's JSON."""
    answer, _ = tools.run(program, work, feeds, [], ["--threads", threads, "--warmup", 2, "--iterations", iterations,
                                                     *options])
    return answer["latency_ms"]["median"], answer


def latency(tools, work, threads, names):
    rows = []
    for name in names:
        model = zoo.MODELS[name]
        try:
            path = model.path()
        except packages.Unavailable as e:
            print(f"{name}: skipped: {e}")
            continue
        program = work / f"{name}.ciuic"
        try:
            tools.compile(path, program, model.entries, None, model.options)
            session = reference(path, threads)
            for case in model.cases:
                feeds, ours, theirs = model.inputs(case), [], []
                for _ in range(ROUNDS):
                    theirs.append(time_reference(session, feeds, ITERATIONS))
                    ours.append(run_ms(tools, program, work / "io", feeds, threads, ITERATIONS)[0])
                size = "x".join(str(n) for n in case.values())
                rows.append({"model": name, "size": size, "ciuic_ms": min(ours), "onnxruntime_ms": min(theirs),
                             "ratio": min(theirs) / min(ours)})
                print("{model:24}{size:>16}{ciuic_ms:10.2f} ms{onnxruntime_ms:10.2f} ms{ratio:8.2f}".format(**rows[-1]),
                      flush=True)
        except Failure as e:
            print(f"{name}: {e}")
        program.unlink(missing_ok=True)
    by_model = {}
    for r in rows:
        by_model.setdefault(r["model"], []).append(math.log(r["ratio"]))
    mean = math.exp(statistics.mean(statistics.mean(v) for v in by_model.values())) if rows else float("nan")
    print(f"geometric mean over {len(by_model)} models, onnxruntime / ciuic, {threads} threads: {mean:.3f}")
    return {"threads": threads, "rows": rows, "geomean": mean}


def budget(tools, work):
    rng = np.random.default_rng(0)
    prompt = rng.integers(17, 49152, 256).tolist()
    rows = []
    for name, entries, feeds in (("resnet50", ["main:batch_size=1"], zoo.MODELS["resnet50"].inputs({"batch_size": 1})),
                                 ("smollm2", zoo.SMOLLM2_SINGLE, language.feeds(prompt, 0))):
        path = zoo.MODELS[name].path()
        whole, half = work / "whole.ciuic", work / "half.ciuic"
        tools.compile(path, whole, entries, "100%")
        compiled = tools.compile_nearest(path, half, entries, "50%")
        free, answer = run_ms(tools, half, work / "io", feeds, 1, 5)
        full, _ = run_ms(tools, whole, work / "io", feeds, 1, 5)
        copied = answer["copied_bytes"]["h2d"]
        gbps = 2 * copied / (full * 1e-3) / 1e9
        options = ["--link-gbps", f"{gbps:.6f}"] if copied else []
        throttled, full_again = [], [full]
        for _ in range(ROUNDS):
            throttled.append(run_ms(tools, half, work / "io", feeds, 1, 5, options)[0])
            full_again.append(run_ms(tools, whole, work / "io", feeds, 1, 5)[0])
        rows.append({"model": name, "budget_bytes": compiled["budget_bytes"], "copied_bytes": copied, "link_gbps": gbps,
                     "full_ms": min(full_again), "half_ms": free, "throttled_ms": min(throttled),
                     "ratio": min(full_again) / min(throttled)})
        print("{model}: 100 % {full_ms:.1f} ms, 50 % {half_ms:.1f} ms, 50 % on a link of {link_gbps:.2f} GB/s "
              "{throttled_ms:.1f} ms: {ratio:.3f}".format(**rows[-1]), flush=True)
        whole.unlink()
        half.unlink()
    return rows


def compile_cost(tools, work):
    """Seconds and peak resident bytes of one compilation, the process's own children (the linker) included."""
    path = zoo.MODELS["smollm2"].path()
    command = [str(tools.folder / "ciuicc"), str(path), "-o", str(work / "cost.ciuic"), "--target", "host", "--vram", "50%",
               "--json"]
    for entry in zoo.SMOLLM2_SINGLE:
        command += ["--entry", entry]
    begin = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begin
    if child.returncode:
        raise Failure(f"{' '.join(command)}: exit status {child.returncode}")
    result = {"seconds": seconds, "rss_bytes": usage.ru_maxrss * 1024, "cpu_seconds": usage.ru_utime + usage.ru_stime}
    print("compile smollm2 at 50 %: {0:.1f} s, {1:.0f} MiB resident".format(seconds, result["rss_bytes"] / 2**20))
    return result


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", type=Path, default=ROOT / "build" / "release" / "bin", metavar="DIR")
    p.add_argument("--threads", type=int, default=os.cpu_count(), metavar="N")
    p.add_argument("--models", default=",".join(zoo.MODELS), metavar="NAME,…", help="for the latency table")
    p.add_argument("--only", default="latency,budget,compile", metavar="PART,…")
    p.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    a = p.parse_args()
    tools, parts, result = Tools(a.bin.resolve()), a.only.split(","), {}
    with tempfile.TemporaryDirectory(prefix="ciuic-bench-") as folder:
        work = Path(folder)
        if "latency" in parts:
            result["latency"] = latency(tools, work, a.threads, a.models.split(","))
        if "budget" in parts:
            result["budget"] = budget(tools, work)
        if "compile" in parts:
            result["compile"] = compile_cost(tools, work)
    if a.json:
        a.json.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
