"""Settings out of the configuration file and records: what is wrong with a record takes no other down."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import attrs

from portico._config.settings import Managed, Settings
from portico._config.sources import LookUp
from portico._core.contracts import Json
from portico._core.errors import ConfigError
from portico._core.records import Record

Key = tuple[str, str]
Problem = tuple[str, str]

_TABLES: Final = ("upstreams", "servers")
_HELD: Final = "the configuration file declares one of this name, which holds"
_PLACE: Final = re.compile(r"(upstreams|servers)\.(?:\"([^\"]*)\"|([^.\[]+))")


@attrs.frozen
class Composed:
    """What came of it.

    Attributes:
        settings: In effect.
        problems: What is wrong with the records that were left out, by their kind and name.
    """

    settings: Settings
    problems: Mapping[Key, list[Problem]]


def compose(
    file: Settings,
    records: Iterable[Record],
    secrets: LookUp,
    check: Callable[[Settings], None] = lambda settings: None,
) -> Composed:
    """The file's settings with the upstreams and servers of records beneath them.

    Args:
        file: The settings of the file alone.
        records: All there are.
        secrets: What `${...}` in records stands for.
        check: Raises `ConfigError` for settings that cannot be in effect.
    """
    problems: dict[Key, list[Problem]] = {}
    wanted: dict[Key, Record] = {}
    for record in records:
        if record.kind not in _TABLES or not record.about.enabled:
            continue
        if declared(file, record.kind, record.name):
            problems[record.kind, record.name] = [("", _HELD)]
        else:
            wanted[record.kind, record.name] = record
    extend = file.extend
    while wanted and extend is not None:
        tables: Json = {kind: {} for kind in _TABLES}
        for (kind, name), record in wanted.items():
            tables[kind][name] = record.config
        try:
            settings = extend(Managed({k: v for k, v in tables.items() if v}, secrets))
            _check_operator_only(settings, wanted)
            check(settings)
            return Composed(settings, problems)
        except ConfigError as wrong:
            blamed = _blame(wrong, wanted)
            if not blamed:  # nobody knows whose fault it is: then the file holds alone
                blamed = {key: [("", message) for _, message in wrong.problems] for key in wanted}
            for key, found in blamed.items():
                problems[key] = found
                del wanted[key]
    return Composed(file, problems)


def _blame(wrong: ConfigError, wanted: Mapping[Key, Record]) -> dict[Key, list[Problem]]:
    """Whose problems they are, with their paths from there on."""
    found: dict[Key, list[Problem]] = {}
    for path, message in wrong.problems:
        match = _PLACE.match(path)
        if match is None:
            continue
        key = (match[1], match[2] if match[2] is not None else match[3])
        if key in wanted:
            found.setdefault(key, []).append((path[match.end() :].lstrip("."), message))
    return found


def declared(file: Settings, kind: str, name: str) -> bool:
    """Whether the configuration file has an upstream or server of this name, spelled out or implied."""
    if kind == "servers":
        return name in file.servers and name not in file.implied
    return (kind, name) in file.components


def _check_operator_only(settings: Settings, wanted: Mapping[Key, Record]) -> None:
    """Whether records set what only the operator may: commands to start, files to read.

    Raises:
        ConfigError: One does, and it is no command that the operator has allowed.
    """
    allowed = settings.gateway.managed_commands
    problems: list[Problem] = []
    for key, record in wanted.items():
        component = settings.components.get(key)
        for field in attrs.fields(type(component.config)) if component is not None else ():
            if not field.metadata.get("operator_only") or field.name not in record.config:
                continue
            said = record.config[field.name]
            if not isinstance(said, list) or tuple(said) not in allowed:
                problems.append((f"{key[0]}.{key[1]}.{field.name}", _OPERATOR))
    if problems:
        raise ConfigError(problems)


_OPERATOR: Final = (
    "only the configuration file may set this, or allow the very command in gateway.managed_commands"
)
