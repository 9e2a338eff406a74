"""Bodies of requests, read strictly before the SDK reads them; and errors in the words of HTTP+JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from portico.api import INVALID_PARAMS, INVALID_REQUEST, Id, Json, Refused, parse

_VERSION_NOT_SUPPORTED: Final = -32009
_OF_0_3: Final = frozenset(
    {
        "message/send",
        "message/stream",
        "tasks/get",
        "tasks/cancel",
        "tasks/resubscribe",
        "tasks/pushNotificationConfig/set",
        "tasks/pushNotificationConfig/get",
        "tasks/pushNotificationConfig/list",
        "tasks/pushNotificationConfig/delete",
        "agent/getAuthenticatedExtendedCard",
    }
)
"""What A2A 0.3 calls its methods."""


def params_in(body: bytes, *, rest: bool, depth: int, old: bool = False) -> tuple[Id, Json]:
    """The id of a JSON-RPC request, and the parameters of the operation, decoded exactly.

    Args:
        body: JSON, or what should be.
        rest: Whether it is of the HTTP+JSON binding, and not JSON-RPC.
        depth: How deep arrays and objects may nest.
        old: Whether methods of A2A 0.3 are refused as such.

    Raises:
        Refused: -32700 for what is not strict JSON, or ambiguous; -32600 for what is no request.
    """
    if rest:
        whole = b'{"jsonrpc":"2.0","id":1,"method":"rest","params":%b}' % body
        return None, parse(whole, depth=depth + 1).params
    try:
        message = parse(body, depth=depth)
    except Refused as refusal:
        if refusal.code == INVALID_REQUEST:  # then it is JSON
            raise _known(refusal, msgspec.json.decode(body)) from None
        raise
    if message.kind in ("result", "error"):
        raise Refused(INVALID_REQUEST, "Invalid request: nothing was asked here")
    if old and message.method in _OF_0_3:
        raise Unread(Refused(_VERSION_NOT_SUPPORTED, "A2A 0.3 is not supported here: 1.0 is"), message.id)
    return message.id, message.params


def _known(refusal: Refused, item: Any) -> Refused:
    """What to answer a request with that is none; it may still have an id."""
    if not isinstance(item, dict):
        return refusal
    ident = item.get("id")
    known = isinstance(ident, str | int) and not isinstance(ident, bool)
    if known and isinstance(item.get("method"), str) and not isinstance(item.get("params", {}), dict):
        refusal = Refused(INVALID_PARAMS, "Invalid params: expected an object")
    return Unread(refusal, ident if known else None)


class Unread(Refused):
    """A request that cannot be carried out.

    Attributes:
        ident: Its id, as far as it has one.
    """

    def __init__(self, refusal: Refused, ident: Id) -> None:
        super().__init__(refusal.code, refusal.message)
        self.ident = ident


def rest_error(status: int, word: str, message: str, details: Sequence[Json] = ()) -> bytes:
    """An error as HTTP+JSON has it: google.rpc.Status (A2A 11.6).

    Args:
        status: The HTTP status.
        word: The name of the gRPC code.
        message: One sentence.
        details: What machines may want to know.
    """
    error: Json = {"code": status, "status": word, "message": message}
    return msgspec.json.encode({"error": {**error, **({"details": details} if details else {})}})
