# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Lists what no case of test/ir/*/invalid.mlir shows: a labelled constraint of an operation (its description in the .td
has `(C1)`), and a labelled message of a verifier.

    labels.py SOURCE

A case shows a constraint by an expected error that stands directly before the operation and has the label; where a
trait words the error, by a comment `// (C1): …` above it.
"""
import re
import sys
from pathlib import Path

LABEL = re.compile(r"\(([A-Z]\d+)\)")
OPERATION = re.compile(r'^def \w+ : \w+<"(\w+)"(.*?)^}', re.MULTILINE | re.DOTALL)
# The first string of a diagnostic; a literal may go on in the next line.
MESSAGE = re.compile(r'(?:emitOpError|emitError)\((?:\))?(?:\s*<<)?\s*((?:"(?:[^"\\]|\\.)*"\s*)+)')
EXPECTED = re.compile(r"//\s*expected-error\s*@[^{]*\{\{(.*)\}\}")


def labels_of(folder, namespace):
    """(operation, label) of every labelled constraint that an operation's description states."""
    for td in sorted(folder.glob("*.td")):
        for name, text in OPERATION.findall(td.read_text(encoding="utf-8")):
            for label in sorted(set(LABEL.findall(text))):
                yield f"{namespace}.{name}", label


def messages_of(folder):
    """The constant beginning of every labelled diagnostic."""
    for source in sorted(folder.glob("*.cpp")):
        for literals in MESSAGE.findall(source.read_text(encoding="utf-8")):
            text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', literals)).replace('\\"', '"')
            if LABEL.match(text):
                yield text


def shown_in(cases, namespace):
    """(operation, label) that the cases show, and the text of their expected errors."""
    shown, texts, pending = set(), [], []
    operation = re.compile(r"(?<![\w#!@])" + namespace + r"\.(\w+)")
    for line in cases.read_text(encoding="utf-8").splitlines():
        expected = EXPECTED.search(line)
        if expected:
            texts.append(expected.group(1))
            pending += LABEL.findall(expected.group(1))
        elif line.lstrip().startswith("// ("):
            pending += LABEL.findall(line)
        elif pending and not line.lstrip().startswith("//"):
            found = operation.search(line)
            if found:
                shown.update((f"{namespace}.{found.group(1)}", label) for label in pending)
            pending = []
    return shown, texts


def main():
    root = Path(sys.argv[1])
    faults, count = [], 0
    for folder in sorted(p for p in (root / "ir").iterdir() if p.is_dir()):
        namespace, cases = folder.name.lower(), root / "test" / "ir" / folder.name / "invalid.mlir"
        wanted, messages = list(labels_of(folder, namespace)), list(messages_of(folder))
        shown, texts = shown_in(cases, namespace) if cases.exists() else (set(), [])
        faults += [f"{op} ({label}) has no case in {cases.relative_to(root)}" for op, label in wanted if (op, label) not in shown]
        faults += [f"no case in {cases.relative_to(root)} expects '{m}'" for m in sorted(set(messages))
                   if not any(m.rstrip() in text for text in texts)]
        # A label that only a verifier or only a description knows is a slip of one of them.
        stated = {label for td in folder.glob("*.td") for label in LABEL.findall(td.read_text(encoding="utf-8"))}
        thrown = {LABEL.match(m).group(1) for m in messages}
        faults += [f"{folder.name}: the verifiers' ({label}) is in no description" for label in sorted(thrown - stated)]
        count += len(wanted)
    if count < 60:
        faults.append(f"only {count} labelled constraints found under ir/: the descriptions are no longer read as they are written")
    print("\n".join(faults) if faults else f"{count} labelled constraints have cases")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
