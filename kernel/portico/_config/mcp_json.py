"""`mcpServers` JSON, as Claude Desktop, Claude Code, Cursor and VS Code write it, read as upstreams."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from portico._core.contracts.json import Json

_TABLES: Final = ("mcpServers", "servers")
_URLS: Final = ("url", "httpUrl", "serverUrl")
_HTTP_TYPES: Final = frozenset({"http", "streamable-http", "streamableHttp", "streamable_http", "sse"})
_TAKEN: Final = frozenset(
    {"type", "transport", "command", "args", "env", "cwd", "headers", "disabled", "enabled", *_URLS}
)
_ILLEGAL: Final = re.compile(r"[^a-zA-Z0-9_-]+")
_VARIABLE: Final = re.compile(r"\$\{(env:)?([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?\}")
_LEFT: Final = re.compile(r"(?<!\$)\$\{(?!env:)[^}]*\}")


def is_mcp_json(document: Mapping[str, Any]) -> bool:
    """Whether a document is of this kind, and not Portico's own (VS Code's table is called `servers` too)."""
    if "mcpServers" in document:
        return True
    servers = document.get("servers")
    return isinstance(servers, Mapping) and any(
        isinstance(entry, Mapping) and ("command" in entry or any(key in entry for key in _URLS))
        for entry in servers.values()
    )


def from_mcp_json(document: Mapping[str, Any]) -> tuple[Json, list[tuple[str, str]]]:
    """Turn such a document into one of Portico's with an `upstreams` table.

    Names are kept, made to fit `[a-zA-Z0-9_-]`; `${NAME}` and `${NAME:-default}` become `${env:...}`, unless
    the server's own `env` sets NAME: then it is for the command itself to expand.

    Returns:
        The document, and `(path, message)` for everything that could not be taken or had to be changed.
    """
    notes: list[tuple[str, str]] = []
    upstreams: dict[str, Json] = {}
    table = next((name for name in _TABLES if isinstance(document.get(name), Mapping)), None)
    if table is None:
        return {"upstreams": upstreams}, [("", f"has no table {' or '.join(map(repr, _TABLES))}")]
    for given, entry in document[table].items():
        place = f"{table}.{given}"
        try:
            upstream, ignored = _upstream(entry)
        except ValueError as exc:
            notes.append((place, f"left out: {exc}"))
            continue
        if ignored:
            notes.append((place, f"ignored: {', '.join(ignored)}"))
        stem = name = _ILLEGAL.sub("-", given).strip("-_")[:48] or "server"
        number = 2
        while name in upstreams:
            name, number = f"{stem}-{number}", number + 1
        if name != given:
            notes.append((place, f"is called {name!r} here"))
        upstreams[name] = upstream
    return {"upstreams": upstreams}, notes


def _upstream(entry: Any) -> tuple[Json, list[str]]:
    if not isinstance(entry, Mapping):
        raise ValueError("not a table")
    if entry.get("disabled") is True or entry.get("enabled") is False:
        raise ValueError("it is disabled")
    kind = entry.get("type") or entry.get("transport")
    own = entry.get("env") or {}
    url = next((entry[key] for key in _URLS if entry.get(key)), None)
    upstream: Json = {"use": "mcp"}
    if entry.get("command"):
        arguments = entry.get("args") or []
        if not isinstance(arguments, list):
            raise ValueError("its args are not an array")
        upstream["command"] = [entry["command"], *map(str, arguments)]
        upstream |= {key: entry[key] for key in ("env", "cwd") if entry.get(key)}
    elif url:
        if kind is not None and (not isinstance(kind, str) or kind not in _HTTP_TYPES):
            raise ValueError(f"the type {kind!r} does not go with a URL")
        upstream["url"] = url
        if kind == "sse":
            upstream["protocol"] = "sse"
        if entry.get("headers"):
            upstream["headers"] = entry["headers"]
    else:
        raise ValueError("it has neither a command nor a url")
    return _variables(upstream, own), sorted(entry.keys() - _TAKEN)


def _variables(node: Any, own: Mapping[str, Any]) -> Any:
    if isinstance(node, Mapping):
        return {key: _variables(item, own) for key, item in node.items()}
    if isinstance(node, list):
        return [_variables(item, own) for item in node]
    if not isinstance(node, str):
        return node

    def substitute(match: re.Match[str]) -> str:
        scheme, name, default = match.groups()
        return f"${match[0]}" if name in own and not scheme else f"${{env:{name}{default or ''}}}"

    text = _VARIABLE.sub(substitute, node)
    left = _LEFT.search(text)
    if left:
        raise ValueError(f"{left[0]} can only be filled in by the program this file was written for")
    return text
