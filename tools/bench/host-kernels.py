#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compares the host library kernels with onnxruntime, interleaved in one run, and prints a Markdown table.

    cmake --build --preset dev --target host-kernels
    .venv/bin/python tools/bench/host-kernels.py [--threads N] [--variant v3|v4] [--build build/dev] [WORD…]

A WORD restricts to the groups that contain it: gemv, matmul, conv, depthwise, attention, int4. Ratios are
time(onnxruntime) / time(ours): above 1 is faster than onnxruntime. In group int4 the last column is the best launch's share of
the best plain read between its rounds.
"""
import argparse
import json
import math
import os
import subprocess
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

GROUPS = {
    "gemv": ["matmul f32 1 576 576", "matmul f32 1 1536 576", "matmul f32 1 4096 4096"],
    "matmul": ["matmul f32 8 384 384", "matmul f32 8 2048 2048", "matmul f32 128 384 384", "matmul f32 128 1536 384",
               "matmul f32 128 384 1536", "matmul f32 256 576 576", "matmul f32 256 1536 576", "matmul f32 256 576 1536",
               "matmul f32 512 2048 2048"],
    "conv 3x3": ["conv 56 56 64 64 3 1", "conv 28 28 128 128 3 1", "conv 14 14 256 256 3 1", "conv 7 7 512 512 3 1",
                 "conv 56 56 128 128 3 2", "conv 14 14 512 512 3 2"],
    "conv 1x1": ["conv 56 56 64 256 1 1", "conv 28 28 512 128 1 1", "conv 14 14 1024 256 1 1", "conv 7 7 2048 512 1 1",
                 "conv 56 56 256 512 1 2"],
    "conv first": ["conv 224 224 3 64 7 2", "conv 224 224 3 32 3 2"],
    "depthwise": ["depthwise 112 112 32 3 1", "depthwise 56 56 96 3 2", "depthwise 28 28 192 5 1", "depthwise 14 14 576 3 1"],
    "attention": ["attention 12 12 128 128 32", "attention 9 9 256 256 64", "attention 9 9 1 512 64", "attention 12 12 512 512 64"],
    "int4": ["read 192"] + [f"matmul {f} 1 {n} {k}" for n, k in ((4096, 4096), (1024, 4096), (576, 1536), (1536, 576))
                            for f in ("int4g128_rounded", "int4g64_rounded", "int4g32_rounded", "int4g128", "int4g64", "int4g32", "int8",
                                      "f16")],
}


def model(case):
    """The ONNX model onnxruntime runs for a case, and the shapes of its inputs."""
    words = case.split()
    n = [int(w) for w in words[1:] if w.isdigit()]
    rng = np.random.default_rng(0)
    f32 = lambda *shape: (rng.standard_normal(shape) * 0.05).astype(np.float32)
    if words[0] == "matmul":
        M, N, K = n
        nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
        weights, inputs = {"w": f32(K, N)}, {"x": (M, K)}
    elif words[0] == "attention":
        heads, _, queries, keys, width = n
        nodes = [helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]),
                 helper.make_node("MatMul", ["q", "kt"], ["s"]), helper.make_node("Mul", ["s", "c"], ["t"]),
                 helper.make_node("Softmax", ["t"], ["p"], axis=-1), helper.make_node("MatMul", ["p", "v"], ["y"])]
        weights = {"c": np.float32(0.125)}
        inputs = {"q": (1, heads, queries, width), "k": (1, heads, keys, width), "v": (1, heads, keys, width)}
    else:
        depthwise = words[0] == "depthwise"
        H, W, C = n[:3]
        OC, kernel, stride = (C, *n[3:]) if depthwise else n[3:]
        nodes = [helper.make_node("Conv", ["x", "w"], ["y"], strides=[stride] * 2, pads=[kernel // 2] * 4, group=C if depthwise else 1)]
        weights, inputs = {"w": f32(OC, 1 if depthwise else C, kernel, kernel)}, {"x": (1, C, H, W)}
    graph = helper.make_graph(nodes, "case", [helper.make_tensor_value_info(k, TensorProto.FLOAT, s) for k, s in inputs.items()],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), inputs


class Reference:
    """onnxruntime on a case; with one row of a matmul, a chain of copies larger than any cache, as ours."""

    def __init__(self, case, threads):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        proto, inputs = model(case)
        bytes_ = sum(4 * math.prod(t.dims) for t in proto.graph.initializer)
        copies = max(1, (192 << 20) // bytes_) if case.startswith("matmul f32 1 ") else 1
        self.bound = []
        for _ in range(min(copies, 24)):
            session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
            binding = session.io_binding()
            for name, shape in inputs.items():
                binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(np.full(shape, 0.01, np.float32)))
            binding.bind_output("y")
            self.bound.append((session, binding))

    def microseconds(self):
        times, total = [], 0.0
        while len(times) < 10 or (total < 0.25 and len(times) < 2000):
            start = time.perf_counter()
            for session, binding in self.bound:
                session.run_with_iobinding(binding)
            times.append((time.perf_counter() - start) / len(self.bound))
            total += times[-1] * len(self.bound)
        return sorted(times)[len(times) // 2] * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--variant", default="v4" if "avx512vl" in open("/proc/cpuinfo").read() else "v3")
    parser.add_argument("--build", default="build/dev")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("words", nargs="*")
    args = parser.parse_args()
    ours = subprocess.Popen([f"{args.build}/bin/host-kernels", f"{args.build}/test/libhost-{args.variant}.so", str(args.threads)],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(case):
        ours.stdin.write(case + "\n")
        ours.stdin.flush()
        return json.loads(ours.stdout.readline())

    print(f"{args.threads} threads, x86-64-{args.variant}, onnxruntime {ort.__version__}\n")
    print("| case | ours µs | GFLOP/s | GB/s | onnxruntime µs | ratio |\n|---|---|---|---|---|---|")
    for group, cases in GROUPS.items():
        if args.words and not any(word in group for word in args.words):
            continue
        ratios = []
        for case in cases:
            compared = group != "int4"
            reference = Reference(case, args.threads) if compared else None
            mine, theirs, plain = [], [], []
            for _ in range(args.rounds):  # interleaved, so that both see the same neighbours
                mine.append(run(case))
                plain += [] if compared else [run("read 192")["best_gbps"]]
                theirs.append(reference.microseconds() if compared else float("nan"))
            best = sorted(mine, key=lambda r: r["us"])[len(mine) // 2]
            other = sorted(theirs)[len(theirs) // 2]
            ratios.append(other / best["us"])
            if compared:
                right = f"{other:.1f} | {ratios[-1]:.2f}"
            else:
                right = f" | {100 * max(r['best_gbps'] for r in mine) / max(plain):.0f} %"
            print(f"| {case} | {best['us']:.1f} | {best['gflops']:.1f} | {best['gbps']:.1f} | {right} |", flush=True)
        if group != "int4":
            print(f"| **{group}, geomean** | | | | | **{math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f}** |", flush=True)
    ours.stdin.close()


if __name__ == "__main__":
    main()
