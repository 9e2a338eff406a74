"""Settings out of the configuration file and records: what is wrong with a record takes no other down."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs

from portico._config.memo import Memo
from portico._config.settings import Managed, Settings
from portico._config.sources import LookUp
from portico._config.strict import structured
from portico._config.wording import Place, Wrong, dotted
from portico._core.catalog.overrides import KINDS_OVERRIDDEN, Override, Overrides, key_of
from portico._core.catalog.overrides import Key as OverrideKey
from portico._core.catalog.overrides import problems as override_problems
from portico._core.contracts.json import Json
from portico._core.contracts.records import Record
from portico._core.errors import ConfigError

Key = tuple[str, str]
Problem = tuple[str, str]
Known = Memo[Key, tuple[OverrideKey, Override]]

_TABLES: Final = ("upstreams", "servers")
OWN: Final = ("prompts", "resources")
"""The kinds of record that are served by the upstream `LOCAL`."""
LOCAL: Final = "local"
"""The upstream that has the gateway's own prompts and resources, and the kind it is of."""
_HELD: Final = "the configuration file declares one of this name, which holds"
_RESERVED: Final = f"{LOCAL!r} is the upstream of the gateway's own prompts and resources"
_OTHER: Final = f"the configuration file has an upstream {LOCAL!r} of another kind, where these would be"
_EXPECTED_NAME: Final = (
    f"expected UPSTREAM/{'|'.join(KINDS_OVERRIDDEN)}/NAME as the name of an override, got {{!r}}"
)
_WORD: Final = r"(?:\"((?:[^\"\\]|\\.)*)\"|([^.\[]+))"
_PLACE: Final = re.compile(rf"(upstreams|servers)\.{_WORD}")
_LOCAL_PLACE: Final = re.compile(rf"upstreams\.{LOCAL}\.(prompts|resources)\.{_WORD}")


@attrs.frozen
class Composed:
    """What came of it.

    Attributes:
        settings: In effect.
        overrides: Likewise.
        problems: What is wrong with the records that were left out, by their kind and name.
    """

    settings: Settings
    overrides: Overrides
    problems: Mapping[Key, list[Problem]]


def compose(
    file: Settings,
    records: Iterable[Record],
    secrets: LookUp,
    check: Callable[[Settings], None] = lambda settings: None,
    known: Known | None = None,
) -> Composed:
    """The file's settings with the upstreams and servers of records beneath them.

    Args:
        file: The settings of the file alone.
        records: All there are.
        secrets: What `${...}` in records stands for.
        check: Raises `ConfigError` for settings that cannot be in effect.
        known: Overrides as they were made last; `Settings.extend` remembers components by itself.
    """
    known = Memo() if known is None else known
    problems: dict[Key, list[Problem]] = {}
    wanted: dict[Key, Record] = {}
    overrides: dict[OverrideKey, Override] = {}
    overridden: set[Key] = set()
    for record in records:
        key = (record.kind, record.name)
        if not record.about.enabled:
            continue
        if record.kind == "overrides":
            try:
                of, override = known.made(key, record.config, partial(_override, record, file.base))
                overrides[of] = override
                overridden.add(key)
            except Wrong as wrong:
                problems[key] = [(dotted(place), text) for place, text in wrong.problems]
        elif record.kind in _TABLES or record.kind in OWN:
            if declared(file, *key):
                problems[key] = [("", _HELD)]
            elif key == ("upstreams", LOCAL):
                problems[key] = [("", _RESERVED)]
            elif record.kind in OWN and _other(file):
                problems[key] = [("", _OTHER)]
            else:
                wanted[key] = record
    known.forget_all_but(overridden)
    extend = file.extend
    while wanted and extend is not None:
        try:
            settings = extend(Managed(_tables(wanted), _discreet(secrets)))
            _check_operator_only(settings, wanted)
            check(settings)
            return Composed(settings, overrides, problems)
        except ConfigError as wrong_all:
            blamed = _blame(wrong_all, wanted)
            if not blamed:  # nobody knows whose fault it is: then the file holds alone
                blamed = {key: [("", message) for _, message in wrong_all.problems] for key in wanted}
            for key, found in blamed.items():
                problems[key] = found
                del wanted[key]
    return Composed(file, overrides, problems)


def by_content(records: Mapping[Key, Record], dates: Memo[Key, float]) -> dict[Key, Record]:
    """Records with resources that changed when their content did: tags and the like are no news to clients.

    Args:
        records: All there are.
        dates: When contents changed, as far as this process has seen; it is brought up to date.
    """
    dates.forget_all_but(records)
    return {
        key: attrs.evolve(each, updated=dates.made(key, each.config, partial(float, each.updated)))
        if each.kind == "resources"
        else each
        for key, each in records.items()
    }


def _override(record: Record, base: Path) -> tuple[OverrideKey, Override]:
    """What a record overrides, and how.

    Raises:
        Wrong: It is no override.
    """
    of = key_of(record.name)
    if of is None:
        raise Wrong([((), _EXPECTED_NAME.format(record.name))])
    override = structured(record.config, Override, base)
    if said := override_problems(of, override):
        raise Wrong([((where,), text) for where, text in said])
    return of, override


def _tables(wanted: Mapping[Key, Record]) -> Json:
    tables: Json = {}
    for (kind, name), record in wanted.items():
        if kind in OWN:
            own = tables.setdefault("upstreams", {}).setdefault(LOCAL, {"use": LOCAL})
            own.setdefault(kind, {})[name] = record.config if kind != "resources" else _dated(record)
        else:
            tables.setdefault(kind, {})[name] = record.config
    return tables


def _discreet(secrets: LookUp) -> LookUp:
    """The same, but for what clients are shown as it is."""

    def found(scheme: str, rest: str, place: Place) -> str:
        if place[:2] == ("upstreams", LOCAL):
            raise LookupError("prompts and resources are shown to clients: no secret has a place in them")
        return secrets(scheme, rest, place)

    return found


def _dated(record: Record) -> Json:
    """A resource that says when it last changed, unless it says so itself."""
    said = record.config.get("annotations", {})
    if not isinstance(said, Mapping) or not record.updated:
        return record.config
    when = datetime.fromtimestamp(record.updated, UTC).isoformat(timespec="seconds")
    return {**record.config, "annotations": {"last_modified": when.replace("+00:00", "Z"), **said}}


def _blame(wrong: ConfigError, wanted: Mapping[Key, Record]) -> dict[Key, list[Problem]]:
    """Whose problems they are, with their paths from there on."""
    found: dict[Key, list[Problem]] = {}
    for path, message in wrong.problems:
        match = _LOCAL_PLACE.match(path) or _PLACE.match(path)
        if match is None:
            continue
        if match[1] == "upstreams" and match[3] == LOCAL:  # it is not about one of what is there
            for key in wanted:
                if key[0] in OWN:
                    found.setdefault(key, []).append(("", message))
            continue
        name = match[2].replace('\\"', '"').replace("\\\\", "\\") if match[2] is not None else match[3]
        if (match[1], name) in wanted:
            found.setdefault((match[1], name), []).append((path[match.end() :].lstrip("."), message))
    return found


def declared(file: Settings, kind: str, name: str) -> bool:
    """Whether the configuration file has a thing of this kind and name, spelled out or implied."""
    if kind == "servers":
        return name in file.servers and name not in file.implied
    if kind in OWN:
        return name in own_of(file, kind)
    return (kind, name) in file.components


def own_of(file: Settings, kind: str) -> Mapping[str, Any]:
    """The gateway's own prompts or resources that the configuration file has, by name."""
    component = file.components.get(("upstreams", LOCAL))
    found: Mapping[str, Any] = getattr(component.config, kind, {}) if component is not None else {}
    return found


def _other(file: Settings) -> bool:
    component = file.components.get(("upstreams", LOCAL))
    return component is not None and component.use != LOCAL


def _check_operator_only(settings: Settings, wanted: Mapping[Key, Record]) -> None:
    """Whether records set what only the operator may: commands to start, files to read.

    Raises:
        ConfigError: One does, and it is no command that the operator has allowed.
    """
    allowed = settings.gateway.managed_commands
    problems: list[Problem] = []
    for key, record in wanted.items():
        component = settings.components.get(key)
        if component is None:
            continue
        for place, said in _operators(component.config, record.config):
            if not isinstance(said, list) or tuple(said) not in allowed:
                hint = _COMMAND if isinstance(said, list) else ""
                problems.append((dotted((*key, *place)), _OPERATOR + hint))
    if problems:
        raise ConfigError(problems)


def _operators(config: Any, said: Any) -> Iterator[tuple[Place, Any]]:
    """What was written that is the operator's to set, tables within tables included, with its place.

    Args:
        config: What became of it.
        said: What was written.
    """
    if not isinstance(said, Mapping):
        return
    fields = attrs.fields_dict(type(config))
    for name, value in said.items():
        if name not in fields:
            continue  # it is of every upstream, not of this kind
        if fields[name].metadata.get("operator_only"):
            yield (name,), value
            continue
        made = getattr(config, name)
        for step, below, written in _below(made, value):
            for place, found in _operators(below, written):
                yield (name, *step, *place), found


def _below(made: Any, said: Any) -> Iterator[tuple[Place, Any, Any]]:
    """The tables that a value is, or consists of: where they are, what became of them, what was written."""
    if attrs.has(type(made)):
        yield (), made, said
    elif isinstance(made, Mapping) and isinstance(said, Mapping):
        yield from (((key,), made[key], said[key]) for key in said if attrs.has(type(made.get(key))))
    elif isinstance(made, tuple) and isinstance(said, list):
        pairs = enumerate(zip(made, said, strict=False))
        yield from (((at,), one, written) for at, (one, written) in pairs if attrs.has(type(one)))


_OPERATOR: Final = "only the configuration file may set this"
_COMMAND: Final = ", or allow the very command in gateway.managed_commands"
