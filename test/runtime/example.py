# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks what the example said, and the shared library it runs on.

    example.py MODEL SAID LIBRARY
"""
import re
import subprocess
import sys

import numpy as np
import onnxruntime

model, said, library = sys.argv[1:]
text = open(said, encoding="utf-8").read()
print(text)
truth = onnxruntime.InferenceSession(model).run(None, {"x": np.ones((1, 256), np.float32)})[0]
assert abs(float(re.search(r"^y: (\S+), ", text, re.M)[1]) - truth[0, 0]) < 1e-3, truth[0, 0]
taken, allowed = map(int, re.search(r"(\d+) bytes of the device, of (\d+) allowed", text).groups())
assert 0 < taken <= allowed < 4 * 256 * 1024, (taken, allowed)  # half of the need, which is above the weights' 1 MiB

symbols = subprocess.run(["llvm-nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
names = [line.split()[-1] for line in symbols.splitlines()]
assert names and all(n.startswith("ciuic_") for n in names), [n for n in names if not n.startswith("ciuic_")][:5]
header = open(f"{sys.path[0]}/../../runtime/include/ciuic/ciuic.h", encoding="utf-8").read()
declared = set(re.findall(r"\b(ciuic_\w+)\(", header))
assert declared == set(names), declared ^ set(names)
needed = subprocess.run(["llvm-readelf", "-d", library], capture_output=True, text=True, check=True).stdout
others = [n for n in re.findall(r"NEEDED.*\[(.+)\]", needed) if not re.match(r"libc\.so|libm\.so|ld-linux", n)]
assert not others, others
