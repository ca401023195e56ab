# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Prints a device profile with algorithms for products of 64 rows by a weight of 128 x 256."""
import json
import sys
from pathlib import Path

profile = json.loads(Path(sys.argv[1]).read_text())
product = {"epilogue": 0, "rows": 64, "columns": 256, "depth": 128}
profile["algorithms"] = [{"format": "bf16", **product, "choice": 3}, {"format": "f16", **product, "epilogue": 2, "choice": 4},
                         {"format": "f16", **product, "choice": 5}]
print(json.dumps(profile))
