"""The MCP routing headers (2026-07-28, streamable HTTP): how values are encoded, and the ladder of checks."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final

from portico._core.contracts.json import Json
from portico._core.errors import HEADER_MISMATCH, Refused
from portico._core.protocol.envelope import check_envelope, check_served
from portico._core.protocol.eras import (
    META_VERSION,
    NAME_PARAM,
)

ROUTING_HEADERS: Final = frozenset({"mcp-protocol-version", "mcp-method", "mcp-name"})
"""The header fields that mirror the body of a modern request; names in lower case."""

_SENTINEL: Final = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_PLAIN: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?|")


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


def mismatch(what: str) -> Refused:
    """Headers and body do not say the same."""
    return Refused(HEADER_MISMATCH, f"Header mismatch: {what}")


def check_routing(method: str, params: Json, lines: Iterable[tuple[str, str]]) -> None:
    """The header/body ladder of a modern request; the first rung that fails is the answer.

    Args:
        method: The body's method.
        params: The body's params.
        lines: All header lines, names in lower case, repeated ones repeated.

    Raises:
        Refused: -32020 for a repeated header, -32602 for lacking `_meta` keys, -32020 for a missing or
            disagreeing header, -32022 for a version we do not serve, -32601 for a method of the other era; in
            this order.
    """
    said: dict[str, str] = {}
    for name, value in lines:
        if name in ROUTING_HEADERS:
            if name in said:
                raise mismatch(f"{name} stands twice")
            said[name] = value.strip(" \t")
    check_envelope(params.get("_meta"))
    meta: Json = params["_meta"]
    version = meta[META_VERSION]
    if said.get("mcp-protocol-version") != version:
        raise mismatch("MCP-Protocol-Version and the body's protocolVersion must be equal")
    if said.get("mcp-method") != method:
        raise mismatch("Mcp-Method and the body's method must be equal")
    field = NAME_PARAM.get(method)
    if field is not None:
        if "mcp-name" not in said:
            raise mismatch("Mcp-Name is missing")
        decoded = decode_header_value(said["mcp-name"])
        if decoded is None or decoded != params.get(field):
            raise mismatch(f"Mcp-Name and the body's params.{field} must be equal")
    check_served(method, version)
