"""Which program a command names, and what environment it gets."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from portico.api import INVALID_PARAMS, Refused

from .config import McpConfig

_GIVEN: Final = re.compile(r"[\x20-\x7e]{1,8192}")
_PYTHON: Final = frozenset({"python", "python3"})


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
