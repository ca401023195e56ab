# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The same products by torch: f16 through cuBLAS, int4 (groups of 128) by its own kernel. One captured graph over weights
that no cache holds, as Time.cpp does.

    peers.py [TIMES]        TIMES: what Time.cpp printed in the same run, whose products of many rows stand beside cuBLAS's
"""

import re
import sys

import torch


def replay(launches, count, repeats=15):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        launches()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        launches()
    times = []
    for i in range(repeats + 2):
        begin, end = torch.cuda.Event(True), torch.cuda.Event(True)
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        if i >= 2:
            times.append(begin.elapsed_time(end))
    times.sort()
    return 1e3 * times[len(times) // 2] / count


def halves(m, k, n):
    count = max(2, min(64, (3 << 30) // (2 * k * n)))
    weights = [torch.randn(n, k, device="cuda", dtype=torch.float16) * 0.02 for _ in range(count)]
    x = torch.randn(m, k, device="cuda", dtype=torch.float16)
    us = replay(lambda: [torch.nn.functional.linear(x, w) for w in weights], count)
    print(f"torch f16 x f16      M {m:3} K {k:5} N {n:5}  {us:7.2f} us, {2e-3 * k * n / us:5.0f} GB/s,"
          f" {2e-6 * m * k * n / us:4.0f} TFLOP/s", flush=True)
    return us


def int4(m, k, n):
    count = max(2, min(64, (3 << 30) // (k * n // 2)))
    weights = [
        torch.ops.aten._convert_weight_to_int4pack(
            torch.randint(0, 256, (n, k // 2), device="cuda", dtype=torch.uint8), 8)
        for _ in range(count)
    ]
    scales = torch.rand(k // 128, n, 2, device="cuda", dtype=torch.bfloat16)
    x = torch.randn(m, k, device="cuda", dtype=torch.bfloat16)
    us = replay(lambda: [torch.ops.aten._weight_int4pack_mm(x, w, 128, scales) for w in weights], count)
    print(f"torch bf16 x int4g128 M {m:3} K {k:5} N {n:5}  {us:7.2f} us, {(k * n / 2 + k * n / 32) / us / 1e3:5.0f} GB/s",
          flush=True)


for m, k, n in [(1, 4096, 4096), (1, 4096, 12288), (1, 4096, 22016), (1, 11008, 4096), (8, 4096, 22016),
                (16, 4096, 22016)]:
    halves(m, k, n)
    int4(m, k, n)

ours = {}
for text in open(sys.argv[1]) if len(sys.argv) > 1 else []:
    line = re.match(r"(\w+) +x (\w+) +M +(\d+) K +(\d+) N +(\d+) +([\d.]+) us, +\d+ TFLOP/s", text)
    if line:
        a, w, m, k, n, us = line.groups()
        ours.setdefault((int(m), int(k), int(n)), []).append((a, w, float(us)))
for k, n in ((4096, 4096), (4096, 22016), (11008, 4096)):
    for m in (17, 32, 64, 128, 256, 512, 1024, 2048):
        cublas = halves(m, k, n)
        for a, w, us in ours.get((m, k, n), []):
            print(f"{a:>9} x {w:8} M {m:4} K {k:5} N {n:5}  {us:7.2f} us, cuBLAS in f16 {cublas:7.2f}: {cublas / us:.2f} of its rate",
                  flush=True)
