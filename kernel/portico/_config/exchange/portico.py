"""Portico's own configuration as a form of exchange: written from records, and read back as items.

What it writes is a configuration file that `gateway serve` takes. What such a file cannot say (descriptions,
tags, owners, who made it and when, overrides, what is disabled) stands in comments that begin with
`#record `, one JSON object each, so that an import gives the same records again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import attrs
import msgspec

from portico._config.exchange import toml
from portico._config.exchange.items import ORDER, Item, Taken, fitting, secrets_of, strings
from portico._config.masking import MASK
from portico._core.contracts.json import Json

Secrets = Literal["env", "secret"]

RECORD: Final = "#record "
"""What a comment begins with that carries what a configuration file cannot say."""

LOCAL: Final = "local"
"""The upstream of the gateway's own prompts and resources."""

_SECRET: Final = re.compile(r"(?<!\$)\$\{secret:([^}]+)\}")
_OWN: Final = ("prompts", "resources")
_TABLES: Final = ("upstreams", "servers")


def to_portico(items: Iterable[Item], secrets: Secrets = "env") -> tuple[str, list[tuple[str, str]]]:
    """A configuration file for records.

    A masked value becomes a reference, too: its name says where it stood.

    Args:
        items: What there is; those of the kind `secrets` are not among them.
        secrets: How secrets are referred to: `env` for a file that `gateway serve` takes, `secret` for one
            that is only imported.

    Returns:
        The text, and `(place, message)` for every value that has to be set anew.
    """
    notes: list[tuple[str, str]] = []
    tables: Json = {}
    extra: list[Json] = []
    variables: dict[str, str] = {}
    for item in items:
        place = f"{item.kind}.{item.name}"
        config = _unmasked(item.config, f"{fitting(item.name)}", place, notes)
        if secrets == "env":
            config = _environment(config, variables)
        about = {key: value for key, value in item.about.items() if value != _DEFAULTS.get(key)}
        told = {"kind": item.kind, "name": item.name, **({"made": item.made} if item.made else {})}
        if item.kind in _TABLES and about.get("enabled", True):
            table = tables.setdefault(item.kind, {})
            table[item.name] = {**table.get(item.name, {}), **config}  # what else `local` has may be there
        elif item.kind in _OWN and about.get("enabled", True):
            local = tables.setdefault("upstreams", {}).setdefault(LOCAL, {"use": LOCAL})
            local.setdefault(item.kind, {})[item.name] = config
        else:
            extra.append({**told, "config": config, "about": about})
            continue
        if about or item.made:
            extra.append({**told, **({"about": about} if about else {})})
    for variable, name in variables.items():
        notes.append((f"${{env:{variable}}}", f"stands for the secret {name!r}"))
        if variable != name:
            extra.append({"variable": variable, "secret": name})
    lines = [RECORD + msgspec.json.encode(each).decode() for each in extra]
    text = "# Written by `gateway export`. Lines that begin with `#record` are for `gateway import`.\n"
    text += "".join(f"{line}\n" for line in lines)
    return text + ("\n" + toml.dumps(tables) if tables else ""), notes


_DEFAULTS: Final[Json] = {
    "enabled": True, "description": "", "tags": [], "owner": "", "team": "", "visibility": "public",
}  # fmt: skip


def from_portico(tables: Mapping[str, Any], text: str = "") -> Taken:
    """Read a configuration file.

    Args:
        tables: What it says.
        text: The file itself, for the comments `to_portico` writes.
    """
    notes: list[tuple[str, str]] = []
    found: dict[tuple[str, str], Item] = {}
    belongs = "not taken over: it belongs in the configuration file of the gateway"
    upstreams = tables.get("upstreams")
    for name, table in upstreams.items() if isinstance(upstreams, Mapping) else ():
        if isinstance(table, Mapping) and table.get("use", name) == LOCAL:
            for kind in _OWN:
                own = table.get(kind)
                for each, config in own.items() if isinstance(own, Mapping) else ():
                    _table(kind, each, config, found, notes)
            others = [key for key in table if key not in (*_OWN, "use")]
            notes += [(f"upstreams.{name}.{key}", belongs) for key in others]
        else:
            _table("upstreams", name, table, found, notes)
    servers = tables.get("servers")
    for name, table in servers.items() if isinstance(servers, Mapping) else ():
        _table("servers", name, table, found, notes)
    notes += [(other, belongs) for other in tables if other not in _TABLES]
    variables: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith(RECORD):
            _comment(line, found, variables, notes)

    def named(string: str) -> str:
        for variable, name in variables.items():
            string = string.replace(f"${{env:{variable}}}", f"${{secret:{name}}}")
        return string

    return Taken([attrs.evolve(item, config=strings(item.config, named)) for item in found.values()], notes)


def _table(
    kind: str, name: str, table: Any, found: dict[tuple[str, str], Item], notes: list[tuple[str, str]]
) -> None:
    if isinstance(table, Mapping):
        found[kind, name] = Item(kind, name, dict(table))
    else:
        notes.append((f"{kind}.{name}", "left out: not a table"))


def _comment(
    line: str, found: dict[tuple[str, str], Item], variables: dict[str, str], notes: list[tuple[str, str]]
) -> None:
    try:
        said = msgspec.json.decode(line.removeprefix(RECORD), type=dict[str, Any])
        if "variable" in said:
            variables[str(said["variable"])] = str(said["secret"])
            return
        kind, name = str(said["kind"]), str(said["name"])
    except (msgspec.MsgspecError, KeyError):
        notes.append((line[:60], "left out: such a comment is JSON that names a kind and a name"))
        return
    config = said.get("config") if (kind, name) not in found else found[kind, name].config
    if kind not in ORDER or not isinstance(config, Mapping):
        notes.append((f"{kind}.{name}", "left out: the file has no table for it"))
        return
    about, made = (each if isinstance(each := said.get(key), dict) else {} for key in ("about", "made"))
    found[kind, name] = Item(kind, name, dict(config), about, made)


def _unmasked(node: Any, stem: str, place: str, notes: list[tuple[str, str]]) -> Any:
    if isinstance(node, Mapping):
        return {key: _unmasked(value, f"{stem}-{key}", place, notes) for key, value in node.items()}
    if isinstance(node, list):
        return [_unmasked(value, f"{stem}-{index}", place, notes) for index, value in enumerate(node)]
    if node != MASK:
        return node
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", stem)
    notes.append((place, f"has a value that is not shown; it became ${{secret:{name}}}"))
    return f"${{secret:{name}}}"


def _environment(config: Json, variables: dict[str, str]) -> Json:
    known = {name: variable for variable, name in variables.items()}
    for name in sorted(secrets_of(config)):
        if name not in known:
            stem = variable = re.sub(r"[^A-Za-z0-9_]", "_", name).upper() if not name.isidentifier() else name
            number = 2
            while variable in variables:
                variable, number = f"{stem}_{number}", number + 1
            known[name], variables[variable] = variable, name
    changed: Json = strings(config, lambda text: _SECRET.sub(lambda m: f"${{env:{known[m[1]]}}}", text))
    return changed
