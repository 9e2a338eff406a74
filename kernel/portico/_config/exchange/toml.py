"""Writes TOML. The standard library only reads it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from portico._core.contracts.json import Json

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPED: Final = re.compile(r'["\\\x00-\x1f\x7f]')
_ESCAPED_IN_LINES: Final = re.compile(r"[\\\x00-\x08\x0b-\x1f\x7f]")
_QUOTE_IN_LINES: Final = re.compile(r'"(?="|\Z)')
"""One that could be taken for the end with its neighbours."""
_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_WIDE: Final = 100


def dumps(table: Mapping[str, Any]) -> str:
    """A JSON object as TOML: values first, then its tables under headers. Nulls are left out, TOML has none.

    What it is again when it is read, nulls aside. A string of several lines stands on as many.

    Raises:
        TypeError: A value is none of JSON.
    """
    return "\n".join(_lines(without_nulls(table), ())).lstrip("\n") + "\n"


def without_nulls(node: Any) -> Any:
    """A copy without the members of objects, and the elements of arrays, that are null."""
    if isinstance(node, Mapping):
        return {key: without_nulls(value) for key, value in node.items() if value is not None}
    if isinstance(node, list | tuple):
        return [without_nulls(value) for value in node if value is not None]
    return node


def _lines(table: Json, place: tuple[str, ...]) -> Iterator[str]:
    plain = {key: value for key, value in table.items() if not _own_table(value)}
    tables = {key: value for key, value in table.items() if _own_table(value)}
    if place and (plain or not tables):
        yield ""
        yield f"[{'.'.join(map(key_text, place))}]"
    for key, value in plain.items():
        lines = isinstance(value, str) and "\n" in value
        yield f"{key_text(key)} = {_lines_of_text(value) if lines else value_text(value)}"
    for key, value in tables.items():
        yield from _lines(value, (*place, key))


def _own_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def key_text(key: str) -> str:
    """A key, quoted if it must be."""
    return key if _BARE.fullmatch(key) else _string(key)


def value_text(value: Any) -> str:
    """A JSON value on one line, or an array on several where one would be too long.

    Raises:
        TypeError: It is none of JSON.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else ("nan" if math.isnan(value) else f"{value}")
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key_text(key)} = {value_text(each)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        parts = [value_text(each) for each in value]
        text = f"[{', '.join(parts)}]"
        return text if len(text) <= _WIDE else "[\n" + "".join(f"    {part},\n" for part in parts) + "]"
    raise TypeError(f"TOML has no {type(value).__name__}")


def _string(text: str) -> str:
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _lines_of_text(text: str) -> str:
    """A string of several lines, on as many: a change of one is a change of one in the file."""
    inner = _ESCAPED_IN_LINES.sub(_escape, text)
    return '"""\n' + _QUOTE_IN_LINES.sub('\\\\"', inner) + '"""'


def _escape(match: re.Match[str]) -> str:
    return _SHORT.get(match[0]) or f"\\u{ord(match[0]):04x}"
