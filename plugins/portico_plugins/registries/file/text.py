"""A record as a TOML file, and back: `[about]`, `[config]`, and the `name` where the file's does not say it.

TOML has no null. One is written as the object `{ "$null" = true }`; an object that looks like it gets one
more `$`.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final

import attrs
import msgspec

from portico.api import About, Change, ConfigError, Json, Record, nearest, write_toml
from portico_plugins.registries.file.names import name_of
from portico_plugins.registries.writing import check

DEEPEST: Final = 60
"""Objects and arrays in each other: what every TOML reader copes with."""

_NULL: Final = "$null"
_LIKE_NULL: Final = re.compile(r"\$+null")
_KEYS: Final = ("name", "about", "config")
_ABOUT: Final = {field.name: field.default for field in attrs.fields(About)}


def written(record: Record | Change, stem: str) -> bytes:
    """The file of a record: the same bytes for equal records.

    Args:
        record: It, not deleted.
        stem: The file's name, without its suffix.

    Raises:
        ConfigError: TOML cannot hold it.
    """
    said: Json = {} if name_of(stem) == record.name else {"name": record.name}
    about = {key: value for key, value in attrs.asdict(record.about).items() if value != _ABOUT[key]}
    if about:
        said["about"] = {**about, **({"tags": list(about["tags"])} if "tags" in about else {})}
    try:
        said["config"] = _escaped(record.config, 0)
        return write_toml(said).encode()
    except ValueError as error:
        raise ConfigError([(f"{record.kind}.{record.name}", str(error))], "registry") from None


def read(data: bytes, kind: str, stem: str) -> Change:
    """What a file wants its record to be.

    Raises:
        ConfigError: With everything that is wrong with it.
    """
    try:
        said = tomllib.loads(data.decode("utf-8-sig").replace("\r\n", "\n"))
    except (ValueError, RecursionError) as error:
        raise ConfigError([("", f"not TOML: {error}")]) from None
    problems = [(key, f"unknown key{nearest(key, _KEYS, 'keys')}") for key in said if key not in _KEYS]
    if "config" not in said:
        problems.append(("config", "missing: what the record holds stands under [config]"))
    name = said.get("name", name_of(stem))
    if not isinstance(name, str):
        problems.append(("name", "expected a string" if "name" in said else "the file's name says none"))
    about, config = said.get("about", {}), said.get("config", {})
    for key, value in (("about", about), ("config", config)):
        if not isinstance(value, dict):
            problems.append((key, "expected a table"))
    if problems:
        raise ConfigError(problems)
    try:
        change = Change(kind, str(name), _unescaped(config), _about(about))
        _escaped(change.config, 0)
    except (ValueError, RecursionError) as error:
        raise ConfigError([("", str(error))]) from None
    check([change])
    return change


def _about(said: Json) -> About:
    unknown = [key for key in said if key not in _ABOUT]
    if unknown:
        raise ValueError(f"about.{unknown[0]}: unknown key{nearest(unknown[0], list(_ABOUT), 'keys')}")
    return msgspec.convert(said, About)


def _escaped(value: Any, depth: int) -> Any:
    if depth > DEEPEST:
        raise ValueError(f"is nested more than {DEEPEST} deep")
    if value is None:
        return {_NULL: True}
    if isinstance(value, Mapping):
        if len(value) == 1 and _LIKE_NULL.fullmatch(only := next(iter(value))):
            return {f"${only}": _escaped(value[only], depth + 1)}
        return {key: _escaped(value[key], depth + 1) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_escaped(each, depth + 1) for each in value]
    return value


def _unescaped(value: Any) -> Any:
    if isinstance(value, dict):
        if value == {_NULL: True}:
            return None
        if len(value) == 1 and _LIKE_NULL.fullmatch(only := next(iter(value))) and only != _NULL:
            return {only[1:]: _unescaped(value[only])}
        return {key: _unescaped(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_unescaped(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no value of JSON")
    if not isinstance(value, str | int | float):
        raise ValueError(f"a {type(value).__name__} is no value of JSON; write it as a string")
    return value
