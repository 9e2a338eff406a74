"""Results and errors in the words of the client's era. What needs no change keeps its very bytes."""

from __future__ import annotations

from typing import Final

import msgspec

from portico._core.contracts.exchange import Era
from portico._core.contracts.json import Json
from portico._core.contracts.result import Result
from portico._core.errors import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    MISSING_CAPABILITY,
    RESOURCE_NOT_FOUND_LEGACY,
    UNSUPPORTED_VERSION,
    UPSTREAM_BAD_RESPONSE,
    URL_ELICITATION_REQUIRED_LEGACY,
    Refused,
    failure,
)
from portico._core.protocol.eras import CACHEABLE
from portico._core.protocol.jsonrpc import encode

_MODERN_ONLY: Final = {
    HEADER_MISMATCH: INTERNAL_ERROR,
    MISSING_CAPABILITY: INVALID_REQUEST,
    UNSUPPORTED_VERSION: INTERNAL_ERROR,
}
_Raw = msgspec.Raw | msgspec.UnsetType


class _Members(msgspec.Struct):
    """The members shaping looks at; everything else is skipped unread."""

    result_type: _Raw = msgspec.field(default=msgspec.UNSET, name="resultType")
    meta: _Raw = msgspec.field(default=msgspec.UNSET, name="_meta")
    ttl: _Raw = msgspec.field(default=msgspec.UNSET, name="ttlMs")
    scope: _Raw = msgspec.field(default=msgspec.UNSET, name="cacheScope")
    structured: _Raw = msgspec.field(default=msgspec.UNSET, name="structuredContent")


_members = msgspec.json.Decoder(_Members).decode


def shape_result(result: Result, method: str, era: Era, server_info: bytes, private: bool = False) -> Result:
    """A result as a client of `era` may get it.

    Args:
        result: What the pipeline gave.
        method: The request's method.
        era: The client's.
        private: Whether answers may differ between principals, so that no "public" may stand.
        server_info: `"_meta":{...}` for results without `_meta` (2026-07-28: SHOULD be on every result).

    Raises:
        Refused: 50200 when the result is no JSON object.
    """
    raw = result.raw
    if raw is result.shaped:
        return result
    try:
        has = _members(raw)
    except msgspec.MsgspecError:
        raise failure(
            UPSTREAM_BAD_RESPONSE, "The upstream's result is not an object", reason="upstream_bad_response"
        ) from None
    if era is Era.LEGACY:
        structured = has.structured
        if isinstance(structured, msgspec.Raw) and not bytes(structured).lstrip().startswith(b"{"):
            # Legacy schemas know objects only; the text content carries the same (2025-11-25, tools).
            result.value = {k: v for k, v in result.value.items() if k != "structuredContent"}
        return result
    if private and isinstance(has.scope, msgspec.Raw) and bytes(has.scope) == b'"public"':
        # The upstream may know no principals, but who may read what here depends on them.
        result.value = {**result.value, "cacheScope": "private"}
        raw = result.raw
    add: list[bytes] = []
    if has.result_type is msgspec.UNSET:
        add.append(b'"resultType":"complete"')
    if method in CACHEABLE and result.kind == "complete":
        if has.ttl is msgspec.UNSET:
            add.append(b'"ttlMs":0')
        if has.scope is msgspec.UNSET:
            add.append(b'"cacheScope":"private"')
    if has.meta is msgspec.UNSET:
        add.append(server_info)
    if not add:
        return result
    body = raw.lstrip()[1:].lstrip()
    return Result(raw=b"{" + b",".join(add) + (b"" if body.startswith(b"}") else b",") + body, era=era)


def shape_error(refusal: Refused, method: str, params: Json, era: Era) -> Refused:
    """A refusal with codes that mean the same in the client's era."""
    code = refusal.code
    if era is Era.MODERN:
        if code == RESOURCE_NOT_FOUND_LEGACY:
            return Refused(INVALID_PARAMS, refusal.message, refusal.data or {"uri": params.get("uri")})
        if code == URL_ELICITATION_REQUIRED_LEGACY:
            return Refused(INTERNAL_ERROR, refusal.message)
        return refusal
    if code in _MODERN_ONLY:
        return Refused(_MODERN_ONLY[code], refusal.message, refusal.data)
    if (
        code == INVALID_PARAMS
        and method == "resources/read"
        and isinstance(refusal.data, dict)
        and "uri" in refusal.data
    ):
        return Refused(RESOURCE_NOT_FOUND_LEGACY, refusal.message, refusal.data)
    return refusal


def url_elicitations(refusal: Refused) -> Result | None:
    """A legacy -32042 as the modern `input_required` it amounts to; None when it names nothing to open.

    The client opens the pages and sends the request again; `elicitationId` has no modern meaning.
    """
    asked = refusal.data.get("elicitations") if isinstance(refusal.data, dict) else None
    if not isinstance(asked, list):
        return None
    requests = {
        f"url-{index}": {
            "method": "elicitation/create",
            "params": {**{k: v for k, v in item.items() if k != "elicitationId"}, "mode": "url"},
        }
        for index, item in enumerate(asked)
        if isinstance(item, dict) and isinstance(item.get("url"), str)
    }
    return Result(value={"resultType": "input_required", "inputRequests": requests}) if requests else None


def server_info_member(info: Json) -> bytes:
    """The `_meta` member that names us, ready to splice."""
    return b'"_meta":{"io.modelcontextprotocol/serverInfo":%s}' % encode(info)
