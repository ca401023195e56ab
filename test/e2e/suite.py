# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Counts test cases, prints one line for each, and writes a JUnit report."""
import contextlib
import time
import traceback
import xml.etree.ElementTree as xml


class Failure(Exception):
    """A case that does not hold; its text says what was expected and what was found."""


class Skip(Exception):
    """A case that cannot be tried here; its text says why."""


def expect(condition, text):
    if not condition:
        raise Failure(text)


class Suite:
    def __init__(self):
        self.cases = []  # (name, "passed" | "failed" | "skipped", text, seconds)
        self.rows = []  # what models were measured to be

    @contextlib.contextmanager
    def case(self, name):
        """One case: passes unless its body raises. The exception stops here, so that later cases run."""
        begin, state, text = time.monotonic(), "passed", ""
        try:
            yield
        except Skip as e:
            state, text = "skipped", str(e)
        except Failure as e:
            state, text = "failed", str(e)
        except Exception:  # a fault of the test itself must not hide the cases after it
            state, text = "failed", traceback.format_exc()
        seconds = time.monotonic() - begin
        self.cases.append((name, state, text, seconds))
        print(f"{state:8}{name} ({seconds:.1f} s)" + (f": {text}" if text else ""), flush=True)

    def measured(self, workload, variant, compiled, ran, error):
        """Notes a run of a program as a row of results. It is a process's first run, so its time says nothing."""
        self.rows.append({"workload": workload, "system": "ciuic", "variant": variant, "process_device_bytes": ran["process_device_bytes"],
                          "budget_bytes": ran["budget_bytes"], "predicted_bytes": compiled["peak_bytes"], "error": error})

    def count(self, state):
        return sum(1 for c in self.cases if c[1] == state)

    def summary(self):
        skipped = self.count("skipped")
        return (f"{self.count('passed')} passed, {self.count('failed')} failed"
                + (f", {skipped} skipped" if skipped else ""))

    def write_junit(self, path):
        root = xml.Element("testsuite", name="e2e", tests=str(len(self.cases)))
        for name, state, text, seconds in self.cases:
            case = xml.SubElement(root, "testcase", name=name, time=f"{seconds:.3f}")
            if state == "failed":
                xml.SubElement(case, "failure").text = text
            elif state == "skipped":
                xml.SubElement(case, "skipped", message=text)
        xml.ElementTree(root).write(path)
