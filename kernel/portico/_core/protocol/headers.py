"""The MCP routing headers (2026-07-28, streamable HTTP): encoding, `x-mcp-header`, the ladder of checks."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from portico._core.contracts.json import Json
from portico._core.errors import HEADER_MISMATCH, INVALID_PARAMS, UNSUPPORTED_VERSION, Refused
from portico._core.protocol.eras import (
    LOG_LEVELS,
    META_CAPABILITIES,
    META_LOG_LEVEL,
    META_VERSION,
    MODERN_VERSIONS,
    NAME_PARAM,
)

HeaderMap = Mapping[tuple[str, ...], str]
"""Property path -> `x-mcp-header` token, of one tool's input schema."""

ROUTING_HEADERS: Final = frozenset({"mcp-protocol-version", "mcp-method", "mcp-name"})
"""The header fields that mirror the body of a modern request; names in lower case."""
PARAM_PREFIX: Final = "mcp-param-"

_SENTINEL: Final = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_PLAIN: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?|")
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


def _is_sentinel(value: str) -> bool:
    # As the specification puts it, which makes `=?base64?=` one too, though nothing can be in it.
    return value.startswith("=?base64?") and value.endswith("?=")


def encode_header_value(value: str) -> str:
    """A value as a header carries it: itself when plain, else `=?base64?...?=` of its UTF-8."""
    if _PLAIN.fullmatch(value) and not _is_sentinel(value):
        return value
    return "=?base64?" + base64.b64encode(value.encode("utf-8", "surrogatepass")).decode() + "?="


def decode_header_value(value: str) -> str | None:
    """The inverse; None for what is neither plain nor a sentinel with canonical base64 of UTF-8."""
    if not _is_sentinel(value):
        return value if _PLAIN.fullmatch(value) else None
    match = _SENTINEL.fullmatch(value)
    if match is None:
        return None
    try:
        raw = base64.b64decode(match[1], validate=True)
        return raw.decode() if base64.b64encode(raw).decode() == match[1] else None
    except (binascii.Error, ValueError):
        return None


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


def _mismatch(what: str) -> Refused:
    return Refused(HEADER_MISMATCH, f"Header mismatch: {what}")


def check_params(headers: HeaderMap, arguments: Any, lines: Iterable[tuple[str, str]]) -> None:
    """Compare `Mcp-Param-*` header lines (names in lower case) with the arguments they mirror.

    Raises:
        Refused: -32020: a header is missing, stands twice, is badly encoded or says something else.
    """
    given: dict[str, str] = {}
    for name, value in lines:
        if name.startswith(PARAM_PREFIX):
            if name in given:
                raise _mismatch("an Mcp-Param header stands twice")
            given[name] = value
    for path, token in headers.items():
        name = PARAM_PREFIX + token.lower()
        value = _at(arguments, path)
        text = _scalar(value)
        if name not in given:
            if text is not None:
                raise _mismatch(f"Mcp-Param-{token} is missing, but the body has a value for it")
            continue
        said = decode_header_value(given[name].strip(" \t"))
        if said is None:
            raise _mismatch(f"Mcp-Param-{token} is not validly encoded")
        if text is None or not _same(said, value, text):
            raise _mismatch(f"Mcp-Param-{token} differs from the body")


def _same(said: str, value: Any, text: str) -> bool:
    number = _INTEGER.fullmatch(said)
    if number and isinstance(value, int | float) and not isinstance(value, bool):
        return int(number[1]) == value
    return said == text


def check_envelope(meta: Any) -> None:
    """The `_meta` keys every modern request must have, and the level of log messages that it may have.

    Raises:
        Refused: -32602 naming what is missing or of the wrong type.
    """
    keys = meta if isinstance(meta, dict) else {}
    if META_VERSION not in keys or META_CAPABILITIES not in keys:
        missing = [key for key in (META_VERSION, META_CAPABILITIES) if key not in keys]
        raise Refused(INVALID_PARAMS, "Invalid params: _meta lacks " + " and ".join(missing))
    if not isinstance(keys[META_VERSION], str) or not isinstance(keys[META_CAPABILITIES], dict):
        raise Refused(INVALID_PARAMS, "Invalid params: a reserved _meta key has the wrong type")
    if META_LOG_LEVEL in keys and str(keys[META_LOG_LEVEL]) not in LOG_LEVELS:
        wanted = ", ".join(LOG_LEVELS)
        raise Refused(INVALID_PARAMS, f"Invalid params: {META_LOG_LEVEL} must be one of {wanted}")


def check_routing(method: str, params: Json, lines: Iterable[tuple[str, str]]) -> None:
    """The header/body ladder of a modern request; the first rung that fails is the answer.

    Args:
        method: The body's method.
        params: The body's params.
        lines: All header lines, names in lower case, repeated ones repeated.

    Raises:
        Refused: -32020 for a repeated header, -32602 for lacking `_meta` keys, -32020 for a missing or
            disagreeing header, -32022 for a version we do not serve; in this order.
    """
    said: dict[str, str] = {}
    for name, value in lines:
        if name in ROUTING_HEADERS:
            if name in said:
                raise _mismatch(f"{name} stands twice")
            said[name] = value.strip(" \t")
    check_envelope(params.get("_meta"))
    meta: Json = params["_meta"]
    version = meta[META_VERSION]
    if said.get("mcp-protocol-version") != version:
        raise _mismatch("MCP-Protocol-Version and the body's protocolVersion must be equal")
    if said.get("mcp-method") != method:
        raise _mismatch("Mcp-Method and the body's method must be equal")
    field = NAME_PARAM.get(method)
    if field is not None:
        if "mcp-name" not in said:
            raise _mismatch("Mcp-Name is missing")
        decoded = decode_header_value(said["mcp-name"])
        if decoded is None or decoded != params.get(field):
            raise _mismatch(f"Mcp-Name and the body's params.{field} must be equal")
    check_version(version)


def check_version(version: str) -> None:
    """Whether we serve this modern revision.

    Raises:
        Refused: -32022 with what we do serve.
    """
    if version not in MODERN_VERSIONS:
        raise Refused(
            UNSUPPORTED_VERSION,
            "Unsupported protocol version",
            {"supported": list(MODERN_VERSIONS), "requested": version},
        )
