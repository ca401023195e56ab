# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""torch's eager and compiled kernels for the workloads of bench_gpu.py.

Compiling takes seconds a kernel on the host: `Workers` start processes that compile a part of the workloads each, all at
once, and then wait. A time is taken when it is asked for, so that nothing else uses the GPU meanwhile.
"""
import json
import os
import subprocess
import sys
import tempfile

ELEMENTS = 1 << 26  # of a tensor whose rows are given


def workload(label):
    """(function, its inputs) of a label of bench_gpu.py."""
    import torch
    import torch.nn.functional as F
    op, element, shape = label.split()
    dtype = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}[element]
    random = lambda *dims: torch.randn(*dims, device="cuda", dtype=dtype)
    if "group_norm" in op:
        n, groups, width, pixels = map(int, shape.split("x"))
        side = int(pixels**0.5)
        x = random(n, groups * width, side, side)
        x = x.to(memory_format=torch.channels_last) if "last" in op else x
        return lambda x, w: F.silu(F.group_norm(x, groups, w)), (x, random(groups * width))
    n = int(shape)
    if op == "transpose":
        return lambda x: x.t().contiguous(), (random(n, n),)
    x, w = random(ELEMENTS // n, n), random(n)

    def residual_norm(x, y, w):
        s = x + y
        return s, F.rms_norm(s, (n,), w, 1e-6)
    return {"silu_mul": (lambda x, y: F.silu(x) * y, (x, x.clone())), "softmax": (lambda x: torch.softmax(x, -1), (x,)),
            "rms_norm": (lambda x, w: F.rms_norm(x, (n,), w, 1e-6), (x, w)), "layer_norm": (lambda x, w: F.layer_norm(x, (n,), w, w), (x, w)),
            "residual_norm": (residual_norm, (x, x.clone(), w))}[op]


def times_us(function, inputs, repeats=9, inside=8):
    """As bench_gpu.times_us: of one call among several in a captured graph."""
    import torch
    for _ in range(3):
        function(*inputs)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(inside):
            function(*inputs)
    times = []
    for _ in range(repeats + 2):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) * 1000 / inside)
    del graph
    torch.cuda.empty_cache()
    return sorted(times[2:])


def serve():
    """Reads the labels to compile, says `ready`, then answers a line `eager LABEL` or `compiled LABEL` with a list of microseconds."""
    import torch
    import torch._dynamo
    # Workloads of one operation share their code, and each has a shape of its own.
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = 1000
    labels, compiled = json.loads(sys.stdin.readline()), {}
    for label in labels:
        function, inputs = workload(label)
        compiled[label] = torch.compile(function, dynamic=False)
        with torch.no_grad():
            compiled[label](*inputs)
        torch.cuda.synchronize()
        del inputs
        torch.cuda.empty_cache()
    print("ready", flush=True)
    for line in sys.stdin:
        kind, label = line.rstrip("\n").split(" ", 1)
        function, inputs = workload(label)
        with torch.no_grad():
            print(json.dumps(times_us(compiled[label] if kind == "compiled" else function, inputs)), flush=True)
        del inputs


class Workers:
    def __init__(self, labels, count):
        self.cache = tempfile.TemporaryDirectory()
        self.parts = [labels[i::count] for i in range(min(count, len(labels)))]
        environment = dict(os.environ, TORCHINDUCTOR_COMPILE_THREADS="1", TORCHINDUCTOR_CACHE_DIR=self.cache.name)
        self.processes = [subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
                          for _ in self.parts]
        for process, part in zip(self.processes, self.parts):
            print(json.dumps(part), file=process.stdin, flush=True)

    def answer(self, process):
        line = process.stdout.readline().strip()
        if not line:
            raise SystemExit("torch's process ended before its answer: see its error above")
        return line

    def wait(self):
        for process in self.processes:
            self.answer(process)

    def times(self, kind, label):
        process = self.processes[next(i for i, part in enumerate(self.parts) if label in part)]
        print(kind, label, file=process.stdin, flush=True)
        return json.loads(self.answer(process))

    def close(self):
        for process in self.processes:
            process.stdin.close()
            process.wait()
        self.cache.cleanup()


if __name__ == "__main__":
    serve()
