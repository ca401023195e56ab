# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Numeric tests of generated host kernels, one function per template: check_kernels.py TEMPLATE…"""
import sys
from math import erf

import numpy as np

from harness import Group, bf16, from_bf16, tensor

rng = np.random.default_rng(7)


def f32(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def identity(rank):
    d = ", ".join(f"d{i}" for i in range(rank))
    return f"affine_map<({d}) -> ({d})>"


def unary(op, dims, element="f32", compute="f32"):
    t = tensor(dims, element)
    return (f"%r = graph.map (%a0) [{identity(len(dims))}] {{\n^bb0(%x: {element}):\n{op}\n}} : ({t}) -> {t}\n"
            f"graph.yield %r : {t}")


def math_body(name):
    return f"  %y = math.{name} %x : f32\n  graph.yield %y : f32"


SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 1e-30, 88.7, 89.5, -87.3, -103.9, -110, 3.4e38,
                    0.34, -0.34, 0.63, 0.94, 4.1, 16777217.0, 1e9], dtype=np.float32)


def ulp_checker(reference, x, limit, domain=None, flushes=False):
    """Relative error against float64, beside exact agreement on infinities and NaN; denormals to one step, or zero where a
    GPU's powers of two are."""
    def check(got):
        with np.errstate(all="ignore"):
            want = reference(x.astype(np.float64))
            rounded = want.astype(np.float32)
            error = np.abs(got.astype(np.float64) - want) / np.maximum(np.abs(want), 1.2e-38)
            same = (got == rounded) | (np.isnan(got) & np.isnan(rounded)) | ((got == 0) & (want > 0) & (want < 1.1754944e-38) & flushes)
            bad = ~(same | (error <= limit)) if domain is None else ~(same | (error <= limit)) & domain(x)
        if bad.any():
            i = np.argmax(np.where(bad, np.nan_to_num(error, nan=np.inf), 0))
            return f"{bad.sum()} wrong, f({x[i]!r}) = {got[i]!r}, not {want[i]!r}"
        return ""
    return check


def math_functions():
    wide = np.concatenate([SPECIAL, rng.uniform(-120, 120, 40000).astype(np.float32), rng.uniform(-2, 2, 40000).astype(np.float32), rng.uniform(-1, 1, 20000).astype(np.float32),
                           (rng.standard_normal(20000) * 10.0 ** rng.uniform(-30, 30, 20000)).astype(np.float32), np.zeros(5, np.float32)])
    verf = np.vectorize(erf)
    bounded = lambda x: np.abs(x) < 1e6
    functions = {
        "exp": (np.exp, 3e-7, None), "exp2": (np.exp2, 2.5e-7, None), "expm1": (np.expm1, 5e-7, None), "log": (np.log, 2e-7, None),
        "log2": (np.log2, 4e-7, lambda x: np.abs(x - 1) > 1e-2), "log10": (np.log10, 4e-7, lambda x: np.abs(x - 1) > 1e-2),
        "log1p": (np.log1p, 3e-7, None), "tanh": (np.tanh, 2.5e-7, None), "erf": (verf, 2.5e-7, None),
        "sin": (np.sin, 3e-7, bounded), "cos": (np.cos, 3e-7, bounded), "sqrt": (np.sqrt, 1e-7, None),
        "tan": (np.tan, 5e-7, bounded), "sinh": (np.sinh, 5e-7, None), "cosh": (np.cosh, 5e-7, None), "atan": (np.arctan, 3e-7, None),
        "asin": (np.arcsin, 3e-7, None), "acos": (np.arccos, 4e-7, lambda x: np.abs(x - 1) > 1e-6),
        "rsqrt": (lambda v: 1 / np.sqrt(v), 2e-7, None), "floor": (np.floor, 0, None), "ceil": (np.ceil, 0, None),
        "roundeven": (np.rint, 0, None), "round": (lambda v: np.trunc(v + np.copysign(0.5, v)), 0, None),
        "trunc": (np.trunc, 0, None), "absf": (np.abs, 0, None),
    }
    g = Group()
    n = len(wide)
    for name, (reference, limit, domain) in functions.items():
        g.add(f"math_{name}", "flat", [([n], "f32", wide)], [([n], "f32", (np.zeros(n, np.float32), ulp_checker(reference, wide, limit, domain, name in ("exp", "exp2"))))],
              unary(math_body(name), [n]))
    base = np.concatenate([np.abs(f32(20000)) * 10, f32(5000) * 3, np.array([0, 0, 0, -0.0, 1, np.inf, np.inf, np.nan, -2, -2, -2, 2, -1, 0.5], np.float32)])
    power = np.concatenate([f32(20000) * 8, np.round(f32(5000) * 4), np.array([0, 2, -1, -3, np.nan, 2, -1, 0, 3, 2, 0.5, -200, 7, np.inf], np.float32)])
    m = len(base)
    t = tensor([m], "f32")

    def pow_check(got):
        return ulp_checker(lambda _: np.power(base.astype(np.float64), power.astype(np.float64)), base, 3e-7)(got)
    g.add("math_powf", "flat", [([m], "f32", base), ([m], "f32", power)], [([m], "f32", (np.zeros(m, np.float32), pow_check))],
          f"%r = graph.map (%a0, %a1) [{identity(1)}, {identity(1)}] {{\n^bb0(%x: f32, %p: f32):\n  %y = math.powf %x, %p : f32\n"
          f"  graph.yield %y : f32\n}} : ({t}, {t}) -> {t}\ngraph.yield %r : {t}")
    fm = np.fmod(base.astype(np.float64), np.where(power == 0, 1, power).astype(np.float64))
    divisor = np.where(power == 0, 1, power).astype(np.float32)
    g.add("remf", "flat", [([m], "f32", base), ([m], "f32", divisor)], [([m], "f32", fm.astype(np.float32))],
          f"%r = graph.map (%a0, %a1) [{identity(1)}, {identity(1)}] {{\n^bb0(%x: f32, %p: f32):\n  %y = arith.remf %x, %p : f32\n"
          f"  graph.yield %y : f32\n}} : ({t}, {t}) -> {t}\ngraph.yield %r : {t}")
    return [g]


def flat():
    groups = []
    for s in (0, 1, 7, 200):
        g = Group([("n", 0, 300, s)])
        # Bias and activation: rows of 37 against a vector.
        x, b = f32(s, 37), f32(37)
        t, tb = tensor(["s0", 37], "f32"), tensor([37], "f32")
        d = np.maximum(x + b, 0)
        g.add("bias_relu", "flat", [(["s0", 37], "f32", x), ([37], "f32", b)], [(["s0", 37], "f32", d)],
              f"%r = graph.map (%a0, %a1) [{identity(2)}, affine_map<(d0, d1) -> (d1)>] {{\n^bb0(%x: f32, %y: f32):\n"
              "  %s = arith.addf %x, %y : f32\n  %z = arith.constant 0.0 : f32\n  %m = arith.maximumf %s, %z : f32\n"
              f"  graph.yield %m : f32\n}} : ({t}, {tb}) -> {t}\ngraph.yield %r : {t}")
        # A long merged run, two results, a chain of maps.
        x, y = f32(3, s, 64), f32(3, s, 64)
        t = tensor([3, "s0", 64], "f32")
        g.add("chain", "flat", [([3, "s0", 64], "f32", x), ([3, "s0", 64], "f32", y)],
              [([3, "s0", 64], "f32", x + y), ([3, "s0", 64], "f32", (x + y) * (x + y))],
              f"%p = graph.map (%a0, %a1) [{identity(3)}, {identity(3)}] {{\n^bb0(%x: f32, %y: f32):\n  %s = arith.addf %x, %y : f32\n"
              f"  graph.yield %s : f32\n}} : ({t}, {t}) -> {t}\n"
              f"%q = graph.map (%p) [{identity(3)}] {{\n^bb0(%x: f32):\n  %s = arith.mulf %x, %x : f32\n  graph.yield %s : f32\n}} : ({t}) -> {t}\n"
              f"graph.yield %p, %q : {t}, {t}")
        # Transposed, shifted, divided and reversed reads; indices and extents.
        x = f32(40, s)
        ti, to = tensor([40, "s0"], "f32"), tensor(["s0", 40], "f32")
        i, j = np.meshgrid(np.arange(s), np.arange(40), indexing="ij")
        g.add("transposed_index", "flat", [([40, "s0"], "f32", x)], [(["s0", 40], "f32", (x.T + (i * 1000 + j + s)).astype(np.float32))],
              f"%r = graph.map (%a0) [affine_map<(d0, d1) -> (d1, d0)>] {{\n^bb0(%x: f32):\n  %i = graph.index 0 : i64\n  %j = graph.index 1 : i64\n"
              "  %n = graph.extent affine_map<()[s0] -> (s0)> : i64\n  %k = arith.constant 1000 : i64\n  %u = arith.muli %i, %k : i64\n"
              "  %v = arith.addi %u, %j : i64\n  %w = arith.addi %v, %n : i64\n  %f = arith.sitofp %w : i64 to f32\n  %s = arith.addf %x, %f : f32\n"
              f"  graph.yield %s : f32\n}} : ({ti}) -> {to}\ngraph.yield %r : {to}")
        x = f32(5, 11)
        to = tensor(["s0", 22], "f32")
        g.add("repeat", "flat", [([5, 11], "f32", x)], [(["s0", 22], "f32", x[np.arange(s) % 5][:, np.arange(22) // 2])],
              f"%r = graph.map (%a0) [affine_map<(d0, d1) -> (d0 mod 5, d1 floordiv 2)>] {{\n^bb0(%x: f32):\n  graph.yield %x : f32\n}} : "
              f"({tensor([5, 11], 'f32')}) -> {to}\ngraph.yield %r : {to}")
        # Truth values and selection, i64 arithmetic.
        a, b = rng.integers(-9, 9, (s, 19)), rng.integers(-3, 3, (s, 19))
        t, tb = tensor(["s0", 19], "i64"), tensor(["s0", 19], "i1")
        q = np.where(b == 0, 0, np.trunc(a / np.where(b == 0, 1, b))).astype(np.int64)
        g.add("integers", "flat", [(["s0", 19], "i64", a), (["s0", 19], "i64", b)], [(["s0", 19], "i64", q), (["s0", 19], "i1", (a < b).astype(np.uint8))],
              f"%r:2 = graph.map (%a0, %a1) [{identity(2)}, {identity(2)}] {{\n^bb0(%x: i64, %y: i64):\n  %q = arith.divsi %x, %y : i64\n"
              f"  %c = arith.cmpi slt, %x, %y : i64\n  graph.yield %q, %c : i64, i1\n}} : ({t}, {t}) -> ({t}, {tb})\ngraph.yield %r#0, %r#1 : {t}, {tb}")
        m = (rng.random((s, 19)) < 0.5).astype(np.uint8)
        x = f32(s, 19)
        t = tensor(["s0", 19], "f32")
        g.add("where", "flat", [(["s0", 19], "i1", m), (["s0", 19], "f32", x)], [(["s0", 19], "f32", np.where(m, x, np.float32(-1)))],
              f"%r = graph.map (%a0, %a1) [{identity(2)}, {identity(2)}] {{\n^bb0(%c: i1, %x: f32):\n  %k = arith.constant -1.0 : f32\n"
              f"  %y = arith.select %c, %x, %k : f32\n  graph.yield %y : f32\n}} : ({tb}, {t}) -> {t}\ngraph.yield %r : {t}")
        # Halves: loaded, computed in f32, stored.
        h, u = f32(s, 21).astype(np.float16), bf16(f32(s, 21))
        th, tu = tensor(["s0", 21], "f16"), tensor(["s0", 21], "bf16")
        total = h.astype(np.float32) + from_bf16(u)
        g.add("halves", "flat", [(["s0", 21], "f16", h), (["s0", 21], "bf16", u)],
              [(["s0", 21], "f16", total.astype(np.float16)), (["s0", 21], "bf16", bf16(total))],
              f"%r:2 = graph.map (%a0, %a1) [{identity(2)}, {identity(2)}] {{\n^bb0(%x: f16, %y: bf16):\n  %a = arith.extf %x : f16 to f32\n"
              "  %b = arith.extf %y : bf16 to f32\n  %s = arith.addf %a, %b : f32\n  %p = arith.truncf %s : f32 to f16\n  %q = arith.truncf %s : f32 to bf16\n"
              f"  graph.yield %p, %q : f16, bf16\n}} : ({th}, {tu}) -> ({th}, {tu})\ngraph.yield %r#0, %r#1 : {th}, {tu}", rtol=0)
        # A constant of several elements, an i8 and an i32 operand, float to integer with saturation.
        x = rng.integers(-128, 127, (s, 4)).astype(np.int8)
        y = (f32(s, 4) * 1e10).astype(np.float32)
        ty, tf, ti = tensor(["s0", 4], "i8"), tensor(["s0", 4], "f32"), tensor(["s0", 4], "i32")
        k = np.array([1, 2, 3, 4], np.int32)
        with np.errstate(invalid="ignore"):
            sat = np.clip(y.astype(np.float64), -2.0**31, 2.0**31 - 1).astype(np.int64).astype(np.int32)
        g.add("narrow", "flat", [(["s0", 4], "i8", x), (["s0", 4], "f32", y)], [(["s0", 4], "i32", (x.astype(np.int32) * k) ^ sat)],
              f"%c = graph.constant dense<[1, 2, 3, 4]> : tensor<4xi32>\n"
              f"%r = graph.map (%a0, %a1, %c) [{identity(2)}, {identity(2)}, affine_map<(d0, d1) -> (d1)>] {{\n^bb0(%x: i8, %y: f32, %k: i32):\n"
              "  %a = arith.extsi %x : i8 to i32\n  %b = arith.muli %a, %k : i32\n  %s = arith.fptosi %y : f32 to i32\n  %z = arith.xori %b, %s : i32\n"
              f"  graph.yield %z : i32\n}} : ({ty}, {tf}, tensor<4xi32>) -> {ti}\ngraph.yield %r : {ti}")
        groups.append(g)
    g = Group()
    x = f32(3, 1, 5, 1)
    t = tensor([3, 1, 5, 1], "f32")
    g.add("unit_dims", "flat", [([3, 1, 5, 1], "f32", x)], [([3, 1, 5, 1], "f32", -x)],
          f"%r = graph.map (%a0) [affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, 0)>] {{\n^bb0(%x: f32):\n  %y = arith.negf %x : f32\n"
          f"  graph.yield %y : f32\n}} : ({t}) -> {t}\ngraph.yield %r : {t}")
    x = f32()
    g.add("scalar", "flat", [([], "f32", x)], [([], "f32", x * x)],
          "%r = graph.map (%a0) [affine_map<() -> ()>] {\n^bb0(%x: f32):\n  %y = arith.mulf %x, %x : f32\n  graph.yield %y : f32\n}"
          " : (tensor<f32>) -> tensor<f32>\ngraph.yield %r : tensor<f32>")
    x = f32(9000)
    g.add("chunks", "flat", [([9000], "f32", x)], [([9000], "f32", x * x)],
          unary("  %y = arith.mulf %x, %x : f32\n  graph.yield %y : f32", [9000]))
    x = f32(6, 10)
    g.add("slice_expand", "flat", [([6, 10], "f32", x)], [([2, 3, 4], "f32", np.broadcast_to(x[5:0:-2, 2:10:2], (2, 3, 4)).copy())],
          f"%s = graph.slice %a0 offsets affine_map<() -> (5, 2)> steps [-2, 2] : tensor<6x10xf32> -> tensor<3x4xf32>\n"
          f"%r = graph.expand %s : tensor<3x4xf32> -> tensor<2x3x4xf32>\ngraph.yield %r : tensor<2x3x4xf32>")
    # Merging must not run over strides that a state's buffer has.
    cap = f32(2, 8, 16)
    g.add("physical", "flat", [([2, 3, 16], "f32", cap)], [([2, 3, 16], "f32", cap[:, :3] * 2)],
          unary("  %y = arith.addf %x, %x : f32\n  graph.yield %y : f32", [2, 3, 16]), attrs=["graph.physical = affine_map<() -> (2, 8, 16)>"])
    groups.append(g)
    return groups


def row():
    groups = []
    for s in (0, 1, 5):
        for n in (0, 1, 7, 40, 576, 1000):
            g = Group([("rows", 0, 8, s), ("n", 0, 1000, n)])
            dims, one = ["s0", "s1"], ["s0", 1]
            t, t1, tv = tensor(dims, "f32"), tensor(one, "f32"), tensor([f"s1"], "f32").replace("()[s0, s1]", "()[s0, s1]")
            x = f32(s, n) * 3
            x64 = x.astype(np.float64)
            with np.errstate(all="ignore"):
                e = np.exp(x64 - x64.max(-1, keepdims=True, initial=-np.inf))
                soft = (e / e.sum(-1, keepdims=True)).astype(np.float32)
                logsoft = np.log(e / e.sum(-1, keepdims=True)).astype(np.float32)
                mean = x64.mean(-1, keepdims=True) if n else np.full((s, 1), np.nan)
                var = ((x64 - mean) ** 2).mean(-1, keepdims=True) if n else mean
                rms = (x64**2).mean(-1, keepdims=True) if n else mean
            w, b = f32(n), f32(n)
            g.add("softmax", "row", [(dims, "f32", x)], [(dims, "f32", soft)], f"%r = graph.softmax %a0 : {t}\ngraph.yield %r : {t}", rtol=3e-6)
            g.add("log_softmax", "row", [(dims, "f32", x)], [(dims, "f32", logsoft)],
                  f"%r = graph.softmax %a0 {{log}} : {t}\ngraph.yield %r : {t}", rtol=2e-6, atol=2e-6)
            g.add("layer_norm", "row", [(dims, "f32", x), (["s1"], "f32", w), (["s1"], "f32", b)],
                  [(dims, "f32", ((x64 - mean) / np.sqrt(var + 1e-5) * w + b).astype(np.float32))],
                  f"%r = graph.layer_norm %a0, %a1, %a2 epsilon 1.0e-5 : ({t}, {tensor(['s1'], 'f32')}, {tensor(['s1'], 'f32')}) -> {t}\ngraph.yield %r : {t}",
                  rtol=3e-6, atol=3e-6)
            g.add("rms_norm", "row", [(dims, "f32", x), (["s1"], "f32", w)], [(dims, "f32", (x64 / np.sqrt(rms + 1e-6) * w).astype(np.float32))],
                  f"%r = graph.rms_norm %a0, %a1 epsilon 1.0e-6 : ({t}, {tensor(['s1'], 'f32')}) -> {t}\ngraph.yield %r : {t}", rtol=3e-6, atol=1e-7)
            h = x.astype(np.float16)
            eh = np.exp(h.astype(np.float64) - h.astype(np.float64).max(-1, keepdims=True, initial=-np.inf))
            th = tensor(dims, "f16")
            with np.errstate(all="ignore"):
                g.add("softmax_f16", "row", [(dims, "f16", h)], [(dims, "f16", (eh / eh.sum(-1, keepdims=True)).astype(np.float16))],
                      f"%r = graph.softmax %a0 : {th}\ngraph.yield %r : {th}", rtol=1.1e-3, atol=6e-8)
            # A map before, two reductions, a result at both extents.
            i1 = tensor(one, "i64")
            y = (x * 2).astype(np.float32)
            if n:
                arg = np.argmax(y, -1)[:, None].astype(np.int64)
                g.add("reductions", "row", [(dims, "f32", x)],
                      [(one, "f32", y.astype(np.float64).sum(-1, keepdims=True).astype(np.float32)), (one, "i64", arg), (one, "f32", y.min(-1, keepdims=True))],
                      f"%y = graph.map (%a0) [{identity(2)}] {{\n^bb0(%x: f32):\n  %s = arith.addf %x, %x : f32\n  graph.yield %s : f32\n}} : ({t}) -> {t}\n"
                      f"%s = graph.reduce sum %y dims [1] : {t} -> {t1}\n%i = graph.arg_reduce max %y : {t} -> {i1}\n"
                      f"%m = graph.reduce min %y dims [1] : {t} -> {t1}\ngraph.yield %s, %i, %m : {t1}, {i1}, {t1}", rtol=2e-6, atol=2e-4)
                ties = rng.integers(0, 3, (s, n)).astype(np.float32)
                last = (n - 1 - np.argmax(ties[:, ::-1], -1))[:, None].astype(np.int64)
                g.add("arg_last", "row", [(dims, "f32", ties)], [(one, "i64", last)],
                      f"%i = graph.arg_reduce max %a0 {{select_last}} : {t} -> {i1}\ngraph.yield %i : {i1}")
                g.add("arg_first", "row", [(dims, "f32", ties)], [(one, "i64", np.argmin(ties, -1)[:, None].astype(np.int64))],
                      f"%i = graph.arg_reduce min %a0 : {t} -> {i1}\ngraph.yield %i : {i1}")
            groups.append(g)
    g = Group()
    x = f32(2, 3, 5, 7)
    t, t1 = tensor([2, 3, 5, 7], "f32"), tensor([2, 3, 1, 1], "f32")
    mean = x.astype(np.float64).mean((2, 3), keepdims=True)
    g.add("two_dims", "row", [([2, 3, 5, 7], "f32", x)], [([2, 3, 1, 1], "f32", mean.astype(np.float32)), ([2, 3, 5, 7], "f32", (x - mean).astype(np.float32))],
          f"%m = graph.reduce mean %a0 dims [2, 3] : {t} -> {t1}\n"
          f"%r = graph.map (%a0, %m) [{identity(4)}, affine_map<(d0, d1, d2, d3) -> (d0, d1, 0, 0)>] {{\n^bb0(%x: f32, %y: f32):\n"
          f"  %d = arith.subf %x, %y : f32\n  graph.yield %d : f32\n}} : ({t}, {t1}) -> {t}\ngraph.yield %m, %r : {t1}, {t}", atol=1e-6)
    k = rng.integers(-50, 50, (4, 33))
    ti, to = tensor([4, 33], "i64"), tensor([4, 1], "i64")
    for kind, expected in (("sum", k.sum(-1)), ("max", k.max(-1)), ("min", k.min(-1))):
        g.add(f"int_{kind}", "row", [([4, 33], "i64", k)], [([4, 1], "i64", expected[:, None])],
              f"%r = graph.reduce {kind} %a0 dims [1] : {ti} -> {to}\ngraph.yield %r : {to}")
    z = np.full((3, 9), -np.inf, np.float32)
    z[1, 4] = 2
    z[2, 3] = np.nan
    soft = np.full((3, 9), np.nan, np.float32)
    soft[1] = 0
    soft[1, 4] = 1
    g.add("softmax_edges", "row", [([3, 9], "f32", z)], [([3, 9], "f32", soft)], "%r = graph.softmax %a0 : tensor<3x9xf32>\ngraph.yield %r : tensor<3x9xf32>")
    groups.append(g)
    return groups


def column():
    groups = []
    for s, c in ((0, 5), (1, 1), (9, 300), (4, 64)):
        g = Group([("n", 0, 10, s)])
        dims = [2, "s0", 3, c]
        x = f32(2, s, 3, c)
        t, t1 = tensor(dims, "f32"), tensor([2, 1, 1, c], "f32")
        with np.errstate(all="ignore"):
            mean = x.astype(np.float64).sum((1, 2), keepdims=True) / (s * 3)
        low = x.min((1, 2), keepdims=True, initial=np.inf)
        g.add("pool", "column", [(dims, "f32", x)], [([2, 1, 1, c], "f32", mean.astype(np.float32)), ([2, 1, 1, c], "f32", low)],
              f"%m = graph.reduce mean %a0 dims [1, 2] : {t} -> {t1}\n%n = graph.reduce min %a0 dims [1, 2] : {t} -> {t1}\n"
              f"graph.yield %m, %n : {t1}, {t1}", atol=1e-6)
        g.add("centre", "column", [(dims, "f32", x)], [(dims, "f32", (x - mean).astype(np.float32))],
              f"%m = graph.reduce mean %a0 dims [1, 2] : {t} -> {t1}\n"
              f"%r = graph.map (%a0, %m) [{identity(4)}, affine_map<(d0, d1, d2, d3) -> (d0, 0, 0, d3)>] {{\n^bb0(%x: f32, %y: f32):\n"
              f"  %d = arith.subf %x, %y : f32\n  graph.yield %d : f32\n}} : ({t}, {t1}) -> {t}\ngraph.yield %r : {t}", atol=1e-6)
        g.add("first", "column", [(dims, "f32", x)], [([1, "s0", 3, c], "f32", x.max(0, keepdims=True))],
              f"%m = graph.reduce max %a0 dims [0] : {t} -> {tensor([1, 's0', 3, c], 'f32')}\ngraph.yield %m : {tensor([1, 's0', 3, c], 'f32')}")
        groups.append(g)
    return groups


def transpose():
    groups = []
    kinds = {"f32": np.float32, "i64": np.int64, "i8": np.int8, "f16": np.float16}
    for a, b in ((0, 3), (1, 1), (8, 8), (33, 70), (129, 17)):
        g = Group([("a", 0, 200, a), ("b", 0, 200, b)])
        for element, dtype in kinds.items():
            x = rng.integers(-100, 100, (a, 3, b)).astype(dtype)
            for p in ((2, 1, 0), (1, 0, 2), (0, 2, 1), (2, 0, 1)):
                dims = ["s0", 3, "s1"]
                to = [dims[i] for i in p]
                g.add(f"t_{element}_{''.join(map(str, p))}", "transpose", [(dims, element, x)], [(to, element, x.transpose(p).copy())],
                      f"%r = graph.transpose %a0 [{', '.join(map(str, p))}] : {tensor(dims, element)} -> {tensor(to, element)}\ngraph.yield %r : {tensor(to, element)}")
        groups.append(g)
    return groups


def gather():
    groups = []
    for n in (0, 1, 9):
        g = Group([("n", 0, 16, n)])
        table = f32(50, 37)
        ids = rng.integers(-50, 50, (2, n))
        to = tensor([2, "s0", 37], "f32")
        ti = tensor([2, "s0"], "i64")
        g.add("rows", "gather", [([50, 37], "f32", table), ([2, "s0"], "i64", ids)], [([2, "s0", 37], "f32", table[ids])],
              f"%r = graph.gather %a0, %a1 axis 0 : (tensor<50x37xf32>, {ti}) -> {to}\ngraph.yield %r : {to}")
        ti, to = tensor(["s0"], "i32"), tensor([50, "s0"], "f32")
        narrow = rng.integers(0, 37, n).astype(np.int32)
        g.add("columns", "gather", [([50, 37], "f32", table), (["s0"], "i32", narrow)], [([50, "s0"], "f32", table[:, narrow])],
              f"%r = graph.gather %a0, %a1 axis 1 : (tensor<50x37xf32>, {ti}) -> {to}\ngraph.yield %r : {to}")
        wild = np.where(np.arange(n) % 2 == 0, 1000, -1000).astype(np.int64)
        ti, to = tensor(["s0"], "i64"), tensor(["s0", 37], "f32")
        g.add("clamped", "gather", [([50, 37], "f32", table), (["s0"], "i64", wild)], [(["s0", 37], "f32", table[np.where(wild > 0, 49, 0)])],
              f"%r = graph.gather %a0, %a1 axis 0 : (tensor<50x37xf32>, {ti}) -> {to}\ngraph.yield %r : {to}")
        groups.append(g)
    g = Group()
    g.add("scalar_index", "gather", [([50, 37], "f32", table), ([], "i64", np.array(7))], [([37], "f32", table[7])],
          "%r = graph.gather %a0, %a1 axis 0 : (tensor<50x37xf32>, tensor<i64>) -> tensor<37xf32>\ngraph.yield %r : tensor<37xf32>")
    groups.append(g)
    return groups


def row_bytes(width):
    return -(-width // 8) * 8 + 8


def rows_of(x):
    """Floats [.., W] as kernels/QuantisedRows.h has them, and the values that they stand for."""
    width = x.shape[-1]
    rows = np.zeros(x.shape[:-1] + (row_bytes(width),), np.int8)
    scale = (np.abs(x).max(-1, keepdims=True) / np.float64(127)).astype(np.float32)
    with np.errstate(all="ignore"):
        rows[..., :width] = np.where(scale > 0, np.rint(x.astype(np.float64) / scale), 0)
    rows[..., -8:-4] = scale.view(np.int8)
    return rows, rows[..., :width] * scale


def appended_rows(fresh, begin):
    """Checks a state [.., .., rows, bytes] to which these rows [.., .., n, W] were appended at `begin`."""
    wanted, _ = rows_of(fresh)
    width, n = fresh.shape[-1], fresh.shape[2]

    def check(got):
        rest = np.full_like(got, 0xa5 - 256)
        rest[:, :, begin : begin + n] = own = got[:, :, begin : begin + n]
        # A value in the middle of two integers may become either.
        integers = np.abs(own[..., :width].astype(int) - wanted[..., :width]).max(initial=0) <= 1
        few = np.count_nonzero(own[..., :width] != wanted[..., :width]) <= 0.01 * own.size
        scales = np.allclose(*(np.ascontiguousarray(r[..., -8:-4]).view(np.float32) for r in (own, wanted)), rtol=2e-6)
        filled = not own[..., width:-8].any() and not own[..., -4:].any()
        good = integers and few and scales and filled and got.tobytes() == rest.tobytes()
        return "" if good else "the quantised rows are wrong, or others were touched"
    return check


def move():
    groups = []
    for n in (0, 1, 6):
        g = Group([("n", 0, 8, n)])
        a, b, c = f32(2, n, 13), f32(2, 3, 13), f32(2, n, 13)
        ta, tb = tensor([2, "s0", 13], "f32"), tensor([2, 3, 13], "f32")
        to = tensor([2, "s0 * 2 + 3", 13], "f32")
        g.add("concat_middle", "concat", [([2, "s0", 13], "f32", a), ([2, 3, 13], "f32", b), ([2, "s0", 13], "f32", c)],
              [([2, "s0 * 2 + 3", 13], "f32", np.concatenate([a, b, c], 1))],
              f"%r = graph.concat %a0, %a1, %a2 axis 1 : ({ta}, {tb}, {ta}) -> {to}\ngraph.yield %r : {to}")
        x, y = f32(3, n), f32(3, 9)
        tx, ty, to = tensor([3, "s0"], "f32"), tensor([3, 9], "f32"), tensor([3, "s0 + 9"], "f32")
        g.add("concat_last", "concat", [([3, "s0"], "f32", x), ([3, 9], "f32", y)], [([3, "s0 + 9"], "f32", np.concatenate([x, y], 1))],
              f"%r = graph.concat %a0, %a1 axis 1 : ({tx}, {ty}) -> {to}\ngraph.yield %r : {to}")
        to = tensor([5, "s0 + 3"], "f32")
        g.add("pad", "pad", [([3, "s0"], "f32", x)], [([5, "s0 + 3"], "f32", np.pad(x, ((1, 1), (2, 1)), constant_values=7))],
              f"%r = graph.pad %a0 low [1, 2] value 7.0 : f32 : {tx} -> {to}\ngraph.yield %r : {to}")
        # The state holds eight positions; n of them are there, two are fresh.
        buffer, fresh = f32(1, 4, 10, 16), f32(1, 4, 2, 16)
        tp, tf, to = tensor([1, 4, "s0", 16], "f32"), tensor([1, 4, 2, 16], "f32"), tensor([1, 4, "s0 + 2", 16], "f32")

        def appended(got, fresh=fresh, n=n):
            want = np.frombuffer(b"\xa5" * got.nbytes, np.float32).reshape(got.shape).copy()
            want[:, :, n : n + 2] = fresh
            return "" if got.tobytes() == want.tobytes() else "the fresh rows are not where they belong, or others were touched"
        g.add("append_state", "append", [([1, 4, "s0", 16], "f32", buffer), ([1, 4, 2, 16], "f32", fresh)],
              [([1, 4, "s0 + 2", 16], "f32", (np.zeros((1, 4, 10, 16), np.float32), appended))],
              f"%r = graph.append %a0, %a1 axis 2 : ({tp}, {tf}) -> {to}\ngraph.yield %r : {to}", attrs=["graph.physical = affine_map<() -> (1, 4, 10, 16)>", ""])
        for element, width in (("f32", 20), ("f16", 64), ("bf16", 128)):
            size, fresh = row_bytes(width), f32(1, 4, 2, width)
            fresh[0, 1, 0], fresh[0, 2, 1] = 0, fresh[0, 2, 1] * 1e-4
            stored = bf16(fresh) if element == "bf16" else fresh.astype(np.float16) if element == "f16" else fresh
            fresh = from_bf16(stored) if element == "bf16" else stored.astype(np.float32)
            tp, tf = tensor([1, 4, "s0", size], "i8"), tensor([1, 4, 2, width], element)
            tr, to = tensor([1, 4, 2, size], "i8"), tensor([1, 4, "s0 + 2", size], "i8")
            g.add(f"append_rows_{element}", "append", [([1, 4, 2, width], element, stored), ([1, 4, "s0", size], "i8", np.zeros((1, 4, 10, size), np.int8))],
                  [([1, 4, "s0 + 2", size], "i8", (np.zeros((1, 4, 10, size), np.int8), appended_rows(fresh, n)))],
                  f"%q = graph.quantise_rows %a0 : {tf} -> {tr}\n%r = graph.append %a1, %q axis 2 : ({tp}, {tr}) -> {to}\ngraph.yield %r : {to}",
                  attrs=["", f"graph.physical = affine_map<() -> (1, 4, 10, {size})>"])
            rows, values = rows_of(f32(1, 4, 10, width))
            to = tensor([1, 4, "s0", width], "f32")
            g.add(f"dequantise_{element}", "flat", [([1, 4, "s0", size], "i8", rows)], [([1, 4, "s0", width], "f32", values[:, :, :n])],
                  f"%r = graph.dequantise_rows %a0 : {tp} -> {to}\ngraph.yield %r : {to}", attrs=[f"graph.physical = affine_map<() -> (1, 4, 10, {size})>"])
        tp, tf, to = tensor([1, 4, "s0", 16], "f32"), tensor([1, 4, 2, 16], "f32"), tensor([1, 4, "s0 + 2", 16], "f32")
        past, fresh = f32(1, 4, n, 16), f32(1, 4, 2, 16)
        g.add("append_plain", "append", [([1, 4, "s0", 16], "f32", past), ([1, 4, 2, 16], "f32", fresh)],
              [([1, 4, "s0 + 2", 16], "f32", np.concatenate([past, fresh], 2))],
              f"%r = graph.append %a0, %a1 axis 2 : ({tp}, {tf}) -> {to}\ngraph.yield %r : {to}")
        x = f32(3, n, 5)
        t = tensor([3, "s0", 5], "f32")
        for axis in (1, 2):
            c = np.cumsum(x.astype(np.float64), axis)
            g.add(f"cumsum{axis}", "cumsum", [([3, "s0", 5], "f32", x)], [([3, "s0", 5], "f32", c.astype(np.float32))],
                  f"%r = graph.cumsum %a0 axis {axis} : {t} -> {t}\ngraph.yield %r : {t}", atol=1e-6)
        r = np.flip(np.cumsum(np.flip(x.astype(np.float64), 1), 1), 1) - x
        g.add("cumsum_reverse", "cumsum", [([3, "s0", 5], "f32", x)], [([3, "s0", 5], "f32", r.astype(np.float32))],
              f"%r = graph.cumsum %a0 axis 1 {{exclusive, reverse}} : {t} -> {t}\ngraph.yield %r : {t}", atol=1e-6)
        groups.append(g)
    g = Group()
    x, ids, up = f32(6, 11), np.array([[1], [-1], [1]]), f32(3, 11)
    want = x.copy()
    for i, u in zip(ids[:, 0], up):
        want[i] = u
    g.add("scatter_rows", "scatter", [([6, 11], "f32", x), ([3, 1], "i64", ids), ([3, 11], "f32", up)], [([6, 11], "f32", want)],
          "%r = graph.scatter %a0, %a1, %a2 : (tensor<6x11xf32>, tensor<3x1xi64>, tensor<3x11xf32>) -> tensor<6x11xf32>\ngraph.yield %r : tensor<6x11xf32>")
    ids, up = np.array([[0, 3], [5, -1]]), f32(2)
    want = x.copy()
    want[0, 3], want[5, -1] = up
    g.add("scatter_elements", "scatter", [([6, 11], "f32", x), ([2, 2], "i64", ids), ([2], "f32", up)], [([6, 11], "f32", want)],
          "%r = graph.scatter %a0, %a1, %a2 : (tensor<6x11xf32>, tensor<2x2xi64>, tensor<2xf32>) -> tensor<6x11xf32>\ngraph.yield %r : tensor<6x11xf32>")
    empty, ids, up = f32(0, 11), np.array([[0], [3]]), f32(2, 11)
    g.add("scatter_into_nothing", "scatter", [([0, 11], "f32", empty), ([2, 1], "i64", ids), ([2, 11], "f32", up)], [([0, 11], "f32", empty)],
          "%r = graph.scatter %a0, %a1, %a2 : (tensor<0x11xf32>, tensor<2x1xi64>, tensor<2x11xf32>) -> tensor<0x11xf32>\ngraph.yield %r : tensor<0x11xf32>")
    groups.append(g)
    return groups


def rope():
    groups = []
    for s in (0, 1, 5):
        g = Group([("seq", 0, 8, s)])
        for width in (6, 64):
            angle = f32(1, s, width // 2)
            for layout in ("bhsd", "bshd"):
                dims = [2, 3, "s0", width] if layout == "bhsd" else [2, "s0", 3, width]
                shape = [s if d == "s0" else d for d in dims]
                x = f32(*shape)
                for interleaved in (False, True):
                    full = np.repeat(angle, 2, -1) if interleaved else np.concatenate([angle, angle], -1)
                    cos, sin = np.cos(full), np.sin(full)
                    if interleaved:
                        rotated = np.stack([-x[..., 1::2], x[..., 0::2]], -1).reshape(x.shape)
                    else:
                        rotated = np.concatenate([-x[..., width // 2 :], x[..., : width // 2]], -1)
                    axis = 1 if layout == "bhsd" else 2
                    c, sn = np.expand_dims(cos, axis), np.expand_dims(sin, axis)
                    t, tt = tensor(dims, "f32"), tensor([1, "s0", width], "f32")
                    g.add(f"rope_{width}_{layout}_{int(interleaved)}", "rope", [(dims, "f32", x), ([1, "s0", width], "f32", cos), ([1, "s0", width], "f32", sin)],
                          [(dims, "f32", x * c + rotated * sn)],
                          f"%r = graph.rope %a0 {layout}, %a1, %a2 {'{interleaved}' if interleaved else ''} : ({t}, {tt}, {tt}) -> {t}\ngraph.yield %r : {t}", atol=1e-6)
        groups.append(g)
    return groups


def resize():
    """Against the definition: taps per dim, computed in float64."""
    def taps(mode, coordinates, rounding, i, scale, n_in, n_out):
        x = {"half_pixel": (i + 0.5) / scale - 0.5, "pytorch_half_pixel": (i + 0.5) / scale - 0.5 if n_out > 1 else 0.0,
             "align_corners": i * (n_in - 1) / max(n_out - 1, 1), "asymmetric": i / scale}[coordinates]
        clip = lambda k: int(min(max(k, 0), n_in - 1))
        if mode == "nearest":
            k = {"round_prefer_floor": np.ceil(x - 0.5), "round_prefer_ceil": np.floor(x + 0.5), "floor": np.floor(x), "ceil": np.ceil(x)}[rounding]
            return [(clip(k), 1.0)]
        if mode == "linear":
            x = min(max(x, 0), n_in - 1)
            low = np.floor(x)
            return [(clip(low), 1 - (x - low)), (clip(low + 1), x - low)]
        low, a = np.floor(x), -0.75
        t = x - low
        near = lambda d: ((a + 2) * d - (a + 3)) * d * d + 1
        far = lambda d: ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return [(clip(low - 1), far(t + 1)), (clip(low), near(t)), (clip(low + 1), near(1 - t)), (clip(low + 2), far(2 - t))]

    def matrix(mode, coordinates, rounding, scale, n_in, n_out):
        m = np.zeros((n_out, n_in))
        for i in range(n_out):
            for k, w in taps(mode, coordinates, rounding, i, scale, n_in, n_out):
                m[i, k] += w
        return m
    g = Group()
    number = 0
    for layout in ("channels_last", "channels_first"):
        for mode, coordinates, rounding in (("nearest", "asymmetric", "floor"), ("nearest", "half_pixel", "round_prefer_floor"),
                                            ("linear", "half_pixel", "round_prefer_floor"), ("linear", "align_corners", "floor"),
                                            ("cubic", "half_pixel", "floor"), ("linear", "pytorch_half_pixel", "floor")):
            for sh, sw, oh, ow in ((2.0, 2.0, 10, 14), (0.5, 1.5, 2, 10)):
                x = f32(2, 5, 7, 9)
                y = np.einsum("ij,kl,njlc->nikc", matrix(mode, coordinates, rounding, sh, 5, oh), matrix(mode, coordinates, rounding, sw, 7, ow), x)
                if layout == "channels_first":
                    x, y = x.transpose(0, 3, 1, 2), y.transpose(0, 3, 1, 2)
                t, to = tensor(x.shape, "f32"), tensor(y.shape, "f32")
                g.add(f"resize_{number}", "resize", [(x.shape, "f32", x)], [(y.shape, "f32", y.astype(np.float32))],
                      f'%r = graph.resize {mode} %a0 scales [{sh:.6e}, {sw:.6e}] coordinates "{coordinates}" rounding "{rounding}" {layout} : {t} -> {to}\n'
                      f"graph.yield %r : {to}", rtol=1e-5, atol=5e-6)
                number += 1
    return [g]


def panels(w, groups=1):
    """[K, N] per group to panels of sixteen columns, zero beyond N."""
    out = []
    for g in range(groups):
        k, n = w[g].shape
        padded = np.zeros((k, -(-n // 16) * 16), np.float32)
        padded[:, :n] = w[g]
        out.append(padded.reshape(k, -1, 16).transpose(1, 0, 2).reshape(-1))
    return np.concatenate(out)


def int4_panels(k, n, group):
    """Random int4 weights in groups along k: their stored panels, and their values [K, N]."""
    columns, words, count = -(-n // 16) * 16, -(-k // 8), -(-k // group)
    q = np.full((words * 8, columns), 8, np.uint32)
    q[:k, :n] = rng.integers(0, 16, (k, n))
    scale = rng.uniform(0.01, 0.02, (count, columns)).astype(np.float16)
    rows = np.zeros((-(-count * 32 // 64) * 2, columns), np.float16)
    rows[:count] = scale
    shifts = np.array([0, 8, 16, 24, 4, 12, 20, 28], np.uint32)
    packed = (q.reshape(words, 8, columns) << shifts[None, :, None]).sum(axis=1, dtype=np.uint32)
    out = [part[:, p:p + 16].copy().view(np.uint8).reshape(-1) for p in range(0, columns, 16) for part in (rows, packed)]
    return np.concatenate(out), (q[:k, :n].astype(np.float64) - 8) * np.repeat(scale.astype(np.float64), group, axis=0)[:k, :n]


def rounded_row(x, group):
    """One row in steps of each group's largest magnitude over 127."""
    parts = [x[at:at + group].astype(np.float64) for at in range(0, len(x), group)]
    return np.concatenate([np.round(p / (np.abs(p).max() / 127)) * (np.abs(p).max() / 127) for p in parts])


def packing(source, columns, channels, taps=1, groups=1, format="f32"):
    return f'graph.packing = #graph.packing<"{format}", "{source}", columns = {columns}, channels = {channels}, taps = {taps}, groups = {groups}>'


def epilogue(root, other, dims, extra=""):
    """relu(root + bias along the last dim) + residual."""
    rank, t, n = len(dims), tensor(dims, "f32"), dims[-1]
    d = ", ".join(f"d{i}" for i in range(rank))
    return (f"%r = graph.map ({root}, {other}, %a3) [{identity(rank)}, affine_map<({d}) -> (d{rank - 1})>, {identity(rank)}] {{\n"
            "^bb0(%x: f32, %y: f32, %z: f32):\n  %s = arith.addf %x, %y : f32\n  %k = arith.constant 0.0 : f32\n"
            f"  %m = arith.maximumf %s, %k : f32\n  %o = arith.addf %m, %z : f32\n  graph.yield %o : f32\n}} : ({t}, tensor<{n}xf32>, {t}) -> {t}\ngraph.yield %r : {t}")


def matmul():
    groups = []
    for s in (0, 1, 7, 100):
        g = Group([("seq", 0, 128, s)])
        for k, n in ((37, 19), (576, 96)):
            a, w, b, r = f32(2, s, k), f32(n, k), f32(n), f32(2, s, n)
            ta, to = tensor([2, "s0", k], "f32"), tensor([2, "s0", n], "f32")
            c = a.astype(np.float64) @ w.T.astype(np.float64)
            packed = panels([w.T])
            mark = packing("columns", n, k)
            op = f"%c = graph.matmul %a0, %a1 {{transpose_b}} : ({ta}, tensor<{n}x{k}xf32>) -> {to}\n"
            g.add(f"matmul_{k}", "matmul", [([2, "s0", k], "f32", a), ([n, k], "f32", packed)], [([2, "s0", n], "f32", c.astype(np.float32))],
                  op + f"graph.yield %c : {to}", attrs=["", mark], rtol=1e-5, atol=8e-5)
            want = (np.maximum(c + b, 0) + r).astype(np.float32)
            g.add(f"matmul_epilogue_{k}", "matmul", [([2, "s0", k], "f32", a), ([n, k], "f32", packed), ([n], "f32", b), ([2, "s0", n], "f32", r)],
                  [([2, "s0", n], "f32", want)], op + epilogue("%c", "%a2", [2, "s0", n]), attrs=["", mark, "", ""], rtol=1e-5, atol=8e-5)
            # The sums themselves, their half and a transposed read of an operand of the epilogue.
            h, q = tensor([2, "s0", n], "f16"), f32(n, s)
            tq = tensor([n, "s0"], "f32")
            both = c + q.T
            g.add(f"matmul_two_{k}", "matmul", [([2, "s0", k], "f32", a), ([n, k], "f32", packed), ([n, "s0"], "f32", q)],
                  [([2, "s0", n], "f32", c.astype(np.float32)), ([2, "s0", n], "f16", both.astype(np.float16))],
                  op + f"%r = graph.map (%c, %a2) [{identity(3)}, affine_map<(d0, d1, d2) -> (d2, d1)>] {{\n^bb0(%x: f32, %y: f32):\n"
                  f"  %s = arith.addf %x, %y : f32\n  %h = arith.truncf %s : f32 to f16\n  graph.yield %h : f16\n}} : ({to}, {tq}) -> {h}\n"
                  f"graph.yield %c, %r : {to}, {h}", attrs=["", mark, ""], rtol=1e-3, atol=2e-3)
        # A single row by marked int4 weights is rounded; more rows, or the same weights unmarked, are not.
        for group in (32, 64, 128):
            k, n = 200, 83
            stored, w = int4_panels(k, n, group)
            mark, t = packing("columns", n, k, format=f"int4g{group}"), tensor([n, k], "f32")
            for name, rows, marked in (("rounded", 1, True), ("exact", 1, False), ("rows", 2, True)):
                a = f32(rows, k)
                used = np.stack([rounded_row(row, group) for row in a]) if name == "rounded" else a.astype(np.float64)
                ta, to = tensor([rows, k], "f32"), tensor([rows, n], "f32")
                g.add(f"matmul_int4g{group}_{name}", "matmul", [([rows, k], "f32", a), ([n, k], "f32", stored)],
                      [([rows, n], "f32", (used @ w).astype(np.float32))],
                      f"%c = graph.matmul %a0, %a1 {{transpose_b}} : ({ta}, {t}) -> {to}\ngraph.yield %c : {to}",
                      attrs=["", mark + (", graph.rounded" if marked else "")], rtol=1e-5, atol=1e-5)
        # Neither packed; b of a state's buffer.
        a, b, cap = f32(2, 3, 5, 24), f32(2, 1, s, 24), f32(2, 1, 128, 24)
        cap[:, :, :s] = b
        tb, to = tensor([2, 1, "s0", 24], "f32"), tensor([2, 3, 5, "s0"], "f32")
        c = np.einsum("bhik,bgjk->bhij", a.astype(np.float64), b.astype(np.float64))
        g.add("batch", "batch_matmul", [([2, 3, 5, 24], "f32", a), ([2, 1, "s0", 24], "f32", cap)], [([2, 3, 5, "s0"], "f32", c.astype(np.float32))],
              f"%c = graph.matmul %a0, %a1 {{transpose_b}} : (tensor<2x3x5x24xf32>, {tb}) -> {to}\ngraph.yield %c : {to}",
              attrs=["", "graph.physical = affine_map<() -> (2, 1, 128, 24)>"], rtol=1e-5, atol=2e-5)
        groups.append(g)
    return groups


def attention():
    groups = []
    for seq, past in ((1, 0), (1, 40), (7, 3), (65, 0)):
        g = Group([("seq", 1, 128, seq), ("past", 0, 64, past)])
        keys, d, h, kv = seq + past, 16, 4, 2
        q, k, v = f32(2, seq, h, d), f32(2, kv, keys, d), f32(2, kv, keys, d)
        cap_k, cap_v = f32(2, kv, 200, d), f32(2, kv, 200, d)
        cap_k[:, :, :keys], cap_v[:, :, :keys] = k, v
        mask = np.where(rng.random((2, 1, 1, keys)) < 0.3, -1e9, 0).astype(np.float32)
        mask[..., 0] = 0
        s = np.einsum("bihd,bhjd->bhij", q.astype(np.float64), np.repeat(k, h // kv, 1).astype(np.float64)) * 0.25 + mask
        i, j = np.meshgrid(np.arange(seq), np.arange(keys), indexing="ij")
        s = np.where(j <= i + past, s, -np.inf)
        p = np.exp(s - s.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        out = np.einsum("bhij,bhjd->bihd", p, np.repeat(v, h // kv, 1).astype(np.float64))
        tq, tk, tm = tensor([2, "s0", h, d], "f32"), tensor([2, kv, "s0 + s1", d], "f32"), tensor([2, 1, 1, "s0 + s1"], "f32")
        state = f"graph.physical = affine_map<() -> (2, {kv}, 200, {d})>"
        g.add("attention", "attention", [([2, "s0", h, d], "f32", q), ([2, kv, "s0 + s1", d], "f32", cap_k), ([2, kv, "s0 + s1", d], "f32", cap_v),
                                         ([2, 1, 1, "s0 + s1"], "f32", mask)], [([2, "s0", h, d], "f32", out.astype(np.float32))],
              f"%r = graph.attention %a0 bshd, %a1 bhsd, %a2 bhsd mask %a3 scale 2.5e-1 to bshd {{causal}} : ({tq}, {tk}, {tk}, {tm}) -> {tq}\ngraph.yield %r : {tq}",
              attrs=["", state, state, ""], rtol=2e-5, atol=5e-6)
        th = tensor([2, "s0", h, d], "f16")
        g.add("attention_f16", "attention", [([2, "s0", h, d], "f32", q), ([2, kv, "s0 + s1", d], "f32", cap_k), ([2, kv, "s0 + s1", d], "f32", cap_v),
                                             ([2, 1, 1, "s0 + s1"], "f32", mask)], [([2, "s0", h, d], "f16", out.astype(np.float16))],
              f"%r = graph.attention %a0 bshd, %a1 bhsd, %a2 bhsd mask %a3 scale 2.5e-1 to bshd {{causal}} : ({tq}, {tk}, {tk}, {tm}) -> {th}\ngraph.yield %r : {th}",
              attrs=["", state, state, ""], rtol=1e-3, atol=2e-5)
        groups.append(g)
    return groups


def convolve(x, w, stride, pad, dilation, groups):
    """Channels last, float64; w is [OC, C / groups, KH, KW]."""
    n, height, width, c = x.shape
    oc, cg, kh, kw = w.shape
    p = np.pad(x.astype(np.float64), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    oh = (height + 2 * pad - dilation * (kh - 1) - 1) // stride + 1
    ow = (width + 2 * pad - dilation * (kw - 1) - 1) // stride + 1
    out = np.zeros((n, oh, ow, oc))
    per = oc // groups
    for g in range(groups):
        for y in range(kh):
            for z in range(kw):
                part = p[:, y * dilation : y * dilation + stride * (oh - 1) + 1 : stride, z * dilation : z * dilation + stride * (ow - 1) + 1 : stride,
                         g * cg : (g + 1) * cg]
                out[..., g * per : (g + 1) * per] += part @ w[g * per : (g + 1) * per, :, y, z].T
    return out


def conv():
    groups = []
    for batch, size in ((1, 9), (3, 20)):
        g = Group([("batch", 0, 4, batch)])
        for number, (c, oc, k, stride, pad, dilation, group) in enumerate(
                ((3, 20, 3, 2, 1, 1, 1), (16, 24, 1, 1, 0, 1, 1), (8, 8, 3, 1, 1, 1, 8), (8, 12, 3, 1, 2, 2, 2), (5, 16, 1, 2, 0, 1, 1))):
            x, w, b = f32(batch, size, size, c), f32(oc, c // group, k, k), f32(oc)
            y = convolve(x, w, stride, pad, dilation, group)
            o = y.shape[1]
            r = f32(*y.shape)
            if group == c and oc == c:
                packed, mark = panels([w.reshape(oc, k * k).T]), packing("depthwise", oc, 1, k * k)
            else:
                per = oc // group
                packed = panels([w[i * per : (i + 1) * per].transpose(2, 3, 1, 0).reshape(-1, per) for i in range(group)], group)
                mark = packing("conv", per, c // group, k * k, group)
            ti, to = tensor(["s0", size, size, c], "f32"), tensor(["s0", o, o, oc], "f32")
            g.add(f"conv_{number}", "conv", [(["s0", size, size, c], "f32", x), ([oc, c // group, k, k], "f32", packed), ([oc], "f32", b), (["s0", o, o, oc], "f32", r)],
                  [(["s0", o, o, oc], "f32", (np.maximum(y + b, 0) + r).astype(np.float32))],
                  f"%c = graph.conv %a0, %a1 strides [{stride}, {stride}] pads [{pad}, {pad}, {pad}, {pad}] dilations [{dilation}, {dilation}] group {group} "
                  f"channels_last : ({ti}, tensor<{oc}x{c // group}x{k}x{k}xf32>) -> {to}\n" + epilogue("%c", "%a2", ["s0", o, o, oc]),
                  attrs=["", mark, "", ""], rtol=1e-5, atol=2e-5)
        x = f32(batch, size, size, 20)
        o = (size + 2 - 3) // 2 + 1
        p = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
        y = np.max([p[:, i : i + 2 * o - 1 : 2, j : j + 2 * o - 1 : 2] for i in range(3) for j in range(3)], 0)
        ti, to = tensor(["s0", size, size, 20], "f32"), tensor(["s0", o, o, 20], "f32")
        g.add("max_pool", "pool", [(["s0", size, size, 20], "f32", x)], [(["s0", o, o, 20], "f32", y)],
              f"%r = graph.pool max %a0 kernel [3, 3] strides [2, 2] pads [1, 1, 1, 1] dilations [1, 1] channels_last : {ti} -> {to}\ngraph.yield %r : {to}")
        groups.append(g)
    return groups


def heads():
    """Ropes and appends of one attention, read from the heads of one tensor: 2 of queries, 1 of keys, 1 of values."""
    groups = []
    for s, past in ((1, 0), (1, 5), (3, 4), (0, 2)):
        g = Group([("seq", 0, 4, s), ("past", 0, 8, past)])
        for width in (12, 64):
            x, angle = f32(2, s, 4, width), f32(1, s, width // 2)
            full = np.concatenate([angle, angle], -1)
            cos, sin = np.cos(full), np.sin(full)
            rotated = np.concatenate([-x[..., width // 2 :], x[..., : width // 2]], -1)
            roped = x * cos[:, :, None] + rotated * sin[:, :, None]
            capacity = [2, 1, 12, width]
            def appended(fresh, s=s, past=past):
                def check(got):
                    want = np.frombuffer(b"\xa5" * got.nbytes, np.float32).reshape(got.shape).copy()
                    want[:, :, past : past + s] = got[:, :, past : past + s]
                    close = np.allclose(got[:, :, past : past + s], fresh.transpose(0, 2, 1, 3), rtol=2e-6, atol=1e-6)
                    return "" if close and got.tobytes() == want.tobytes() else "the fresh rows are wrong, or others were touched"
                return check
            t = tensor([2, "s0", 4, width], "f32")
            tt, tq, tk = tensor([1, "s0", width], "f32"), tensor([2, "s0", 2, width], "f32"), tensor([2, "s0", 1, width], "f32")
            tf, tp, ta = tensor([2, 1, "s0", width], "f32"), tensor([2, 1, "s1", width], "f32"), tensor([2, 1, "s1 + s0", width], "f32")
            body = "\n".join(
                [f"%{n} = graph.slice %a0 offsets affine_map<() -> (0, 0, {at}, 0)> steps [1, 1, 1, 1] : {t} -> {to}"
                 for n, at, to in (("q", 0, tq), ("k", 2, tk), ("v", 3, tk))]
                + [f"%q1 = graph.rope %q bshd, %a1, %a2 : ({tq}, {tt}, {tt}) -> {tq}",
                   f"%k1 = graph.rope %k bshd, %a1, %a2 : ({tk}, {tt}, {tt}) -> {tk}",
                   f"%k2 = graph.transpose %k1 [0, 2, 1, 3] : {tk} -> {tf}",
                   f"%v1 = graph.transpose %v [0, 2, 1, 3] : {tk} -> {tf}",
                   f"%k3 = graph.append %a3, %k2 axis 2 : ({tp}, {tf}) -> {ta}",
                   f"%v2 = graph.append %a4, %v1 axis 2 : ({tp}, {tf}) -> {ta}",
                   f"graph.yield %q1, %k3, %v2 : {tq}, {ta}, {ta}"])
            physical = f"graph.physical = affine_map<() -> (2, 1, 12, {width})>"
            g.add(f"heads_{width}", "heads",
                  [([2, "s0", 4, width], "f32", x), ([1, "s0", width], "f32", cos), ([1, "s0", width], "f32", sin),
                   ([2, 1, "s1", width], "f32", f32(*capacity)), ([2, 1, "s1", width], "f32", f32(*capacity))],
                  [([2, "s0", 2, width], "f32", roped[:, :, :2])]
                  + [([2, 1, "s1 + s0", width], "f32", (np.zeros(capacity, np.float32), appended(fresh)))
                     for fresh in (roped[:, :, 2:3], x[:, :, 3:])],
                  body, attrs=["", "", "", physical, physical], atol=1e-6)
            # The same to states of quantised rows.
            size = row_bytes(width)
            tr, rows, state = tensor([2, 1, "s0", size], "i8"), [2, 1, 12, size], [2, 1, "s1", size]
            quantised = (body.replace(f"%a3, %k2 axis 2 : ({tp}, {tf})", f"%a3, %k9 axis 2 : ({tensor(state, 'i8')}, {tr})")
                         .replace(f"%a4, %v1 axis 2 : ({tp}, {tf})", f"%a4, %v9 axis 2 : ({tensor(state, 'i8')}, {tr})")
                         .replace(ta, tensor([2, 1, "s1 + s0", size], "i8"))
                         .replace("%k3 = ", f"%k9 = graph.quantise_rows %k2 : {tf} -> {tr}\n%v9 = graph.quantise_rows %v1 : {tf} -> {tr}\n%k3 = "))
            physical = f"graph.physical = affine_map<() -> (2, 1, 12, {size})>"
            g.add(f"heads_rows_{width}", "heads",
                  [([2, "s0", 4, width], "f32", x), ([1, "s0", width], "f32", cos), ([1, "s0", width], "f32", sin),
                   (state, "i8", np.zeros(rows, np.int8)), (state, "i8", np.zeros(rows, np.int8))],
                  [([2, "s0", 2, width], "f32", roped[:, :, :2])]
                  + [([2, 1, "s1 + s0", size], "i8", (np.zeros(rows, np.int8), appended_rows(fresh.transpose(0, 2, 1, 3), past)))
                     for fresh in (roped[:, :, 2:3], x[:, :, 3:])],
                  quantised, attrs=["", "", "", physical, physical], atol=1e-6)
        groups.append(g)
    return groups


TEMPLATES = {"heads": heads, "matmul": matmul, "attention": attention, "conv": conv, "math": math_functions, "flat": flat, "row": row, "column": column, "transpose": transpose, "gather": gather, "move": move,
             "rope": rope, "resize": resize}


def main():
    faults, count = [], 0
    for name in sys.argv[1:]:
        for group in TEMPLATES[name]():
            values = ",".join(str(v) for _, _, _, v in group.symbols)
            faults += [f"[{values}] {f}" for f in group.run()]
            count += len(group.cases)
    print("\n".join(faults))
    print(f"{count} kernels, {len(faults)} faults")
    return 1 if faults or not count else 0


if __name__ == "__main__":
    sys.exit(main())
