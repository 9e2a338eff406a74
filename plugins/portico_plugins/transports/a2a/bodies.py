"""Bodies of requests, read strictly before the SDK reads them; and errors in the words of HTTP+JSON."""

from __future__ import annotations

import msgspec

from portico.api import INVALID_REQUEST, Id, Json, Refused, parse


def params_in(body: bytes, *, rest: bool, depth: int) -> tuple[Id, Json]:
    """The id of a JSON-RPC request, and the parameters of the operation, decoded exactly.

    Args:
        body: JSON, or what should be.
        rest: Whether it is of the HTTP+JSON binding, and not JSON-RPC.
        depth: How deep arrays and objects may nest.

    Raises:
        Refused: -32700 for what is not strict JSON, or ambiguous; -32600 for what is no request.
    """
    if rest:
        whole = b'{"jsonrpc":"2.0","id":1,"method":"rest","params":%b}' % body
        return None, parse(whole, depth=depth + 1).params
    message = parse(body, depth=depth)
    if message.kind in ("result", "error"):
        raise Refused(INVALID_REQUEST, "Invalid request: nothing was asked here")
    return message.id, message.params


def rest_error(status: int, word: str, message: str) -> bytes:
    """An error as HTTP+JSON has it: google.rpc.Status (A2A 11.6).

    Args:
        status: The HTTP status.
        word: The name of the gRPC code.
        message: One sentence.
    """
    return msgspec.json.encode({"error": {"code": status, "status": word, "message": message}})
