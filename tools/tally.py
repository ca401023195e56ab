# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Prints `passed failed skipped` of a JUnit report as ctest, lit and the end-to-end tests write it; zeros without one."""
import sys
import xml.etree.ElementTree as xml
from pathlib import Path


def tally(path):
    passed = failed = skipped = 0
    if Path(path).exists():
        for case in xml.parse(path).getroot().iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
            elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
                skipped += 1
            else:
                passed += 1
    return passed, failed, skipped


if __name__ == "__main__":
    print(*tally(sys.argv[1]))
