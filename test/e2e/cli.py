# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Calls ciuicc and ciuic-run as a user would: options in, one JSON object out."""
import contextlib
import fcntl
import json
import os
import re
import subprocess
import sys

import numpy as np

from suite import Failure, expect

GRANULE = 64 << 10  # budgets are told in steps of this many bytes


class ToolError(Failure):
    """A tool refused: its exit status, and the error object of its JSON."""

    def __init__(self, text, status, error):
        super().__init__(text)
        self.status, self.error = status, error


class Tools:
    def __init__(self, folder, timeout=900, target="host", turns=None):
        self.folder, self.timeout, self.target, self.turns = folder, timeout, target, turns
        # The tools look for what set-up brought where a Python environment is active.
        self.environment = dict(os.environ)
        if sys.prefix != sys.base_prefix:
            self.environment.setdefault("VIRTUAL_ENV", sys.prefix)

    @contextlib.contextmanager
    def turn(self, tool):
        """Programs of all processes that share the file `turns` run one at a time: each has the device alone."""
        if tool != "ciuic-run" or not self.turns:
            yield
            return
        with open(self.turns, "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def call(self, tool, *arguments):
        """The tool's JSON object; ToolError if it refuses, Failure if it breaks the contract of its output."""
        command = [str(self.folder / tool), *map(str, arguments), "--json"]
        line = " ".join(command)
        try:
            with self.turn(tool):
                done = subprocess.run(command, capture_output=True, text=True, timeout=self.timeout, env=self.environment)
        except subprocess.TimeoutExpired:
            raise Failure(f"{line}: no end after {self.timeout} s") from None
        except OSError as e:
            raise Failure(f"{line}: {e}") from None
        if done.returncode < 0 or done.returncode > 63:
            raise Failure(f"{line}: exit status {done.returncode}\n{done.stderr[-2000:]}")
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            raise Failure(f"{line}: stdout is not one JSON object (exit status {done.returncode}): "
                          f"{done.stdout[:300]!r}\n{done.stderr[-2000:]}") from None
        if done.returncode == 0:
            return answer
        error = answer.get("error")
        expect(isinstance(error, dict) and {"class", "code", "message"} <= set(error),
               f"{line}: exit status {done.returncode} without an error object: {done.stdout[:300]}")
        expect(done.stderr.strip() != "", f"{line}: an error, and nothing on stderr")
        raise ToolError(f"{line}: {error['message']}", done.returncode, error)

    def compile(self, model, program, entries, vram=None, options=()):
        arguments = [model, "-o", program, "--target", self.target, *options]
        for entry in entries:
            arguments += ["--entry", entry]
        if vram is not None:
            arguments += ["--vram", vram]
        return self.call("ciuicc", *arguments)

    def compile_nearest(self, model, program, entries, vram, options=()):
        """Compiles for vram, or, where that is too small, for the nearest budget that the compiler names."""
        try:
            return self.compile(model, program, entries, vram, options)
        except ToolError as e:
            nearest = e.error.get("nearest_budget_bytes")
            if not nearest:
                raise
            said = re.search(r"nearest budget that fits: (\d+)K", e.error["message"])
            expect(said and int(said[1]) * 1024 == nearest,
                   f"the message does not name the nearest budget of {nearest} bytes: {e.error['message']}")
            expect(not program.exists(), f"{program} was written although the budget is infeasible")
        answer = self.compile(model, program, entries, f"{nearest // 1024}K", options)
        short = program.with_suffix(".short")
        try:
            self.compile(model, short, entries, str(nearest - GRANULE), options)
        except ToolError:
            return answer
        raise Failure(f"{nearest} bytes was named as the nearest budget, and {GRANULE} less compiles too")

    def run(self, program, folder, inputs, outputs, options=()):
        """Runs once with the arrays of inputs; the JSON, and {name: array} of the outputs asked for."""
        folder.mkdir(parents=True, exist_ok=True)
        arguments = [program, *options]
        for i, (name, array) in enumerate(inputs.items()):
            path = folder / f"in{i}.npy"
            np.save(path, array)
            arguments += ["--input", f"{name}=@{path}"]
        paths = {name: folder / f"out{i}.npy" for i, name in enumerate(outputs)}
        for name, path in paths.items():
            path.unlink(missing_ok=True)
            arguments += ["--output", f"{name}=@{path}"]
        answer = self.call("ciuic-run", *arguments)
        return answer, {name: np.load(path) for name, path in paths.items()}


def relative_error(found, wanted):
    """||found - wanted|| / ||wanted||, and exact equality for integers (0 or infinity)."""
    expect(found.shape == wanted.shape, f"shape {found.shape}, expected {wanted.shape}")
    expect(found.dtype == wanted.dtype, f"type {found.dtype}, expected {wanted.dtype}")
    if wanted.dtype.kind != "f":
        return 0.0 if np.array_equal(found, wanted) else float("inf")
    a, b = found.astype(np.float64).reshape(-1), wanted.astype(np.float64).reshape(-1)
    if not np.isfinite(a).all():
        return float("inf")
    norm = np.linalg.norm(b)
    return float(np.linalg.norm(a - b) / norm) if norm else float(np.linalg.norm(a))


def check_budget(compiled, ran):
    """What the compiler promised of memory is what the run took."""
    expect(ran["peak_device_bytes"] <= ran["budget_bytes"],
           f"peak {ran['peak_device_bytes']} is above the budget {ran['budget_bytes']}")
    # A GPU's run counts what context, code and libraries were measured to take; the plan has a reserve for them.
    measured, planned = ran["peak_device_bytes"], compiled["peak_bytes"]
    expect(measured == planned if ran["device"] == "host" else measured <= planned,
           f"peak {measured}, predicted {planned}")
    held = ran["process_device_bytes"]
    expect(held is None or held <= ran["budget_bytes"], f"the process held {held} of {ran['budget_bytes']}")
    expect(compiled["peak_bytes"] <= compiled["budget_bytes"],
           f"predicted peak {compiled['peak_bytes']} is above the budget {compiled['budget_bytes']}")
