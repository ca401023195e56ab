# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Numeric tests of generated kernels on a GPU, in two steps: `check_gpu.py pack DIR` compiles them (where the compiler
is), `check_gpu.py run DIR` launches them (where the GPU is). The cases are those of check_kernels.py and long, odd and
wide ones that only a GPU divides over warps, blocks and clusters.
"""
import sys

import check_kernels
import numpy as np
from gpu_harness import Driver, pack, run
from harness import Group, bf16, from_bf16, tensor

TEMPLATES = ["math", "flat", "row", "column", "transpose", "gather", "move", "rope", "resize"]
rng = np.random.default_rng(11)


def stored(x, element):
    return {"f32": lambda: x.astype(np.float32), "f16": lambda: x.astype(np.float16), "bf16": lambda: bf16(x)}[element]()


def exact(u, element):
    return (from_bf16(u) if element == "bf16" else u).astype(np.float64)


ROUNDING = {"f32": 4e-6, "f16": 1.1e-3, "bf16": 8.5e-3}


def rows():
    """Norms and softmax over rows of every plan: parts of a warp, warps, blocks, clusters, passes over memory."""
    groups = []
    shapes = [(1000, 8), (37, 33), (64, 512), (9, 1000), (16, 1024), (300, 2048), (5, 4096), (7, 4097), (2, 16384), (3, 32768), (2, 65536),
              (1, 50257), (1, 131072), (2, 200000)]
    for element in ("f32", "f16", "bf16"):
        for r, n in shapes:
            g = Group()
            dims = [r, n]
            x = stored(rng.standard_normal((r, n)) * 2, element)
            w, b = stored(rng.standard_normal(n), element), stored(rng.standard_normal(n), element)
            x64, w64, b64 = exact(x, element), exact(w, element), exact(b, element)
            t, tv = tensor(dims, element), tensor([n], element)
            e = np.exp(x64 - x64.max(-1, keepdims=True))
            mean, var = x64.mean(-1, keepdims=True), x64.var(-1, keepdims=True)
            tolerance = {"rtol": ROUNDING[element], "atol": 6e-8 if element == "f16" else 1e-12}
            g.add("softmax", "row", [(dims, element, x)], [(dims, element, stored(e / e.sum(-1, keepdims=True), element))],
                  f"%r = graph.softmax %a0 : {t}\ngraph.yield %r : {t}", **tolerance)
            g.add("layer_norm", "row", [(dims, element, x), ([n], element, w), ([n], element, b)],
                  [(dims, element, stored((x64 - mean) / np.sqrt(var + 1e-5) * w64 + b64, element))],
                  f"%r = graph.layer_norm %a0, %a1, %a2 epsilon 1.0e-5 : ({t}, {tv}, {tv}) -> {t}\ngraph.yield %r : {t}",
                  rtol=ROUNDING[element], atol=4 * ROUNDING[element])
            g.add("rms_norm", "row", [(dims, element, x), ([n], element, w)],
                  [(dims, element, stored(x64 / np.sqrt((x64**2).mean(-1, keepdims=True) + 1e-6) * w64, element))],
                  f"%r = graph.rms_norm %a0, %a1 epsilon 1.0e-6 : ({t}, {tv}) -> {t}\ngraph.yield %r : {t}", rtol=ROUNDING[element], atol=1e-6)
            i1 = tensor([r, 1], "i64")
            g.add("argmax", "row", [(dims, element, x)], [([r, 1], "i64", np.argmax(x64, -1)[:, None])],
                  f"%r = graph.arg_reduce max %a0 : {t} -> {i1}\ngraph.yield %r : {i1}")
            groups.append(g)
    return groups


def group_norms():
    """GroupNorm and SiLU, channels first (rows of several dims with a scale per channel) and last (strided rows)."""
    groups = []
    shapes = ((2, 4, 10, 64), (1, 3, 5, 49), (2, 8, 4, 4096), (2, 32, 10, 4096), (1, 32, 30, 1000), (2, 32, 40, 64), (1, 8, 16, 16384),
              (3, 32, 20, 1023), (1, 32, 4, 9000), (5, 2, 3, 5000))
    for element in ("f32", "f16", "bf16"):
        # The last ones are beyond a cluster, and beyond what a team keeps.
        for n, groups_, width, pixels in shapes + (((2, 32, 10, 16000), (1, 32, 8, 40000)) if element == "f16" else ()):
            g = Group()
            for last in (False, True):
                dims = [n, pixels, groups_, width] if last else [n, groups_, width, pixels]
                reduced = (1, 3) if last else (2, 3)
                x = stored(rng.standard_normal(dims), element)
                w = stored(rng.standard_normal((groups_, width)), element)
                x64 = exact(x, element)
                w64 = exact(w, element)[None, None] if last else exact(w, element)[None, :, :, None]
                y = (x64 - x64.mean(reduced, keepdims=True)) / np.sqrt(x64.var(reduced, keepdims=True) + 1e-5) * w64
                y = y / (1 + np.exp(-y))
                sums = [1 if i in reduced else d for i, d in enumerate(dims)]
                t, tw, ts, t32 = tensor(dims, element), tensor([groups_, width], element), tensor(sums, "f32"), tensor(dims, "f32")
                d = "d0, d1, d2, d3"
                each = "affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>"
                kept = f"affine_map<({d}) -> ({', '.join('0' if i in reduced else f'd{i}' for i in range(4))})>"
                scale = f"affine_map<({d}) -> ({'d2, d3' if last else 'd1, d2'})>"
                widen = "" if element == "f32" else f"  %w = arith.extf %s : {element} to f32\n"
                wide = "%s" if element == "f32" else "%w"
                widen_x = "" if element == "f32" else f"  %u = arith.extf %x : {element} to f32\n"
                wide_x = "%x" if element == "f32" else "%u"
                narrow = "" if element == "f32" else f"  %k = arith.truncf %o : f32 to {element}\n"
                final = "%o" if element == "f32" else "%k"
                body = (
                    f"%f = graph.map (%a0) [{each}] {{\n^bb0(%x: {element}):\n{widen_x}  graph.yield {wide_x} : f32\n}} : ({t}) -> {t32}\n"
                    f"%mu = graph.reduce mean %f dims [{reduced[0]}, {reduced[1]}] : {t32} -> {ts}\n"
                    f"%q = graph.map (%f, %mu) [{each}, {kept}] {{\n^bb0(%x: f32, %m: f32):\n  %d = arith.subf %x, %m : f32\n"
                    f"  %e = arith.mulf %d, %d : f32\n  graph.yield %e : f32\n}} : ({t32}, {ts}) -> {t32}\n"
                    f"%var = graph.reduce mean %q dims [{reduced[0]}, {reduced[1]}] : {t32} -> {ts}\n"
                    f"%r = graph.map (%f, %mu, %var, %a1) [{each}, {kept}, {kept}, {scale}] {{\n^bb0(%x: f32, %m: f32, %v: f32, %s: {element}):\n{widen}"
                    "  %c = arith.constant 1.0e-5 : f32\n  %p = arith.addf %v, %c : f32\n  %i = math.rsqrt %p : f32\n  %d = arith.subf %x, %m : f32\n"
                    f"  %z = arith.mulf %d, %i : f32\n  %y = arith.mulf %z, {wide} : f32\n  %n = arith.negf %y : f32\n  %e = math.exp %n : f32\n"
                    f"  %l = arith.constant 1.0 : f32\n  %b = arith.addf %e, %l : f32\n  %o = arith.divf %y, %b : f32\n{narrow}  graph.yield {final} : {element}\n"
                    f"}} : ({t32}, {ts}, {ts}, {tw}) -> {t}\ngraph.yield %r : {t}")
                g.add("group_norm_last" if last else "group_norm", "row", [(dims, element, x), ([groups_, width], element, w)],
                      [(dims, element, stored(y, element))], body, rtol=2 * ROUNDING[element], atol=ROUNDING[element])
            groups.append(g)
    return groups


def embedded_norms():
    """GroupNorm with scale and bias of a sum with one value per image and channel; the sum is a result too."""
    groups = []
    for element in ("f16", "f32"):
        for n, groups_, width, pixels in ((2, 32, 10, 1024), (2, 8, 20, 77), (1, 4, 8, 20000)):
            g = Group()
            dims, inner = [n, pixels, groups_, width], [groups_, width]
            x, t = stored(rng.standard_normal(dims), element), stored(rng.standard_normal([n, *inner]), element)
            w, b = stored(rng.standard_normal(inner), element), stored(rng.standard_normal(inner), element)
            total = stored(exact(x, element) + exact(t, element)[:, None], element)
            s64 = exact(total, element)
            y = (s64 - s64.mean((1, 3), keepdims=True)) / np.sqrt(s64.var((1, 3), keepdims=True) + 1e-5) * exact(w, element) + exact(b, element)
            full, tt, ti = tensor(dims, element), tensor([n, *inner], element), tensor(inner, element)
            t32, ts = tensor(dims, "f32"), tensor([n, 1, groups_, 1], "f32")
            e, kept = "affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>", "affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, 0)>"
            widen = lambda a, to: f"  %{to} = arith.extf %{a} : {element} to f32\n" if element != "f32" else ""
            wide = lambda a, to: a if element == "f32" else to
            g.add("group_norm_embedded", "row", [(dims, element, x), ([n, *inner], element, t), (inner, element, w), (inner, element, b)],
                  [(dims, element, total), (dims, element, stored(y, element))],
                  f"%s = graph.map (%a0, %a1) [{e}, affine_map<(d0, d1, d2, d3) -> (d0, d2, d3)>] {{\n^bb0(%x: {element}, %t: {element}):\n"
                  f"  %z = arith.addf %x, %t : {element}\n  graph.yield %z : {element}\n}} : ({full}, {tt}) -> {full}\n"
                  f"%f = graph.map (%s) [{e}] {{\n^bb0(%x: {element}):\n{widen('x', 'u')}  graph.yield %{wide('x', 'u')} : f32\n}} : ({full}) -> {t32}\n"
                  f"%mu = graph.reduce mean %f dims [1, 3] : {t32} -> {ts}\n"
                  f"%q = graph.map (%f, %mu) [{e}, {kept}] {{\n^bb0(%x: f32, %m: f32):\n  %d = arith.subf %x, %m : f32\n"
                  f"  %k = arith.mulf %d, %d : f32\n  graph.yield %k : f32\n}} : ({t32}, {ts}) -> {t32}\n"
                  f"%var = graph.reduce mean %q dims [1, 3] : {t32} -> {ts}\n"
                  f"%i = graph.map (%var) [{e}] {{\n^bb0(%v: f32):\n  %c = arith.constant 1.0e-5 : f32\n  %p = arith.addf %v, %c : f32\n"
                  f"  %k = math.rsqrt %p : f32\n  graph.yield %k : f32\n}} : ({ts}) -> {ts}\n"
                  f"%r = graph.map (%f, %mu, %i, %a2, %a3) [{e}, {kept}, {kept}, {', '.join(['affine_map<(d0, d1, d2, d3) -> (d2, d3)>'] * 2)}] {{\n"
                  f"^bb0(%x: f32, %m: f32, %v: f32, %w: {element}, %b: {element}):\n{widen('w', 'ww')}{widen('b', 'bw')}"
                  f"  %d = arith.subf %x, %m : f32\n  %h = arith.mulf %d, %v : f32\n  %k = arith.mulf %h, %{wide('w', 'ww')} : f32\n"
                  f"  %o = arith.addf %k, %{wide('b', 'bw')} : f32\n"
                  + (f"  %y = arith.truncf %o : f32 to {element}\n  graph.yield %y : {element}\n" if element != "f32" else "  graph.yield %o : f32\n")
                  + f"}} : ({t32}, {ts}, {ts}, {ti}, {ti}) -> {full}\ngraph.yield %s, %r : {full}, {full}",
                  rtol=2 * ROUNDING[element], atol=4 * ROUNDING[element])
            groups.append(g)
    return groups


def tiles():
    """Transposes whose extents allow vectors on both sides, beside the odd ones of check_kernels.py."""
    g = Group()
    for element, dtype in (("f16", np.float16), ("i8", np.int8), ("f32", np.float32)):
        for dims, order in (((66, 130), (1, 0)), ((3, 64, 2, 70), (0, 3, 2, 1)), ((2, 5, 128), (2, 0, 1))):
            x = rng.integers(-100, 100, dims).astype(dtype)
            to = [dims[i] for i in order]
            g.add(f"tile_{element}_{len(g.cases)}", "transpose", [(list(dims), element, x)], [(to, element, x.transpose(order).copy())],
                  f"%r = graph.transpose %a0 [{', '.join(map(str, order))}] : {tensor(dims, element)} -> {tensor(to, element)}\ngraph.yield %r : {tensor(to, element)}")
    return [g]


GROUPS = {**{name: check_kernels.TEMPLATES[name] for name in TEMPLATES},
          "rows": rows, "group_norms": group_norms, "embedded_norms": embedded_norms, "tiles": tiles}


def main():
    action, folder, *only = sys.argv[1:]
    driver = Driver() if action == "run" else None
    faults, count = [], 0
    for name, make in GROUPS.items():
        if only and name not in only:
            continue
        packed = {}
        for group in make():
            # Groups of one text differ in their symbols' values and share their code.
            text = group.text()
            fresh = text not in packed
            number = f"{name}-{packed.setdefault(text, len(packed))}"
            if action == "pack" and fresh:
                pack(group, folder, number)
            elif action == "run":
                found, ran = run(group, folder, number, driver)
                values = ",".join(str(v) for _, _, _, v in group.symbols)
                faults += [f"{name} [{values}] {f}" for f in found]
                count += ran
    if action == "run":
        print("\n".join(faults[:60]))
        print(f"{count} kernels, {len(faults)} faults")
    return 1 if faults or (action == "run" and count == 0) else 0


if __name__ == "__main__":
    sys.exit(main())
