# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights that stay on the disk: SmolLM2's decode entry with ever less host memory has the same outputs to the bit, keeps to
what it says of memory, and takes about as long as the plan predicts of a disk of a known rate; damage is met and named."""
import json
import re
import shutil

import zoo

import packages
from cli import ToolError, check_budget
from suite import Failure, Skip, expect

ENTRY = "decode:batch_size=1,sequence_length=1,past_sequence_length=0..127"
VRAM = "35%"
PROFILE = {"host": "host-generic", "cuda": "h100"}  # the disk is the slowest part of any
RATE = 0.5  # 10^9 bytes/s, below what any disk gives


def hash_of(tools, program, *options):
    ran = tools.call("ciuic-run", program, "--seed", 3, *options)
    return ran, [o["hash"] for o in ran["outputs"]]


def run_disk(suite, tools, work):
    work.mkdir(parents=True, exist_ok=True)
    path, expected, programs = None, None, {}
    kind = tools.target.split(":")[0]
    with suite.case("disk: without a bound on host memory"):
        try:
            path = zoo.MODELS["smollm2"].path()
        except packages.Unavailable as e:
            raise Skip(str(e)) from None
        compiled = tools.compile(path, work / "memory.ciuic", [ENTRY], VRAM)
        ran, expected = hash_of(tools, work / "memory.ciuic")
        expect(compiled["disk_bytes"] == 0 and ran["copied_bytes"]["disk"] == 0 and ran["disk_mode"] is None,
               "bytes came from the disk")
    if expected is None:
        return
    for size in ("100M", "0"):
        with suite.case(f"disk: {size} of host memory"):
            program = work / f"{size}.ciuic"
            compiled = tools.compile(path, program, [ENTRY], VRAM, ["--host-memory", size])
            expect(compiled["disk_bytes"] > 0, "nothing is on the disk")
            for options in ((), ("--buffered-disk",), ("--threads", 1) if kind == "host" else ("--trace", work / "trace.json"), ("--disk-gbps", RATE)):
                ran, found = hash_of(tools, program, *options)
                expect(found == expected, f"{options}: outputs differ from those with all weights in memory")
                expect(ran["copied_bytes"]["disk"] > 0 and ran["disk_mode"], f"{options}: nothing came from the disk")
                check_budget(compiled, ran)
            programs[size] = program
    with suite.case("disk: the time of a pass at a known rate"):
        expect("0" in programs, "there is no program")
        profile = json.loads((zoo.packages.REPOSITORY / "passes" / "Cost" / "profiles" / f"{PROFILE[kind]}.json").read_text())
        profile["disk_gbps"] = RATE
        (work / "profile.json").write_text(json.dumps(profile))
        program = work / "paced.ciuic"
        tools.compile(path, program, [ENTRY], VRAM, ["--host-memory", "0", "--profile", work / "profile.json"])
        ran, found = hash_of(tools, program, "--disk-gbps", RATE, "--iterations", 3, "--warmup", 1)
        expect(found == expected, "outputs differ")
        measured, predicted = ran["latency_ms"]["median"], ran["predicted_ms"]
        expect(0.85 <= measured / predicted <= 1.35, f"{measured:.1f} ms, predicted {predicted:.1f} ms")
    with suite.case("disk: damage is met where it is read"):
        expect("0" in programs, "there is no program")
        shutil.copy(programs["0"], work / "damaged.ciuic")
        size = (work / "damaged.ciuic").stat().st_size
        # In the weights of the middle layers, which are on the disk: a session opens, and a run fails.
        with open(work / "damaged.ciuic", "r+b") as f:
            for at in range(size // 4, size * 3 // 4, 4 << 20):
                f.seek(at)
                byte = f.read(1)
                f.seek(at)
                f.write(bytes([byte[0] ^ 1]))
        try:
            tools.call("ciuic-run", work / "damaged.ciuic")
        except ToolError as e:
            expect(e.error["code"] == "format.F10" and re.search(r"weight page \d+", e.error["message"]), str(e))
        else:
            raise Failure("a damaged program ran")
    for program in programs.values():
        program.unlink(missing_ok=True)
