# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every model at two sizes of each dynamic dim and at three budgets: outputs agree with onnxruntime, are bit-identical
from budget to budget, and the memory taken is the memory predicted. Then without raising and without fusion."""
import numpy as np
import packages

import reference
from cli import check_budget, relative_error
from suite import Skip, expect

PERCENTS = (100, 50, 25)


def label(case):
    return "x".join(str(n) for n in case.values())


def run_model(suite, tools, model, work, full=False, short=False):
    """`full`: all sizes without raising and fusion too; `short`: one size, and the budgets at both ends."""
    work.mkdir(parents=True, exist_ok=True)
    references = []

    def compare(program, compiled, name, case, inputs, wanted):
        narrow = {k: v.astype(np.float16) if model.exact and v.dtype == np.float32 else v for k, v in inputs.items()}
        ran, found = tools.run(program, work / "io", narrow, list(wanted))
        worst = 0.0
        for output, array in wanted.items():
            wide = model.exact and found[output].dtype == np.float16
            error = relative_error(found[output].astype(np.float32) if wide else found[output], array)
            expect(error <= model.tolerance,
                   f"{output}: relative error {error:.2e}, at most {model.tolerance:.0e} is allowed")
            worst = max(worst, error)
        suite.measured(f"{model.name} {label(case)}", name, compiled, ran, worst)
        check_budget(compiled, ran)
        return {o["name"]: o["hash"] for o in ran["outputs"]}

    with suite.case(f"{model.name}: reference"):
        try:
            path = model.path()
        except packages.Unavailable as e:
            raise Skip(str(e)) from None
        exact = model.exact() if model.exact else path
        references = [(case, model.inputs(case), reference.outputs(exact, model.inputs(case))) for case in model.cases[:1 if short else None]]
    if not references:
        return

    hashes = {}
    for percent in (PERCENTS[0], PERCENTS[-1]) if short else PERCENTS:
        program, compiled = work / f"{percent}.ciuic", None
        program.unlink(missing_ok=True)
        with suite.case(f"{model.name}: compile at {percent} %"):
            compiled = tools.compile_nearest(path, program, model.entries, f"{percent}%", model.options)
        for case, inputs, wanted in references:
            with suite.case(f"{model.name}: {label(case)} at {percent} %"):
                expect(compiled, "was not compiled")
                found = compare(program, compiled, f"{percent} %", case, inputs, wanted)
                first = hashes.setdefault(label(case), found)
                expect(found == first, f"outputs differ from those at 100 %: {found}, {first}")
        program.unlink(missing_ok=True)

    for option in ("--disable-raise", "--disable-fusion"):
        with suite.case(f"{model.name}: {option}"):
            program = work / "plain.ciuic"
            compiled = tools.compile(path, program, model.entries, None, [*model.options, option])
            for case, inputs, wanted in references if full else references[:1]:
                compare(program, compiled, option, case, inputs, wanted)
            program.unlink()
