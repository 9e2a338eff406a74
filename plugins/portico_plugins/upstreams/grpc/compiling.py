""".proto files to descriptors, by protoc in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import google.api

from .descriptors import Unusable

_SECONDS: Final = 60.0
_MOST_FILES: Final = 2000
_LONGEST: Final = 500


def compiled(protos: Sequence[Path], paths: Sequence[Path], most: int) -> bytes:
    """A descriptor set of .proto files and all they import, comments included. Takes its time: for a thread.

    The files of `google/protobuf`, `google/api` and `google/rpc` are there without being asked for.

    Args:
        protos: The files, or folders of them.
        paths: Where imports are looked up, besides the folders and next to the files.
        most: The most bytes of the outcome.

    Raises:
        Unusable: They do not compile, or say too much.
        OSError: One of them cannot be read.
    """
    files: list[Path] = []
    roots = [*paths]
    for proto in protos:
        if proto.is_dir():
            found = sorted(proto.rglob("*.proto"))
            if not found:
                raise Unusable(f"there is no .proto file in {proto.name!r}")
            files += found
            roots.append(proto)
        else:
            proto.open("rb").close()  # says which one is missing
            files.append(proto)
            if not any(proto.is_relative_to(root) for root in roots):
                roots.append(proto.parent)
    if len(files) > _MOST_FILES:
        raise Unusable(f"there are more than {_MOST_FILES} .proto files")
    roots += [Path(each).parents[1] for each in google.api.__path__]
    with tempfile.TemporaryDirectory(prefix="portico-protoc-") as folder:
        out = Path(folder) / "set.pb"
        command = [sys.executable, "-I", "-m", "grpc_tools.protoc", *(f"-I{root}" for root in roots)]
        command += ["--include_imports", "--include_source_info", f"--descriptor_set_out={out}"]
        try:
            done = subprocess.run(
                [*command, *map(str, files)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unusable(f"protoc is not done after {_SECONDS:.0f} s") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip() or f"status {done.returncode}"
            for root in roots:
                said = said.replace(f"{root}/", "")
            raise Unusable(f"protoc: {said.splitlines()[0][:_LONGEST]}")
        if out.stat().st_size > most:
            raise Unusable(f"the descriptor set is larger than {most} bytes")
        return out.read_bytes()
