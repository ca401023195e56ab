# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks which folder includes which, and that the runtime's archives hold no symbol of the compiler's libraries.

    layering.py SOURCE BUILD
"""
import re
import subprocess
import sys
from pathlib import Path

COMPILER = ("frontend", "ir", "passes", "codegen", "tools")
FOREIGN = ("mlir", "llvm", "llvm-c", "mlir-c", "google", "onnx", "lld")
# What a folder's files must not include, as first parts of an include path; an exception is a longer prefix.
FORBIDDEN = {
    "kernels": (COMPILER + FOREIGN, ()),
    "runtime": (COMPILER + FOREIGN, ()),
    "passes/Solver": (FOREIGN + ("ir", "frontend", "codegen", "runtime"), ()),
    "passes/Cost": (FOREIGN + ("ir", "frontend", "codegen", "runtime"), ()),
    "ir": (("frontend", "passes", "codegen", "runtime", "google", "onnx"), ()),
    "frontend": (("passes", "codegen", "runtime"), ()),
    "passes": (("frontend", "codegen", "runtime", "google", "onnx"), ()),
    "codegen": (("frontend", "runtime", "google", "onnx"), ("runtime/format",)),
}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
SYMBOL = re.compile(r"\b(llvm|mlir|google::protobuf|onnx)::")


def includes(root):
    for folder, (forbidden, allowed) in FORBIDDEN.items():
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".h", ".c", ".cpp", ".cu", ".cuh"):
                continue
            for header in INCLUDE.findall(path.read_text(encoding="utf-8")):
                if header.split("/")[0] in forbidden and "/" in header and not header.startswith(allowed or "\0"):
                    yield f"{path.relative_to(root)} includes {header}"


def symbols(build):
    for archive in sorted(p for folder in ("runtime", "kernels") for p in (build / folder).rglob("*.a")):
        names = subprocess.run(["nm", "-C", str(archive)], capture_output=True, text=True, check=True).stdout
        for line in names.splitlines():
            # Names are looked at, their parameter types included.
            if SYMBOL.search(line):
                yield f"{archive.relative_to(build)}: {line.strip()}"
                break


def main():
    source, build = Path(sys.argv[1]), Path(sys.argv[2])
    faults = [*includes(source), *symbols(build)]
    print("\n".join(faults) if faults else "layering holds")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
