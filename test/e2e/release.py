# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The released form of the tools: what they need of the system, and how large the compiler is. Skipped for a build that
links LLVM's shared library."""
import lzma
import re
import subprocess

from suite import Skip, expect

SYSTEM = re.compile(r"^(libc|libm)\.so\.6$|^ld-linux")
STRIPPED, PACKED = 96 << 20, 28 << 20


def needed(path):
    out = subprocess.run(["readelf", "-d", str(path)], capture_output=True, text=True, check=True).stdout
    return re.findall(r"\(NEEDED\).*\[(.+)\]", out)


def run_release(suite, tools, work, full):
    work.mkdir(parents=True, exist_ok=True)
    compiler, runner = tools.folder / "ciuicc", tools.folder / "ciuic-run"
    shared = any("LLVM" in n or "MLIR" in n for n in needed(compiler))
    for tool in (compiler, runner):
        with suite.case(f"release: {tool.name} needs libc and libm alone"):
            if shared:
                raise Skip("a build against shared libraries")
            others = [n for n in needed(tool) if not SYSTEM.match(n)]
            expect(not others, f"needs {others}")
    with suite.case("release: size of ciuicc"):
        if shared:
            raise Skip("a build against shared libraries")
        stripped = work / "ciuicc"
        subprocess.run(["strip", "-o", str(stripped), str(compiler)], check=True)
        size = stripped.stat().st_size
        expect(size <= STRIPPED, f"{size} bytes stripped, at most {STRIPPED}")
        if full:
            packed = len(lzma.compress(stripped.read_bytes(), preset=6))
            expect(packed <= PACKED, f"{packed} bytes after xz, at most {PACKED}")
