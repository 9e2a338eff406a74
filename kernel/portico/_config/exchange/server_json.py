"""`server.json` of the MCP Registry (v0.1), read as an upstream: a remote, or a package as a command."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from portico._config.exchange.items import Item, Taken, fitting, unused
from portico._core.contracts.json import Json

OFFICIAL: Final = "io.modelcontextprotocol.registry/official"
"""The key of `_meta` under which a registry says how an entry is."""

_PROTOCOLS: Final = {"streamable-http": None, "http": None, "sse": "sse"}
_VARIABLE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_RUNNERS: Final = {"npm": "npx", "pypi": "uvx", "oci": "docker", "nuget": "dnx"}

Notes = list[tuple[str, str]]


def is_server_json(document: Mapping[str, Any]) -> bool:
    """Whether a document is a `server.json`, or one or a list of them as a registry answers."""
    return any(True for _ in servers_in(document))


def servers_in(document: Mapping[str, Any]) -> Iterator[Json]:
    """Every `server.json` of a document."""
    listed = document.get("servers")
    if isinstance(listed, list):
        for each in listed:
            if isinstance(each, Mapping):
                yield from servers_in(each)
    elif isinstance(server := document.get("server"), Mapping):
        if isinstance(server.get("name"), str):
            yield dict(server)
    elif isinstance(document.get("name"), str) and (
        isinstance(document.get("remotes"), list)
        or isinstance(document.get("packages"), list)
        or "/schemas/" in str(document.get("$schema"))
    ):
        yield dict(document)


def objects_in(given: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; of what is none, none."""
    return [each for each in given if isinstance(each, Mapping)] if isinstance(given, list) else []


def from_server_json(document: Mapping[str, Any], prefer: str = "remote") -> Taken:
    """Read all of them.

    Args:
        document: See `servers_in`.
        prefer: `remote` or `package`, for servers that have both.
    """
    items: list[Item] = []
    notes: Notes = []
    for server in servers_in(document):
        found = from_server(server, prefer)
        notes += found.notes
        for item in found.items:
            name = unused(item.name, [each.name for each in items])
            items.append(Item(item.kind, name, item.config, item.about))
    return Taken(items, notes)


def from_server(server: Json, prefer: str = "remote", name: str = "") -> Taken:
    """Read one `server.json`.

    Secret inputs become `${secret:NAME}`, others their value or default. A command is what the package's
    type says; the gateway starts it only if its operator has allowed that very command.

    Args:
        server: The document.
        prefer: `remote` or `package`, if it has both.
        name: Of the upstream; by default the last part of the server's.
    """
    given = str(server["name"])
    notes: Notes = []
    stem = name or fitting(given.rpartition("/")[2])
    remotes, packages = objects_in(server.get("remotes")), objects_in(server.get("packages"))
    usable = [each for each in remotes if _kind(each) in _PROTOCOLS and each.get("url")]
    usable.sort(key=lambda each: _kind(each) == "sse")
    runnable = [each for each in packages if _registry(each) in _RUNNERS and _over_stdio(each)]
    config: Json | None = None
    if usable and (prefer == "remote" or not runnable):
        config = _remote(usable[0], stem, given, notes)
        others = [str(each.get("url") or _kind(each)) for each in remotes if each is not usable[0]]
        others += [str(each.get("identifier")) for each in packages]
    elif runnable:
        config = _package(runnable[0], stem, given, notes)
        others = [str(each.get("identifier")) for each in packages if each is not runnable[0]]
        others += [str(each.get("url")) for each in remotes]
    else:
        kinds = sorted({*map(_kind, remotes), *map(_registry, packages)})
        notes.append(
            (given, f"left out: nothing here can use it ({', '.join(kinds) or 'no remotes, no packages'})")
        )
        return Taken([], notes)
    if others:
        notes.append((given, f"it can also be had as: {', '.join(others)}"))
    status = server.get("status")
    if status in ("deprecated", "deleted"):
        notes.append((given, f"it is {status}"))
    about: Json = {"tags": ["mcp-registry"]}
    if server.get("description"):
        about["description"] = str(server["description"])
    return Taken([Item("upstreams", stem, config, about)], notes)


def _remote(remote: Mapping[str, Any], stem: str, given: str, notes: Notes) -> Json:
    variables = remote.get("variables") if isinstance(remote.get("variables"), Mapping) else {}
    config: Json = {"use": "mcp", "url": _filled(str(remote["url"]), variables or {}, stem, given, notes)}
    protocol = _PROTOCOLS[_kind(remote)]
    if protocol:
        config["protocol"] = protocol
    headers = _inputs(remote.get("headers"), stem, given, notes)
    if headers:
        config["headers"] = headers
    return config


def _package(package: Mapping[str, Any], stem: str, given: str, notes: Notes) -> Json:
    registry = _registry(package)
    runner = str(package.get("runtimeHint") or package.get("runtime_hint") or _RUNNERS[registry])
    identifier, version = str(package.get("identifier") or ""), str(package.get("version") or "")
    env = _inputs(
        package.get("environmentVariables") or package.get("environment_variables"), stem, given, notes
    )
    command = [
        runner,
        *_arguments(package.get("runtimeArguments") or package.get("runtime_arguments"), stem, given, notes),
    ]
    if registry == "npm":
        command += [
            *(["-y"] if runner == "npx" and "-y" not in command else []),
            _at(identifier, version, "@"),
        ]
    elif registry == "pypi":
        command += [_at(identifier, version, "@" if runner == "uvx" else "==")]
    elif registry == "oci":
        head = ["run", "-i", "--rm"] if "run" not in command else []
        passed = [word for name in env for word in ("-e", name)]
        tagged = ":" in identifier.rpartition("/")[2] or "@" in identifier
        command = [
            runner,
            *head,
            *command[1:],
            *passed,
            identifier if tagged else _at(identifier, version, ":"),
        ]
    else:
        command += [_at(identifier, version, "@")]
    after = _arguments(
        package.get("packageArguments") or package.get("package_arguments"), stem, given, notes
    )
    command += ["--", *after] if registry == "nuget" and after else after
    notes.append((given, f"it starts a command, which gateway.managed_commands must allow: {command!r}"))
    return {"use": "mcp", "command": command, **({"env": env} if env else {})}


def _arguments(given: Any, stem: str, server: str, notes: Notes) -> list[str]:
    words: list[str] = []
    for each in given if isinstance(given, list) else ():
        if not isinstance(each, Mapping):
            continue
        named = str(each.get("name") or "") if each.get("type") == "named" else ""
        value = _value(
            each,
            stem,
            str(each.get("name") or each.get("valueHint") or each.get("value_hint") or "argument"),
            server,
            notes,
        )
        if value is None:
            if named and each.get("format") == "boolean":
                words.append(named)
            continue
        words += [word for word in (named, value) if word]
    return words


def _inputs(given: Any, stem: str, server: str, notes: Notes) -> dict[str, str]:
    values: dict[str, str] = {}
    for each in given if isinstance(given, list) else ():
        if isinstance(each, Mapping) and each.get("name"):
            value = _value(each, stem, str(each["name"]), server, notes)
            if value is not None:
                values[str(each["name"])] = value
    return values


def _value(each: Mapping[str, Any], stem: str, name: str, server: str, notes: Notes) -> str | None:
    """What an input is set to; None for leaving it out."""
    if each.get("value") is not None:
        variables = each.get("variables")
        return _filled(
            str(each["value"]), variables if isinstance(variables, Mapping) else {}, stem, server, notes
        )
    secret = each.get("isSecret") or each.get("is_secret")
    required = each.get("isRequired") or each.get("is_required")
    if each.get("default") is not None and not secret:
        return str(each["default"]).replace("${", "$${")
    if required or (secret and each.get("default") is None and required is not False and required):
        return _wanted(name, each, stem, server, notes)
    if secret or each.get("description"):
        notes.append(
            (server, f"left unset: {name}" + (f" ({each['description']})" if each.get("description") else ""))
        )
    return None


def _wanted(name: str, each: Mapping[str, Any], stem: str, server: str, notes: Notes) -> str:
    secret = f"{stem}-{fitting(name, 'value')}"
    why = f" ({each['description']})" if each.get("description") else ""
    notes.append((server, f"set the secret {secret!r} to its {name}{why}"))
    return f"${{secret:{secret}}}"


def _filled(text: str, variables: Mapping[str, Any], stem: str, server: str, notes: Notes) -> str:
    """A text with its `{variables}` filled in; it is nothing that configuration would expand otherwise."""

    def substitute(match: re.Match[str]) -> str:
        said = variables.get(match[1])
        if not isinstance(said, Mapping):
            return match[0]
        value = _value(said, stem, match[1], server, notes)
        return _wanted(match[1], said, stem, server, notes) if value is None else value

    return _VARIABLE.sub(substitute, text.replace("${", "$${"))


def _at(identifier: str, version: str, sign: str) -> str:
    return f"{identifier}{sign}{version}" if version and version != "latest" else identifier


def _kind(remote: Mapping[str, Any]) -> str:
    return str(remote.get("type") or remote.get("transport_type") or "?")


def _registry(package: Mapping[str, Any]) -> str:
    return str(package.get("registryType") or package.get("registry_type") or "?")


def _over_stdio(package: Mapping[str, Any]) -> bool:
    transport = package.get("transport")
    return not isinstance(transport, Mapping) or transport.get("type") in (None, "stdio")
