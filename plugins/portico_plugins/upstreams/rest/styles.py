"""How values are written in paths, queries, headers and cookies (OpenAPI, Style Values; RFC 6570)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

import msgspec

from .document import Unfit
from .parameters import Parameter

RESERVED: Final = ":/?@!$'()*,;"
"""What `allowReserved` leaves as it is; never what could end the parameter."""
_LAYERS: Final = 32
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SEPARATORS: Final = {
    "form": ",",
    "spaceDelimited": "%20",
    "pipeDelimited": "%7C",
    "tabDelimited": "%09",
    "cookie": ",",
}
_encode = msgspec.json.Encoder().encode

Pairs = list[tuple[str, str]]


def text(value: Any) -> str:
    """A single value as text; what has members is JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else _encode(value).decode()


def quoted(value: Any, safe: str = "") -> str:
    """A single value, percent-encoded."""
    return quote(text(value), safe=safe)


def query(parameter: Parameter, value: Any) -> Pairs:
    """A value as percent-encoded pairs of a query."""
    safe = RESERVED if parameter.reserved else ""
    if parameter.json:
        return [(quote(parameter.name, safe=""), quote(_encode(value).decode(), safe=safe))]
    return pairs(parameter.name, value, parameter.style, parameter.explode, safe)


def pairs(name: str, value: Any, style: str, explode: bool, safe: str = "") -> Pairs:
    """A value as percent-encoded pairs.

    Args:
        name: The parameter.
        value: Its value.
        style: `form`, `deepObject`, or one of those with a separator.
        explode: Whether members are pairs of their own.
        safe: Characters to leave as they are.
    """
    own = quote(name, safe="")
    if style == "deepObject" and isinstance(value, dict):
        return [
            pair for key, item in value.items() for pair in _deep(f"{own}%5B{quoted(key)}%5D", item, safe)
        ]
    if isinstance(value, list):
        if explode:
            return [(own, quoted(item, safe)) for item in value]
        joined = _SEPARATORS.get(style, ",").join(quoted(item, safe) for item in value)
        return [(own, joined)] if value else []
    if isinstance(value, dict):
        if explode:
            return [(quoted(key), quoted(item, safe)) for key, item in value.items()]
        members = [quoted(part, safe) for pair in value.items() for part in pair]
        return [(own, _SEPARATORS.get(style, ",").join(members))] if value else []
    return [(own, quoted(value, safe))]


def _deep(name: str, value: Any, safe: str) -> Pairs:
    if isinstance(value, dict):
        return [
            pair for key, item in value.items() for pair in _deep(f"{name}%5B{quoted(key)}%5D", item, safe)
        ]
    if isinstance(value, list):
        return [
            pair for item in value for pair in _deep(f"{name}%5B%5D" if _members(item) else name, item, safe)
        ]
    return [(name, quoted(value, safe))]


def _members(value: Any) -> bool:
    return isinstance(value, dict | list)


def header(parameter: Parameter, value: Any) -> str:
    """A value as that of a header; nothing is encoded there."""
    return _encode(value).decode() if parameter.json else _simple(value, parameter.explode, text)


def cookie(parameter: Parameter, value: Any) -> Pairs:
    """A value as cookies."""
    if parameter.json:
        return [(quote(parameter.name, safe=""), quote(_encode(value).decode(), safe=""))]
    return pairs(parameter.name, value, parameter.style, parameter.explode)


def path(parameter: Parameter, value: Any) -> str:
    """A value as a part of a path.

    Raises:
        Unfit: It is empty, or would lead to another place.
    """
    if parameter.json:
        out = quote(_encode(value).decode(), safe="")
    elif parameter.style == "label":
        out = "." + _simple(value, parameter.explode, quoted, "." if parameter.explode else ",")
    elif parameter.style == "matrix":
        out = _matrix(parameter, value)
    else:
        out = _simple(value, parameter.explode, quoted)
    if not out or (value in ("", None) and parameter.style == "simple"):
        raise Unfit("it is a part of the path, and empty")
    if strays(out):
        raise Unfit("it is a part of the path, and would lead elsewhere")
    return out


def _matrix(parameter: Parameter, value: Any) -> str:
    own = quote(parameter.name, safe="")
    if parameter.explode and isinstance(value, list):
        return "".join(f";{own}={quoted(item)}" for item in value)
    if parameter.explode and isinstance(value, dict):
        return "".join(f";{quoted(key)}={quoted(item)}" for key, item in value.items())
    return f";{own}={_simple(value, False, quoted)}"


def _simple(value: Any, explode: bool, write: Any, separator: str = ",") -> str:
    if isinstance(value, list):
        return separator.join(write(item) for item in value)
    if isinstance(value, dict):
        pair = "=" if explode else separator
        return separator.join(f"{write(key)}{pair}{write(item)}" for key, item in value.items())
    return str(write(value))


def strays(encoded: str) -> bool:
    """Whether a part of a path leads upwards, or has control characters, however often it is decoded."""
    for _ in range(_LAYERS):
        steps = [step.partition(";")[0] for step in re.split(r"[/\\]", encoded)]
        if any(step in (".", "..") for step in steps) or _CONTROL.search(encoded):
            return True
        decoded = unquote(encoded)
        if decoded == encoded:
            return False
        encoded = decoded
    return True


def filled(template: str, values: Mapping[str, str]) -> tuple[str, str]:
    """A path template with its values, and the query that is written in the template.

    Args:
        template: As the document has it; what follows a `#` there only tells operations apart.
        values: Encoded values by name.

    Raises:
        Unfit: The result would lead elsewhere.
    """
    route, _, more = template.partition("#")[0].partition("?")
    out = []
    rest = route
    while rest:
        literal, opened, rest = rest.partition("{")
        out.append(quote(literal, safe="/:@!$&'()*+,;=~%"))
        if opened:
            name, _, rest = rest.partition("}")
            out.append(values[name])
    done = "".join(out)
    if strays(done):  # parts that are sound may together not be
        raise Unfit("the path would lead elsewhere")
    for name, value in values.items():
        more = more.replace("{" + name + "}", value)
    return done, quote(more, safe="=&/:@!$'()*+,;~%")
