"""Which program a command names, and what environment it gets."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from .config import McpConfig

_PYTHON: Final = frozenset({"python", "python3"})


def environment(config: McpConfig) -> dict[str, str]:
    """What a configured process sees: the inherited variables, and its own."""
    env = {name: os.environ[name] for name in config.inherit_env if name in os.environ}
    return env | {name: value.reveal() for name, value in config.env.items()}


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
