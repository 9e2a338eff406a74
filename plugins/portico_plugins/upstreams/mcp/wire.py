"""JSON-RPC on the upstream side: messages taken apart with payloads untouched, requests put together."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final

import attrs
import msgspec

from portico.api import (
    LATEST_MODERN,
    META_CAPABILITIES,
    META_CLIENT_INFO,
    META_LOG_LEVEL,
    META_PREFIX,
    META_VERSION,
    RELATED_TASK,
    Exchange,
    Json,
    Principal,
    Refused,
    SseTooLarge,
)

encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder().decode

_ids: Final = itertools.count(1)


def next_id() -> int:
    """A request id that no other request of this process has; it also serves as progress token."""
    return next(_ids)


_ABSENT: Final = msgspec.Raw()


class Message(msgspec.Struct):
    """One JSON-RPC message; members that are absent are empty."""

    id: msgspec.Raw = _ABSENT
    method: str = ""
    params: msgspec.Raw = _ABSENT
    result: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT

    @property
    def request_id(self) -> int | None:
        """Whose answer this is, when the id is one of ours."""
        text = bytes(self.id).strip(b'"')  # a few servers echo numbers as strings
        return int(text) if text.isdigit() and len(text) < 19 else None

    def arguments(self) -> Json:
        """The decoded params, `{}` when absent.

        Raises:
            Garbled: They are no JSON object.
        """
        if not bytes(self.params):
            return {}
        try:
            params = decode(self.params)
        except (ValueError, RecursionError) as error:
            raise Garbled("params") from error
        if params is None:
            return {}
        if not isinstance(params, dict):
            raise Garbled("params")
        return params


class _Error(msgspec.Struct):
    code: int
    message: str = ""
    data: Any = None


class Garbled(ValueError):
    """Bytes from an upstream that are no JSON-RPC message."""


_AFTER: Final = frozenset({b",", b"}"})

_one: Final = msgspec.json.Decoder(Message).decode
_many: Final = msgspec.json.Decoder(list[Message]).decode
_error: Final = msgspec.json.Decoder(_Error).decode


def messages(data: bytes | bytearray | str) -> list[Message]:
    """The messages in one body, event or line; several only as the batches of 2025-03-26.

    Raises:
        Garbled: It is not strict UTF-8 JSON, or not JSON-RPC.
    """
    try:
        if not isinstance(data, str) and not data.isascii():
            data.decode()  # payloads are kept as bytes, which skips the decoder's own check
        many = data[:1] not in ("{", b"{") and data[:64].lstrip()[:1] in ("[", b"[")
        found = _many(data) if many else [_one(data)]
    except (ValueError, RecursionError) as error:
        raise Garbled("not JSON-RPC") from error
    for message in found:
        answer_ = message.error is not _ABSENT or (
            message.id is not _ABSENT and message.result is not _ABSENT
        )
        if not (message.method or answer_):
            raise Garbled("neither a request nor a response")
    return found


def with_token(params: bytes, ours: int, theirs: bytes) -> bytes | None:
    """Params of a progress notification with another token in place, all other bytes as they were.

    Args:
        params: Valid JSON text.
        ours: The token it has to have.
        theirs: JSON text of the one it gets.

    Returns:
        None where that takes a closer look: another token, line breaks, escapes, or objects in it.
    """
    # In a flat object without escapes this text stands nowhere but where the member does.
    before, name, after = params.partition(b'"progressToken":')
    digits = b"%d" % ours
    end = len(digits)
    if not after.startswith(digits) or after[end : end + 1] not in _AFTER or params.count(b"{") != 1:
        return None
    # `find`, for `in` first tries whether bytes are a number, which costs more than all the rest.
    if params.find(b"\\") >= 0 or params.find(b"\n") >= 0 or params.find(b"\r") >= 0:
        return None
    if after.find(b'"progressToken"') >= 0:
        return None
    return before + name + theirs + after[end:]


def answer(message: Message) -> bytes:
    """The bytes of a response's result.

    Raises:
        Refused: The error the response carries.
        Garbled: The result is no object, or the error none.
    """
    if message.error is not _ABSENT:
        try:
            said = _error(message.error)
        except (ValueError, RecursionError) as error:
            raise Garbled("error") from error
        raise Refused(said.code, said.message, said.data)
    raw = bytes(message.result)
    if not raw.startswith(b"{"):
        raise Garbled("result")
    return raw


def refusal(data: bytes) -> Refused | None:
    """The JSON-RPC error in the body of an HTTP error, if there is one."""
    try:
        for message in messages(data):
            if bytes(message.error):
                answer(message)
    except Refused as refused:
        return refused
    except Garbled:
        pass
    return None


def request(ident: int, method: str, params: Mapping[str, Any] | None) -> bytes:
    """The bytes of a request."""
    body: Json = {"jsonrpc": "2.0", "id": ident, "method": method}
    if params is not None:
        body["params"] = params
    return encode(body)


def notification(method: str, params: Mapping[str, Any] | None = None) -> bytes:
    """The bytes of a notification."""
    return encode({"jsonrpc": "2.0", "method": method, **({"params": params} if params else {})})


def response(ident: msgspec.Raw, result: Json) -> bytes:
    """The bytes of a response; the id is echoed as it came."""
    return encode({"jsonrpc": "2.0", "id": ident, "result": result})


def error_response(ident: msgspec.Raw, refusal: Refused) -> bytes:
    """The bytes of an error response. What `data` the gateway added for its own clients is left out."""
    body = refusal.body()
    if isinstance(refusal.data, dict) and "gateway" in refusal.data:
        del body["data"]
    return encode({"jsonrpc": "2.0", "id": ident, "error": body})


def again(refusal: Refused) -> Refused:
    """The same refusal for another caller; one exception raised many times would hoard tracebacks."""
    return Refused(refusal.code, refusal.message, refusal.data)


def fault(error: ValueError) -> str:
    """What is wrong with a stream that cannot be read."""
    return "message_too_large" if isinstance(error, SseTooLarge) else "malformed_message"


@attrs.frozen
class Caller:
    """On whose behalf something is sent.

    Attributes:
        principal: The identity; the gateway's own for lists and shared sessions.
        authorization: What the client gave for this upstream (`X-Upstream-Authorization`), "" for nothing.
        environment: Variables of its process that the client's headers give.
    """

    principal: Principal
    authorization: str = attrs.field(default="", repr=False)
    environment: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)


def _meta(params: Json) -> Json:
    meta = params.get("_meta")
    return meta if isinstance(meta, dict) else {}


def modern_params(exchange: Exchange, ident: int) -> Json:
    """An exchange's params with the `_meta` every modern request has; other `_meta` keys stay."""
    meta = {
        key: value
        for key, value in _meta(exchange.params).items()
        if key not in (META_LOG_LEVEL, "progressToken")
    }
    meta[META_VERSION] = LATEST_MODERN
    meta[META_CAPABILITIES] = exchange.capabilities
    if exchange.client_info is not None:
        meta[META_CLIENT_INFO] = exchange.client_info
    if exchange.log_level is not None:
        meta[META_LOG_LEVEL] = exchange.log_level
    if exchange.progress_token is not None:
        meta["progressToken"] = ident
    return {**exchange.params, "_meta": meta}


_RETOUCHED: Final = frozenset({"_meta", "inputResponses", "requestState"})


def legacy_params(exchange: Exchange, ident: int) -> Json:
    """An exchange's params without what only the modern era knows."""
    params = exchange.params
    if exchange.progress_token is None and params.keys().isdisjoint(_RETOUCHED):
        return params
    params = {k: v for k, v in params.items() if k not in _RETOUCHED}
    meta = {
        key: value
        for key, value in _meta(exchange.params).items()
        if key != "progressToken" and (not key.startswith(META_PREFIX) or key == RELATED_TASK)
    }
    if exchange.progress_token is not None:
        meta["progressToken"] = ident
    if meta:
        params["_meta"] = meta
    return params


def task_of(params: Json) -> str:
    """The server's id of the task a message belongs to, "" for none."""
    related = _meta(params).get(RELATED_TASK)
    own = related.get("taskId") if isinstance(related, dict) else None
    return own if isinstance(own, str) else ""


def unrelated(value: Json) -> Json:
    """A result, or params, of a task's without its id: clients know it by another."""
    meta = _meta(value)
    if RELATED_TASK not in meta:
        return value
    rest = {key: each for key, each in meta.items() if key != RELATED_TASK}
    value = {key: each for key, each in value.items() if key != "_meta"}
    return {**value, "_meta": rest} if rest else value


def own_params(params: Json | None, info: Json, capabilities: Json) -> Json:
    """Params of a modern request the gateway makes for itself."""
    meta = {META_VERSION: LATEST_MODERN, META_CAPABILITIES: capabilities, META_CLIENT_INFO: info}
    return {**(params or {}), "_meta": meta}
