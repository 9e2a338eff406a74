"""One virtual server over HTTP+SSE: the stream, and the messages posted beside it."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import parse_qs

import attrs
from starlette.types import Receive, Scope, Send

from portico.api import FORWARDED, Endpoint, Principal, Refused, Reply, sse_event, sse_events
from portico_plugins.transports.over_http.entrance import Entrance
from portico_plugins.transports.over_http.fields import Fields, accepts
from portico_plugins.transports.over_http.wire import (
    KEEP_ALIVE,
    Raw,
    send_empty,
    send_problem,
    send_refusal,
    start_events,
)
from portico_plugins.transports.talking.lines import Line, Lines
from portico_plugins.transports.talking.outbox import Bounds
from portico_plugins.transports.talking.passed import Passed

STREAM: Final = "/sse"
MESSAGES: Final = "/messages"

_UNKNOWN: Final = b'{"error":"no such session"}'


@attrs.frozen
class Manner:
    """How streams are served.

    Attributes:
        url: Where clients reach the gateway; "" for where they have reached it.
        keep_alive: Seconds of silence before a comment.
        retry: Milliseconds clients are told to wait before they come back.
        bounds: How far behind a client may be.
        patience: Seconds it may then take nothing before it is cut off.
    """

    url: str
    keep_alive: float
    retry: int
    bounds: Bounds
    patience: float


class SseApp:
    """Serves one virtual server.

    Args:
        endpoint: The virtual server.
        most: Streams open at once.
        most_each: Streams of one principal open at once.
        manner: How they are served.
    """

    def __init__(self, endpoint: Endpoint, most: int, most_each: int, manner: Manner) -> None:
        self.endpoint = endpoint
        self.lines = Lines(endpoint, MESSAGES, most, most_each, manner.bounds)
        self._passed = Passed(endpoint, manner.bounds, manner.patience)
        self._manner = manner
        self._entrance = Entrance(endpoint, self._admitted)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request over ASGI."""
        await self._entrance.over_asgi(self.handle, scope, receive, send)

    def handle(self, scope: Scope, body: bytes, reply: Reply) -> None:
        """Serve one HTTP request whose body has come whole."""
        wanted = "GET" if scope["path"].endswith(STREAM) else "POST"
        if scope["method"] != wanted and not self.endpoint.closed:
            # Clients that try streamable HTTP first learn from the 405 that it is not spoken here.
            send_empty(reply, 405, (b"allow", wanted.encode()))
        else:
            self._entrance.enter(scope, body, reply)

    def sweep(self) -> None:
        """End streams whose clients are welcome no more."""
        self.lines.sweep()

    def close(self) -> None:
        """End every stream."""
        self.lines.close()

    def _admitted(self, raw: Raw, fields: Fields, principal: Principal, reply: Reply) -> None:
        if raw[0]["method"] == "GET":
            self._open(raw[0], fields, principal, reply)
        else:
            self._post(raw, fields, principal, reply)

    # --- the stream ----------------------------------------------------------------------------------

    def _open(self, scope: Scope, fields: Fields, principal: Principal, reply: Reply) -> None:
        if not accepts(fields.joined("accept"), "text/event-stream"):
            send_problem(reply, 406, b'{"error":"expected Accept: text/event-stream"}')
            return
        try:
            line = self.lines.open(principal, fields.credentials)
        except Refused as refusal:
            send_refusal(reply, 503, refusal)
            return
        path = scope["path"].removesuffix(STREAM) + MESSAGES
        where = f"{self._manner.url}{path}?session_id={line.ident}".encode()
        start_events(reply)
        reply.write(sse_event(where, event="endpoint", retry=self._manner.retry))
        task = self._spawn(self._pour(line, reply))
        task.add_done_callback(lambda _: self.lines.gone(line))
        reply.on_gone = task.cancel

    async def _pour(self, line: Line, reply: Reply) -> None:
        """Send what comes, until the conversation or its client ends."""
        manner, outbox = self._manner, line.outbox
        try:
            while (frames := await outbox.take(manner.keep_alive)) is not None:
                if reply.full:
                    try:
                        async with asyncio.timeout(manner.patience):
                            await reply.room()
                    except TimeoutError:
                        reply.cut()
                        return
                reply.write(sse_events(frames) if frames else KEEP_ALIVE)
        finally:
            if outbox.overrun:
                reply.cut()
            else:
                reply.end()

    # --- messages ------------------------------------------------------------------------------------

    def _post(self, raw: Raw, fields: Fields, principal: Principal, reply: Reply) -> None:
        if fields.untyped is not None:
            send_problem(reply, *fields.untyped)
            return
        idents = parse_qs(raw[0]["query_string"].decode("latin-1")).get("session_id", [])
        if FORWARDED in raw[0] and not idents:
            self._passed.serve(raw, fields, principal, reply)
            return
        ident = idents[0] if len(idents) == 1 else ""
        line = self.lines.find(ident, principal)
        if line is None:
            self._elsewhere(ident, raw, principal, reply)
        elif line.outbox.behind:
            reply.on_gone = self._spawn(self._wait(line, raw[1], fields, reply)).cancel
        else:
            _take(line, raw[1], fields, reply)

    async def _wait(self, line: Line, body: bytes, fields: Fields, reply: Reply) -> None:
        """Who does not read is not listened to either."""
        await line.outbox.room()
        reply.on_gone = None
        _take(line, body, fields, reply)

    def _elsewhere(self, ident: str, raw: Raw, principal: Principal, reply: Reply) -> None:
        """Have the worker answer that has the stream, if there is one."""

        def lost(begun: bool) -> None:
            if begun:
                reply.end()
            else:
                send_problem(reply, 404, _UNKNOWN)

        owners = self.endpoint.owners
        if owners is None or not owners.elsewhere("session", ident, principal, *raw, reply, lost):
            lost(False)

    def _spawn(self, work: object) -> asyncio.Task[None]:
        assert asyncio.iscoroutine(work)
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _take(line: Line, body: bytes, fields: Fields, reply: Reply) -> None:
    """Take a message; its answer goes on the stream, unless it cannot be read."""
    if line.reason:
        send_problem(reply, 404, _UNKNOWN)  # it ends: nothing that comes now would be answered
        return
    try:
        line.talk.take(body, fields.headers)
    except Refused as refusal:
        send_refusal(reply, 400, refusal)
    else:
        send_empty(reply, 202)
