# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs the end-to-end tests and ends with the line `N passed, N failed[, N skipped]`."""
import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools" / "models"))

import zoo

import contrib
import decoders
import disk
import halves
import hostile
import matrix
import nodes
import quality
import release
import repeat
import session
from cli import Tools
from suite import Suite


OTHERS = ("session", "quality", "halves", "f16", "contrib", "decoders", "disk", "nodes", "repeat", "hostile", "release")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--bin", type=Path, required=True, metavar="DIR", help="folder of ciuicc and ciuic-run")
    p.add_argument("--models", metavar="NAME,…", help="only these: " + ", ".join([*zoo.MODELS, *OTHERS]) + "; "
                   "f16 is several models, MODEL-f16 one of them")
    much = p.add_mutually_exclusive_group()
    much.add_argument("--full", action="store_true", help="every case in every variant")
    much.add_argument("--short", action="store_true", help="for builds with sanitizers: each model at its first size and at 100 and "
                      "25 %% of its need, sessions at 25 %%, one repetition, no perplexities")
    p.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit report")
    p.add_argument("--rows", type=Path, metavar="FILE", help="write what was measured of models: errors, memory")
    p.add_argument("--turns", type=Path, metavar="FILE", help="where processes test side by side: programs run one at a time, in "
                   "turns by a lock on this file, so that each has the device alone")
    p.add_argument("--work", type=Path, metavar="DIR", help="keep programs and arrays here; else a folder that goes away")
    p.add_argument("--target", default="host", metavar="T", help="what programs are compiled for: host, or a GPU's "
                   "cuda or cuda:sm_90")
    p.add_argument("--generated", action="store_true", help="seeded weights where a package's are used else: needs no network")
    p.add_argument("--timeout", type=float, default=900, metavar="S", help="for one call of a tool")
    a = p.parse_args()
    known = [*zoo.MODELS, *OTHERS]
    halved = {f"{name}-f16": name for name in zoo.HALVED}
    chosen = a.models.split(",") if a.models else [name for name in known if not (a.short and name == "quality")]
    unknown = set(chosen) - set(known) - set(halved)
    if unknown:
        p.error("no such tests: " + ", ".join(sorted(unknown)))
    work = a.work or Path(tempfile.mkdtemp(prefix="ciuic-e2e-"))
    if a.generated:
        zoo.generate()
    suite, tools = Suite(), Tools(a.bin.resolve(), a.timeout, a.target, a.turns)
    try:
        for name in chosen:
            if name == "session":
                session.run_session(suite, tools, work / name, (25,) if a.short else matrix.PERCENTS)
            elif name == "quality":
                quality.run_quality(suite, tools, work / name)
            elif name == "f16":
                for model in zoo.HALVED:
                    matrix.run_model(suite, tools, zoo.halved(model), work / name / model, a.full, not a.full)
            elif name in halved:
                matrix.run_model(suite, tools, zoo.halved(halved[name]), work / name, a.full, not a.full)
            elif name == "halves":
                halves.run_halves(suite, tools, work / name)
            elif name == "contrib":
                contrib.run_contrib(suite, tools, work / name)
            elif name == "decoders":
                decoders.run_decoders(suite, tools, work / name)
            elif name == "disk":
                disk.run_disk(suite, tools, work / name)
            elif name == "nodes":
                nodes.run_nodes(suite, tools, work / name, a.full, a.short)
            elif name == "repeat":
                repeat.run_repeat(suite, tools, work / name, a.short)
            elif name == "hostile":
                hostile.run_hostile(suite, tools, work / name)
            elif name == "release":
                release.run_release(suite, tools, work / name, a.full)
            else:
                matrix.run_model(suite, tools, zoo.MODELS[name], work / name, a.full, a.short)
    finally:
        if not a.work:
            shutil.rmtree(work, ignore_errors=True)
        if a.junit:
            suite.write_junit(a.junit)
        if a.rows:
            a.rows.write_text(json.dumps(suite.rows, indent=1) + "\n")
    print(suite.summary())
    return 1 if suite.count("failed") else 0


if __name__ == "__main__":
    sys.exit(main())
