# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks the pages: IR is quoted from a lit test and code from where it stands, links lead somewhere, every pass is described
and has a test, every error code and decision is listed, every folder has its README, the operators are as many as the
front page says.

    docs.py SOURCE
"""
import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"(?:<!-- from (\S+) -->\n)?^[ \t]*```(?:mlir|cpp)\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)")
FENCE = re.compile(r"^[ \t]*```.*?^[ \t]*```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r'[{"\[](?P<code>(?:usage|input|unsupported|infeasible|environment)\.[a-z][a-z-]+)["\]]')
FOLDERS = ("frontend", "ir", "passes", "codegen", "runtime", "kernels", "test", "tools", "docs")


def pages(root):
    """The tracked pages, or all of them in an exported tree."""
    listed = subprocess.run(["git", "-C", root, "ls-files", "*.md"], capture_output=True, text=True).stdout.split()
    if listed:
        return [root / name for name in listed]
    return [p for folder in FOLDERS for p in sorted((root / folder).rglob("*.md"))] + [root / "README.md"]


def lines_of(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


def quotes(root, page, text):
    for source, block in BLOCK.findall(text):
        if not source:
            yield f"{page}: IR or code without a `<!-- from FILE -->` above it: {block.splitlines()[0]}"
        elif not (root / source).is_file():
            yield f"{page}: quotes {source}, which is not there"
        else:
            quoted, there = lines_of(block), lines_of((root / source).read_text())
            if not any(there[i:i + len(quoted)] == quoted for i in range(len(there))):
                yield f"{page}: what it quotes is not in {source}: {quoted[0]}"


def links(root, page, text):
    for target in LINK.findall(FENCE.sub("", text)):  # a C++ lambda looks like a link
        if "://" not in target and not (page.parent / target).exists():
            yield f"{page}: links to {target}, which is not there"


def passes(root):
    described = (root / "docs" / "pipeline.md").read_text()
    for definitions in sorted((root / "passes").glob("*/Passes.td")):
        group = definitions.parent.name
        for name in re.findall(r'Pass<"ciuic-([a-z0-9-]+)"', definitions.read_text()):
            if f"`ciuic-{name}`" not in described:
                yield f"docs/pipeline.md does not say what ciuic-{name} does"
            if not (root / "test" / "passes" / group / f"{name}.mlir").is_file():
                yield f"ciuic-{name} has no test/passes/{group}/{name}.mlir"


def codes(root):
    """Codes of the compiler that errors.md does not list; those of defects are for its developers."""
    listed = (root / "docs" / "errors.md").read_text()
    for folder in ("frontend", "ir", "passes", "codegen", "tools"):
        for path in sorted(p for p in (root / folder).rglob("*") if p.suffix in (".h", ".cpp")):
            for code in CODE.findall(path.read_text()):
                if f"`{code}`" not in listed:
                    yield f"docs/errors.md does not list {code} ({path.relative_to(root)})"


def lists(root):
    """What the pages count or list, as it is."""
    table = (root / "passes" / "Legalize" / "OpTable.cpp").read_text()
    operators = len(re.findall(r'^\s*\{"[a-z.]*", "', table, re.MULTILINE))
    if f"| operators | {operators} of " not in (root / "README.md").read_text():
        yield f"README.md does not say that there are {operators} operators"
    decisions = root / "docs" / "decisions"
    listed = (decisions / "README.md").read_text()
    for page in sorted(decisions.glob("*.md")):
        if page.name != "README.md" and f"]({page.name})" not in listed:
            yield f"docs/decisions/README.md does not list {page.name}"
    titles = (root / "docs" / "performance.md").read_text()
    for title in re.findall(r"^## (.*)$", titles, re.MULTILINE):
        if not any(title in row for row in titles.splitlines() if row.startswith("|")):
            yield f"docs/performance.md does not list its section '{title}'"


def main():
    root = Path(sys.argv[1])
    problems = list(passes(root)) + list(codes(root)) + list(lists(root))
    problems += [f"{folder}/ has no README.md" for folder in FOLDERS if not (root / folder / "README.md").is_file()]
    for page in pages(root):
        if page.is_file():
            text = page.read_text()
            problems += [*quotes(root, page, text), *links(root, page, text)]
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
