"""The table of a config class's keys, from types and `doc(...)` metadata, for `plugins show` and the docs."""

from __future__ import annotations

import enum
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import attrs
import msgspec

from portico._config.wording import ARRAYS, hints_of, type_text
from portico._core.contracts.config import Ref, Secret


@attrs.frozen
class Row:
    """One config key.

    Attributes:
        key: Dotted, `NAME` standing for names the user chooses.
        type: In words.
        default: As TOML, "" when leaving it out means nothing special, "required" when it must be there.
        doc: What it is for.
    """

    key: str
    type: str
    default: str
    doc: str


def rows(config: type) -> list[Row]:
    """The keys of a factory's `config` (or any attrs class), in order, nested tables included."""
    return list(_rows(config, ""))


def _rows(config: type, prefix: str) -> Iterator[Row]:
    hints = hints_of(config)
    for field in attrs.fields(config):
        if not field.init:
            continue
        key = f"{prefix}{field.name}"
        nested, suffix = _nested(hints[field.name])
        required = field.default is attrs.NOTHING
        default = "required" if required else "" if nested else _default(field.default)
        yield Row(key, type_text(hints[field.name]), default, field.metadata.get("doc", ""))
        if nested is not None:
            yield from _rows(nested, f"{key}{suffix}.")


def _nested(hint: Any) -> tuple[type | None, str]:
    """The attrs class a field's tables are of, and what comes between its key and theirs."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        found = [_nested(arg) for arg in args]
        return next((one for one in found if one[0] is not None), (None, ""))
    if origin in (dict, Mapping):
        inner, suffix = _nested(args[1])
        return inner, f".NAME{suffix}"
    if origin in ARRAYS and args:
        inner, suffix = _nested(args[0])
        return inner, f"[]{suffix}"
    return (
        (hint, "") if isinstance(hint, type) and attrs.has(hint) and hint not in (Secret, Ref) else (None, "")
    )


def _default(value: Any) -> str:
    if isinstance(value, attrs.Factory):  # type: ignore[arg-type]
        value = None if value.takes_self else value.factory()
    return "" if value is None else _toml(value)


def _toml(value: Any) -> str:
    if isinstance(value, Ref):
        return _toml(value.name)
    if isinstance(value, Secret):
        return "(secret)"
    if isinstance(value, enum.Enum):
        return _toml(value.value)
    if isinstance(value, Path):
        return _toml(str(value))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, set | frozenset):
        return f"[{', '.join(sorted(map(_toml, value)))}]"
    return msgspec.json.encode(value).decode()


def markdown(config: type) -> str:
    """The keys as a Markdown table; a sentence when there are none."""
    table = rows(config)
    if not table:
        return "No configuration."
    lines = ["| key | type | default | |", "| --- | --- | --- | --- |"]
    for row in table:
        default = row.default if row.default in ("", "required") else f"`{row.default}`"
        cells = (f"`{row.key}`", row.type, default, row.doc)
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines)
