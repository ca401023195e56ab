# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times generated kernels on a GPU: `bench_gpu.py pack DIR` where the compiler is, `bench_gpu.py run DIR [torch=PROCESSES]
[json=FILE card=NAME commit=ID] [WORD…]` where the GPU is. Prints the share of the device's own copy rate (bytes read plus bytes written, each
tensor once; a copy of the same size in the same run), beside torch's eager and compiled kernels where asked for
(bench_torch.py); WORDs choose workloads by parts of their names.
"""
import ctypes
import json
import sys
from pathlib import Path

import numpy as np
from bench_torch import ELEMENTS, Workers
from gpu_harness import Driver, pack
from harness import Group, tensor

LENGTHS = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
# Images, groups, channels of a group, pixels: many images; Stable Diffusion's; SDXL's; the decoder's. Channels last or not.
GROUP_NORMS = [("f16", (64, 32, 10, 64 * 64), (False, True)), ("f16", (64, 32, 20, 32 * 32), (False, True)), ("f16", (16, 32, 16, 128 * 128), (False, True)),
               ("bf16", (64, 32, 10, 64 * 64), (True,)), ("f32", (64, 32, 10, 64 * 64), (True,))]
GROUP_NORMS += [("f16", (2, 32, w, side * side), (True,)) for w, side in ((10, 64), (20, 64), (30, 64), (20, 32), (40, 32), (60, 32), (40, 16), (80, 16), (80, 8))]
GROUP_NORMS += [("f16", (2, 32, w, side * side), (True,)) for w, side in ((10, 128), (20, 128), (30, 128), (40, 64), (60, 64))]
GROUP_NORMS += [("f16", (1, 32, w, side * side), (True,)) for w, side in ((16, 64), (16, 128), (8, 256), (16, 256), (4, 512), (8, 512))]
BYTES = {"f32": 4, "f16": 2, "bf16": 2}


def each(rank):
    d = ", ".join(f"d{i}" for i in range(rank))
    return f"affine_map<({d}) -> ({d})>"


def silu_mul(g, element, r, n):
    t = tensor([r, n], element)
    g.add("silu_mul", "flat", [([r, n], element, None)] * 2, [([r, n], element, None)],
          f"%r = graph.map (%a0, %a1) [{each(2)}, {each(2)}] {{\n^bb0(%x: {element}, %y: {element}):\n  %n = arith.negf %x : {element}\n"
          f"  %e = math.exp %n : {element}\n  %l = arith.constant 1.0 : {element}\n  %b = arith.addf %e, %l : {element}\n"
          f"  %s = arith.divf %x, %b : {element}\n  %p = arith.mulf %s, %y : {element}\n  graph.yield %p : {element}\n}} : ({t}, {t}) -> {t}\n"
          f"graph.yield %r : {t}")


def softmax(g, element, r, n):
    t = tensor([r, n], element)
    g.add("softmax", "row", [([r, n], element, None)], [([r, n], element, None)], f"%r = graph.softmax %a0 : {t}\ngraph.yield %r : {t}")


def layer_norm(g, element, r, n):
    t, tv = tensor([r, n], element), tensor([n], element)
    g.add("layer_norm", "row", [([r, n], element, None), ([n], element, None), ([n], element, None)], [([r, n], element, None)],
          f"%r = graph.layer_norm %a0, %a1, %a2 epsilon 1.0e-5 : ({t}, {tv}, {tv}) -> {t}\ngraph.yield %r : {t}")


def rms_norm(g, element, r, n):
    t, tv = tensor([r, n], element), tensor([n], element)
    g.add("rms_norm", "row", [([r, n], element, None), ([n], element, None)], [([r, n], element, None)],
          f"%r = graph.rms_norm %a0, %a1 epsilon 1.0e-6 : ({t}, {tv}) -> {t}\ngraph.yield %r : {t}")


def residual_norm(g, element, r, n):
    t, tv = tensor([r, n], element), tensor([n], element)
    g.add("residual_norm", "row", [([r, n], element, None), ([r, n], element, None), ([n], element, None)], [([r, n], element, None)] * 2,
          f"%s = graph.map (%a0, %a1) [{each(2)}, {each(2)}] {{\n^bb0(%x: {element}, %y: {element}):\n  %z = arith.addf %x, %y : {element}\n"
          f"  graph.yield %z : {element}\n}} : ({t}, {t}) -> {t}\n"
          f"%r = graph.rms_norm %s, %a2 epsilon 1.0e-6 : ({t}, {tv}) -> {t}\ngraph.yield %s, %r : {t}, {t}")


def group_norm(g, element, dims, last):
    n, groups, width, pixels = dims
    full = [n, pixels, groups, width] if last else list(dims)
    reduced = (1, 3) if last else (2, 3)
    sums = [1 if i in reduced else d for i, d in enumerate(full)]
    t, tw, ts, t32 = tensor(full, element), tensor([groups, width], element), tensor(sums, "f32"), tensor(full, "f32")
    d = "d0, d1, d2, d3"
    kept = f"affine_map<({d}) -> ({', '.join('0' if i in reduced else f'd{i}' for i in range(4))})>"
    scale = f"affine_map<({d}) -> ({'d2, d3' if last else 'd1, d2'})>"
    e = each(4)
    wide = element == "f32"
    extended = lambda value, to: "" if wide else f"  %{to} = arith.extf %{value} : {element} to f32\n"
    narrow = "" if wide else f"  %k = arith.truncf %y : f32 to {element}\n"
    g.add("group_norm_silu_last" if last else "group_norm_silu", "row", [(full, element, None), ([groups, width], element, None)], [(full, element, None)],
          f"%f = graph.map (%a0) [{e}] {{\n^bb0(%x: {element}):\n{extended('x', 'u')}  graph.yield %{'x' if wide else 'u'} : f32\n}} : ({t}) -> {t32}\n"
          f"%mu = graph.reduce mean %f dims [{reduced[0]}, {reduced[1]}] : {t32} -> {ts}\n"
          f"%q = graph.map (%f, %mu) [{e}, {kept}] {{\n^bb0(%x: f32, %m: f32):\n  %d = arith.subf %x, %m : f32\n"
          f"  %e = arith.mulf %d, %d : f32\n  graph.yield %e : f32\n}} : ({t32}, {ts}) -> {t32}\n"
          f"%var = graph.reduce mean %q dims [{reduced[0]}, {reduced[1]}] : {t32} -> {ts}\n"
          f"%nrm = graph.map (%f, %mu, %var, %a1) [{e}, {kept}, {kept}, {scale}] {{\n^bb0(%x: f32, %m: f32, %v: f32, %s: {element}):\n"
          f"{extended('s', 'w')}  %c = arith.constant 1.0e-5 : f32\n  %p = arith.addf %v, %c : f32\n  %i = math.rsqrt %p : f32\n"
          f"  %d = arith.subf %x, %m : f32\n  %z = arith.mulf %d, %i : f32\n  %y = arith.mulf %z, %{'s' if wide else 'w'} : f32\n{narrow}"
          f"  graph.yield %{'y' if wide else 'k'} : {element}\n}} : ({t32}, {ts}, {ts}, {tw}) -> {t}\n"
          f"%r = graph.map (%nrm) [{e}] {{\n^bb0(%x: {element}):\n  %n = arith.negf %x : {element}\n"
          f"  %e = math.exp %n : {element}\n  %l = arith.constant 1.0 : {element}\n  %b = arith.addf %e, %l : {element}\n"
          f"  %s = arith.divf %x, %b : {element}\n  graph.yield %s : {element}\n}} : ({t}) -> {t}\ngraph.yield %r : {t}")


def transpose(g, element, r, n):
    g.add("transpose", "transpose", [([r, n], element, None)], [([n, r], element, None)],
          f"%r = graph.transpose %a0 [1, 0] : {tensor([r, n], element)} -> {tensor([n, r], element)}\ngraph.yield %r : {tensor([n, r], element)}")


def workloads():
    """(label, group of one kernel)"""
    for element in ("f16", "bf16", "f32"):
        for op in (silu_mul, softmax, rms_norm, layer_norm, residual_norm):
            for n in LENGTHS:
                if (op is silu_mul and n != 4096) or (element == "bf16" and n not in (1024, 4096, 65536)):
                    continue
                g = Group()
                op(g, element, ELEMENTS // n, n)
                yield f"{op.__name__} {element} {n}", g
    for element, dims, lasts in GROUP_NORMS:
        for last in lasts:
            g = Group()
            group_norm(g, element, dims, last)
            yield f"group_norm_silu{'_last' if last else ''} {element} {'x'.join(map(str, dims))}", g
    for element in ("f16", "f32"):
        g = Group()
        transpose(g, element, 8192, 8192)
        yield f"transpose {element} 8192", g


def times_us(driver, launch, repeats=9, inside=8):
    """Sorted times of one launch among several in a captured graph, so that the host's part is not in it."""
    stream, graph, replay = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    driver("cuStreamCreate", ctypes.byref(stream), 1)
    driver("cuStreamBeginCapture_v2", stream, 1)
    for _ in range(inside):
        launch(stream)
    driver("cuStreamEndCapture", stream, ctypes.byref(graph))
    driver("cuGraphInstantiateWithFlags", ctypes.byref(replay), graph, ctypes.c_uint64(0))
    events = [ctypes.c_void_p() for _ in range(repeats + 1)]
    for event in events:
        driver("cuEventCreate", ctypes.byref(event), 0)
    for _ in range(2):
        driver("cuGraphLaunch", replay, stream)
    driver("cuEventRecord", events[0], stream)
    for event in events[1:]:
        driver("cuGraphLaunch", replay, stream)
        driver("cuEventRecord", event, stream)
    driver.synchronise()
    times = []
    for a, b in zip(events, events[1:]):
        ms = ctypes.c_float()
        driver("cuEventElapsedTime", ctypes.byref(ms), a, b)
        times.append(ms.value * 1000 / inside)
    for event in events:
        driver("cuEventDestroy_v2", event)
    driver("cuGraphExecDestroy", replay)
    driver("cuGraphDestroy", graph)
    driver("cuStreamDestroy_v2", stream)
    return sorted(times)


def summary(times):
    """Median, least and 90th percentile."""
    return float(np.median(times)), min(times), float(np.percentile(times, 90))


def sizes(group):
    _, _, inputs, outputs, *_ = group.cases[0]
    count = lambda part: [int(np.prod(d)) * BYTES[e] for d, e, _ in part]
    return count(inputs), count(outputs)


def measure(folder, chosen=()):
    driver = Driver()
    jobs = [(number, label, group) for number, (label, group) in enumerate(workloads()) if not chosen or any(c in label for c in chosen)]
    noise = np.random.default_rng(3).standard_normal(1 << 22).astype(np.float16)
    big = -(-max(max(map(max, sizes(group))) for _, _, group in jobs) // noise.nbytes) * noise.nbytes
    a, b = driver.allocate(big), driver.allocate(big)
    pool = []
    for _ in range(5):
        pool.append(driver.allocate(big))
        for offset in range(0, big, noise.nbytes):
            driver.write(pool[-1] + offset, noise)
    copies = {}

    def copy_rate(nbytes):
        if nbytes not in copies:
            us, *_ = summary(times_us(driver, lambda stream: driver("cuMemcpyDtoDAsync_v2", ctypes.c_uint64(a), ctypes.c_uint64(b), ctypes.c_size_t(nbytes), stream)))
            copies[nbytes] = 2 * nbytes / us / 1e6
        return copies[nbytes]

    rows = []
    for number, label, group in jobs:
        name = group.cases[0][0]
        launch = json.loads((Path(folder) / f"g{number}.json").read_text())[name]
        threads, shared, grid, *_ = launch
        code = [Path(folder) / f"g{number}.sm_{driver.capability}{family}" for family in ("a", "")]
        module = driver.module(next(path for path in code if path.exists()))
        function, most = driver.function(module, name, launch)
        blocks = grid if most is None else min(grid, most)
        ins, outs = sizes(group)
        addresses = pool[: len(ins) + len(outs)] + [a]
        times = times_us(driver, lambda stream: driver.launch(function, blocks, threads, shared, addresses, stream, most is not None))
        rate = (sum(ins) + sum(outs)) / summary(times)[0] / 1e6
        rows.append((label, times, rate, rate / copy_rate(max(ins))))
        driver("cuModuleUnload", module)
    for pointer in pool + [a, b]:
        driver.free(pointer)
    return rows, copies


def main():
    action, folder, *options = sys.argv[1:]
    if action == "pack":
        for number, (_, group) in enumerate(workloads()):
            pack(group, folder, number, capabilities="90")
        return
    named = dict(o.split("=", 1) for o in options if "=" in o)
    chosen = [o for o in options if "=" not in o]
    labels = [label for label, _ in workloads() if not chosen or any(c in label for c in chosen)]
    workers = Workers(labels, int(named["torch"])) if "torch" in named else None
    if workers:
        workers.wait()
    rows, copies = measure(folder, chosen)
    print("copy TB/s:", {k: round(v, 3) for k, v in sorted(copies.items())})
    records, behind = [], []
    facts = {k: named[k] for k in ("card", "commit") if k in named}

    def record(label, system, times, **more):
        median, least, most = summary(times)
        ms = {k: round(v / 1000, 4) for k, v in (("min", least), ("median", median), ("p90", most))}
        records.append({"workload": label, "system": system, "variant": "generated kernel" if system == "ciuic" else "", "ms": ms, **more, **facts})
        return median

    for label, times, rate, share in rows:
        us = record(label, "ciuic", times, share_of_copy_rate=round(share, 3))
        line = f"{label:40s} {us:8.1f} us {rate:6.3f} TB/s {100 * share:5.1f} %"
        for kind, system in (("eager", "torch eager"), ("compiled", "torch.compile")) if workers else ():
            other = record(label, system, workers.times(kind, label))
            line += f"  {kind} {other:8.1f} ({other / us:.2f}x)"
            if other < us:
                behind.append(f"{label}: {system} {other / us:.2f}")
        print(line, flush=True)
        if "json" in named:  # after every row: a run that is cut short keeps what it has
            Path(named["json"]).write_text("[\n" + ",\n".join("  " + json.dumps(r) for r in records) + "\n]\n")
    if workers:
        workers.close()
        print(f"behind torch: {len(behind)} of {2 * len(rows)}", *behind, sep="\n  ")


if __name__ == "__main__":
    sys.exit(main())
