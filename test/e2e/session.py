# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""SmolLM2 as a session: the key/value cache is state that stays in the program's arena, a run advances it, and the
state of one process goes on in the next through --state-out and --state-in."""
import numpy as np
import packages
import zoo

import language
from cli import check_budget, relative_error
from suite import Skip, expect

# Lengths of successive runs: a prompt, single tokens, a second prompt after them, a token again.
RUNS = (44, 1, 1, 20, 1)


def conversation():
    """[(ids, past)] of the runs."""
    rng, past, runs = np.random.default_rng(44), 0, []
    for n in RUNS:
        runs.append((rng.integers(17, 49152, n).tolist(), past))
        past += n
    return runs


def run_session(suite, tools, work, percents):
    work.mkdir(parents=True, exist_ok=True)
    model, wanted = zoo.MODELS["smollm2"], []
    with suite.case("smollm2 session: reference"):
        try:
            path = model.path()
        except packages.Unavailable as e:
            raise Skip(str(e)) from None
        wanted = language.Reference(path).logits([ids for ids, _ in conversation()])
    if not wanted:
        return
    hashes = {}
    for percent in percents:
        program, compiled, broken = work / f"{percent}.ciuic", None, False
        program.unlink(missing_ok=True)
        with suite.case(f"smollm2 session: compile at {percent} %"):
            compiled = tools.compile_nearest(path, program, zoo.SMOLLM2_ENTRIES, f"{percent}%")
            broken = {e["name"] for e in compiled["entries"]} != {"prefill", "decode"}
            expect(not broken, f"entries {compiled['entries']}")
            # The logits of four prompts, 192 MiB, are more than a quarter of the need holds beside the state: they
            # leave the arena while they are made, on the host.
            reached = tools.target != "host" or compiled["budget_bytes"] <= compiled["need_bytes"] * percent / 100 + 65536
            expect(reached, f"{compiled['budget_bytes']} bytes are more than {percent} % of {compiled['need_bytes']}")
        for i, (ids, past) in enumerate(conversation()):
            with suite.case(f"smollm2 session: run {i}, {len(ids)} tokens after {past}, at {percent} %"):
                expect(compiled and not broken, "the program or an earlier run is missing")
                broken = True
                options = ["--state-out", work / f"state{i}"]
                if i > 0:
                    options += ["--state-in", work / f"state{i - 1}"]
                ran, found = tools.run(program, work / "io", language.feeds(ids, past), ["logits"], options)
                broken = False
                error = relative_error(found["logits"], wanted[i])
                limit = zoo.MODELS["smollm2"].tolerance
                expect(error <= limit, f"logits: relative error {error:.2e}, at most {limit:.0e} is allowed")
                suite.measured(f"smollm2 session, {len(ids)} tokens after {past}", f"{percent} %", compiled, ran, error)
                check_budget(compiled, ran)
                answer = {o["name"]: o["hash"] for o in ran["outputs"]}
                expect(set(answer) == {"logits"}, f"outputs {sorted(answer)}: the cache is state, not an output")
                expect(answer == hashes.setdefault(i, answer), f"{answer} differs from {hashes[i]} at {percents[0]} %")
        program.unlink(missing_ok=True)
