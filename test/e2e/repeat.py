# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The same model and options make the same program, to the byte: from run to run and for any number of threads."""
import hashlib

import packages
import zoo

from suite import Skip, expect

# One transformer and one convolutional network, both at a budget at which weights are streamed.
MODELS = ("paraphrase-minilm-l3", "magika-v3.3")
THREADS = (1, 2, 4, 4)
SHORT = (1, 4)


def run_repeat(suite, tools, work, short):
    work.mkdir(parents=True, exist_ok=True)
    counts = SHORT if short else THREADS
    for name in MODELS:
        with suite.case(f"repeat: {name} with " + ", ".join(f"-j {n}" for n in counts)):
            model = zoo.MODELS[name]
            try:
                path = model.path()
            except packages.Unavailable as e:
                raise Skip(str(e)) from None
            digests = []
            for threads in counts:
                program = work / "program.ciuic"
                program.unlink(missing_ok=True)
                tools.compile_nearest(path, program, model.entries, "50%", [*model.options, "-j", str(threads)])
                digests.append(hashlib.sha256(program.read_bytes()).hexdigest())
            program.unlink()
            expect(len(set(digests)) == 1, f"the programs differ: {digests}")
