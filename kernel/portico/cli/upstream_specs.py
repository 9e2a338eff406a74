"""`--upstream SPEC`: a URL or a command line, and the name an upstream gets from it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable
from pathlib import PurePath
from typing import Final
from urllib.parse import urlsplit

from portico._core.contracts.json import Json
from portico._core.errors import ConfigError

COMMAND_LINE: Final = "command line"

_RUNNERS: Final = frozenset({"npx", "bunx", "uvx", "pipx", "pnpx", "deno", "node", "python", "python3", "uv"})
_RUNNER_WORDS: Final = frozenset({"run", "dlx", "exec", "x", "tool"})
_ILLEGAL: Final = re.compile(r"[^A-Za-z0-9_-]+")


def from_specs(
    specs: Iterable[str], taken: Collection[str] = (), option: str = "--upstream"
) -> dict[str, Json]:
    """Upstream tables of `--upstream` values, named after the host or the program.

    Args:
        specs: URLs, or command lines as a shell would split them.
        taken: Names that are in use.
        option: What to call them in messages.

    Raises:
        ConfigError: A value is neither.
    """
    upstreams: dict[str, Json] = {}
    problems: list[tuple[str, str]] = []
    for spec in specs:
        try:
            stem, table = _upstream(spec)
        except ValueError as error:
            problems.append((option, f"{error}, got {spec!r}"))
            continue
        name, number = stem, 2
        while name in upstreams or name in taken:
            name, number = f"{stem}-{number}", number + 1
        upstreams[name] = table
    if problems:
        raise ConfigError(problems, COMMAND_LINE)
    return upstreams


def _upstream(spec: str) -> tuple[str, Json]:
    if re.match(r"\s*[A-Za-z][A-Za-z0-9+.-]*://", spec):
        url = spec.strip()
        host = urlsplit(url).hostname or ""
        if not url.lower().startswith(("http://", "https://")) or not host:
            raise ValueError("expected http://host... or https://host...")
        return _name(host), {"use": "mcp", "url": literal(url)}
    try:
        words = shlex.split(spec)
    except ValueError as error:
        raise ValueError(f"expected a URL or a command line ({str(error).lower()})") from None
    if not words:
        raise ValueError("expected a URL or a command line")
    return _name(_program(words)), {"use": "mcp", "command": [literal(word) for word in words]}


def literal(text: str) -> str:
    """A text that configuration does not expand: the shell has had its turn."""
    return text.replace("${", "$${")


def _program(words: list[str]) -> str:
    """What a command line runs: of `npx -y @scope/server`, `server`."""
    program = PurePath(words[0]).stem
    if program not in _RUNNERS:
        return program
    rest = [word for word in words[1:] if not word.startswith("-") and word not in _RUNNER_WORDS]
    if not rest:
        return program
    package = re.split(r"(?<=.)@|==", rest[0])[0]
    return (
        PurePath(package).stem if package.endswith((".py", ".js", ".ts", ".mjs")) else PurePath(package).name
    )


def _name(text: str) -> str:
    return _ILLEGAL.sub("-", text).strip("-_")[:44] or "upstream"
