"""JSON-RPC 2.0 on bytes: strict decoding of one message, and the frames we write.

The decoder refuses what parsers disagree about (duplicate members, odd ids, deep nesting), because two
readers of one message who see different things are a security hole.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import attrs
import msgspec

from portico._core.contracts.json import Json
from portico._core.errors import INVALID_REQUEST, PARSE_ERROR, Refused

encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder().decode
_texts: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode

Id = str | int | None

_FEW_NAMES: Final = 32
_ESCAPED: Final = re.compile(r'["\\\x00-\x1f]')

# Possessive, and a string may lack its end: whatever the input, each byte is looked at once.
_OPENERS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


@attrs.define(slots=True)
class Message:
    """One decoded message.

    Attributes:
        kind: "request", "notification", "result" or "error".
        id: The JSON-RPC id; None for notifications.
        method: "" for responses.
        params: `{}` when absent.
        answer: The `result` or `error` object of a response.
    """

    kind: str
    id: Id
    method: str
    params: Json
    answer: Any = None


def _invalid(why: str) -> Refused:
    return Refused(INVALID_REQUEST, f"Invalid request: {why}")


def depth_exceeds(body: bytes, limit: int) -> bool:
    """Whether arrays and objects nest deeper than `limit`; strings are skipped."""
    if body.count(b"[") + body.count(b"{") <= limit:
        return False
    depth = 0
    for token in _OPENERS.finditer(body):
        char = body[token.start()]
        if char in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif char in b"]}":
            depth -= 1
    return False


def _has_duplicates(body: bytes) -> bool:
    """Whether a member stands twice in the envelope or at the top of `params`; `body` is valid JSON.

    Called only when a look at the text suggests it: the second parser costs as much as the first.
    """
    envelope: tuple[tuple[str, Any], ...] = json.loads(body, object_pairs_hook=tuple, parse_int=str)
    objects = [
        envelope,
        *(value for name, value in envelope if name == "params" and isinstance(value, tuple)),
    ]
    return any(len({name for name, _ in members}) < len(members) for members in objects)


def parse(body: bytes, *, depth: int = 64) -> Message:
    """Decode one message.

    Args:
        body: UTF-8 JSON text.
        depth: How deep arrays and objects may nest.

    Raises:
        Refused: -32700 for what is not strict JSON (or is ambiguous), -32600 for what is not one JSON-RPC
            message. A batch is -32600: only 2025-03-26 knew them, and transports take them apart first.
    """
    return shape(_load(body, depth), body)


def parse_batch(body: bytes, *, depth: int = 64, most: int = 50) -> list[Message | Refused]:
    """Decode a 2025-03-26 batch; a member that is no message is the `Refused` to answer it with.

    Raises:
        Refused: The array itself is unacceptable: empty, too long, or not strict JSON.
    """
    items = _load(body, depth)
    if not isinstance(items, list) or not items:
        raise _invalid("an empty batch")
    if len(items) > most:
        raise _invalid(f"a batch of {len(items)} messages; at most {most} are taken")
    out: list[Message | Refused] = []
    # Each member's own text, for in what was decoded a member that stands twice stands once.
    for item, text in zip(items, _texts(body), strict=True):
        try:
            out.append(shape(item, bytes(text)))
        except Refused as refusal:
            out.append(refusal)
    return out


def _load(body: bytes, depth: int) -> Any:
    if depth_exceeds(body, depth):
        raise Refused(PARSE_ERROR, f"Parse error: nested deeper than {depth} levels")
    try:
        return decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Refused(PARSE_ERROR, "Parse error: the body is not valid UTF-8 JSON") from None


def shape(item: Any, body: bytes) -> Message:
    """Judge a decoded value as one JSON-RPC message; `body` is its text.

    Raises:
        Refused: -32600, or -32700 when a member stands twice.
    """
    if not isinstance(item, dict):
        raise _invalid("expected one JSON object" + (", not a batch" if isinstance(item, list) else ""))
    params = item.get("params")
    # What encodes to the very same text cannot have lost a member: so it is with compact JSON, which nearly
    # all clients write. Only other text is looked at closely.
    if encode(item) != body and _suspicious(body, item, params) and _has_duplicates(body):
        raise Refused(PARSE_ERROR, "Parse error: a member stands twice in one object")
    if item.get("jsonrpc") != "2.0":
        raise _invalid('"jsonrpc" must be "2.0"')
    has_id = "id" in item
    ident = item.get("id")
    if has_id and (isinstance(ident, bool) or not isinstance(ident, str | int)):
        raise _invalid('"id" must be a string or an integer')
    method = item.get("method")
    if method is None:
        return _response(item, ident, has_id)
    if not isinstance(method, str) or not method or len(method) > 256:
        raise _invalid('"method" must be a string')
    if params is None and "params" not in item:
        params = {}
    if not isinstance(params, dict):
        raise _invalid('"params" must be an object')
    meta = params.get("_meta")
    if meta is not None and not isinstance(meta, dict):
        raise Refused(-32602, 'Invalid params: "_meta" must be an object')
    if not has_id:
        return Message("notification", None, method, params)
    if method.startswith("notifications/"):
        raise _invalid("a notification must not have an id")
    return Message("request", ident, method, params)


def _suspicious(body: bytes, item: Json, params: Any) -> bool:
    # An escape can spell a name another way ("\\u006dethod"), so such bodies are looked at closely.
    if b"\\u" in body or b"\\/" in body:
        return True
    names = [*item, *(params if isinstance(params, dict) else ())]
    if len(names) > _FEW_NAMES:
        return True
    # A name that can only be written with an escape cannot be looked for either.
    return any(_ESCAPED.search(name) or body.count(b'"%s"' % name.encode()) > 1 for name in names)


def _response(item: Json, ident: Any, has_id: bool) -> Message:
    if not has_id:
        raise _invalid('neither "method" nor "id"')
    if ("result" in item) == ("error" in item):
        raise _invalid('a response has either "result" or "error"')
    if "result" in item:
        if not isinstance(item["result"], dict):
            raise _invalid('"result" must be an object')
        return Message("result", ident, "", {}, item["result"])
    if not isinstance(item["error"], dict):
        raise _invalid('"error" must be an object')
    return Message("error", ident, "", {}, item["error"])


def result_frame(ident: Id, result: bytes) -> bytes:
    """A response, the result's bytes spliced in unchanged."""
    return b"".join(result_pieces(ident, result))


def result_pieces(ident: Id, result: bytes) -> tuple[bytes, ...]:
    """A response in pieces, for those who can write it so: a long result is then not copied."""
    return (b'{"jsonrpc":"2.0","id":%b,"result":' % encode(ident), result, b"}")


def error_frame(ident: Id, error: Json) -> bytes:
    """An error response; `ident` None where the request's id could not be read."""
    return b'{"jsonrpc":"2.0","id":%s,"error":%s}' % (encode(ident), encode(error))


def request_frame(ident: Id, method: str, params: Json) -> bytes:
    """A request."""
    return encode({"jsonrpc": "2.0", "id": ident, "method": method, "params": params})


def notification_frame(method: str, params: Json) -> bytes:
    """A notification; empty params are left out."""
    return encode({"jsonrpc": "2.0", "method": method, **({"params": params} if params else {})})


def progress_frame(params: bytes) -> bytes:
    """A progress notification, the params' bytes spliced in unchanged."""
    return b'{"jsonrpc":"2.0","method":"notifications/progress","params":%b}' % params
