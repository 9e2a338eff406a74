"""An ASGI application that answers into a `Reply`: the routes of the A2A SDK."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Scope

from portico.api import METHOD_NOT_FOUND, POLICY_DENIED, RATE_LIMITED, Refused, Reply
from portico_plugins.transports.a2a.bodies import rest_error
from portico_plugins.transports.over_http.wire import JSON

PATIENCE: float = 30.0
"""Seconds a client may take nothing of what waits for it before it is cut off."""

_WORDS: Final = {
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
_REFUSED: Final = {METHOD_NOT_FOUND: 404, POLICY_DENIED: 403, RATE_LIMITED: 429}
"""HTTP status of what is refused before the SDK has answered; 503 for all other reasons."""
_DROPPED: Final = frozenset({b"content-length", b"connection"})  # the server's own business
_WHOLE_FLOAT: Final = re.compile(
    rb'("(?:[^"\\]++|\\.)*+"?)|(?<=[\s:,\[])(-?\d++)\.0(?=[\s,\]}]|\Z)', re.DOTALL
)

_MAYBE: Final = re.compile(rb"[:\[,] ?-?\d++\.0[,\]}\s]|\A-?\d++\.0\Z")
"""There is such a number, or what looks like one inside a string; quicker than looking closely."""


def with_integers(text: bytes) -> bytes:
    """JSON text in which whole numbers are written without a fraction.

    ProtoJSON keeps every number of a JSON value as a float, and Python writes those as `3.0`.
    """
    if _MAYBE.search(text) is None:
        return text
    return _WHOLE_FLOAT.sub(lambda found: found[1] if found[1] is not None else found[2], text)


async def answer_inside(app: ASGIApp, scope: Scope, body: bytes, reply: Reply) -> None:
    """Have an application answer a request; cancel it when the client leaves.

    Args:
        app: Writes JSON, or server-sent events with one JSON text each.
        scope: The request.
        body: Its body.
        reply: Where the answer goes.

    Raises:
        Exception: The application failed in a way that nobody meant; its client has been told that much.
    """
    requests: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    head: Message = {}
    streaming = False

    async def receive() -> Message:
        if requests:
            return requests.pop()
        await asyncio.get_running_loop().create_future()  # that the client leaves is a cancellation here
        raise AssertionError

    async def send(message: Message) -> None:
        nonlocal head, streaming
        if message["type"] == "http.response.start":
            head = message
            return
        if message["type"] != "http.response.body":
            return
        data = with_integers(message.get("body", b""))
        more = message.get("more_body", False)
        headers = [(bytes(k).lower(), bytes(v)) for k, v in head["headers"]]
        headers = [pair for pair in headers if pair[0] not in _DROPPED]
        if not more and not streaming:
            reply.on_gone = None
            reply.send(head["status"], headers, data)
            return
        if not streaming:
            streaming = True
            reply.start(head["status"], headers)
        if data:
            reply.write(data)
        if not more:
            reply.on_gone = None
            reply.end()
        elif reply.full:
            try:
                async with asyncio.timeout(PATIENCE):
                    await reply.room()
            except TimeoutError:
                reply.cut()  # which is a cancellation, as above
                await asyncio.get_running_loop().create_future()

    try:
        await app(scope, receive, send)
    except Exception as error:
        reply.on_gone = None
        if streaming:
            reply.cut()
        else:
            status, word, text = _said(error)
            reply.send(status, JSON, rest_error(status, word, text))
        if not isinstance(error, HTTPException | Refused):
            raise


def _said(error: Exception) -> tuple[int, str, str]:
    """What a client is told of an exception that got here."""
    if isinstance(error, HTTPException):
        return error.status_code, _WORDS.get(error.status_code, "UNKNOWN"), error.detail
    if isinstance(error, Refused):
        status = _REFUSED.get(error.code, 503)
        return status, _WORDS[status], error.message
    return 500, "INTERNAL", "Internal error"
