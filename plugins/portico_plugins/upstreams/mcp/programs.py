"""Which program a command names, and what environment it gets."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from portico.api import INVALID_PARAMS, Refused, absence, nearest

from .config import McpConfig

_GIVEN: Final = re.compile(r"[\x20-\x7e]{1,8192}")
_PYTHON: Final = frozenset({"python", "python3"})
_RUNS_SCRIPTS: Final = _PYTHON | {"bash", "node", "perl", "ruby", "sh"}


def environment(config: McpConfig) -> dict[str, str]:
    """What a configured process sees: the inherited variables, and its own."""
    env = {name: os.environ[name] for name in config.inherit_env if name in os.environ}
    return env | {name: value.reveal() for name, value in config.env.items()}


def given(wanted: Mapping[str, str], headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The environment variables a caller's headers give its process, in the order of the configuration.

    Args:
        wanted: Header to variable, as `env_from_headers` has it.
        headers: The caller's, by lower-case name.

    Raises:
        Refused: -32602: a value no process is given.
    """
    found: list[tuple[str, str]] = []
    for header, variable in wanted.items():
        value = headers.get(header.lower())
        if value is None:
            continue
        if not _GIVEN.fullmatch(value):
            raise Refused(
                INVALID_PARAMS, f"The header {header} may have up to 8192 printable ASCII characters"
            )
        found.append((variable, value))
    return tuple(found)


def resolved(argv: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """The argument list with its program found.

    A name without a folder is looked for beside the gateway's own Python when that is in a virtual
    environment (activated or not), then in the process's `PATH`, then beside Python anyway. `python` is
    always found.
    """
    name, *arguments = argv
    if os.sep in name:
        return list(argv)
    beside = str(Path(sys.executable).parent)
    isolated = sys.prefix != sys.base_prefix
    for folders in (beside if isolated else "", env.get("PATH", os.defpath), beside):
        program = shutil.which(name, path=folders) if folders else None
        if program:
            return [program, *arguments]
    return [sys.executable if name in _PYTHON else name, *arguments]


def lacking(config: McpConfig, argv: Sequence[str], base: Path) -> Iterator[tuple[int, str]]:
    """What of an argument list is not on this machine, by its position: the program, or the script it runs.

    Args:
        config: Whose argument list it is.
        argv: The program and its arguments.
        base: The folder of the configuration.
    """
    folder = base / config.cwd if config.cwd is not None else base
    name, *arguments = argv
    env = environment(config)
    found = resolved(argv, env)[0]
    if os.sep in name:
        text = absence(folder / name) if folder.is_dir() else ""
        if not text and (folder / name).is_file() and not os.access(folder / name, os.X_OK):
            text = f"expected a program, but {folder / name} is not executable"
        if text:
            yield 0, text
    elif found == name:
        near = nearest(name, _programs(env.get("PATH", os.defpath)))
        yield 0, f"expected a program, but there is no {name!r} in PATH{near}"
    if Path(name).name in _RUNS_SCRIPTS and arguments and folder.is_dir():
        script = arguments[0]
        if Path(script).suffix and not script.startswith("-") and (text := absence(folder / script)):
            yield 1, text


def _programs(path: str) -> Iterator[str]:
    """The names of all files in the folders of a `PATH`, and beside Python."""
    for folder in {*path.split(os.pathsep), str(Path(sys.executable).parent)}:
        with contextlib.suppress(OSError):
            yield from (each.name for each in Path(folder).iterdir())
