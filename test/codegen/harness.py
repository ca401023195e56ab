# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiles graph.kernel text with ciuic-kernels, calls the functions through ctypes and compares with numpy.

A kernel runs three times: all units at once, one unit a call in reverse, and on odd splits; the results must be the
same bits. Guards around every result and the scratch catch stray writes.
"""
import ctypes
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

GUARD = 256


def bf16(x):
    """float array rounded to bf16, as uint16."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(u):
    return (u.astype(np.uint32) << 16).view(np.float32)


def tensor(dims, element, symbols=()):
    """The type's text; a dim is a number or an expression of the symbols s0, s1, …"""
    shape = "x".join("?" if isinstance(d, str) else str(d) for d in dims)
    shape = shape + "x" if shape else ""
    if not any(isinstance(d, str) for d in dims):
        return f"tensor<{shape}{element}>"
    count = 1 + max(int(s) for d in dims if isinstance(d, str) for s in re.findall(r"s(\d+)", d))
    names = ", ".join(f"s{i}" for i in range(count))
    return f"tensor<{shape}{element}, affine_map<()[{names}] -> ({', '.join(str(d) for d in dims)})>>"


class Group:
    """Kernels compiled together, for one choice of symbols: [(name, lower, upper, value), …]."""

    def __init__(self, symbols=()):
        self.symbols = list(symbols)
        self.cases = []

    def add(self, name, template, inputs, outputs, body, attrs=None, rtol=2e-6, atol=0.0):
        """inputs: [(dims, element, array)], outputs: [(dims, element, expected)]; the body names operands %a0, %a1, …
        and ends in graph.yield. An expected array may be a pair (array, checker)."""
        self.cases.append((name, template, inputs, outputs, body, attrs, rtol, atol))

    def text(self):
        names = ", ".join(f'#graph.symbol<"{n}", {lo}, {hi}>' for n, lo, hi, _ in self.symbols)
        syms = ", ".join(f"s{i}" for i in range(len(self.symbols)))
        kernels = []
        for name, template, inputs, outputs, body, attrs, _, _ in self.cases:
            ins = ", ".join(tensor(d, e) for d, e, _ in inputs)
            outs = ", ".join(tensor(d, e) for d, e, _ in outputs)
            arguments = ", ".join(f"%a{i}: {tensor(d, e)}" for i, (d, e, _) in enumerate(inputs))
            marks = f"args [{', '.join('{' + a + '}' for a in attrs)}] " if attrs else ""
            kernels.append(
                f"graph.kernel {template} @{name} ({ins}) -> ({outs}) grid affine_map<()[{syms}] -> (1)> scratch 0 "
                f"symbols [{names}] {marks}{{\n^bb0({arguments}):\n{body}\n}}\n"
            )
        return "\n".join(kernels)

    def run(self, tool="ciuic-kernels"):
        with tempfile.TemporaryDirectory() as folder:
            source, library = Path(folder) / "k.mlir", Path(folder) / "k.so"
            source.write_text(self.text())
            values = [str(v) for _, _, _, v in self.symbols]
            done = subprocess.run([tool, str(source), str(library), *values], capture_output=True, text=True)
            if done.returncode != 0:
                raise SystemExit(f"{self.text()}\nciuic-kernels: status {done.returncode}: {done.stderr}")
            print(done.stderr.strip())
            geometry = {}
            for line in done.stdout.splitlines():
                name, *numbers = line.split()
                geometry[name] = [int(n) for n in numbers]
            faults = []
            variants = [library]
            flags = Path("/proc/cpuinfo").read_text()
            if all(f in flags for f in ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd")):
                variants.append(Path(str(library) + ".v4"))
            bits = {}
            for variant in variants:
                code = ctypes.CDLL(str(variant))
                for case in self.cases:
                    found, seen = check(code, case, geometry[case[0]], [v for _, _, _, v in self.symbols])
                    faults += found
                    if bits.setdefault(case[0], seen) != seen:
                        faults.append(f"{case[0]}: the variants differ")
            return faults


class Guarded:
    """Zeroed bytes with guards on both sides, 64-byte aligned."""

    def __init__(self, size, fill=0xA5):
        self.raw = np.full(size + 2 * GUARD + 64, 0x5C, dtype=np.uint8)
        self.start = GUARD + (-(self.raw.ctypes.data + GUARD)) % 64
        self.size = size
        self.bytes[:] = fill

    @property
    def bytes(self):
        return self.raw[self.start : self.start + self.size]

    @property
    def address(self):
        return self.raw.ctypes.data + self.start

    def intact(self):
        return bool(np.all(self.raw[: self.start] == 0x5C) and np.all(self.raw[self.start + self.size :] == 0x5C))


def check(code, case, geometry, dims):
    name, _, inputs, outputs, _, _, rtol, atol = case
    units, scratch, *params = geometry
    function = getattr(code, name)
    function.restype = None
    function.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int64] * 2 + [ctypes.c_void_p]
    faults = []
    operands = []
    for _, _, array in inputs:
        data = np.ascontiguousarray(array)
        buffer = Guarded(data.nbytes)
        buffer.bytes[:] = data.view(np.uint8).reshape(-1) if data.size else 0
        operands.append(buffer)
    dims_block = (ctypes.c_int64 * max(1, len(dims)))(*dims)
    params_block = (ctypes.c_int64 * max(1, len(params)))(*params)
    seen = []
    for splits in ([(0, units)], [(u, u + 1) for u in reversed(range(min(units, 4000)))] + ([(4000, units)] if units > 4000 else []),
                   [(0, units // 3), (units // 3, units)]):
        results = [Guarded(np.ascontiguousarray(e[0] if isinstance(e, tuple) else e).nbytes) for _, _, e in outputs]
        work = Guarded(scratch)
        pointers = [b.address for b in operands + results]
        block = (ctypes.c_void_p * len(pointers))(*pointers)
        for begin, end in splits:
            function(block, dims_block, params_block, begin, end, work.address)
        for b in operands + results + [work]:
            if not b.intact():
                faults.append(f"{name}: writes outside its buffers")
        seen.append([bytes(r.bytes) for r in results])
    if any(s != seen[0] for s in seen):
        faults.append(f"{name}: results depend on how units are split")
    if len(params) == 4 and len(outputs) == 1:
        faults += check_columns(function, case, geometry, operands, dims_block, seen[0][0])
    for number, ((_, element, expected), raw) in enumerate(zip(outputs, seen[0])):
        checker = None
        if isinstance(expected, tuple):
            expected, checker = expected
        got = np.frombuffer(raw, dtype=np.ascontiguousarray(expected).dtype).reshape(np.shape(expected))
        text = compare(got, expected, element, rtol, atol) if checker is None else checker(got)
        if text:
            faults.append(f"{name} result {number}: {text}")
    return faults, [canonical(raw, element) for (_, element, _), raw in zip(outputs, seen[0])]


def check_columns(function, case, geometry, operands, dims_block, whole):
    """Columns of the result that are computed alone and stored side by side are those of the whole result, bit for bit."""
    name, outputs = case[0], case[3]
    units, scratch, _, panels, _, columns = geometry
    expected = outputs[0][2]
    whole = np.frombuffer(whole, np.ascontiguousarray(expected).dtype).reshape(-1, columns)
    faults = []
    for first, end in ((0, 1), (1, panels), (panels - 1, panels)):
        if first >= end or not len(whole):
            continue
        column, width = 16 * first, min(16 * end, columns) - 16 * first
        tile, work = Guarded(whole.shape[0] * width * whole.itemsize), Guarded(scratch)
        weight = operands[1].address + operands[1].size // panels * first
        pointers = [b.address for b in operands] + [tile.address]
        pointers[1] = weight
        block = (ctypes.c_void_p * len(pointers))(*pointers)
        params = (ctypes.c_int64 * 4)(first, end, column, width)
        function(block, dims_block, params, 0, units // -(-panels // 4) * -(-(end - first) // 4), work.address)
        if not tile.intact() or not work.intact():
            faults.append(f"{name}: columns {column} to {column + width} alone: writes outside its buffers")
        if tile.bytes.tobytes() != np.ascontiguousarray(whole[:, column : column + width]).tobytes():
            faults.append(f"{name}: columns {column} to {column + width} alone: other bits")
    return faults


def canonical(raw, element):
    """The bytes with every NaN the same: its sign and payload are no part of a result."""
    if element not in ("f32", "f16"):
        return raw
    values = np.frombuffer(raw, np.float32 if element == "f32" else np.float16).copy()
    values[np.isnan(values)] = np.nan
    return values.tobytes()


def compare(got, expected, element, rtol, atol):
    if element == "bf16":
        got, expected = from_bf16(got), from_bf16(expected)
    if element not in ("f32", "f16", "bf16", "f64"):
        bad = got != expected
        return f"{bad.sum()} of {bad.size} differ, first {got[bad][:4]} not {expected[bad][:4]}" if bad.any() else ""
    g, e = got.astype(np.float64), np.asarray(expected).astype(np.float64)
    with np.errstate(invalid="ignore"):
        close = (np.abs(g - e) <= atol + rtol * np.abs(e)) | (g == e) | (np.isnan(g) & np.isnan(e))
    if close.all():
        return ""
    bad = ~close
    at = np.argwhere(bad)[0]
    return f"{bad.sum()} of {bad.size} differ, first at {tuple(at)}: {g[bad][0]!r} not {e[bad][0]!r}"
