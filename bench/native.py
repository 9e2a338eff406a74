"""Builds the stub upstream and the load generator on demand, once per source, compiler and flags."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs

SOURCES = Path(__file__).parent / "native"
FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-function")


class CannotBuild(Exception):
    """The C tools cannot be had here; the message says why and what would help."""


@attrs.frozen
class Tools:
    """Paths of the built programs.

    Attributes:
        stub: The upstream; see the head of `native/stub.c`.
        load: The load generator; see the head of `native/load.c`.
    """

    stub: Path
    load: Path


def cache_dir() -> Path:
    """Where built programs are kept: `PORTICO_BENCH_CACHE`, or a folder in the user's cache directory."""
    if chosen := os.environ.get("PORTICO_BENCH_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "portico-bench"


def find_compiler() -> str:
    """The path of a C compiler: what `CC` names, or the first of cc, gcc and clang on the path.

    Raises:
        CannotBuild: There is none, or this is not Linux.
    """
    if sys.platform != "linux":
        raise CannotBuild("the bench's C tools use epoll and /proc: they need Linux")
    chosen = os.environ.get("CC")
    for name in (chosen,) if chosen else ("cc", "gcc", "clang"):
        if path := shutil.which(name):
            return path
    wanted = f"CC names {chosen!r}, which is not there" if chosen else "none of cc, gcc, clang is on the path"
    raise CannotBuild(
        f"no C compiler: {wanted}. The load generator and the stub are C programs, because a Python one "
        "would measure itself. Install one (Debian: apt-get install gcc libc6-dev) and run this again"
    )


def build() -> Tools:
    """Build what is not built yet; safe to run in several processes at once.

    Raises:
        CannotBuild: No compiler, or it failed; the message has its output.
    """
    compiler = find_compiler()
    version = subprocess.run([compiler, "--version"], capture_output=True, check=False).stdout
    digest = hashlib.sha256(b"\0".join([compiler.encode(), version, *(flag.encode() for flag in FLAGS)]))
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    folder = cache_dir() / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return Tools(stub=_program(compiler, "stub", folder), load=_program(compiler, "load", folder))


def _program(compiler: str, name: str, folder: Path) -> Path:
    program = folder / name
    if program.exists():
        return program
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        built = Path(scratch) / name
        command = [compiler, *FLAGS, "-o", str(built), str(SOURCES / f"{name}.c")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotBuild(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
        built.replace(program)
    return program
