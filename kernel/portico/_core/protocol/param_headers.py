"""Arguments that headers mirror (2026-07-28, custom headers): `x-mcp-header`, and `Mcp-Param-*`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from portico._core.contracts.json import Json
from portico._core.protocol.headers import decode_header_value, encode_header_value, mismatch

HeaderMap = Mapping[tuple[str, ...], str]
"""Property path -> `x-mcp-header` token, of one tool's input schema."""

PARAM_PREFIX: Final = "mcp-param-"

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_INTEGER: Final = re.compile(r"([+-]?[0-9]{1,4300})(?:\.0+)?")
_ONE: Final = [
    "items",
    "contains",
    "unevaluatedItems",
    "additionalProperties",
    "propertyNames",
    "unevaluatedProperties",
    "not",
    "if",
    "then",
    "else",
    "contentSchema",
]
_SEVERAL: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED: Final = ("patternProperties", "dependentSchemas", "$defs", "definitions")


def _schemas(root: Any) -> Iterator[tuple[tuple[str, ...] | None, Json]]:
    """Every schema position below `root`; the path is None off the pure `properties` chain.

    Data keywords (`default`, `enum`, `const`) are not entered and `$ref` is not followed.
    """
    stack: list[tuple[tuple[str, ...] | None, Any]] = [((), root)]
    while stack:
        path, node = stack.pop()
        if not isinstance(node, dict):
            continue
        yield path, node
        properties = node.get("properties")
        if isinstance(properties, dict):
            stack += [((*path, key) if path is not None else None, sub) for key, sub in properties.items()]
        stack += [(None, node[key]) for key in _ONE if key in node]
        for key in _SEVERAL:
            if isinstance(node.get(key), list):
                stack += [(None, sub) for sub in node[key]]
        for key in _NAMED:
            if isinstance(node.get(key), dict):
                stack += [(None, sub) for sub in node[key].values()]


def invalid_header_reason(schema: Any) -> str | None:
    """Why a tool's `x-mcp-header` annotations break the rules; None when they do not.

    A tool that does is left out of lists over HTTP (2026-07-28, custom headers); others stay.
    """
    seen: set[str] = set()
    for path, node in _schemas(schema):
        if "x-mcp-header" not in node:
            continue
        token = node["x-mcp-header"]
        if not path:
            return "x-mcp-header stands where no chain of properties leads"
        where = ".".join(path)
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            return f"property {where!r}: x-mcp-header is not an RFC 9110 token"
        kind = node.get("type")
        if kind not in ("string", "integer", "boolean"):
            return f"property {where!r}: x-mcp-header needs type string, integer or boolean"
        if token.lower() in seen:
            return f"property {where!r}: x-mcp-header {token!r} is used twice"
        seen.add(token.lower())
    return None


def header_map(schema: Any) -> dict[tuple[str, ...], str]:
    """The annotated properties of a schema that `invalid_header_reason` finds nothing wrong with."""
    return {
        path: node["x-mcp-header"]
        for path, node in _schemas(schema)
        if path and isinstance(node.get("x-mcp-header"), str)
    }


def _at(arguments: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(arguments, dict):
            return None
        arguments = arguments.get(key)
    return arguments


def _scalar(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON Schema calls 42.0 an integer, too
    if isinstance(value, int):
        try:
            return str(value)
        except ValueError:  # beyond sys.get_int_max_str_digits
            return None
    return value if isinstance(value, str) else None


def param_headers(headers: HeaderMap, arguments: Any) -> dict[str, str]:
    """The `Mcp-Param-*` headers a call mirrors; absent and null arguments have none."""
    out: dict[str, str] = {}
    for path, token in headers.items():
        text = _scalar(_at(arguments, path))
        if text is not None:
            out[f"Mcp-Param-{token}"] = encode_header_value(text)
    return out


def check_params(headers: HeaderMap, arguments: Any, lines: Iterable[tuple[str, str]]) -> None:
    """Compare `Mcp-Param-*` header lines (names in lower case) with the arguments they mirror.

    Raises:
        Refused: -32020: a header is missing, stands twice, is badly encoded or says something else.
    """
    given: dict[str, str] = {}
    for name, value in lines:
        if name.startswith(PARAM_PREFIX):
            if name in given:
                raise mismatch("an Mcp-Param header stands twice")
            given[name] = value
    for path, token in headers.items():
        name = PARAM_PREFIX + token.lower()
        value = _at(arguments, path)
        text = _scalar(value)
        if name not in given:
            if text is not None:
                raise mismatch(f"Mcp-Param-{token} is missing, but the body has a value for it")
            continue
        said = decode_header_value(given[name].strip(" \t"))
        if said is None:
            raise mismatch(f"Mcp-Param-{token} is not validly encoded")
        if text is None or not _same(said, value, text):
            raise mismatch(f"Mcp-Param-{token} differs from the body")


def _same(said: str, value: Any, text: str) -> bool:
    number = _INTEGER.fullmatch(said)
    if number and isinstance(value, int | float) and not isinstance(value, bool):
        return int(number[1]) == value
    return said == text
