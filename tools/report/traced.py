#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a trace of ciuic-run says: how long each stream was busy, and which kinds of steps took another time than the plan
predicted.

    ciuic-run PROGRAM --trace FILE …; python3 tools/report/traced.py FILE [--most N]

A kind is the name of an operation without its numbers, so that the same step of all layers counts as one. The rows are those
where measured and predicted are furthest apart.
"""
import argparse
import json
import re
from collections import defaultdict
from pathlib import Path


def summary(path):
    """({stream: (busy ms measured, predicted, end ms measured, predicted)}, [(kind, steps, measured ms, predicted ms)])"""
    events = json.loads(Path(path).read_text())["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e.get("name") == "thread_name"}
    busy, ends, kinds = defaultdict(lambda: [0.0, 0.0]), defaultdict(lambda: [0.0, 0.0]), defaultdict(lambda: [0, 0.0, 0.0])
    begins = [min((e["ts"] for e in events if e["ph"] == "X" and e["pid"] == pid), default=0) for pid in (1, 2)]
    for e in events:
        if e["ph"] != "X":
            continue
        which, stream = e["pid"] - 1, names[e["tid"]]
        busy[stream][which] += e["dur"] / 1e3
        ends[stream][which] = max(ends[stream][which], (e["ts"] + e["dur"] - begins[which]) / 1e3)
        kind = kinds[stream if stream != "compute" else re.sub(r"\d+", "*", e["name"])]
        kind[0] += which == 0
        kind[1 + which] += e["dur"] / 1e3
    rows = sorted(((k, *v) for k, v in kinds.items()), key=lambda r: -abs(r[2] - r[3]))
    return {s: (*busy[s], *ends[s]) for s in names.values() if s in busy}, rows


def text(path, most=12):
    streams, rows = summary(path)
    lines = [f"{'stream':10} {'busy ms':>9} {'predicted':>9} {'until ms':>9} {'predicted':>9}"]
    lines += [f"{s:10} {v[0]:9.3f} {v[1]:9.3f} {v[2]:9.3f} {v[3]:9.3f}" for s, v in streams.items()]
    lines += [f"{'steps':>6} {'ms':>9} {'predicted':>9}  kind"]
    lines += [f"{n:6} {measured:9.3f} {predicted:9.3f}  {kind[-90:]}" for kind, n, measured, predicted in rows[:most]]
    return "\n".join(lines)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("trace", type=Path)
    p.add_argument("--most", type=int, default=12)
    a = p.parse_args()
    print(text(a.trace, a.most))


if __name__ == "__main__":
    main()
